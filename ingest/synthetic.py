"""A seeded mock market, for tests, demonstrations and speed: never evidence of profit.

An order book in whole ticks and whole lots, driven by random arrivals: limit orders and cancels (Santa Fe), market
orders whose rate excites itself (three exponential Hawkes kernels) and follows a slow log-Ornstein-Uhlenbeck activity,
metaorders that give their signs a long memory, liquidity that refills against the expected flow, and queues that are
hit and left where they are thin. It shows the stylised facts of real books (bands and ablations:
``tests/ingest/test_synthetic.py``); what it leaves predictable at half a minute and more is smaller than costs.

Three outputs of one path: book updates and trades, a grid of flows for statistics, and candles. The whole state is
in records, so a run may be cut into blocks anywhere and goes on the same path; the dice are in the record too, so a
seed means one market, compiled or not. Both sides of the book run the same code: a side counts its ticks towards the
market (bids k, asks -k), so "better" is always "higher".

Sources: Daniels et al. 2003; Farmer et al. 2005 (Santa Fe); Bacry, Mastromatteo, Muzy 2015 (Hawkes); Lillo, Mike,
Farmer 2005 (metaorders); Huang, Lehalle, Rosenbaum 2015 (queue-reactive); Blackman, Vigna 2019 (xoshiro256++).
"""

from __future__ import annotations

from ingest.mock.candles import SyntheticFeed, synthetic_bars
from ingest.mock.events import event_blocks, synthetic_events, synthetic_grid
from ingest.mock.market import START_NS, SyntheticMarket, open_market
from ingest.mock.rows import BOOK, EVENT, GRID, TRADE
from ingest.mock.settings import PRESETS, MarketParams, Preset

__all__ = [
    "BOOK",
    "EVENT",
    "GRID",
    "PRESETS",
    "START_NS",
    "TRADE",
    "MarketParams",
    "Preset",
    "SyntheticFeed",
    "SyntheticMarket",
    "event_blocks",
    "open_market",
    "synthetic_bars",
    "synthetic_events",
    "synthetic_grid",
]
