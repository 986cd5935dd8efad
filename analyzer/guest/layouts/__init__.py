"""Partition tables, boot sectors, superblocks, and what they lead to at once: group descriptors, inodes, $MFT records.

Each layout is declared here and nowhere else, and judged where it matters: what is sane enough to read files by is not
yet sane enough to witness where a block belongs.

Pure: bytes in, record out. Nothing here opens or seeks; what needs to look further is handed a function that reads.
"""
