"""Fixtures as sources: images opened in memory, however large the file would be."""

from pathlib import Path

from fixtures import SparseFile
from vhdx.chain import Chain
from vhdx.errors import ShortReadError
from vhdx.image import image_from
from vhdx.parents import Found, Link

MIB = 1 << 20


class SparseSource:
    """A fixture's file, read by position without ever being written."""

    def __init__(self, file: SparseFile, path: Path = Path("fixture.vhdx")) -> None:
        self._file, self.path, self.size = file, path, file.size

    def read_into(self, offset, buffer):
        data = self._file.read(offset, len(buffer))
        if len(data) < len(buffer):
            raise ShortReadError(self.path, offset, len(buffer), len(data))
        buffer[:] = data


class CountingSource:
    """A source that notes what is read of it, as (offset, length)."""

    def __init__(self, source):
        self._source, self.path, self.size, self.reads = source, source.path, source.size, []

    def read_into(self, offset, buffer):
        self.reads.append((offset, len(buffer)))
        self._source.read_into(offset, buffer)


class PatchedSource:
    """Bytes in memory with a few changes laid over them, cut or grown to `size`: a copy that costs nothing."""

    def __init__(self, data, patches=(), size=None, path=Path("patched.vhdx")):
        self._data, self._patches, self.path = memoryview(data), tuple(patches), path
        self.size = len(data) if size is None else size

    def read_into(self, offset, buffer):
        end = offset + len(buffer)
        if end > self.size:
            raise ShortReadError(self.path, offset, len(buffer), max(0, self.size - offset))
        part = self._data[offset:end]
        buffer[: len(part)] = part
        buffer[len(part) :] = bytes(len(buffer) - len(part))
        for start, data in self._patches:
            low, high = max(start, offset), min(start + len(data), end)
            if low < high:
                buffer[low - offset : high - offset] = data[low - start : high - start]


def chain_from(sources):
    """The chain of sources, base first."""
    images = tuple(image_from(source) for source in sources)
    wanted = (image.locator.linkages if image.locator else () for image in images[1:])
    links = tuple(Link(parent, Found.GIVEN, guids) for parent, guids in zip(images[:-1], wanted, strict=True))
    return Chain(images, links)


def image_of(file, name="fixture.vhdx"):
    """The image in a fixture's file."""
    return image_from(SparseSource(file, Path(name)))


def chain_of(files):
    """The chain of fixtures' files, base first."""
    return chain_from([SparseSource(file, Path(f"layer{number}.avhdx")) for number, file in enumerate(files)])
