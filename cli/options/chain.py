"""How the parents of a file are found and its tables are read: the options, and the chain that they open."""

import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import click

from analyzer.judgement.judge import Trust, judged
from analyzer.recovery_map.note import map_note, with_maps
from cli import output
from cli.errors import when_interrupted
from cli.options.common import Declared, Parsed, choice, grouped, option
from cli.text import safe, say, size
from vhdx.chain import Chain, StateName, open_chain
from vhdx.contents import Opener, open_structures
from vhdx.disk import Disk
from vhdx.errors import FileSystemFullError
from vhdx.findings import Finding
from vhdx.parents import OnMismatch, Search
from vhdx.paths import Mapping
from vhdx.source import file_identity
from vhdx.source_map import SourceMaps


def _file_and_map(text: str) -> tuple[Path, Path]:
    """Their paths; either may have a `=` in it, for both must be there."""
    cuts = (at for at, character in enumerate(text) if character == "=")
    pairs = ((Path(text[:at]), Path(text[at + 1 :])) for at in cuts)
    found = next((pair for pair in pairs if all(map(file_identity, pair))), None)
    if found is None:
        raise ValueError("does not name a file and its map; write disk.vhdx=rescue.map")
    return found


def _folder(text: str) -> Path:
    """A folder, which must be one: a misspelt name must not go unnoticed because nothing is found there.

    What keeps a folder that is there from being listed, the library says when it is needed.
    """
    folder = Path(text)
    try:
        flaw = "" if stat.S_ISDIR(folder.stat().st_mode) else "is not a folder"
    except (FileNotFoundError, NotADirectoryError):
        flaw = "is not there"
    except OSError:
        flaw = ""
    if flaw:
        raise ValueError(f"{flaw}; name the folder that holds the parents.")
    return folder


def _known_mappings(_context: click.Context, _parameter: click.Parameter, mappings: tuple[str, ...]) -> tuple[str, ...]:
    """The mappings, each of which must be one."""
    try:
        for text in mappings:
            Mapping.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return mappings


FOLDER = Parsed("folder", Path, _folder)
"""A folder, which is there."""


def mappings_option() -> Declared:
    """`--map`: where folders of the old host are now."""
    text = r"Where a folder of the old host is now: 'C:\VMs=/mnt/nas'."
    return option(text, "--map", metavar="WIN=DIR", callback=_known_mappings)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """How the parents of a file are found, and by which maps files are read."""

    parents: tuple[Path, ...] = option(
        "Path of a parent file. Repeat for each layer, nearest parent first.", "--parent", metavar="FILE"
    )
    search: tuple[Path, ...] = option(
        "Folder whose files are matched by identity, after the leaf's own folder; its subfolders last.",
        type=FOLDER,
        metavar="DIR",
    )
    mappings: tuple[str, ...] = mappings_option()
    on_mismatch: OnMismatch = option(
        "Refuse or accept a parent whose identity is not the one that the child names.",
        default=OnMismatch.REFUSE.value,
        show_default=True,
    )
    source_maps: tuple[tuple[Path, Path], ...] = option(
        "Map that GNU ddrescue wrote when it copied FILE, if not beside it. Repeat for each file.",
        "--source-map",
        type=Parsed("file and map", tuple, _file_and_map),
        metavar="FILE=MAP",
    )

    @property
    def maps(self) -> SourceMaps:
        """The maps of ddrescue that files are read by."""
        return SourceMaps(self.source_maps)

    def as_search(self) -> Search:
        """The same for the library."""
        return Search(
            parents=self.parents,
            folders=self.search,
            mappings=[Mapping.parse(text) for text in self.mappings],
            on_mismatch=self.on_mismatch,
            opened=partial(open_structures, maps=self.maps),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainOptions(LinkOptions):
    """How the parents of a file are found, and how its tables are read."""

    trust: Trust = choice(
        Trust.TABLE, "Read block tables as they are, also entries in doubt; warnings name these.", "--trust-table"
    )


Where = TypeVar("Where", bound=LinkOptions)
link_options = grouped("where", LinkOptions)
"""How parents are found: `where`."""
chain_options = grouped("where", ChainOptions)
"""How parents are found and tables are read: `where`, for `open_leaf`."""


def open_leaf(leaf: Path, where: ChainOptions, opened: Opener | None = None) -> Chain:
    """Open a chain, or by LEAF@N the state of its layer N, as the chain options say.

    Of an image that `vhdx recover` wrote it is said what of it is lost.
    """
    chain = open_as_it_is(leaf, where, opened)
    warn_of_map(chain)
    return chain


def open_as_it_is(leaf: Path, where: ChainOptions, opened: Opener | None = None) -> Chain:
    """Open a chain as the chain options say, for one who reads it by its map; by `opened`, where it is given."""
    leaf, where = layer_file(leaf, where)
    chain = with_maps(judged(open_links(leaf, where, opened), where.trust))
    for child, link in zip(chain.layers[1:], chain.links, strict=True):
        if not link.matches:  # it was accepted, it should be known
            from analyzer.linkage.mismatch import gather_evidence

            evidence = gather_evidence(child, link.parent)
            text = f"{safe(link.parent.path)} as the parent of {safe(child.path)}: {safe(evidence)}"
            say(f"warning: {text}")
    return chain


def open_links(leaf: Path, where: LinkOptions, opened: Opener | None = None) -> Chain:
    """Open a chain as its links say, and say nothing of it: for a look at its files before it is read."""
    return open_chain(
        leaf,
        parents=where.parents,
        search=where.search,
        mappings=where.mappings,
        on_mismatch=where.on_mismatch,
        source_maps=where.maps,
        opened=opened,
    )


def layer_file(leaf: Path, where: Where) -> tuple[Path, Where]:
    """The file whose state is meant, and how its parents are found: of LEAF@N the file of layer N, else LEAF itself.

    Raises NoSuchLayerError, and what opening the chain raises.
    """
    name = StateName.parse(str(leaf))
    if name.layer is None:
        return name.path, where
    with open_links(name.path, where) as chain:
        state = chain.upto(name.layer)
        above = len(chain.layers) - len(state.layers)
        return state.path, replace(where, parents=where.parents[above:])


def warn_of_map(disk: Disk) -> None:
    """Say, on stderr, what the maps beside images that `vhdx recover` wrote say of them, or that one is lacking."""
    for one in disk.layers if isinstance(disk, Chain) else (disk,):
        if note := map_note(one.path, one.size):
            say(f"warning: {safe(note)}")


def warn_of_findings(chain: Chain) -> tuple[Finding, ...]:
    """Say, on stderr, the warnings of a chain, and what a check calls an error in a file of it.

    Returns these errors, for JSON and the exit code.
    """
    from analyzer.check.layers import errors_of_layers
    from analyzer.remedies import next_step

    output.warn(chain.findings)
    errors = errors_of_layers(chain)
    for finding in errors:
        text = f"{finding.path}: {finding}; what is read may be wrong. {next_step(finding)}"
        say(f"warning: {safe(text)}")
    return errors


@contextmanager
def changing(path: Path, needed: int) -> Iterator[None]:
    """What to say when the change of a file in its place ends early; on a full disk it lacks `needed` bytes at most."""
    again = "run the same command again, and it goes on"
    try:
        with when_interrupted(f"{path} is whole; {again}"):
            yield
    except FileSystemFullError as error:
        free = shutil.disk_usage(path.absolute().parent).free
        room = f"what is left takes up to {size(needed)}, and {size(free)} are free"
        raise FileSystemFullError(path, f"{room}; the file is whole: make room, {again}") from error
