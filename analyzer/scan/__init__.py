"""Scan folders for VHDX files: the forest of their chains, what is wrong in it, and what to do next."""
