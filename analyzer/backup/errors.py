"""What a backup refuses, and why. Names of objects are those of the repository, with `/` between folders."""

from analyzer.text import adding_extra, plural
from vhdx.errors import VhdxError


class BackupError(VhdxError):
    """Whatever a repository cannot do."""


class PlaceError(BackupError):
    """A place could not read, write or list an object."""

    exit_code = 6

    def __init__(self, url: str, action: str, name: str, reason: str) -> None:
        super().__init__(url, action, name, reason)
        self.url, self.action, self.name, self.reason = url, action, name, reason

    def __str__(self) -> str:
        return f"{self.url}: cannot {self.action} {self.name}: {self.reason}; check the place and its permissions"


class MissingObjectError(BackupError):
    """An object that must be there is not."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(url, name)
        self.url, self.name = url, name

    def __str__(self) -> str:
        return f"{self.url}: {self.name} is missing; `vhdx backup verify` tells which restore points need it"


class BadChunkError(BackupError):
    """A chunk does not hold what its name says."""

    def __init__(self, chunk: str, reason: str) -> None:
        super().__init__(chunk, reason)
        self.chunk, self.reason = chunk, reason

    def __str__(self) -> str:
        return (
            f"chunk {self.chunk} is damaged: {self.reason}; `vhdx backup verify` sets it aside, and the next "
            "`vhdx backup create` of a disk that still holds its content brings it back"
        )


class DamagedObjectError(BackupError):
    """An index, a manifest or another document of a repository is not as it was written."""

    def __init__(self, url: str, name: str, reason: str) -> None:
        super().__init__(url, name, reason)
        self.url, self.name, self.reason = url, name, reason

    def __str__(self) -> str:
        return f"{self.url}: {self.name} is damaged: {self.reason}; restore it from another copy of the repository"


class NotRepositoryError(BackupError):
    """No repository is at a place, or one that this version cannot use."""

    def __init__(self, url: str, reason: str, advice: str) -> None:
        super().__init__(url, reason, advice)
        self.url, self.reason, self.advice = url, reason, advice

    def __str__(self) -> str:
        return f"{self.url}: {self.reason}; {self.advice}"


class InitRefusedError(NotRepositoryError):
    """A repository is to be made where something is already."""

    exit_code = 5


class ChunkSizeError(NotRepositoryError):
    """A repository is to be made with chunks that would serve nobody."""

    exit_code = 2


class NoSuchPointError(BackupError):
    """A restore point was asked for that the repository does not have."""

    exit_code = 2

    def __init__(self, url: str, name: str) -> None:
        super().__init__(url, name)
        self.url, self.name = url, name

    def __str__(self) -> str:
        return f"{self.url} has no restore point {self.name!r}; `vhdx backup list` names them"


class RangeError(BackupError):
    """A range was asked for that the disk does not have."""

    exit_code = 2

    def __init__(self, name: str, size: int, start: int, length: int) -> None:
        super().__init__(name, size, start, length)
        self.name, self.size, self.start, self.length = name, size, start, length

    def __str__(self) -> str:
        part = plural(self.length, "byte") if self.length else ""
        asked = f"{part} from byte {self.start} on" if part else f"what follows byte {self.start}"
        return f"the disk of {self.name} has {self.size} bytes, and {asked} was asked for; choose a range within it"


class PointNameError(BackupError):
    """A text was given that no restore point may be called."""

    exit_code = 2

    def __init__(self, name: str, advice: str) -> None:
        super().__init__(name, advice)
        self.name, self.advice = name, advice

    def __str__(self) -> str:
        return f"{self.name!r} is no name for a restore point; {self.advice}"


class PointRefusedError(BackupError):
    """A restore point cannot be made as asked."""

    exit_code = 5

    def __init__(self, name: str, reason: str, advice: str) -> None:
        super().__init__(name, reason, advice)
        self.name, self.reason, self.advice = name, reason, advice

    def __str__(self) -> str:
        return f"restore point {self.name!r}: {self.reason}; {self.advice}"


class ZstandardMissingError(BackupError):
    """The package that packs chunks is not installed."""

    exit_code = 2

    def __str__(self) -> str:
        return f"backups need the package zstandard, which is not installed; {adding_extra('zstd')}"
