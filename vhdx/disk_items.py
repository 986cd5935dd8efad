"""The metadata items that belong to the disk, whatever they mean: what another file of the same disk must have too."""

from vhdx.contents import Structures
from vhdx.errors import TooMuchMetadataError
from vhdx.source import read_at
from vhdx.structures.constants import METADATA_REGION, MIB, PARENT_LOCATOR
from vhdx.structures.metadata import BELONGS_TO_DISK, ITEM_SIZES, REQUIRED, USER_ITEM, MetadataItem

# Real files have one or two of some bytes. The table of a new file has room for 2,047, its own six among them; content
# is held in memory, and a sparse file of some KiB may claim GiB of it.
_MOST, _LARGEST = 1024, 16 * MIB
_WRITTEN_ANEW = {*ITEM_SIZES, PARENT_LOCATOR}
_KNOWN_FLAGS = USER_ITEM | BELONGS_TO_DISK | REQUIRED


def items_of_disk(structures: Structures) -> tuple[MetadataItem, ...]:
    """The items marked as the virtual disk's, in the order of their table, but for those that a new file has anyway.

    A child gets its parent's, and a merge keeps the child's ([MS-VHDX] 2.6.1.2). What is required and unknown is an
    error (MET-10), with which no file is opened. Raises TooMuchMetadataError, InputOutputError, ShortReadError.
    """
    region, table = structures.region(METADATA_REGION), structures.metadata.value
    if region is None or table is None:
        return ()
    carried = [
        entry
        for entry in table.entries
        if entry.flags & BELONGS_TO_DISK and (entry.is_user or entry.item_id not in _WRITTEN_ANEW)
    ]
    size = sum(entry.length for entry in carried)
    if len(carried) > _MOST or size > _LARGEST:
        raise TooMuchMetadataError(structures.file.path, len(carried), size, _MOST, _LARGEST)
    return tuple(
        MetadataItem(
            entry.item_id,
            entry.flags & _KNOWN_FLAGS,
            read_at(structures.source, region.file_offset + entry.offset, entry.length),
        )
        for entry in carried
    )
