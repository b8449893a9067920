"""One run: decided, watched, concluded and printed."""
