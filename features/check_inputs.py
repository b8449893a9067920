"""Inputs for the checks of features, drawn from a seed and named for what is hard about them.

They are dice for checks, never market data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from features.rows.book import BAND_BPS, BOOK_EVENT, LEVELS
from features.rows.sources import Source
from features.rows.tape import PRINT, QUOTE, TAPE_EVENT
from features.rows.trades import TRADE_EVENT
from utils.market.book import ASKS, BIDS
from utils.rows import BAR, BPS, NS_PER_DAY, NS_PER_MINUTE, NS_PER_MS, NS_PER_S, Rows

#: A price of the dice's market, quote, and its tick.
PRICE, TICK = 60_000.0, 0.1
START = 1_700_000_040_000_000_000


def random_bars(rows: int, seed: int, minutes: int = 1, jumps: bool = False) -> Rows:
    """Bars of one symbol on a price grid of 0.1 around 60,000: heavy tails, volume and taker flow everywhere.

    Args:
        rows: how many.
        seed: of the dice; equal seeds give equal bars.
        minutes: length of a bar.
        jumps: one bar in fifty moves by up to a fifth.
    """
    dice = np.random.default_rng(seed)
    steps = dice.standard_t(4, rows) * 5e-4
    if jumps:
        steps += (dice.random(rows) < 0.02) * dice.uniform(-0.2, 0.2, rows)
    close = 60_000.0 * np.exp(np.cumsum(steps))
    opened = np.concatenate(([60_000.0], close[:-1])) * (1.0 + (dice.random(rows) < 0.3) * 1e-5)
    reach = dice.exponential(2e-4, (2, rows))
    bars = np.zeros(rows, BAR)
    bars["ts"] = START + minutes * NS_PER_MINUTE * np.arange(1, rows + 1)
    bars["open"] = opened.round(1)
    bars["close"] = close.round(1)
    bars["high"] = (np.maximum(opened, close) * (1.0 + reach[0])).round(1)
    bars["low"] = (np.minimum(opened, close) * (1.0 - reach[1])).round(1)
    bars["high"] = np.maximum(bars["high"], np.maximum(bars["open"], bars["close"]))
    bars["low"] = np.minimum(bars["low"], np.minimum(bars["open"], bars["close"]))
    bars["volume"] = dice.lognormal(2.0, 1.0, rows)
    bars["taker_buy"] = bars["volume"] * dice.random(rows)
    return bars


def halted(bars: Rows, first: int, last: int) -> Rows:
    """A copy in which rows first to last - 1 did not trade: no volume, all prices at the close before."""
    bars = bars.copy()
    rest = slice(first, last)
    for field in ("open", "high", "low", "close"):
        bars[field][rest] = bars["close"][max(first - 1, 0)]
    bars["volume"][rest] = 0.0
    bars["taker_buy"][rest] = 0.0
    return bars


def hard_bars(rows: int = 700) -> Iterator[tuple[str, Rows]]:
    """Bars of one symbol: plain, with gaps in what a feature needs, and with wild prices."""
    bars = random_bars(rows, seed=1)
    yield "plain bars", bars
    yield "five-minute bars", random_bars(rows, seed=2, minutes=5)
    yield "big jumps", random_bars(rows, seed=3, jumps=True)
    dice = np.random.default_rng(4)
    quiet = random_bars(rows, seed=5)
    for first in np.flatnonzero(dice.random(rows) < 0.05):
        quiet = halted(quiet, int(first), int(first) + 1)
    yield "single bars without volume", quiet
    yield "a long halt", halted(bars, 200, 330)
    yield "a halt from the first bar on", halted(bars, 0, 90)
    silent = bars.copy()
    silent["taker_buy"] = math.nan
    yield "a venue without taker flow", silent
    partly = bars.copy()
    partly["taker_buy"][100:160] = math.nan
    yield "taker flow missing for an hour", partly
    flat = halted(bars, 0, rows)
    flat["volume"] = 3.0
    flat["taker_buy"] = 1.0
    yield "flat prices", flat
    level = bars.copy()
    level["volume"][300:400] = 5.0
    level["taker_buy"][300:400] = 5.0
    yield "equal volumes", level


# --- events


def random_times(rows: int, dice: np.random.Generator, mean_ms: float = 40.0) -> Rows:
    """Exchange times that seldom repeat and now and then go back a little, ns."""
    steps = dice.exponential(mean_ms, rows) * (dice.random(rows) < 0.9)
    back = (dice.random(rows) < 0.01) * dice.uniform(0.0, 30.0, rows)
    times: Rows = START + ((np.cumsum(steps) - back) * NS_PER_MS).astype(np.int64)
    return times


def random_books(rows: int, seed: int, jump_ticks: int = 2) -> Rows:
    """Books of ten levels a side that move by up to `jump_ticks` now and then; the first is a snapshot."""
    dice = np.random.default_rng(seed)
    books = np.zeros(rows, BOOK_EVENT)
    books["ts"] = random_times(rows, dice)
    books["fresh"][0] = 1
    moves = (dice.random(rows) < 0.2) * dice.integers(-jump_ticks, jump_ticks + 1, rows)
    spread = dice.choice([1, 1, 1, 2, 5], rows)
    best = round(PRICE / TICK) + np.cumsum(moves)
    ladder = np.arange(LEVELS) * dice.integers(1, 3)
    books["prices"][:, BIDS] = (best[:, None] - ladder) * TICK
    books["prices"][:, ASKS] = ((best + spread)[:, None] + ladder) * TICK
    qtys = dice.lognormal(0.0, 1.0, (rows, 2, LEVELS)).round(3) + 0.001
    kept = dice.random((rows, 2, LEVELS)) < 0.8
    kept[0] = False
    last = np.maximum.accumulate(np.where(kept, 0, np.arange(rows)[:, None, None]), axis=0)
    books["qtys"] = np.take_along_axis(qtys, last, axis=0)
    return _with_band(books)


def _with_band(books: Rows) -> Rows:
    """Fill in what lies near the mid, from the levels there are."""
    mid = books["prices"][:, :, 0].mean(axis=1)
    near = np.abs(books["prices"] - mid[:, None, None]) <= BAND_BPS * BPS * mid[:, None, None]
    books["near"] = np.where(near, books["qtys"], 0.0).sum(axis=2)
    return books


def without(books: Rows, side: int, first: int, last: int) -> Rows:
    """A copy in which a side is empty from row first to last - 1."""
    books = books.copy()
    books["prices"][first:last, side] = np.nan
    books["qtys"][first:last, side] = 0.0
    return _with_band(books)


def hard_books(rows: int = 3000) -> Iterator[tuple[str, Rows]]:
    """Books of one symbol: plain, lost, one-sided, thin, silent, still and wild."""
    books = random_books(rows, seed=1)
    yield "plain books", books
    lost = books.copy()
    lost["fresh"][[700, 701, 2100]] = 1
    lost["prices"][700], lost["qtys"][700], lost["near"][700] = np.nan, 0.0, 0.0
    yield "a book that is lost and comes back", lost
    yield "single events without bids", without(without(books, BIDS, 300, 301), BIDS, 2000, 2001)
    yield "no asks for a while, and none at all at the end", without(without(books, ASKS, 900, 1100), ASKS, 2900, rows)
    thin = books.copy()
    thin["prices"][:, :, 2:], thin["qtys"][:, :, 2:] = np.nan, 0.0
    yield "two levels a side", _with_band(thin)
    silent = books.copy()
    silent["ts"][1500:] += 200 * NS_PER_S
    yield "silence of minutes", silent
    still = books.copy()
    still[1:] = still[0]
    still["ts"], still["fresh"][1:] = books["ts"], 0
    yield "nothing changes", still
    yield "wild prices", random_books(rows, seed=2, jump_ticks=4000)
    wide = books.copy()
    wide["prices"][:, ASKS] += 200.0
    yield "a spread wider than the band", _with_band(wide)


def random_trades(rows: int, seed: int) -> Rows:
    """Prints around one price, sides in runs; the first is a reset."""
    dice = np.random.default_rng(seed)
    trades = np.zeros(rows, TRADE_EVENT)
    trades["ts"] = random_times(rows, dice)
    trades["fresh"][0] = 1
    flips = dice.random(rows) < 0.3
    trades["side"] = np.where(np.cumsum(flips) % 2 == 0, 1, -1)
    trades["price"] = (round(PRICE / TICK) + np.cumsum(dice.integers(-1, 2, rows))) * TICK
    trades["qty"] = dice.lognormal(-1.0, 1.5, rows).round(3) + 0.001
    return trades


def hard_trades(rows: int = 3000) -> Iterator[tuple[str, Rows]]:
    """Prints of one symbol: plain, of unknown side, in bursts, over midnight, lost, silent, huge and one-sided."""
    trades = random_trades(rows, seed=1)
    yield "plain prints", trades
    unknown = trades.copy()
    unknown["side"][::3] = 0
    unknown["side"][800:1200] = 0
    yield "unknown sides", unknown
    burst = trades.copy()
    burst["ts"] = burst["ts"] // (300 * NS_PER_MS) * (300 * NS_PER_MS)
    yield "many prints of one time", burst
    night = trades.copy()
    night["ts"] += NS_PER_DAY - night["ts"][1800] % NS_PER_DAY
    night["qty"][1800:] *= 7.0
    yield "midnight", night
    lost = trades.copy()
    lost["fresh"][[5, 1700]] = 1
    yield "prints that may be missing", lost
    silent = trades.copy()
    silent["ts"][2500:] += 200 * NS_PER_S
    yield "silence of minutes", silent
    huge = trades.copy()
    huge["qty"][2000] = 1e6
    yield "one huge print", huge
    bought = trades.copy()
    bought["side"] = 1
    yield "takers only buy", bought


def random_tape(rows: int, seed: int, prints: float = 0.4) -> Rows:
    """Quotes and prints at them, in the order they came; the first is a quote and a reset."""
    dice = np.random.default_rng(seed)
    tape = np.zeros(rows, TAPE_EVENT)
    tape["ts"] = random_times(rows, dice)
    tape["fresh"][0] = 1
    tape["kind"] = np.where(dice.random(rows) < prints, PRINT, QUOTE)
    tape["kind"][0] = QUOTE
    bid = (round(PRICE / TICK) + np.cumsum((dice.random(rows) < 0.2) * dice.integers(-3, 4, rows))) * TICK
    ask = bid + dice.choice([1, 1, 2], rows) * TICK
    side = dice.choice([-1, 1], rows)
    quote = tape["kind"] == QUOTE
    for name, values in (("bid", bid), ("ask", ask)):
        tape[name] = np.where(quote, values, np.nan)
    tape["side"] = np.where(quote, 0, side)
    tape["price"] = np.where(quote, np.nan, np.where(side > 0, ask, bid))
    tape["qty"] = np.where(quote, np.nan, dice.lognormal(-1.0, 1.5, rows).round(3) + 0.001)
    return tape


def hard_tapes(rows: int = 4000) -> Iterator[tuple[str, Rows]]:
    """Tapes of one symbol: plain, of unknown side, late, lost, without prints or quotes for a while, silent, still."""
    tape = random_tape(rows, seed=1)
    yield "a plain tape", tape
    unknown = tape.copy()
    unknown["side"][::2] = 0
    yield "unknown sides", unknown
    late = tape.copy()
    late["ts"][late["kind"] == PRINT] -= 50 * NS_PER_MS
    yield "prints that come late", late
    lost = tape.copy()
    for row in (1000, 3900):
        lost[row] = (lost["ts"][row], 0, 1, QUOTE, 0, np.nan, np.nan, np.nan, np.nan)
    yield "a book that is lost and comes back", lost
    sparse = random_tape(rows, seed=2, prints=0.001)
    yield "hardly a print", sparse
    blind = random_tape(rows, seed=3, prints=0.999)
    yield "hardly a quote", blind
    silent = tape.copy()
    silent["ts"][3000:] += 200 * NS_PER_S
    yield "silence of minutes", silent


def usual(source: Source, rows: int, seed: int) -> Rows:
    """Rows of a source without anything hard about them."""
    drawn: dict[Source, Callable[[int, int], Rows]] = {
        Source.BAR: random_bars,
        Source.BOOK: random_books,
        Source.TRADE: random_trades,
        Source.TAPE: random_tape,
    }
    return drawn[source](rows, seed)


def hard_inputs(source: Source = Source.BAR) -> Iterator[tuple[str, Rows]]:
    """Named inputs of one symbol for the features of a source."""
    return {Source.BAR: hard_bars, Source.BOOK: hard_books, Source.TRADE: hard_trades, Source.TAPE: hard_tapes}[
        source
    ]()
