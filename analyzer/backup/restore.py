"""A restore point as a disk, which every format can be made of; raw images and devices brought to its content."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import numpy as np

from analyzer.backup.errors import BackupError, BadChunkError, MissingObjectError, RangeError, UnreadableObjectError
from analyzer.backup.plan import Lost
from analyzer.backup.repository.chunks import ChunkStore
from analyzer.backup.repository.index import Index, chunk_count, id_array, ids_from
from analyzer.backup.repository.manifest import Manifest
from analyzer.backup.repository.repository import Repository
from analyzer.convert.cells import units_touched
from analyzer.convert.convert import name_alone, refuse_foreign_map
from analyzer.convert.copying import CellChecksums
from analyzer.convert.model import ImageRequest, Options, OutputFormat, new_disk
from analyzer.convert.threads import in_order
from analyzer.progress import Progress, no_progress
from analyzer.recovery_map.beside import map_of
from analyzer.recovery_map.commit import existing_sidecars, name_with_map
from analyzer.recovery_map.mapfile import Status, mapfile_lines
from vhdx.disk import FileDisk
from vhdx.errors import VerificationError
from vhdx.findings import Finding
from vhdx.in_place import BlockDevice
from vhdx.ranges import Range, Ranges
from vhdx.reader import Reader
from vhdx.runs import Kind, RunTable, merge_neighbours
from vhdx.sink import Existing, Sink, part_of
from vhdx.source import ByteSource, FileSource, read_at
from vhdx.targets import check_target

_STEP = 1 << 20
# Chunks whose runs are made at once.
_AT_ONCE = 1 << 18


class ChunkSource:
    """The flat disk as bytes: chunks are read, checked and kept for a while. From any thread."""

    def __init__(self, store: ChunkStore, index: Index, name: str, lost: Lost = Lost.REFUSE) -> None:
        """The bytes of a restore point called `name`; with Lost.ALLOW zeros where a chunk is missing or damaged."""
        self.path, self.size = Path(name), index.size
        self._store, self._index, self.lost, self.chunk_size = store, index, lost, index.chunk_size
        self.failed = dict[int, BackupError]()
        """By its number why a chunk could not be had; it is asked for once."""
        kept = max(2, (32 << 20) // index.chunk_size)  # of those that were read last
        self._chunk = lru_cache(kept)(self.read_chunk)

    def read_chunk(self, number: int) -> bytes:
        """All bytes of a chunk; raises MissingObjectError, BadChunkError, PlaceError."""
        cause = self.failed.get(number)
        if cause is None:
            try:
                return self._store.get(self._index.id_of(number))
            except (MissingObjectError, BadChunkError, UnreadableObjectError) as error:
                cause = self.failed.setdefault(number, error)
        return self.instead_of(number, self._index.length_of(number), cause)

    def instead_of(self, _number: int, length: int, cause: BackupError) -> bytes:
        """What stands for a chunk that cannot be had: zeros where that is allowed; else the cause is raised."""
        if self.lost is Lost.REFUSE:
            raise cause
        return bytes(length)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """See ByteSource; raises MissingObjectError, BadChunkError, PlaceError."""
        position, end = offset, offset + len(buffer)
        while position < end:
            number, within = divmod(position, self._index.chunk_size)
            part = self._chunk(number)[within : within + end - position]
            buffer[position - offset : position - offset + len(part)] = part
            position += len(part)


class PointDisk(FileDisk):
    """A restore point as a disk. Chunks of zeros are not read; a chunk never changes: each is checked as it is read."""

    sector_size = 512
    # None: what was wrong when the point was made is in the manifest.
    findings: tuple[Finding, ...] = ()

    def __init__(self, repository: Repository, name: str, lost: Lost = Lost.REFUSE) -> None:
        """Open it; raises NoSuchPointError, MissingObjectError, DamagedObjectError. `lost` is for its chunks."""
        self.manifest = repository.manifest(name)
        self.index = repository.index(self.manifest)
        self.store = repository.chunks()
        self.sector_size = self.manifest.logical_sector_size
        self.source = self.chunks = ChunkSource(self.store, self.index, name, lost)
        ends = {self.index.chunk_size, self.index.length_of(len(self.index.ids) - 1)}
        self._zeros = ids_from(repository.codec.id_of(bytes(size)) for size in ends)

    def windows(self, start: int = 0, end: int | None = None) -> Iterator[RunTable]:
        """DATA for chunks that hold something, ZERO for others; each window of bounded size."""
        upto = self.size if end is None else min(end, self.size)
        chunk = self.index.chunk_size
        for first in range(start // chunk, chunk_count(upto, chunk), _AT_ONCE):
            last = min(first + _AT_ONCE, chunk_count(upto, chunk))
            zero = np.isin(id_array(self.index.ids[first:last]), self._zeros)
            begin = np.arange(first, last, dtype=np.int64) * chunk
            kind, offset = np.where(zero, np.int64(Kind.ZERO), np.int64(Kind.DATA)), np.where(zero, 0, begin)
            length = np.minimum(begin + chunk, self.size) - begin
            table = merge_neighbours(RunTable(begin, length, kind, np.zeros_like(begin), offset)).clip(start, upto)
            if len(table):
                yield table

    @property
    def lost(self) -> Ranges:
        """What is not known of the disk: what was lost when the point was made, and the chunks that were missed."""
        chunk = self.index.chunk_size
        missed = Ranges.of(Range(number * chunk, self.index.length_of(number)) for number in self.chunks.failed)
        return Ranges.of(self.manifest.lost) | missed

    def chunks_with_data(self) -> Iterator[int]:
        """The numbers of the chunks that are not zeros."""
        return units_touched((table.of_kind(Kind.DATA) for table in self.windows()), self.index.chunk_size)


def request_for(manifest: Manifest, target: Path, output: OutputFormat, options: Options) -> ImageRequest:
    """A restore point as one image: the GUIDs of a VHDX are new, its disk id is not."""
    sectors = manifest.logical_sector_size, manifest.physical_sector_size
    like = new_disk(options, manifest.size, manifest.block_size, sectors, UUID(manifest.disk_id))
    return ImageRequest(target=target, format=output, like=like, options=options)


def namer_for(disk: PointDisk, target: Path, existing: Existing) -> Callable[[Sink, CellChecksums], None]:
    """What gives an image its name, with a map beside it where anything may be lost; refuses a map that is in the way.

    Raises OutputError.
    """
    if disk.chunks.lost is Lost.REFUSE and not disk.lost.size:
        refuse_foreign_map(target, existing)
        return name_alone
    check_target(map_of(target), (), existing_sidecars(target, existing))
    return partial(_name_with_map, disk)


def _name_with_map(disk: PointDisk, image: Sink, checksums: CellChecksums) -> None:
    if not disk.lost.size:
        name_alone(image, checksums)
        return
    parts = disk.lost.split(Range(0, disk.size))
    rows = ((part, Status.LOST if is_lost else Status.KNOWN) for part, is_lost in parts)
    name_with_map(image, mapfile_lines(rows, f"{UUID(disk.manifest.index_sha256[:32])} restored"))


def range_of(disk: PointDisk, start: int, length: int | None) -> Range:
    """A range of the disk, to its end where no length is given; raises RangeError outside of it."""
    if start >= disk.size or start + (length or 0) > disk.size:
        raise RangeError(disk.manifest.name, disk.size, start, length or 0)
    return Range(start, disk.size - start if length is None else length)


def stream_range(disk: PointDisk, start: int, length: int, stream: BinaryIO, progress: Progress = no_progress) -> None:
    """Write a range of the disk to a stream, every byte of it; raises what reading chunks raises."""
    reader = Reader(disk)
    for part in Range.between(start, min(disk.size, start + length)).pieces(_STEP):
        stream.write(reader.read(*part))
        progress(part.length)
    stream.flush()


def extract_range(
    disk: PointDisk, start: int, length: int, target: Path, existing: Existing, progress: Progress = no_progress
) -> int:
    """Write a range of the disk to a file of its own, sparse; returns its bytes. Raises OutputError."""
    check_target(target, (), existing)
    end = max(start, min(disk.size, start + length))
    with Sink(target, existing=existing) as sink:
        sink.make_sparse()
        sink.set_size(end - start)
        reader = Reader(disk)
        for run in (run for table in disk.windows(start, end) for run in table.of_kind(Kind.DATA)):
            for part in Range(run.start, run.length).pieces(_STEP):
                sink.write_at(part.start - start, reader.read(*part))
                progress(part.length)
        sink.commit()
    return end - start


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
    give_name = namer_for(disk, target, Existing.REFUSE)
    with Sink(target, existing=Existing.RESUME) as sink:
        sink.make_sparse()
        sink.set_size(disk.size)
        with FileSource(sink.path) as there:
            extents = (Range.between(part.start, min(part.end, disk.size)) for part in there.extents())
            held = units_touched([Ranges.of(extents)], disk.index.chunk_size)
            candidates = sorted({*disk.chunks_with_data(), *held})
            resumed = _bring(disk, there, sink, candidates, progress)
        give_name(sink, CellChecksums())
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
    index, codec, found, written = disk.index, disk.store.codec, 0, list[int]()
    wanted = set(disk.chunks_with_data())

    def look(number: int) -> tuple[int, bytes | None]:
        """The content that must be written; None where it is there. Called by threads."""
        held = read_at(there, number * index.chunk_size, index.length_of(number))
        if codec.id_of(held) == index.id_of(number):
            return number, None
        return number, disk.chunks.read_chunk(number) if number in wanted else bytes(len(held))

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
        wanted_id = codec.id_of(bytes(length)) if number in disk.chunks.failed else index.id_of(number)
        if codec.id_of(read_at(there, start, length)) != wanted_id:
            raise VerificationError(there.path, start, length)
    total = sum(index.length_of(number) for number in written)
    return Resumed(target=there.path, size=disk.size, found_bytes=found, written_bytes=total)
