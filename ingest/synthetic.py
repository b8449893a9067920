"""A seeded mock market, for tests, demonstrations and speed: never evidence of profit.

An order book in whole ticks and whole lots, driven by random arrivals: limit orders and cancels (Santa Fe), market
orders whose rate excites itself (three exponential Hawkes kernels) and follows a slow log-Ornstein-Uhlenbeck activity,
metaorders that give their signs a long memory, liquidity that refills against the expected flow, and queues that are
hit and left where they are thin. It shows the stylised facts of real books (bands and ablations:
``tests/ingest/test_synthetic.py``); what it leaves predictable at half a minute and more is smaller than costs.

Three outputs of one path: book updates and trades, a grid of flows for statistics, and candles. The whole state is
in records, so a run may be cut into blocks anywhere and goes on the same path; the dice are in the record too, so a
seed means one market, compiled or not. Both sides of the book run the same code: a side counts its ticks towards the
market (bids k, asks -k), so "better" is always "higher".

Sources: Daniels et al. 2003; Farmer et al. 2005 (Santa Fe); Bacry, Mastromatteo, Muzy 2015 (Hawkes); Lillo, Mike,
Farmer 2005 (metaorders); Huang, Lehalle, Rosenbaum 2015 (queue-reactive); Blackman, Vigna 2019 (xoshiro256++).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Annotated, Any, Protocol, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from utils.compiled import compiled
from utils.errors import ConfigError
from utils.rows import BAR, NS_PER_S, BarRow, Rows, layout

START_NS = 1_704_067_200 * NS_PER_S  # 2024-01-01T00:00Z
STEP_S = 0.05  # model seconds between two moves of the intensities
STEPS_PER_OU = 20  # activity remembers an hour: once a second is fine enough
WARM_UP_S = 60.0  # model seconds before the first output; the book forgets its first shape in some 12
WINDOW = 40  # levels behind the best in which orders are placed and cancelled
LEVELS = 1024  # ticks a side remembers; a power of two, as tick k lives in slot k & MASK
MASK = LEVELS - 1
MAX_SPREAD = 200  # ticks; a side that would fall further back is quoted anew where it is
FLOOR_TICKS = 4 * WINDOW  # the best bid may not come nearer to zero: prices stay positive
TABLE = 1024  # quantiles a distribution is drawn from
METAORDERS = 8  # room for concurrent metaorders
TAPE = 512  # rows one arrival may write: at most 2 * WINDOW + MAX_SPREAD and a requote
NEVER = 2**62  # ns
NOT_STARTED = -1.0  # a waiting time no dice give
BLOCK = 65_536  # rows

BOOK, TRADE = 1, 2  # kinds of event rows
DONE, FULL, FLOOR = range(3)  # why the generator came back

U10, U11, U17, U19, U23, U41, U45, U54 = (np.uint64(n) for n in (10, 11, 17, 19, 23, 41, 45, 54))
LOW_TEN_BITS = np.uint64(TABLE - 1)
UNIT = 2.0**-53

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


# --- dice ---------------------------------------------------------------------------------------------------------


@compiled
def random_bits(m: MarketRow) -> np.uint64:
    """The next 64 bits of xoshiro256++."""
    s0, s1, s2, s3 = m.s0, m.s1, m.s2, m.s3
    total = s0 + s3
    s2 ^= s0
    s3 ^= s1
    m.s1 = s1 ^ s2
    m.s0 = s0 ^ s3
    m.s2 = s2 ^ (s1 << U17)
    m.s3 = (s3 << U45) | (s3 >> U19)
    return ((total << U23) | (total >> U41)) + s0


@compiled
def uniform(m: MarketRow) -> float:
    """A number in (0, 1]: its logarithm is finite."""
    return (np.int64(random_bits(m) >> U11) + 1) * UNIT


@compiled
def exponential(m: MarketRow) -> float:
    """A waiting time of mean 1."""
    return -math.log(uniform(m))


@compiled
def normal(m: MarketRow) -> float:
    """A standard normal number, by the polar method: only log and sqrt, equal in compiled and plain Python."""
    while True:
        x = 2.0 * uniform(m) - 1.0
        y = 2.0 * uniform(m) - 1.0
        r = x * x + y * y
        if 0.0 < r < 1.0:
            return x * math.sqrt(-2.0 * math.log(r) / r)


@compiled
def coin(m: MarketRow) -> int:
    """+1 or -1."""
    return 1 if uniform(m) <= 0.5 else -1


# --- one side of the book -----------------------------------------------------------------------------------------


@compiled
def tape(m: MarketRow, kind: int, side: int, tick: int, lots: int) -> None:
    """Note an event row of this arrival, if events are wanted."""
    if m.taping:
        i = m.n_tape
        m.tape_kind[i] = kind
        m.tape_side[i] = side
        m.tape_tick[i] = tick
        m.tape_lots[i] = lots
        m.n_tape = i + 1


@compiled
def change(m: MarketRow, own: SideRow, level: int, lots: int) -> None:
    """Add `lots` (less than 0: take away) at a level among the WINDOW nearest."""
    slot = level & MASK
    own.lots[slot] += lots
    own.depth += lots
    tape(m, BOOK, own.sign, own.sign * level, own.lots[slot])


@compiled
def improve(m: MarketRow, own: SideRow, level: int) -> None:
    """Move the best up to `level`; what rested LEVELS ticks behind is forgotten, and taped as gone."""
    for k in range(own.best + 1, level + 1):
        slot = k & MASK
        if own.lots[slot] > 0:
            own.lots[slot] = 0
            tape(m, BOOK, own.sign, own.sign * (k - LEVELS), own.lots[slot])
        own.depth -= own.lots[(k - WINDOW) & MASK]
    own.best = level


@compiled
def fall_back(m: MarketRow, own: SideRow, other: SideRow, unit: int) -> None:
    """Move the best down to the next level with lots; a side with nothing near is quoted anew, where it is."""
    while own.lots[own.best & MASK] == 0:
        if own.depth == 0 or -other.best - own.best >= MAX_SPREAD:
            change(m, own, own.best, unit)
        else:
            own.depth += own.lots[(own.best - WINDOW) & MASK]
            own.best -= 1


# --- arrivals -----------------------------------------------------------------------------------------------------


@compiled
def place(m: MarketRow, p: ParamsRow, bid: SideRow, ask: SideRow) -> None:
    """A limit order, at a power-law distance from the best price that does not cross."""
    own, other = (bid, ask) if uniform(m) <= m.buy_share else (ask, bid)
    bits = random_bits(m)
    level = -other.best - 1 - p.place_at[np.int64(bits >> U54)]
    if level > own.best:
        improve(m, own, level)
    change(m, own, level, p.limit_lots[np.int64((bits >> U10) & LOW_TEN_BITS)])


@compiled
def balance(bid: SideRow, ask: SideRow) -> float:
    """Imbalance of the best queues, -1 to 1."""
    b = bid.lots[bid.best & MASK]
    a = ask.lots[ask.best & MASK]
    return (b - a) / (b + a)  # type: ignore[no-any-return]


@compiled
def cancel(m: MarketRow, p: ParamsRow, bid: SideRow, ask: SideRow) -> None:
    """A cancel at a lot drawn from all near ones; now and then at the thinner best queue."""
    imbalance = balance(bid, ask)
    if uniform(m) <= p.thin_cancel * abs(imbalance):
        nth = 0 if imbalance < 0.0 else bid.depth
    else:
        nth = min(int(uniform(m) * (bid.depth + ask.depth)), bid.depth + ask.depth - 1)
    own, other = (bid, ask) if nth < bid.depth else (ask, bid)
    if nth >= bid.depth:
        nth -= bid.depth
    level = own.best
    here = own.lots[level & MASK]
    while nth >= here:
        nth -= here
        level -= 1
        here = own.lots[level & MASK]
    change(m, own, level, -min(here, p.limit_lots[np.int64(random_bits(m) >> U54)]))
    fall_back(m, own, other, p.unit)


@compiled
def trade_sign(m: MarketRow, p: ParamsRow, bid: SideRow, ask: SideRow) -> int:
    """Who wants to trade: a metaorder, noise, or somebody who sees the thinner queue."""
    j = min(int(uniform(m) * p.metaorders), p.metaorders - 1) if p.metaorders > 0 else -1
    sign = coin(m) if j < 0 else m.meta_sign[j]
    if j >= 0:
        m.meta_left[j] -= 1.0
        if m.meta_left[j] <= 0.0:
            new_metaorder(m, p, j)
    if uniform(m) <= p.noise:
        sign = coin(m)
    imbalance = balance(bid, ask)
    if uniform(m) <= p.thin_hit * abs(imbalance):
        sign = 1 if imbalance > 0.0 else -1
    return sign


@compiled
def new_metaorder(m: MarketRow, p: ParamsRow, j: int) -> None:
    """A fresh parent order; Pareto length, P(length > n) = n^-alpha, up to the longest."""
    m.meta_sign[j] = coin(m)
    m.meta_left[j] = min(math.ceil(math.exp(-math.log(uniform(m)) * p.inverse_alpha)), p.longest)


@compiled
def trade_lots(m: MarketRow, p: ParamsRow, queue: int) -> int:
    """Size of a market order that meets `queue` lots at the best price: mostly a part of it, sometimes a sweep."""
    if uniform(m) <= p.sweep:
        tail = math.exp(-math.log(uniform(m)) / 3.0)
        return int(queue * min(4.0, 1.0 + 0.5 * (tail - 1.0)))
    whole: int = p.market_lots[np.int64(random_bits(m) >> U54)]
    return max(1, min(int(queue * uniform(m)), whole))


@compiled
def market_order(m: MarketRow, p: ParamsRow, bid: SideRow, ask: SideRow) -> None:
    """A market order: it excites the next ones, moves the expected sign, and eats the other side level by level."""
    for i in range(3):
        m.hawkes[i] += p.jump[i]
    sign = trade_sign(m, p, bid, ask)
    m.expected_sign += 0.05 * (sign - m.expected_sign)
    refresh_rates(m, p)
    own, other = (ask, bid) if sign > 0 else (bid, ask)
    eat(m, p, own, other, sign)


@compiled
def eat(m: MarketRow, p: ParamsRow, own: SideRow, other: SideRow, sign: int) -> None:
    """Trade against `own`, at most WINDOW - 1 levels deep."""
    left = trade_lots(m, p, own.lots[own.best & MASK])
    m.orders += 1
    for _ in range(WINDOW - 1):
        if left <= 0:
            return
        lots = min(left, own.lots[own.best & MASK])
        left -= lots
        print_trade(m, sign, own.sign * own.best, lots)
        change(m, own, own.best, -lots)
        fall_back(m, own, other, p.unit)


@compiled
def print_trade(m: MarketRow, sign: int, tick: int, lots: int) -> None:
    """Enter a trade in the open bar, the open grid step and the tape."""
    if m.bar_lots == 0:
        m.bar_open = m.bar_high = m.bar_low = tick
    m.bar_high = max(m.bar_high, tick)
    m.bar_low = min(m.bar_low, tick)
    m.bar_lots += lots
    if sign > 0:
        m.bar_bought += lots
    m.last_tick = tick
    m.tfi += sign * lots
    m.traded += lots
    tape(m, TRADE, sign, tick, lots)


# --- intensities --------------------------------------------------------------------------------------------------


@compiled
def refresh_rates(m: MarketRow, p: ParamsRow) -> None:
    """Rates from excitement, activity and expected sign; limits and cancels follow activity with a power below 1."""
    m.market_rate = m.unexcited + m.hawkes[0] + m.hawkes[1] + m.hawkes[2]
    pace = math.exp(p.activity_power * math.log(m.market_rate / p.market_mean))
    buys = math.exp(-p.refill * m.expected_sign)
    sells = 1.0 / buys
    m.limit_rate = p.limit_rate * pace * 0.5 * (buys + sells)
    m.cancel_rate = p.cancel_rate * pace
    m.buy_share = buys / (buys + sells)


@compiled
def next_step(m: MarketRow, p: ParamsRow) -> None:
    """Begin the next step of the intensities' grid."""
    m.phase = 0.0
    m.step_ts += p.step_ns
    m.step_no += 1
    for i in range(3):
        m.hawkes[i] *= p.decay[i]
    if m.step_no % STEPS_PER_OU == 0:
        m.activity = m.activity * p.activity_keep + p.activity_kick * normal(m)
        set_base(m, p)
    refresh_rates(m, p)


