"""How the content of a chunk becomes an object, and back; the plain way is casync's."""

import hashlib
import threading
from typing import TYPE_CHECKING, Protocol

from analyzer.backup.errors import BadChunkError
from analyzer.backup.storage.storage import Data
from analyzer.text import plural

if TYPE_CHECKING:
    from zstandard import ZstdCompressor

ID_SIZE = 32
LEVEL = 1
"""Of zstd: the quickest of its usual levels. On noise, which is all that it was measured on, levels are alike."""
LARGEST = 128 << 20
"""Bytes of the largest chunk that casync reads: no frame is unpacked to more."""


class Codec(Protocol):
    """All calls from any thread."""

    def id_of(self, data: Data) -> bytes:
        """The 32 bytes that a chunk's content is known by."""
        ...

    def pack(self, data: Data) -> bytes:
        """The object that holds a chunk."""
        ...

    def unpack(self, packed: bytes, chunk_id: bytes) -> bytes:
        """The content; raises BadChunkError unless it is what `chunk_id` stands for."""
        ...

    def seal(self, name: str, document: Data) -> Data:
        """What is stored of an index or a manifest, whose object is called `name`."""
        ...

    def open(self, name: str, stored: bytes) -> bytes:
        """The document that was sealed; raises DamagedObjectError when it was not, or under another name."""
        ...


class PlainCodec:
    """SHA-256 of the content; one zstd frame; documents as they are.

    SHA-256 and not SHA-512/256, which `casync make` writes: casync reads both, Python's standard library has it always
    (restore.py needs it), and processors have instructions for it: 1.8 GB/s against 1.0 where this was measured.
    """

    def __init__(self) -> None:
        """Nothing is loaded yet."""
        self._own = threading.local()

    def id_of(self, data: Data) -> bytes:
        """See Codec."""
        return hashlib.sha256(data).digest()

    def pack(self, data: Data) -> bytes:
        """See Codec."""
        packer = getattr(self._own, "packer", None) or self._new_packer()
        return bytes(packer.compress(data))

    def unpack(self, packed: bytes, chunk_id: bytes) -> bytes:
        """See Codec."""
        content = unpack_frame(packed, chunk_id)
        if self.id_of(content) != chunk_id:
            raise BadChunkError(chunk_id.hex(), "its content has another SHA-256")
        return content

    def seal(self, name: str, document: Data) -> Data:  # noqa: ARG002 - see Codec
        """See Codec: nothing is done, and casync can read it."""
        return document

    def open(self, name: str, stored: bytes) -> bytes:  # noqa: ARG002 - see Codec
        """See Codec."""
        return stored

    def _new_packer(self) -> "ZstdCompressor":
        import zstandard

        packer = self._own.packer = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True)
        return packer


def unpack_frame(packed: bytes, chunk_id: bytes) -> bytes:
    """The content of one zstd frame, of at most LARGEST bytes; raises BadChunkError."""
    import zstandard

    try:
        told = zstandard.frame_content_size(packed)
        if told > LARGEST:
            raise BadChunkError(chunk_id.hex(), f"it claims to hold {plural(told, 'byte')}")
        return bytes(zstandard.ZstdDecompressor().decompress(packed, max_output_size=LARGEST))
    except zstandard.ZstdError as error:
        raise BadChunkError(chunk_id.hex(), f"it is no whole zstd frame ({error})") from error


def require_zstandard() -> None:
    """Raise ZstandardMissingError when the package that packs chunks is not installed."""
    try:
        import zstandard  # noqa: F401
    except ImportError:
        from analyzer.backup.errors import ZstandardMissingError

        raise ZstandardMissingError from None
