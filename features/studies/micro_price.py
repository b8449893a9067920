"""Stoikov's micro-price: a mid that knows what imbalance and spread have led to.

The book is a Markov chain whose states are buckets of imbalance and spread. Where the mid is expected to be after its
next move, and after the moves after that, is a linear equation over its transitions. The limit is the micro-price: a
martingale as far as the states tell, whatever the horizon.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from features.fold import Feature, Rule
from features.folds.top_of_book import imbalance_of
from features.rows.bars import NAN, TO_BPS
from features.rows.book import PreparedBook
from features.rows.sources import Source
from features.rows.users import Quotes, quote_rows
from utils.compiled import compiled
from utils.errors import ConfigError, DataError
from utils.market.book import ASKS, BIDS, TOP, TopRow
from utils.rows import BPS, NS_PER_S, Rows, layout

#: Steps of the chain below which nothing is fitted. The paper has a hundred thousand and more.
FEWEST = 10_000
#: The sum has converged when its last term is this small a part of the whole.
CONVERGED = 0.01
#: Every state leads to a move of the mid, but for the little that ends with the recording.
MOSTLY = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class MicroPrice:
    """What was learned of one market. The table is for bids that outweigh asks; mirrored, it holds for the others."""

    edges: NDArray[np.float64]  # upper ends of spread buckets, in units; the last is infinite
    table: NDArray[np.float64]  # [|imbalance| bucket, spread bucket] adjustment of the mid, in units; NaN = never seen
    tick: float  # the unit, quote; NaN = the unit is a basis point of the mid
    n: int  # steps it was fitted on, each counted as it was and mirrored
    moves: int  # of these moved the mid; a table of few moves is mostly chance
    terms: int  # of the sum
    converged: bool  # the last term is less than a hundredth of the sum

    def price(self, tops: Rows) -> float:
        """Micro-price of the first TOP or quote row, quote."""
        return float(micro_prices(tops[:1], self)[0])


@compiled
def bucket_of(imbalance: float, buckets: int) -> int:
    """Bucket of |imbalance| in [0, 1], all of one width."""
    return min(int(abs(imbalance) * buckets), buckets - 1)


@compiled
def spread_bucket(edges: NDArray[np.float64], spread: float) -> int:
    """The first bucket whose upper end is not below `spread`."""
    bucket = 0
    while spread > edges[bucket]:
        bucket += 1
    return bucket


@compiled
def micro_adjustment(edges: NDArray[np.float64], table: NDArray[np.float64], imbalance: float, spread: float) -> float:
    """How far the micro-price lies from the mid.

    Args:
        edges: of a MicroPrice.
        table: likewise.
        imbalance: (q_b - q_a) / (q_b + q_a) at the best level.
        spread: in the model's units.

    Formula: side of the imbalance x table[bucket of its size, bucket of the spread]; 0 in balance.
    Unit: the model's: ticks, or bps of the mid.
    NaN: an argument is NaN, or the model has never seen the state.
    Source: Stoikov 2018.
    """
    if math.isnan(imbalance) or math.isnan(spread):
        return NAN
    adjustment: float = table[bucket_of(imbalance, len(table)), spread_bucket(edges, spread)]
    if imbalance == 0.0:
        return 0.0 * adjustment
    return adjustment if imbalance > 0.0 else -adjustment


@compiled
def micro_price_of(edges: NDArray[np.float64], table: NDArray[np.float64], tick: float, top: TopRow) -> float:
    """Micro-price of a row with the best of a book.

    Formula: m + unit x micro_adjustment; the unit is the tick, or where that is NaN a basis point of m.
    Unit: quote.
    NaN: a side is empty, or the model has never seen the state.
    Source: Stoikov 2018.
    """
    mid = 0.5 * (top.bid + top.ask)
    unit = BPS * mid if math.isnan(tick) else tick
    spread = (top.ask - top.bid) / unit
    return mid + unit * micro_adjustment(edges, table, imbalance_of(top), spread)


@compiled
def fill_prices(edges: NDArray[np.float64], table: NDArray[np.float64], tick: float, tops: Rows, out: Rows) -> None:
    """Write the micro-price of each row."""
    for i in range(len(tops)):
        out[i] = micro_price_of(edges, table, tick, tops[i])


@compiled
def fill_states(
    edges: NDArray[np.float64], half: int, spread: NDArray[np.float64], rows: Rows, out: NDArray[np.int64]
) -> None:
    """Write the number of each quote's state, from the most asks to the most bids; one without a side keeps 0."""
    for i in range(len(rows)):
        imbalance = imbalance_of(rows[i])
        if not (math.isnan(imbalance) or math.isnan(spread[i])):
            size = bucket_of(imbalance, half)
            level = half + size if imbalance >= 0.0 else half - 1 - size
            out[i] = level * len(edges) + spread_bucket(edges, spread[i])