@compiled
def set_base(m: MarketRow, p: ParamsRow) -> None:
    """Base rate of market orders: log-normal around its mean."""
    m.unexcited = p.base_rate * math.exp(p.activity_sd * m.activity - 0.5 * p.activity_sd * p.activity_sd)


@compiled
def start(m: MarketRow, p: ParamsRow) -> None:
    """Throw the dice that are due before the first step: activity, parents, the first wait; excitement at its mean."""
    m.activity = normal(m)
    set_base(m, p)
    for i in range(3):
        m.hawkes[i] = p.jump[i] * p.market_mean * STEP_S / (1.0 - p.decay[i])
    for j in range(p.metaorders):
        new_metaorder(m, p, j)
    refresh_rates(m, p)
    m.wait = exponential(m)


# --- outputs ------------------------------------------------------------------------------------------------------


@compiled
def decimal(count: int, step: float, per: float) -> float:
    """`count` steps as the nearest double of the decimal: a division where one over the step is whole."""
    return count / per if per > 0.0 else count * step


@compiled
def close_bar(m: MarketRow, p: ParamsRow, bar: BarRow) -> None:
    """Write the open bar and begin the next; without a trade it is flat at the last trade price."""
    if m.bar_lots == 0:
        m.bar_open = m.bar_high = m.bar_low = m.last_tick
    bar.ts = m.bar_ts
    bar.sym = bar.gap = bar.last = 0
    bar.open = decimal(m.bar_open, p.tick, p.per_tick)
    bar.high = decimal(m.bar_high, p.tick, p.per_tick)
    bar.low = decimal(m.bar_low, p.tick, p.per_tick)
    bar.close = decimal(m.last_tick, p.tick, p.per_tick)
    bar.volume = decimal(m.bar_lots, p.lot, p.per_lot)
    bar.taker_buy = decimal(m.bar_bought, p.lot, p.per_lot)
    m.bar_lots = m.bar_bought = 0
    m.bar_ts += m.bar_ns
    m.n_bars += 1


