"""Packing and unpacking. zstd, and a quicker deflate, come from packages that need not be there."""

import threading
import zlib
from functools import cached_property, lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from analyzer.text import adding_extra
from vhdx.errors import OutputError

if TYPE_CHECKING:
    from zstandard import ZstdCompressor


# By zlib's level, ISA-L's that packs about as tightly, some ten times as fast; it has nothing for the highest.
_ISAL_LEVELS = {1: 1, 6: 2}


class UndecodableError(Exception):
    """Packed bytes do not come out as so many as were packed; never leaves the reader of an image."""


def deflate(data: bytes | memoryview, window_bits: int, level: int = 6) -> bytes:
    """A deflate stream; negative bits: without header and checksum. By ISA-L where the package isal is installed.

    Levels are zlib's: 1 is what EnCase calls fast, 6 is zlib's own default and qemu-img's, 9 is its best.
    """
    isal = _isal()
    if isal is not None and level in _ISAL_LEVELS:
        return bytes(isal.compress(data, _ISAL_LEVELS[level], window_bits))
    return zlib.compress(data, level, window_bits)


def inflate(data: bytes, window_bits: int, length: int) -> bytes:
    """What was packed, `length` bytes of it; bytes behind its end do not matter. Negative bits: a raw stream."""
    library: ModuleType = _isal() or zlib
    try:
        content = library.decompressobj(window_bits).decompress(data, length)
    except library.error as error:
        raise UndecodableError(str(error)) from error
    return _of_length(content, length)


@lru_cache(maxsize=1)
def _isal() -> ModuleType | None:
    """ISA-L, if it is installed."""
    try:
        return import_module("isal.isal_zlib")
    except ImportError:
        return None


def require_zstd(target: Path) -> None:
    """Raise OutputError when the package that packs zstd is not installed."""
    try:
        import zstandard  # noqa: F401
    except ImportError:
        reason = "zstd needs the package zstandard, which is not installed"
        raise OutputError(target, reason, f"{adding_extra('zstd')}, or choose another compression") from None


class Zstd(threading.local):
    """zstd frames, each by itself. Its contexts are not to be shared, so every thread has its own."""

    def pack(self, data: bytes) -> bytes:
        """One frame, which has its length."""
        return bytes(self._packer.compress(data))

    def unpack(self, data: bytes, length: int) -> bytes:
        """The content of one frame; bytes behind it do not matter. Raises UndecodableError."""
        import zstandard

        try:
            content = zstandard.ZstdDecompressor().decompressobj().decompress(data)
        except zstandard.ZstdError as error:
            raise UndecodableError(str(error)) from error
        return _of_length(content, length)

    @cached_property
    def _packer(self) -> "ZstdCompressor":
        import zstandard

        return zstandard.ZstdCompressor()


def _of_length(content: bytes, length: int) -> bytes:
    if len(content) != length:
        raise UndecodableError(f"{len(content)} bytes instead of {length}")
    return bytes(content)
