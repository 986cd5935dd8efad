"""What is left of a disk whose files are not all there, or cannot all be read: the image, and a map of what it is.

Nothing is guessed silently. Every byte of the disk is *known*, *stale* (an older state, because a layer that might
have changed it is gone) or *lost*; `disk/partial.py` says what that means in runs.
"""