@compiled
def close_grid(m: MarketRow, bid: SideRow, ask: SideRow, row: GridRow) -> None:
    """Write the open grid step and begin the next."""
    row.mid = 0.5 * (bid.best - ask.best)
    row.ofi = m.ofi
    row.tfi = m.tfi
    row.spread = -ask.best - bid.best
    row.bid_qty = bid.lots[bid.best & MASK]
    row.ask_qty = ask.lots[ask.best & MASK]
    row.volume = m.traded
    row.n_trades = m.orders
    m.ofi = m.tfi = m.traded = m.orders = 0
    m.grid_ts += m.grid_ns
    m.n_grid += 1


@compiled
def count_flow(m: MarketRow, bid: SideRow, ask: SideRow) -> None:
    """Add this arrival to the order-flow imbalance.

    e = 1{b>=b'} q - 1{b<=b'} q' - 1{a<=a'} r + 1{a>=a'} r', with q, r the sizes at the best bid b and ask a, and '
    what they were before; lots. Source: Cont, Kukanov, Stoikov 2014.
    """
    b, q = bid.best, bid.lots[bid.best & MASK]
    a, r = -ask.best, ask.lots[ask.best & MASK]
    if b >= m.bid_tick:
        m.ofi += q
    if b <= m.bid_tick:
        m.ofi -= m.bid_lots
    if a <= m.ask_tick:
        m.ofi -= r
    if a >= m.ask_tick:
        m.ofi += m.ask_lots
    m.bid_tick, m.bid_lots, m.ask_tick, m.ask_lots = b, q, a, r


