"""Checking: every rule of the format over a file or a chain, and what is known of it already."""
