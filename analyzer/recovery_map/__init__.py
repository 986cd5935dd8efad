"""The map beside a recovered image: its name, its format, and reading a disk by it."""
