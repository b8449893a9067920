"""What else a walk is held against: shuffled features, all paths through a history, less of it, simpler learners."""
