"""`vhdx backup restore`."""

from dataclasses import dataclass, replace
from pathlib import Path

import click

from analyzer.backup.plan import Lost
from analyzer.backup.restore import (
    PointDisk,
    Resumed,
    extract_range,
    namer_for,
    range_of,
    request_for,
    restore_device,
    resume_raw,
    stream_range,
)
from analyzer.convert.model import EXTENSIONS, OutputFormat, Verify, format_of
from analyzer.recovery_map.beside import map_of
from cli import output
from cli.errors import when_interrupted
from cli.options.common import BYTE_SIZE, STDOUT, choice, grouped, json_option, option, output_argument
from cli.options.output import CloneOptions, output_options, stdout_for_bytes, write_disk
from cli.options.repository import losses, point_named, rate_option, repository_argument, repository_of
from cli.progress import progress
from cli.text import safe, say, size
from vhdx.sink import part_of


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """What is written, and to where."""

    out: Path
    offset: int | None = option("First byte of the disk to write, for a range of raw bytes.", type=BYTE_SIZE)
    length: int | None = option("Number of bytes to write. Default: to the end of the disk.", type=BYTE_SIZE)
    resume: bool = option("Resume an interrupted raw image; if interrupted, keep it.")
    lost: Lost = choice(
        Lost.ALLOW, "Go on where chunks are missing or damaged: zeros, and OUT.map lists the ranges.", "--allow-lost"
    )
    onto_device: bool = option("Write to the block device OUT: OVERWRITES ALL THAT IS ON IT, to the disk's size.")
    image: CloneOptions

    @property
    def is_range(self) -> bool:
        """Whether only some bytes of the disk are asked for."""
        return self.offset is not None or self.length is not None

    @property
    def is_image(self) -> bool:
        """Whether a whole image is written to a file, beside which a map can be."""
        return not (self.out == STDOUT or self.is_range or self.onto_device)

    @property
    def is_whole(self) -> bool:
        """Whether a whole image is written to a new file."""
        return self.is_image and not self.resume


@click.command("restore")
@repository_argument
@click.argument("name")
@output_argument
@output_options(block_size="the base's", kind=CloneOptions)
@grouped("target", _Target)
@rate_option
@json_option
def command(repository: str, name: str, target: _Target) -> int:
    """Restore the disk of the restore point NAME as one standalone image.

    Formats are those of `vhdx convert`. OUT may be `-`: the raw bytes on stdout. A VHDX gets new file identities, and
    keeps the disk's; with --clone the disk gets new ones too, as with `vhdx convert --clone`, for use beside its
    original. Every chunk is compared with its id as it is read. A block device is written only with --onto-device.

    With --allow-lost the rest is restored where chunks are missing or damaged. What is lost, here or when the point was
    made, is zeros, and OUT.map beside the image lists it, a mapfile for GNU ddrescue that all commands of vhdx go by.
    Exit code 1 when anything of what was asked for is lost.

    \b
    Examples:
      vhdx backup restore /mnt/nas/backups NAME disk.vhdx
      vhdx backup restore /mnt/nas/backups NAME disk.raw --resume
      vhdx backup restore /mnt/nas/backups NAME disk.qcow2
      vhdx backup restore /mnt/nas/backups NAME disk.raw --allow-lost
      vhdx backup restore /mnt/nas/backups NAME second.vhdx --clone
      vhdx backup restore /mnt/nas/backups NAME /dev/sdx --onto-device
      vhdx backup restore /mnt/nas/backups NAME boot.bin --offset 0 --length 1M
      vhdx backup restore /mnt/nas/backups NAME - | ssh host 'cat > disk.raw'
    """
    if target.lost is Lost.ALLOW and not target.is_image:
        raise click.UsageError("--allow-lost writes a map beside an image: name a file for the whole disk.")
    kept = repository_of(repository)
    disk = PointDisk(kept, point_named(kept, name), target.lost)
    if (target.image.scope or target.image.dry_run) and not target.is_whole:
        asked = "--clone" if target.image.scope else "--dry-run"
        raise click.UsageError(
            f"{asked} is for a whole image in a file: leave it out, or --resume, --onto-device, the range and `-`."
        )
    if target.onto_device:
        _onto_device(disk, target)
    elif target.out == STDOUT:
        _to_stdout(disk, target)
    elif target.is_range:
        _range(disk, target)
    elif target.resume:
        _resume(disk, target)
    else:
        out, form, options = target.image.for_target(target.out, Path(f"{disk.manifest.name}.vhdx"))
        target = replace(target, out=out)
        request = request_for(disk.manifest, target.out, form, options)
        write_disk("backup restore", disk, request, target.image, name=namer_for(disk, target.out, options.existing))
    lost = disk.lost.within(range_of(disk, target.offset or 0, target.length))
    if lost:
        has_map = target.is_image and not target.image.dry_run
        there = f"; {safe(map_of(target.out))} lists them" if has_map else ""
        say(f"warning: {losses(len(lost), lost.size)} of the disk are lost, and zeros in the output{there}")
    return int(bool(lost))


def _to_stdout(disk: PointDisk, target: _Target) -> None:
    if output.is_json() or target.resume or target.image.is_reshaped:
        raise click.UsageError("stdout takes raw bytes alone; name a file for anything else.")
    stdout = stdout_for_bytes()
    start, length = range_of(disk, target.offset or 0, target.length)
    with progress("restoring", length) as update:
        stream_range(disk, start, length, stdout, update)


def _range(disk: PointDisk, target: _Target) -> None:
    out, image = target.out, target.image
    if (image.format or EXTENSIONS.get(out.suffix.lower(), OutputFormat.RAW)) is not OutputFormat.RAW:
        raise click.UsageError("a range is raw bytes, and no image: name it .raw, .img or .bin.")
    if image.is_reshaped or image.azure:
        raise click.UsageError("a range is raw bytes: leave out what makes an image of it.")
    start, length = range_of(disk, target.offset or 0, target.length)
    with progress("restoring", length) as update:
        written = extract_range(disk, start, length, out, image.existing, update)
    payload = {"range": {"target": out, "start": start, "length": written}}
    line = f"{safe(out)}: {size(written)} of the disk from byte {start} on"
    output.answer("backup restore", payload, [line])


def _resume(disk: PointDisk, target: _Target) -> None:
    out = target.out
    if (target.image.asked_format() or format_of(out)) is not OutputFormat.RAW:
        raise click.UsageError("--resume is for raw images: only there has every byte its place from the start.")
    kept = f"what is written is kept in {part_of(out)}; run the command again, it continues from there"
    with when_interrupted(kept), progress("restoring", disk.size) as update:
        resumed = resume_raw(disk, out, update)
    _tell(resumed, "raw")


def _onto_device(disk: PointDisk, target: _Target) -> None:
    image = target.image
    is_changed = image.is_reshaped or image.azure or image.seed or image.verify is Verify.TRUST
    if target.offset or target.length or is_changed:
        raise click.UsageError("a device gets the whole disk as it is, read back: leave out what makes an image of it.")
    kept = "the device holds a part of the disk and a part of what it held before; run the command again, it continues"
    with when_interrupted(kept), progress("restoring", disk.size) as update:
        restored = restore_device(disk, target.out, update)
    _tell(restored, "block device")


def _tell(resumed: Resumed, what: str) -> None:
    there = f"{size(resumed.found_bytes)} were there, {size(resumed.written_bytes)} written"
    line = f"{safe(resumed.target)}: {what}, disk of {size(resumed.size)}, {there}, verified"
    output.answer("backup restore", {"resumed": resumed}, [line])