@compiled
def write_event(m: MarketRow, p: ParamsRow, i: int, row: EventRow) -> None:
    """Write row `i` of the tape."""
    row.ts = m.ts
    row.kind = m.tape_kind[i]
    row.side = m.tape_side[i]
    row.price = decimal(m.tape_tick[i], p.tick, p.per_tick)
    row.qty = decimal(m.tape_lots[i], p.lot, p.per_lot)


@compiled
def arrive(m: MarketRow, p: ParamsRow, bid: SideRow, ask: SideRow, rate: float) -> None:
    """One arrival: limit order, cancel or market order, in proportion to their rates."""
    dice = uniform(m) * rate
    if dice <= m.market_rate:
        market_order(m, p, bid, ask)
    elif dice <= m.market_rate + m.limit_rate:
        place(m, p, bid, ask)
    else:
        cancel(m, p, bid, ask)
    m.wait = exponential(m)


@compiled
def run(markets: Rows, sides: Rows, params: Rows, until: int, events: Rows, grid: Rows, bars: Rows) -> int:
    """Go on until `until` (ns, excluded), or until `events` has no room for one more arrival.

    The arrays are filled from their beginning as far as the market's counters say; one of length 0 is not wanted.

    Returns:
        DONE, FULL (flush `events`, reset its counter, call again), or FLOOR (the price is near zero).
    """
    m, p, bid, ask = markets[0], params[0], sides[0], sides[1]
    if m.wait == NOT_STARTED:
        start(m, p)
    while True:
        if m.taping and m.n_events + TAPE > len(events):
            return FULL
        rate = m.market_rate + m.limit_rate + m.cancel_rate * (bid.depth + ask.depth)
        phase = m.phase + m.wait / rate
        in_step = phase < STEP_S
        ts = m.step_ts + p.step_ns
        if in_step:
            ts = max(m.step_ts + int(phase / STEP_S * p.step_ns), m.ts + 1)
        if ts >= m.due_ts:
            upto = min(ts, until)
            while m.bar_ts <= upto and m.n_bars < len(bars):
                close_bar(m, p, bars[m.n_bars])
            while m.grid_ts <= upto and m.n_grid < len(grid):
                close_grid(m, bid, ask, grid[m.n_grid])
            m.due_ts = min(m.bar_ts, m.grid_ts)
        if ts >= until:
            return DONE
        if not in_step:
            m.wait -= rate * (STEP_S - m.phase)
            next_step(m, p)
            if bid.best < FLOOR_TICKS:
                return FLOOR
            continue
        m.phase = phase
        m.ts = ts
        m.n_tape = 0
        arrive(m, p, bid, ask, rate)
        if len(grid) > 0:
            count_flow(m, bid, ask)
        if m.taping:
            for i in range(m.n_tape):
                write_event(m, p, i, events[m.n_events + i])
            m.n_events += m.n_tape


