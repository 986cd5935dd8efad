"""The numbers of the NBD protocol that are used here, by their names in its document (nbd/doc/proto.md)."""

from enum import IntEnum, IntFlag

GREETING = b"NBDMAGIC"
OPTION_MAGIC = b"IHAVEOPT"
OPTION_REPLY_MAGIC = 0x3E889045565A9
REQUEST_MAGIC = 0x25609513
SIMPLE_MAGIC = 0x67446698
CHUNK_MAGIC = 0x668E33EF

MOST_PAYLOAD = 32 << 20
"""Bytes of one request that every server must take: no client asks for more without having been told that it may."""
MOST_OPTION = 64 << 10
"""Bytes of an option or of its reply that anyone needs: a name takes 4 KiB."""
LONGEST_NAME = 4096
"""Bytes of an export's name, by the protocol."""


class Handshake(IntFlag):
    """Flags of both sides' first words."""

    FIXED_NEWSTYLE = 1
    NO_ZEROES = 2


class Option(IntEnum):
    """What a client asks for before it reads."""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    STARTTLS = 5
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10


class Answer(IntEnum):
    """How a server answers an option; those with the highest bit are refusals."""

    ACK = 1
    SERVER = 2
    INFO = 3
    META_CONTEXT = 4
    UNSUPPORTED = 1 << 31 | 1
    POLICY = 1 << 31 | 2
    INVALID = 1 << 31 | 3
    UNKNOWN = 1 << 31 | 6
    TOO_BIG = 1 << 31 | 9


REFUSAL = 1 << 31
"""The bit of an answer that refuses."""


class Info(IntEnum):
    """What is told of an export."""

    EXPORT = 0
    NAME = 1
    DESCRIPTION = 2
    BLOCK_SIZE = 3


class Transmission(IntFlag):
    """What an export can do."""

    HAS_FLAGS = 1 << 0
    READ_ONLY = 1 << 1
    SEND_FLUSH = 1 << 2
    SEND_FUA = 1 << 3
    SEND_TRIM = 1 << 5
    SEND_WRITE_ZEROES = 1 << 6
    SEND_DF = 1 << 7
    CAN_MULTI_CONN = 1 << 8


class Command(IntEnum):
    """What a client asks of an export."""

    READ = 0
    WRITE = 1
    DISCONNECT = 2
    FLUSH = 3
    TRIM = 4
    CACHE = 5
    WRITE_ZEROES = 6
    BLOCK_STATUS = 7


class Flag(IntFlag):
    """Flags of a command."""

    FUA = 1 << 0
    NO_HOLE = 1 << 1
    DF = 1 << 2
    REQ_ONE = 1 << 3
    FAST_ZERO = 1 << 4


class Chunk(IntEnum):
    """Kinds of chunks of a structured reply."""

    NONE = 0
    OFFSET_DATA = 1
    OFFSET_HOLE = 2
    BLOCK_STATUS = 5
    ERROR = 1 << 15 | 1
    ERROR_OFFSET = 1 << 15 | 2


DONE = 1
"""The flag of the last chunk of a reply."""


class Failure(IntEnum):
    """Numbers of errors, those of Linux whatever the system."""

    EPERM = 1
    EIO = 5
    ENOMEM = 12
    EINVAL = 22
    ENOSPC = 28
    EOVERFLOW = 75
    ENOTSUP = 95
    ESHUTDOWN = 108


class Allocation(IntFlag):
    """What `base:allocation` says of a range."""

    HOLE = 1
    ZERO = 2
