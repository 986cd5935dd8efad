"""Disasters: random damages over random healthy chains with file systems in them, held against the truth."""
