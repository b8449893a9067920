"""One market behind all views: a limit order book in whole ticks and lots, its trades, and what follows from them.

Candles, rolling statistics, funding, open interest and liquidations are all made from the same trades, so every view
of every venue agrees with every other.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from utils.market.timeframes import MONDAY, TIMEFRAMES
from utils.rows import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, NS_PER_MS

FUNDING_MS = 8 * MS_PER_HOUR
#: Trades that stay to be asked for; half of them go when there are twice as many.
KEPT_TRADES = 100_000
#: Binance aggregates trades so long.
AGGREGATE_NS = 100 * NS_PER_MS
#: A market order through so many levels is taken to be, in its last part, a liquidation.
LIQUIDATION_LEVELS = 3
#: Lengths of the venues' candles in ms; a month is the calendar's.
LENGTHS = {tf: length // NS_PER_MS for tf, length in TIMEFRAMES.items()} | {"3d": 3 * MS_PER_DAY, "1M": 0}
#: One instant, or an array of them.
Number = TypeVar("Number", int, NDArray[np.int64])


class Change(NamedTuple):
    """What now rests at a price; 0 lots = nothing."""

    side: int  # +1 bid, -1 ask
    tick: int
    lots: int


class Fill(NamedTuple):
    """A trade as the matching engine makes it."""

    side: int  # of the aggressor
    tick: int
    lots: int


class Print(NamedTuple):
    """A trade as the venue publishes it."""

    id: int
    ts: int  # ns
    side: int  # of the aggressor
    tick: int
    lots: int
    seq: int
    aggregate: int  # number of Binance's aggregate trade it is part of


class Liquidation(NamedTuple):
    """A position closed by force."""

    ts: int  # ns
    side: int  # of the forced order; -1 = a long was sold out
    tick: int  # bankruptcy price
    lots: int


class Arrival(NamedTuple):
    """Everything that one order did, at one instant."""

    symbol: str
    at: int  # ns on the box's clock: when it is published
    ts: int  # ns, the matching engine's stamp
    changes: Sequence[Change]
    fills: Sequence[Fill] = ()
    whole: bool = False  # the changes are the whole book, and replace it
    update_ids: tuple[int, int] = (0, 0)  # Binance's first and last; zeros = the market counts its own
    raw: tuple[str, str] = ("", "")  # a tape's message: its topic and text
    line: int = 0  # of the tape


class Deed(NamedTuple):
    """An arrival, and its trades as published."""

    arrival: Arrival
    prints: Sequence[Print] = ()


@dataclass(slots=True)
class Candle:
    """A candle in ticks and lots; `value` is the sum of tick x lots."""

    open_ms: int
    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    bought: int = 0  # lots bought by takers
    trades: int = 0
    value: int = 0
    bought_value: int = 0
    first_id: int = -1  # of its trades; -1 = none

    def add(self, trade: Print) -> None:
        """Enter a trade."""
        if self.trades == 0:
            self.open = self.high = self.low = trade.tick
            self.first_id = trade.id
        self.high = max(self.high, trade.tick)
        self.low = min(self.low, trade.tick)
        self.close = trade.tick
        self.lots += trade.lots
        self.trades += 1
        self.value += trade.tick * trade.lots
        if trade.side > 0:
            self.bought += trade.lots
            self.bought_value += trade.tick * trade.lots


def merged(candles: Sequence[Candle], open_ms: int) -> Candle:
    """One candle of several that follow each other."""
    traded = [candle for candle in candles if candle.trades] or candles[:1]
    whole = Candle(
        open_ms,
        traded[0].open,
        max(candle.high for candle in traded),
        min(candle.low for candle in traded),
        traded[-1].close,
        first_id=traded[0].first_id,
    )
    for name in ("lots", "bought", "trades", "value", "bought_value"):
        setattr(whole, name, sum(getattr(candle, name) for candle in candles))
    return whole


def aggregate_window(at_ns: Number) -> Number:
    """Number of the 100 ms in which trades of one side at one price are one aggregate; their last instant is in it."""
    return (at_ns - 1) // AGGREGATE_NS


def bucket(ms: int, tf: str) -> int:
    """Open time of the candle that holds an instant, both in ms; weeks begin on Monday."""
    if tf == "1M":
        day = datetime.fromtimestamp(ms / 1000, UTC)
        return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp()) * 1000
    offset = MONDAY // NS_PER_MS if tf == "1w" else 0
    return (ms - offset) // LENGTHS[tf] * LENGTHS[tf] + offset


def bucket_end(open_ms: int, tf: str) -> int:
    """Open time of the candle after that which opens at `open_ms`, in ms."""
    return open_ms + LENGTHS[tf] if tf != "1M" else bucket(open_ms + 31 * MS_PER_DAY, tf)


def shift(number: int, digits: int) -> str:
    """`number` / 10^digits as a decimal with exactly so many digits."""
    if digits == 0:
        return str(number)
    whole, rest = divmod(abs(number), 10**digits)
    return f"{'-' if number < 0 else ''}{whole}.{rest:0{digits}d}"


def trimmed(text: str) -> str:
    """A decimal without trailing zeros."""
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True)
class Grid:
    """How ticks and lots become the venue's decimals; venues show prices with at least two digits."""

    tick: Decimal  # quote
    lot: Decimal  # base
    price_digits: int = 2  # at least
    qty_digits: int = 0
    _tick_units: int = field(init=False)
    _lot_units: int = field(init=False)

    def __post_init__(self) -> None:
        for name, units, step in (("price_digits", "_tick_units", self.tick), ("qty_digits", "_lot_units", self.lot)):
            digits = max(getattr(self, name), -int(step.normalize().as_tuple().exponent))
            object.__setattr__(self, name, digits)
            object.__setattr__(self, units, int(step.scaleb(digits)))

    def price(self, ticks: int) -> str:
        """A price, quote."""
        return shift(ticks * self._tick_units, self.price_digits)

    def qty(self, lots: int) -> str:
        """A quantity, base."""
        return shift(lots * self._lot_units, self.qty_digits)

    def value(self, product: int) -> str:
        """A sum of tick x lots, quote."""
        return shift(product * self._tick_units * self._lot_units, self.price_digits + self.qty_digits)

    def levels(self, side: dict[int, int], sign: int) -> list[list[str]]:
        """Signed ticks with their lots as [price, quantity] pairs."""
        return [[self.price(sign * tick), self.qty(lots)] for tick, lots in side.items()]


