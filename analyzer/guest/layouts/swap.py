"""The first page of Linux swap space, 4 KiB."""

SIZE = 4096
SIGNATURE, SIGNATURE_AT = b"SWAPSPACE2", 4086
UUID = slice(1036, 1052)
# Linux puts this in place of the signature while a hibernated system is in the swap space.
_SLEEPING = b"S1SUSPEND"
_VERSION_AT, _VERSION = slice(1024, 1028), b"\x01\0\0\0"


def is_asleep(page: bytes) -> bool:
    """Whether a sleeping system's memory is in the swap space."""
    return page.startswith(_SLEEPING, SIGNATURE_AT)


def is_swap(page: bytes) -> bool:
    """Whether the page begins swap space of the version that has a UUID."""
    return page.startswith(SIGNATURE, SIGNATURE_AT) and page[_VERSION_AT] == _VERSION
