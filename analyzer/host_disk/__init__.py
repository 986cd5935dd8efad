"""The disk of a host, or a copy of it: which VHDX files lie in it, present and deleted, and how they come out."""
