"""CRC-32C (Castagnoli), which guards headers, region tables and log entries ([MS-VHDX] 2.2)."""

import google_crc32c
import numpy as np
import numpy.typing as npt

CHECKSUM_OFFSET = 4
CHECKSUM_SIZE = 4


def crc32c(data: bytes | npt.NDArray[np.uint8]) -> int:
    """CRC-32C of `data`, which may be an array, so that nothing needs to be copied."""
    return int(google_crc32c.value(data))


def crc32c_without_field(structure: bytes) -> int:
    """CRC-32C of a whole structure, its own checksum field at byte 4 taken as zero."""
    head = structure[:CHECKSUM_OFFSET] + bytes(CHECKSUM_SIZE)
    return int(google_crc32c.extend(crc32c(head), structure[CHECKSUM_OFFSET + CHECKSUM_SIZE :]))


def with_checksum(structure: bytes) -> bytes:
    """The structure with its checksum field made right."""
    checksum = crc32c_without_field(structure).to_bytes(CHECKSUM_SIZE, "little")
    return structure[:CHECKSUM_OFFSET] + checksum + structure[CHECKSUM_OFFSET + CHECKSUM_SIZE :]
