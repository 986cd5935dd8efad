"""`vhdx extract`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from analyzer.address.state import State
from analyzer.guest.extract.job import named_in, run_extraction, whole_content
from analyzer.guest.extract.keeping import why_not_here
from analyzer.guest.extract.model import Extraction, Form, Lost, Outcome, Told
from analyzer.guest.extract.runner import GONE, doubt_of
from analyzer.guest.filesystems.record import FileState, Include
from analyzer.recovery_map.disk import MappedDisk
from cli import output
from cli.errors import complain
from cli.options.address import DiskOptions, disk_options
from cli.options.common import STDOUT, choice, force_option, grouped, json_option, option
from cli.options.states import findings_of, opened_by_map
from cli.progress import counter
from cli.render.files import in_volume, say_troubles, volume_option, volumes_of
from cli.text import plural, safe, say, size
from vhdx.ranges import NO_RANGES
from vhdx.sink import Existing

# On a terminal; JSON has every file.
_MOST_SAID, _MOST_STALE = 20, 3
_REFUSED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is extracted, and to where."""

    out: Path | None = option(
        "Folder to write to, created if missing; - writes a single file to stdout.", "-o", "--output", metavar="DIR"
    )
    tar: Path | None = option(
        "Write a tar archive instead, with links, modes, owners and extended attributes; - is stdout.", metavar="FILE"
    )
    form: Form = choice(
        Form.KEEPING,
        "Keep links, modes, owners, extended attributes and names in DIR as they are in the disk; root only.",
        "--preserve",
    )
    volume: int | None = volume_option()
    include: Include = choice(
        Include.DELETED, "Extract deleted files too, as NAME.deleted: what is now where they were.", "--deleted"
    )
    lost: Lost = choice(
        Lost.PARTIAL, "Write files with lost parts too, as NAME.partial, with zeros there.", "--partial"
    )
    existing: Existing = force_option("a file in DIR, or FILE,")

    def target(self) -> tuple[Path, Form]:
        """Where to, and as what; raises UsageError."""
        if (self.out is None) == (self.tar is None):
            raise click.UsageError("name where to write: a folder with -o DIR, or an archive with --tar FILE.")
        if self.tar is not None:
            return self.tar, Form.TAR
        if self.form is Form.KEEPING and (self.out == STDOUT or (reason := why_not_here())):
            reason = "a single file on stdout has nothing to keep" if self.out == STDOUT else reason
            raise click.UsageError(f"--preserve: {reason}; --tar FILE keeps everything in an archive.")
        return self.out or STDOUT, self.form


@click.command("extract")
@click.argument("leaf", metavar="DISK")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@grouped("asked", _Asked)
@disk_options
@json_option
def command(leaf: str, paths: Sequence[str], asked: _Asked, where: DiskOptions) -> int:
    """Extract files and folders from a disk, in any of its states.

    DISK is LEAF, LEAF@N, a raw image, a block device, REPO::POINT, or nbd://, as for `vhdx files`. Each PATH, a file or
    a folder with all that is in it, is written to DIR under its own name; / is the whole volume. N:/PATH, as `vhdx
    files -r` prints it, is in volume N. On NTFS, PATH:STREAM is an alternate stream.

    With --tar, links, hard links, devices, modes, owners, times, extended attributes, ACLs, holes and names are kept
    as they are in the disk; the archive does as much harm as its disk means to, to who unpacks it as root. --preserve
    keeps the same in DIR, but for devices, which are left out. Of NTFS, exFAT and FAT, files get root as owner and
    everyday modes.

    Nothing is ever written outside of DIR: links in it are not followed, and links of the disk are reported, not made.
    Names that some system would not take as a plain name (separators, colons, CON, trailing dots, control characters,
    bytes that are not UTF-8, the same in another case) are changed and reported. Files keep their times, holes stay
    holes; modes and owners are kept by --tar and --preserve alone. A file with lost parts is left out, unless --partial
    asks for the rest of it.

    With --deleted, deleted files and folders are written as NAME.deleted, and reported: their space may have been
    reused.

    An image that `vhdx recover` wrote is read by the map beside it: ranges lost there are lost here, whatever fills
    them in the image, and files in doubt are written and reported.

    Exit code 0 when everything was written; 1 when something was left out, is partial or stale, or there is an unusable
    recovery map; 5 when DIR has files of the same names without --force, or its file system is full: files written
    until then are whole, and are kept.

    \b
    Examples:
      vhdx extract leaf.avhdx /Users/anna/Documents -o rescued
      vhdx extract leaf.avhdx@0 /etc/fstab -o -
      vhdx extract sftp://nas/backups::vm1-2026 /var/www -o rescued
      vhdx extract leaf.avhdx / -o everything --volume 3 --partial
      vhdx extract ext4.vhdx /home --tar home.tar
    """
    target, form = asked.target()
    if output.is_json() and target == STDOUT:
        raise click.UsageError("--json and stdout as the output exclude each other.")
    with opened_by_map(leaf, where) as state:
        volumes = volumes_of(state.disk)
        taken, below = in_volume(volumes, asked.volume, paths, state.disk)
        plan = Extraction(
            volume=taken,
            named=named_in(taken, below, asked.include),
            target=target,
            form=form,
            stream=sys.stdout.buffer if target == STDOUT else None,
            sources=tuple(state.files),
            include=asked.include,
            existing=asked.existing,
            lost=asked.lost,
            stale=state.disk.stale if isinstance(state.disk, MappedDisk) else NO_RANGES,
        )
        if target == STDOUT and form is not Form.TAR:
            return _to_stdout(plan) or int(bool(state.doubt))
        with counter("extracting") as update:
            outcome = run_extraction(plan, update)
        state.disk.require_unchanged()
        return _tell(state, plan, outcome)


