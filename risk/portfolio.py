"""The ledger: fills become positions, positions become trade records, money is counted once.

Money changes in `apply_fill`, and by funding in `settle_funding`; nowhere else.
"""

from __future__ import annotations

import math

from risk.stops import liquidation_levels
from utils.codes import CLOSE, ENTRY, FREE, LIQUIDATION, MAKER, SENT, STOP_LOSS, TAKER, TRAILING_STOP
from utils.compiled import compiled, inlined
from utils.rows import (
    BPS,
    AccountRow,
    BarRow,
    EquityRow,
    FillRow,
    FundingRow,
    InstrumentRow,
    OrderSlotRow,
    ParamsRow,
    PositionRow,
    Rows,
    TradeRow,
)


@compiled
def fee_of(price: float, qty: float, liquidity: int, ins: InstrumentRow) -> float:
    """Fee of one fill in quote: price x qty x the maker or taker rate."""
    rate = ins.maker_bps if liquidity == MAKER else ins.taker_bps
    return price * qty * rate * BPS


@inlined
def blended(old: float, weight: float, new: float, added: float) -> float:
    """Mean by quantity of what was (`old`, quantity `weight`) and what comes; exactly `new` where nothing was."""
    if weight == 0.0:
        return new
    return (old * weight + new * added) / (weight + added)


@compiled
def apply_fill(
    acc: AccountRow,
    p: PositionRow,
    ins: InstrumentRow,
    par: ParamsRow,
    order: OrderSlotRow,
    fill: FillRow,
    trade: TradeRow,
) -> None:
    """The one door by which a position or money changes: a fill joins the position, or ends a part of it.

    A fill on the position's side averages in; one against it realises its share, and the last of it ends the round
    trip. A flip is two fills: an exit, and an entry of what is left.

    Args:
        acc: the account; counters and realised money move.
        p: the symbol's position.
        ins: fees, lot and margin of the symbol.
        par: leverage of the account.
        order: the order that traded; what it has left, its mean price and its fees move.
        fill: what matching knows of it (sym, side, qty, price, liquidity, reference, times); the rest is written here.
            Against a position its quantity is at most the position's.
        trade: row for the round trip, should it end; its reason is the order's.
    """
    acc.fills += 1
    fill.fill_id = acc.fills
    fill.order_id = order.id
    fill.role = order.role
    fill.fee = fee_of(fill.price, fill.qty, fill.liquidity, ins)
    order.fill_price = blended(order.fill_price, order.filled, fill.price, fill.qty)
    order.filled += fill.qty
    order.leaves = rest_of(order.qty - order.filled, ins)
    order.aimed = fill.reference
    opens = p.qty == 0.0
    if opens:
        _begin(acc, p, par, order, fill)
    fill.entry_no = p.entry_no
    paid = p.fees
    p.fees += fill.fee
    order.fees += p.fees - paid
    if fill.liquidity == TAKER:
        _cross(p, par, order, fill)
    if opens or p.side == fill.side:
        _join(p, ins, par, fill)
    else:
        _part(p, ins, fill)
        if p.qty == 0.0:
            _end(acc, p, par, order, fill, trade)
    if acc.keep_fills == 1:
        acc.n_fills += 1


@inlined
def rest_of(qty: float, ins: InstrumentRow) -> float:
    """What is left of a quantity (base): nothing where it is but the noise of a subtraction."""
    return qty if qty > 0.5 * ins.lot else 0.0


@inlined
def before_spread(p: PositionRow, fill: FillRow) -> float:
    """The price of a fill without any cost, quote: the mid of the book that it met, else what it aimed at."""
    return 0.5 * (p.bid + p.ask) if p.ask > 0.0 else fill.reference


@inlined
def _cross(p: PositionRow, par: ParamsRow, order: OrderSlotRow, fill: FillRow) -> None:
    """What a taker paid beyond the price before the spread: half the spread at most is spread, the rest impact.

    Half a spread is the book's where one is met, else the settings'; the aim is then the price before it.
    """
    half = 0.5 * (p.ask - p.bid) if p.ask > 0.0 else fill.reference * par.half_spread_bps * BPS
    distance = fill.side * (fill.price - before_spread(p, fill))
    spread = min(max(0.0, distance), half)
    order.spread_cost += spread * fill.qty
    order.impact_cost += (distance - spread) * fill.qty


