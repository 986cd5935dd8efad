"""Deltas: a container of changed ranges, written from two states and applied to the older one."""
