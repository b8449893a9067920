"""Arithmetic of any market: barriers, the order book as a fold, costs, names of symbols and bar lengths."""
