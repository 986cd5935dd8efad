"""A file, a chain, and what is inside the disk: all of their findings, errors alone, or those of one file.

A chain is walked link by link: every layer by itself, every link, and what the files say of one another.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from analyzer.check.files import FileCache
from analyzer.check.result import Checked
from analyzer.linkage.mismatch import Evidence, Verdict, gather_evidence
from analyzer.linkage.own_sectors import Effort
from analyzer.linkage.record import FileRecord, compare_with_parent, with_structures
from vhdx import compiling
from vhdx.chain import Chain, Growth
from vhdx.contents import is_vhd_file
from vhdx.errors import (
    ChainError,
    ChainLoopError,
    ChainTooDeepError,
    CorruptFileError,
    ParentMismatchError,
    ParentNotFoundError,
    SectorSizeMismatchError,
    VhdxError,
    located,
)
from vhdx.findings import Finding, Severity
from vhdx.image import Image, open_image
from vhdx.parents import Link, OnMismatch, Search, find_parent
from vhdx.source import close_source

_CODES: dict[type[VhdxError], str] = {
    ParentNotFoundError: "CHN-01",
    ParentMismatchError: "CHN-02",
    ChainLoopError: "CHN-03",
    ChainTooDeepError: "CHN-04",
    SectorSizeMismatchError: "CHN-05",
}
_SECTION = "2.6.2.6"
# Layers whose tables together repay what loading a compiler costs.
_MANY = 32
# Seconds by which times of files may differ and say nothing: what FAT counts in.
_CLOCKS_DIFFER = 2.0


@dataclass
class Walk:
    """From a leaf towards its base: what was opened on the way, and what was found."""

    search: Search
    cache: FileCache
    opened: ExitStack
    layers: list[Image] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    broken: bool = False
    """Something keeps the layers from being read as one disk."""
    _growth: Growth = field(init=False)

    def findings(self, leaf: Path) -> Iterator[Finding]:
        """Everything about the files and links from `leaf` down, as far as they lead."""
        self.files.append(leaf)
        yield from self.cache.findings(leaf)
        try:
            self._take(open_image(leaf, opened=self.cache.structures))
        except VhdxError:
            self.broken = True  # said by the file's own findings
        else:
            self._growth = Growth(self.layers[0])
        while self.layers and not self.broken and self.layers[-1].has_parent:
            yield from self._descend()

    def _take(self, image: Image) -> None:
        if len(self.layers) == _MANY:
            compiling.load()
        self.opened.callback(image.close)
        self.layers.append(image)

    def _descend(self) -> Iterator[Finding]:
        child, refused = self.layers[-1], None
        try:
            try:
                link = self._link(child, self.search.on_mismatch)
            except ParentMismatchError as error:
                refused = error
                # The file at the parent's place is taken all the same, for what it says of the link.
                link = self._link(child, OnMismatch.ACCEPT)
        except VhdxError as error:
            yield from [_mismatch(refused, None)] if refused else ()
            yield from self._refuse(error, child)
            return
        if not link.matches:
            mismatch = ParentMismatchError(child.path, link.parent.path, link.wanted, link.parent.data_write_guid)
            above = reversed(self.layers[:-1])
            finding = _mismatch(mismatch, gather_evidence(child, link.parent, above=above, effort=Effort.WHOLE))
            yield finding if refused else replace(finding, severity=Severity.WARNING)
        yield from self._follow(child, link)

    def _refuse(self, error: VhdxError, child: Image) -> Iterator[Finding]:
        """What keeps the parent of `child` from being opened; a parent that is there and damaged says so itself."""
        self.broken = True
        if isinstance(error, CorruptFileError) and error.path != child.path:
            self.files.append(error.path)
            yield from self.cache.findings(error.path)
        else:
            where = getattr(error, "child", child.path)
            yield Finding(
                _CODES.get(type(error), "CHN-01"), Severity.ERROR, str(error), None, None, _SECTION, path=where
            )

    def _link(self, child: Image, on_mismatch: OnMismatch) -> Link:
        search = replace(self.search, on_mismatch=on_mismatch, opened=self.cache.structures)
        return find_parent(child, search, next(iter(self.search.parents[len(self.links) :]), None))

    def _follow(self, child: Image, link: Link) -> Iterator[Finding]:
        self.links.append(link)
        self._take(link.parent)
        self.files.append(link.parent.path)
        try:
            self._growth.take(link.parent)
        except ChainLoopError as error:  # the file was looked at when it was met first
            yield from self._refuse(error, child)
            return
        except ChainError as error:
            yield from self._refuse(error, child)
        yield from self.cache.findings(link.parent.path)
        yield from compare_with_parent(_record(child), _record(link.parent), fits=link.matches, slack=_CLOCKS_DIFFER)


def _mismatch(error: ParentMismatchError, evidence: Evidence | None) -> Finding:
    wanted = " or ".join(map(str, error.wanted)) or "an identity that cannot be read"
    text = f"the parent {error.parent} has the identity {error.found}; the child was made from {wanted}"
    start, length = evidence.doubtful[0] if evidence and evidence.doubtful else (None, None)
    return Finding(
        "CHN-02",
        Severity.WARNING if evidence and evidence.verdict is Verdict.SAFE else Severity.ERROR,
        f"{text}; {evidence}" if evidence else text,
        section=_SECTION,
        path=error.child,
        expected=wanted,
        found=str(error.found),
        disk_start=start,
        disk_length=length,
    )


def _record(image: Image) -> FileRecord:
    try:
        modified = image.path.stat().st_mtime
    except OSError:
        modified = float("nan")  # neither before nor after any other
    return with_structures(FileRecord(path=image.path, modified=modified), image.structures)


class Content(Enum):
    """Whether to look at what is inside the disk."""

    SKIP = "skip"
    LOOK = "look"


def check_file(path: Path | str, *, content: Content = Content.SKIP, cache: FileCache | None = None) -> Checked:
    """Everything about one file; never raises for what is in it, or is not.

    The content of a differencing file can be looked at with its parents alone, by `check_chain`.
    """
    where = Path(path)
    with ExitStack() as opened:
        cache = cache or opened.enter_context(FileCache())
        if _is_vhd(where, cache):
            return _check_vhd(where, None, cache)
        found = cache.findings(where)
        if content is Content.LOOK:
            try:
                with open_image(where, opened=cache.structures) as image:
                    found += () if image.has_parent else _content_findings(image)
            except VhdxError:  # the file's own findings say why
                found += _front_findings(cache, where)
    return Checked(where, found, (where,))


def _content_findings(disk: Image | Chain) -> tuple[Finding, ...]:
    # The layouts of file systems: only for who asks for what is inside.
    from analyzer.check.content import check_content

    return tuple(check_content(disk))


def _front_findings(cache: FileCache, path: Path) -> tuple[Finding, ...]:
    """What is to be said of the content of a file that does not open as an image."""
    from analyzer.check.content import check_front

    with suppress(VhdxError), ExitStack() as opened:
        file = cache.structures(path).file
        opened.callback(close_source, file)
        return tuple(check_front(file))
    return ()


def check_chain(
    leaf: Path | str, *, search: Search | None = None, content: Content = Content.SKIP, cache: FileCache | None = None
) -> Checked:
    """Everything about a leaf, its parents down to the base, and their links; never raises for what is in them.

    What chains that are checked with the same `cache` share is opened and looked at once.
    """
    where = Path(leaf)
    with ExitStack() as opened:
        cache = cache or opened.enter_context(FileCache())
        if _is_vhd(where, cache):
            return _check_vhd(where, search or Search(), cache)
        walk = Walk(search or Search(), cache, opened)
        found = tuple(walk.findings(where))
        if content is Content.LOOK and walk.layers and not walk.broken:
            found += _content_findings(Chain(tuple(walk.layers[::-1]), tuple(walk.links[::-1])))
        elif content is Content.LOOK and not walk.layers:
            found += _front_findings(walk.cache, where)
    return Checked(where, found, tuple(walk.files))


def _is_vhd(path: Path, cache: FileCache) -> bool:
    with suppress(VhdxError), closing(cache.structures(path)) as structures:
        return is_vhd_file(structures.file)
    return False


def _check_vhd(leaf: Path, search: Search | None, cache: FileCache) -> Checked:
    """Everything about a VHD of version 1; where there is a search, about its parents too."""
    from analyzer.check.vhd import VhdWalk

    with ExitStack() as opened:
        walk = VhdWalk(search or Search(), cache.maps, opened)
        found = list(walk.findings(leaf))
        if search and walk.layers:
            found += walk.findings_below()
        files = tuple(layer.path for layer in walk.layers) or (leaf,)
        return Checked(leaf, tuple(located(leaf, dict.fromkeys(found))), files)
