"""Layers of a chain merged into one of their parents, in its place: what Windows' Merge-VHD does, with ways back."""
