"""What a repository holds: chunks, indexes, manifests, keys, and how each is encoded."""
