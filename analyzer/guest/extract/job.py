"""Which files are taken, under which names, and what became of each."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from analyzer.guest.extract.keeping import KeepingTarget
from analyzer.guest.extract.model import Extraction, Form, Named, Outcome
from analyzer.guest.extract.runner import SPECIAL, Runner, checked
from analyzer.guest.extract.tar import TarArchive, appender
from analyzer.guest.extract.target import Destination, Target
from analyzer.guest.filesystems.content import Content
from analyzer.guest.filesystems.errors import NoSuchFileError, NotAFileError, UnreadableFileError
from analyzer.guest.filesystems.record import FileKind, Include
from analyzer.guest.filesystems.volume import Volume
from analyzer.progress import Progress, no_progress
from analyzer.text import plural
from vhdx.sink import Sink
from vhdx.targets import check_target


def named_in(volume: Volume, paths: Iterable[str], include: Include) -> tuple[Named, ...]:
    """What is at the paths in a volume; raises NoSuchFileError, UnreadableVolumeError."""
    return tuple(_named(volume, path, include) for path in paths)


def _named(volume: Volume, path: str, include: Include) -> Named:
    try:
        return Named(volume.find(path, include))
    except NoSuchFileError:
        head, colon, name = path.rpartition(":")
        if not colon or volume.record.type != "ntfs":
            raise
        record = volume.find(head, include)
        found = next((stream for stream in record.streams if stream.name.casefold() == name.casefold()), None)
        if found is None:
            raise
        return Named(record, found)


def run_extraction(plan: Extraction, progress: Progress = no_progress) -> Outcome:
    """Write everything; what cannot be is reported and left out. Raises OutputError for the target itself.

    Where the target's file system is full it ends: what comes later is not tried, whether or not it would fit.
    """
    with _opened(plan) as target:
        outcome = Runner(plan, target, progress).run()
    outcome.troubles = tuple(plan.volume.troubles)
    return outcome


@contextmanager
def _opened(plan: Extraction) -> Iterator[Destination]:
    """What is written to; an archive gets its name when this ends well."""
    if plan.form is not Form.TAR:
        kind = KeepingTarget if plan.form is Form.KEEPING else Target
        with kind(plan.target, plan.existing, plan.sources) as folder:
            yield folder
    elif plan.stream is not None:
        with TarArchive(plan.stream.write) as archive:
            yield archive
    else:
        check_target(plan.target, plan.sources, plan.existing)
        with Sink(plan.target, existing=plan.existing) as sink:
            with TarArchive(appender(sink)) as archive:
                yield archive
            sink.commit()


def whole_content(plan: Extraction) -> Iterator[bytes]:
    """The one file that was asked for, for a pipe: holes are zeros. Raises UnreadableFileError, NotAFileError."""
    named = _single(plan)
    stream = named.stream or named.record.data
    if stream is None:
        if named.record.obstacle:
            raise UnreadableFileError(named.record.path, named.record.obstacle)
        return
    content, position = Content(plan.volume, named.record, stream), 0
    for piece in checked(content, plan.lost, named.record.path):
        yield from _zeros(piece.offset - position)
        yield piece.data
        position = piece.offset + len(piece.data)
    yield from _zeros(content.size - position)
    if content.lost:
        lost = plural(content.lost, "byte", "was", "were")
        raise UnreadableFileError(named.record.path, f"of it {lost} lost, and written as zeros")


def _single(plan: Extraction) -> Named:
    named = plan.named[0]
    if len(plan.named) != 1:
        reason = f"it is one of {len(plan.named)}, and stdout takes a single file; write them to a folder, -o DIR"
        raise NotAFileError(named.record.path, reason)
    if named.record.kind is FileKind.DIRECTORY:
        reason = "it is a folder, and stdout takes a single file; write it to one, -o DIR"
        raise NotAFileError(named.record.path, reason)
    if named.record.kind is FileKind.LINK:
        raise NotAFileError(named.record.path, f"it is a link to {named.record.target}; name what that is")
    if named.record.kind is FileKind.OTHER:
        raise UnreadableFileError(named.record.path, named.record.obstacle or SPECIAL)
    return named


def _zeros(count: int) -> Iterator[bytes]:
    for at in range(0, count, 1 << 20):
        yield bytes(min(1 << 20, count - at))
