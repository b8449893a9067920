"""Headlines and coins from the web."""
