"""What of a file belongs to nothing: leaked space, trailing data, and how the host keeps the file."""

import os
import stat
from collections.abc import Callable, Iterator

from analyzer.guest.layouts.signatures import looks_like
from analyzer.judgement.chain import findings_of
from analyzer.judgement.weigh import judge
from vhdx.disk import Disk
from vhdx.errors import VhdxError
from vhdx.findings import Finding, Severity
from vhdx.replay import Log
from vhdx.source import ByteSource, FileSource, read_at
from vhdx.structures.constants import KIB, MIB, NIL
from vhdx.table import BlockTable

# A page: enough for the signature of what may be there.
_SAMPLE = 4 * KIB
_SPARSE, _COMPRESSED, _ENCRYPTED = 0x200, 0x800, 0x4000


def check_space(table: BlockTable, log: Log, disk_of: Callable[[], Disk | None]) -> Iterator[Finding]:
    """Data that no entry points to, and what it seems to be; whether the table lost entries rather than the disk data.

    `disk_of` opens the disk of the file, None where it has parents. While the log is live an empty table is no loss:
    blocks are written before the table knows of them.
    """
    judgement, live = judge(table, log, disk_of), log.log_guid != NIL
    free, held = judgement.unowned.free, judgement.unowned.held
    if held and not live and not _claims_anything(table):
        text = f"the block table is empty, and data stands in {held.size} MiB of the file where blocks would"
        yield Finding("BAT-19", Severity.ERROR, text, table.bat_offset, table.bat_length, "2.5")
    else:
        yield from findings_of(table, judgement, live=live)
    end = table.source.size // MIB
    behind = next((part.start for part in free if part.end == end), end)
    for part in held:
        what = _looks(table.source, part.start * MIB)
        text = f"{part.length} MiB of the file belong to nothing and hold {what}"
        code = "BAT-20" if part.start < behind else "FID-07"
        yield Finding(code, Severity.NOTE, text, part.start * MIB, part.length * MIB, "2.5")


def _claims_anything(table: BlockTable) -> bool:
    return any(entries.any() for _, entries in table.all_entries())


def _looks(source: ByteSource, at: int) -> str:
    try:
        return looks_like(read_at(source, at, _SAMPLE)) or "data"
    except VhdxError:
        return "what cannot be read"


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
