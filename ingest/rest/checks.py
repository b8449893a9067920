"""What every answer of an exchange must be before anything believes it: ccxt itself accepts an HTML page as candles.

Each check returns the answer, typed, or raises BadVenueData with one sentence. Times are ms, prices quote, quantities
as the venue counts them (base, except where `Listing.contract_size` says otherwise).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ingest.rest.retry import BadVenueData, IncompleteCandles, one_line
from ingest.wire.fields import Refused, signed
from utils.market.timeframes import MONDAY
from utils.rows import MS_PER_HOUR, MS_PER_MINUTE, MS_PER_WEEK, NS_PER_MS
from utils.shell.moments import at_ms

Matrix: TypeAlias = NDArray[np.float64]

#: Columns of a candle matrix; times in ms are exact in float64. NaN only in the last, where the venue does not say.
TIME, OPEN, HIGH, LOW, CLOSE, VOLUME, TAKER_BUY = range(7)
NAMES = ("timestamp", "open", "high", "low", "close", "volume", "taker_buy_volume")
#: Times of answers in ms lie between 2009 and 2100; seconds and microseconds do not.
FIRST_MS, LAST_MS = 1_230_768_000_000, 4_102_444_800_000
#: An open so far ahead of what is surely past may be the candle that has just begun, ms.
SLACK_MS = 5_000
#: When the first week began.
MONDAY_MS = MONDAY // NS_PER_MS
#: Funding and long/short ratios beyond these are no exchange's.
MOST_RATE, MOST_RATIO = 1.0, 1e4
#: Longest time between two funding settlements, and how far a stamp may be off, ms.
FUNDING_MS, FUNDING_SLACK_MS = 8 * MS_PER_HOUR, MS_PER_MINUTE


@dataclass(frozen=True, slots=True)
class Span:
    """Candles that are asked for: opens from `start` up to and without `end`, ms, both on the grid of `tf`."""

    start: int
    end: int
    tf: int  # ms

    @property
    def size(self) -> int:
        """Candles."""
        return (self.end - self.start) // self.tf


def phase(tf_ms: int) -> int:
    """Where the grid of a timeframe begins: weeks on Monday, all others at midnight UTC, ms."""
    return MONDAY_MS if tf_ms == MS_PER_WEEK else 0


def floor_to_grid(ms: float, tf_ms: int) -> int:
    """The last candle's open at or before a time, ms."""
    return (int(ms) - phase(tf_ms)) // tf_ms * tf_ms + phase(tf_ms)


def ceil_to_grid(ms: int, tf_ms: int) -> int:
    """The first candle's open at or after a time, ms."""
    return phase(tf_ms) - (phase(tf_ms) - ms) // tf_ms * tf_ms


def number(value: object, what: str) -> float:
    """A finite number, written as one or as text by the rules of streams."""
    try:
        if isinstance(value, str):
            return signed(value, what)
        found = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except Refused as error:
        raise BadVenueData(str(error)) from None
    except (TypeError, ValueError, OverflowError):
        raise BadVenueData(f"{what}: expected a number, saw {one_line(repr(value), 60)}") from None
    if not math.isfinite(found):
        raise BadVenueData(f"{what}: expected a finite number, saw {value!r}")
    return found


def maybe(value: object, what: str) -> float | None:
    """A finite number, or None where the venue says nothing."""
    return None if value is None or value == "" else number(value, what)


def maybe_positive(value: object, what: str) -> float | None:
    """A number above 0, or None where the venue says nothing."""
    found = maybe(value, what)
    if found is not None and found <= 0.0:
        raise BadVenueData(f"{what}: expected a number above 0, saw {value!r}")
    return found


def maybe_from_0(value: object, what: str) -> float | None:
    """A number of at least 0, or None where the venue says nothing."""
    found = maybe(value, what)
    if found is not None and found < 0.0:
        raise BadVenueData(f"{what}: expected a number of at least 0, saw {value!r}")
    return found


def time_ms(value: object, what: str = "time") -> int:
    """A time in ms since 1970."""
    found = number(value, what)
    if found != int(found) or not FIRST_MS <= found < LAST_MS:
        raise BadVenueData(f"{what}: expected ms since 1970 as a whole number, saw {value!r}")
    return int(found)


def recent(value: object, now_ms: float, most_s: float, what: str) -> int:
    """A time in ms no further than `most_s` seconds from now."""
    found = time_ms(value, what)
    off_s = (now_ms - found) / 1000.0
    if abs(off_s) > most_s:
        side = "old" if off_s > 0 else "ahead of the exchange's own clock"
        seen = f"{at_ms(found)}, {abs(off_s):.1f} s {side}"
        raise BadVenueData(f"{what}: expected one of the last {most_s:g} s, saw {seen}")
    return found


