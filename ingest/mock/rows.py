"""The mock market's records, and the sizes that they and the loop are made for."""

from __future__ import annotations

from typing import Annotated, Any, Protocol, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from utils.rows import layout

STEP_S = 0.05  # model seconds between two moves of the intensities
STEPS_PER_OU = 20  # activity remembers an hour: once a second is fine enough
WINDOW = 40  # levels behind the best in which orders are placed and cancelled
LEVELS = 1024  # ticks a side remembers; a power of two, as tick k lives in slot k & MASK
MASK = LEVELS - 1
MAX_SPREAD = 200  # ticks; a side that would fall further back is quoted anew where it is
TABLE = 1024  # quantiles a distribution is drawn from; a power of two, as bits choose one
METAORDERS = 8  # room for concurrent metaorders
TAPE = 512  # rows one arrival may write: at most 2 * WINDOW + MAX_SPREAD and a requote

BOOK, TRADE = 1, 2  # kinds of event rows

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class EventRow(Protocol):
    """One book update or one trade, in the order of the exchange."""

    ts: int  # ns; all rows of one arrival carry one time, the next arrival a later one
    kind: int  # BOOK or TRADE
    side: int  # BOOK: +1 bid, -1 ask; TRADE: side of the aggressor
    price: float  # quote
    qty: float  # base; BOOK: what now rests at the price, 0 = gone; TRADE: traded


class GridRow(Protocol):
    """What happened in one grid step, and the book at its end."""

    mid: float  # ticks
    ofi: float  # lots; order-flow imbalance of Cont, Kukanov, Stoikov (2014) at the best prices
    tfi: float  # lots; bought less sold by market orders
    spread: float  # ticks
    bid_qty: float  # lots at the best bid
    ask_qty: float  # lots at the best ask
    volume: float  # lots
    n_trades: float  # market orders


class SideRow(Protocol):
    """One side of the book; its ticks are multiplied by `sign`, so the best is the highest."""

    sign: int  # +1 bids, -1 asks
    best: int  # signed tick of the best level
    depth: int  # lots in the WINDOW levels from the best
    lots: Annotated[Ints, LEVELS]  # what rests at the ticks (best - LEVELS, best]


class ParamsRow(Protocol):
    """The settings of `MarketParams` and the preset as the loop wants them; rates per model second."""

    base_rate: float  # market orders
    market_mean: float  # market orders, long-run mean
    jump: Annotated[Floats, 3]  # what one market order adds to each Hawkes term
    decay: Annotated[Floats, 3]  # factor of each Hawkes term per STEP_S
    activity_sd: float
    activity_keep: float  # OU factor per STEPS_PER_OU steps
    activity_kick: float  # OU noise per STEPS_PER_OU steps
    activity_power: float
    limit_rate: float  # orders, both sides, at mean activity
    cancel_rate: float  # per resting lot, at mean activity
    metaorders: int
    inverse_alpha: float
    longest: float  # orders
    refill: float
    noise: float
    sweep: float
    thin_hit: float
    thin_cancel: float
    unit: int  # lots
    step_ns: int  # STEP_S in exchange time
    steps: int  # ticks from a level to the next, in the mean
    tick: float
    per_tick: float  # 1 / tick where whole, else 0
    lot: float
    per_lot: float
    place_at: Annotated[Ints, TABLE]  # levels behind the best possible price
    limit_lots: Annotated[Ints, TABLE]
    market_lots: Annotated[Ints, TABLE]


class MarketRow(Protocol):
    """Everything that moves, except the two sides: clock, dice, intensities, metaorders, open bar, open grid step."""

    s0: np.uint64  # xoshiro256++
    s1: np.uint64
    s2: np.uint64
    s3: np.uint64
    ts: int  # ns, of the latest arrival
    step_ts: int  # ns, begin of the current step
    step_no: int
    phase: float  # model seconds since step_ts
    wait: float  # of a unit-rate clock, until the next arrival
    activity: float  # OU value, in standard deviations
    unexcited: float  # market orders per model second without excitement
    hawkes: Annotated[Floats, 3]  # excitement, market orders per model second
    market_rate: float  # base + excitement
    limit_rate: float  # both sides
    cancel_rate: float  # per resting lot
    buy_share: float  # of limit orders
    expected_sign: float  # running mean of the signs of market orders
    meta_sign: Annotated[Ints, METAORDERS]
    meta_left: Annotated[Floats, METAORDERS]  # orders to come
    taping: int  # 1 = events are wanted
    n_tape: int  # rows of the tape written by the latest arrival
    tape_kind: Annotated[Ints, TAPE]
    tape_side: Annotated[Ints, TAPE]
    tape_tick: Annotated[Ints, TAPE]
    tape_lots: Annotated[Ints, TAPE]
    n_events: int  # rows filled in the array handed in; the caller flushes and resets, here and below
    n_grid: int
    n_bars: int
    due_ts: int  # ns; the nearer of the next two
    grid_ts: int  # ns, end of the open grid step
    grid_ns: int
    ofi: int  # lots
    tfi: int
    traded: int
    orders: int
    bid_tick: int  # best prices and sizes before the latest arrival, for the order-flow imbalance
    bid_lots: int
    ask_tick: int
    ask_lots: int
    bar_ts: int  # ns, close of the open bar
    bar_ns: int
    bar_open: int  # ticks
    bar_high: int
    bar_low: int
    bar_lots: int  # 0 = no trade yet
    bar_bought: int
    last_tick: int  # of the latest trade


def _layout_of(row: type) -> np.dtype[Any]:
    """The dtype of a row class above: like `utils.rows.layout_of`, with dice and array fields."""
    fields: list[tuple[Any, ...]] = []
    for name, kind in get_type_hints(row, include_extras=True).items():
        if get_origin(kind) is Annotated:
            array, length = get_args(kind)
            fields.append((name, np.int64 if array == Ints else np.float64, (length,)))
        else:
            fields.append((name, {int: np.int64, float: np.float64}.get(kind, kind)))
    return layout(*fields)


EVENT = _layout_of(EventRow)
GRID = _layout_of(GridRow)
SIDE = _layout_of(SideRow)
PARAMS = _layout_of(ParamsRow)
MARKET = _layout_of(MarketRow)
