"""A tar archive of files, in the PAX format: links, modes, owners, times, extended attributes and names as they are.

Holes are kept in the form that GNU tar, bsdtar and Python read (GNU.sparse 1.0). Attributes are kept as Schilling's tar
names them, which GNU tar and bsdtar restore.
"""

import stat
import struct
import tarfile
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from types import TracebackType
from typing import IO, Self, cast

from analyzer.guest.extract.model import Kept
from analyzer.guest.extract.names import FaithfulNames, Names, is_no_byte
from analyzer.guest.extract.target import KeepingDestination, Parts, Pieces, not_zero
from analyzer.guest.filesystems.content import Piece
from analyzer.guest.filesystems.errors import UnreadableFileError
from analyzer.guest.filesystems.record import FileKind, Times
from vhdx.errors import VhdxError
from vhdx.ranges import Range
from vhdx.sink import Sink

# A file of that much is held while it is known not yet whether all of it can be read; larger ones are read twice.
_MOST_HELD = 16 << 20
# Shorter holes are written as zeros, and files with less in holes as a whole: the list of what is there takes room too.
_LEAST_HOLE = 64 << 10
_BUFFER, _ZEROS, _RECORD = 1 << 20, bytes(1 << 20), 512
_SECOND = 1_000_000_000
_ACL_TEXTS = {"system.posix_acl_access": "SCHILY.acl.access", "system.posix_acl_default": "SCHILY.acl.default"}
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_TAGS = {0x01: "user:", 0x02: "user:", 0x04: "group:", 0x08: "group:", 0x10: "mask:", 0x20: "other:"}
_WITH_ID = {0x02, 0x08}
_TYPES = {stat.S_IFIFO: tarfile.FIFOTYPE, stat.S_IFCHR: tarfile.CHRTYPE, stat.S_IFBLK: tarfile.BLKTYPE}


class TarArchive:
    """See Destination. Use it in a `with` statement: after an error the archive has no end, and is not whole."""

    names: type[Names] = FaithfulNames

    @property
    def keeping(self) -> KeepingDestination:
        """See Destination."""
        return self

    def __init__(self, write: Callable[[bytes], object]) -> None:
        """`write` takes the archive from its beginning on."""
        self.attributes_refused = list[str]()
        self._written = _Written(write)
        self._tar = tarfile.open(  # noqa: SIM115 - closed by __exit__
            fileobj=cast("IO[bytes]", self._written), mode="w|", bufsize=_BUFFER,
            format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape",
        )  # fmt: skip

    def __enter__(self) -> Self:
        """The archive itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        """End the archive; after an error nothing more is written."""
        if kind is not None:
            self._written.write = len  # the library writes what it holds, whenever it ends
        self._tar.close()

    def make_folder(self, parts: Parts, kept: Kept) -> None:
        """See Destination."""
        self._tar.addfile(self._info(parts, kept, tarfile.DIRTYPE))

    def finish_folder(self, parts: Parts, kept: Kept) -> None:
        """Who unpacks does that."""

    def make_link(self, parts: Parts, kept: Kept) -> bool:
        """See Destination."""
        info = self._info(parts, kept, tarfile.SYMTYPE)
        info.linkname, info.mode = _as_bytes(kept.record.target or ""), 0o777
        self._tar.addfile(info)
        return True

    def make_special(self, parts: Parts, kept: Kept) -> bool:
        """Make a pipe or a device; a socket has no form in an archive."""
        kind = _TYPES.get(kept.type)
        if kind is None or kept.details is None:
            return False
        info = self._info(parts, kept, kind)
        info.devmajor, info.devminor = kept.details.device
        self._tar.addfile(info)
        return True

    def make_hard_link(self, parts: Parts, earlier: Parts, kept: Kept) -> None:
        """See Destination."""
        info = self._info(parts, kept, tarfile.LNKTYPE)
        info.linkname = "/".join(earlier)
        self._tar.addfile(info)

    def write(self, parts: Parts, size: int, pieces: Pieces, kept: Kept) -> None:
        """See Destination; raises what `pieces` raises, and then nothing of the file is in the archive.

        UnreadableFileError is also raised for one that can be read once and not twice: it is there, its end as zeros.
        """
        held = _Held(pieces)
        info = self._info(parts, kept, tarfile.REGTYPE)
        extents, head = [Range(0, size)] if size else [], b""
        if sum(extent.length for extent in held.extents) + _LEAST_HOLE < size:
            extents, head = held.extents, _as_sparse(info, held.extents, size)
        info.size = len(head) + sum(extent.length for extent in extents)
        feed = _Feed(chain([head], _stored(held.again(), extents)))
        self._tar.addfile(info, cast("IO[bytes]", feed))
        if feed.error:
            reason = "it could not be read a second time; in the archive it is cut, with zeros at its end"
            raise UnreadableFileError(kept.record.path, reason) from feed.error

    def _info(self, parts: Parts, kept: Kept, kind: bytes) -> tarfile.TarInfo:
        info = tarfile.TarInfo("/".join(parts))
        info.type, info.mode, (info.uid, info.gid) = kind, kept.mode, kept.owner
        info.pax_headers = dict(_times(kept.record.times)) | dict(self._attributes(kept))
        info.mtime = max(0, (kept.record.times.modified or 0) // _SECOND)
        return info

    def _attributes(self, kept: Kept) -> Iterator[tuple[str, str]]:
        if kept.record.kind is FileKind.LINK:
            return
        for name, value in kept.attributes:
            if name in _ACL_TEXTS:
                yield _ACL_TEXTS[name], _acl_text(value)
            elif any("\ud800" <= letter <= "\udfff" for letter in name):
                self.attributes_refused.append(f"{name!a}: its name is not UTF-8")
            else:  # as GNU tar has names of them: an equals sign ends one
                key = name.replace("%", "%25").replace("=", "%3D")
                yield f"SCHILY.xattr.{key}", value.decode("utf-8", "surrogateescape")


def _as_bytes(path: str) -> str:
    """A path whose every surrogate stands for a byte, as an archive can have it."""
    has_others = any(map(is_no_byte, path))
    return path.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape") if has_others else path


def appender(sink: Sink) -> Callable[[bytes], object]:
    """What puts bytes behind those that are in an output."""
    return lambda data: sink.write_at(sink.size, data)


class _Written:
    """What `tarfile` writes to."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write


