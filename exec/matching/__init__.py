"""What the market does to our orders: by candles, or by prints, quotes and marks."""
