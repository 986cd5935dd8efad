"""How the content of a chunk or a document becomes an object, and back: plainly, as casync does it, or sealed."""

import hashlib
import hmac
import os
import threading
from typing import Any

from analyzer.backup.errors import BadChunkError, DamagedObjectError
from analyzer.backup.repository.keys import NONCE_SIZE, Keys, aes_gcm
from analyzer.backup.storage.storage import Data, Stored, extra_module
from analyzer.text import plural

ID_SIZE = 32
LARGEST = 128 << 20
"""Bytes of the largest chunk that casync reads: no frame is unpacked to more."""
MAGIC = b"VHDXAEAD"
"""What everything sealed begins with; a nonce and the AES-GCM of the content, its tag last, follow."""


class Codec:
    """The plain one: SHA-256 of the content; one zstd frame; documents as they are. All calls from any thread.

    SHA-256 and not SHA-512/256, which `casync make` writes: casync reads both, Python's standard library has it always
    (restore.py needs it), and processors have instructions for it: 1.8 GB/s against 1.0 where this was measured.
    """

    def __init__(self) -> None:
        """Nothing is loaded yet."""
        self._own = threading.local()

    def id_of(self, data: Data) -> bytes:
        """The 32 bytes that a chunk's content is known by."""
        return hashlib.sha256(data).digest()

    def pack(self, data: Data) -> bytes:
        """The object that holds a chunk."""
        import zstandard

        packer = getattr(self._own, "packer", None)
        if packer is None:
            # The quickest of its usual levels. On noise, which is all that it was measured on, levels are alike.
            packer = self._own.packer = zstandard.ZstdCompressor(level=1, write_content_size=True)
        return bytes(packer.compress(data))

    def unpack(self, packed: Stored, chunk_id: bytes) -> bytes:
        """The content; raises BadChunkError unless it is what `chunk_id` names."""
        content = unpack_frame(packed, chunk_id)
        if self.id_of(content) != chunk_id:
            raise BadChunkError(chunk_id.hex(), "its content has another SHA-256")
        return content

    def seal(self, name: str, document: Data) -> Data:  # noqa: ARG002 - see SealedCodec
        """The object that holds an index or a manifest, called `name`: plainly itself, so that casync can read it."""
        return document

    def open(self, name: str, stored: Stored) -> Stored:  # noqa: ARG002 - see SealedCodec
        """The document that was sealed; raises DamagedObjectError when it was not, or under another name."""
        return stored


class SealedCodec(Codec):
    """Keyed ids, zstd frames sealed under their id, documents sealed under the name of their object.

    An id is the HMAC-SHA-256 of the content: without the key it does not show which known content is there. The
    nonces are random, so one repository should not seal more than 2^32 objects: 4 PiB in chunks of 1 MiB.
    """

    def __init__(self, url: str, keys: Keys) -> None:
        """`url` is for messages; raises MissingExtraError."""
        super().__init__()
        self.keys = keys
        self._url, self._ids = url, keys.ids
        self._chunks, self._objects = aes_gcm(keys.chunks), aes_gcm(keys.objects)
        self._invalid = extra_module("cryptography.exceptions", "an encrypted repository", "encryption").InvalidTag

    def id_of(self, data: Data) -> bytes:
        """See Codec."""
        return hmac.digest(self._ids, data, "sha256")

    def pack(self, data: Data) -> bytes:
        """See Codec."""
        nonce = os.urandom(NONCE_SIZE)
        return MAGIC + nonce + bytes(self._chunks.encrypt(nonce, super().pack(data), self.id_of(data)))

    def unpack(self, packed: Stored, chunk_id: bytes) -> bytes:
        """See Codec."""
        try:
            frame = self._unseal(self._chunks, packed, chunk_id)
        except self._invalid:
            raise BadChunkError(chunk_id.hex(), "it is not what was sealed under this id with this key") from None
        content = unpack_frame(frame, chunk_id)
        if not hmac.compare_digest(self.id_of(content), chunk_id):
            raise BadChunkError(chunk_id.hex(), "its content has another id")
        return content

    def seal(self, name: str, document: Data) -> bytes:
        """See Codec."""
        nonce = os.urandom(NONCE_SIZE)
        return MAGIC + nonce + bytes(self._objects.encrypt(nonce, document, name.encode()))

    def open(self, name: str, stored: Stored) -> bytes:
        """See Codec."""
        try:
            return self._unseal(self._objects, stored, name.encode())
        except self._invalid:
            reason = "it is not what was sealed under this name with this repository's key"
            raise DamagedObjectError(self._url, name, reason) from None

    def _unseal(self, cipher: Any, stored: Stored, name: bytes) -> bytes:  # noqa: ANN401 - of a library that may be absent
        view = memoryview(stored)
        if not stored.startswith(MAGIC) or len(stored) < len(MAGIC) + NONCE_SIZE:
            raise self._invalid
        nonce, sealed = view[len(MAGIC) :][:NONCE_SIZE], view[len(MAGIC) + NONCE_SIZE :]
        return bytes(cipher.decrypt(nonce, sealed, name))


def unpack_frame(packed: Stored, chunk_id: bytes) -> bytes:
    """The content of one zstd frame, of at most LARGEST bytes; raises BadChunkError."""
    import zstandard

    try:
        claimed = zstandard.frame_content_size(packed)
        if claimed > LARGEST:
            raise BadChunkError(chunk_id.hex(), f"it claims to hold {plural(claimed, 'byte')}")
        return bytes(zstandard.ZstdDecompressor().decompress(packed, max_output_size=LARGEST))
    except zstandard.ZstdError as error:
        raise BadChunkError(chunk_id.hex(), f"it is no whole zstd frame ({error})") from error