def a_list(value: object, what: str) -> Sequence[Any]:
    """A JSON list."""
    if not isinstance(value, list):
        raise BadVenueData(f"{what}: expected a list, saw {type(value).__name__} {one_line(repr(value), 60)}")
    return value


def a_dict(value: object, what: str) -> Mapping[str, Any]:
    """A JSON object."""
    if not isinstance(value, Mapping):
        raise BadVenueData(f"{what}: expected an object, saw {type(value).__name__} {one_line(repr(value), 60)}")
    return value


def inside(body: object, keys: Sequence[str], what: str) -> object:
    """What stands in a JSON object where these keys lead, one after the other."""
    for key in keys:
        body = a_dict(body, what).get(key)
    return body


def same(seen: object, asked: str, what: str) -> None:
    """The answer is about what was asked for."""
    if seen != asked:
        raise BadVenueData(f"{what}: expected {asked}, saw {one_line(repr(seen), 60)}")


def only_about(body: object, symbol: str, depth: int = 4) -> None:
    """Every symbol that a body names is the one asked for: ccxt takes any for it."""
    if isinstance(body, Mapping):
        for key in ("symbol", "s"):
            if key in body:
                same(body[key], symbol, "symbol of the answer")
    inner = body.values() if isinstance(body, Mapping) else body if isinstance(body, list) else ()
    for part in inner if depth else ():
        only_about(part, symbol, depth - 1)


def candles(rows: object, span: Span, now_ms: float) -> Matrix:
    """Candles of a span as a matrix (`TIME` to `TAKER_BUY`), every one legal and closed.

    A row has six items, or seven with the taker-buy volume. The one that is still forming at `now_ms` is dropped, by
    its time.

    Args:
        rows: as they came, oldest first.
        span: what was asked for.
        now_ms: exchange time; what closes after it has not closed.

    Raises:
        BadVenueData: a row that no exchange could have printed, in the wrong order, off the grid, or not asked for.
        IncompleteCandles: all are legal, and some are missing.
    """
    table = np.full((len(a_list(rows, "candles")), 7), np.nan)
    for i, row in enumerate(a_list(rows, "candles")):
        if len(a_list(row, f"candle {i + 1}")) not in {6, 7}:
            raise BadVenueData(f"candle {i + 1}: expected time, four prices and volume, saw {one_line(repr(row), 60)}")
        table[i, TIME] = time_ms(row[TIME], f"candle {i + 1}")
        table[i, OPEN : len(row)] = [number(cell, f"candle {i + 1}") for cell in row[OPEN:]]
    _legal(table)
    times = table[:, TIME].astype(np.int64)
    _refuse(table, (times - phase(span.tf)) % span.tf != 0, f"a time on the grid of {span.tf // MS_PER_MINUTE} min")
    _refuse(table, np.diff(times, prepend=times[:1] - 1) <= 0, "a later time than the candle before")
    _refuse(table, times > now_ms + SLACK_MS, f"no time after {at_ms(now_ms)}, the exchange's present")
    closed = times + span.tf <= now_ms
    table, times = table[closed], times[closed]
    outside = (times < span.start) | (times >= span.end)
    _refuse(table, outside, f"a time from {at_ms(span.start)} and before {at_ms(span.end)}, as asked")
    missing = runs_missing(times, span)
    if missing:
        raise IncompleteCandles(table, missing, span.tf)
    return table


def _legal(table: Matrix) -> None:
    low, high, volume, taker = (table[:, column] for column in (LOW, HIGH, VOLUME, TAKER_BUY))
    opened, closed = table[:, OPEN], table[:, CLOSE]
    _refuse(table, ~(table[:, OPEN:VOLUME] > 0.0).all(axis=1), "prices above 0")
    ordered = (low <= opened) & (low <= closed) & (opened <= high) & (closed <= high)
    _refuse(table, ~ordered, "low <= open, close <= high")
    _refuse(table, volume < 0.0, "a volume of 0 or more")
    # sums of decimals may differ in the last place
    _refuse(table, (taker < 0.0) | (taker > volume * (1.0 + 1e-9)), "a taker-buy volume from 0 to the volume")


def _refuse(table: Matrix, wrong: Any, expected: str) -> None:
    if wrong.any():
        i = int(wrong.argmax())
        seen = ", ".join(f"{cell:.12g}" for cell in table[i, OPEN:] if math.isfinite(cell))
        raise BadVenueData(f"candle {i + 1} at {at_ms(table[i, TIME])}: expected {expected}, saw {seen}")


def runs_missing(times: NDArray[np.int64], span: Span) -> list[tuple[int, int]]:
    """(first open, candles) of each run that a span has and `times` do not, ms."""
    edges = np.concatenate(([span.start - span.tf], times, [span.end]))
    holes = np.diff(edges) // span.tf - 1
    return [(int(edges[i]) + span.tf, int(holes[i])) for i in np.flatnonzero(holes > 0)]


