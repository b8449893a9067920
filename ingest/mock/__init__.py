"""The seeded mock market, from its dice to its candles; `ingest.synthetic` is its door."""
