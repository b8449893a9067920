"""The shells around a trader: what waits, and knows that time passes."""