def book_side(levels: object, direction: int, side: str) -> None:
    """(price, quantity) levels, positive, best first: `direction` -1 for bids, 1 for asks."""
    if not a_list(levels, side):
        raise BadVenueData(f"{side}: expected at least one level, saw none")
    last = -math.inf
    for level in a_list(levels, side):
        if len(a_list(level, side)) < 2:
            raise BadVenueData(f"{side}: expected price and quantity, saw {one_line(repr(level), 60)}")
        price, qty = number(level[0], f"{side} price"), number(level[1], f"{side} quantity")
        if price <= 0.0 or qty <= 0.0:
            raise BadVenueData(f"{side}: expected price and quantity above 0, saw {price:.12g} and {qty:.12g}")
        if direction * price <= last:
            order = f"{price:.12g} after {abs(last):.12g}"
            raise BadVenueData(f"{side}: expected each price once and best first, saw {order}")
        last = direction * price


def book(bids: object, asks: object) -> None:
    """Both sides of an order book, and that they do not cross."""
    book_side(bids, -1, "bids")
    book_side(asks, 1, "asks")
    best_bid, best_ask = float(a_list(bids, "bids")[0][0]), float(a_list(asks, "asks")[0][0])
    if best_bid >= best_ask:
        raise BadVenueData(f"book: expected the best bid below the best ask, saw {best_bid:.12g} and {best_ask:.12g}")


def trades(rows: object, symbol: str, now_ms: float, slack_s: float) -> None:
    """Trades as ccxt shapes them: of this symbol, with side, price and quantity, oldest first, none from the future."""
    seen: set[str] = set()
    last = 0
    if not a_list(rows, "trades"):
        raise BadVenueData("trades: expected at least one, saw none")
    for row in a_list(rows, "trades"):
        trade = a_dict(row, "trade")
        if not isinstance(trade.get("info"), (dict, list)):
            raise BadVenueData(f"trade: expected what the exchange said, saw {one_line(repr(trade.get('info')), 60)}")
        same(trade.get("symbol"), symbol, "trade")
        if trade.get("side") not in {"buy", "sell"}:
            raise BadVenueData(f"trade: expected side buy or sell, saw {trade.get('side')!r}")
        if number(trade.get("price"), "trade price") <= 0.0 or number(trade.get("amount"), "trade quantity") <= 0.0:
            raise BadVenueData(f"trade: expected price and quantity above 0, saw {one_line(repr(trade['info']), 80)}")
        stamp = time_ms(trade.get("timestamp"), "trade time")
        if stamp < last or stamp > now_ms + 1000.0 * slack_s:
            raise BadVenueData(f"trade time: expected ascending times up to now, saw {at_ms(stamp)}")
        name = trade.get("id")
        if name is not None and str(name) in seen:
            raise BadVenueData(f"trade: expected each id once, saw {name} twice")
        seen.add(str(name))
        last = stamp


def markets(found: object) -> Mapping[str, Mapping[str, Any]]:
    """Markets of ccxt by symbol: some, each with an id."""
    table = a_dict(found, "markets")
    if not table:
        raise BadVenueData("markets: expected at least one, saw none")
    for symbol, market in table.items():
        if not (isinstance(symbol, str) and symbol and isinstance(a_dict(market, "market").get("id"), str)):
            raise BadVenueData(f"markets: expected symbols with ids, saw {one_line(repr(symbol), 60)}")
    return table


def funding(rows: object, start: int, end: int, symbol: str) -> list[tuple[int, float]]:
    """(time in ms, rate as a fraction) of each settlement with start <= time < end, oldest first."""
    found: list[tuple[int, float]] = []
    for row in a_list(rows, "funding"):
        entry = a_dict(row, "funding")
        same(entry.get("symbol"), symbol, "funding")
        stamp = time_ms(entry.get("timestamp"), "funding time")
        rate = number(entry.get("fundingRate"), "funding rate")
        if not abs(rate) < MOST_RATE:
            raise BadVenueData(f"funding rate: expected a fraction between -1 and 1, saw {rate:g}")
        if not start - FUNDING_SLACK_MS <= stamp < end + FUNDING_SLACK_MS:
            raise BadVenueData(f"funding time: expected {at_ms(start)} to {at_ms(end)}, saw {at_ms(stamp)}")
        if found and stamp <= found[-1][0]:
            raise BadVenueData(f"funding time: expected a time after {at_ms(found[-1][0])}, saw {at_ms(stamp)}")
        found.append((stamp, rate))
    return [entry for entry in found if start <= entry[0] < end]
