"""The 61 candlestick patterns of TA-Lib, one column each, with what is known about their worth.

What the literature found: nothing that pays. Duvinage, Mazza and Petitjean (2013) put 83 candlestick rules to 5-minute
candles of the 30 Dow stocks: none beats buy-and-hold after costs once the number of rules tried is allowed for. Fock,
Klein and Zwergel (2005) found the same in intraday DAX and Bund futures. They are here because users ask for them and
because a model may be shown that they add nothing; expect about zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from utils.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd

PRICES = ("open", "high", "low", "close")

#: Every candlestick function of TA-Lib, by its name there.
PATTERNS = (
    "CDL2CROWS",
    "CDL3BLACKCROWS",
    "CDL3INSIDE",
    "CDL3LINESTRIKE",
    "CDL3OUTSIDE",
    "CDL3STARSINSOUTH",
    "CDL3WHITESOLDIERS",
    "CDLABANDONEDBABY",
    "CDLADVANCEBLOCK",
    "CDLBELTHOLD",
    "CDLBREAKAWAY",
    "CDLCLOSINGMARUBOZU",
    "CDLCONCEALBABYSWALL",
    "CDLCOUNTERATTACK",
    "CDLDARKCLOUDCOVER",
    "CDLDOJI",
    "CDLDOJISTAR",
    "CDLDRAGONFLYDOJI",
    "CDLENGULFING",
    "CDLEVENINGDOJISTAR",
    "CDLEVENINGSTAR",
    "CDLGAPSIDESIDEWHITE",
    "CDLGRAVESTONEDOJI",
    "CDLHAMMER",
    "CDLHANGINGMAN",
    "CDLHARAMI",
    "CDLHARAMICROSS",
    "CDLHIGHWAVE",
    "CDLHIKKAKE",
    "CDLHIKKAKEMOD",
    "CDLHOMINGPIGEON",
    "CDLIDENTICAL3CROWS",
    "CDLINNECK",
    "CDLINVERTEDHAMMER",
    "CDLKICKING",
    "CDLKICKINGBYLENGTH",
    "CDLLADDERBOTTOM",
    "CDLLONGLEGGEDDOJI",
    "CDLLONGLINE",
    "CDLMARUBOZU",
    "CDLMATCHINGLOW",
    "CDLMATHOLD",
    "CDLMORNINGDOJISTAR",
    "CDLMORNINGSTAR",
    "CDLONNECK",
    "CDLPIERCING",
    "CDLRICKSHAWMAN",
    "CDLRISEFALL3METHODS",
    "CDLSEPARATINGLINES",
    "CDLSHOOTINGSTAR",
    "CDLSHORTLINE",
    "CDLSPINNINGTOP",
    "CDLSTALLEDPATTERN",
    "CDLSTICKSANDWICH",
    "CDLTAKURI",
    "CDLTASUKIGAP",
    "CDLTHRUSTING",
    "CDLTRISTAR",
    "CDLUNIQUE3RIVER",
    "CDLUPSIDEGAP2CROWS",
    "CDLXSIDEGAP3METHODS",
)


def detect_patterns(bars: pd.DataFrame, names: Sequence[str] = PATTERNS) -> pd.DataFrame:
    """Which candlestick patterns end at each bar.

    Formula: TA-Lib's, with its default settings; its averages of body and shadow run over up to ten bars before.
    Unit: points; above 0 bullish, below 0 bearish, 0 = not there; 100 = there, 80 = there, two bodies sharing an end
    (Engulfing, Harami), 200 = confirmed (Hikkake).
    NaN: a pattern's first rows, until there are as many bars as it looks back on.
    Source: TA-Lib; no edge after costs in Duvinage, Mazza and Petitjean 2013 and Fock, Klein and Zwergel 2005.

    Args:
        bars: `open`, `high`, `low`, `close` of closed bars, oldest first; quote.
        names: of PATTERNS.

    Returns:
        One float64 column per name, on the index of `bars`.

    Raises:
        ConfigError: TA-Lib is not installed, or a name is not one of PATTERNS.
        DataError: a price column is missing or holds no finite number above 0.
    """
    import pandas as pd

    unknown = [name for name in names if name not in PATTERNS]
    if unknown:
        raise ConfigError(f"expected names of ml.patterns.PATTERNS, such as {PATTERNS[18]}, got {', '.join(unknown)}")
    try:
        import talib
        from talib import abstract
    except ImportError as error:
        raise ConfigError("candlestick patterns need TA-Lib, which is not installed: pip install TA-Lib") from error
    seen = [str(name) for name in getattr(bars, "columns", ())]
    missing = [name for name in PRICES if name not in seen]
    twice = [name for name in PRICES if seen.count(name) > 1]
    if missing:
        raise DataError(f"bars: expected columns open, high, low, close, seen no {', '.join(missing)}; rename them")
    if twice:
        raise DataError(f"bars: expected each column once, seen {twice[0]} twice; drop one")
    prices = {}
    for name in PRICES:
        try:
            prices[name] = bars[name].to_numpy(np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"{name}: expected numbers, seen others: {error}") from error
        wrong = ~(np.isfinite(prices[name]) & (prices[name] > 0.0))
        if wrong.any():
            row = int(np.argmax(wrong))
            seen = prices[name][row]
            raise DataError(f"{name}, row {row}: expected a price above 0, seen {seen}; mend or drop the row")
    found = {}
    for name in names:
        found[name] = getattr(talib, name)(*prices.values()).astype(np.float64)
        found[name][: getattr(abstract, name).lookback] = np.nan
    return pd.DataFrame(found, index=bars.index, columns=list(names), dtype=np.float64)
