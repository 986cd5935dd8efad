"""What the volumes of a disk have in use, by their own maps and files: which ranges cannot be absent, which may be."""
