"""Two states, as a command line names them, and what is said of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from analyzer.diff.find import ChangesPlan, Method
from analyzer.diff.states import State, layers_of, open_state
from analyzer.recovery_map.disk import MappedDisk, UnusableMapError, by_map, without_map
from analyzer.recovery_map.note import map_finding
from cli import output
from cli.options.chain import ChainOptions, open_as_it_is, warn_of_map
from cli.text import exact_size, plural, safe, say
from vhdx.chain import Chain, StateName
from vhdx.disk import Disk
from vhdx.findings import Finding


@contextmanager
def opened(text: str, where: ChainOptions) -> Iterator[State]:
    """The state that `text` names, its warnings said; see `StateName.parse`."""
    with _opened(text, where) as state:
        warn_of_map(state.disk)
        # the layers of a chain are read by their maps already
        yield state if isinstance(state.disk, Chain) else _by_map(state)


@contextmanager
def opened_by_map(text: str, where: ChainOptions) -> Iterator[State]:
    """The state that `text` names, read by the map that `vhdx recover` left beside it, if it did; which is said."""
    with _opened(text, where) as plain:
        state = _by_map(plain)
        if isinstance(state.disk, MappedDisk):
            used = f"is read by {safe(state.disk.map)}: {state.disk.standing}"
            say(f"note: {safe(state.disk.path)} was recovered, and {used}")
        else:
            warn_of_map(state.disk)
        yield state


def _by_map(state: State) -> State:
    """The state as the map beside its file has it; as it is where that cannot be used, which is a doubt."""
    try:
        return replace(state, disk=by_map(state.disk))
    except UnusableMapError as error:
        return replace(state, doubt=str(error))


@contextmanager
def _opened(text: str, where: ChainOptions) -> Iterator[State]:
    with open_state(StateName.parse(text), partial(open_as_it_is, where=where)) as state:
        output.warn(state.disk.findings)
        yield state


def findings_of(*disks: Disk) -> Iterator[Finding]:
    """What opening the states found, each once, and what is said of a map beside one that is not read by it."""
    found = dict.fromkeys(finding for disk in disks for finding in disk.findings)
    unmapped = (disk for disk in disks if not isinstance(disk, MappedDisk))
    beside = dict.fromkeys(map_finding(disk.path, disk.size) for disk in unmapped)
    return filter(None, (*found, *beside))


def state_to_plain(disk: Disk) -> dict[str, Any]:
    """A state as JSON has it."""
    used = {"map": disk.map} if isinstance(disk, MappedDisk) else {}
    disk = without_map(disk)
    kind = "vhdx" if isinstance(disk, Chain) else "raw"
    return {"path": disk.path, "format": kind, "size": disk.size, "layers": layers_of(disk)} | used


def comparison_facts(plan: ChangesPlan, old: Disk, new: Disk) -> list[tuple[str, str]]:
    """What is compared, and how, in words: names and values."""
    return [("old", _described(old)), ("new", _described(new)), ("compared", _method(plan))]


def _described(disk: Disk) -> str:
    disk = without_map(disk)
    kind = plural(len(disk.layers), "layer") if isinstance(disk, Chain) else "a raw image"
    return f"{safe(disk.path)}, {exact_size(disk.size)}, {kind}"


def _method(plan: ChangesPlan) -> str:
    shared = plural(len(plan.shared), "file")
    match plan.method:
        case Method.PROVENANCE:
            return f"by provenance ({shared} in common, no data was read); --verify leaves out what reads the same"
        case Method.VERIFIED:
            return f"by provenance ({shared} in common), verified by content"
    return "by content: no file is common to both"
