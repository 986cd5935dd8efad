"""Look at one file: describe, dump, explain, hash, log history, unallocated space."""
