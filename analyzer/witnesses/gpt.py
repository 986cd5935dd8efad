"""What a GPT says of its bytes: two headers that name each other, each with a checksum, and one of its entries.

UEFI specification, 5.3. Where the MBR is not protective, a GPT may be of former days, and half of it written over.
"""

from collections.abc import Callable, Iterator

from analyzer.guest.layouts.gpt import GptHeader, parse_whole_header
from analyzer.guest.layouts.partitions import MBR_SIZE, PROTECTIVE, gpt_copies, parse_mbr
from analyzer.guest.usage.model import Known
from analyzer.witnesses.model import Statement
from vhdx.structures.constants import SECTOR_SIZES

Read = Callable[[int, int], bytes]


def statements_of_gpt(known: Known) -> Iterator[Statement]:
    """Both headers and both arrays of entries, by the first copy that is whole; nothing where none is."""
    mbr = parse_mbr(known.read(0, MBR_SIZE) or b"")
    if mbr is None or all(entry.kind != PROTECTIVE for entry in mbr.entries):
        return

    def read(start: int, length: int) -> bytes:
        return known.read(start, length) or b""

    copies = (copy for sector in SECTOR_SIZES for copy in gpt_copies(read, known.size, sector))
    whole = next(copies, None)
    if whole is not None:
        for place in (whole.header.here, whole.header.other):
            yield from _copy(known, whole.header, place)


def _copy(known: Known, whole: GptHeader, place: int) -> Iterator[Statement]:
    sector = whole.sector_size
    raw = known.read(place * sector, sector)
    if raw is None:
        return
    found = parse_whole_header(raw)
    is_it = found is not None and (found.here, found.disk_guid) == (place, whole.disk_guid)
    yield place * sector, sector, is_it
    table = known.read(found.table_start, found.table_length) if found and is_it else None
    if found and table is not None:
        yield found.table_start, found.table_length, found.fits(table)
