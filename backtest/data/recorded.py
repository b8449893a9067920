"""What was recorded while candles formed, beside each close: the book and prints of a tape, headlines of snapshots.

Nothing here is asked today about the past: what was not recorded then is NaN, and what has no recording is refused.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from backtest.data.decisions import Further
from exec.market import Market
from exec.past import no_book
from features.live import EventFeatures
from features.news_metrics import news_metrics
from ingest.news import Headline, base_currency, read_snapshots
from ingest.tape import replay
from utils.errors import DataError, DataUnavailable
from utils.rows import NS_PER_DAY, NS_PER_HOUR, Rows
from utils.settings.tree import Settings

#: Columns of the news; counts are of the last quarter of an hour, hour and day.
NEWS = (
    "news_count_15m",
    "news_count_1h",
    "news_count_1d",
    "news_since_last_s",
    "news_burst",
    "news_sentiment",
    "news_view_age_s",
)
#: Headlines that were seen so long before a close still count: a day and what a window may miss of it, ns.
NEWS_MEMORY_NS = NS_PER_DAY + NS_PER_HOUR


def book_of(market: Market, tapes: Sequence[str | Path]) -> Rows:
    """Books and prints of a recording as they stood at each close: BOOK_AT_CLOSE beside the bars.

    NaN before the first valid book, and from the end of the recording on: nobody knows what stood then.

    Args:
        market: the bars.
        tapes: files of one recording, in order of time.

    Raises:
        DataError: a tape is missing, damaged, or has no event of these symbols while a bar closed.
    """
    bars = market.bars
    rows = no_book(len(bars))
    phase = int(bars["ts"][0]) % market.tf_ns
    features, end, first = None, np.zeros(len(market.symbols), np.int64), 0
    for event in replay(list(tapes), symbols=market.symbols):
        if features is None:
            first = event.ts
            close = event.ts + (phase - event.ts) % market.tf_ns
            features = EventFeatures(market.symbols, [close] * len(market.symbols), market.tf_ns)
        features.see(event)
        sym = market.symbols.index(event.symbol)
        end[sym] = max(int(end[sym]), event.ts)
    seen = np.flatnonzero((bars["ts"] >= first) & (bars["ts"] <= end[bars["sym"]]))
    if features is None or not len(seen):
        names = ", ".join(Path(tape).name for tape in tapes)
        raise DataError(
            f"--tape: expected a recording of {', '.join(market.symbols)} while bars closed, saw none in {names}; name "
            "candles and a recording of the same time"
        )
    for i in seen:
        stood = features.at(int(bars["sym"][i]), int(bars["ts"][i]))
        rows[i] = (stood.book_age_ms, stood.print_age_ms, *stood.vector[0])
    return rows


def of_settings(market: Market, settings: Settings) -> tuple[Further, ...]:
    """The columns that the settings switch on: news; there is no recording of positioning that could be read.

    Raises:
        DataUnavailable: something is switched on that was not recorded.
    """
    chosen = settings.features
    if chosen.positioning:
        raise DataUnavailable(
            "features.positioning: expected recorded snapshots, and nothing records positioning yet (what an exchange "
            "tells today of the past may have been revised); switch it off"
        )
    return (of_news(market, chosen.news_dir),) if chosen.news else ()


def of_news(market: Market, folder: Path) -> Further:
    """Headlines as they were known at each close, from snapshots that were recorded.

    Formula: `features.news_metrics`, of the headlines tagged with the coin of each symbol. NaN: before the first
    snapshot, and where a window reaches further back than was seen.

    Raises:
        DataUnavailable: no snapshot, or none that was seen before a bar of the market closed.
    """
    try:
        snapshots = list(read_snapshots(folder))
    except DataError as error:
        raise DataUnavailable(f"features.news: {error}, or switch it off") from error
    if not any(one.seen_ns <= market.bars["ts"][-1] for one in snapshots):
        raise DataUnavailable(
            f"features.news: expected snapshots in {folder} from before the last bar, saw none; record while candles "
            "form (python scripts/record.py --news), or switch it off"
        )
    headlines = sorted((row for one in snapshots for row in one.headlines), key=lambda row: row.available_ns)
    values = np.full((len(market.bars), len(NEWS)), np.nan)
    coins = [base_currency(symbol) for symbol in market.symbols]
    for i, row in _known(market.bars, headlines):
        told = news_metrics(row, int(market.bars["ts"][i]), currency=coins[market.bars["sym"][i]])
        values[i] = (*told.counts, told.since_last_s, told.burst, told.sentiment, told.view_age_s)
    of = hashlib.sha256(json.dumps([NEWS, NEWS_MEMORY_NS]).encode()).hexdigest()
    return Further(NEWS, values, of)


def _known(bars: Rows, headlines: Sequence[Headline]) -> Iterator[tuple[int, Sequence[Headline]]]:
    """Bars at whose close headlines were known, and those that became available within the memory before it."""
    since = [row.available_ns for row in headlines]
    for i, ts in enumerate(bars["ts"].tolist()):
        known = headlines[bisect_left(since, ts - NEWS_MEMORY_NS) : bisect_right(since, ts)]
        if known:
            yield i, known
