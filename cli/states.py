"""Two states, as a command line names them, and what is said of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analyzer.changes.find import ChangesPlan, Method
from analyzer.changes.states import State, StateName, layers_of, open_state
from cli import output
from cli.options import open_leaf, quiet_library
from cli.text import exact_size, plural, safe
from vhdx.chain import Chain
from vhdx.disk import Disk


@contextmanager
def opened(text: str, where: dict[str, Any]) -> Iterator[State]:
    """The state that `text` names, its warnings said; see `StateName.parse`."""
    quiet_library()

    def leaf(path: Path) -> Chain:
        return open_leaf(path, where)

    with open_state(StateName.parse(text), leaf) as state:
        output.warn(state.disk.findings)
        yield state


def state_to_plain(disk: Disk) -> dict[str, Any]:
    """A state as JSON has it."""
    kind = "vhdx" if isinstance(disk, Chain) else "raw"
    return {"path": disk.path, "format": kind, "size": disk.size, "layers": layers_of(disk)}


def told(disk: Disk) -> str:
    """A state in words."""
    kind = plural(len(disk.layers), "layer") if isinstance(disk, Chain) else "a raw image"
    return f"{safe(disk.path)}, {exact_size(disk.size)}, {kind}"


def method_told(plan: ChangesPlan) -> str:
    """How the states are compared, in words."""
    shared = plural(len(plan.numbering.shared), "file")
    match plan.method:
        case Method.PROVENANCE:
            return f"by provenance ({shared} in common, no data was read); --verify leaves out what reads the same"
        case Method.VERIFIED:
            return f"by provenance ({shared} in common), verified by content"
    return "by content: no file is common to both"
