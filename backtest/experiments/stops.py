"""Whether a stop that moves with the ATR is hit in vain less often than a fixed one that is as far away on average.

Both stops get the same entries, those of the default strategy, each as if the account were flat; the walk is that of
`ml.barriers`, so a trade is what the engine makes of it. A wider stop is hit less often trivially: therefore the
multiple of the ATR is such that both are equally far away on average, file by file, over the very trades compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
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
    tail_mean,
)
from ml.barriers.outcomes import stopped_outcomes
from utils.codes import END_OF_DATA, STOP_LOSS, TAKE_PROFIT
from utils.figures.arithmetic import Floats, mean_or_nan, ratio_or_nan
from utils.figures.bootstrap import quotient
from utils.rows import Rows

#: What the claim promises: at most so many false triggers, as a share of the fixed stop's.
PROMISE = 0.8
#: Stop-outs in vain of the fixed stop below which nothing is said.
FEWEST = 30
#: Distance of a stop that nothing reaches, bps.
NOWHERE = 1e6
#: What recordings of several timeframes are called together.
EVERY = "recorded, all"
#: Columns of a comparison.
FALSE_FIXED, FALSE_ATR, NET_FIXED, NET_ATR, ONE = range(5)


@dataclass(frozen=True, slots=True, eq=False)
class Paired:
    """The same trades under both stops."""

    days: NDArray[np.int64]  # UTC day of each signal
    fixed: Rows  # OUTCOME
    atr: Rows  # OUTCOME, beside them
    false_fixed: NDArray[np.bool_]
    false_atr: NDArray[np.bool_]
    stop_fixed: Floats  # distance, bps
    stop_atr: Floats


@dataclass(frozen=True, slots=True)
class Finding:
    """What both stops did on some series."""

    group: str
    width: float  # take and stop, as multiples of the settings'
    series: int
    trades: int
    days: int
    stop_fixed: float  # mean distance, bps
    stop_atr: float
    false_fixed: float  # share of the trades that were stopped out in vain
    false_atr: float
    in_vain_fixed: float  # share of the stop-outs that were in vain
    in_vain_atr: float
    ratio: Estimate  # false_atr / false_fixed
    loss_fixed: float  # mean net of the trades that lost, bps
    loss_atr: float
    net_fixed: float  # mean net of a trade, bps
    net_atr: float
    difference: Estimate  # net_atr - net_fixed, bps
    tail_fixed: float  # mean net of the worst 5 %, bps
    tail_atr: float
    ambiguous: float  # share of the trades that met a bar with both barriers in it

    @property
    def verdict(self) -> str:
        """Whether the promise is kept: the interval of the ratio below it, and the mean trade not worse.

        It is broken where the whole interval of the ratio is above, or that of the difference below 0.
        """
        if self.false_fixed * self.trades < FEWEST or math.isnan(self.ratio.low):
            return UNMEASURED
        if self.ratio.high <= PROMISE and self.difference.value >= 0.0:
            return HOLDS
        broken = self.ratio.low > PROMISE or self.difference.high < 0.0
        return FAILS if broken else UNPROVEN


def paired(series: Series, width: float = 1.0) -> Paired:
    """The trades of every signal under both stops, as far as they end within the data.

    Formula: ATR stop = k ATR / close with k = mean of the fixed stops / mean of ATR / close, over these trades. A
    stop-out is in vain where the same trade without a stop takes its profit: later, or in the bar of the stop, where
    the stop counts as first. Unit: bps. NaN: none.

    Args:
        series: bars and signals.
        width: take and stop, as multiples of the settings'.
    """
    params = series.params.copy()
    params["take_bps"] *= width
    stop = float(params["stop_bps"][0]) * width
    fixed_all = np.full(len(series.at), stop)

    def made(stops: Floats, chosen: NDArray[np.bool_] | slice) -> Rows:
        return stopped_outcomes(series.bars, series.at[chosen], series.sides[chosen], stops, series.instrument, params)

    free = made(np.full(len(series.at), NOWHERE), slice(None))
    ended = (free["exit_reason"] != 0) & (free["exit_reason"] != END_OF_DATA)
    free, fixed_stop, atr_bps = free[ended], fixed_all[ended], series.atr_bps[ended]
    atr_stop = atr_bps * ratio_or_nan(stop, mean_or_nan(atr_bps))
    fixed, atr = made(fixed_stop, ended), made(atr_stop, ended)
    takes = free["exit_reason"] == TAKE_PROFIT
    return Paired(
        days=series.days[ended],
        fixed=fixed,
        atr=atr,
        false_fixed=takes & (fixed["exit_reason"] == STOP_LOSS),
        false_atr=takes & (atr["exit_reason"] == STOP_LOSS),
        stop_fixed=fixed_stop,
        stop_atr=atr_stop,
    )


def compared(group: str, width: float, parts: Sequence[Paired], seed: int) -> Finding:
    """What both stops did on all these series together."""
    days = np.concatenate([part.days for part in parts])
    fixed, atr = (np.concatenate([getattr(part, name) for part in parts]) for name in ("fixed", "atr"))
    vain_fixed, vain_atr = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("false_fixed", "false_atr")
    )
    table = np.column_stack([vain_fixed, vain_atr, fixed["net_bps"], atr["net_bps"], np.ones(len(days))]).astype(float)

    def stopped(rows: Rows) -> float:
        return float(np.count_nonzero(rows["exit_reason"] == STOP_LOSS))

    return Finding(
        group=group,
        width=width,
        series=len(parts),
        trades=len(days),
        days=len(np.unique(days)),
        stop_fixed=mean_or_nan(np.concatenate([part.stop_fixed for part in parts])),
        stop_atr=mean_or_nan(np.concatenate([part.stop_atr for part in parts])),
        false_fixed=mean_or_nan(table[:, FALSE_FIXED]),
        false_atr=mean_or_nan(table[:, FALSE_ATR]),
        in_vain_fixed=ratio_or_nan(float(vain_fixed.sum()), stopped(fixed)),
        in_vain_atr=ratio_or_nan(float(vain_atr.sum()), stopped(atr)),
        ratio=clustered(table[:, [FALSE_ATR, FALSE_FIXED]], days, quotient, seed),
        loss_fixed=mean_or_nan(fixed["net_bps"][fixed["net_bps"] < 0.0]),
        loss_atr=mean_or_nan(atr["net_bps"][atr["net_bps"] < 0.0]),
        net_fixed=mean_or_nan(table[:, NET_FIXED]),
        net_atr=mean_or_nan(table[:, NET_ATR]),
        difference=clustered(
            np.column_stack([table[:, NET_ATR] - table[:, NET_FIXED], table[:, ONE]]), days, quotient, seed
        ),
        tail_fixed=tail_mean(fixed["net_bps"]),
        tail_atr=tail_mean(atr["net_bps"]),
        ambiguous=mean_or_nan(((fixed["ambiguous"] > 0) | (atr["ambiguous"] > 0)).astype(float)),
    )


def findings(series: Iterable[Series], widths: Sequence[float], seed: int) -> list[Finding]:
    """What both stops did, for each group and, where there are several recorded ones, for all that is recorded."""
    groups: dict[tuple[str, float], list[Paired]] = {}
    every: dict[float, list[Paired]] = {}
    kinds: set[str] = set()
    for one in series:
        for width in widths:
            part = paired(one, width)
            groups.setdefault((one.group, width), []).append(part)
            if not one.made:
                every.setdefault(width, []).append(part)
                kinds.add(one.group)
    found = [compared(group, width, parts, seed) for (group, width), parts in groups.items()]
    if len(kinds) > 1:
        found += [compared(EVERY, width, parts, seed) for width, parts in every.items()]
    return sorted(found, key=lambda one: widths.index(one.width))


def words(found: Finding) -> str:
    """What a finding says of the claim, in a sentence."""
    where = f"{found.group}, width {found.width:g}"
    if found.verdict == UNMEASURED:
        seen = found.false_fixed * found.trades
        return f"{where}: too few to say anything: {seen:.0f} false triggers, {FEWEST} are needed"
    fewer = 100.0 * (1.0 - found.ratio.value)
    change = f"{fewer:.0f} % fewer" if fewer >= 0.5 else f"{-fewer:.0f} % more" if fewer <= -0.5 else "as many"
    verdict = f"is {found.verdict}" if found.verdict == UNPROVEN else found.verdict
    ratio, difference = found.ratio, found.difference
    return (
        f"{where}: the claim {verdict}: {change} false triggers (ratio {ratio.value:.2f}, {ratio.low:.2f} to "
        f"{ratio.high:.2f}; promised at most {PROMISE:g}), and the mean net of a trade changes by "
        f"{difference.value:+.2f} bps ({difference.low:+.2f} to {difference.high:+.2f})"
    )


#: Columns of a table that has little room.
BRIEF = ("trades of", "width", "n", "mean stop, bps", "false triggers, %", "ratio", "difference, bps", "20 % fewer")


def cells(found: Finding) -> dict[str, str]:
    """A finding as a row of a table, by column; pairs are fixed / ATR."""

    def pair(one: float, other: float, places: int = 1) -> str:
        return f"{one:.{places}f} / {other:.{places}f}"

    def span(one: Estimate) -> str:
        return "-" if math.isnan(one.low) else f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})"

    return {
        "trades of": found.group,
        "width": f"{found.width:g}",
        "n": f"{found.trades:,}",
        "days": f"{found.days:,}",
        "mean stop, bps": pair(found.stop_fixed, found.stop_atr),
        "false triggers, %": pair(100.0 * found.false_fixed, 100.0 * found.false_atr),
        "of stop-outs, %": pair(100.0 * found.in_vain_fixed, 100.0 * found.in_vain_atr),
        "ratio": "-" if found.verdict == UNMEASURED else span(found.ratio),
        "mean loss, bps": pair(found.loss_fixed, found.loss_atr),
        "mean trade, bps": pair(found.net_fixed, found.net_atr),
        "difference, bps": span(found.difference),
        "worst 5 %, bps": pair(found.tail_fixed, found.tail_atr),
        "both in a bar, %": f"{100.0 * found.ambiguous:.1f}",
        "20 % fewer": found.verdict,
    }


def answer(found: Sequence[Finding]) -> list[str]:
    """What is found of the claim, in sentences: of all recordings together, where there are several kinds."""
    whole = [one for one in found if one.group == EVERY]
    return [words(one) for one in whole or found]