# --- settings and doors -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MarketParams:
    """What drives the order flow. A model second is a second of the slow presets; sizes are in units (see `Preset`).

    The defaults were fitted to the bands of the stylised facts; replace one to see what it is there for:
    `hawkes = (0, 0, 0)` with `activity_sd = 0` takes away clustering, `metaorders = 0` the long memory of signs
    (`thin_hit` keeps a short one), `refill = 0` lets prices trend, `refill >= 1` cuts the tie between trades and price,
    `thin_cancel >= 0.3` makes them bounce. Fewer limit orders with as many fewer cancels run faster, but at half the
    rates order flow explains too little of the price.
    """

    base_rate: float = 0.2  # market orders per model second without excitement
    hawkes: tuple[float, float, float] = (0.4, 0.3, 0.2)  # children per market order and kernel; sum < 1
    hawkes_s: tuple[float, float, float] = (0.2, 5.0, 120.0)  # mean age at which they come, model seconds
    limit_rate: float = 30.0  # limit orders per model second, both sides
    cancel_rate: float = 0.08  # cancels per resting unit and model second
    place_power: float = 1.0  # limit orders arrive i levels away with weight (1 + i / place_scale) ^ -place_power
    place_scale: float = 5.0  # levels
    metaorders: int = 3  # parents at work at once, 0 to 8; 0 = every sign is a coin
    alpha: float = 1.5  # Pareto exponent of a parent's length in orders
    longest: float = 1000.0  # orders of a parent; without an end one parent can carry a day's trend
    refill: float = 0.25  # how strongly liquidity comes in against the expected sign
    noise: float = 0.1  # fraction of market orders with a random sign
    sweep: float = 0.08  # fraction of market orders that take the whole best level or more
    activity_sd: float = 1.0  # of log activity
    activity_s: float = 3600.0  # seconds of exchange time activity remembers
    activity_power: float = 0.6  # of limits and cancels; below 1 the book thins in bursts
    thin_hit: float = 0.5  # probability, at full imbalance, that a market order hits the thin queue
    thin_cancel: float = 0.04  # probability, at full imbalance, that a cancel leaves the thin queue


