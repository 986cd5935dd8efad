"""The output of an earlier run, to go on with: opened, and held to be what that run left."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from analyzer.convert.cells import CELL, cells_with_data, read_cells
from analyzer.convert.copying import CellChecksums
from analyzer.convert.disks import RawDisk
from analyzer.convert.model import VHDX_FORMATS, OutputFormat
from analyzer.progress import Progress, no_progress
from analyzer.recover.disk.provenance import EarlierRun
from analyzer.recovery_map.beside import map_of
from analyzer.recovery_map.mapfile import ImageFingerprint, Part, Status, read_fingerprint, read_mapfile
from vhdx.disk import Disk
from vhdx.errors import OutputError
from vhdx.image import open_image
from vhdx.plans import RunSource
from vhdx.ranges import Range, Ranges
from vhdx.reader import Reader
from vhdx.structures.fields import crc32c


def can_be_gone_on_with(form: OutputFormat) -> bool:
    """Whether an output of this format is ever read again by a later run."""
    return form is OutputFormat.RAW or form in VHDX_FORMATS


def open_earlier(
    target: Path, form: OutputFormat, size: int, identity: str, opened: ExitStack, progress: Progress
) -> EarlierRun:
    """What an earlier run has of a disk, and what reads it, until the end of `opened`.

    Raises OutputError for a format that is not read again, and where the map is not about this disk or the image is no
    longer what that map was written with; and what opening the image raises.
    """
    if not can_be_gone_on_with(form):
        reason = f"only raw images and VHDX can be gone on with, not {form.value}"
        raise OutputError(target, reason, "recover to one of these, or begin anew with --force and without --resume")
    found = read_mapfile(map_of(target), size, identity)
    # The earlier output is no source, but it is read like one: by position, and closed before it is replaced.
    image = opened.enter_context(closing(_EarlierImage(target, form)))
    written = image.disk
    if written.size != size:
        raise OutputError(target, f"it has {written.size} bytes and the disk {size}", "begin anew with --force")
    _require_untouched(target, written, found[Status.KNOWN], progress)
    return EarlierRun(found[Status.KNOWN], found[Status.STALE], image.read_into, image.close)


class _EarlierImage:
    """The image of an earlier run. Once it is closed, what took its place is read: all that is taken over is there."""

    def __init__(self, target: Path, form: OutputFormat) -> None:
        self._target, self._form = target, form
        self._open()

    def _open(self) -> None:
        self.disk = _open(self._target, self._form)
        self._reader, self._is_open = Reader(self.disk), True

    def read_into(self, start: int, buffer: memoryview) -> None:
        if not self._is_open:
            self._open()
        self._reader.read_into(start, buffer)

    def close(self) -> None:
        self._is_open = False
        self.disk.close()


def fingerprint_of(path: Path, form: OutputFormat, checksums: CellChecksums, known: Ranges) -> ImageFingerprint | None:
    """What an image is that was written just now, by what of it is known; None where no later run resumes it."""
    if not can_be_gone_on_with(form):
        return None
    with closing(_open(path, form)) as written:
        return ImageFingerprint.of(path, parts_written(checksums, written, known))


def _require_untouched(target: Path, written: Disk, known: Ranges, progress: Progress) -> None:
    """Refuse an image that somebody wrote to: where its time is another (it may be a copy), all that counts is read.

    Maps of versions that did not tell are taken at their word.
    """
    fingerprint = read_fingerprint(map_of(target))
    # Reading a whole image to know that nobody touched it would cost as much as the recovery. A time that was set
    # back is not noticed, and docs/recovery.md says so.
    if fingerprint is None or fingerprint.is_of_time(target):
        return
    parts = parts_read(cells_with_data(written.windows()), written, known, progress)
    if fingerprint.known != ImageFingerprint.of(target, parts).known:
        reason = f"it does not hold what {map_of(target).name} has as known: somebody wrote to it since"
        raise OutputError(target, reason, "name another OUT, or begin anew with --force and without --resume")


def _open(path: Path, form: OutputFormat) -> Disk:
    return RawDisk(path) if form is OutputFormat.RAW else open_image(path)


def parts_written(checksums: CellChecksums, written: RunSource, known: Ranges) -> Iterator[Part]:
    """The known parts of an image that was written just now: only cells that are not known whole are read again."""
    reader = Reader(written)
    for cell, checksum in zip(checksums.cells, checksums.sums, strict=True):
        whole = Range.between(cell * CELL, min((cell + 1) * CELL, written.size))
        for part in known.within(whole):
            if part == whole:
                yield *whole, checksum
            elif (data := reader.read(part.start, part.length)).count(0) < len(data):
                yield *part, crc32c(data)


def parts_read(
    cells: Iterable[int], written: RunSource, known: Ranges, progress: Progress = no_progress
) -> Iterator[Part]:
    """The known parts of an image that is there, of which `cells` may hold anything but zeros; reads all of these."""
    for cell, data in read_cells(written, cells):
        start = cell * CELL
        for one in known.within(Range(start, len(data))):
            part = data[one.start - start : one.end - start]
            if part.any():
                yield *one, crc32c(part)
        progress(len(data))
