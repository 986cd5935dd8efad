"""Repositories made and opened, plain or encrypted."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace

from analyzer.backup.errors import (
    ChunkSizeError,
    DamagedObjectError,
    InitRefusedError,
    MissingObjectError,
    NotRepositoryError,
)
from analyzer.backup.repository.codec import Codec, SealedCodec
from analyzer.backup.repository.keys import Cost, new_key, parse_slot, unlock
from analyzer.backup.repository.manifest import BadDocumentError, build_document, parse_document
from analyzer.backup.repository.repository import (
    ENCRYPTED,
    LARGEST_CHUNK,
    LEAFLETS,
    PLAIN,
    POINTS,
    SETTINGS,
    SMALLEST_CHUNK,
    Repository,
    Settings,
    leaflet,
)
from analyzer.backup.storage.remote_folder import FolderPlace
from analyzer.backup.storage.storage import Place, extra_module
from analyzer.text import plural

FORMAT, VERSION = "vhdx-backup-repository", 1


def init_repository(place: Place, settings: Settings, codec: Codec) -> Repository:
    """Make a repository in a place that holds nothing; raises InitRefusedError, ChunkSizeError, PlaceError."""
    extra_module("zstandard", "a backup", "zstd")
    size = settings.chunk_size
    if size is not None and (not SMALLEST_CHUNK <= size <= LARGEST_CHUNK or size & (size - 1)):
        raise ChunkSizeError(place.url, f"no chunk has {size} bytes", "choose 64K, 128K ... 16M")
    leaflets = {name: leaflet(name, settings.mode) for name in LEAFLETS}
    settings = replace(settings, leaflets={name: hashlib.sha256(text).hexdigest() for name, text in leaflets.items()})
    _require_empty(place)
    if not place.create(SETTINGS, build_document({"format": FORMAT, "version": VERSION} | asdict(settings))):
        raise InitRefusedError(place.url, "a repository is there already", "use it, or name another place")
    for name, text in leaflets.items():
        place.write(name, text)
    return Repository(place, codec, settings)


def init_encrypted(place: Place, chunk_size: int | None, passphrase: str, cost: Cost | None = None) -> Repository:
    """Make an encrypted repository; raises what `init_repository` does, MissingExtraError."""
    settings = Settings(mode=ENCRYPTED, chunk_size=chunk_size)
    slot, keys = new_key(passphrase, _bound(settings), cost)
    return init_repository(place, replace(settings, codec=slot.to_plain()), SealedCodec(place.url, keys))


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
    settings = _read_settings(place)
    if settings.mode == PLAIN and must_be == ENCRYPTED:
        advice = (
            "leave the passphrase out (VHDX_PASSPHRASE too) if you know that it is plain, else do not trust this place"
        )
        raise NotRepositoryError(place.url, "a passphrase was given, and the repository is not encrypted", advice)
    if settings.mode == PLAIN:
        return Repository(place, Codec(), settings)
    if settings.mode != ENCRYPTED:
        raise NotRepositoryError(place.url, f"it is kept in a way called {settings.mode!r}", "give its key")
    keys = unlock(parse_slot(settings.codec or {}), ask(), _bound(settings))
    return Repository(place, SealedCodec(place.url, keys), settings)


def _read_settings(place: Place) -> Settings:
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
        return Settings(**members)
    except TypeError as error:
        raise DamagedObjectError(place.url, SETTINGS, f"a member is missing or unknown ({error})") from error


def _bound(settings: Settings) -> bytes:
    """The settings that the key is tied to: it opens in no repository that claims to be kept otherwise."""
    members = {"format": FORMAT, "version": VERSION, "mode": settings.mode, "chunk_size": settings.chunk_size}
    return json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")