@dataclass(frozen=True, slots=True)
class Preset:
    """An instrument of the mock market."""

    name: str
    tick: float  # quote
    start_price: float  # quote, at the beginning of the unseen warm-up: the first output is a few ticks off
    event_rate_scale: float  # model seconds per second
    lot: float  # base
    lots_per_unit: int  # a typical limit order is 1.35 units, a typical best queue some 5


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        # 2 bps a tick: a five-minute bar moves some 9 ticks, so fees do not eat everything
        Preset("large-tick", tick=0.0001, start_price=0.5, event_rate_scale=1.0, lot=1.0, lots_per_unit=1000),
        # half a basis point a tick, twenty times the events
        Preset("btc-like", tick=1.0, start_price=20_000.0, event_rate_scale=20.0, lot=0.001, lots_per_unit=50),
    )
}


@dataclass(frozen=True, slots=True)
class SyntheticMarket:
    """A market at some instant: three arrays of records that `advance` moves on in place.

    Copy the arrays to keep an instant; a market goes on the same path however it is cut into advances, and whatever
    is wanted of it.
    """

    state: Rows  # one MARKET
    sides: Rows  # two SIDE: bids, asks
    params: Rows  # one PARAMS
    preset: Preset
    seed: int

    def want(self, start_ns: int, *, events: bool = False, grid_ns: int = 0, bar_ns: int = 0) -> None:
        """Say what the next advances are to write, from `start_ns` on; a length of 0 ns is not wanted."""
        m, (bid, ask) = self.state[0], self.sides
        m.taping = events
        m.grid_ns, m.grid_ts = grid_ns, start_ns + grid_ns if grid_ns > 0 else NEVER
        m.bar_ns, m.bar_ts = bar_ns, start_ns + bar_ns if bar_ns > 0 else NEVER
        m.due_ts = min(m.grid_ts, m.bar_ts)
        m.n_events = m.n_grid = m.n_bars = 0
        m.bar_lots = m.bar_bought = m.ofi = m.tfi = m.traded = m.orders = 0
        m.bid_tick, m.bid_lots = bid.best, bid.lots[bid.best & MASK]
        m.ask_tick, m.ask_lots = -ask.best, ask.lots[ask.best & MASK]

    def advance(self, until: int, events: Rows, grid: Rows, bars: Rows) -> bool:
        """Run to `until` (ns, excluded); False when `events` is full: flush it, reset `n_events`, call again.

        Raises:
            ConfigError: the price came near zero.
        """
        with np.errstate(over="ignore"):  # the dice wrap on purpose; only the uncompiled run would warn
            why = run(self.state, self.sides, self.params, until, events, grid, bars)
        if why == FLOOR:
            hours = (self.state[0].ts - START_NS) / (3600 * NS_PER_S)
            raise ConfigError(
                f"the synthetic market {self.preset.name!r} with seed {self.seed} fell to {FLOOR_TICKS} ticks, "
                f"{hours:.0f} hours after 2024-01-01, and its prices have to stay positive; "
                "ask for a shorter history or another seed"
            )
        return why == DONE


def _checked(name: str, value: float) -> None:
    """Refuse what is not positive."""
    if not value > 0:
        raise ConfigError(f"{name} of the synthetic market is to be more than 0, and is {value}")


def _per(step: float) -> float:
    """One over `step` where that is a whole number, else 0."""
    whole = float(round(1.0 / step))
    return whole if whole > 0.0 and abs(1.0 / step - whole) < 1e-9 else 0.0


def _lognormal_lots(mu: float, sigma: float, unit: int) -> Ints:
    """Quantiles of exp(mu + sigma Z) units, in lots, at least one."""
    standard = NormalDist()
    quantiles = (math.exp(mu + sigma * standard.inv_cdf((i + 0.5) / TABLE)) for i in range(TABLE))
    return np.array([max(1, round(q * unit)) for q in quantiles], dtype=np.int64)


def _place_at(power: float, scale: float) -> Ints:
    """Quantiles of the distance of limit orders, levels 0 to WINDOW - 1."""
    weights = np.array([(1.0 + i / scale) ** -power for i in range(WINDOW)])
    return np.searchsorted(np.cumsum(weights) / weights.sum(), (np.arange(TABLE) + 0.5) / TABLE)


