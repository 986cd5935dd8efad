"""Marking: which chunks the restore points refer to, or that it cannot be told."""

import hashlib
from dataclasses import dataclass

from analyzer.backup.errors import BackupError, DamagedObjectError, MissingObjectError
from analyzer.backup.repository.codec import Codec
from analyzer.backup.repository.index import BadIndexError, parse_index
from analyzer.backup.repository.manifest import BadDocumentError, is_name, parse_document
from analyzer.backup.storage.storage import Entry, Place

POINTS = "points"
_INDEX, _MANIFEST = ".caibx", ".json"


class UnknownReferencesError(BackupError):
    """What a restore point refers to cannot be told, so nothing may be deleted."""

    url: str
    point: str
    reason: str
    text = (
        "{url}: nothing was pruned, for what restore point {point!r} needs cannot be told ({reason}); get that object "
        "back from another copy, or give the point up with `vhdx backup forget`"
    )


@dataclass(frozen=True, slots=True)
class Marked:
    """What the restore points refer to, and the indexes that belong to none."""

    points: int
    ids: set[bytes]
    orphans: tuple[Entry, ...]


def mark(place: Place, codec: Codec, limit: float) -> Marked:
    """What every point refers to; raises UnknownReferencesError.

    What no restore point can be called (a server may show anything) is passed over, as whoever lists points does it.
    An index alone is a point that is being made, or one that never was: an orphan when it was written before `limit`.
    """
    entries = {entry.name: entry for entry in place.list(POINTS) if is_name(_title(entry.name))}
    names = {name.removesuffix(_MANIFEST) for name in entries if name.endswith(_MANIFEST)}
    orphans, ids = list[Entry](), set[bytes]()
    for name, entry in entries.items():
        point = name.removesuffix(_INDEX)
        if name.endswith(_INDEX) and point not in names and entry.is_before(limit):
            orphans.append(entry)
        elif name.endswith(_INDEX):
            names.add(point)
    for point in names:
        ids |= _references(place, codec, point, has_manifest=point + _MANIFEST in entries)
    return Marked(len(names), ids, tuple(orphans))


def _title(name: str) -> str:
    """What the point would be called whose object this is."""
    return name.removeprefix(f"{POINTS}/").removesuffix(_MANIFEST).removesuffix(_INDEX)


def _references(place: Place, codec: Codec, point: str, *, has_manifest: bool) -> set[bytes]:
    name, title = point + _INDEX, point.rpartition("/")[2]
    try:
        index = parse_index(_document(place, codec, point, has_manifest=has_manifest))
    except MissingObjectError:
        raise UnknownReferencesError(place.url, title, f"{name} is missing") from None
    except DamagedObjectError as error:
        raise UnknownReferencesError(place.url, title, f"{error.name}: {error.reason}") from error
    except BadIndexError as error:
        raise UnknownReferencesError(place.url, title, f"{name}: {error}") from error
    return {index.id_of(number) for number in range(len(index.ids))}


def _document(place: Place, codec: Codec, point: str, *, has_manifest: bool) -> bytes | bytearray:
    """The index of a point, which must be the one that its manifest tells of, bit for bit."""
    document = codec.open(point + _INDEX, place.read(point + _INDEX))
    if has_manifest and hashlib.sha256(document).hexdigest() != _index_sum(place, codec, point + _MANIFEST):
        raise DamagedObjectError(place.url, point + _INDEX, "its SHA-256 is not the one that the manifest has")
    return document


def _index_sum(place: Place, codec: Codec, name: str) -> str:
    try:
        return str(parse_document(codec.open(name, place.read(name)))["index_sha256"])
    except (BadDocumentError, KeyError) as error:
        raise DamagedObjectError(place.url, name, f"{error}, so its index cannot be compared with it") from error
