"""The disk that a command line names: its options, opening it, and what is said of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analyzer.address.open import Access, open_state
from analyzer.address.parse import Address, Kind, PointName, parse_address, repository_in
from analyzer.address.state import WITHOUT_FILES, State, read_by_map
from cli import output
from cli.options.chain import ChainOptions, open_as_it_is, warn_of_findings, warn_of_map
from cli.options.common import BYTE_SIZE, Decorated, grouped, option
from cli.options.passphrase import passphrase_options
from cli.options.takes import require_taken
from cli.settings import REPOSITORY, repository
from cli.text import safe, say
from vhdx.chain import Chain
from vhdx.disk import Disk
from vhdx.findings import Finding
from vhdx.structures.constants import SECTOR_SIZES
from vhdx.system.shell import expanded

if TYPE_CHECKING:
    from analyzer.backup.repository.repository import Repository
    from analyzer.vhd.chain import VhdChain

_WITHOUT_SECTORS = frozenset({Kind.RAW, Kind.DEVICE, Kind.NBD})
_OPENED = "repositories that are open"


def _sector(_context: click.Context, _parameter: click.Parameter, value: int | None) -> int | None:
    if value is not None and value not in SECTOR_SIZES:
        raise click.BadParameter(f"sectors have {' or '.join(map(str, SECTOR_SIZES))} bytes, not {value}.")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskOptions(ChainOptions):
    """How a disk is opened, however it is kept."""

    sector_size: int | None = option(
        "Bytes of a logical sector of a raw image or an export, 512 or 4096. Default: 512; of a device its own.",
        type=BYTE_SIZE,
        metavar="SIZE",
        callback=_sector,
    )


kept_disk_options = grouped("where", DiskOptions)
"""How a disk is opened, as `where`, of a command that has the passphrase of a repository already, or needs none."""


def disk_options(function: Decorated) -> Decorated:
    """How a disk is opened, as `where`; and where the passphrase of a repository comes from."""
    return kept_disk_options(passphrase_options()(function))


def expand_disks(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """The disks that an argument means, patterns of files as the shell would have them where it leaves that to us."""
    return expanded_disks(texts)


def expanded_disks(texts: Sequence[str]) -> tuple[str, ...]:
    """The disks that texts mean."""
    paths = ([text] if "::" in text or "://" in text else map(str, expanded([Path(text)])) for text in texts)
    return tuple(chain.from_iterable(paths))


@contextmanager
def opened(text: str, where: ChainOptions) -> Iterator[State]:
    """The disk that `text` names; what a map beside its files has as lost is LOST, and said."""
    with opened_plain(text, where) as state:
        if state.kind in WITHOUT_FILES:
            yield state
            return
        warn_of_map(state.disk)
        # The layers of a chain are read by their maps already.
        yield state if isinstance(state.disk, Chain) else read_by_map(state)


@contextmanager
def opened_flat(text: str) -> Iterator[State]:
    """A disk that no VHDX or VHD holds; what a map beside its file has as lost is LOST, and said."""
    address = parse_address(text)
    require_taken(address)

    def never(path: Path) -> Any:  # noqa: ANN401 - it gives nothing
        raise TypeError(f"{path} has structures")

    with _said(address, Access(leaf=never, vhd=never, point=_point)) as state:
        if state.kind not in WITHOUT_FILES:
            warn_of_map(state.disk)
        yield read_by_map(state)


@contextmanager
def opened_plain(text: str, where: ChainOptions) -> Iterator[State]:
    """The disk that `text` names, its warnings said, for one who reads it by its map."""
    address = parse_address(text)
    require_taken(address)
    sector_size = where.sector_size if isinstance(where, DiskOptions) else None
    if sector_size and address.kind not in _WITHOUT_SECTORS:
        raise click.UsageError(f"{safe(text)} says itself what its sectors are: leave --sector-size out.")
    access = Access(
        leaf=partial(open_as_it_is, where=where),
        vhd=partial(_vhd, where=where),
        point=_point,
        maps=where.maps,
        sector_size=sector_size,
    )
    with _said(address, access) as state:
        yield state


@contextmanager
def _said(address: Address, access: Access) -> Iterator[State]:
    """What an address names, opened; of a device it is said that it may change."""
    with open_state(address, access) as state:
        if address.kind is Kind.DEVICE:
            device = safe(address.text)
            say(f"note: {device} is a device: what somebody writes to it meanwhile makes a mixture of what is read")
        yield state


def warn_of_state(disk: Disk) -> tuple[Finding, ...]:
    """Say the warnings of a disk; of a chain also what a check calls an error in a file of it, which is returned."""
    if isinstance(disk, Chain):
        return warn_of_findings(disk)
    output.warn(disk.findings)
    return ()


def _vhd(path: Path, where: ChainOptions) -> "VhdChain":
    """A VHD with its parents, by the module that reads such, which is loaded where one is named."""
    from analyzer.vhd.chain import open_vhd_chain

    return open_vhd_chain(path, where.as_search(), where.maps)


def repository_at(text: str) -> "Repository | None":
    """The repository that `text` names by itself, opened; None where it names a disk."""
    where = repository_in(text)
    return None if where is None else _repository(where)


def _point(name: PointName) -> tuple["Repository", str]:
    """The repository that is meant, and the whole name of the restore point, said where it was not given in full."""
    # Loaded where a restore point is named.
    from cli.options.repository import point_named

    where = name.repository or repository()
    if not where:
        raise click.UsageError(f"name the repository in front of ::{safe(name.point)}, or in {REPOSITORY}.")
    kept = _repository(where)
    return kept, point_named(kept, name.point)


def _repository(where: str) -> "Repository":
    from cli.options.repository import repository_of

    opened_before: dict[str, Any] = click.get_current_context().meta.setdefault(_OPENED, {})
    if where not in opened_before:  # a passphrase is asked for once
        opened_before[where] = repository_of(where)
    kept: Repository = opened_before[where]
    return kept
