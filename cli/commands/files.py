"""`vhdx files`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import click

from analyzer.guest.filesystems.record import FileKind, FileRecord, Include, Role
from analyzer.guest.filesystems.volume import Volume
from cli import output
from cli.options.address import DiskOptions, disk_options
from cli.options.common import choice, grouped, json_option, option
from cli.options.states import findings_of, opened_by_map, state_to_plain
from cli.render.files import (
    Known,
    chosen,
    file_line,
    first_readings,
    in_volume,
    say_troubles,
    terminal_width,
    volume_lines,
    volume_option,
    volumes_of,
)
from cli.text import safe, say
from vhdx.disk import Disk


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listing:
    """Which files are listed."""

    volume: int | None = volume_option()
    recursive: bool = option("List the contents of subfolders too.", "-r", "--recursive")
    include: Include = choice(Include.DELETED, "List deleted files too, where their names are left.", "--deleted")
    with_system: bool = option("List the file system's own files too: $MFT, $Bitmap, the FAT.", "--all")


@click.command("files")
@click.argument("leaf", metavar="DISK")
@click.argument("path", required=False)
@grouped("listing", _Listing)
@disk_options
@json_option
def command(leaf: str, path: str | None, listing: _Listing, where: DiskOptions) -> int:
    """List the files inside a disk.

    DISK is LEAF, a VHD(X) read with its parents; LEAF@N, the state of layer N of its chain (0 is the base), before the
    checkpoint above it; a raw image; a block device; REPO::POINT, a restore point, of which only the chunks that are
    needed are read; or nbd://, an export of an NBD server. PATH is a folder or file of the volume, with slashes.
    Default: the topmost folder. If a disk has several readable volumes, these are listed; then --volume N chooses one,
    or --recursive lists them all.

    NTFS, FAT, exFAT and ext2 to ext4 are read (with the package pytsk3) as they are on the disk: a journal is not
    applied. What cannot be read is reported, and the rest is listed. Files that are not wholly known are marked: by the
    disk's tables, by the map beside an image that `vhdx recover` wrote, by the map of a copy that ddrescue made. Exit
    code 1 when a folder or a file's record cannot be read whole, when a part of a listed file, or the list itself, is
    lost or in doubt, and when there is an unusable recovery map.

    \b
    Examples:
      vhdx files leaf.avhdx
      vhdx files leaf.avhdx@0 /Users/anna --recursive
      vhdx files /mnt/nas/backups::latest /etc
      vhdx files leaf.avhdx --volume 3 --deleted -r
      vhdx files ext4.vhdx -r --json | jq -r '.files[].path'
    """
    with opened_by_map(leaf, where) as state:
        known = Known(state.disk)
        volumes = volumes_of(state.disk)
        volume = listing.volume
        if path is not None:
            only, (path,) = in_volume(volumes, volume, [path], state.disk)
            volume = only.record.number
        taken = _taken(volumes, volume, state.disk, listing)
        files = _files(taken, path, listing, known)
        if output.is_json():
            payload = {"state": state_to_plain(state.disk), "volumes": [volume.record for volume in volumes]}
            after = partial(_troubles, volumes)  # known when all files have passed
            found = findings_of(state.disk)
            output.emit_pieces(output.streamed("files", payload, found, "files", map(known.plain, files), after))
        else:
            _print_text(volumes, taken, files, known, recursive=listing.recursive)
        state.disk.require_unchanged()
        return say_troubles(volumes) or int(known.unknown > 0 or bool(state.doubt))


def _taken(volumes: list[Volume], number: int | None, disk: Disk, listing: _Listing) -> list[Volume]:
    """The volumes whose files are listed; none where only the volumes themselves are."""
    if number is None:
        readable = first_readings(volumes)
        if len(readable) > 1:
            return readable if listing.recursive else []
    return [chosen(volumes, number, disk)]


def _files(volumes: Iterable[Volume], path: str | None, listing: _Listing, known: Known) -> Iterator[FileRecord]:
    for volume in volumes:
        top = volume.find(path, listing.include) if path else volume.root()
        if doubt := known.listing_of(top):
            say(f"warning: volume {volume.record.number}, {safe(doubt)}")
        if path and top.kind is not FileKind.DIRECTORY:
            found: Iterable[FileRecord] = [top]
        elif listing.recursive:
            found = volume.walk(listing.include, top if path else None)
        else:
            found = volume.entries(top, listing.include)
        for record in found:
            if listing.with_system or record.role is Role.USER:
                yield record
        if listing.with_system and not path:
            yield from volume.unnamed()


def _troubles(volumes: list[Volume]) -> dict[str, Any]:
    return {"troubles": [trouble for volume in volumes for trouble in volume.troubles]}


def _print_text(
    volumes: list[Volume], taken: list[Volume], files: Iterator[FileRecord], known: Known, *, recursive: bool
) -> None:
    if len(volumes) > 1:
        output.emit_lines(volume_lines(volume.record for volume in volumes))
        if not taken:
            say("choose one with --volume N, or list them all with --recursive")
    several, width = len(taken) > 1, terminal_width()
    shown = ((record, record.path if recursive else record.name) for record in files)
    output.emit_lines(
        file_line(record, f"{record.volume}:{name}" if several else name, width, known.told(record))
        for record, name in shown
    )
