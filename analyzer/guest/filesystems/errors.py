"""What goes wrong with file systems and the files in them."""

from pathlib import Path
from typing import ClassVar

from analyzer.text import adding_extra
from vhdx.errors import VhdxError


class MissingReaderError(VhdxError):
    """The package that reads file systems is not installed."""

    exit_code: ClassVar[int] = 2

    def __str__(self) -> str:
        what = "reading the file systems inside a disk needs the package pytsk3, which is not installed"
        return f"{what}; {adding_extra('filesystems')}"


class NoSuchVolumeError(VhdxError):
    """No volume, or not a single one, is the one that is meant."""

    exit_code: ClassVar[int] = 2
    path: Path
    reason: str
    advice: str
    text = "{path}: {reason}; {advice}"


class UnreadableVolumeError(VhdxError):
    """A volume holds no file system that can be read; `reason` says what it holds, or what is wrong with it."""

    number: int
    reason: str
    text = (
        "volume {number} cannot be read: {reason}; NTFS, FAT, exFAT and ext2 to ext4 can, for any other write the disk "
        "out with `vhdx convert` and attach it to a system that knows it"
    )


class NoSuchFileError(VhdxError):
    """A path leads to nothing in a volume."""

    exit_code: ClassVar[int] = 2
    number: int
    path: str
    text = "volume {number} has nothing at {path!r}; `vhdx files` lists what there is"


class NotAFileError(VhdxError):
    """A single file is wanted, and what was named is none, or not one."""

    exit_code: ClassVar[int] = 2
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path or '/'}: {self.reason}"


class UnreadableFileError(VhdxError):
    """What a file holds cannot be given as it was; `reason` says why."""

    exit_code: ClassVar[int] = 1
    path: str
    reason: str
    text = "{path}: {reason}"
