"""A disk of another size: in a new file, or in its place; and the table of its partitions put right."""
