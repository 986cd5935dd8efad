"""The entries of a volume that may differ: those that lie where anything of the disk changed.

An entry of a folder that nothing touched, whose own record, tables and data nothing touched, is the same in both
states: neither its name, nor what is known of it, nor what it holds can have changed. All others are kept, and matched.
"""

from collections.abc import Iterator

from analyzer.guest.filesystems.places import Places
from analyzer.guest.filesystems.record import FileRecord, Role
from analyzer.guest.filesystems.volume import Volume


def touched_entries(volume: Volume, changed: Places) -> Iterator[FileRecord]:
    """The files of one state that a change touches, folders before what is in them; the file system's own left out."""
    for folder in volume.folders():
        all_of_it = changed.touch(folder.record.metadata)
        for record in folder.entries:
            if record.role is Role.USER and (all_of_it or is_touched(record, changed)):
                yield record


def is_touched(record: FileRecord, changed: Places) -> bool:
    """Whether anything of a file lies where the disk changed."""
    return changed.touch(record.metadata) or changed.touch(record.content)
