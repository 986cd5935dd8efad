"""A metadata region written anew from disk parameters."""

from analyzer.recover.rebuild.workspace import RebuildWorkspace
from vhdx.structures.constants import METADATA_TABLE_SIZE, MIB, PARENT_LOCATOR
from vhdx.structures.disk import DiskParameters, build_disk_parameters
from vhdx.structures.metadata import ITEM_FLAGS, SIGNATURE, MetadataEntry, MetadataTable, build_metadata_table

_RESERVED = bytes(20)


def lay_metadata(work: RebuildWorkspace, at: int, disk: DiskParameters, locator: bytes = b"") -> None:
    """Lay a metadata region of 1 MiB, with these parameters and this locator, over byte `at` of the file."""
    items = build_disk_parameters(disk) | ({PARENT_LOCATOR: locator} if locator else {})
    entries, body = [], b""
    for item, content in items.items():
        entries.append(MetadataEntry(item, METADATA_TABLE_SIZE + len(body), len(content), ITEM_FLAGS[item], 0))
        body += content
    table = build_metadata_table(MetadataTable(SIGNATURE, 0, len(entries), _RESERVED, tuple(entries)))
    work.patch((at, (table + body).ljust(MIB, b"\0")))
