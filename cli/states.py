"""Two states, as a command line names them, and what is said of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from analyzer.changes.find import ChangesPlan, Method
from analyzer.changes.mapped import MappedDisk, by_map, without_map
from analyzer.changes.states import State, StateName, layers_of, open_state
from cli import output
from cli.options import open_as_it_is, quiet_library, tell_lacking_map
from cli.text import exact_size, plural, safe, size
from vhdx.chain import Chain
from vhdx.disk import Disk


@contextmanager
def opened(text: str, where: dict[str, Any]) -> Iterator[State]:
    """The state that `text` names, its warnings said; see `StateName.parse`."""
    quiet_library()

    def leaf(path: Path) -> Chain:
        return open_as_it_is(path, where)

    with open_state(StateName.parse(text), leaf) as state:
        output.warn(state.disk.findings)
        yield state


@contextmanager
def opened_by_map(text: str, where: dict[str, Any]) -> Iterator[State]:
    """The state that `text` names, read by the map that `vhdx recover` left beside it, if it did; which is said."""
    with opened(text, where) as state:
        disk = by_map(state.disk)
        tell_lacking_map(disk)
        if isinstance(disk, MappedDisk):
            click.echo(
                f"note: {safe(disk.path)} was recovered, and is read by {safe(disk.map)}: {_parts(disk)}", err=True
            )
        yield replace(state, disk=disk)


def _parts(disk: MappedDisk) -> str:
    return f"{size(disk.lost.size)} of it are lost, {size(disk.stale.size)} are of an older or unproved state"


def state_to_plain(disk: Disk) -> dict[str, Any]:
    """A state as JSON has it."""
    used = {"map": disk.map} if isinstance(disk, MappedDisk) else {}
    disk = without_map(disk)
    kind = "vhdx" if isinstance(disk, Chain) else "raw"
    return {"path": disk.path, "format": kind, "size": disk.size, "layers": layers_of(disk)} | used


def told(disk: Disk) -> str:
    """A state in words."""
    disk = without_map(disk)
    kind = plural(len(disk.layers), "layer") if isinstance(disk, Chain) else "a raw image"
    return f"{safe(disk.path)}, {exact_size(disk.size)}, {kind}"


def method_told(plan: ChangesPlan) -> str:
    """How the states are compared, in words."""
    shared = plural(len(plan.numbering.shared), "file")
    match plan.method:
        case Method.PROVENANCE:
            return f"by provenance ({shared} in common, no data was read); --verify leaves out what reads the same"
        case Method.VERIFIED:
            return f"by provenance ({shared} in common), verified by content"
    return "by content: no file is common to both"
