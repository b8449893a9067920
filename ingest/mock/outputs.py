"""What the mock market writes: candles, the flows of a grid, and event rows."""

from __future__ import annotations

from ingest.mock.rows import MASK, EventRow, GridRow, MarketRow, ParamsRow, SideRow
from utils.compiled import compiled
from utils.rows import BarRow


@compiled
def decimal(count: int, step: float, per: float) -> float:
    """`count` steps as the nearest double of the decimal: a division where one over the step is whole."""
    return count / per if per > 0.0 else count * step


@compiled
def tick_of(level: int, steps: int) -> int:
    """The tick at which the orders of a level rest, the same one always: higher levels, higher ticks.

    With several ticks to a level, its place among them follows from its number, so that prices are no lattice.
    """
    if steps == 1:
        return level
    return level * steps + (level * level % 65_536 * 40_503) % 65_536 * steps // 65_536


@compiled
def price_of(level: int, p: ParamsRow) -> float:
    """The price of a level, quote."""
    return decimal(tick_of(level, p.steps), p.tick, p.per_tick)


@compiled
def close_bar(m: MarketRow, p: ParamsRow, bar: BarRow) -> None:
    """Write the open bar and begin the next; without a trade it is flat at the last trade price."""
    if m.bar_lots == 0:
        m.bar_open = m.bar_high = m.bar_low = m.last_tick
    bar.ts = m.bar_ts
    bar.sym = bar.gap = bar.last = 0
    bar.open = price_of(m.bar_open, p)
    bar.high = price_of(m.bar_high, p)
    bar.low = price_of(m.bar_low, p)
    bar.close = price_of(m.last_tick, p)
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
    row.price = price_of(m.tape_tick[i], p)
    row.qty = decimal(m.tape_lots[i], p.lot, p.per_lot)
