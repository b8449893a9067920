"""Whether Kelly's rule sizes the same trades better than a fixed fraction, where the odds have to be estimated.

The trades are those of the default strategy's signals in turn, one position at a time, by the walk of `ml.barriers`.
Every size is known before its trade: odds are those of trades that had ended, the last 200 of the same series.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtest.experiments.data import Series
from backtest.experiments.statistics import (
    FAILS,
    HOLDS,
    UNMEASURED,
    UNPROVEN,
    Estimate,
    clustered,
)
from ml.barriers.outcomes import stopped_outcomes
from risk.advanced import kelly_position_sizing
from utils.codes import END_OF_DATA, MARKET
from utils.figures.arithmetic import NORMAL, Floats, mean_or_nan, sharpe
from utils.figures.bootstrap import block_length, quotient
from utils.market.costs import crossing_bps, round_trip_costs

#: Trades of a series before the first that is sized, and over how many the odds are taken.
FIRST, WINDOW = 50, 200
#: Most that a rule risks on a trade when it is scaled to the average of the others, fraction of equity.
MOST_RISK = 0.05
#: Most that the fixed fraction of an equal drawdown may be.
MOST_FIXED = 0.5
#: Drawdown whose probability is told, and the paths it is counted over.
DEEP, PATHS = 0.2, 300
#: Fixed fractions whose drawdowns are known, others lie between; and the paths these are a mean of.
GRID = np.concatenate([[0.0], np.geomspace(1e-5, MOST_FIXED, 40)])
FEW_PATHS = 100
#: Growth per 100 trades that is none: what reading between fixed fractions leaves.
EVEN = 1e-4
#: Trades with a size below which nothing is said.
FEWEST = 100
#: The coins: how many, throws of each, throws a day, chance to win, win over loss.
COINS, THROWS, THROWS_A_DAY, COIN, COIN_PAYOFF = 10, 1_000, 20, 0.58, 25.0 / 18.0
#: How far, and over how many throws, the odds of a changing coin go up and down.
SWING, PERIOD = 0.12, 500
#: What they are called.
STEADY, CHANGING = "coins of steady odds", "coins of changing odds"
#: The rules: at the same average risk, then at the size that Kelly's rule itself asks for.
FIXED, VOLATILITY, KELLY, CHANCE = "fixed fraction", "volatility target", "Kelly, any fraction", "size by p"
OWN = {"full Kelly": 1.0, "half Kelly": 0.5, "quarter Kelly": 0.25}
#: Those of which the claim speaks.
CLAIMED = ("half Kelly", "quarter Kelly")
#: Least that is left of an account after a trade.
RUIN = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Trades:
    """The trades of one series, in turn: each begins after the one before has ended."""

    group: str
    days: NDArray[np.int64]  # UTC day of each signal
    won: Floats  # net of each, in losses at the stop with its costs: -1 = that much was lost
    strength: Floats  # 0-100
    sigma_bps: Floats  # volatility a bar at the signal


@dataclass(frozen=True, slots=True)
class Sized:
    """What one rule made of a group's trades."""

    group: str
    rule: str
    series: int
    trades: int
    sized: float  # share of the trades that got a size above 0
    risk: float  # mean equity lost at the stop, fraction
    growth: Estimate  # of the logarithm of equity, per 100 trades
    sharpe: float  # mean over standard deviation of a trade's return; NaN = nothing was sized
    drawdown: float  # deepest fall of equity, mean over series, fraction
    typical: float  # the same over resampled paths
    deep: float  # probability of a fall of more than 20 %, mean over series
    better: Estimate  # growth less that of the fixed fraction with the same drawdown, per 100 trades

    @property
    def verdict(self) -> str:
        """Whether it is not dominated: its growth at least that of a fixed fraction that typically falls as deep."""
        if self.rule == FIXED or self.sized * self.trades < FEWEST or math.isnan(self.better.low):
            return UNMEASURED
        if self.better.low >= -EVEN:
            return HOLDS
        return FAILS if self.better.high < -EVEN else UNPROVEN


