"""What a map says of each range of a disk."""

from enum import Enum


class Status(Enum):
    """What is known of a range of the disk."""

    KNOWN = "known"
    """It is what the newest file that was given shows: nothing that is missing could have changed it."""
    STALE = "stale"
    """It is an older state, or one in doubt: a layer that is missing may have changed it."""
    LOST = "lost"
    """Nothing is known of it; the output has its fill there."""
