"""The price step that prices themselves show, and prices that lie between two steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ingest.files.columns import PRICES
from utils.errors import DataError
from utils.rows import Rows

#: Prices that need more decimals, or more digits, than this come from arithmetic, not from an exchange.
MOST_DECIMALS, MOST_DIGITS = 12, 13
#: Share of a price that arithmetic may have added to it: a few of its last bits.
NOISE = 2e-15


def infer_tick(rows: Rows, n_warmup: int, setting: str = "instruments.default.<SYMBOL>.tick") -> float:
    """Price step of the first `n_warmup` bars, for a venue whose tick nobody gave.

    Formula: 10^-d, d = the most decimals among their open, high, low and close, in the shortest decimal notation that
    is the price but for its last bits (100.10000000000001 has one). Prices that need more than 12 decimals or 13 digits
    are no exchange's; they are passed over where they are the smaller part. Units: quote. Later bars are never looked
    at.

    Args:
        rows: `utils.rows.BAR` rows.
        n_warmup: bars to look at, at least 1; fewer rows than that are all looked at.
        setting: where the user can say the tick, for messages.

    Raises:
        ValueError: no rows, or `n_warmup` below 1.
        DataError: most prices come from arithmetic, and tell no tick.
    """
    if n_warmup < 1 or len(rows) == 0:
        raise ValueError(f"tick: expected at least one warm-up bar, seen n_warmup={n_warmup} and {len(rows)} rows")
    prices = np.concatenate([rows[field][:n_warmup] for field in PRICES])
    rest, most = prices, 0
    for decimals in range(MOST_DECIMALS + 1):
        tells = (rest * 10.0**decimals < 10.0**MOST_DIGITS) & ~between_ticks(rest, 10.0**-decimals)
        most = decimals if tells.any() else most
        rest = rest[~tells]
    if 2 * rest.size > prices.size:
        raise DataError(
            f"tick: expected prices with the decimals of an exchange, to tell it by, seen {float(rest[0])!r} and more"
            f" like it; round them to the tick, or set {setting}"
        )
    return float(f"1e-{most}")


def between_ticks(prices: NDArray[np.float64], tick: float) -> NDArray[np.bool_]:
    """Which prices (quote) are no multiples of a tick (quote), but for the noise of arithmetic.

    Formula: |price - k tick| > 2e-15 price for the nearest k.
    """
    off: NDArray[np.bool_] = np.abs(prices - np.rint(prices / tick) * tick) > NOISE * prices
    return off
