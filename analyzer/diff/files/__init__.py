"""Which files differ between two states of a disk, and how."""
