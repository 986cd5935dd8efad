"""What nobody knows of a file, because something of one of the states is lost."""

from collections.abc import Callable, Iterator

from analyzer.guest.filesystems.record import FileRecord
from analyzer.guest.filesystems.volume import UNREACHED, Volume


def may_hide(volume: Volume | None) -> Callable[[FileRecord], bool]:
    """What tells whether a volume that has been walked may have a file that was not found in it."""
    if volume is None:
        return lambda _record: False
    if not volume.is_readable or volume.unlisted:
        return lambda _record: bool(volume.view.missed)
    broken = {trouble.path for trouble in volume.troubles}
    return lambda record: not broken.isdisjoint(_above(record.path))


def is_of_one_record(old: FileRecord, new: FileRecord) -> bool:
    """Whether two names lead to the same record, and in one of the states nothing else is known of it."""
    return old.address == new.address and not (old.is_known and new.is_known)


def is_unreached(record: FileRecord) -> bool:
    """Whether what leads to a file is lost: then nothing is known of its name and place."""
    return record.path.startswith(f"/{UNREACHED}/")


def _above(path: str) -> Iterator[str]:
    """The folders above a path, up to the topmost one."""
    while path:
        path = path.rpartition("/")[0]
        yield path
