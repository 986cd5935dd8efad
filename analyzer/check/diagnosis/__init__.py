"""One cause that explains one corruption: flipped bits, displaced entries, entries that the log holds."""
