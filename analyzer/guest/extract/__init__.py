"""Files out of a disk into a folder: under names that harm nothing, never outside of it."""
