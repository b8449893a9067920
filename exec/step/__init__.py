"""The compiled step: market phase, answer phase, the orders between them, and the loop that turns both."""