def _tell(state: State, plan: Extraction, outcome: Outcome) -> int:
    """Say what was written and what was not; returns the exit code."""
    if output.is_json():
        members = output.plain(replace(outcome, ended=None))
        del members["ended"]  # said on stderr, with its exit code
        payload = {"target": plan.target, "volume": plan.volume.record.number} | members
        output.emit("extract", payload, findings_of(state.disk))
    else:
        _print_text(plan, outcome)
        say_troubles([plan.volume])
    if outcome.ended:
        return complain(outcome.ended)
    # 5 wins: what it names is the user's to move away
    return _REFUSED if outcome.refused else int(not outcome.is_complete or bool(state.doubt))


def _to_stdout(plan: Extraction) -> int:
    for data in whole_content(plan):
        sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    record = plan.named[0].record
    if record.state is not FileState.ALLOCATED:
        say(f"deleted: {safe(record.path)}: {GONE}")
    if doubt := doubt_of(plan, record):
        say(f"stale: {safe(record.path)}: {doubt}")
        return 1
    return 0


def _print_text(plan: Extraction, outcome: Outcome) -> None:
    what = f"{plural(outcome.files, 'file')}, {plural(outcome.folders, 'folder')}, {size(outcome.bytes)}"
    streams = f"; {plural(outcome.streams_left, 'alternate stream')} not asked for" if outcome.streams_left else ""
    links = (f"{outcome.links_made} symbolic", f"{outcome.hard_links} hard")
    made = ", ".join(link for link in links if not link.startswith("0 "))
    linked = f", links: {made}" if made else ""
    special = (
        f", {plural(outcome.special_files, 'device or pipe', 'devices and pipes')}" if outcome.special_files else ""
    )
    # In front of an archive on stdout there must be nothing.
    click.echo(f"{safe(plan.target)}: {what}{linked}{special}{streams}", err=plan.stream is not None)
    _say("not kept", outcome.attributes_left)
    for word in ("renamed", "deleted", "partial", "stale", "left out", "refused"):
        _say(word, getattr(outcome, word.replace(" ", "_")))
    _say("not made", outcome.links)


def _say(word: str, all_told: Sequence[Told]) -> None:
    # Of a disk that rests on a rebuilt table all files are in doubt, and what is said of one is said of each.
    most = _MOST_SAID if word != "stale" else _MOST_STALE
    for told in all_told[:most]:
        place = f" -> {safe(told.file)}" if told.file else ""
        lost = f" ({plural(told.lost_bytes, 'byte')})" if told.lost_bytes else ""
        text = "" if told.text == word else f": {safe(told.text)}{lost}"
        say(f"{word}: {safe(told.path)}{place}{text}")
    if len(all_told) > most:
        say(f"{word}: {len(all_told) - most} more; --json lists them")
