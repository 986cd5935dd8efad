"""Repositories whichever way they are kept: made, opened, given another passphrase."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace

from analyzer.backup.errors import NotRepositoryError
from analyzer.backup.repository.codec import require_zstandard
from analyzer.backup.repository.documents import build_document
from analyzer.backup.repository.keys import Cost, new_key, parse_slot, rewrap, unlock
from analyzer.backup.repository.repository import (
    FORMAT,
    PLAIN,
    SETTINGS,
    VERSION,
    Repository,
    Settings,
    init_repository,
    open_repository,
    read_settings,
)
from analyzer.backup.repository.sealing import SealedCodec
from analyzer.backup.storage.storage import Place

ENCRYPTED = "aes-256-gcm"


def init_encrypted(place: Place, chunk_size: int | None, passphrase: str, cost: Cost | None = None) -> Repository:
    """Make an encrypted repository; raises what `init_repository` does, MissingExtraError."""
    settings = Settings(mode=ENCRYPTED, chunk_size=chunk_size)
    slot, keys = new_key(passphrase, _bound(settings), cost)
    return init_repository(place, replace(settings, codec=slot.to_plain()), SealedCodec(place.url, keys))


def open_any(place: Place, ask: Callable[[], str], *, must_be: str | None = None) -> Repository:
    """Open a repository; `ask` gives the passphrase and is called for an encrypted one.

    `must_be` ENCRYPTED refuses any other: whoever gives a passphrase does not mean to store anything in the clear.
    Raises WrongKeyError, KeySlotError, and what `open_repository` raises.
    """
    settings = read_settings(place)
    if settings.mode == PLAIN and must_be == ENCRYPTED:
        advice = (
            "leave the passphrase out (VHDX_PASSPHRASE too) if you know that it is plain, else do not trust this place"
        )
        raise NotRepositoryError(place.url, "a passphrase was given, and the repository is not encrypted", advice)
    if settings.mode != ENCRYPTED:
        return open_repository(place)
    require_zstandard()
    slot = parse_slot(settings.codec or {})
    return Repository(place, SealedCodec(place.url, unlock(slot, ask(), _bound(settings))), settings)


def change_passphrase(place: Place, old: str, new: str, cost: Cost | None = None) -> None:
    """Have another passphrase open a repository, from now on alone; raises as `open_any` does.

    Copies of repository.json that somebody kept are still opened by the old one: it is the same key.
    """
    settings = read_settings(place)
    if settings.mode != ENCRYPTED:
        raise NotRepositoryError(place.url, "it is not encrypted", "make an encrypted one with `init --encrypt`")
    slot = rewrap(parse_slot(settings.codec or {}), old, new, _bound(settings), cost)
    changed = replace(settings, codec=slot.to_plain())
    place.write(SETTINGS, build_document({"format": FORMAT, "version": VERSION} | asdict(changed)))


def _bound(settings: Settings) -> bytes:
    """What of the settings the key is tied to: it opens in no repository that claims to be kept otherwise."""
    members = {"format": FORMAT, "version": VERSION, "mode": settings.mode, "chunk_size": settings.chunk_size}
    return json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")
