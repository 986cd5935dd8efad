"""`vhdx serve`."""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from analyzer.nbd.uri import NbdAddress
from analyzer.recovery_map.disk import MappedDisk, without_map
from analyzer.serve.commands import Access, ServedAs, ready_commands
from analyzer.serve.export import Export
from analyzer.serve.listening import HAS_PATHS, LOOPBACK, Door, door_at_path, door_at_port
from analyzer.serve.server import Server, Until
from cli import output
from cli.errors import stopped_by_signals
from cli.options.address import DiskOptions, disk_options
from cli.options.common import choice, grouped, json_option, option
from cli.options.states import opened_by_map
from cli.text import plural, safe, say
from vhdx.chain import Chain
from vhdx.disk import Disk
from vhdx.ranges import NO_RANGES

_LOOPBACKS = {LOOPBACK, "localhost", "::1"}
_OPEN = "NBD has no password: whoever reaches {host} reads the disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where clients are listened for."""

    socket: Path | None = option(
        "Listen at a Unix socket of this name, for you alone. Default: one in a folder for temporary files.",
        metavar="PATH",
    )
    port: int | None = option(
        "Listen at a TCP port, on this machine alone; 0 takes any free one.",
        type=click.IntRange(0, 65535),
        metavar="N",
    )
    host: str = option("With --port: the address to listen at.", default=LOOPBACK, show_default=True)
    unprotected: bool = option("Let other machines in: NBD has neither password nor encryption.")
    until: Until = choice(Until.LAST_LEFT, "End when the last client has left.", "--once")


@click.command("serve")
@click.argument("disks", nargs=-1, required=True, metavar="DISK...")
@grouped("place", _Place)
@disk_options
@json_option
def command(disks: Sequence[str], place: _Place, where: DiskOptions) -> int:
    """Serve disks by NBD, read-only: QEMU, nbdcopy, libguestfs and others read them, and nothing is converted.

    DISK is LEAF, a VHD(X) read with its parents; LEAF@N, the state of its layer N (0 is the base); a raw image;
    a block device; or REPO::POINT, a restore point, of which the chunks that clients read are fetched. Of one disk the
    export "" is the state that is named, and "@0", "@1" ... are its layers' states. Of several disks each has the name
    of its file.

    What is lost is an error, exactly there, with the reason; `base:allocation`, `vhdx:layer` and `vhdx:status` say what
    each range is. Commands for QEMU and others are printed. Ctrl-C ends the server.

    \b
    Examples:
      vhdx serve leaf.avhdx
      vhdx serve leaf.avhdx@0 --socket base.sock
      vhdx serve /mnt/nas/backups::latest
      vhdx serve one.vhdx two.vhdx --port 10809
      vhdx serve leaf.avhdx --port 10809 --host 192.0.2.7 --unprotected
    """
    _refuse_open_doors(place)
    with ExitStack() as stack:
        opened = [stack.enter_context(opened_by_map(disk, where)).disk for disk in disks]
        exports = {export.name: export for export in _exports(disks, opened)}
        door = stack.enter_context(_door(place, stack))
        _announce(door.address, exports)
        server = Server(door.listener, exports, say=lambda text: say(safe(text)))
        with stopped_by_signals() as started:
            server.run(place.until, started)
        for export in exports.values():
            export.disk.require_unchanged()
    return 0


def _refuse_open_doors(place: _Place) -> None:
    if place.socket is not None and place.port is not None:
        raise click.UsageError("--socket and --port exclude each other.")
    if place.host in _LOOPBACKS:
        return
    if place.port is None:
        raise click.UsageError("--host needs --port.")
    text = _OPEN.format(host=safe(place.host))
    if not place.unprotected:
        raise click.UsageError(f"{text}. If that is meant, add --unprotected.")
    say(f"warning: {text}")


def _door(place: _Place, stack: ExitStack) -> Door:
    """Where clients are listened for; a socket that nobody named is in a folder that goes with it."""
    if place.port is not None or not HAS_PATHS:
        return door_at_port(place.host, place.port or 0)
    if place.socket is not None:
        return door_at_path(place.socket)
    return door_at_path(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vhdx-")), "nbd.sock"))


def _exports(texts: Sequence[str], disks: Sequence[Disk]) -> Iterator[Export]:
    """The states of all disks, each under its name."""
    names = [Path(text).name for text in texts]
    alone = len(texts) == 1
    for text, name, disk in zip(texts, names, disks, strict=True):
        whole = "" if alone else name if names.count(name) == 1 else text
        for export, state in _states(whole, disk):
            stale = state.stale if isinstance(state, MappedDisk) else NO_RANGES
            yield Export(export, state, state.path, stale)


def _states(name: str, disk: Disk) -> Iterator[tuple[str, Disk]]:
    """A disk, and the states of its layers, the newest of which is the disk itself."""
    yield name, disk
    chain = without_map(disk)
    if isinstance(chain, Chain):
        last = len(chain.layers) - 1
        yield from ((f"{name}@{layer}", chain.upto(layer)) for layer in range(last))
        yield f"{name}@{last}", disk


def _announce(address: NbdAddress, exports: Mapping[str, Export]) -> None:
    """Say where the exports are, and how they are used."""
    served = [(export, ServedAs(address.with_export(name), export.disk.sector_size, Access.READ))
              for name, export in exports.items()]  # fmt: skip
    if output.is_json():
        output.emit("serve", {"exports": [_plain(export, disk) for export, disk in served]})
    else:
        output.emit_lines(_lines(served))
    sys.stdout.flush()  # whoever waits for the first line is not kept waiting by a buffer


def _plain(export: Export, disk: ServedAs) -> Mapping[str, Any]:
    commands = [{"purpose": one.purpose, "text": one.text} for one in ready_commands(disk)]
    about = {"name": export.name, "uri": str(disk.address), "path": export.path, "size": export.disk.size}
    return about | {"sector_size": disk.sector_size, "writable": False, "commands": commands}


def _lines(served: Sequence[tuple[Export, ServedAs]]) -> Iterator[str]:
    yield f"serving {plural(len(served), 'state')}, read-only, until Ctrl-C:"
    yield from (f"  {safe(disk.address)}  {safe(export.description)}" for export, disk in served)
    yield ""
    for ready in ready_commands(served[0][1]):
        yield f"# {ready.purpose}"
        yield ready.text
