"""Packing and unpacking. zstd comes from a package that need not be there."""

import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from vhdx.errors import OutputError

if TYPE_CHECKING:
    from zstandard import ZstdCompressor

_ZLIB_LEVEL = 6


class UndecodableError(Exception):
    """Packed bytes do not come out as so many as were packed; never leaves the reader of an image."""


def raw_deflate(data: bytes, window_bits: int) -> bytes:
    """A deflate stream without header and checksum."""
    packer = zlib.compressobj(_ZLIB_LEVEL, zlib.DEFLATED, -window_bits, 9)
    return packer.compress(data) + packer.flush()


def inflate(data: bytes, window_bits: int, length: int) -> bytes:
    """What was packed, `length` bytes of it; bytes behind its end do not matter. Negative bits: a raw stream."""
    try:
        content = zlib.decompressobj(window_bits).decompress(data, length)
    except zlib.error as error:
        raise UndecodableError(str(error)) from error
    if len(content) != length:
        raise UndecodableError(f"{len(content)} bytes instead of {length}")
    return content


def require_zstd(target: Path) -> None:
    """Raise OutputError when the package that packs zstd is not installed."""
    try:
        import zstandard  # noqa: F401
    except ImportError:
        reason = "zstd needs the package zstandard, which is not installed"
        raise OutputError(target, reason, "pip install 'vhdx[zstd]', or choose another compression") from None


class Zstd:
    """zstd frames, each by itself. Its contexts are not to be shared, so every thread gets its own."""

    def __init__(self) -> None:
        """Nothing is loaded yet."""
        self._own = threading.local()

    def pack(self, data: bytes) -> bytes:
        """One frame, which tells its length."""
        packer = getattr(self._own, "packer", None) or self._new_packer()
        return bytes(packer.compress(data))

    def unpack(self, data: bytes, length: int) -> bytes:
        """The content of one frame; bytes behind it do not matter. Raises UndecodableError."""
        import zstandard

        try:
            content = zstandard.ZstdDecompressor().decompressobj().decompress(data)
        except zstandard.ZstdError as error:
            raise UndecodableError(str(error)) from error
        if len(content) != length:
            raise UndecodableError(f"{len(content)} bytes instead of {length}")
        return bytes(content)

    def _new_packer(self) -> "ZstdCompressor":
        import zstandard

        packer = self._own.packer = zstandard.ZstdCompressor()
        return packer
