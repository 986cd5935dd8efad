"""What a backup refuses, and why. Names of objects are those of the repository, with `/` between folders."""

from analyzer.text import plural
from vhdx.errors import VhdxError


class BackupError(VhdxError):
    """Whatever a repository cannot do."""


class PlaceError(BackupError):
    """A place could not read, write or list an object."""

    exit_code = 6
    url: str
    reason: str
    advice: str = "check the place and its permissions"
    text = "{url}: {reason}; {advice}"


class UnreadableObjectError(PlaceError):
    """The medium that an object is on does not give it: others may be whole."""


class MissingObjectError(BackupError):
    """An object that must be there is not."""

    url: str
    name: str

    def __str__(self) -> str:
        rest = "; `vhdx backup restore --allow-lost` restores the rest" if self.name.endswith(".cacnk") else ""
        return f"{self.url}: {self.name} is missing; `vhdx backup verify` says which restore points need it{rest}"


class BadChunkError(BackupError):
    """A chunk does not hold what its name says."""

    chunk: str
    reason: str
    text = (
        "chunk {chunk} is damaged: {reason}; `vhdx backup verify` sets it aside, and the next `vhdx backup create` of "
        "a disk that still holds its content brings it back; `vhdx backup restore --allow-lost` restores the rest"
    )


class DamagedObjectError(BackupError):
    """An index, a manifest or another document of a repository is not as it was written."""

    url: str
    name: str
    reason: str
    text = "{url}: {name} is damaged: {reason}; restore it from another copy of the repository"


class BadDocumentError(ValueError):
    """Bytes are not the document that was written; the text says why. Whoever read them knows where they were."""


class NotRepositoryError(BackupError):
    """No repository is at a place, or one that this version cannot use."""

    url: str
    reason: str
    advice: str
    text = "{url}: {reason}; {advice}"


class InitRefusedError(NotRepositoryError):
    """A repository is to be made where something is already."""

    exit_code = 5


class ChunkSizeError(NotRepositoryError):
    """A repository is to be made with chunks that would serve nobody."""

    exit_code = 2


class NoSuchPointError(BackupError):
    """A restore point was asked for that the repository does not have."""

    exit_code = 2
    url: str
    name: str
    text = "{url} has no restore point {name!r}; `vhdx backup list` names them"


class RangeError(BackupError):
    """A range was asked for that the disk does not have."""

    exit_code = 2
    name: str
    size: int
    start: int
    length: int

    def __str__(self) -> str:
        part = plural(self.length, "byte") if self.length else ""
        asked = f"{part} from byte {self.start} on" if part else f"what follows byte {self.start}"
        return f"the disk of {self.name} has {self.size} bytes, and {asked} was asked for; choose a range within it"


class PointNameError(BackupError):
    """A text was given that no restore point may be called."""

    exit_code = 2
    name: str
    advice: str
    text = "{name!r} is no name for a restore point; {advice}"


class PointRefusedError(BackupError):
    """A restore point cannot be made as asked."""

    exit_code = 5
    name: str
    reason: str
    advice: str
    text = "restore point {name!r}: {reason}; {advice}"
