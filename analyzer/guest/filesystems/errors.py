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

    def __init__(self, path: Path, reason: str, advice: str) -> None:
        super().__init__(path, reason, advice)
        self.path, self.reason, self.advice = path, reason, advice

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}; {self.advice}"


class UnreadableVolumeError(VhdxError):
    """A volume holds no file system that can be read; `reason` says what it holds, or what is wrong with it."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(number, reason)
        self.number, self.reason = number, reason

    def __str__(self) -> str:
        return (
            f"volume {self.number} cannot be read: {self.reason}; NTFS, FAT, exFAT and ext2 to ext4 can, for any other "
            "write the disk out with `vhdx convert` and attach it to a system that knows it"
        )


class NoSuchFileError(VhdxError):
    """A path leads to nothing in a volume."""

    exit_code: ClassVar[int] = 2

    def __init__(self, number: int, path: str) -> None:
        super().__init__(number, path)
        self.number, self.path = number, path

    def __str__(self) -> str:
        return f"volume {self.number} has nothing at {self.path!r}; `vhdx files` lists what there is"


class NotAFileError(VhdxError):
    """A single file is wanted, and what was named is none, or not one."""

    exit_code: ClassVar[int] = 2

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path or '/'}: {self.reason}"


class UnreadableFileError(VhdxError):
    """What a file holds cannot be given as it was; `reason` says why."""

    exit_code: ClassVar[int] = 1

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"
