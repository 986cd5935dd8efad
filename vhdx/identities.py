"""New GUIDs: random, or drawn from a seed so that an output can be made again byte for byte."""

from collections.abc import Callable
from hashlib import sha256
from uuid import UUID, uuid4

Identities = Callable[[str], UUID]
"""Gives the GUID for a role, such as "data_write_guid"."""


def random_identities(_role: str) -> UUID:
    """A fresh random GUID."""
    return uuid4()


def seeded_identities(seed: str) -> Identities:
    """GUIDs that depend on `seed` and the role alone."""

    def identity(role: str) -> UUID:
        return UUID(bytes=sha256(f"vhdx\0{seed}\0{role}".encode()).digest()[:16], version=4)

    return identity
