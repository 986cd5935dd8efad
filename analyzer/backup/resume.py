"""Raw images and devices, brought to their content chunk by chunk: what is right is neither fetched nor written."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from analyzer.backup.restore import PointDisk
from analyzer.convert.cells import units_touched
from analyzer.convert.formats.pipeline import in_order
from analyzer.progress import Progress, no_progress
from vhdx.errors import VerificationError
from vhdx.in_place import BlockDevice
from vhdx.ranges import Range, Ranges
from vhdx.sink import Existing, Sink, part_of
from vhdx.source import ByteSource, FileSource, read_at
from vhdx.targets import check_target


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """What a restore did that resumed from what is there; bytes of the disk."""

    target: Path
    size: int
    found_bytes: int
    """That were there already, zeros not counted."""
    written_bytes: int


def resume_raw(disk: PointDisk, target: Path, progress: Progress = no_progress) -> Resumed:
    """Restore to a raw image, going on with what an interrupted run left beside it; another interruption leaves it too.

    What is there is taken for right where its chunks have the ids that the index says, and nowhere else. Raises
    OutputError, InputOutputError, VerificationError, and what reading chunks raises.
    """
    if not part_of(target).exists():
        check_target(target, (), Existing.REFUSE)
    with Sink(target, existing=Existing.RESUME) as sink:
        sink.set_size(disk.size)
        with FileSource(sink.path) as there:
            extents = (Range.between(part.start, min(part.end, disk.size)) for part in there.extents())
            held = units_touched([Ranges.of(extents)], disk.index.chunk_size)
            candidates = sorted({*disk.chunks_with_data(), *held})
            resumed = _bring(disk, there, sink, candidates, progress)
        sink.commit()
    return replace(resumed, target=target)


def restore_device(disk: PointDisk, device: Path, progress: Progress = no_progress) -> Resumed:
    """Write the disk onto a block device, zeros too, and what is on the device already not again; it may be larger.

    An interrupted run leaves a mixture, and the next one resumes. Raises OutputError before anything is written, and
    what `resume_raw` raises.
    """
    with BlockDevice(device, disk.size) as opened:
        return _bring(disk, opened, opened, range(len(disk.index.ids)), progress)


def _bring(
    disk: PointDisk, there: ByteSource, target: Sink | BlockDevice, candidates: Iterable[int], progress: Progress
) -> Resumed:
    """Write every chunk of these that is not there, and read it back; raises VerificationError."""
    index, found, written = disk.index, 0, list[int]()
    wanted = set(disk.chunks_with_data())

    def look(number: int) -> tuple[int, bytes | None]:
        """The content that must be written; None where it is there. Called by threads."""
        held = read_at(there, number * index.chunk_size, index.length_of(number))
        if disk.id_of(held) == index.id_of(number):
            return number, None
        return number, disk.chunk(number) if number in wanted else bytes(len(held))

    with closing(in_order(look, candidates)) as looked:
        for number, content in looked:
            if content is None:
                found += index.length_of(number) if number in wanted else 0
            else:
                target.write_at(number * index.chunk_size, content)
                written.append(number)
            progress(index.length_of(number))
    target.flush()
    for number in written:
        start, length = number * index.chunk_size, index.length_of(number)
        if disk.id_of(read_at(there, start, length)) != index.id_of(number):
            raise VerificationError(there.path, start, length)
    total = sum(index.length_of(number) for number in written)
    return Resumed(target=there.path, size=disk.size, found_bytes=found, written_bytes=total)
