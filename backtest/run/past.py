"""The past of one market, as whoever advises on it begins with it: of an exchange, or of a file of candles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from backtest.data.market import build_market, warmup_of
from backtest.run.live import history, market_of
from exec.market import Market
from ingest.files.candles import load_candles
from utils.settings.tree import Settings

#: Beginning of `api.source` before the name of a file.
TAPE = "tape:"


def past_of(settings: Settings, ready: Callable[[], None]) -> Callable[[str, str], Market]:
    """A function from exchange id and timeframe to the past of that market, for threads.

    Of an exchange it is the last `api.history_bars` closed candles, of a recording all of it; what comes before the
    warm-up has passed is not decided on. The function raises what reading or asking raises.

    Args:
        settings: `api.source`, and which exchange.
        ready: returns when machine code is there, so that no two threads make the same.
    """

    def past(symbol: str, tf: str) -> Market:
        ready()
        if settings.api.source.startswith(TAPE):
            path = Path(settings.api.source.removeprefix(TAPE))
            return build_market([load_candles(path, symbol=symbol, tf=tf)], settings, data=[path])
        steps = max(1, settings.api.history_bars - warmup_of(settings))
        return market_of(history([symbol], tf, steps, settings), settings, steps)

    return past
