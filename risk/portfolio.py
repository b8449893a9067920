"""The ledger: fills become positions, positions become trade records, money is counted once.

A record is changed only by the function named for it: `open_position`, `close_position`, `settle_funding`, `mark`.
"""

from __future__ import annotations

from risk.stops import liquidation_levels
from utils.codes import MAKER
from utils.compiled import compiled
from utils.market.barriers import levels
from utils.rows import (
    BPS,
    AccountRow,
    BarRow,
    EquityRow,
    FundingRow,
    InstrumentRow,
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


@compiled
def open_position(
    acc: AccountRow,
    p: PositionRow,
    ins: InstrumentRow,
    par: ParamsRow,
    side: int,
    ts: int,
    qty: float,
    price: float,
    reference: float,
    liquidity: int,
    inside: bool,
) -> None:
    """The waiting order filled: set position, brackets and liquidation levels from the fill price.

    Args:
        acc: the account; its entry counter moves.
        p: the symbol's record; its order fields hold the distances and when it was decided.
        ins: grid, fees and margin of the symbol.
        par: leverage of the account.
        side: +1 long, -1 short.
        ts: time of the fill, ns: the open of the bar.
        qty: filled size, base, positive.
        price: fill price, quote.
        reference: price aimed at, quote.
        liquidity: MAKER or TAKER.
        inside: filled inside the bar rather than at its open.
    """
    acc.entries += 1
    p.entry_no = acc.entries
    p.side = side
    p.qty = side * qty
    p.entry_price = price
    p.entry_ts = ts
    p.signal_ts = p.o_ts
    p.decision_price = p.o_price
    p.take_price, p.stop = levels(p.side, price, p.o_take_bps * BPS, p.o_stop, ins.tick, ins.per_tick)
    p.first_stop = p.stop
    leverage = max(1.0, min(par.leverage, ins.max_leverage))
    p.liq, p.bankrupt = liquidation_levels(p.side, price, leverage, ins.maintenance)
    p.liquidity = liquidity
    p.inside = 1 if inside else 0
    p.bars = 0
    p.horizon = p.o_horizon
    p.best = price
    p.trail = p.o_trail
    p.fees = fee_of(price, qty, liquidity, ins)
    p.funding = 0.0
    p.slip_bps = p.side * (price - reference) / p.decision_price / BPS
    p.gaps = 0


@compiled
def close_position(
    acc: AccountRow, p: PositionRow, ins: InstrumentRow, trade: TradeRow, bar: BarRow, reference: float
) -> None:
    """The position ended as `trade` says (reason, time, price, liquidity): complete the row and realise its money.

    Formula: gross = d (exit - entry) qty; net = gross - fees - funding. Slippage = adverse distance of both legs from
    their references, in bps of the decision price.
    """
    qty = abs(p.qty)
    price = trade.exit_price
    trade.entry_no = p.entry_no
    trade.sym = bar.sym
    trade.side = p.side
    trade.qty = qty
    trade.signal_ts = p.signal_ts
    trade.entry_ts = p.entry_ts
    trade.decision_price = p.decision_price
    trade.entry_price = p.entry_price
    trade.stop_price = p.first_stop
    trade.take_price = p.take_price
    trade.gross_pnl = p.side * (price - p.entry_price) * qty
    trade.fees = p.fees + fee_of(price, qty, trade.exit_liquidity, ins)
    trade.funding = p.funding
    trade.net_pnl = trade.gross_pnl - trade.fees - trade.funding
    trade.slippage_bps = p.slip_bps + p.side * (reference - price) / p.decision_price / BPS
    trade.entry_liquidity = p.liquidity
    trade.gap_bars = p.gaps
    acc.realised += trade.net_pnl
    acc.n_trades += 1
    p.qty = 0.0
    p.side = 0
    p.closing = 0


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
    if p.qty != 0.0 and p.entry_ts < due.ts:
        price = bar.close if due.ts >= bar.ts else p.mark
        p.funding += p.qty * price * due.rate
    p.f_next += 1


@compiled
def open_pnl(p: PositionRow) -> float:
    """Profit of an open position at its last close, less fees and funding already paid on it, quote; 0 when flat."""
    if p.qty == 0.0:
        return 0.0
    return p.qty * (p.mark - p.entry_price) - p.fees - p.funding


@compiled
def mark(acc: AccountRow, total: float) -> None:
    """Equity at the last closes: initial + realised + `total`, the open pnl of all positions, summed afresh."""
    acc.open_pnl = total
    acc.equity = acc.initial + acc.realised + total
    acc.peak = max(acc.peak, acc.equity)


@compiled
def note_equity(acc: AccountRow, par: ParamsRow, bar: BarRow, row: EquityRow) -> None:
    """Write an equity row, at most one per `equity_step_ns`, and one at the end."""
    if bar.ts - acc.equity_ts < par.equity_step_ns and bar.last == 0:
        return
    row.ts = bar.ts
    row.equity = acc.equity
    row.realised = acc.realised
    row.open_pnl = acc.open_pnl
    row.drawdown = 1.0 - acc.equity / acc.peak
    acc.n_equity += 1
    acc.equity_ts = bar.ts


@compiled
def exposure(pos: Rows) -> tuple[int, float]:
    """Positions and notional (quote) that count against the limits: those not about to close, and waiting entries."""
    count = 0
    gross = 0.0
    for k in range(len(pos)):
        if pos[k].qty != 0.0 and pos[k].closing == 0:
            count += 1
            gross += abs(pos[k].qty) * pos[k].mark
        if pos[k].o_side != 0:
            count += 1
            gross += pos[k].o_qty * pos[k].o_price
    return count, gross
