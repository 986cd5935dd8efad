"""Checking: everything that can be known about a file, a chain, and what is inside the disk."""