def micro_prices(tops: Rows, model: MicroPrice) -> NDArray[np.float64]:
    """Micro-prices of TOP or quote rows, quote; NaN as `micro_price_of`."""
    out = np.empty(len(tops))
    fill_prices(model.edges, model.table, model.tick, tops, out)
    return out


class Learned(Protocol):
    """A model, as the memory of a fold."""

    edges: NDArray[np.float64]
    table: NDArray[np.float64]
    tick: float


@compiled
def micro_lean_step(state: Learned, row: PreparedBook) -> float:
    """Distance of the micro-price from the mid.

    Formula: 1e4 (micro / m - 1), micro as in `micro_price_of`.
    Unit: bps.
    NaN: a side is empty, or the model has never seen the state.
    Source: Stoikov 2018.
    """
    return TO_BPS * (micro_price_of(state.edges, state.table, state.tick, row) - row.mid) / row.mid


def micro_lean(model: MicroPrice) -> Feature:
    """The micro-price of a model as a feature of the book; not registered, as each market needs a model of its own."""
    state = layout(
        ("edges", np.float64, model.edges.shape), ("table", np.float64, model.table.shape), ("tick", np.float64)
    )
    return Feature(
        name="micro_price_bps",
        source=Source.BOOK,
        unit="bps",
        warmup=0,
        state=state,
        step=micro_lean_step,
        undefined=unseen_by(model),
        params=(model.edges, model.table, model.tick),
        reference="Stoikov 2018",
    )


def unseen_by(model: MicroPrice) -> Rule:
    """A side is empty, or the model has never seen the state."""

    def allowed(rows: Rows) -> NDArray[np.bool_]:
        tops = np.full(len(rows), np.nan, TOP)
        for side, name in ((BIDS, "bid"), (ASKS, "ask")):
            tops[name] = rows["prices"][:, side, 0]
            tops[f"{name}_qty"] = np.where(np.isnan(tops[name]), np.nan, rows["qtys"][:, side, 0])
        return np.isnan(micro_prices(tops, model))

    return Rule("a side is empty, or a state the model has not seen", allowed)


