"""The journal: what was decided, done and closed, written whole and read by one reader."""
