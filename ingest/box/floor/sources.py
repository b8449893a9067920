"""Where the box's market comes from: the seeded mock market, or a recorded tape."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from decimal import Decimal

import numpy as np

from ingest.box.floor.market import KEPT_TRADES, Arrival, Candle, Change, Fill, Grid, Market, Print, aggregate_window
from ingest.mock.events import BLOCK
from ingest.mock.market import SyntheticMarket, nothing, open_market
from ingest.mock.rows import BOOK, EVENT, TRADE, Ints
from ingest.mock.settings import PRESETS, priced
from utils.rows import MS_PER_MINUTE, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS, NS_PER_S, Rows

#: How far ahead of the clock the mock market is made, ns.
AHEAD_NS = NS_PER_S
_NOTHING = nothing()[1:]  # neither grid nor bars


class SyntheticFlow:
    """The mock market of one symbol as arrivals, with the history that led to its present."""

    def __init__(self, symbol: str, preset: str, seed: int, start_ns: int, history_hours: float) -> None:
        self.symbol = symbol
        own_seed = (seed * 1_000_003 + zlib.crc32(symbol.encode())) % 2**63
        begin_ns = int(start_ns - history_hours * NS_PER_HOUR) // NS_PER_MINUTE * NS_PER_MINUTE
        self._made_ns = begin_ns
        self._market = open_market(own_seed, priced(PRESETS[preset], symbol), begin_ns)
        self._market.want(begin_ns, events=True)
        self._block = np.zeros(BLOCK, EVENT)
        self._waiting: deque[Arrival] = deque()
        chosen = self._market.preset
        grid = Grid(Decimal(str(chosen.tick)), Decimal(str(chosen.lot)))
        self.market = Market(symbol, grid, begin_ns // NS_PER_MS, own_seed)
        self._live_through(start_ns)

    def take(self, until_ns: int) -> Iterator[Arrival]:
        """The arrivals up to an instant (ns, included), once each."""
        while self._made_ns <= until_ns:
            edge = max(self._made_ns + AHEAD_NS, until_ns + 1)
            for rows in self._rows(edge):
                self._waiting.extend(_arrivals(self.symbol, self._market, rows))
        while self._waiting and self._waiting[0].at <= until_ns:
            yield self._waiting.popleft()

    def _rows(self, until_ns: int) -> Iterator[Rows]:
        """Event rows up to an instant (ns, excluded), in blocks that are reused."""
        state = self._market.state[0]
        done = False
        while not done:
            state.n_events = 0
            done = self._market.advance(until_ns, self._block, *_NOTHING)
            yield self._block[: state.n_events]
        self._made_ns = until_ns

    def _live_through(self, start_ns: int) -> None:
        """Run the history: its candles and last trades are kept, and the book as it stands at the end."""
        rows = np.concatenate([rows[rows["kind"] == TRADE] for rows in self._rows(start_ns)])
        ticks, lots = _whole(self._market, rows)
        market = self.market
        first_id = market.last_trade_id + 1
        market.last_trade_id += len(rows)
        kept = slice(max(0, len(rows) - KEPT_TRADES), None)
        aggregates = market.last_aggregate + _aggregates(rows["ts"], rows["side"], ticks)
        columns = (rows["ts"], rows["side"], ticks, lots, aggregates)
        prints = zip(*(_listed(column[kept]) for column in columns), strict=True)
        market.trades = [
            Print(first_id + kept.start + i, ts, side, tick, size, market.seq, aggregate)
            for i, (ts, side, tick, size, aggregate) in enumerate(prints)
        ]
        market.last_aggregate = market.trades[-1].aggregate if market.trades else market.last_aggregate
        market.apply(Arrival(self.symbol, start_ns, start_ns, _book(self._market), whole=True))
        market.begin(int(ticks[0]) if len(ticks) else market.bids.best)
        for candle in _candles(rows["ts"], rows["side"], ticks, lots, first_id):
            market.roll(candle.open_ms * NS_PER_MS)
            market.candles[-1] = candle
        market.roll(start_ns)


def _whole(market: SyntheticMarket, rows: Rows) -> tuple[Ints, Ints]:
    """Prices and quantities of event rows in ticks and lots."""
    ticks = np.rint(rows["price"] / market.preset.tick).astype(np.int64)
    return ticks, np.rint(rows["qty"] / market.preset.lot).astype(np.int64)


def _arrivals(symbol: str, market: SyntheticMarket, rows: Rows) -> Iterator[Arrival]:
    """Event rows, grouped by the order that caused them: rows of one instant."""
    ticks, lots = _whole(market, rows)
    changes: list[Change] = []
    fills: list[Fill] = []
    now = 0
    columns = (rows["ts"], rows["kind"], rows["side"], ticks, lots)
    for ts, kind, side, tick, size in zip(*map(_listed, columns), strict=True):
        if ts != now and now:
            yield Arrival(symbol, now, now, changes, fills)
            changes, fills = [], []
        now = ts
        if kind == BOOK:
            changes.append(Change(side, tick, size))
        else:
            fills.append(Fill(side, tick, size))
    if now:
        yield Arrival(symbol, now, now, changes, fills)


def _book(market: SyntheticMarket) -> list[Change]:
    """The whole book of the mock market."""
    return [Change(*level) for level in market.levels()]


def _candles(ts: Ints, side: Ints, ticks: Ints, lots: Ints, first_id: int) -> Iterator[Candle]:
    """Candles of a minute from trades; minutes without any are left out."""
    if len(ts) == 0:
        return
    opens = ts // NS_PER_MINUTE * MS_PER_MINUTE
    first = np.flatnonzero(np.diff(opens, prepend=-1))
    last = np.append(first[1:], len(ts))
    value, buys = ticks * lots, side > 0
    sums = (np.add.reduceat(column, first) for column in (lots, lots * buys, value, value * buys))
    edges = (np.maximum.reduceat(ticks, first), np.minimum.reduceat(ticks, first))
    columns = (opens[first], ticks[first], *edges, ticks[last - 1], *sums, last - first, first_id + first)
    for at, o, h, l, c, size, bought, quote, bought_quote, n, trade_id in zip(*map(_listed, columns), strict=True):  # noqa: E741
        yield Candle(at, o, h, l, c, size, bought, n, quote, bought_quote, trade_id)


def _aggregates(ts: Ints, side: Ints, ticks: Ints) -> Ints:
    """Numbers from 1 of the aggregate trades that trades are part of."""
    keys = np.stack((aggregate_window(ts), side, ticks))
    begins = np.any(np.diff(keys, axis=1, prepend=-1) != 0, axis=0)
    return np.cumsum(begins)


def _listed(column: Ints) -> list[int]:
    listed: list[int] = column.tolist()
    return listed