def in_turn(series: Series, *, costs: bool = True) -> Trades:
    """The trades that one account makes of the signals, one position at a time.

    Formula: won = net / (stop + cost of a round trip that ends at the stop), both in bps.
    """
    instrument, params = series.instrument.copy(), series.params.copy()
    if not costs:
        instrument["maker_bps"] = instrument["taker_bps"] = 0.0
        params["half_spread_bps"] = params["slippage_bps"] = 0.0
    par, fees = params[0], instrument[0]
    stop = float(par.stop_bps)
    out = stopped_outcomes(series.bars, series.at, series.sides, np.full(len(series.at), stop), instrument, params)
    chosen, free_from = [], -1
    for k, (at, reason, end) in enumerate(zip(series.at, out["exit_reason"], out["exit_bar"], strict=True)):
        if at >= free_from and reason not in (0, END_OF_DATA):
            chosen.append(k)
            free_from = end
    lost = stop
    if costs:
        crossing = crossing_bps(
            float(par.half_spread_bps), float(par.slippage_bps), float(fees.tick), float(series.bars["close"][0])
        )
        lost += round_trip_costs(par.entry_kind != MARKET, float(fees.maker_bps), float(fees.taker_bps), crossing)[1]
    kept = np.array(chosen, np.int64)
    group = series.group if series.made else "recorded"
    return Trades(
        group=f"{group}, {'after' if costs else 'before'} costs",
        days=series.days[kept],
        won=out["net_bps"][kept] / lost,
        strength=series.strength[kept],
        sigma_bps=series.sigma_bps[kept],
    )


def coin_trades(seed: int, *, changing: bool = False) -> list[Trades]:
    """Throws of coins whose odds never change, which Kelly's rule was made for, or of some whose odds go up and down.

    Formula: p = 0.58, changing 0.58 + 0.12 sin(2 pi t / 500); a win brings 25 / 18 of what a loss costs.
    """
    t = np.arange(THROWS)
    p = COIN + (SWING * np.sin(2.0 * np.pi * t / PERIOD) if changing else np.zeros(THROWS))
    wins = np.random.default_rng([seed, int(changing)]).random((COINS, THROWS)) < p
    ones = np.ones(THROWS)
    return [
        Trades(
            CHANGING if changing else STEADY,
            (k * THROWS + t) // THROWS_A_DAY,
            np.where(won, COIN_PAYOFF, -1.0),
            ones,
            ones,
        )
        for k, won in enumerate(wins)
    ]


def kelly_sizes(trades: Trades) -> Floats:
    """Full Kelly of each trade, at the lower bound of the win rate of those before: fraction of equity."""
    return _each(trades, lambda past, _: _kelly(trades.won[past]))


def chance_sizes(trades: Trades) -> Floats:
    """Size by probability of each trade, from trades before that were as strong, relative.

    Formula: 2 Phi(z) - 1, z = (p - p*) / sqrt(p (1 - p)), at least 0; p = share of wins among the trades of the same
    half by strength, p* = mean loss / (mean win + mean loss), net. Source: Lopez de Prado 2018, ch. 10.
    """

    def size(past: slice, k: int) -> float:
        strength, won = trades.strength[past], trades.won[past]
        middle = np.median(strength)
        alike = won[strength >= middle] if trades.strength[k] >= middle else won[strength < middle]
        p = float(np.mean(alike > 0.0)) if len(alike) else 0.0
        odds = _odds(won)
        if odds is None or not 0.0 < p < 1.0:
            return 0.0
        _, win, loss = odds
        return max(0.0, 2.0 * NORMAL.cdf((p - loss / (win + loss)) / math.sqrt(p * (1.0 - p))) - 1.0)

    return _each(trades, size)


def _each(trades: Trades, size: Callable[[slice, int], float]) -> Floats:
    """The size of each trade from the 51st on, by those before it."""
    n = len(trades.won)
    return np.array([size(slice(max(0, k - WINDOW), k), k) for k in range(min(FIRST, n), n)])


