"""Options that several commands share."""

import logging
import math
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from analyzer.judgement.chain import Trust, open_judged_chain
from analyzer.recovery_map.disk import map_note
from cli.options.grouping import Decorated, OneOf, Option, choice, grouped
from cli.text import safe, tell
from vhdx.chain import Chain
from vhdx.contents import Opener, open_structures
from vhdx.disk import Disk
from vhdx.findings import Finding
from vhdx.parents import OnMismatch, Search
from vhdx.paths import Mapping
from vhdx.sink import Existing
from vhdx.source import file_identity
from vhdx.source_map import SourceMaps

FILE_PATH = click.Path(path_type=Path, readable=False)
"""A path that click does not look at: what is wrong with it, the library says, with the right exit code."""
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class ByteSize(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """A number of bytes: 4096, 64M, 1.5G, 2TiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", str(value).strip(), re.IGNORECASE)
        if match is None:
            self.fail(f"{value!r} is not a size; write 4096, 64M, 1.5G or 2T", param, ctx)
        amount = float(match[1]) * _UNITS[match[2].upper()]
        if amount != int(amount):
            self.fail(f"{value!r} is not a whole number of bytes", param, ctx)
        return int(amount)


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """A time: 90s, 30m, 2h."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", str(value))
        if match is None:
            self.fail(f"{value!r} is not a time; write 90s, 30m or 2h", param, ctx)
        return float(match[1]) * _SECONDS[match[2]]


class Number(click.FloatRange):
    """A number; nan and inf are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


class LogMoment(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """A moment of a file's log: the number of an entry, or the log_guid of a session."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | UUID:
        """The number, or the GUID."""
        if isinstance(value, int | UUID):
            return value
        text = str(value).strip()
        try:
            return int(text) if text.isascii() and text.isdigit() else UUID(text)
        except ValueError:
            self.fail(f"{value!r} is neither a log entry's number nor a log_guid; see `vhdx history`", param, ctx)


class SourceMapOf(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """A file and the map of its copying: disk.vhdx=rescue.log."""

    name = "file and map"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Path, Path]:
        """Their paths; either may have a `=` in it, for both must be there."""
        if isinstance(value, tuple):
            return value
        cuts = (at for at, character in enumerate(value) if character == "=")
        pairs = ((Path(value[:at]), Path(value[at + 1 :])) for at in cuts)
        found = next((pair for pair in pairs if all(map(file_identity, pair))), None)
        return found or self.fail(f"{value!r} does not name a file and its map; write disk.vhdx=rescue.map", param, ctx)


def known_folders(_context: click.Context, _parameter: click.Parameter, folders: Sequence[Path]) -> Sequence[Path]:
    """The folders, each of which must be one: a slip of the pen must not go unseen where nothing is looked for there.

    What keeps a folder that is there from being listed, the library says when it is needed.
    """
    for folder in folders:
        what = _not_a_folder(folder)
        if what:
            raise click.BadParameter(f"{safe(folder)} {what}; name the folder that holds the parents.")
    return folders


def _not_a_folder(path: Path) -> str:
    try:
        return "" if stat.S_ISDIR(path.stat().st_mode) else "is no folder"
    except (FileNotFoundError, NotADirectoryError):
        return "is not there"
    except OSError:
        return ""


source_map_option = click.option(
    "--source-map",
    "source_maps",
    multiple=True,
    type=SourceMapOf(),
    metavar="FILE=MAP",
    help="Map that GNU ddrescue wrote when it copied FILE, if not beside it. Repeat for each file.",
)
"""What of the files was never read from its medium."""


def _known_mappings(_context: click.Context, _parameter: click.Parameter, mappings: tuple[str, ...]) -> tuple[str, ...]:
    """The mappings, each of which must be one."""
    try:
        for text in mappings:
            Mapping.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return mappings


def search_option(help: str) -> Option:  # noqa: A002 - click's own word
    """`--search`, folders in which parents are looked for."""
    return click.option("--search", multiple=True, type=FILE_PATH, metavar="DIR", callback=known_folders, help=help)


