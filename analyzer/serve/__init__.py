"""Disks served by NBD: what reads block devices reads them, and nothing is converted."""