def _odds(won: Floats) -> tuple[float, float, float] | None:
    """Win rate, mean win and mean loss; None where there is not one of each."""
    wins, losses = won[won > 0.0], won[won < 0.0]
    if len(wins) == 0 or len(losses) == 0:
        return None
    return len(wins) / (len(wins) + len(losses)), float(wins.mean()), float(-losses.mean())


def _kelly(won: Floats) -> float:
    odds = _odds(won)
    return 0.0 if odds is None else float(kelly_position_sizing(*odds, observations=int(np.count_nonzero(won))))


def matched(sizes: Sequence[Floats], mean: float) -> list[Floats]:
    """Sizes times one number, so that their mean is `mean`, none above 5 % of equity; zeros stay zeros.

    Where the cap leaves no such number, all that are above 0 are 5 %.
    """
    every = np.concatenate(sizes)
    if not np.any(every > 0.0):
        return list(sizes)

    def excess(scale: float) -> float:
        return float(np.minimum(scale * every, MOST_RISK).mean()) - mean

    scale = _root(excess, 0.0, 2.0 * MOST_RISK / float(every[every > 0.0].min()))
    return [np.minimum(scale * one, MOST_RISK) for one in sizes]


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function is 0, by halving; an end where it is not between them."""
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if rising(middle) < 0.0 else (low, middle)
    return 0.5 * (low + high)


def grown(sizes: Floats, won: Floats) -> Floats:
    """Growth of the logarithm of equity by each trade: ln(1 + f won)."""
    return np.log(np.maximum(1.0 + sizes * won, RUIN))


def deepest(growth: Floats) -> Floats:
    """Deepest fall of each path of growths (last axis), the beginning included; fraction."""
    path = np.cumsum(growth, axis=-1)
    peak = np.maximum(np.maximum.accumulate(path, axis=-1), 0.0)
    found: Floats = -np.expm1(np.min(path - peak, axis=-1, initial=0.0))
    return found


def drawn_paths(n: int, seed: int) -> NDArray[np.int64]:
    """Which trades 300 resampled paths are made of: blocks of neighbours, as `utils.figures.bootstrap` draws them."""
    length = block_length(n)
    starts = np.random.default_rng(seed).integers(0, n - length + 1, (PATHS, math.ceil(n / length)))
    found: NDArray[np.int64] = (starts[:, :, None] + np.arange(length)).reshape(PATHS, -1)[:, :n]
    return found


def judged(parts: Sequence[Trades], risk: float, seed: int) -> list[Sized]:
    """What every rule makes of the trades of one group, from the 51st of each series on.

    Args:
        parts: series of the group, each longer than that.
        risk: mean equity lost at the stop to which rules are scaled, fraction.
        seed: of the dice.
    """
    kelly = [kelly_sizes(one) for one in parts]
    rules: dict[str, list[Floats]] = {
        FIXED: [np.ones(len(one)) for one in kelly],
        VOLATILITY: [1.0 / np.maximum(one.sigma_bps[FIRST:], 1e-9) for one in parts],
        KELLY: kelly,
        CHANCE: [chance_sizes(one) for one in parts],
    }
    rules = {rule: matched(sizes, risk) for rule, sizes in rules.items()}
    rules |= {rule: [fraction * one for one in kelly] for rule, fraction in OWN.items()}
    won = [one.won[FIRST:] for one in parts]
    days = np.concatenate([one.days[FIRST:] for one in parts])
    paths = [drawn_paths(len(one), seed + k) for k, one in enumerate(won)]

    def fall(growths: Sequence[Floats], few: int) -> float:
        return mean_or_nan(np.array([deepest(g[at[:few]]).mean() for g, at in zip(growths, paths, strict=True)]))

    falls = [fall([grown(np.full(len(w), f), w) for w in won], FEW_PATHS) for f in GRID]

    def per_hundred(growth: Floats) -> Estimate:
        return clustered(np.column_stack([100.0 * growth, np.ones(len(growth))]), days, quotient, seed)

    found = []
    for rule, sizes in rules.items():
        growths = [grown(f, w) for f, w in zip(sizes, won, strict=True)]
        equal = float(np.interp(fall(growths, FEW_PATHS), np.maximum.accumulate(falls), GRID))
        fixed = np.concatenate([grown(np.full(len(w), equal), w) for w in won])
        every, growth = np.concatenate(sizes), np.concatenate(growths)
        found.append(
            Sized(
                group=parts[0].group,
                rule=rule,
                series=len(parts),
                trades=len(every),
                sized=mean_or_nan((every > 0.0).astype(float)),
                risk=mean_or_nan(every),
                growth=per_hundred(growth),
                sharpe=sharpe(every * np.concatenate(won), 1.0),
                drawdown=mean_or_nan(np.array([float(deepest(one)) for one in growths])),
                typical=fall(growths, PATHS),
                deep=mean_or_nan(
                    np.array([np.mean(deepest(g[at]) > DEEP) for g, at in zip(growths, paths, strict=True)])
                ),
                better=per_hundred(growth - fixed),
            )
        )
    return found


def findings(series: Iterable[Series], risk: float, seed: int, *, coins: bool) -> list[Sized]:
    """What every rule makes of each group's trades, after costs and before them; with coins, of their throws too."""
    groups: dict[str, list[Trades]] = {}
    for one in series:
        for costs in (True, False):
            trades = in_turn(one, costs=costs)
            if len(trades.won) > FIRST:
                groups.setdefault(trades.group, []).append(trades)
    if coins:
        groups[STEADY], groups[CHANGING] = coin_trades(seed), coin_trades(seed, changing=True)
    return [row for parts in groups.values() for row in judged(parts, risk, seed)]