def map_option() -> Option:
    """`--map`, as `mappings`: where folders of the old host are now."""
    return click.option("--map", "mappings", multiple=True, metavar="WIN=DIR", callback=_known_mappings,
                        help=r"Where a folder of the old host is now: 'C:\VMs=/mnt/nas'.")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainOptions:
    """How the parents of a file are found, and how its tables are read."""

    parents: tuple[Path, ...] = ()
    search: tuple[Path, ...] = ()
    mappings: tuple[str, ...] = ()
    on_mismatch: OnMismatch = OnMismatch.REFUSE
    trust: Trust = Trust.JUDGED
    source_maps: tuple[tuple[Path, Path], ...] = ()

    @property
    def maps(self) -> SourceMaps:
        """The maps of ddrescue that files are read by."""
        return SourceMaps(self.source_maps)

    def as_search(self) -> Search:
        """The same for the library."""
        mappings = [Mapping.parse(text) for text in self.mappings]
        return Search(
            parents=self.parents,
            folders=self.search,
            mappings=mappings,
            on_mismatch=self.on_mismatch,
            opened=partial(open_structures, maps=self.maps),
        )


_LINK_OPTIONS = (
    click.option("--parent", "parents", multiple=True, type=FILE_PATH, metavar="FILE",
                 help="Path of a parent file. Repeat for each layer, nearest parent first."),
    search_option("Folder whose files are matched by identity, after the leaf's own folder. Subfolders are not"
                  " searched."),
    map_option(),
    click.option("--on-mismatch", type=OneOf(OnMismatch), default=OnMismatch.REFUSE.value, show_default=True,
                 help="Refuse or accept a parent whose identity is not the one that the child names."),
    source_map_option,
)  # fmt: skip


def chain_options(function: Decorated) -> Decorated:
    """How parents are found and tables are read: `where`, for `open_leaf`."""
    trust = choice("--trust-table", "trust", on=Trust.TABLE, off=Trust.JUDGED,
                   help="Read block tables as they are, also entries in doubt; warnings name these.")  # fmt: skip
    return grouped("where", ChainOptions, (*_LINK_OPTIONS, trust))(function)


def link_options(function: Decorated) -> Decorated:
    """How parents are found: `where`."""
    return grouped("where", ChainOptions, _LINK_OPTIONS)(function)


def json_option(function: Decorated) -> Decorated:
    """`--json`, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write the result to stdout as JSON.")(function)


def force_option(what: str) -> Option:
    """`--force`, as `existing`: Existing.REPLACE where it is given."""
    return choice("--force", "existing", on=Existing.REPLACE, off=Existing.REFUSE, help=f"Replace {what} if it exists.")


def open_leaf(leaf: Path, where: ChainOptions, opened: Opener | None = None) -> Chain:
    """Open a chain as the chain options say; of an image that `vhdx recover` wrote it is said what of it is lost."""
    chain = open_as_it_is(leaf, where, opened)
    warn_of_map(chain)
    return chain


def open_as_it_is(leaf: Path, where: ChainOptions, opened: Opener | None = None) -> Chain:
    """Open a chain as the chain options say, for one who reads it by its map; by `opened`, where it is given."""
    quiet_library()
    chain = open_judged_chain(
        leaf,
        trust=where.trust,
        parents=where.parents,
        search=where.search,
        mappings=where.mappings,
        on_mismatch=where.on_mismatch,
        source_maps=where.maps,
        opened=opened,
    )
    _say_what_is_accepted(chain)
    return chain


def warn_of_map(disk: Disk) -> None:
    """Say, on stderr, what the map beside an image that `vhdx recover` wrote says of it, or that it lacks one."""
    if note := map_note(disk.path, disk.size):
        click.echo(f"warning: {safe(note)}", err=True)


def _say_what_is_accepted(chain: Chain) -> None:
    """The evidence on every link whose identity does not match, on stderr: it was accepted, it should be known."""
    for child, link in zip(chain.layers[1:], chain.links, strict=True):
        if not link.matches:
            from analyzer.linkage.mismatch import gather_evidence

            evidence = gather_evidence(child, link.parent)
            click.echo(
                f"warning: {safe(link.parent.path)} as the parent of {safe(child.path)}: {safe(evidence)}", err=True
            )


def warn_of_errors(chain: Chain) -> tuple[Finding, ...]:
    """Say, on stderr, what a check calls an error in a file of the chain; returns it, for JSON and the exit code."""
    from analyzer.check import errors_of_layers
    from analyzer.remedies import next_step

    errors = errors_of_layers(chain)
    for finding in errors:
        text = f"{finding.path}: {finding}; what is read may be wrong. {next_step(finding)}"
        tell(f"warning: {safe(text)}")
    return errors


def quiet_library() -> None:
    """The library logs its warnings for those who call it from Python; here they are shown once, by `warn`."""
    logging.getLogger("vhdx").addHandler(logging.NullHandler())
