"""What other fits of the same rows would have shown: all paths through a history, less of it, simpler learners."""