@inlined
def _begin(acc: AccountRow, p: PositionRow, par: ParamsRow, order: OrderSlotRow, fill: FillRow) -> None:
    """A round trip begins with this fill."""
    acc.entries += 1
    p.entry_no = acc.entries
    p.side = fill.side
    p.entry_ts = fill.ts
    p.signal_ts = order.decision_ts
    p.decision_price = order.decision_price
    p.entered = 0.0
    p.exited = 0.0
    p.share = 0.0
    p.first_stop = math.nan
    p.take_price = math.nan
    p.entry_liquidity = 0
    p.exit_liquidity = 0
    p.inside = 0
    p.bars = 0
    p.horizon = order.horizon
    p.best = fill.price
    p.trail = order.trail
    p.atr = order.trail / par.trail_atr if par.chandelier == 1 else 0.0
    p.fees = 0.0
    p.funding = 0.0
    p.gaps = 0


@inlined
def _join(p: PositionRow, ins: InstrumentRow, par: ParamsRow, fill: FillRow) -> None:
    """The fill adds to the position: means by quantity, and liquidation from the mean price of what is held."""
    held = abs(p.qty)
    slip = p.side * (fill.price - fill.reference) / p.decision_price / BPS
    p.slip_bps = blended(p.slip_bps, p.entered, slip, fill.qty)
    p.entry_price = blended(p.entry_price, p.entered, fill.price, fill.qty)
    p.basis = blended(p.basis, held, fill.price, fill.qty)
    p.entered += fill.qty
    p.qty = p.side * (held + fill.qty)
    p.entry_liquidity = max(p.entry_liquidity, fill.liquidity)
    leverage = max(1.0, min(par.leverage, ins.max_leverage))
    p.liq, p.bankrupt = liquidation_levels(p.side, p.basis, leverage, ins.maintenance)


@inlined
def _part(p: PositionRow, ins: InstrumentRow, fill: FillRow) -> None:
    """The fill ends a part of the position and realises its share: d (price - mean price of what is held) qty."""
    slip = p.side * (fill.reference - fill.price) / p.decision_price / BPS
    p.exit_slip_bps = blended(p.exit_slip_bps, p.exited, slip, fill.qty)
    p.exit_price = blended(p.exit_price, p.exited, fill.price, fill.qty)
    share = p.side * (fill.price - p.basis) * fill.qty
    p.share = share if p.exited == 0.0 else p.share + share
    p.exited += fill.qty
    p.exit_liquidity = max(p.exit_liquidity, fill.liquidity)
    p.qty = p.side * rest_of(abs(p.qty) - fill.qty, ins)


@inlined
def _end(acc: AccountRow, p: PositionRow, par: ParamsRow, order: OrderSlotRow, fill: FillRow, trade: TradeRow) -> None:
    """The round trip is over: its money is realised, and its row written where rows are kept.

    Formula: gross = d (exit - entry) qty, of the mean prices, once there was more than one fill a side the sum of its
    shares; net = gross - fees - funding. Slippage = adverse distance of both legs from their references, in bps of the
    decision price.
    """
    net = p.share - p.fees - p.funding
    acc.realised += net
    if net < 0.0:
        acc.losses += 1
        if order.reason in (STOP_LOSS, TRAILING_STOP, LIQUIDATION):
            p.cool_until = fill.ts + par.cooldown_ns
    elif net > 0.0:
        acc.losses = 0
    if acc.keep_trades == 1:
        trade.entry_no = p.entry_no
        trade.sym = fill.sym
        trade.side = p.side
        trade.entry_liquidity = p.entry_liquidity
        trade.gap_bars = p.gaps
        trade.exit_liquidity = p.exit_liquidity
        trade.exit_reason = order.reason
        trade.signal_ts = p.signal_ts
        trade.entry_ts = p.entry_ts
        trade.exit_ts = fill.ts
        trade.qty = p.entered
        trade.decision_price = p.decision_price
        trade.entry_price = p.entry_price
        trade.exit_price = p.exit_price
        trade.stop_price = p.first_stop
        trade.take_price = p.take_price
        trade.gross_pnl = p.share
        trade.fees = p.fees
        trade.funding = p.funding
        trade.net_pnl = net
        trade.slippage_bps = p.slip_bps + p.exit_slip_bps
        acc.n_trades += 1
    p.side = 0


