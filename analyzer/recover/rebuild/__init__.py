"""Files whose structures are lost, opened all the same: each structure from the best evidence that is left."""
