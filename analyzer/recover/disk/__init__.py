"""The disk that is left: known, stale or lost, range by range."""
