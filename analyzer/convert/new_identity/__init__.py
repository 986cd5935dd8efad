"""A disk with identities of its own: what two copies of a disk collide on, made anew in one of them."""
