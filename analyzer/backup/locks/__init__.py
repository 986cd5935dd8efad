"""Locks of a repository: who holds them, and whether that run is still alive."""
