"""VHD 1: layout and writer."""
