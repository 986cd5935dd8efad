"""What differs between Linux, macOS and Windows, each in one place, with the portable twin beside it.

Nothing here knows of virtual disks; everything above asks here, and never which system it is.
"""
