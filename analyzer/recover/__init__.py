"""What is left of a disk whose files are not all there, or cannot all be read: the image, and a map of what it is.

Nothing is guessed silently. Every byte of the disk is *known*, *stale* (an older state, because a layer that might
have changed it is gone) or *lost*; `disk.py` says what that means in runs.
"""

from analyzer.recover.disk.filled import Fill
from analyzer.recover.job import Outcome, Plan, RecoverOptions, plan_recovery, run_recovery
from analyzer.recovery_map.mapfile import Status

__all__ = ["Fill", "Outcome", "Plan", "RecoverOptions", "Status", "plan_recovery", "run_recovery"]
