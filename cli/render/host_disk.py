"""VHDX files in the disk of a host, as lines and as JSON has them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import output
from cli.text import safe, size

if TYPE_CHECKING:
    from analyzer.host_disk.model import HostedFile
    from analyzer.host_disk.write import Written

_ORIGINS = {"file": "", "deleted": " (deleted)", "structure": " (found by its structure alone)"}


def carve_command(disk: Path) -> Sequence[str]:
    """What takes the files out of a disk."""
    return ["vhdx", "carve", str(disk), "--extract", "DIR"]


def hosted_line(file: "HostedFile") -> str:
    """A file, how large it is, and what is against it."""
    where = f"{file.volume}:{file.path}" if file.path is not None else f"at byte {file.start}"
    lost = f"; {size(file.lost.size)} of it are lost" if file.lost else ""
    reason = f"; {file.reason}" if file.reason else ""
    return f"{size(file.size):>10}  {safe(where)}{_ORIGINS[file.origin.value]}{safe(f'{lost}{reason}')}"


def written_line(written: "Written") -> str:
    """The same, and where it was written to."""
    line = hosted_line(written.file)
    if written.target is not None:
        return f"{line} -> {safe(written.target)}"
    return line if written.file.reason else f"{line}; {safe(written.reason)}"


def hosted_to_plain(file: "HostedFile", written: "Written | None" = None) -> dict[str, Any]:
    """A file as JSON has it."""
    reason = file.reason or (written.reason if written else None)
    return {
        "path": None if file.path is None else output.plain_text(file.path), "volume": file.volume,
        "origin": file.origin.value, "offset": file.start, "size": file.size, "lost_bytes": file.lost.size,
        "fragments": len(file.extents), "reason": reason and output.plain_text(reason),
        "file": written.target if written else None,
    }  # fmt: skip
