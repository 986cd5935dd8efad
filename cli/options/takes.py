"""Which command takes a disk that is kept in which way: one table, for refusals and for docs/addresses.md."""

from collections.abc import Mapping

import click

from analyzer.address.parse import Address, Kind
from cli.text import safe

_ALL = frozenset(Kind)
_CHAINS = frozenset({Kind.LEAF, Kind.STATE, Kind.VHD})
TAKES: Mapping[str, frozenset[Kind]] = {
    "info": _ALL,
    "map": _ALL,
    "hash": _ALL,
    "files": _ALL,
    "extract": _ALL,
    "changes": _ALL,
    "apply": _ALL,
    "convert": _ALL,
    "compact": _ALL,
    "resize": _ALL,
    "merge": _CHAINS,
    "serve": _ALL,
    "mount": _ALL,
    "check": _ALL,
    "report": _CHAINS - {Kind.VHD},
    "backup create": _ALL - {Kind.POINT},
}
"""Of what `vhdx COMMAND` is called with, beside the names of outputs."""

WHAT = {
    Kind.LEAF: "a VHDX",
    Kind.STATE: "a layer's state",
    Kind.VHD: "a VHD of version 1",
    Kind.RAW: "a raw image",
    Kind.DEVICE: "a block device",
    Kind.POINT: "a restore point",
    Kind.NBD: "an export of an NBD server",
}
_INSTEAD = {
    "report": "`vhdx check --content --format html DISK -o OUT` is a page of what is wrong inside any disk",
    "backup create": "`vhdx backup copy` copies restore points",
    "merge": "`vhdx convert DISK OUT` writes any disk as one image",
}


def require_taken(address: Address) -> None:
    """Raise UsageError where the command that runs does not take a disk that is kept so."""
    command = click.get_current_context().command_path.partition(" ")[2]
    taken = TAKES.get(command, _ALL)  # a process that works for another has no command, and all was looked at before
    if address.kind not in taken:
        patterns = " or ".join(kind.value for kind in Kind if kind in taken)
        raise click.UsageError(
            f"{safe(address.text)} is {WHAT[address.kind]}, and `vhdx {command}` takes {patterns}; {_INSTEAD[command]}."
        )
