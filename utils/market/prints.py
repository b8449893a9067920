"""What columns of market data are called: one plain spelling, and the names under which trades are known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

#: Columns of trades by every name that ccxt, our nouns and the archives of Binance and Bybit give them, best first.
PRINT_NAMES: Mapping[str, tuple[str, ...]] = {
    "timestamp": ("timestamp", "ts", "time", "transact_time", "trade_time"),
    "price": ("price",),
    "qty": ("amount", "qty", "quantity", "size", "volume"),
    "side": ("side",),
    "maker": ("is_buyer_maker", "was_the_buyer_the_maker"),
    "id": ("id", "trade_id", "agg_trade_id", "aggregate_trade_id", "trd_match_id"),
    "symbol": ("symbol",),
}
#: The aggressor's side by whether the buyer's order rested: then it was the seller.
AGGRESSORS: Mapping[str, int] = {"true": -1, "1": -1, "false": 1, "0": 1}


def plain_name(name: object) -> str:
    """A column's name in small letters with underscores: `Open Time`, `openTime` and `open-time` are `open_time`."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", str(name).strip())
    return re.sub(r"[\s-]+", "_", text).lower()


def print_columns(names: Iterable[object]) -> dict[str, object]:
    """Which of a table's columns are those of trades: our name -> the table's own; those it has not are left out."""
    there = {plain_name(name): name for name in reversed(list(names))}
    found = {ours: next((there[name] for name in known if name in there), None) for ours, known in PRINT_NAMES.items()}
    return {ours: name for ours, name in found.items() if name is not None}
