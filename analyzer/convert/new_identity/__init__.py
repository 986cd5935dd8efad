"""A disk with identities of its own: what two copies of a disk collide on, made anew in one of them.

`cloned` gives the disk as it is to be, as runs; nothing is written here.
"""

from analyzer.convert.new_identity.disk import ClonedDisk, cloned, plan_clone, summarise, with_new_disk_id
from analyzer.convert.new_identity.workspace import Change, Clone, Kept, Scope

__all__ = ["Change", "Clone", "ClonedDisk", "Kept", "Scope", "cloned", "plan_clone", "summarise", "with_new_disk_id"]
