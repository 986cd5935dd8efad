"""The file systems inside a disk: volumes, files, where on the disk each of them is, and what they hold."""
