"""Which take, stop and horizon pay their costs, and is that believable: a nested walk-forward search.

Every candidate is judged by `ml.barriers.outcomes`, the engine's own walk through the bars. A fold chooses among all
candidates on the bars before it, by how they did on inner folds of those bars; only what the chosen one earns on the
fold itself counts. Finding nothing is the usual answer, and it is given as such.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Literal

import numpy as np

from ml.barriers.outcomes import OUTCOME, trade_from
from ml.market.columns import one_column
from ml.market.inputs import ScalpMarket
from utils.codes import END_OF_DATA
from utils.compiled import compiled
from utils.errors import ConfigError, DataError
from utils.figures.arithmetic import Floats, deflated_sharpe, moments, probabilistic_sharpe, ratio_or_nan
from utils.figures.bootstrap import mean_interval
from utils.market.costs import break_even_win_rate
from utils.rows import BAR, INSTRUMENT, PARAMS, Rows
from utils.shell.machines import run_all

Side = Literal["long", "short", "signal"]

#: Shortest take and stop of the default grid, in round trips.
LEAST_COSTS = 5.0
#: Takes and stops of the default grid, in volatilities of their horizon.
SIGMAS = (0.5, 1.0, 1.5, 2.0, 3.0)
#: Horizons of the default grid, as multiples of the settings'.
HORIZONS = (0.5, 1.0, 2.0, 4.0)
#: Longest distance (bps) and horizon (bars) that anybody may ask for.
MOST = 100_000.0
#: Inner folds of the bars before a fold.
INNER = 5
#: Trades that inner folds must have, all together, before a candidate may be chosen.
FEWEST_TRADES = 30
#: Stretches with trades, and probability, below which no result is believed.
FEWEST_STRETCHES, BELIEF = 100, 0.95
#: Share of trades that touched both barriers in one bar, above which finer candles are the cure.
AMBIGUOUS = 0.02
#: Columns of a table of stretches.
TRADES, NET, WINS, BOTH = range(4)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One trial: barriers, and in which direction."""

    side: Side
    take_bps: float
    stop_bps: float
    horizon: int  # bars


@dataclass(frozen=True, slots=True)
class Tested:
    """What a candidate did on all bars, in sample."""

    candidate: Candidate
    trades: int
    net_bps: float  # mean of a trade; NaN without one


