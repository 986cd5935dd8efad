"""Chunks that are damaged or gone, set aside until a backup sees their content again."""

from analyzer.backup.errors import MissingObjectError
from analyzer.backup.repository.chunks import SUFFIX, object_of
from analyzer.backup.repository.codec import ID_SIZE
from analyzer.backup.storage.storage import Place

FOLDER = "quarantine"


def set_aside(place: Place, chunk_id: bytes) -> None:
    """Move a chunk out of the store: nobody takes it for good any more. One that is gone leaves an empty object.

    What was set aside before is kept.
    """
    name = object_of(chunk_id)
    try:
        content = place.read(name)
    except MissingObjectError:
        content = b""
    place.create(_object(chunk_id), content)
    place.delete(name)


def set_aside_ids(place: Place) -> frozenset[bytes]:
    """The ids of all that were set aside."""
    names = (entry.name.rpartition("/")[2].removesuffix(SUFFIX) for entry in place.list(FOLDER))
    return frozenset(filter(None, map(_id_of, names)))


def release(place: Place, chunk_id: bytes) -> None:
    """Forget one that is stored again."""
    place.delete(_object(chunk_id))


def _object(chunk_id: bytes) -> str:
    return f"{FOLDER}/{chunk_id.hex()}{SUFFIX}"


def _id_of(digits: str) -> bytes | None:
    try:
        chunk_id = bytes.fromhex(digits)
    except ValueError:
        return None
    return chunk_id if len(chunk_id) == ID_SIZE else None
