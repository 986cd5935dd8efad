"""What a mounted folder holds, and nothing of FUSE: folders with names, files with bytes."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum


class Type(Enum):
    """What a node is."""

    FOLDER = "folder"
    FILE = "file"
    LINK = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What is said of a node without opening it; times are nanoseconds since 1970."""

    type: Type
    size: int = 0
    stored: int = 0
    """Bytes that may be other than zeros: what the file takes, as programs see it that copy holes as holes."""
    modified_ns: int = 0


class Node(ABC):
    """Anything that has a name in the tree. All calls from any thread."""

    @abstractmethod
    def attributes(self) -> Attributes:
        """What is said of it; raises VhdxError."""


class Folder(Node):
    """A folder."""

    @abstractmethod
    def names(self) -> Iterable[str]:
        """What is in it; raises VhdxError."""

    @abstractmethod
    def child(self, name: str) -> Node | None:
        """What is called so in it; None where nothing is. Raises VhdxError."""


class File(Node):
    """A file: bytes by position."""

    def is_exact(self) -> bool:
        """Whether each read must reach it: a sector may fail, and those beside it may not."""
        return False

    @abstractmethod
    def read(self, start: int, length: int) -> bytes:
        """Bytes from `start` on, fewer only where the file ends; raises VhdxError for what cannot be known."""

    def read_into(self, start: int, buffer: memoryview) -> int:
        """Fill the buffer from `start` on, as far as the file goes; returns how many bytes. Raises as `read` does."""
        data = self.read(start, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def next_data(self, start: int) -> int | None:
        """Where the next bytes are that may be other than zeros, from `start` on; None where none are."""
        return start if start < self.attributes().size else None

    def next_hole(self, start: int) -> int:
        """Where the next zeros are that are known without reading, from `start` on; the end where none are."""
        return max(start, self.attributes().size)


@dataclass(frozen=True, slots=True)
class Link(Node):
    """A symbolic link, as it is on the disk."""

    target: str

    def attributes(self) -> Attributes:
        """See Node."""
        return Attributes(type=Type.LINK, size=len(self.target.encode("utf-8", "surrogateescape")))


@dataclass(frozen=True, slots=True)
class FixedFolder(Folder):
    """A folder whose content is known."""

    children: Mapping[str, Node]
    modified_ns: int = 0

    def attributes(self) -> Attributes:
        """See Node."""
        return Attributes(type=Type.FOLDER, modified_ns=self.modified_ns)

    def names(self) -> Iterable[str]:
        """See Folder."""
        return self.children

    def child(self, name: str) -> Node | None:
        """See Folder."""
        return self.children.get(name)


def find(root: Folder, path: str) -> Node | None:
    """The node at a path of names with slashes between them; None where nothing is. Raises VhdxError."""
    node: Node | None = root
    for name in filter(None, path.split("/")):
        node = node.child(name) if isinstance(node, Folder) else None
        if node is None:
            return None
    return node