@dataclass(frozen=True, slots=True)
class Fold:
    """One step of the walk: chosen on what came before, judged on what came after."""

    chosen: Candidate | None  # None = no candidate had enough trades
    train_bps: float  # mean net of a trade on the bars before; NaN without one
    trades: int  # on the fold
    net_bps: float  # mean net of a trade on the fold; NaN without one


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found; all but `best_bps` and `dsr` comes from bars that no choice had seen."""

    best: Candidate | None  # chosen on all bars by the folds' rule; None = no candidate had enough trades
    best_bps: float  # its mean net on all bars, so in sample
    folds: tuple[Fold, ...]
    trades: int
    stretches: int  # stretches of time with trades: what is nearly independent
    net_bps: float  # mean of a trade, after fees, spread and slippage; NaN without trades
    low_bps: float  # 95 % interval, moving blocks; NaN = too few stretches with trades
    high_bps: float
    win_rate: float  # trades with a net above 0, fraction
    break_even: float  # win rate that the chosen barriers need without a time limit, weighted by trades, fraction
    ambiguous: float  # share of trades whose bars touched both barriers
    psr: float  # probability that the Sharpe ratio of the stretches is above 0
    dsr: float  # likewise in sample, against the best of so many worthless trials
    tested: tuple[Tested, ...]  # every candidate looked at
    late: int  # trades of all candidates left out: a halted market held them beyond the next stretch

    @property
    def trials(self) -> int:
        """Candidates looked at."""
        return len(self.tested)


@compiled
def stretch_rows(
    bars: Rows, sides: Floats, instruments: Rows, params: Rows, length: int, scratch: Rows, out: Floats
) -> int:
    """Add up the trades of every signal by the stretch of `length` bars in which they were decided.

    A trade that ends beyond the stretch after its own is left out, so that two stretches apart nothing is shared; so is
    one that the end of the data cut short.

    Args:
        bars: BAR rows of one symbol.
        sides: +1, -1, 0 or NaN beside them.
        instruments: INSTRUMENT, one row.
        params: PARAMS, one row.
        length: bars of a stretch.
        scratch: OUTCOME, one row.
        out: stretches x 4 of zeros: trades, sum of net bps, wins, trades with an ambiguous bar.

    Returns:
        Trades left out.
    """
    late = 0
    one = scratch[0]
    for t in range(len(bars)):
        if not (sides[t] > 0.0 or sides[t] < 0.0):
            continue
        trade_from(bars, t, 1 if sides[t] > 0.0 else -1, instruments[0], params[0], one)
        if one.exit_reason in (0, END_OF_DATA):
            continue
        k = t // length
        if one.exit_bar // length > k + 1:
            late += 1
            continue
        out[k, 0] += 1.0
        out[k, 1] += one.net_bps
        out[k, 2] += 1.0 if one.net_bps > 0.0 else 0.0
        out[k, 3] += 1.0 if one.ambiguous > 0 else 0.0
    return late


def tabulate(bars: Rows, sides: Floats, instrument: Rows, params: Rows, length: int) -> tuple[Floats, int]:
    """The stretches of one candidate and the trades left out; a job of its own, on whatever machine."""
    # what came over a wire may have lost its record type, or may not be written to, which compiled code tells apart
    rows, ins, par = (
        np.require(table, kind, ["C", "W"]) for table, kind in ((bars, BAR), (instrument, INSTRUMENT), (params, PARAMS))
    )
    out = np.zeros((-(-len(rows) // length), 4))
    late = stretch_rows(rows, np.require(sides, np.float64, ["C", "W"]), ins, par, length, np.zeros(1, OUTCOME), out)
    return out, late


def grid(
    market: ScalpMarket,
    rows: int,
    sides: Sequence[Side],
    takes: Sequence[float] | None,
    stops: Sequence[float] | None,
    horizons: Sequence[int] | None,
) -> tuple[Candidate, ...]:
    """Every candidate: what the user names, and for what is left out the default.

    Formula: horizons 1/2, 1, 2 and 4 times the settings'; takes and stops k sigma sqrt(h), k from 1/2 to 3, but never
    under five round trips. sigma is the median of `ewma_vol_120_bps` over the first `rows` bars: no fold is known.
    Unit: bps, bars. NaN: none.

    Raises:
        ConfigError: a list that is empty or holds what is no distance or horizon.
        DataError: those bars are too few for a volatility.
    """
    takes, stops, lasting = _named(takes, "takes"), _named(stops, "stops"), _named(horizons, "horizons", whole=True)
    if lasting is None:
        lasting = sorted({max(1.0, round(factor * float(market.params[0].horizon))) for factor in HORIZONS})
    sigma = market.features("ewma_vol_120_bps")["ewma_vol_120_bps"][:rows]
    sigma = sigma[np.isfinite(sigma)]
    if len(sigma) == 0 and (takes is None or stops is None):
        raise DataError(f"expected a volatility among the first {rows} bars, saw none; use more bars, or name a grid")
    least = LEAST_COSTS * market.costs()[1]

    def distances(given: Sequence[float] | None, h: float) -> list[float]:
        if given is not None:
            return list(given)
        return sorted({round(max(least, factor * float(np.median(sigma)) * math.sqrt(h)), 1) for factor in SIGMAS})

    return tuple(
        Candidate(side, take, stop, int(h))
        for side, h in product(sides, lasting)
        for take, stop in product(distances(takes, h), distances(stops, h))
    )


def _named(values: Sequence[float] | None, name: str, *, whole: bool = False) -> list[float] | None:
    """What a user names of a grid, each once: the same candidate twice would count as two trials."""
    if values is None:
        return None
    given = one_column(values, name)
    fits = (given > 0.0) & (given <= MOST) & ((given == np.floor(given)) | (not whole))
    if not (len(given) and fits.all()):
        kind = "whole numbers of bars" if whole else "numbers"
        raise ConfigError(f"{name}: expected positive {kind} up to {MOST:g}, saw {given.tolist()}; correct them")
    return sorted(set(given.tolist()))


def params_of(market: ScalpMarket, candidate: Candidate) -> Rows:
    """The market's PARAMS with a candidate's barriers."""
    row = market.params.copy()
    row["take_bps"], row["stop_bps"], row["horizon"] = candidate.take_bps, candidate.stop_bps, candidate.horizon
    return row


def choose(tables: Floats) -> int | None:
    """The candidate that did best on inner folds: highest mean of their mean nets, less its standard error.

    Args:
        tables: candidates x stretches x 4, the stretches before a fold.

    Returns:
        Its index; None where none has enough trades, or a trade in each inner fold.
    """
    parts = [part.sum(axis=1) for part in np.array_split(tables, INNER, axis=1)]
    counts = np.array([part[:, TRADES] for part in parts])
    nets = np.full(counts.shape, np.nan)
    np.divide(np.array([part[:, NET] for part in parts]), counts, out=nets, where=counts > 0)
    score = nets.mean(axis=0) - nets.std(axis=0, ddof=1) / math.sqrt(INNER)
    able = (counts.min(axis=0) > 0) & (counts.sum(axis=0) >= FEWEST_TRADES)
    if not able.any():
        return None
    return int(np.argmax(np.where(able, score, -np.inf)))


def stretch_sharpe(table: Floats) -> tuple[float, int, float, float]:
    """Sharpe ratio of the mean nets of stretches with trades, their number, skewness and kurtosis."""
    traded = table[table[:, TRADES] > 0]
    ratio, skew, kurtosis = moments(traded[:, NET] / traded[:, TRADES])
    return ratio, len(traded), skew, kurtosis


def search(
    market: ScalpMarket,
    sides: Mapping[Side, Floats],
    *,
    takes: Sequence[float] | None = None,
    stops: Sequence[float] | None = None,
    horizons: Sequence[int] | None = None,
    folds: int = 4,
    cluster: str = "",
) -> Found:
    """Nested walk-forward search of take, stop and horizon, net of costs.

    Formula: bars are cut into stretches of twice the longest trade, these into folds + 1 runs. For each run but the
    first the candidate is chosen on all runs before it, less one stretch (purge), as `choose` says, and scored on the
    run. Net of a trade as in `ml.barriers.outcomes`; intervals as `statistic_interval`, by blocks of 4 stretches; the
    Sharpe ratios are those of the stretches' mean nets. DSR of the candidate chosen on all bars against `trials`
    worthless ones, whose ratios vary by 1 / (n - 1). Unit: bps, fractions. NaN: no trades. Source: Bailey and Lopez de
    Prado 2014; Lopez de Prado 2018, ch. 7.

    Args:
        market: bars and costs.
        sides: signals by name, each a side beside the bars.
        takes: bps.
        stops: bps.
        horizons: bars.
        folds: runs that are scored.
        cluster: address of a Dask scheduler; empty = this machine.

    Raises:
        ConfigError: as `grid`; fewer than 1 fold.
        DataError: too few bars for the folds and the longest horizon.
    """
    if not (isinstance(folds, int) and folds >= 1):
        raise ConfigError(f"folds: expected a whole number of at least 1, saw {folds!r}; correct it")
    rows = len(market.bars)
    # half of the first run: the scale of the grid knows no bar that is scored
    trials = grid(market, rows // (2 * (folds + 1)), tuple(sides), takes, stops, horizons)
    longest = max(one.horizon for one in trials) + int(market.params[0].limit_bars) + 1
    length = 2 * longest
    count = -(-rows // length)
    needed = (folds + 1) * (INNER + 1)
    if count < needed:
        raise DataError(
            f"expected at least {needed * length} bars for {folds} folds and trades of up to {longest} bars, "
            f"saw {rows}; use more bars, fewer folds or shorter horizons"
        )
    jobs = [(market.bars, sides[one.side], market.instrument, params_of(market, one), length) for one in trials]
    done = run_all(tabulate, jobs, cluster)
    tables = np.array([table for table, _ in done])
    return _walk(trials, tables, folds, sum(late for _, late in done), market.costs())


def _walk(trials: tuple[Candidate, ...], tables: Floats, folds: int, late: int, costs: tuple[float, float]) -> Found:
    """Choose and score, fold by fold."""
    count = tables.shape[1]
    cuts = [count * k // (folds + 1) for k in range(folds + 2)]
    walked, seen, needs = [], [], []
    for start, end in pairwise(cuts[1:]):
        train = tables[:, : start - 1]
        index = choose(train)
        test = np.zeros((end - start, 4)) if index is None else tables[index, start:end]
        total = test.sum(axis=0)
        chosen, before = None, math.nan
        if index is not None:
            chosen = trials[index]
            before = _mean(train[index].sum(axis=0))
            needs.append((total[TRADES], break_even_win_rate(chosen.take_bps, chosen.stop_bps, *costs)))
        walked.append(Fold(chosen, before, int(total[TRADES]), _mean(total)))
        seen.append(test)
    outside = np.concatenate(seen)
    total = outside.sum(axis=0)
    trades = float(total[TRADES])
    low, high = mean_interval(outside[:, NET], outside[:, TRADES], 4)
    ratio, n, skew, kurtosis = stretch_sharpe(outside)
    last = choose(tables)
    best, best_bps, dsr = None, math.nan, math.nan
    if last is not None:
        best, best_bps = trials[last], _mean(tables[last].sum(axis=0))
        inside = stretch_sharpe(tables[last])
        if inside[1] > 1:
            dsr = deflated_sharpe(*inside, len(trials), 1.0 / (inside[1] - 1))
    return Found(
        best=best,
        best_bps=best_bps,
        folds=tuple(walked),
        trades=int(trades),
        stretches=n,
        net_bps=_mean(total),
        low_bps=low,
        high_bps=high,
        win_rate=ratio_or_nan(float(total[WINS]), trades),
        break_even=ratio_or_nan(sum(k * need for k, need in needs), trades),
        ambiguous=ratio_or_nan(float(total[BOTH]), trades),
        psr=probabilistic_sharpe(ratio, n, skew, kurtosis),
        dsr=dsr,
        tested=tuple(
            Tested(one, int(total[TRADES]), _mean(total)) for one, total in zip(trials, tables.sum(axis=1), strict=True)
        ),
        late=late,
    )


def _mean(total: Floats) -> float:
    return ratio_or_nan(float(total[NET]), float(total[TRADES]))


def refusals(found: Found) -> tuple[str, ...]:
    """Why a result is not to be traded, each reason a sentence; empty = it is believed."""
    if found.best is None:
        return (f"no candidate had {FEWEST_TRADES} trades and one in each inner fold",)
    reasons = []
    if math.isnan(found.low_bps):
        reasons.append("trades outside the sample lie in too few stretches of time for an interval")
    elif not found.low_bps > 0.0:
        reasons.append(
            f"out of sample a trade earned {found.net_bps:.2f} bps net, 95 % interval {found.low_bps:.2f} to "
            f"{found.high_bps:.2f}: not above 0"
        )
    if found.stretches < FEWEST_STRETCHES:
        reasons.append(f"{found.stretches} stretches of time with trades are too few: {FEWEST_STRETCHES} are needed")
    if not found.psr >= BELIEF:
        reasons.append(f"the probability that its Sharpe ratio is above 0 is {found.psr:.3f}, not {BELIEF}")
    if not found.dsr >= BELIEF:
        reasons.append(f"against the best of {found.trials} worthless trials the probability is {found.dsr:.3f}")
    if found.ambiguous > AMBIGUOUS:
        reasons.append(
            f"{100 * found.ambiguous:.1f} % of the trades met a bar that touched both barriers: "
            "finer candles are the cure"
        )
    return tuple(reasons)
