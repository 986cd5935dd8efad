"""What of a file belongs to nothing: leaked space, trailing data, and how the host keeps the file."""

import os
import stat
from collections.abc import Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt

from analyzer.guest.layouts.signatures import looks_like
from vhdx.findings import Finding, Severity
from vhdx.ranges import Range, joined
from vhdx.source import ByteSource, FileSource, read_at
from vhdx.structures.constants import HEADER_AREA_SIZE, KIB, MIB
from vhdx.table import BlockTable

_SAMPLE = 4 * KIB
_MOST_SAMPLES, _WINDOW = 1 << 14, 1 << 16
_SPARSE, _COMPRESSED, _ENCRYPTED = 0x200, 0x800, 0x4000


def check_space(table: BlockTable, *, live: bool) -> Iterator[Finding]:
    """Data that no entry points to, and what it seems to be; whether the table was lost rather than the disk.

    While a log is `live` an empty table is no loss: blocks are written before the table knows of them.
    """
    owners = _owners(table)
    held = [mib for mib in islice(_unowned(owners), _MOST_SAMPLES) if _holds_something(table.source, mib)]
    if held and not live and not _claims_anything(table):
        text = f"the block table is empty, and data stands in {len(held)} MiB of the file where blocks would"
        yield Finding("BAT-19", Severity.ERROR, text, table.bat_offset, table.bat_length, "2.5")
    for mibs in joined(Range(mib, 1) for mib in held):
        what = _looks(table.source, mibs.start * MIB)
        text = f"{mibs.length} MiB of the file belong to nothing and hold {what}"
        code = "BAT-20" if np.any(owners[mibs.end :]) else "FID-07"
        yield Finding(code, Severity.NOTE, text, mibs.start * MIB, mibs.length * MIB, "2.5")


def _unowned(owners: npt.NDArray[np.uint8]) -> Iterator[int]:
    for first in range(0, len(owners), _WINDOW):
        yield from (first + np.flatnonzero(owners[first : first + _WINDOW] == 0)).tolist()


def _owners(table: BlockTable) -> npt.NDArray[np.uint8]:
    """One byte for each whole MiB of the file: not 0 where something stands."""
    owners, _ = table.claims.owners(table.all_places())
    owners = owners[: table.source.size // MIB]
    owners[: HEADER_AREA_SIZE // MIB] = 1
    for start, end, _ in table.structures:
        owners[start // MIB : -(-end // MIB)] = 1
    return owners


def _claims_anything(table: BlockTable) -> bool:
    return any(entries.any() for _, entries in table.all_entries())


def _holds_something(source: ByteSource, mib: int) -> bool:
    places = (0, MIB // 2, MIB - _SAMPLE)
    return any(read_at(source, mib * MIB + at, _SAMPLE).count(0) < _SAMPLE for at in places)


def _looks(source: ByteSource, at: int) -> str:
    return looks_like(read_at(source, at, _SAMPLE)) or "data"


def check_ends(source: ByteSource) -> Iterator[Finding]:
    """Whether the file ends on a whole MiB."""
    if source.size % MIB:
        text = f"the file has {source.size} bytes, which is no whole number of MiB"
        yield Finding("FID-08", Severity.NOTE, text, source.size, None, "2.2")


def check_host(source: ByteSource) -> Iterator[Finding]:
    """How the host's file system keeps the file, as far as it tells."""
    if not isinstance(source, FileSource):
        return
    status = os.fstat(source.descriptor)
    flags = getattr(status, "st_file_attributes", 0)
    kinds = [name for bit, name in ((_COMPRESSED, "compressed"), (_ENCRYPTED, "encrypted")) if flags & bit]
    blocks = getattr(status, "st_blocks", None)
    if flags & _SPARSE or (stat.S_ISREG(status.st_mode) and blocks is not None and blocks * 512 < status.st_size):
        kinds.append("sparse")
    if kinds:
        text = f"the host keeps the file {' and '.join(kinds)}; Windows does not attach such files"
        yield Finding("FID-10", Severity.NOTE, text)