@compiled
def settle_funding(p: PositionRow, due: FundingRow, bar: BarRow) -> None:
    """One settlement: the position pays (or receives) if it was open before the stamp.

    Formula: d x qty x price x rate, price = close of the last bar that ended at or before the settlement (stand-in for
    the venue's mark price). A position pays when entry_time < settlement <= exit_time.

    Args:
        p: the symbol's record; `mark` is the last close before this bar.
        due: the settlement.
        bar: the bar at hand, which has not closed before the stamp.
    """
    settle_at(p, due, bar.close if due.ts >= bar.ts else p.mark)


@compiled
def settle_at(p: PositionRow, due: FundingRow, price: float) -> None:
    """One settlement at a price (quote): d x qty x price x rate, if the position was open before the stamp."""
    if p.qty != 0.0 and p.entry_ts < due.ts:
        p.funding += p.qty * price * due.rate
    p.f_next += 1


@compiled
def open_pnl(p: PositionRow) -> float:
    """Profit of a round trip that goes on, at the last mark, less fees and funding already paid; 0 when flat. Quote.

    Formula: qty (mark - mean price of what is held) + what partial exits realised - fees - funding.
    """
    if p.qty == 0.0:
        return 0.0
    return p.qty * (p.mark - p.basis) + p.share - p.fees - p.funding


@compiled
def mark(acc: AccountRow, total: float) -> None:
    """Equity at the last closes: initial + realised + `total`, the open pnl of all positions, summed afresh."""
    acc.open_pnl = total
    acc.equity = acc.initial + acc.realised + total
    acc.peak = max(acc.peak, acc.equity)
    acc.high = max(acc.high, acc.equity)


@compiled
def note_equity(acc: AccountRow, par: ParamsRow, ts: int, last: int, row: EquityRow) -> None:
    """Write an equity row for `ts` (ns), at most one per `equity_step_ns`, and one at the end (`last` = 1)."""
    if acc.keep_equity == 0 or (ts - acc.equity_ts < par.equity_step_ns and last == 0):
        return
    row.ts = ts
    row.equity = acc.equity
    row.realised = acc.realised
    row.open_pnl = acc.open_pnl
    row.drawdown = 1.0 - acc.equity / acc.peak
    acc.n_equity += 1
    acc.equity_ts = ts


@inlined
def worst_price(price: float, limit: float, trigger: float) -> float:
    """The highest of what an order may be filled at, quote: NaN = it has no such price."""
    return max(price, 0.0 if math.isnan(limit) else limit, 0.0 if math.isnan(trigger) else trigger)


@compiled
def notional_of(order: OrderSlotRow) -> float:
    """What a waiting order may add to a position, quote; 0 where it only reduces."""
    if order.state < SENT or order.reduce_only == 1:
        return 0.0
    if order.role == ENTRY:
        return order.qty * order.decision_price
    return order.leaves * worst_price(order.decision_price, order.limit, order.trigger)


@compiled
def exposure_of(acc: AccountRow, p: PositionRow, slots: Rows, first: int) -> float:
    """Notional (quote) of one symbol that counts against the limits; its slots begin at `first`."""
    gross = 0.0
    if p.qty != 0.0 and slots[first + CLOSE - 1].state == FREE:
        gross += abs(p.qty) * p.mark
    gross += notional_of(slots[first])
    for i in range(first + CLOSE, first + acc.slots):
        gross += notional_of(slots[i])
    return gross


@compiled
def exposure(acc: AccountRow, pos: Rows, slots: Rows) -> tuple[int, float]:
    """Positions and notional (quote) that count against the limits: those not about to close, and waiting entries.

    Orders that stand by themselves make one position of a symbol that has none, and count with all they may add.
    """
    each = acc.slots
    count = 0
    gross = 0.0
    for k in range(len(pos)):
        gross += exposure_of(acc, pos[k], slots, k * each)
        here = 1 if pos[k].qty != 0.0 and slots[k * each + CLOSE - 1].state == FREE else 0
        if slots[k * each].state >= SENT:
            here += 1
        for i in range(k * each + CLOSE, (k + 1) * each):
            if slots[i].state >= SENT and slots[i].reduce_only == 0:
                here = max(here, 1)
        count += here
    return count, gross
