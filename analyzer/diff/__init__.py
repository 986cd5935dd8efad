"""What differs between two states of disks, and deltas that carry one state to the other."""