def _params_record(params: MarketParams, preset: Preset) -> Rows:
    """The loop's settings from the user's.

    Raises:
        ConfigError: a Hawkes sum of 1 or more (the market would explode), more metaorders than there is room for, or
            a rate, time or exponent that is not positive.
    """
    for name in ("base_rate", "limit_rate", "cancel_rate", "place_scale", "alpha", "activity_s"):
        _checked(name, getattr(params, name))
    children = sum(params.hawkes)
    if not 0.0 <= children < 1.0:
        raise ConfigError(f"the sum of hawkes is to be in [0, 1), and is {children}: give each order fewer children")
    if not 0 <= params.metaorders <= METAORDERS:
        raise ConfigError(f"metaorders is to be 0 to {METAORDERS}, and is {params.metaorders}")
    rows = np.zeros(1, PARAMS)
    p = rows[0]
    for name in set(asdict(params)) & set(PARAMS.names or ()):
        p[name] = getattr(params, name)
    keep = math.exp(-STEP_S * STEPS_PER_OU / (params.activity_s * preset.event_rate_scale))
    p.market_mean = params.base_rate / (1.0 - children)
    p.jump = [n / s for n, s in zip(params.hawkes, params.hawkes_s, strict=True)]
    p.decay = [math.exp(-STEP_S / s) for s in params.hawkes_s]
    p.activity_keep = keep
    p.activity_kick = math.sqrt(1.0 - keep * keep)
    p.cancel_rate = params.cancel_rate / preset.lots_per_unit
    p.inverse_alpha = 1.0 / params.alpha
    p.unit = preset.lots_per_unit
    p.step_ns = round(STEP_S * NS_PER_S / preset.event_rate_scale)
    p.tick, p.per_tick = preset.tick, _per(preset.tick)
    p.lot, p.per_lot = preset.lot, _per(preset.lot)
    p.place_at = _place_at(params.place_power, params.place_scale)
    p.limit_lots = _lognormal_lots(0.3, 0.9, preset.lots_per_unit)
    p.market_lots = _lognormal_lots(0.5, 1.0, preset.lots_per_unit)
    return rows


def _spread_seed(m: MarketRow, seed: int) -> None:
    """Four well-mixed words from one number: splitmix64, as the authors of xoshiro advise."""
    state, full = seed, 2**64 - 1
    for name in ("s0", "s1", "s2", "s3"):
        state = (state + 0x9E3779B97F4A7C15) & full
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & full
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & full
        setattr(m, name, np.uint64(z ^ (z >> 31)))


def _fill_sides(sides: Rows, start_tick: int, unit: int) -> None:
    """A first book: the best bid one tick below `start_tick`, the best ask one above, deeper levels larger."""
    for side, sign in zip(sides, (1, -1), strict=True):
        side.sign = sign
        side.best = sign * start_tick - 1
        for i in range(WINDOW):
            side.lots[(side.best - i) & MASK] = round(2.5 * unit * (1 + i) ** 0.3)
        side.depth = side.lots.sum()


def open_market(
    seed: int, preset: str = "large-tick", start_ns: int = START_NS, params: MarketParams | None = None
) -> SyntheticMarket:
    """A market that has traded for a while, unseen, and stands at `start_ns`.

    Raises:
        ConfigError: an unknown preset, a seed outside [0, 2^64), or parameters that make no market.
    """
    if preset not in PRESETS:
        raise ConfigError(f"the synthetic market knows the presets {', '.join(PRESETS)}, and not {preset!r}")
    if not 0 <= seed < 2**64:
        raise ConfigError(f"a seed is a whole number from 0 to 2^64 - 1, and not {seed}")
    chosen = PRESETS[preset]
    rows = _params_record(params or MarketParams(), chosen)
    state, sides = np.zeros(1, MARKET), np.zeros(2, SIDE)
    m, p = state[0], rows[0]
    _spread_seed(m, seed)
    m.last_tick = round(chosen.start_price / chosen.tick)
    _fill_sides(sides, m.last_tick, chosen.lots_per_unit)
    warm_up = round(WARM_UP_S / STEP_S) * p.step_ns
    m.step_ts = start_ns - warm_up
    m.ts = m.step_ts - 1
    m.wait = NOT_STARTED
    market = SyntheticMarket(state, sides, rows, chosen, seed)
    market.want(start_ns)
    market.advance(start_ns, *_unwanted())
    return market


