"""The exchange in a box: one market behind the wire protocols of Binance USD-M and Bybit v5, on loopback.

May import `utils` and the rest of `ingest`; its door is `ingest.replay_server`.
"""
