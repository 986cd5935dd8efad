"""A repository: chunks, restore points, and what says how they are kept; made and opened, plain or encrypted."""

import hashlib
import json
from collections.abc import Callable, Sequence, Set
from dataclasses import asdict, dataclass, replace
from importlib import resources
from typing import Any

from analyzer.backup.errors import (
    BadDocumentError,
    ChunkSizeError,
    DamagedObjectError,
    InitRefusedError,
    MissingObjectError,
    NoSuchPointError,
    NotRepositoryError,
)
from analyzer.backup.repository.chunks import ChunkStore
from analyzer.backup.repository.codec import Codec, SealedCodec
from analyzer.backup.repository.index import Index, parse_index
from analyzer.backup.repository.keys import Cost, KeySlot, WrongKeyError, new_key, parse_slots, unlock
from analyzer.backup.repository.manifest import (
    Manifest,
    build_document,
    build_manifest,
    parse_document,
    parse_manifest,
)
from analyzer.backup.repository.names import POINTS, index_object, is_name, manifest_object, name_in
from analyzer.backup.storage.local import LocalPlace
from analyzer.backup.storage.pace import Paced, unpaced
from analyzer.backup.storage.remote_folder import FolderPlace, Place
from analyzer.backup.storage.storage import Stored, extra_module
from analyzer.text import plural

