"""Read VHDX and AVHDX files and checkpoint chains, offline and exactly.

    >>> import vhdx
    >>> with vhdx.open_chain("leaf.avhdx", search=["/mnt/vms"]) as disk:
    ...     disk.size, disk.runs(0, 1 << 20), disk.read(0, 512)

`open_image` opens one file, `open_chain` a leaf with all its parents. Both give a Disk: `.size`, `.runs(start, end)`,
`.read(start, length)`, `.stream()`, `.findings`. Files are opened read-only; a live log is replayed in memory.
Everything that goes wrong is a VhdxError.
"""

from vhdx.chain import Chain, open_chain
from vhdx.disk import Disk
from vhdx.errors import VhdxError
from vhdx.findings import Finding, Severity
from vhdx.image import Image, open_image
from vhdx.parents import OnMismatch
from vhdx.reader import ChainStream
from vhdx.runs import Kind, Run, RunTable, changed, overlay


def __getattr__(name: str) -> str:
    """`vhdx.__version__`, looked up in the installed distribution when it is asked for."""
    if name == "__version__":
        from importlib import metadata

        return metadata.version("vhdx")
    raise AttributeError(f"module 'vhdx' has no attribute {name!r}")


__all__ = [
    "Chain",
    "ChainStream",
    "Disk",
    "Finding",
    "Image",
    "Kind",
    "OnMismatch",
    "Run",
    "RunTable",
    "Severity",
    "VhdxError",
    "changed",
    "open_chain",
    "open_image",
    "overlay",
]
