"""Candles and funding in files: read, recognised, checked and stored."""
