"""What the studies of `backtest.replicate` look at: the best quotes, the prints and the flows of one symbol.

Events become rows by `features.rows.maker`, order flow is that of `features.microstructure`; here they are only
added up, second by second and block by block, so that a book of ten levels is never held for longer than a block.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.microstructure import flows_of
from features.rows.book import BOOK_EVENT, BOOK_ROW, BOOK_SHARED, LEVELS
from features.rows.maker import RowMaker
from features.rows.sources import Source
from features.rows.trades import TRADE_EVENT
from features.rows.users import QUOTE_ROW, quote_rows
from ingest.synthetic import BOOK, PRESETS, event_blocks
from ingest.tape import STEP, SUFFIX, Player, Progressed, TapeReader, recognise, recordings
from utils.errors import DataError
from utils.market.book import ASKS, BIDS
from utils.rows import BPS, NS_PER_S, Rows
from utils.shell.log import event as log
from utils.types import BookDelta, BookInvalid, BookSnapshot, MarketEvent, Quote, Trade

Floats = NDArray[np.float64]
logger = logging.getLogger("backtest")

#: Rows of a book that are held before they are added up.
BLOCK = 16_384
#: Columns of the sums: flow of each level, mean quantity at a level, at the best, and how many events.
DEPTH, TOP, EVENTS = LEVELS, LEVELS + 1, LEVELS + 2
#: Symbol of the mock market.
MOCK = "MOCK"


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Book events added up by second of the exchange's clock."""

    second: NDArray[np.int64]  # since 1970, ascending; those without an event are left out
    columns: Floats  # [second, column]; a flow is NaN where the second holds a reset


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One symbol of one recording."""

    recording: str
    symbol: str
    quotes: Rows  # QUOTE_ROW, in order of time: each update of the best prices
    trades: Rows  # TRADE_EVENT, in order of time
    best: Sums  # of the stream that `quotes` are from
    book: Sums  # of the order book
    tick: float  # smallest step between two levels that was seen, quote; NaN = there was never more than one
    ticker: bool  # the quotes are those of the venue's ticker, which held more updates than the book

    @property
    def seconds(self) -> float:
        """Time from the first quote to the last."""
        return float(self.quotes["ts"][-1] - self.quotes["ts"][0]) / NS_PER_S if len(self.quotes) else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """A sample in windows of one length; only those that are whole, with a valid book from end to end."""

    seconds: int
    number: NDArray[np.int64]  # of the window, since 1970
    move: Floats  # of the mid, from the end of the window before to this one's, bps
    flow: Floats  # OFI at the best prices, base
    depth: Floats  # mean quantity at the best prices, base
    traded: Floats  # bought less sold by aggressors, base
    levels: Floats  # [window, level]: OFI over the mean quantity at a level; NaN = the book was not whole


class Track:
    """Adds up the events of one stream of books."""

    def __init__(self) -> None:
        self._shared, self._prepared = np.zeros(1, BOOK_SHARED), np.zeros(1, BOOK_ROW)
        self._block: list[Rows] = []
        self._quotes: list[Rows] = []
        self._sums: list[Sums] = []
        self._last = 0
        self.events = 0
        self.tick = math.inf

    def add(self, row: Rows) -> None:
        """One more BOOK_EVENT record; it is kept."""
        self._block.append(row)
        self.events += 1
        if len(self._block) == BLOCK:
            self._flush()

    def _flush(self) -> None:
        if not self._block:
            return
        rows = np.concatenate(self._block).astype(BOOK_EVENT)
        self._block.clear()
        rows["ts"] = np.maximum.accumulate(np.maximum(rows["ts"], self._last))
        self._last = int(rows["ts"][-1])
        flows, depths = np.empty((len(rows), LEVELS)), np.empty(len(rows))
        flows_of(self._shared, self._prepared, rows, flows, depths)
        top = 0.5 * (rows["qtys"][:, BIDS, 0] + rows["qtys"][:, ASKS, 0])
        second = rows["ts"] // NS_PER_S
        self._sums.append(summed(second, np.column_stack([flows, depths, top, np.ones(len(rows))])))
        quotes = quote_rows(rows)
        self._quotes.append(quotes)
        steps = np.abs(np.diff(rows["prices"], axis=2))
        if (steps > 0.0).any():
            self.tick = min(self.tick, float(f"{steps[steps > 0.0].min():.8g}"))

    def whole(self) -> tuple[Sums, Rows]:
        """The sums and the quotes of all events."""
        self._flush()
        if not self._sums:
            return Sums(np.empty(0, np.int64), np.empty((0, EVENTS + 1))), np.empty(0, QUOTE_ROW)
        second = np.concatenate([one.second for one in self._sums])
        sums = summed(second, np.concatenate([one.columns for one in self._sums]))
        return sums, np.concatenate(self._quotes).astype(QUOTE_ROW)


class Collector:
    """Takes the events of one symbol, and gives what is to be studied."""

    def __init__(self, recording: str, symbol: str) -> None:
        self.recording, self.symbol = recording, symbol
        self._maker = RowMaker((symbol,))
        self._book, self._ticker = Track(), Track()
        self._trades: list[Rows] = []
        self._broken = True  # quotes of the ticker may be missing before the next

    def see(self, event: MarketEvent) -> None:
        """Something happened to the symbol."""
        if isinstance(event, Quote):
            self._ticker.add(best_of(event, self._broken))
            self._broken = False
            return
        self._broken |= isinstance(event, BookInvalid)
        for source, row in self._maker.rows(event):
            if source is Source.BOOK:
                self._book.add(row)
            elif source is Source.TRADE:
                self._trades.append(row)

    def sample(self) -> Sample:
        """All that was seen."""
        ticker = self._ticker.events > self._book.events
        book, of_book = self._book.whole()
        best, quotes = self._ticker.whole() if ticker else (book, of_book)
        trades = np.concatenate(self._trades).astype(TRADE_EVENT) if self._trades else np.empty(0, TRADE_EVENT)
        trades = trades[np.argsort(trades["ts"], kind="stable")]
        tick = self._book.tick if self._book.tick < math.inf else math.nan
        return Sample(self.recording, self.symbol, quotes, trades, best, book, tick, ticker)


def best_of(quote: Quote, fresh: bool) -> Rows:
    """The BOOK_EVENT record of a ticker's quote: a book of one level."""
    row = np.zeros(1, BOOK_EVENT)
    row["ts"], row["fresh"], row["prices"], row["near"] = quote.ts, int(fresh), math.nan, math.nan
    row["prices"][0, :, 0] = quote.bid, quote.ask
    row["qtys"][0, :, 0] = quote.bid_qty, quote.ask_qty
    return row


