"""Chunks and documents of an encrypted repository: AES-256-GCM, each tied to what it is called."""

import hmac
import os
from hashlib import sha256
from typing import Any

from analyzer.backup.errors import BadChunkError, DamagedObjectError
from analyzer.backup.repository.codec import PlainCodec, unpack_frame
from analyzer.backup.repository.keys import NONCE_SIZE, Keys, aes_gcm
from analyzer.backup.storage.errors import extra_module
from analyzer.backup.storage.storage import Data

MAGIC = b"VHDXAEAD"
"""What everything sealed begins with; a nonce and the AES-GCM of the content, its tag last, follow."""


class SealedCodec:
    """Keyed ids, zstd frames sealed under their id, documents sealed under the name of their object.

    An id is the HMAC-SHA-256 of the content: whoever has no key cannot tell from it which known content is there. The
    nonces are random, so one repository should not seal more than 2^32 objects: 4 PiB in chunks of 1 MiB.
    """

    def __init__(self, url: str, keys: Keys) -> None:
        """`url` is for messages; raises MissingExtraError."""
        self._url, self._ids, self._plain = url, keys.ids, PlainCodec()
        self._chunks, self._objects = aes_gcm(keys.chunks), aes_gcm(keys.objects)
        self._invalid = extra_module("cryptography.exceptions", "an encrypted repository", "encryption").InvalidTag

    def id_of(self, data: Data) -> bytes:
        """See Codec."""
        return hmac.digest(self._ids, data, sha256().name)

    def pack(self, data: Data) -> bytes:
        """See Codec."""
        nonce = os.urandom(NONCE_SIZE)
        return MAGIC + nonce + bytes(self._chunks.encrypt(nonce, self._plain.pack(data), self.id_of(data)))

    def unpack(self, packed: bytes, chunk_id: bytes) -> bytes:
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

    def open(self, name: str, stored: bytes) -> bytes:
        """See Codec."""
        try:
            return self._unseal(self._objects, stored, name.encode())
        except self._invalid:
            reason = "it is not what was sealed under this name with this repository's key"
            raise DamagedObjectError(self._url, name, reason) from None

    def _unseal(self, cipher: Any, stored: bytes, name: bytes) -> bytes:  # noqa: ANN401 - of a library that may be absent
        view = memoryview(stored)
        if not stored.startswith(MAGIC) or len(stored) < len(MAGIC) + NONCE_SIZE:
            raise self._invalid
        nonce, sealed = view[len(MAGIC) :][:NONCE_SIZE], view[len(MAGIC) + NONCE_SIZE :]
        return bytes(cipher.decrypt(nonce, sealed, name))
