"""Fixed places, sizes and identities of the format ([MS-VHDX] 2.2 to 2.6)."""

from typing import Final
from uuid import UUID

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
TIB: Final = 1 << 40

IDENTIFIER_OFFSET: Final = 0
HEADER_OFFSETS: Final = (64 * KIB, 128 * KIB)
HEADER_SIZE: Final = 4 * KIB
REGION_TABLE_OFFSETS: Final = (192 * KIB, 256 * KIB)
REGION_TABLE_SIZE: Final = 64 * KIB
METADATA_TABLE_SIZE: Final = 64 * KIB
HEADER_AREA_SIZE: Final = MIB
"""Nothing that the region table, the log or the BAT points at may begin below this."""

LOG_SECTOR_SIZE: Final = 4 * KIB
LOWEST_LOG_TARGET: Final = 192 * KIB
"""A log entry may rewrite the region tables and what follows, never the identifier or the headers."""

MAX_TABLE_ENTRIES: Final = 2047
MAX_USER_ITEMS: Final = 1024
MAX_ITEM_SIZE: Final = MIB

MIN_BLOCK_SIZE: Final = MIB
MAX_BLOCK_SIZE: Final = 256 * MIB
MAX_DISK_SIZE: Final = 64 * TIB
SECTOR_SIZES: Final = (512, 4096)
SECTORS_PER_CHUNK: Final = 1 << 23
"""One sector bitmap block holds this many bits; a chunk is the disk range that it describes."""
SECTOR_BITMAP_SIZE: Final = MIB

MAX_CHAIN_DEPTH: Final = 256
MAX_FILE_SIZE: Final = (1 << 63) - 1
"""What file systems count up to, and the kernels with them."""

NIL: Final = UUID(int=0)

BAT_REGION: Final = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
METADATA_REGION: Final = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")

FILE_PARAMETERS: Final = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
VIRTUAL_DISK_SIZE: Final = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
VIRTUAL_DISK_ID: Final = UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
LOGICAL_SECTOR_SIZE: Final = UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
PHYSICAL_SECTOR_SIZE: Final = UUID("cda348c7-445d-4471-9cc9-e9885251c556")
PARENT_LOCATOR: Final = UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")

# These three are not in the specification; writers in the field use them.
INCOMPLETE_FILE: Final = UUID("71cc85f0-1b69-4e28-9558-c3bf83ae75d3")
CHS_GEOMETRY: Final = UUID("da02d7bc-3d3a-423c-ac88-2a36ab21479b")
PMEM_LABEL: Final = UUID("10e1ae8a-4b7e-4169-a40f-cd70de928393")

VHDX_LOCATOR_TYPE: Final = UUID("b04aefb7-d19e-4a81-b789-25b8e9445913")
