"""A repository: chunks, restore points, and what says how they are kept."""

import hashlib
from collections.abc import Set
from dataclasses import dataclass
from importlib import resources
from typing import Any

from analyzer.backup.errors import DamagedObjectError, MissingObjectError, NoSuchPointError
from analyzer.backup.repository.chunks import ChunkStore
from analyzer.backup.repository.codec import Codec
from analyzer.backup.repository.index import BadIndexError, Index, parse_index
from analyzer.backup.repository.manifest import BadDocumentError, Manifest, build_manifest, is_name, parse_manifest
from analyzer.backup.storage.local import LocalPlace
from analyzer.backup.storage.storage import Place

SETTINGS = "repository.json"
POINTS = "points"
PLAIN, ENCRYPTED = "plain", "aes-256-gcm"
LEAFLETS = {"README.md": "readme.md", "restore.py": "restore.py"}
"""Objects that every repository carries, and what they are called in the package."""
_SEALED_README = "readme-encrypted.md"
SMALLEST_CHUNK, USUAL_CHUNK, LARGEST_CHUNK = 64 << 10, 1 << 20, 16 << 20
# Chunks of a disk, unless they would have to be larger than LARGEST_CHUNK: an index of 40 MiB.
_USUAL_MOST = 1 << 20
# Chunks of a disk, whatever was asked for: 160 MiB of index, and 64 TiB in the largest chunks.
_MOST = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a repository is kept. What a codec needs to be opened again is in `codec`."""

    mode: str = PLAIN
    chunk_size: int | None = None
    """Bytes; None: by the size of the disk."""
    codec: dict[str, Any] | None = None
    leaflets: dict[str, str] | None = None
    """The SHA-256 of README.md and restore.py as they were written."""


@dataclass(frozen=True, slots=True)
class Repository:
    """An open repository."""

    place: Place
    codec: Codec
    settings: Settings

    def chunks(self, beware: Set[bytes] = frozenset()) -> ChunkStore:
        """The chunk store, for one run; see there of what to beware."""
        return ChunkStore(self.place, self.codec, beware)

    def chunk_size_for(self, size: int) -> int:
        """Bytes of a chunk of a new disk: more for a larger disk, so that its index stays small."""
        chunk = self.settings.chunk_size or USUAL_CHUNK
        most = _MOST if self.settings.chunk_size else _USUAL_MOST
        while chunk < LARGEST_CHUNK and size > chunk * most:
            chunk *= 2
        return chunk

    def names(self) -> list[str]:
        """The names of all restore points, sorted."""
        found = (entry.name.removeprefix(f"{POINTS}/") for entry in self.place.list(POINTS))
        return sorted(name[:-5] for name in found if name.endswith(".json") and is_name(name[:-5]))

    def has(self, name: str) -> bool:
        """Whether there is a restore point of that name."""
        return self.place.size(manifest_object(name)) is not None

    def manifest(self, name: str) -> Manifest:
        """What is known of a restore point; raises NoSuchPointError, DamagedObjectError."""
        stored_as = manifest_object(name)
        if not is_name(name):
            raise NoSuchPointError(self.place.url, name)
        try:
            manifest = parse_manifest(self.codec.open(stored_as, self.place.read(stored_as)))
        except MissingObjectError:
            raise NoSuchPointError(self.place.url, name) from None
        except BadDocumentError as error:
            raise DamagedObjectError(self.place.url, stored_as, str(error)) from error
        if manifest.name != name:
            raise DamagedObjectError(self.place.url, stored_as, "it is the manifest of another restore point")
        return manifest

    def survey(self) -> tuple[list[Manifest], dict[str, str]]:
        """The manifests that can be read, oldest first, and of each point whose manifest cannot: why not."""
        good, damaged = list[Manifest](), dict[str, str]()
        for name in self.names():
            try:
                good.append(self.manifest(name))
            except DamagedObjectError as error:
                damaged[name] = error.reason
            except NoSuchPointError:  # somebody else has just given it up
                continue
        return sorted(good, key=lambda manifest: (manifest.created, manifest.layer)), damaged

    def index(self, manifest: Manifest) -> Index:
        """The index of a restore point; raises MissingObjectError, DamagedObjectError."""
        stored_as = index_object(manifest.name)
        try:
            index = parse_index(self.index_document(manifest.name, manifest.index_sha256))
        except BadIndexError as error:
            raise DamagedObjectError(self.place.url, stored_as, str(error)) from error
        if (index.size, index.chunk_size) != (manifest.size, manifest.chunk_size or index.chunk_size):
            raise DamagedObjectError(self.place.url, stored_as, "it is of another disk than the manifest says")
        return index

    def index_document(self, name: str, sha256: str | None) -> bytes | bytearray:
        """The .caibx of a restore point, as it was written; raises MissingObjectError, DamagedObjectError.

        `sha256` is the manifest's; None for a point that has none yet.
        """
        stored_as = index_object(name)
        document: bytes | bytearray
        if isinstance(self.place, LocalPlace) and self.settings.mode == PLAIN:
            document = self.place.read_writable(stored_as)  # nobody else has it: it can be changed where it is
        else:
            document = self.codec.open(stored_as, self.place.read(stored_as))
        if sha256 is not None and hashlib.sha256(document).hexdigest() != sha256:
            raise DamagedObjectError(self.place.url, stored_as, "its SHA-256 is not the one that the manifest has")
        return document

    def write_index(self, name: str, document: bytearray) -> str:
        """Store an index, a .caibx; returns its SHA-256."""
        stored_as = index_object(name)
        self.place.write(stored_as, self.codec.seal(stored_as, document))
        return hashlib.sha256(document).hexdigest()

    def write_manifest(self, manifest: Manifest) -> None:
        """Store a manifest: from now on the restore point exists."""
        stored_as = manifest_object(manifest.name)
        self.place.write(stored_as, self.codec.seal(stored_as, build_manifest(manifest)))

    def remove(self, name: str) -> None:
        """Delete a restore point: the manifest first, from then on it does not exist; the index second."""
        self.place.delete(manifest_object(name))
        self.place.delete(index_object(name))


def index_object(name: str) -> str:
    """The name of an index's object."""
    return f"{POINTS}/{name}.caibx"


def manifest_object(name: str) -> str:
    """The name of a manifest's object."""
    return f"{POINTS}/{name}.json"


def leaflet(name: str, mode: str) -> bytes:
    """The content of README.md or restore.py, as a repository that is kept in this way carries it."""
    asset = _SEALED_README if mode != PLAIN and name == "README.md" else LEAFLETS[name]
    return (resources.files("analyzer.backup") / "assets" / asset).read_bytes()
