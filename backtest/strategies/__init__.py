"""A user's strategy: found by its name, told from others, and asked whether it knows later bars."""
