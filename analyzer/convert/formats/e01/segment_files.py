"""An output of several files that belong together by their names (NAME.E01, NAME.E02 ... NAME.EAA), as one output.

All of them are written under temporary names. The first gets its name last: without it the others are nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path
from string import ascii_uppercase

from analyzer.convert.formats.e01.format import SIGNATURE
from vhdx.errors import OutputError, VhdxError
from vhdx.sink import PART_SUFFIX, Existing, Sink, part_of
from vhdx.source import FileSource, read_if_possible
from vhdx.system import files
from vhdx.targets import check_target

# E01 to E99; then letters, as EnCase continues.
_NUMBERED = 99
MOST = _NUMBERED + (ord("Z") - ord("E") + 1) * 26 * 26
"""Segments that have names: .E01 to .E99, then .EAA to .EZZ, .FAA to .ZZZ."""


def segment_name(target: Path, number: int) -> Path:
    """The name of a segment, 1 to MOST, of the output whose first one is `target`."""
    extension = f"E{number:02}"
    if number > _NUMBERED:
        first, rest = divmod(number - _NUMBERED - 1, 26 * 26)
        extension = chr(ord("E") + first) + ascii_uppercase[rest // 26] + ascii_uppercase[rest % 26]
    return target.with_suffix("." + (extension.lower() if target.suffix.islower() else extension))


def sibling(first: Path, number: int) -> Path:
    """Where a segment is whose first one is at `first`, which may be its temporary name."""
    if first.suffix != PART_SUFFIX:
        return segment_name(first, number)
    return part_of(segment_name(first.with_suffix(""), number))


def following(target: Path, number: int) -> Iterator[Path]:
    """The files that are there under the names of segment `number` and those behind it, up to the first gap.

    A reader continues as long as there is a next name, so these would be taken for parts of the output.
    """
    names = (segment_name(target, n) for n in range(number, MOST + 1))
    return takewhile(lambda place: place.is_symlink() or place.exists(), names)


def check_segments(target: Path, most: int, sources: Sequence[Path], existing: Existing) -> None:
    """Refuse what `check_target` refuses, for each name that the output may come to have; raises OutputError."""
    names = (segment_name(target, number) for number in range(2, most + 1))
    for place in (*names, *following(target, most + 1)):
        check_target(place, sources, existing)
        if place.exists() and not _is_segment(place):
            advice = "move it away, or name another target"
            raise OutputError(place, "it is no segment of an image, and its name is wanted for one", advice)


def _is_segment(path: Path) -> bool:
    try:
        with FileSource(path) as source:
            return read_if_possible(source, 0, len(SIGNATURE)) == SIGNATURE
    except VhdxError:
        return False


class SegmentedSink(Sink):
    """The first file of an output, and with it all the others."""

    def __init__(self, target: Path, *, existing: Existing = Existing.REFUSE) -> None:
        """Create the first `target`.part; raises as Sink does."""
        super().__init__(target, existing=existing)
        self._further: list[Sink] = []

    @property
    def size(self) -> int:
        """Bytes of all files so far."""
        return super().size + sum(sink.size for sink in self._further)

    def further(self) -> Sink:
        """Begin one more file. What was written before is whole: it is made durable, and takes no more bytes."""
        if self._further:
            self._further[-1].seal()  # thousands of segments must not be thousands of open files
        self._further.append(Sink(segment_name(self.target, len(self._further) + 2), existing=self.existing))
        return self._further[-1]

    def flush(self) -> None:
        """See Sink."""
        if self._further and self._further[-1].is_open:
            self._further[-1].flush()
        super().flush()

    def commit(self) -> None:
        """See Sink. What an older output leaves behind the last file is removed where it may be replaced."""
        stale = list(following(self.target, len(self._further) + 2))
        if self.existing is not Existing.REPLACE:
            # Nothing has its name yet: what is there now came while the output was written.
            for name in (self.target, *(sink.target for sink in self._further), *stale):
                if name.is_symlink() or name.exists():
                    advice = "move it away and begin again, or name another target"
                    raise OutputError(name, "it appeared while the output was written", advice)
        if self._further or stale:
            # The older output loses its first name first, so that no moment shows a mixture; then what is too many.
            for place in (self.target, *stale):
                files.remove(place)
        with ExitStack() as named:
            for sink in self._further:
                sink.commit()
                named.callback(files.remove, sink.target)
            super().commit()
            named.pop_all()

    def keep(self) -> None:
        """See Sink."""
        for sink in self._further:
            sink.keep()
        super().keep()

    def discard(self) -> None:
        """See Sink."""
        for sink in self._further:
            sink.discard()
        super().discard()