FORMAT, VERSION = "vhdx-backup-repository", 1
SETTINGS = "repository.json"
PLAIN, ENCRYPTED = "plain", "aes-256-gcm"
LEAFLETS = {"README.md": "readme.md", "restore.py": "restore.py"}
"""Objects that every repository carries, and what they are called in the package."""
SMALLEST_CHUNK, LARGEST_CHUNK = 64 << 10, 16 << 20
FOLDER_CHUNK, SERVER_CHUNK = 256 << 10, 1 << 20
"""Of disks that are not large, where nothing else is asked for: each object costs a server a round trip."""
# Chunks of a disk, unless they would have to be larger than LARGEST_CHUNK: an index of 40 MiB.
_USUAL_MOST = 1 << 20
# Chunks of a disk, whatever was asked for: 160 MiB of index, and 64 TiB in the largest chunks.
_MOST = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a repository is kept. What a codec needs to be opened again is in `codec`."""

    mode: str = PLAIN
    chunk_size: int | None = None
    """Bytes; None: by the size of the disk, from `least_chunk` up."""
    least_chunk: int | None = None
    """Bytes; None in repositories that are older than this: 1 MiB."""
    codec: dict[str, Any] | None = None
    leaflets: dict[str, str] | None = None
    """The SHA-256 of README.md and restore.py as they were written."""


@dataclass(frozen=True, slots=True)
class Repository:
    """An open repository."""

    place: Place
    codec: Codec
    settings: Settings
    key: KeySlot | None = None
    """Of an encrypted one, the slot that the passphrase opened."""
    paced: Paced = unpaced

    def chunks(self, beware: Set[bytes] = frozenset()) -> ChunkStore:
        """The chunk store, for one run; see there of what to beware."""
        return ChunkStore(self.place, self.codec, beware, self.paced)

    def chunk_size_for(self, size: int) -> int:
        """Bytes of a chunk of a new disk: more for a larger disk, so that its index stays small."""
        chunk = self.settings.chunk_size or self.settings.least_chunk or SERVER_CHUNK
        most = _MOST if self.settings.chunk_size else _USUAL_MOST
        while chunk < LARGEST_CHUNK and size > chunk * most:
            chunk *= 2
        return chunk

    def names(self) -> list[str]:
        """The names of all restore points, sorted."""
        found = (entry.name.removeprefix(f"{POINTS}/") for entry in self.place.list(POINTS))
        return sorted(filter(None, (name_in(name[:-5]) for name in found if name.endswith(".json"))))

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
        index = self.stored_index(manifest.name, manifest.index_sha256)
        if (index.size, index.chunk_size) != (manifest.size, manifest.chunk_size or index.chunk_size):
            reason = "it is of another disk than the manifest says"
            raise DamagedObjectError(self.place.url, index_object(manifest.name), reason)
        return index

    def stored_index(self, name: str, sha256: str | None) -> Index:
        """The index of a restore point, as it was written; raises MissingObjectError, DamagedObjectError.

        `sha256` is the manifest's; None for a point that has none yet.
        """
        stored_as = index_object(name)
        document = self.codec.open(stored_as, self.place.read(stored_as))
        if sha256 is not None and hashlib.sha256(document).hexdigest() != sha256:
            raise DamagedObjectError(self.place.url, stored_as, "its SHA-256 is not the one that the manifest has")
        try:
            return parse_index(document)
        except BadDocumentError as error:
            raise DamagedObjectError(self.place.url, stored_as, str(error)) from error

    def write_index(self, name: str, document: Stored) -> str:
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


def leaflet(name: str, mode: str) -> bytes:
    """The content of README.md or restore.py, as a repository that is kept in this way carries it."""
    asset = "readme-encrypted.md" if mode != PLAIN and name == "README.md" else LEAFLETS[name]
    return (resources.files("analyzer.backup") / "assets" / asset).read_bytes()


def init_repository(place: Place, settings: Settings, codec: Codec) -> Repository:
    """Make a repository in a place that holds nothing; raises InitRefusedError, ChunkSizeError, PlaceError."""
    extra_module("zstandard", "a backup", "zstd")
    size = settings.chunk_size
    if size is not None and not _is_chunk_size(size):
        raise ChunkSizeError(place.url, f"no chunk has {size} bytes", "choose 64K, 128K ... 16M")
    if size is None:
        settings = replace(settings, least_chunk=FOLDER_CHUNK if isinstance(place, LocalPlace) else SERVER_CHUNK)
    leaflets = {name: leaflet(name, settings.mode) for name in LEAFLETS}
    settings = replace(settings, leaflets={name: hashlib.sha256(text).hexdigest() for name, text in leaflets.items()})
    _require_empty(place)
    if not place.create(SETTINGS, _document(settings)):
        raise InitRefusedError(place.url, "a repository is there already", "use it, or name another place")
    for name, text in leaflets.items():
        place.write(name, text)
    return Repository(place, codec, settings)


def init_encrypted(place: Place, chunk_size: int | None, passphrase: str, cost: Cost | None = None) -> Repository:
    """Make an encrypted repository; raises what `init_repository` does, MissingExtraError."""
    settings = Settings(mode=ENCRYPTED, chunk_size=chunk_size)
    slot, keys = new_key(passphrase, bound(settings), cost)
    return init_repository(place, with_slots(settings, [slot]), SealedCodec(place.url, keys))


def _document(settings: Settings) -> bytes:
    return build_document({"format": FORMAT, "version": VERSION} | asdict(settings))


def with_slots(settings: Settings, slots: Sequence[KeySlot]) -> Settings:
    """The settings with these keys."""
    return replace(settings, codec={"slots": [slot.to_plain() for slot in slots]})


def write_slots(repository: Repository, slots: Sequence[KeySlot]) -> Repository:
    """Put other keys into repository.json, whole or not at all; raises PlaceError."""
    settings = with_slots(repository.settings, slots)
    repository.place.write(SETTINGS, _document(settings))
    return replace(repository, settings=settings)


def _require_empty(place: Place) -> None:
    """Refuse a place that holds anything: a repository has names of its own there, README.md for one."""
    if place.size(SETTINGS) is not None:
        points = sum(entry.name.endswith(".json") for entry in place.list(POINTS))
        held = f"a repository is there already, with {plural(points, 'restore point')}"
        raise InitRefusedError(place.url, held, "use it, or name another place")
    other = place.glance() if isinstance(place, FolderPlace) else next(iter(place.list("")), None)
    if other is not None:
        advice = "name a folder that is empty or not there; if a repository was there, get its repository.json back"
        raise InitRefusedError(place.url, f"something is there already ({other.name}), and no repository", advice)


def open_repository(place: Place, ask: Callable[[], str] = str, *, must_be: str | None = None) -> Repository:
    """Open a repository; `ask` gives the passphrase and is called for an encrypted one.

    `must_be` ENCRYPTED refuses any other: whoever gives a passphrase does not mean to store anything in the clear.
    Raises NotRepositoryError, WrongKeyError, KeySlotError, DamagedObjectError, PlaceError.
    """
    extra_module("zstandard", "a backup", "zstd")
    settings = read_settings(place)
    if settings.mode == PLAIN and must_be == ENCRYPTED:
        advice = (
            "leave the passphrase out (VHDX_PASSPHRASE too) if you know that it is plain, else do not trust this place"
        )
        raise NotRepositoryError(place.url, "a passphrase was given, and the repository is not encrypted", advice)
    if settings.mode == PLAIN:
        return Repository(place, Codec(), settings)
    if settings.mode != ENCRYPTED:
        raise NotRepositoryError(place.url, f"it is kept in a way called {settings.mode!r}", "give its key")
    slots, passphrase = parse_slots(settings.codec or {}), ask()
    for slot in slots:
        try:
            keys = unlock(slot, passphrase, bound(settings))
        except WrongKeyError:
            continue
        return Repository(place, SealedCodec(place.url, keys), settings, slot)
    raise WrongKeyError


def read_settings(place: Place) -> Settings:
    """How the repository at a place is kept; raises NotRepositoryError, DamagedObjectError, PlaceError."""
    try:
        members = parse_document(place.read(SETTINGS))
    except MissingObjectError:
        advice = "name a repository, or make one with `vhdx backup init`"
        raise NotRepositoryError(place.url, f"no repository is there (it has no {SETTINGS})", advice) from None
    except BadDocumentError as error:
        raise DamagedObjectError(place.url, SETTINGS, str(error)) from error
    if members.pop("format", None) != FORMAT:
        raise NotRepositoryError(place.url, f"its {SETTINGS} is of something else", "name a repository")
    if (version := members.pop("version", None)) != VERSION:
        raise NotRepositoryError(place.url, f"it is of version {version}", "use the version of vhdx that made it")
    try:
        settings = Settings(**members)
    except TypeError as error:
        raise DamagedObjectError(place.url, SETTINGS, f"a member is missing or unknown ({error})") from error
    for size in (settings.chunk_size, settings.least_chunk):
        if size is not None and not _is_chunk_size(size):
            raise DamagedObjectError(place.url, SETTINGS, f"no chunk has {size!r} bytes")
    return settings


def _is_chunk_size(size: object) -> bool:
    """Whether it is a power of two between the smallest and the largest chunk."""
    return isinstance(size, int) and SMALLEST_CHUNK <= size <= LARGEST_CHUNK and not size & (size - 1)


def bound(settings: Settings) -> bytes:
    """The settings that the key is tied to: it opens in no repository that claims to be kept otherwise."""
    members = {"format": FORMAT, "version": VERSION, "mode": settings.mode, "chunk_size": settings.chunk_size}
    return json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")
