"""Raw images that are brought to their content chunk by chunk: what is right already is neither fetched nor written."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from analyzer.backup.index import Index
from analyzer.backup.restore import PointDisk
from analyzer.images.packing import in_order
from analyzer.progress import Progress, no_progress
from vhdx.errors import VerificationError
from vhdx.sink import Existing, Sink, check_target, part_of
from vhdx.source import FileSource, read_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """What a resumed restore did; bytes of the disk."""

    target: Path
    size: int
    found_bytes: int
    """That the interrupted run had brought, zeros not counted."""
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
            found, written = _bring(disk, there, sink, progress)
            sink.flush()
            _check(disk, there, written)
        sink.commit()
    lengths = disk.index.length_of
    return Resumed(
        target=target, size=disk.size, found_bytes=found, written_bytes=sum(lengths(number) for number in written)
    )


def _bring(disk: PointDisk, there: FileSource, sink: Sink, progress: Progress) -> tuple[int, list[int]]:
    """Write every chunk that is not there; returns the bytes that are, and the numbers of those written."""
    index, found, written = disk.index, 0, list[int]()
    wanted = set(disk.chunks_with_data())
    candidates = sorted(wanted | set(_chunks_of(there.extents(), index)))

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
                sink.write_at(number * index.chunk_size, content)
                written.append(number)
            progress(index.length_of(number))
    return found, written


def _chunks_of(extents: Iterable[tuple[int, int]], index: Index) -> Iterator[int]:
    """The numbers of the chunks that ranges of bytes touch."""
    for start, end in extents:
        yield from range(start // index.chunk_size, -(-min(end, index.size) // index.chunk_size))


def _check(disk: PointDisk, there: FileSource, written: Iterable[int]) -> None:
    """Read back what was written; raises VerificationError."""
    for number in written:
        start, length = number * disk.index.chunk_size, disk.index.length_of(number)
        if disk.id_of(read_at(there, start, length)) != disk.index.id_of(number):
            raise VerificationError(there.path, start, length)
