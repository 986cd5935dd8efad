"""What the blocks of a disk hold against what its volumes say of them: content that contradicts its place."""
