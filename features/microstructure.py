"""Microstructure of a market as research asks for it: rows in, numbers out, by the folds that live features are.

Everything takes what users hold (`features.rows.users`): trades as ccxt gives them, DataFrames, nouns or rows; order
books as snapshots in a sequence, or BOOK_EVENT rows of a recording (`features.rows.maker`). What cannot be computed is
NaN, what is wrong is a DataError. None of these is a forecast by itself: most explain the move of their own window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.fold import FeatureSet
from features.folds.tape_flow import cost_bps, slope
from features.folds.top_of_book import DISTANCE_BPS, imbalance_of, leaning, weighed_depths, weighted_mid_of
from features.folds.trade_flow import vpin as vpin_feature
from features.folds.trade_flow import vpin_of
from features.folds.volume import illiquidity
from features.rows.book import BOOK_ROW, BOOK_SHARED, LEVELS, prepare_book
from features.rows.tape import PRINT, QUOTE, TAPE_ROW, TAPE_SHARED, prepare_tape
from features.rows.users import LONGEST_NS, Quotes, Trades, book_rows, quote_rows, tape_rows, trade_rows
from features.studies.profile import VolumeProfile, volume_profile
from features.studies.resiliency import Resiliency, price_impact_decay
from utils.compiled import compiled
from utils.errors import DataError
from utils.market.sides import Book, sides
from utils.rows import NS_PER_MS, NS_PER_S, Rows

__all__ = [
    "Resiliency",
    "SignMemory",
    "VolumeProfile",
    "amihud",
    "bid_ask_pressure",
    "book_ofi",
    "depth_ratio",
    "depth_weighted_price",
    "effective_spread",
    "integrated_ofi",
    "kyle_lambda",
    "leanings",
    "multi_level_ofi",
    "order_flow_imbalance",
    "price_impact",
    "price_impact_decay",
    "print_costs",
    "realised_spread",
    "sign_memory",
    "volume_profile",
    "vpin",
]

Floats = NDArray[np.float64]
#: More windows than this are a mistake in their length, or in a time.
MOST_WINDOWS = 10_000_000


# --- flow


def order_flow_imbalance(trades: Trades, *, notional: bool = False) -> float:
    """Who was in a hurry: volume bought less volume sold by takers, over their sum.

    Formula: (sum q of buys - sum q of sells) / (sum q of both); with `notional` p q in place of q.
    Unit: fraction in [-1, 1]; 7 bought and 3 sold give 0.4.
    NaN: no trades, or none whose side is known.

    Raises:
        DataError: a trade that is none; see `rows.users.trade_rows`, which also says what becomes of unknown sides.
    Source: Chordia and Subrahmanyam 2004.
    """
    rows = trade_rows(trades)
    weight = rows["qty"] * rows["price"] if notional else rows["qty"]
    return leaning(float(weight[rows["side"] > 0].sum()), float(weight[rows["side"] < 0].sum()))


def book_ofi(books: Any) -> Floats:
    """Order flow of each book event at the best level.

    Formula: e = 1{P_b >= P_b'} q_b - 1{P_b <= P_b'} q_b' - 1{P_a <= P_a'} q_a + 1{P_a >= P_a'} q_a', ' = before.
    Unit: base; its sum over a window is the window's OFI.
    NaN: the first event and every one after a reset or an empty side: nothing is differenced across them.

    Args:
        books: order books, one an event, or BOOK_EVENT rows of one symbol. From snapshots by REST it is noise: it needs
            every update.

    Raises:
        DataError: a book that is none; see `rows.users.book_rows`.
    Source: Cont, Kukanov and Stoikov 2014.
    """
    return multi_level_ofi(books, levels=1)[:, 0]


def multi_level_ofi(books: Any, seconds: float | None = None, levels: int = LEVELS) -> Floats:
    """Order flow level by level: of each event, or of each window of time in units of the depth it came upon.

    Formula: e as in `book_ofi` at each level; of windows sum e / AD, AD the mean over the window's events and levels of
    the quantity at a level.
    Unit: base, or multiples of the mean quantity at a level; shape (events or windows, levels).
    NaN: an event after a reset; a window with none or with a reset.

    Args:
        books: as in `book_ofi`.
        seconds: length of the windows, on the exchange's clock; None = event by event.
        levels: 1 to 10, best first.

    Raises:
        DataError: a book that is none, or more levels than rows hold.
    Source: Xu, Gould and Howison 2019, arXiv 1907.06230.
    """
    if not 1 <= levels <= LEVELS:
        raise DataError(f"levels: expected 1 to {LEVELS}, saw {levels}")
    rows = book_rows(books)
    flows, depths = np.empty((len(rows), LEVELS)), np.empty(len(rows))
    flows_of(np.zeros(1, BOOK_SHARED), np.zeros(1, BOOK_ROW), rows, flows, depths)
    if seconds is None:
        return flows[:, :levels]
    place, count = windows_of(rows["ts"], seconds)
    flow = np.column_stack([_summed(place, flows[:, level], count) for level in range(levels)])
    depth = _summed(place, depths, count) / np.bincount(place, minlength=count)
    return flow / depth[:, None]


def windows_of(ts: NDArray[np.int64], seconds: float) -> tuple[NDArray[np.int64], int]:
    """The number of each time's window, from 0 in the first one, and how many windows there are.

    Args:
        ts: exchange times, ns; one before the last belongs to the window of the latest.
        seconds: length of a window; windows begin at multiples of it since 1970.
    """
    if not 1.0 <= seconds * NS_PER_S <= LONGEST_NS:
        raise DataError(f"seconds: expected a length from a nanosecond to {LONGEST_NS // NS_PER_S} s, saw {seconds}")
    if not len(ts):
        return np.empty(0, np.int64), 0
    number = np.maximum.accumulate(ts) // round(seconds * NS_PER_S)
    count = int(number[-1] - number[0]) + 1
    if count > MOST_WINDOWS:
        raise DataError(
            f"seconds: expected at most {MOST_WINDOWS:,} windows, saw {count:,} of {seconds:g} s; ask longer"
        )
    return number - number[0], count


def _summed(place: NDArray[np.int64], values: Floats, count: int) -> Floats:
    """Sums by window; NaN where there is nothing, or a NaN."""
    sums = np.bincount(place, weights=values, minlength=count)
    return np.where(np.bincount(place, minlength=count) > 0, sums, math.nan)


@compiled
def flows_of(shared: Rows, prepared: Rows, rows: Rows, flows: Floats, depths: Floats) -> None:
    """Order flow of each event at each level, and the mean quantity at a level; NaN after a reset.

    Args:
        shared: one BOOK_SHARED record, fresh.
        prepared: one BOOK_ROW record.
        rows: BOOK_EVENT records of one symbol.
        flows: room for (rows, LEVELS).
        depths: room for as many rows.
    """
    for i in range(len(rows)):
        prepare_book(shared[0], rows[i], prepared[0])
        row = prepared[0]
        depths[i] = row.mean_depth
        for level in range(flows.shape[1]):
            flows[i, level] = math.nan if row.fresh else row.flow[level]


def integrated_ofi(ofi: Floats, weights: Floats | None = None) -> tuple[Floats, Floats]:
    """All levels' order flow as one number: along the direction in which they vary most.

    Formula: o w / |w|_1, w the first principal component of the rows of `ofi`, its sum above 0.
    Unit: that of `ofi`.
    NaN: rows with a NaN; they do not take part in the fit either.

    Args:
        ofi: shape (windows, levels), as `multi_level_ofi` gives it.
        weights: of an earlier fit: fit on the past, apply to what came after; None = fit to these rows.

    Returns:
        (values, weights), the weights with sum of absolute values 1.

    Raises:
        DataError: no table of numbers, fewer whole rows than levels, or weights of another length or all 0.
    Source: Cont, Cucuringu and Zhang 2023, arXiv 2112.13213.
    """
    try:
        ofi = np.asarray(ofi, np.float64)
        weights = None if weights is None else np.asarray(weights, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"ofi and weights: expected numbers, saw {str(ofi)[:80]} and {str(weights)[:80]}") from error
    if ofi.ndim != 2:
        raise DataError(f"ofi: expected shape (windows, levels), saw {ofi.shape}; `multi_level_ofi` gives it")
    if weights is None:
        whole = ofi[~np.isnan(ofi).any(axis=1)]
        if len(whole) <= ofi.shape[1]:
            raise DataError(f"ofi: expected more whole rows than its {ofi.shape[1]} levels, saw {len(whole)}")
        _, _, directions = np.linalg.svd(whole - whole.mean(axis=0), full_matrices=False)
        weights = directions[0] * (1.0 if directions[0].sum() >= 0.0 else -1.0)
    if np.shape(weights) != (ofi.shape[1],):
        raise DataError(f"weights: expected one for each of {ofi.shape[1]} levels, saw shape {np.shape(weights)}")
    size = float(np.abs(weights).sum())
    if not 0.0 < size < math.inf:
        raise DataError(f"weights: expected finite numbers, not all 0, saw {weights}")
    return ofi @ (weights / size), weights / size


def vpin(trades: Trades, bucket_volume: float | None = None, buckets: int = 50) -> float:
    """Volume-synchronised probability of informed trading after the last trade, from true aggressor flags.

    Formula: mean over the last n full buckets of equal volume of |V_b - V_s| / (V_b + V_s).
    Unit: fraction in [0, 1].
    NaN: fewer than n full buckets.

    Args:
        trades: see `rows.users.trade_rows`.
        bucket_volume: base; None = that of 20 usual trades, as the registered feature has it.
        buckets: n.

    Raises:
        DataError: a trade that is none, or a volume or number that is not above 0.
    Source: Easley, Lopez de Prado and O'Hara 2012. A gate for risk, never a direction.
    """
    if buckets < 1 or not (bucket_volume is None or 0.0 < bucket_volume < math.inf):
        raise DataError(f"vpin: expected a volume and a number above 0, saw {bucket_volume} and {buckets}")
    feature = vpin_feature(n=buckets) if bucket_volume is None else vpin_of(bucket_volume, buckets)
    rows = trade_rows(trades)
    if not len(rows):
        return math.nan
    return float(FeatureSet((feature,)).batch(rows)[feature.name][-1])


@dataclass(frozen=True, slots=True, eq=False)
class SignMemory:
    """How the sides of market orders hang together."""

    autocorrelation: Floats  # at lags 1, 2, ..: mean of s_i s_(i+lag)
    gamma: float  # of the power law lag^-gamma through them; NaN where they do not fall like one
    orders: int  # market orders: prints of one time and side are one


def sign_memory(trades: Trades, lags: int = 500) -> SignMemory:
    """Autocorrelation of the aggressors' sides, and how slowly it fades.

    Formula: C(l) = mean of s_i s_(i+l) over market orders; gamma = minus the slope of ln C on ln l over logarithmically
    spaced lags with C above twice its standard error 1/sqrt(n).
    Unit: fraction in [-1, 1]; gamma dimensionless, below 1 = long memory.
    NaN: lags with fewer than 100 pairs; gamma with fewer than 5 lags to fit.

    Args:
        trades: see `rows.users.trade_rows`; prints of unknown side are left out.
        lags: longest.

    Raises:
        DataError: a trade that is none, or no lag.
    Source: Lillo, Mike and Farmer 2005; Bouchaud et al. 2004.
    """
    if lags < 1:
        raise DataError(f"lags: expected at least 1, saw {lags}")
    signs = order_signs(trades)
    n = len(signs)
    memory = np.array(
        [signs[:-k] @ signs[k:] / (n - k) if n - k >= FEWEST_PAIRS else math.nan for k in range(1, lags + 1)]
    )
    return SignMemory(memory, fading(memory, n), n)


def order_signs(trades: Trades) -> Floats:
    """Sides of market orders, +1 or -1: prints of one time and side are one order, those of unknown side are none.

    Raises:
        DataError: a trade that is none; see `rows.users.trade_rows`.
    """
    rows = trade_rows(trades)
    rows = rows[rows["side"] != 0]
    first = np.ones(len(rows), np.bool_)
    first[1:] = (rows["ts"][1:] != rows["ts"][:-1]) | (rows["side"][1:] != rows["side"][:-1])
    signs: Floats = rows["side"][first].astype(np.float64)
    return signs


def fading(memory: Floats, orders: int) -> float:
    """How slowly an autocorrelation fades: gamma of the power law lag^-gamma through it.

    Formula: minus the slope of ln C on ln l over the `spaced_lags` with C above twice its standard error 1/sqrt(n).
    Unit: dimensionless.
    NaN: fewer than 5 lags to fit.

    Args:
        memory: C at lags 1, 2, ..; NaN = not known.
        orders: n.
    Source: Lillo, Mike and Farmer 2005.
    """
    spaced = spaced_lags(len(memory))
    fit = spaced[memory[spaced - 1] > 2.0 / math.sqrt(max(orders, 1))]
    return -float(np.polyfit(np.log(fit), np.log(memory[fit - 1]), 1)[0]) if len(fit) >= FEWEST_LAGS else math.nan


def spaced_lags(longest: int) -> NDArray[np.int64]:
    """At most 30 lags from 1 to the longest, logarithmically spaced."""
    return np.unique(np.geomspace(1, longest, 30).round().astype(np.int64))


#: Pairs below which a lag says nothing, and lags below which a power law does not.
FEWEST_PAIRS, FEWEST_LAGS = 100, 5


# --- the book


def bid_ask_pressure(orderbook: Book, distance_bps: float = DISTANCE_BPS) -> float:
    """Which side weighs more, near levels counting most: the imbalance of the whole book, weighed by distance.

    Formula: (D_b - D_a) / (D_b + D_a), D = sum q exp(-d / d0), d the distance from the mid in bps.
    Unit: fraction in [-1, 1]; above 0 = more to buy.
    NaN: a side is empty.

    Args:
        orderbook: see `utils.market.sides.Book`.
        distance_bps: d0.

    Raises:
        DataError: the book is crossed, not sorted, or holds what is no number.
    Source: Gould and Bonart 2015, arXiv 1512.03492, with weights by distance.
    """
    bids, asks = _depths(orderbook, distance_bps)
    return leaning(bids, asks)


def depth_ratio(orderbook: Book, distance_bps: float = DISTANCE_BPS) -> float:
    """ln(D_b / D_a) of the depths of `bid_ask_pressure`, dimensionless; NaN when a side is empty.

    Raises:
        DataError: as there.
    """
    bids, asks = _depths(orderbook, distance_bps)
    return math.log(bids) - math.log(asks)


def depth_weighted_price(orderbook: Book, levels: int = 10) -> float:
    """Mean price of the best levels of both sides, weighed by their quantities.

    Formula: sum (P_b q_b + P_a q_a) / sum (q_b + q_a) over the best `levels`.
    Unit: quote.
    NaN: a side is empty.

    Raises:
        DataError: as `bid_ask_pressure`; or no levels are asked for.
    Source: Cao, Hansch and Wang 2009.
    """
    if levels < 1:
        raise DataError(f"levels: expected at least 1, saw {levels}")
    bids, asks = sides(orderbook)
    if not (len(bids) and len(asks)):
        return math.nan
    both = np.concatenate([bids[:levels], asks[:levels]])
    return float(both[:, 0] @ both[:, 1] / both[:, 1].sum())


def _depths(orderbook: Book, distance_bps: float) -> tuple[float, float]:
    """Bid and ask depth, each level weighed by its distance from the mid; NaN when a side is empty."""
    if not distance_bps > 0.0:
        raise DataError(f"distance_bps: expected a distance above 0, saw {distance_bps}")
    return weighed_depths(*sides(orderbook), None, 0.0, distance_bps)


def leanings(quotes: Quotes) -> tuple[Floats, Floats]:
    """Where the best of each book leans: its imbalance and its weighted mid.

    Formula: `folds.top_of_book.imbalance_of` and `weighted_mid_of` there.
    Unit: fraction in [-1, 1], and quote.
    NaN: a side is empty, or its quantity is not given.

    Args:
        quotes: see `rows.users.quote_rows`.

    Raises:
        DataError: a quote that is none.
    Source: Gould and Bonart 2015, arXiv 1512.03492.
    """
    rows = quote_rows(quotes)
    imbalances, mids = np.empty(len(rows)), np.empty(len(rows))
    lean(rows, imbalances, mids)
    return imbalances, mids


@compiled
def lean(rows: Rows, imbalances: Floats, mids: Floats) -> None:
    """Imbalance and weighted mid of each row."""
    for i in range(len(rows)):
        imbalances[i] = imbalance_of(rows[i])
        mids[i] = weighted_mid_of(rows[i])


# --- costs and impact


def print_costs(trades: Trades, quotes: Quotes, horizon: float | None = None, offset_ms: float = 0.0) -> Floats:
    """Spread that each trade paid, against the mid before it or the mid a horizon later.

    Formula: 1e4 x 2 s (p - m') / m; m the last mid strictly before the trade, m' that mid, or with `horizon` D the last
    mid at t + D.
    Unit: bps, in order of the trades' time; positive = the aggressor paid.
    NaN: a side that is not known, no quote before the trade, or none at or after t + D.

    Args:
        trades: see `rows.users.trade_rows`.
        quotes: see `rows.users.quote_rows`.
        horizon: D, s; None = now.
        offset_ms: quotes are taken to be so much older than they say. Streams of trades and books are not ordered among
            each other: see whether 10 to 50 ms change your conclusion.

    Raises:
        DataError: a trade or quote that is none, or a horizon below 0.
    Source: Huang and Stoll 1996; SEC Rule 605.
    """
    tape = _joined(trades, quotes, offset_ms)
    later = None if horizon is None else _mid_at(tape, tape["ts"] + _horizon_ns(horizon))
    costs = np.empty(len(tape))
    costs_of(np.zeros(1, TAPE_SHARED), np.zeros(1, TAPE_ROW), tape, np.empty(0) if later is None else later, costs)
    of_prints: Floats = costs[tape["kind"] == PRINT]
    return of_prints


def _joined(trades: Trades, quotes: Quotes, offset_ms: float) -> Rows:
    if not abs(offset_ms) * NS_PER_MS <= LONGEST_NS:
        raise DataError(f"offset_ms: expected milliseconds, saw {offset_ms}")
    tape = tape_rows(quotes, trades)
    if offset_ms:
        tape["ts"][tape["kind"] == QUOTE] -= round(offset_ms * NS_PER_MS)
        tape = tape[np.lexsort((tape["kind"] == QUOTE, tape["ts"]))]
    return tape


def _horizon_ns(horizon: float) -> int:
    if not 0.0 <= horizon * NS_PER_S <= LONGEST_NS:
        raise DataError(f"horizon: expected seconds, at least 0 and no lifetime, saw {horizon}")
    return round(horizon * NS_PER_S)


def _mid_at(tape: Rows, times: NDArray[np.int64]) -> Floats:
    """The last mid at each of these times, quote; NaN before the first quote and after the last."""
    quotes = tape[tape["kind"] == QUOTE]
    if not len(quotes):
        return np.full(len(times), math.nan)
    place = np.searchsorted(quotes["ts"], times, side="right") - 1
    mids = 0.5 * (quotes["bid"] + quotes["ask"])
    known = (place >= 0) & (times <= quotes["ts"][-1])
    return np.where(known, mids[np.maximum(place, 0)], math.nan)


@compiled
def costs_of(shared: Rows, prepared: Rows, tape: Rows, later: Floats, costs: Floats) -> None:
    """Cost of each print of a tape, NaN at quotes; `later` holds the mids to hold it against, empty = those before."""
    for i in range(len(tape)):
        prepare_tape(shared[0], tape[i], prepared[0])
        row = prepared[0]
        costs[i] = math.nan
        if row.kind == PRINT and row.side != 0:
            against = later[i] if len(later) > 0 else row.mid_before
            costs[i] = cost_bps(float(row.side), row.price, against, row.mid_before)


def effective_spread(trades: Trades, quotes: Quotes, offset_ms: float = 0.0) -> float:
    """What takers paid: the mean of `print_costs` against the mid before each trade, weighed by quantity.

    Unit: bps. NaN: no trade of known side with a quote before it. Arguments, errors and source as there.
    """
    return _mean_cost(trades, quotes, None, offset_ms)


def realised_spread(trades: Trades, quotes: Quotes, horizon: float = 5.0, offset_ms: float = 0.0) -> float:
    """What makers kept after `horizon` seconds: the mean of `print_costs` against the mid then, weighed by quantity.

    Unit: bps; below 0 = the price went on against the makers. NaN: no trade whose horizon ended within the quotes.
    Arguments, errors and source as there.
    """
    return _mean_cost(trades, quotes, horizon, offset_ms)


def price_impact(trades: Trades, quotes: Quotes, horizon: float = 5.0, offset_ms: float = 0.0) -> float:
    """Effective less realised spread of the trades that have both: twice how far the mid went with them.

    Unit: bps. NaN, arguments, errors and source as in `realised_spread`.
    """
    trades, quotes = trade_rows(trades), quote_rows(quotes)
    now = print_costs(trades, quotes, None, offset_ms)
    later = print_costs(trades, quotes, horizon, offset_ms)
    return _weighed(now - later, _joined(trades, quotes, offset_ms))


def _mean_cost(trades: Trades, quotes: Quotes, horizon: float | None, offset_ms: float) -> float:
    trades, quotes = trade_rows(trades), quote_rows(quotes)
    return _weighed(print_costs(trades, quotes, horizon, offset_ms), _joined(trades, quotes, offset_ms))


def _weighed(costs: Floats, tape: Rows) -> float:
    qty = tape["qty"][tape["kind"] == PRINT]
    known = ~np.isnan(costs)
    return float(costs[known] @ qty[known] / qty[known].sum()) if known.any() else math.nan


def kyle_lambda(signed_volume: Any, price_change: Any, *, intercept: bool = True) -> float:
    """How far flow moves the price: slope of price changes on signed volumes of the same intervals.

    Formula: least squares of dp = a + lambda q; without `intercept` a = 0.
    Unit: that of the change per that of the volume; bps per million quote as the registered feature has it.
    NaN: fewer than 3 pairs, or all volumes equal (without intercept: all 0).

    Args:
        signed_volume: of each interval, buys above 0.
        price_change: of each interval.
        intercept: leave room for a drift.

    Raises:
        DataError: lengths differ, or a value is not finite.
    Source: Kyle 1985; Lopez de Prado, Advances in Financial Machine Learning, 2018, chapter 19.
    """
    try:
        x, y = (np.ascontiguousarray(values, np.float64) for values in (signed_volume, price_change))
    except (TypeError, ValueError) as error:
        raise DataError(f"kyle_lambda: expected two lists of numbers, saw others: {error}") from error
    if x.shape != y.shape or x.ndim != 1:
        raise DataError(f"kyle_lambda: expected two lists of one length, saw shapes {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError("kyle_lambda: expected finite values, saw others; leave such intervals out")
    if len(x) < 3:
        return math.nan
    if intercept:
        return slope(x, y, len(x))
    return float(x @ y / (x @ x)) if (x != 0.0).any() else math.nan


def amihud(bars: Any) -> float:
    """How far a million quote moves the price, from bars alone.

    Formula: 1e4 mean(|r| / (C V / 1e6)) over bars that traded, r = ln(C / C') to the bar before.
    Unit: bps per million quote.
    NaN: no bar but the first has volume.

    Args:
        bars: DataFrame or mapping with `close` (quote) and `volume` (base).

    Raises:
        DataError: a column is missing, or a value is not finite; prices must be above 0, volumes at least 0.
    Source: Amihud 2002.
    """
    try:
        close, volume = (np.asarray(bars[name], np.float64) for name in ("close", "volume"))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError("amihud: expected bars with numbers in the columns close and volume, saw others") from error
    if close.ndim != 1 or close.shape != volume.shape:
        raise DataError(f"amihud: expected two columns of one length, saw shapes {close.shape} and {volume.shape}")
    if not ((close > 0.0) & (volume >= 0.0) & np.isfinite(close) & np.isfinite(volume)).all():
        raise DataError("amihud: expected finite closes above 0 and volumes of at least 0, saw others")
    pairs = [
        illiquidity(math.log(close[i]) - math.log(close[i - 1]), 1.0 / close[i], 1.0 / volume[i])
        for i in range(1, len(close))
        if volume[i] > 0.0
    ]
    return math.fsum(pairs) / len(pairs) if pairs else math.nan
