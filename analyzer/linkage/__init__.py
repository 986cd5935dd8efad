"""Who is whose parent, and what speaks for it."""
