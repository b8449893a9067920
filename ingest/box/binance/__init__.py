"""Binance as it is served from the box."""
