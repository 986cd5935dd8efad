"""A disk's file made smaller: blocks that nothing needs go, the others move down, and the end is cut."""
