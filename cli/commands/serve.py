"""`vhdx serve`."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

import click

from analyzer.address.state import title_of
from analyzer.recovery_map.disk import MappedDisk, without_map
from analyzer.serve.commands import Access, ServedAs
from analyzer.serve.export import Export
from analyzer.serve.listening import HAS_PATHS, LOOPBACK, Door, door_at_path, door_at_port
from analyzer.serve.server import Server, Until
from analyzer.vhd.chain import VhdChain
from cli.errors import stopped_by_signals
from cli.options.address import DiskOptions, disk_options
from cli.options.common import choice, grouped, json_option, option
from cli.options.scratch import Keep, KeptWrites, kept_writes
from cli.options.states import opened_by_map
from cli.render.serve import announce
from cli.text import safe, say
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writing:
    """Whether clients may write, and what becomes of that."""

    scratch: str | None = option(
        "Let clients write: into FILE, or without =FILE into one that goes with the server. Sources stay as they are.",
        metavar="[=FILE]",
    )
    save: Path | None = option(
        "With --scratch: at the end write what clients wrote as a new checkpoint on the leaf; over a disk that is no "
        "VHDX (a restore point, a raw image) the whole disk as a VHDX.",
        metavar="FILE",
    )
    resume: bool = option("With --scratch=FILE: go on with what an earlier run left in FILE, however it ended.")
    save_only: bool = option("With --resume and --save: save at once, and serve nobody.")

    @property
    def choice(self) -> Keep:
        """The same for what keeps it."""
        return Keep(Path(self.scratch) if self.scratch else None, self.save, is_left=self.resume)


class _Command(click.Command):
    """`--scratch` takes a value only behind `=`, so that it never takes a disk for one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments, a bare `--scratch` with an empty value."""
        end = args.index("--") if "--" in args else len(args)
        bare = ["--scratch=" if word == "--scratch" else word for word in args[:end]]
        return super().parse_args(ctx, bare + args[end:])


@click.command("serve", cls=_Command)
@click.argument("disks", nargs=-1, required=True, metavar="DISK...")
@grouped("place", _Place)
@grouped("writing", _Writing)
@disk_options
@json_option
def command(disks: Sequence[str], place: _Place, writing: _Writing, where: DiskOptions) -> int:
    """Serve disks by NBD: QEMU, nbdcopy, libguestfs and others read them, and nothing is converted.

    DISK is LEAF, a VHD(X) read with its parents; LEAF@N, the state of its layer N (0 is the base); a raw image; a block
    device; REPO::POINT, a restore point, of which the chunks that clients read are fetched; or nbd://, an export of
    another server. Of one disk the export "" is the state that is named, and "@0", "@1" ... are its layers' states. Of
    several disks each has the name of its file.

    What is lost is an error, exactly there, with the reason; `base:allocation`, `vhdx:layer` and `vhdx:status` say what
    each range is. Commands for QEMU and others are printed. Ctrl-C ends the server.

    With --scratch the export "" can be written to, and boots: what clients write goes to a file beside the disk, and
    with --save becomes a new checkpoint. Over a restore point, or what else is no VHDX, it is a VHDX with all of the
    disk.

    \b
    Examples:
      vhdx serve leaf.avhdx
      vhdx serve leaf.avhdx@0 --socket base.sock
      vhdx serve leaf.avhdx --scratch --save tried.avhdx
      vhdx serve /mnt/nas/backups::latest --scratch --save vm1.vhdx
      vhdx serve one.vhdx two.vhdx --port 10809
      vhdx serve leaf.avhdx --port 10809 --host 192.0.2.7 --unprotected
    """
    _refuse_open_doors(place)
    _refuse_mixtures(disks, writing)
    with ExitStack() as stack:
        states = [stack.enter_context(opened_by_map(disk, where)) for disk in disks]
        opened = [state.disk for state in states]
        kept = kept_writes(disks[0], states[0], writing.choice) if writing.scratch is not None else None
        with kept or nullcontext():
            if not writing.save_only:
                _serve(list(_exports(disks, opened, kept)), place)
            if kept:
                kept.finish()
        for disk in opened:
            disk.require_unchanged()
    return 0


def _serve(exports: Sequence[Export], place: _Place) -> None:
    with ExitStack() as stack:
        door = stack.enter_context(_door(place, stack))
        places = [door.address.with_export(export.name) for export in exports]
        access = [Access.WRITE if export.scratch else Access.READ for export in exports]
        sectors = [export.disk.sector_size for export in exports]
        announce([*zip(exports, map(ServedAs, places, sectors, access), strict=True)])
        sys.stdout.flush()  # whoever waits for the first line is not kept waiting by a buffer
        named = {export.name: export for export in exports}
        server = Server(door.listener, named, say=lambda text: say(f"warning: {safe(text)}"))
        with stopped_by_signals() as started:
            server.run(place.until, started)


def _refuse_mixtures(disks: Sequence[str], writing: _Writing) -> None:
    if writing.scratch is None and (writing.save or writing.resume or writing.save_only):
        raise click.UsageError("--save, --resume and --save-only need --scratch.")
    if writing.scratch is not None and len(disks) > 1:
        raise click.UsageError("--scratch is for one disk: serve each that is written to by itself.")
    if writing.resume and not writing.scratch:
        raise click.UsageError("--resume needs --scratch=FILE: name the file that the earlier run wrote.")
    if writing.save_only and not (writing.resume and writing.save):
        raise click.UsageError("--save-only needs --resume and --save.")


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
    if place.socket is not None:
        return door_at_path(place.socket)
    if place.port is not None or not HAS_PATHS:
        return door_at_port(place.host, place.port or 0)
    return door_at_path(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vhdx-")), "nbd.sock"))


def _exports(texts: Sequence[str], disks: Sequence[Disk], kept: KeptWrites | None) -> Iterator[Export]:
    """The states of all disks, each under its name."""
    names = [Path(text).name for text in texts]
    alone = len(texts) == 1
    for text, name, disk in zip(texts, names, disks, strict=True):
        whole = "" if alone else name if names.count(name) == 1 else text
        for export, state in _states(whole, disk):
            stale = state.stale if isinstance(state, MappedDisk) else NO_RANGES
            scratch = kept.scratch if kept and not export else None
            yield Export(export, state, title_of(state), stale, scratch)


def _states(name: str, disk: Disk) -> Iterator[tuple[str, Disk]]:
    """A disk, and the states of its layers, the newest of which is the disk itself."""
    yield name, disk
    chain = without_map(disk)
    if isinstance(chain, Chain | VhdChain):
        last = len(chain.layers) - 1
        yield from ((f"{name}@{layer}", chain.upto(layer)) for layer in range(last))
        yield f"{name}@{last}", disk
