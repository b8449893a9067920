"""Whether at all: an ordered tuple of small rules. Adding one is a function, its place in `RULES`, and its name's line.

A rule reads what the account and `risk.exposure.look` know, remembers nothing, and answers (scale, value, limit,
until): scale 0 refuses, 1 lets the entry pass, between them shrinks it; value and limit say what it saw and what it
allows, and stand in the journal beside the time (ns; 0 = it does not say) until which a refusal holds. A limit of 0
is off.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from risk.controls import drawdown_scale, volatility_scale
from utils.codes import AUTO, MARKET
from utils.compiled import compile_source, compiled
from utils.market.costs import break_even_win_rate, crossing_bps, round_trip_costs
from utils.rows import BPS, AccountRow, AskedRow, InstrumentRow, ParamsRow, SignalRow

_break_even = compiled(break_even_win_rate)
_costs = compiled(round_trip_costs)
_crossing = compiled(crossing_bps)
Answer = tuple[float, float, float, int]


@compiled
def below(value: float, limit: float) -> Answer:
    """Passes while `value` is below `limit`; a limit of 0 is off."""
    return (0.0 if limit > 0.0 and value >= limit else 1.0), value, limit, 0


@compiled
def known(value: float, limit: float, par: ParamsRow) -> Answer:
    """Passes while `value` is at most `limit`; without a value it refuses in live runs alone."""
    if math.isnan(value) and limit > 0.0:
        return (0.0 if par.nan_refuses == 1 else 1.0), value, limit, 0
    return (0.0 if limit > 0.0 and value > limit else 1.0), value, limit, 0


@compiled
def halted(until: int, now: int, value: float, limit: float) -> Answer:
    """Refuses until a breaker that tripped lets go; `value` is what tripped it."""
    return (0.0 if now < until else 1.0), value, limit, until


@compiled
def rule_equity(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """Nothing is risked that is not there: marked equity must be positive (quote)."""
    return (1.0 if acc.equity > 0.0 else 0.0), acc.equity, 0.0, 0


@compiled
def rule_daily_loss(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """The day has not lost `risk.max_daily_loss` of the equity that it began with; else until midnight, UTC."""
    return halted(acc.daily_until, at.ts, acc.daily_saw, par.max_daily)


@compiled
def rule_losses(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """No streak of `risk.max_losses` losing trades pauses the account."""
    return halted(acc.losses_until, at.ts, acc.losses_saw, par.max_losses)


@compiled
def rule_drawdown(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """No fall of `risk.max_drawdown` below the highest equity halts the account."""
    return halted(acc.drawdown_until, at.ts, acc.drawdown_saw, par.max_drawdown)


@compiled
def rule_cooldown(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """The symbol has rested `risk.cooldown_bars` since it was last stopped at a loss (bars)."""
    rested = (at.ts - at.cool_until + par.cooldown_ns) / par.tf_ns
    return (0.0 if at.ts < at.cool_until else 1.0), rested, par.cooldown_ns / par.tf_ns, at.cool_until


@compiled
def rule_age(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """No price that equity or this entry hangs on is older than `risk.max_age_bars` (bars)."""
    return known(at.age_ns / par.tf_ns, par.max_age_ns / par.tf_ns, par)


@compiled
def rule_spread(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """The book is not wider than `risk.max_spread_bps`, where one is known."""
    return known(at.spread_bps, par.max_spread_bps, par)


@compiled
def rule_volatility(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """A bar does not move more than `risk.max_volatility_bps` (one standard deviation)."""
    return known(at.vol_bps, par.max_vol_bps, par)


@compiled
def rule_drawdown_scale(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """Size shrinks with the drawdown, to nothing at `risk.drawdown_floor` of the highest equity (Grossman-Zhou)."""
    return drawdown_scale(at.drawdown, par.equity_floor), 1.0 - at.drawdown, par.equity_floor, 0


@compiled
def rule_volatility_scale(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """Size shrinks with volatility above `risk.target_volatility_bps`."""
    return volatility_scale(at.vol_bps, par.target_vol_bps), at.vol_bps, par.target_vol_bps, 0


@compiled
def rule_max_positions(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """Open positions and waiting entries stay under `risk.max_positions`."""
    return (1.0 if at.count < par.max_positions else 0.0), float(at.count), float(par.max_positions), 0


@compiled
def rule_max_leverage(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """Gross notional over equity stays under `risk.max_leverage`."""
    leverage = at.gross / acc.equity
    return (1.0 if leverage < par.leverage else 0.0), leverage, par.leverage, 0


@compiled
def rule_net_leverage(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """Longs less shorts over equity, in the direction of the entry, stay under `risk.max_net_leverage`."""
    return below(at.net / acc.equity, par.max_net)


@compiled
def rule_heat(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """Equity lost if every stop were hit now stays under `risk.max_heat` (fraction)."""
    return below(at.heat, par.max_heat)


@compiled
def rule_correlated_heat(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """Likewise with correlations: there is room under `risk.max_correlated_heat` (fraction)."""
    return (0.0 if at.correlated_room <= 0.0 else 1.0), math.sqrt(max(0.0, at.variance)), par.max_correlated, 0


@compiled
def rule_cluster(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """Heat of positions that move with this entry stays under `risk.max_cluster_risk` (fraction)."""
    return below(at.cluster, par.max_cluster)


@compiled
def rule_kelly(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """A win probability that is known leaves Kelly something to bet."""
    return (0.0 if at.kelly <= 0.0 else 1.0), at.kelly, 0.0, 0


@compiled
def rule_break_even(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """The signal's win probability reaches break-even after costs; off unless `signal.veto_below_break_even`.

    Without an estimate, or a stop, the rule is unavailable: it passes in bar simulations and refuses in live runs. An
    entry of the kind that pays most may cross in the end, and is held to what a taker needs.
    """
    if par.veto_break_even == 0:
        return 1.0, math.nan, math.nan, 0
    take = par.take_bps if math.isnan(sig.take_bps) else sig.take_bps
    cost_take, cost_stop = _costs(
        par.entry_kind not in (MARKET, AUTO),
        ins.maker_bps,
        ins.taker_bps,
        _crossing(par.half_spread_bps, par.slippage_bps, ins.tick, at.price),
    )
    needed = _break_even(take, at.stop / BPS, cost_take, cost_stop)
    if math.isnan(sig.p_win) or math.isnan(needed):
        return (0.0 if par.nan_refuses == 1 else 1.0), sig.p_win, needed, 0
    return (1.0 if sig.p_win >= needed else 0.0), sig.p_win, needed, 0


@compiled
def rule_expected_net(acc: AccountRow, ins: InstrumentRow, par: ParamsRow, sig: SignalRow, at: AskedRow) -> Answer:
    """What a model expects after costs reaches the least that it takes a trade for (bps); off without a model.

    A model that was asked and knows nothing, NaN, refuses: what it would say of such a bar nobody has tested.
    """
    if math.isnan(sig.least_bps):
        return 1.0, math.nan, math.nan, 0
    return (1.0 if sig.net_bps >= sig.least_bps else 0.0), sig.net_bps, sig.least_bps, 0


#: In the order of `utils.codes.REFUSALS`: a rule's code is its place, from 1 on.
RULES = (
    rule_equity,
    rule_daily_loss,
    rule_losses,
    rule_drawdown,
    rule_cooldown,
    rule_age,
    rule_spread,
    rule_volatility,
    rule_drawdown_scale,
    rule_volatility_scale,
    rule_max_positions,
    rule_max_leverage,
    rule_net_leverage,
    rule_heat,
    rule_correlated_heat,
    rule_cluster,
    rule_kelly,
    rule_break_even,
    rule_expected_net,
)


def unrolled(rules: tuple[Callable[..., Answer], ...]) -> Callable[..., tuple[float, int, float, float, int]]:
    """One compiled `guard` that asks `rules` in order, written out as straight calls.

    The result takes (account, instrument, params, signal, ASKED). It answers (scale, 0, nan, nan, 0) when all rules
    pass, else (0, code of the refusing rule, value, limit, until).
    """
    asks = "".join(
        f"    factor, value, limit, until = {rule.__name__}(acc, ins, par, sig, at)\n"
        f"    if factor <= 0.0:\n        return 0.0, {code}, value, limit, until\n    scale *= factor\n"
        for code, rule in enumerate(rules, 1)
    )
    head = "def guard(acc, ins, par, sig, at):\n    scale = 1.0\n"
    source = f"{head}{asks}    return scale, 0, nan, nan, 0\n"
    names = {rule.__name__: rule for rule in rules}
    return compile_source("guard", source, {**names, "nan": math.nan}, __file__)


guard = unrolled(RULES)