class Side:
    """One side of the book. Its ticks are signed (bids k, asks -k), so that the best is always the last."""

    __slots__ = ("lots", "sign", "ticks")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.ticks: list[int] = []  # signed, ascending
        self.lots: dict[int, int] = {}

    def set(self, tick: int, lots: int) -> None:
        """Let `lots` rest at a tick; 0 takes the level away."""
        key = self.sign * tick
        if lots > 0:
            if key not in self.lots:
                insort(self.ticks, key)
            self.lots[key] = lots
        elif key in self.lots:
            del self.lots[key]
            del self.ticks[bisect_left(self.ticks, key)]

    def top(self, levels: int) -> dict[int, int]:
        """The best levels, signed tick to lots, best first."""
        lots = self.lots
        return {tick: lots[tick] for tick in self.ticks[: -levels - 1 : -1]}

    def clear(self) -> None:
        """Take every level away."""
        self.ticks.clear()
        self.lots.clear()

    @property
    def best(self) -> int:
        """The best tick; 0 when the side is empty."""
        return self.sign * self.ticks[-1] if self.ticks else 0


class Market:
    """Book, trades and candles of one symbol, moved on by arrivals."""

    def __init__(self, symbol: str, grid: Grid, begin_ms: int, dice: int) -> None:
        self.symbol = symbol
        self.grid = grid
        self.begin_ms = begin_ms  # when it was listed
        self.bids, self.asks = Side(1), Side(-1)
        self.ts = begin_ms * NS_PER_MS  # ns, of the last arrival
        self.seq = 70_000_000 + dice % 1_000_000  # one a symbol, across all views
        self.update_id = 9_000_000_000 + dice % 1_000_000_000  # Binance's
        self.first_update_id = self.update_id  # of the last arrival
        self.trades: list[Print] = []
        self.candles: list[Candle] = []  # of a minute; the last is being formed
        self.liquidations: list[Liquidation] = []
        self.last_trade_id = dice % 1_000_000
        self.last_aggregate = dice % 500_000
        self._aggregate_key: tuple[int, int, int] | None = None  # window, side and tick of the one that may grow
        self._closed_day: tuple[int, Candle] | None = None

    # --- forward

    def begin(self, tick: int) -> None:
        """Open the first candle, flat at a price until something trades."""
        self.candles = [Candle(bucket(self.begin_ms, "1m"), tick, tick, tick, tick)]

    def apply(self, arrival: Arrival) -> Deed:
        """Take in what an order did."""
        self.ts = arrival.ts
        self.seq += 1 + arrival.ts // NS_PER_MS % 5
        self._number(arrival)
        if arrival.whole:
            self.bids.clear()
            self.asks.clear()
        for side, tick, lots in arrival.changes:
            (self.bids if side > 0 else self.asks).set(tick, lots)
        return Deed(arrival, self._trade(arrival) if arrival.fills else ())

    def _number(self, arrival: Arrival) -> None:
        """Move the update ids on: by the tape's, or by some that skip."""
        first, last = arrival.update_ids
        if not last:
            first = self.update_id + 1 + arrival.ts // NS_PER_MS % 7
            last = first + len(arrival.changes) + len(arrival.fills)
        self.first_update_id, self.update_id = first, last

    def _trade(self, arrival: Arrival) -> list[Print]:
        self.roll(arrival.ts)
        prints = [self._print(arrival, fill) for fill in arrival.fills]
        for trade in prints:
            self.candles[-1].add(trade)
        self.trades += prints
        if len(self.trades) > 2 * KEPT_TRADES:
            del self.trades[:KEPT_TRADES]
        last = prints[-1]
        if len({trade.tick for trade in prints}) >= LIQUIDATION_LEVELS:
            self.liquidations.append(Liquidation(last.ts, last.side, last.tick, last.lots))
        return prints

    def _print(self, arrival: Arrival, fill: Fill) -> Print:
        key = (aggregate_window(arrival.at), fill.side, fill.tick)
        if key != self._aggregate_key:
            self.last_aggregate += 1
            self._aggregate_key = key
        self.last_trade_id += 1
        return Print(self.last_trade_id, arrival.ts, *fill, self.seq, self.last_aggregate)

    def close_aggregate(self) -> None:
        """The aggregate trade that might still grow has been published."""
        self._aggregate_key = None

    def roll(self, now_ns: int) -> None:
        """Begin the candles that are due: flat ones where nothing trades."""
        now_ms = now_ns // NS_PER_MS
        candles = self.candles
        while candles[-1].open_ms + MS_PER_MINUTE <= now_ms:
            close = candles[-1].close
            candles.append(Candle(candles[-1].open_ms + MS_PER_MINUTE, close, close, close, close))

    # --- views

    @property
    def last_tick(self) -> int:
        """Price of the last trade."""
        return self.candles[-1].close

    def candles_of(self, tf: str, start_ms: int, end_ms: int) -> list[Candle]:
        """Candles with open times in [start, end], oldest first; the newest may be unfinished."""
        minutes = self.candles
        zero = minutes[0].open_ms
        first = bucket(max(start_ms, zero), tf)
        if first < start_ms:
            first = bucket_end(first, tf)
        found: list[Candle] = []
        while first <= end_ms and first <= minutes[-1].open_ms:
            end = bucket_end(first, tf)
            rows = minutes[max(0, (first - zero) // MS_PER_MINUTE) : (end - zero) // MS_PER_MINUTE]
            found.append(rows[0] if tf == "1m" else merged(rows, first))
            first = end
        return found

    def candle(self, tf: str, open_ms: int) -> Candle:
        """The candle that opens at an instant."""
        return self.candles_of(tf, open_ms, open_ms)[0]

    def day(self) -> Candle:
        """The last 24 hours as one candle."""
        closed = self.candles[-24 * 60 : -1]
        if not closed:
            return merged(self.candles[-1:], self.candles[-1].open_ms)
        if self._closed_day is None or self._closed_day[0] != closed[-1].open_ms:
            self._closed_day = (closed[-1].open_ms, merged(closed, closed[0].open_ms))
        return merged([self._closed_day[1], self.candles[-1]], closed[0].open_ms)

    def price_at(self, ms: int) -> int:
        """Close, in ticks, of the last candle that ended at or before an instant; the first open before that."""
        index = (ms - self.candles[0].open_ms) // MS_PER_MINUTE - 1
        return self.candles[min(index, len(self.candles) - 1)].close if index >= 0 else self.candles[0].open

    # --- what a derivative has besides

    def imbalance(self, from_ms: int, until_ms: int) -> float:
        """(bought - sold) / traded of the minutes that open in [from, until), -1 to 1."""
        zero = self.candles[0].open_ms
        rows = self.candles[max(0, (from_ms - zero) // MS_PER_MINUTE) : max(0, (until_ms - zero) // MS_PER_MINUTE)]
        lots = sum(candle.lots for candle in rows)
        return (2 * sum(candle.bought for candle in rows) - lots) / lots if lots else 0.0

    def funding_rate(self, stamp_ms: int) -> str:
        """Rate due at a settlement: 0.01 % (1 + imbalance of the eight hours before), as far as they have passed."""
        return f"{1e-4 * (1.0 + self.imbalance(stamp_ms - FUNDING_MS, stamp_ms)):.8f}"

    def settlements(self, now_ms: int) -> list[int]:
        """Times of the fundings that are past, ms, oldest first."""
        first = -(-self.begin_ms // FUNDING_MS) * FUNDING_MS
        return list(range(first, now_ms + 1, FUNDING_MS))

    def next_funding_ms(self, now_ms: int) -> int:
        """Time of the next settlement, ms."""
        return (now_ms // FUNDING_MS + 1) * FUNDING_MS

    def mark(self) -> str:
        """Mark price: the mid, one digit finer than the prices."""
        bid, ask = self.bids.best, self.asks.best
        middle = bid + ask if bid and ask else 2 * self.last_tick
        return _half(self.grid, middle)

    def index(self) -> str:
        """Index price: half a tick above the mark, so that the two can be told apart."""
        bid, ask = self.bids.best, self.asks.best
        return _half(self.grid, (bid + ask if bid and ask else 2 * self.last_tick) + 1)

    def open_interest(self, ms: int) -> int:
        """Lots: 200 times the mean minute's volume, moved a tenth by the imbalance of the hour before."""
        lots = self.day().lots // (24 * 60)
        return int(200 * max(lots, 1) * (1.0 + 0.1 * self.imbalance(ms - MS_PER_HOUR, ms)))

    def long_share(self, ms: int, length_ms: int) -> float:
        """Share of accounts that are long, 0.3 to 0.7: half, moved by the imbalance of the period before."""
        return 0.5 + 0.2 * self.imbalance(ms - length_ms, ms)


def _half(grid: Grid, double_ticks: int) -> str:
    """Half of `double_ticks` ticks, with one digit more than the prices."""
    units = int(grid.tick.scaleb(grid.price_digits))
    return shift(double_ticks * units * 5, grid.price_digits + 1)


def in_order(arrivals: Iterable[Arrival]) -> list[Arrival]:
    """Arrivals of several symbols in the order in which they are published."""
    return sorted(arrivals, key=lambda arrival: (arrival.at, arrival.line))
