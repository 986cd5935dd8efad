"""Two states, as a command line names them, and what is said of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from analyzer.address.state import WITHOUT_FILES, State, form_of, layers_of, read_by_map, title_of
from analyzer.diff.find import ChangesPlan, Method
from analyzer.recovery_map.disk import MappedDisk, without_map
from analyzer.recovery_map.note import map_finding
from cli import output
from cli.options.address import opened, opened_plain
from cli.options.chain import ChainOptions, warn_of_map
from cli.text import exact_size, plural, safe, say
from vhdx.disk import Disk
from vhdx.findings import Finding

_FORMS = {"raw": "a raw image", "point": "a restore point", "nbd": "an export"}


@contextmanager
def opened_with_warnings(text: str, where: ChainOptions) -> Iterator[State]:
    """The state that `text` names, its warnings said; what a map beside its files has as lost is LOST."""
    with opened(text, where) as state:
        output.warn(state.disk.findings)
        yield state


@contextmanager
def opened_by_map(text: str, where: ChainOptions) -> Iterator[State]:
    """The state that `text` names, with what the map that `vhdx recover` left beside it says; which is said."""
    with opened_plain(text, where) as plain:
        output.warn(plain.disk.findings)
        state = read_by_map(plain)
        if isinstance(state.disk, MappedDisk):
            used = f"is read by {safe(state.disk.map)}: {state.disk.standing}"
            if state.disk.lost or state.disk.stale:
                say(f"note: {safe(state.disk.path)} was recovered, and {used}")
        elif state.kind not in WITHOUT_FILES:
            warn_of_map(state.disk)
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
    return {"path": title_of(disk), "format": form_of(disk), "size": disk.size, "layers": layers_of(disk)} | used


def comparison_facts(plan: ChangesPlan, old: Disk, new: Disk) -> list[tuple[str, str]]:
    """What is compared, and how, in words: names and values."""
    return [("old", _described(old)), ("new", _described(new)), ("compared", _method(plan))]


def _described(disk: Disk) -> str:
    disk = without_map(disk)
    kind = plural(len(layers_of(disk)), "layer") if form_of(disk) in {"vhdx", "vhd"} else _FORMS[form_of(disk)]
    return f"{safe(title_of(disk))}, {exact_size(disk.size)}, {kind}"


def _method(plan: ChangesPlan) -> str:
    shared = plural(len(plan.shared), "file")
    match plan.method:
        case Method.PROVENANCE:
            return f"by provenance ({shared} in common, no data was read); --verify leaves out what reads the same"
        case Method.VERIFIED:
            return f"by provenance ({shared} in common), verified by content"
        case Method.CHUNKS:
            return "by the ids of chunks, and by content where these differ"
    return "by content: no file is common to both"
