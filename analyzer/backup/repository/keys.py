"""The keys of an encrypted repository: a random one, kept wrapped under what scrypt makes of each passphrase."""

import os
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from analyzer.backup.errors import BackupError
from analyzer.backup.storage.storage import extra_module

_WHAT = "an encrypted repository"
# The nonce size for which AES-GCM needs no further hashing. Nonces are random: 2^32 of them are safe.
NONCE_SIZE = 12
_KEY_SIZE = 32
_TAG_SIZE = 16
# So that nobody prepares a dictionary for several repositories.
_SALT_SIZE = 32
# repository.json is a server's: it must not make a client allocate without bound.
_MOST_MEMORY = 1 << 30
# Bounds on what a repository may ask of scrypt: n * r * 128 bytes of memory, n * r * p steps.
_MOST_WORK = 1 << 28
# Of passphrases: a wrong one is tried on each, half a second each time.
_MOST_SLOTS = 16


class WrongKeyError(BackupError):
    """The passphrase is not the repository's, or what it opens was changed: the two cannot be distinguished."""

    exit_code = 2
    text = (
        "the passphrase does not open this repository (or its repository.json was changed); check which one was used "
        "at `vhdx backup init`, there is no other way in"
    )


class KeySlotError(BackupError):
    """What repository.json says of the key makes no sense."""

    reason: str
    text = "the key in repository.json cannot be used: {reason}; get that file back from a copy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What scrypt costs (RFC 7914): 128 * n * r bytes of memory, n * r * p steps."""

    n: int = 1 << 17
    r: int = 8
    p: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySlot:
    """The repository's key, wrapped: AES-256-GCM under scrypt(passphrase, salt)."""

    cost: Cost
    salt: bytes
    nonce: bytes
    wrapped: bytes
    label: str = ""
    """What its user calls it; a server may have changed it."""
    made: str = ""

    @property
    def id(self) -> str:
        """What it is called by: the first digits of its salt."""
        return self.salt.hex()[:8]

    def to_plain(self) -> dict[str, object]:
        """As repository.json has it."""
        stored = {name: getattr(self, name).hex() for name in ("salt", "nonce", "wrapped")}
        return {"kdf": "scrypt"} | asdict(self.cost) | stored | {"label": self.label, "made": self.made}


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that do the work, each made from the repository's by HKDF with a word of its own."""

    root: bytes
    """The repository's."""
    chunks: bytes
    ids: bytes
    objects: bytes

    def __repr__(self) -> str:
        return "Keys(...)"


def parse_slot(plain: Mapping[str, object]) -> KeySlot:
    """The key out of repository.json; raises KeySlotError for what no repository would have."""
    if plain.get("kdf") != "scrypt":
        raise KeySlotError(f"its kdf is {plain.get('kdf')!r}, not 'scrypt'")
    for name in "nrp":
        value = plain.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise KeySlotError(f"its {name} is {value!r}, not a number above 0")
    n, r, p = (int(str(plain[name])) for name in "nrp")
    if n < 2 or n & (n - 1) or 128 * n * r > _MOST_MEMORY or n * r * p > _MOST_WORK:  # noqa: PLR2004 - RFC 7914
        raise KeySlotError(f"scrypt with n={n}, r={r}, p={p} is out of bounds")
    sizes = {"salt": _SALT_SIZE, "nonce": NONCE_SIZE, "wrapped": _KEY_SIZE + _TAG_SIZE}
    found = {name: _bytes(plain, name, size) for name, size in sizes.items()}
    return KeySlot(cost=Cost(n=n, r=r, p=p), **found, label=_text(plain, "label"), made=_text(plain, "made"))


def parse_slots(codec: Mapping[str, Any]) -> tuple[KeySlot, ...]:
    """All keys out of repository.json, one for each passphrase; raises KeySlotError."""
    slots = codec.get("slots", [codec])  # as first versions had it, for a single one
    if not isinstance(slots, list) or not 0 < len(slots) <= _MOST_SLOTS or not all(isinstance(s, dict) for s in slots):
        raise KeySlotError(f"it has not 1 to {_MOST_SLOTS} slots")
    return tuple(map(parse_slot, slots))


def _text(plain: Mapping[str, object], name: str) -> str:
    return str(plain.get(name, ""))[:100]


def _bytes(plain: Mapping[str, object], name: str, length: int) -> bytes:
    value = plain.get(name)
    try:
        found = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        found = b""
    if len(found) != length:
        raise KeySlotError(f"its {name} is not {length} bytes in hex")
    return found


def new_key(passphrase: str, bound: bytes, cost: Cost | None = None) -> tuple[KeySlot, Keys]:
    """A fresh key. `bound` is what the slot is tied to: with another, the passphrase will not open it."""
    keys = _derive(os.urandom(_KEY_SIZE))
    return new_slot(keys, passphrase, bound, cost), keys


def new_slot(keys: Keys, passphrase: str, bound: bytes, cost: Cost | None = None, label: str = "") -> KeySlot:
    """The same key under another passphrase."""
    cost, salt, nonce = cost or Cost(), os.urandom(_SALT_SIZE), os.urandom(NONCE_SIZE)
    wrapped = aes_gcm(_stretch(passphrase, salt, cost)).encrypt(nonce, keys.root, bound)
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return KeySlot(cost=cost, salt=salt, nonce=nonce, wrapped=wrapped, label=label, made=made)


def unlock(slot: KeySlot, passphrase: str, bound: bytes) -> Keys:
    """The repository's keys; raises WrongKeyError."""
    invalid = extra_module("cryptography.exceptions", _WHAT, "encryption").InvalidTag
    try:
        key = aes_gcm(_stretch(passphrase, slot.salt, slot.cost)).decrypt(slot.nonce, slot.wrapped, bound)
    except invalid:
        raise WrongKeyError from None
    return _derive(bytes(key))


def aes_gcm(key: bytes) -> Any:  # noqa: ANN401 - of a library that may be absent
    """AES-256-GCM under a key; raises MissingExtraError."""
    return extra_module("cryptography.hazmat.primitives.ciphers.aead", _WHAT, "encryption").AESGCM(key)


def _stretch(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    """What scrypt makes of a passphrase. Composed and decomposed accents are one: keyboards differ in that."""
    scrypt = extra_module("cryptography.hazmat.primitives.kdf.scrypt", _WHAT, "encryption").Scrypt
    text = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogateescape")
    return bytes(scrypt(salt=salt, length=_KEY_SIZE, n=cost.n, r=cost.r, p=cost.p).derive(text))


def _derive(key: bytes) -> Keys:
    hkdf = extra_module("cryptography.hazmat.primitives.kdf.hkdf", _WHAT, "encryption").HKDF
    sha256 = extra_module("cryptography.hazmat.primitives.hashes", _WHAT, "encryption").SHA256
    words = (b"vhdx backup chunks", b"vhdx backup ids", b"vhdx backup objects")
    made = (hkdf(algorithm=sha256(), length=_KEY_SIZE, salt=None, info=word).derive(key) for word in words)
    return Keys(key, *map(bytes, made))
