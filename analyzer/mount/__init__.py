"""Disks, restore points and the file systems inside them as a read-only folder of this machine, by FUSE."""
