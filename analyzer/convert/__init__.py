"""Everything that writes an image: a chain to one disk, layers to one layer, new empty disks."""
