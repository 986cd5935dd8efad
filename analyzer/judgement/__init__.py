"""Which entries of a block table are believed: the evidence against absent blocks, weighed in one place."""