def words(found: Sized) -> str:
    """What a finding says of the claim, in a sentence."""
    where = f"{found.group}, {found.rule}"
    if not found.risk > 0.0:
        return f"{where}: asks for no trade, as no win rate of the past is above break-even with confidence"
    if found.verdict == UNMEASURED:
        seen = found.sized * found.trades
        return f"{where}: too few to say anything: {seen:.0f} trades get a size, {FEWEST} are needed"
    verdict = f"is {found.verdict}" if found.verdict == UNPROVEN else found.verdict
    better = found.better
    return (
        f"{where}: the claim {verdict}: beside a fixed fraction that falls as deep ({100.0 * found.typical:.1f} %) its "
        f"growth differs by {100.0 * better.value:+.2f} % per 100 trades ({100.0 * better.low:+.2f} to "
        f"{100.0 * better.high:+.2f}); {100.0 * found.sized:.1f} % of the trades get a size"
    )


#: Columns of a table that has little room.
BRIEF = (
    "trades of",
    "rule",
    "sized",
    "growth, % per 100 trades",
    "max drawdown",
    "P(drawdown > 20 %)",
    "not dominated",
)


def cells(found: Sized) -> dict[str, str]:
    """A finding as a row of a table, by column."""

    def percent(value: float, places: int) -> str:
        return "-" if math.isnan(value) else f"{100.0 * value:.{places}f} %"

    def span(one: Estimate) -> str:
        return f"{100.0 * one.value:.2f} ({100.0 * one.low:.2f} to {100.0 * one.high:.2f})"

    own = found.rule != FIXED and found.risk > 0.0
    return {
        "trades of": found.group,
        "rule": found.rule,
        "n": f"{found.trades:,}",
        "sized": percent(found.sized, 1),
        "mean risk": percent(found.risk, 3),
        "growth, % per 100 trades": span(found.growth),
        "Sharpe a trade": "-" if math.isnan(found.sharpe) else f"{found.sharpe:.3f}",
        "max drawdown": percent(found.drawdown, 1),
        "P(drawdown > 20 %)": percent(found.deep, 0),
        "less fixed of equal drawdown": span(found.better) if own else "-",
        "not dominated": found.verdict if own else "-",
    }


def answer(found: Sequence[Sized]) -> list[str]:
    """What is found of the claim, in sentences: half and quarter Kelly of every group."""
    return [words(one) for one in found if one.rule in CLAIMED]