def fit_micro_price(
    quotes: Quotes,
    imbalance_buckets: int = 10,
    spread_buckets: int = 2,
    *,
    tick: float | None = None,
    step_s: float = 0.0,
    terms: int = 6,
    fewest: int = FEWEST,
) -> MicroPrice:
    """Learn the adjustments of a market from its quotes.

    One step of the chain leads from a quote to the next, or to the one that stands `step_s` later; none leads across a
    gap or an empty side. Each step is counted twice, as it was and mirrored (sides swapped, move of the mid reversed),
    so that what a market did for a day is not taken for what it does, and the sum converges.

    Args:
        quotes: what `quote_rows` takes, with quantities.
        imbalance_buckets: of q_b / (q_b + q_a), an even number, all of one width.
        spread_buckets: of the spread. With a tick the first holds one tick, the second two, and so on, the last all
            that are wider; without, they hold equal shares of the quotes by spread in bps.
        tick: of the market, quote; give it where the spread is most often one tick or two. None = tiny ticks: the unit
            is a basis point of the mid.
        step_s: 0 = event by event, as in the paper.
        terms: of the sum: how many moves of the mid are looked ahead. The paper finds that six are enough, recorded
            quotes of Binance took some twenty; `converged` says whether they are enough here.
        fewest: steps below which nothing is fitted.

    Formula: g1 = (I - Q)^-1 R1 K and B = (I - Q)^-1 R2; Q the probabilities to go from state to state without a move
        of the mid, R2 with one, R1 K the mean move; adjustment = sum over i < terms of B^i g1.
    Unit: ticks, or bps of the mid.
    NaN: a state that no step began in.

    Raises:
        ConfigError: a setting out of its range.
        DataError: quotes without quantities, too few of them, or states from which the mid never moves.
    Source: Stoikov, The Micro-Price: A High-Frequency Estimator of Future Prices, 2018.
    """
    if imbalance_buckets < 2 or imbalance_buckets % 2:
        raise ConfigError(f"imbalance_buckets: expected an even number, at least 2, saw {imbalance_buckets}")
    if spread_buckets < 1 or terms < 1:
        raise ConfigError(f"expected at least 1 spread bucket and 1 term, saw {spread_buckets} and {terms}")
    if not (tick is None or 0.0 < tick < math.inf) or not 0.0 <= step_s < math.inf:
        raise ConfigError(f"expected a tick above 0 or None, and step_s of at least 0, saw {tick} and {step_s}")
    rows = quote_rows(quotes)
    begin, end = _steps(rows, step_s)
    if len(begin) < fewest:
        raise DataError(
            f"micro-price: expected at least {fewest:,} steps between quotes with prices and quantities on both sides,"
            f" saw {len(begin):,}; record for longer"
        )
    mid = 0.5 * (rows["bid"] + rows["ask"])
    unit = np.full(len(rows), tick) if tick else BPS * mid
    spread = (rows["ask"] - rows["bid"]) / unit
    edges = _edges(spread[begin], spread_buckets, of_ticks=tick is not None)
    state = np.zeros(len(rows), np.int64)
    fill_states(edges, imbalance_buckets // 2, spread, rows, state)
    mirror = (imbalance_buckets - 1 - state // len(edges)) * len(edges) + state % len(edges)
    move = (mid[end] - mid[begin]) / unit[begin]
    adjustment, last, known = _solve(
        np.concatenate([state[begin], mirror[begin]]),
        np.concatenate([state[end], mirror[end]]),
        np.concatenate([move, -move]),
        imbalance_buckets * len(edges),
        terms,
    )
    # the mirror made both halves one but for rounding
    whole = np.where(known, adjustment, math.nan).reshape(imbalance_buckets, len(edges))
    half = imbalance_buckets // 2
    table = 0.5 * (whole[half:] - whole[half - 1 :: -1])
    converged = bool(np.abs(last[known]).max() <= CONVERGED * np.abs(adjustment[known]).max())
    return MicroPrice(edges, table, tick or math.nan, len(begin), int(np.count_nonzero(move)), terms, converged)


def _steps(rows: Rows, step_s: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where steps of the chain begin and end."""
    whole = ~np.isnan(rows["bid"] + rows["ask"] + rows["bid_qty"] + rows["ask_qty"])
    begin = np.arange(len(rows))
    if step_s > 0.0:
        end = np.searchsorted(rows["ts"], rows["ts"] + round(step_s * NS_PER_S), side="right") - 1
        # what stands after the last quote nobody knows
        end[rows["ts"] + round(step_s * NS_PER_S) > rows["ts"][-1:]] = len(rows)
    else:
        end = begin + 1
    inside = end < len(rows)
    begin, end = begin[inside], end[inside]
    # resets: fresh rows, and rows without a side
    resets = np.cumsum((rows["fresh"] != 0) | ~whole)
    kept = whole[begin] & whole[end] & (resets[begin] == resets[end])
    return begin[kept], end[kept]


def _edges(spread: NDArray[np.float64], buckets: int, of_ticks: bool) -> NDArray[np.float64]:
    """Upper ends of spread buckets, the last infinite; fewer where the same spread is the end of several."""
    if of_ticks:
        inner = np.arange(1, buckets) + 0.5
    else:
        inner = np.unique(np.quantile(spread, np.arange(1, buckets) / buckets))
        inner = inner[inner < spread.max()]
    return np.append(inner, math.inf)


def _solve(
    begin: NDArray[np.int64], end: NDArray[np.int64], move: NDArray[np.float64], states: int, terms: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Adjustment of each state, the last term of its sum, and which states a step began in."""
    moved = move != 0.0
    pairs = begin * states + end
    visits = np.bincount(begin, minlength=states)
    share = 1.0 / np.maximum(visits, 1)[:, None]
    still = np.bincount(pairs[~moved], minlength=states * states).reshape(states, states) * share
    moving = np.bincount(pairs[moved], minlength=states * states).reshape(states, states) * share
    mean = np.bincount(begin, weights=move, minlength=states)[:, None] * share
    try:
        solved = np.linalg.solve(np.eye(states) - still, np.hstack([mean, moving]))
    except np.linalg.LinAlgError:
        solved = np.full((states, 1), math.inf)
    known = visits > 0
    sure = solved[known, 1:].sum(axis=1)
    if not (np.isfinite(solved).all() and (sure > MOSTLY).all() and (sure < 2.0 - MOSTLY).all()):
        raise DataError(
            "micro-price: expected every state to lead to a move of the mid, saw one that does not;"
            " take fewer buckets or record for longer"
        )
    term = solved[:, 0].astype(np.float64)
    jump = solved[:, 1:].astype(np.float64)
    total = term.copy()
    for _ in range(terms - 1):
        term = jump @ term
        total += term
    return total, term, known
