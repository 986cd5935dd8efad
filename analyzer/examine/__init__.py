"""Look at one file: describe, dump, explain, log history, unallocated space."""