def summed(place: NDArray[np.int64], columns: Floats) -> Sums:
    """Columns added up by place; a NaN stays one."""
    places, at = np.unique(place, return_inverse=True)
    sums: Floats = np.column_stack([np.bincount(at, column, len(places)) for column in columns.T])
    return Sums(places, sums)


def windows(sample: Sample, seconds: int) -> Windows:
    """A sample in windows of whole seconds, which begin at multiples of their length since 1970.

    Formula: move = 1e4 ln(m / m'), m the last mid before the window's end, m' before its begin; OFI as
    `microstructure.multi_level_ofi` has it, and its mean depth.
    Unit: bps, base.
    NaN: `levels` where the window holds no event of the book, or a reset.
    Source: Cont, Kukanov and Stoikov 2014.
    """
    ts = sample.quotes["ts"]
    if not len(ts):
        empty = np.empty(0)
        return Windows(seconds, np.empty(0, np.int64), empty, empty, empty, empty, np.empty((0, LEVELS)))
    length = seconds * NS_PER_S
    # the first begins with the first whole window, the last ends before the recording does
    number = np.arange(-(-int(ts[0]) // length), int(ts[-1]) // length)
    best = _of(sample.best, number, seconds)
    book = _of(sample.book, number, seconds)
    mid = mids_at(sample.quotes, np.append(number, number[-1:] + 1) * length - 1)
    move = np.diff(np.log(mid)) / BPS
    signed = sample.trades["side"] * sample.trades["qty"]
    traded = _of(summed(sample.trades["ts"] // NS_PER_S, signed[:, None]), number, seconds)[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        levels = book[:, :LEVELS] / (book[:, DEPTH] / book[:, EVENTS])[:, None]
        depth = best[:, TOP] / best[:, EVENTS]
    whole = ~np.isnan(move + best[:, 0] + depth)
    flows = (move, best[:, 0], depth, traded, levels)
    return Windows(seconds, number[whole], *(column[whole] for column in flows))


def _of(sums: Sums, number: NDArray[np.int64], seconds: int) -> Floats:
    """Sums by window; 0 where a window holds nothing."""
    wide = summed(sums.second // seconds, sums.columns)
    found = np.zeros((len(number), sums.columns.shape[1]))
    inside = np.isin(wide.second, number)
    found[np.searchsorted(number, wide.second[inside])] = wide.columns[inside]
    return found


def mids_at(quotes: Rows, times: NDArray[np.int64]) -> Floats:
    """The mid that stands at each of these times, quote; NaN before the first quote and where a side is empty."""
    place = np.searchsorted(quotes["ts"], times, side="right") - 1
    mid = 0.5 * (quotes["bid"] + quotes["ask"])
    return np.where(place >= 0, mid[np.maximum(place, 0)], math.nan)


# --- where samples come from


def tapes_in(paths: Sequence[str | Path]) -> list[Path]:
    """The tape files that are named, and those in the folders that are; of a folder in order of name.

    Raises:
        DataError: a path is not there, or a folder holds no tape.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            if not path.is_file():
                raise DataError(f"--data: expected a tape or a folder of tapes, saw nothing at {path}; check the name")
            found.append(path)
            continue
        inside = sorted(path.rglob(f"*{SUFFIX}")) + sorted(path.rglob("*.jsonl"))
        if not inside:
            raise DataError(f"--data: expected tapes ({SUFFIX}) below {path}, saw none; record some, or name another")
        found += inside
    return found


def samples_of(paths: Sequence[Path], symbols: Sequence[str], progressed: Progressed) -> Iterator[Sample]:
    """The samples of recordings, one recording after the other.

    Args:
        paths: tape files, in order of time.
        symbols: only these; none = all.
        progressed: told how many bytes of all files are behind us.

    Raises:
        DataError: a file is no tape or damaged, or holds several markets or none of the symbols.
    """
    done, seen, found = 0, 0, 0
    heard: set[str] = set()
    for together in recordings(paths):
        collectors: dict[str, Collector] = {}
        name = together[0].name.removesuffix(SUFFIX).removesuffix(".jsonl")
        player = Player(recognise(TapeReader(together[0])))
        if len(player.markets) > 1:
            markets = ", ".join(sorted(player.markets.values()))
            raise DataError(
                f"{together[0].name}: expected one market, as symbols share names, saw {markets};"
                " record each to a tape of its own"
            )
        recording = f"{next(iter(player.markets.values()), 'no exchange')} {name}"
        for path in together:
            reader = TapeReader(path)
            for line in reader:
                for event in player.play(line):
                    heard.add(event.symbol)
                    if not symbols or event.symbol in symbols:
                        if event.symbol not in collectors:
                            collectors[event.symbol] = Collector(recording, event.symbol)
                        collectors[event.symbol].see(event)
                seen += 1
                if seen % STEP == 0:
                    progressed(done + reader.position)
            if reader.cut:
                log(logger, "tape_cut", reader.cut, severity=logging.WARNING, file=path.name)
            done += reader.size
        progressed(done)
        for symbol in sorted(collectors):
            sample = collectors.pop(symbol).sample()
            if len(sample.quotes):
                found += 1
                yield sample
    if not found:
        asked = f" of {', '.join(symbols)}" if symbols else ""
        others = f"other events, of {', '.join(sorted(heard))}" if heard else "no market's events"
        raise DataError(f"--data: expected books or quotes{asked}, saw {others}; name other recordings or symbols")


def mock_sample(seed: int, hours: float, progressed: Progressed, preset: str = "large-tick") -> Sample:
    """A sample of the mock market: the same events, through the same folds, as of a recording.

    Args:
        seed: of the market.
        hours: of exchange time, above 0.
        progressed: told how many seconds are behind us.
        preset: of `ingest.synthetic`.

    Raises:
        ConfigError: hours or seed out of range.
    """
    collector = Collector(f"mock market {PRESETS[preset].name} seed {seed}", MOCK)
    start = 0
    for event in mock_events(event_blocks(3600.0 * hours, seed, preset)):
        collector.see(event)
        start = start or event.ts
        progressed((event.ts - start) // NS_PER_S)
    return collector.sample()


def mock_events(blocks: Iterable[Rows]) -> Iterator[BookSnapshot | BookDelta | Trade]:
    """The events of the mock market: first its whole book, then of each arrival its prints and what it changed."""
    anew = True
    for block in blocks:
        # a block holds whole arrivals, and all rows of one have one time
        for rows in np.split(block, np.flatnonzero(np.diff(block["ts"])) + 1):
            ts = int(rows["ts"][0])
            levels: dict[int, list[tuple[float, float]]] = {1: [], -1: []}
            for _, kind, side, price, qty in rows.tolist():
                if kind == BOOK:
                    levels[side].append((price, qty))
                else:
                    yield Trade(MOCK, ts, ts, price, qty, side)
            noun = BookSnapshot if anew else BookDelta
            yield noun(MOCK, ts, ts, tuple(levels[1]), tuple(levels[-1]))
            anew = False
