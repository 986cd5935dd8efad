"""The passphrases of an encrypted repository: each opens the same key, so that adding or removing one is quick."""

from analyzer.backup.errors import BackupError
from analyzer.backup.repository.codec import SealedCodec
from analyzer.backup.repository.keys import Keys, KeySlot, new_slot, parse_slots
from analyzer.backup.repository.repository import Repository, bound, read_settings, write_slots


class KeyRefusedError(BackupError):
    """A key cannot be added or removed as asked."""

    exit_code = 5
    url: str
    reason: str
    text = "{url}: {reason}"


def slots_of(repository: Repository) -> tuple[KeySlot, ...]:
    """The keys as they are now, one for each passphrase; raises KeyRefusedError for a repository that has none."""
    _keys(repository)
    return parse_slots(read_settings(repository.place).codec or {})


def add_passphrase(repository: Repository, passphrase: str, label: str = "") -> KeySlot:
    """One more passphrase; raises PlaceError."""
    slot = _slot(repository, passphrase, label)
    write_slots(repository, [*slots_of(repository), slot])
    return slot


def change_passphrase(repository: Repository, passphrase: str) -> KeySlot:
    """Another passphrase in place of the one that the repository was opened with; raises PlaceError."""
    slots, used = slots_of(repository), repository.key
    slot = _slot(repository, passphrase, used.label if used else "")
    write_slots(repository, [slot if one == used else one for one in slots])
    return slot


def remove_passphrase(repository: Repository, key_id: str) -> KeySlot:
    """Remove the one key whose id begins so; raises KeyRefusedError for that in use, which is the last one at times."""
    slots = slots_of(repository)
    found = [slot for slot in slots if key_id and slot.id.startswith(key_id.lower())]
    if len(found) != 1:
        what = f"{len(found)} keys begin with" if found else "no key begins with"
        raise KeyRefusedError(repository.place.url, f"{what} {key_id!r}; `vhdx backup key list` names them")
    if found[0] == repository.key:
        reason = "it was opened with this key; open it with another passphrase to remove this one"
        raise KeyRefusedError(repository.place.url, reason)
    write_slots(repository, [slot for slot in slots if slot != found[0]])
    return found[0]


def _slot(repository: Repository, passphrase: str, label: str) -> KeySlot:
    return new_slot(_keys(repository), passphrase, bound(repository.settings), label=label)


def _keys(repository: Repository) -> Keys:
    if not isinstance(repository.codec, SealedCodec):
        raise KeyRefusedError(repository.place.url, "it is not encrypted, and has no keys")
    return repository.codec.keys
