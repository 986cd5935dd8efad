"""The file systems inside a disk: volumes, files, where on the disk each of them is, and what they hold."""

from analyzer.guest.filesystems.open import open_volumes
from analyzer.guest.filesystems.record import (
    FileKind,
    FileRecord,
    FileState,
    Role,
    Stream,
    Times,
    Trouble,
    VolumeRecord,
)
from analyzer.guest.filesystems.volume import Include, Volume

__all__ = [
    "FileKind",
    "FileRecord",
    "FileState",
    "Include",
    "Role",
    "Stream",
    "Times",
    "Trouble",
    "Volume",
    "VolumeRecord",
    "open_volumes",
]
