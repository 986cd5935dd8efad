"""Read VHDX and AVHDX files and checkpoint chains, offline and exactly.

    >>> import vhdx
    >>> with vhdx.open_chain("leaf.avhdx", search=["/mnt/vms"]) as disk:
    ...     disk.size, disk.runs(0, 1 << 20), disk.read(0, 512)

`open_image` opens one file, `open_chain` a leaf with all its parents. Both give a Disk: `.size`, `.runs(start, end)`,
`.read(start, length)`, `.stream()`, `.findings`. Files are opened read-only; a live log is replayed in memory.
Everything that goes wrong is a VhdxError.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vhdx.chain import Chain, open_chain
    from vhdx.disk import Disk
    from vhdx.errors import VhdxError
    from vhdx.findings import Finding, Severity
    from vhdx.image import Image, open_image
    from vhdx.parents import OnMismatch
    from vhdx.reader import ChainStream
    from vhdx.runs import Kind, Run, RunTable, changed, overlay

# Loaded when it is asked for: a program that needs the ranges alone, as the one that reads file systems for us, starts
# in half of the time. test_importing_a_part_of_the_library_loads_no_other.
_HOMES = {
    "chain": ("Chain", "open_chain"),
    "disk": ("Disk",),
    "errors": ("VhdxError",),
    "findings": ("Finding", "Severity"),
    "image": ("Image", "open_image"),
    "parents": ("OnMismatch",),
    "reader": ("ChainStream",),
    "runs": ("Kind", "Run", "RunTable", "changed", "overlay"),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever has the name
    """A public name, from its module, or the module; `vhdx.__version__`, from the installed distribution."""
    if name == "__version__":
        from importlib import metadata  # 6 ms, and this is asked for each module that is loaded by `from vhdx import`

        return metadata.version("vhdx")
    from importlib import import_module

    if name in _HOMES:
        return import_module(f"vhdx.{name}")
    for module, names in _HOMES.items():
        if name in names:
            globals()[name] = getattr(import_module(f"vhdx.{module}"), name)
            return globals()[name]
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
