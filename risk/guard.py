"""Whether at all: an ordered tuple of small rules. Adding one is a function, its place in `RULES`, and its name's line.

A rule answers (scale, value, limit): scale 0 refuses, 1 lets the entry pass, between them shrinks it; value and limit
say what it saw and what it allows, and stand in the journal.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from utils.codes import MARKET
from utils.compiled import compile_source, compiled
from utils.market.costs import break_even_win_rate, crossing_bps, round_trip_costs
from utils.rows import BPS, AccountRow, InstrumentRow, ParamsRow, SignalRow

_break_even = compiled(break_even_win_rate)
_costs = compiled(round_trip_costs)
_crossing = compiled(crossing_bps)


@compiled
def rule_equity(
    acc: AccountRow,
    ins: InstrumentRow,
    par: ParamsRow,
    sig: SignalRow,
    price: float,
    stop: float,
    count: int,
    gross: float,
) -> tuple[float, float, float]:
    """Nothing is risked that is not there: marked equity must be positive (quote)."""
    return (1.0 if acc.equity > 0.0 else 0.0), acc.equity, 0.0


@compiled
def rule_max_positions(
    acc: AccountRow,
    ins: InstrumentRow,
    par: ParamsRow,
    sig: SignalRow,
    price: float,
    stop: float,
    count: int,
    gross: float,
) -> tuple[float, float, float]:
    """Open positions and waiting entries stay under `risk.max_positions`."""
    return (1.0 if count < par.max_positions else 0.0), float(count), float(par.max_positions)


@compiled
def rule_max_leverage(
    acc: AccountRow,
    ins: InstrumentRow,
    par: ParamsRow,
    sig: SignalRow,
    price: float,
    stop: float,
    count: int,
    gross: float,
) -> tuple[float, float, float]:
    """Gross notional over equity stays under `risk.max_leverage`."""
    leverage = gross / acc.equity
    return (1.0 if leverage < par.leverage else 0.0), leverage, par.leverage


@compiled
def rule_break_even(
    acc: AccountRow,
    ins: InstrumentRow,
    par: ParamsRow,
    sig: SignalRow,
    price: float,
    stop: float,
    count: int,
    gross: float,
) -> tuple[float, float, float]:
    """The signal's win probability reaches break-even after costs; off unless `signal.veto_below_break_even`.

    Without an estimate, or a stop, the rule is unavailable: it passes in bar simulations and refuses in live runs.
    """
    if par.veto_break_even == 0:
        return 1.0, math.nan, math.nan
    take = par.take_bps if math.isnan(sig.take_bps) else sig.take_bps
    cost_take, cost_stop = _costs(
        par.entry_kind != MARKET,
        ins.maker_bps,
        ins.taker_bps,
        _crossing(par.half_spread_bps, par.slippage_bps, ins.tick, price),
    )
    needed = _break_even(take, stop / BPS, cost_take, cost_stop)
    if math.isnan(sig.p_win) or math.isnan(needed):
        return (0.0 if par.nan_refuses == 1 else 1.0), sig.p_win, needed
    return (1.0 if sig.p_win >= needed else 0.0), sig.p_win, needed


#: In the order of `utils.codes.REFUSALS`, whose names they bear: a rule's code is its place, from 1 on.
RULES = (rule_equity, rule_max_positions, rule_max_leverage, rule_break_even)


def unrolled(
    rules: tuple[Callable[..., tuple[float, float, float]], ...],
) -> Callable[..., tuple[float, int, float, float]]:
    """One compiled `guard` that asks `rules` in order, written out as straight calls.

    The result takes (account, instrument, params, signal, price, stop, count, gross): where the market is (quote), the
    stop's distance as a fraction of that, and what counts against the limits, as `exposure` tells. It answers
    (scale, 0, nan, nan) when all rules pass, else (0, code of the refusing rule, value, limit).
    """
    asks = "".join(
        f"    factor, value, limit = {rule.__name__}(acc, ins, par, sig, price, stop, count, gross)\n"
        f"    if factor <= 0.0:\n        return 0.0, {code}, value, limit\n    scale *= factor\n"
        for code, rule in enumerate(rules, 1)
    )
    head = "def guard(acc, ins, par, sig, price, stop, count, gross):\n    scale = 1.0\n"
    source = f"{head}{asks}    return scale, 0, nan, nan\n"
    names = {rule.__name__: rule for rule in rules}
    return compile_source("guard", source, {**names, "nan": math.nan}, __file__)


guard = unrolled(RULES)