def _unwanted() -> tuple[Rows, Rows, Rows]:
    """Arrays of length 0 for the outputs nobody asked for: events, grid, bars."""
    return np.zeros(0, EVENT), np.zeros(0, GRID), np.zeros(0, BAR)


def synthetic_bars(
    n: int,
    tf_ns: int,
    seed: int,
    preset: str = "large-tick",
    start_ns: int = START_NS,
    progress: Callable[[int], None] | None = None,
) -> Rows:
    """`n` closed, contiguous candles of the mock market, made from its trades while it runs.

    A bar holds the trades of [close - tf_ns, close); open, high, low and close are trade prices (quote), volume and
    taker_buy are base. A bar without a trade is flat at the last trade price, with volume 0: nothing is NaN. `progress`
    is told the bars done, about a hundred times. Small bars are the quick way to many rows: a million of one second
    take seconds (the work is per simulated hour, not per bar).

    Raises:
        ConfigError: an argument out of range, or a history so long that the price came near zero.
    """
    _checked("n", n)
    _checked("tf_ns", tf_ns)
    market = open_market(seed, preset, start_ns)
    events, grid, _ = _unwanted()
    bars = np.zeros(n, BAR)
    market.want(start_ns, bar_ns=tf_ns)
    chunk = -(-n // 100)
    for done in range(0, n, chunk):
        upto = min(done + chunk, n)
        market.advance(start_ns + upto * tf_ns, events, grid, bars)
        if progress is not None:
            progress(upto)
    bars[-1].last = 1
    return bars


def event_blocks(
    seconds: float,
    seed: int,
    preset: str = "large-tick",
    start_ns: int = START_NS,
    params: MarketParams | None = None,
    rows: int = BLOCK,
) -> Iterator[Rows]:
    """Book updates and trades of `seconds` of exchange time, in blocks of at most about `rows` rows.

    The first block is the whole book at `start_ns` as BOOK rows. A market order gives, level by level, a TRADE row and
    the BOOK row of what it left. Prices quote, quantities base. Memory is flat in `seconds`.

    Raises:
        ConfigError: an argument out of range, or a history so long that the price came near zero.
    """
    _checked("seconds", seconds)
    market = open_market(seed, preset, start_ns, params)
    yield _book_rows(market, start_ns)
    market.want(start_ns, events=True)
    m = market.state[0]
    block = np.zeros(max(rows, TAPE), EVENT)
    _, grid, bars = _unwanted()
    done = False
    while not done:
        m.n_events = 0
        done = market.advance(start_ns + round(seconds * NS_PER_S), block, grid, bars)
        yield block[: m.n_events].copy()


def _book_rows(market: SyntheticMarket, ts: int) -> Rows:
    """The whole book as event rows, bids then asks, best first."""
    p = market.params[0]
    rows = []
    for side in market.sides:
        for level in range(side.best, side.best - LEVELS, -1):
            lots = side.lots[level & MASK]
            if lots > 0:
                price = decimal(side.sign * level, p.tick, p.per_tick)
                rows.append((ts, BOOK, side.sign, price, decimal(lots, p.lot, p.per_lot)))
    return np.array(rows, EVENT)


def synthetic_events(seconds: float, seed: int, preset: str = "large-tick", start_ns: int = START_NS) -> Rows:
    """All blocks of `event_blocks` in one array: about 8 MB a simulated hour of the large-tick preset.

    Raises:
        ConfigError: see `event_blocks`.
    """
    return np.concatenate(list(event_blocks(seconds, seed, preset, start_ns)))


def synthetic_grid(
    seconds: float, grid_s: float, seed: int, preset: str = "large-tick", params: MarketParams | None = None
) -> Rows:
    """Flows and book per `grid_s` seconds, for `seconds` seconds, in ticks and lots: see `GridRow`. Nothing is NaN.

    Raises:
        ConfigError: an argument out of range, or a history so long that the price came near zero.
    """
    _checked("seconds", seconds)
    _checked("grid_s", grid_s)
    market = open_market(seed, preset, START_NS, params)
    events, _, bars = _unwanted()
    grid = np.zeros(math.floor(seconds / grid_s + 1e-9), GRID)
    grid_ns = round(grid_s * NS_PER_S)
    market.want(START_NS, grid_ns=grid_ns)
    market.advance(START_NS + len(grid) * grid_ns, events, grid, bars)
    return grid
