"""The entries of a volume that may differ: those that lie where anything of the disk changed.

An entry of a folder that nothing touched, whose own record, tables and data nothing touched, is the same in both
states: neither its name, nor what is known of it, nor what it holds can have changed. All others are kept, and matched.
"""

from collections.abc import Iterator

from analyzer.guest.filesystems.record import FileRecord, Role
from analyzer.guest.filesystems.volume import Volume
from vhdx.ranges import Ranges


def touched_entries(volume: Volume, changed: Ranges) -> Iterator[FileRecord]:
    """The files of one state that a change touches, folders before what is in them; the file system's own left out."""
    for folder in volume.folders():
        all_of_it = changed.touches_any(folder.record.metadata)
        for record in folder.entries:
            if record.role is Role.USER and (all_of_it or is_touched(record, changed)):
                yield record


def is_touched(record: FileRecord, changed: Ranges) -> bool:
    """Whether anything of a file lies where the disk changed."""
    return changed.touches_any((*record.metadata, *record.content))
