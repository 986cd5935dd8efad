"""A VHD of version 1, and the chain below it, asked every rule of its format."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from analyzer.vhd.chain import ParentWrittenSinceError, VhdChain, find_parent
from analyzer.vhd.image import VhdImage, read_vhd
from vhdx.errors import ChainError, ChainLoopError, CorruptFileError, ParentMismatchError, VhdxError
from vhdx.findings import Finding, Severity
from vhdx.parents import Search
from vhdx.source import FileSource
from vhdx.source_map import SourceMaps, unread_findings

_CODES: dict[type[VhdxError], str] = {
    ParentMismatchError: "CHN-02",
    ChainLoopError: "CHN-03",
    ParentWrittenSinceError: "VHD-07",
}

_ADVICE = "Look for it with `vhdx scan DIR`; then name it with `--parent FILE`, or its folder with `--search DIR`."


@dataclass
class VhdWalk:
    """From a VHD towards its base: what was opened on the way, for as long as the stack is open."""

    search: Search
    maps: SourceMaps
    opened: ExitStack
    layers: list[VhdImage] = field(default_factory=list)
    """From the leaf down."""
    broken: bool = False
    """Something keeps the layers from being read as one disk."""

    def findings(self, leaf: Path) -> Iterator[Finding]:
        """Everything about the file."""
        source: FileSource = self.opened.enter_context(self.maps.source(leaf))
        read = read_vhd(source)
        yield from unread_findings(source, Severity.ERROR)
        yield from read.findings
        if read.value is None:
            self.broken = True
        else:
            self.layers.append(read.value)

    def findings_below(self) -> Iterator[Finding]:
        """Everything about the parents of the file, as far as they lead, and the links to them."""
        given = iter(self.search.parents)
        while not self.broken and self.layers[-1].has_parent:
            child = self.layers[-1]
            try:
                parent = self.opened.enter_context(find_parent(child, self.search, next(given, None), self.maps))
                if parent.source.identity in {layer.source.identity for layer in self.layers}:
                    raise ChainLoopError(parent.path)
            except CorruptFileError as error:
                self.broken = True
                yield error.finding
            except ChainError as error:
                self.broken = True
                code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), "CHN-01")
                yield Finding(code, Severity.ERROR, str(error), path=child.path, advice=_ADVICE)
            else:
                self.layers.append(parent)
        yield from self.chain.findings if self.layers else ()

    @property
    def chain(self) -> VhdChain:
        """The layers as one disk, of which the base may be missing where the walk is broken."""
        return VhdChain(tuple(reversed(self.layers)))