class _Held:
    """The content of a file, looked through once: in memory where it is not large, else read anew."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces, self.extents = pieces, list[Range]()
        """The parts of it that are not zeros, with short holes."""
        held: list[Piece] | None = []
        total = 0
        for piece in pieces():
            for at, data in not_zero(piece.data):
                total += len(data)
                self._add(Range(piece.offset + at, len(data)))
                if held is not None:
                    held.append(Piece(piece.offset + at, data))
            if total > _MOST_HELD:
                held = None
        self._held = held

    def again(self) -> Iterator[Piece]:
        return iter(self._held) if self._held is not None else self._pieces()

    def _add(self, part: Range) -> None:
        if self.extents and part.start - self.extents[-1].end < _LEAST_HOLE:
            part = Range.between(self.extents.pop().start, part.end)
        self.extents.append(part)


def _stored(pieces: Iterable[Piece], extents: Iterable[Range]) -> Iterator[bytes]:
    """The bytes of these parts of a file, zeros where no piece is."""
    following = iter(pieces)
    piece = next(following, None)
    for extent in extents:
        at = extent.start
        while at < extent.end:
            while piece is not None and piece.offset + len(piece.data) <= at:
                piece = next(following, None)
            begins = extent.end if piece is None else min(extent.end, max(at, piece.offset))
            if begins > at:
                data: bytes = _ZEROS[: begins - at]
            else:
                data = piece.data[at - piece.offset : extent.end - piece.offset] if piece else b""
            yield data
            at += len(data)


class _Feed:
    """Chunks of a file as `tarfile` reads them. What cannot be read becomes zeros, for the length is said already."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left = chunks, bytearray()
        self.error: VhdxError | None = None

    def read(self, count: int) -> bytes:
        try:
            while len(self._left) < count and (data := next(self._chunks, None)) is not None:
                self._left += data
        except VhdxError as error:
            self.error, self._chunks = error, iter(())
        if self.error:
            self._left += bytes(max(0, count - len(self._left)))
        data = bytes(self._left[:count])
        del self._left[:count]
        return data


def _as_sparse(info: tarfile.TarInfo, extents: list[Range], size: int) -> bytes:
    """Make an entry one with holes; returns the list of what is there, which comes before that."""
    folder, _, name = info.name.rpartition("/")
    info.pax_headers = {
        **info.pax_headers,
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": info.name,
        "GNU.sparse.realsize": str(size),
    }
    info.name = "/".join(filter(None, (folder, "GNUSparseFile.0", name)))  # for who does not know the form
    ends = [*extents, Range(size, 0)] if not extents or extents[-1].end < size else extents
    text = f"{len(ends)}\n" + "".join(f"{extent.start}\n{extent.length}\n" for extent in ends)
    return text.encode().ljust(-(-len(text) // _RECORD) * _RECORD, b"\0")


def _times(times: Times) -> Iterator[tuple[str, str]]:
    for name, moment in (("mtime", times.modified), ("atime", times.accessed), ("ctime", times.changed)):
        if moment is not None:
            sign, (seconds, fraction) = "-" if moment < 0 else "", divmod(abs(moment), _SECOND)
            yield name, f"{sign}{seconds}.{fraction:09}"


def _acl_text(value: bytes) -> str:
    """An ACL as text, numbers in place of names."""
    entries = (_ACL_ENTRY.unpack_from(value, at) for at in range(4, len(value) - _ACL_ENTRY.size + 1, _ACL_ENTRY.size))
    return ",".join(
        f"{_ACL_TAGS.get(tag, 'other:')}{who if tag in _WITH_ID else ''}:{_rights(rights)}"
        for tag, rights, who in entries
    )


def _rights(bits: int) -> str:
    return "".join(letter if bits & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1)))
