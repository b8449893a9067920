"""The published results that a recorded book can check, measured again.

Every quantity is that of `features`; what is new here is statistics. Intervals are 95 %: of a moving-block bootstrap
over windows, moves or orders (`statistics.resampled`), and of Student's t where few points carry a line.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtest.replication.data import Sample, Windows, mids_at, windows
from backtest.replication.statistics import (
    MOMENTS,
    SEED,
    Estimate,
    Statistic,
    auc,
    classed,
    fitted_line,
    logistic,
    moments,
    r_squared,
    ratio,
    resampled,
    slope_estimate,
)
from features.microstructure import (
    fading,
    integrated_ofi,
    leanings,
    order_signs,
    print_costs,
    sign_memory,
    spaced_lags,
)
from features.rows.book import LEVELS
from features.studies.micro_price import FEWEST, fit_micro_price, micro_prices
from utils.errors import DataError
from utils.rows import BPS, NS_PER_S, ROUNDING, Rows

Floats = NDArray[np.float64]

#: Lengths of windows, s: the paper's, and one for recordings of minutes.
LENGTHS = (10, 1)
#: Below so many windows, sub-windows, moves, orders or prints nothing is said.
FEWEST_WINDOWS, FEWEST_PERIODS, FEWEST_MOVES, FEWEST_ORDERS, FEWEST_PRINTS = 20, 6, 50, 2_000, 100
#: Of the windows so many have to hold a move, or a trade: one move among forty windows is an anecdote.
FEWEST_EVENTFUL = 10
#: From so many windows on, flow of ten levels is regressed in windows of 10 s, and below so many of 1 s not at all.
MANY_WINDOWS, FEW_WINDOWS = 200, 60
#: (window, sub-window) of the slope on depth, s: the paper's, and those for recordings of minutes.
PERIODS = ((10, 1800), (1, 30))
#: Horizons of the micro-price, s, and the time between two forecasts, ns.
HORIZONS, FORECAST_NS = (1, 10), NS_PER_S // 10
#: Horizon of the realised spread, s, and offsets between quotes and prints, ms.
HORIZON, OFFSETS = 5.0, (0, 10, 50)
#: Longest lag of sign memory, in orders, and how many stretches of orders are resampled.
LAGS, STRETCHES = 500, 50

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
INCOMPARABLE, UNMEASURED = "not comparable", "not measured"


class Claim(NamedTuple):
    """What was published: a figure, and the range in which a measurement agrees with it."""

    paper: float = math.nan  # NaN = no figure that could be compared
    least: float = math.nan  # NaN = nothing is claimed
    most: float = math.nan
    null: float = math.nan  # what it would be if there were no effect

    @property
    def text(self) -> str:
        """The claim, in a few letters."""
        if math.isnan(self.least):
            return "-"
        if self.least == self.most:
            return f"{self.paper:g}"
        if math.isinf(self.most):
            bounds = f"> {self.least:g}"
        else:
            bounds = f"< {self.most:g}" if math.isinf(self.least) else f"{self.least:g} to {self.most:g}"
        return bounds if math.isnan(self.paper) else f"{bounds}: {self.paper:g}"


def figure(paper: float, null: float) -> Claim:
    """A figure: agreed with where the interval holds it, and does not hold `null`."""
    return Claim(paper, paper, paper, null)


def above(bound: float, paper: float = math.nan) -> Claim:
    """More than `bound`."""
    return Claim(paper, bound, math.inf)


def below(bound: float) -> Claim:
    """Less than `bound`."""
    return Claim(math.nan, -math.inf, bound)


NOTHING = Claim()
#: Cont, Kukanov and Stoikov 2014; Cont, Cucuringu and Zhang 2023; Gould and Bonart 2015; Stoikov 2018; Lillo, Mike and
#: Farmer 2005 with Bouchaud et al. 2004.
CLAIMS = {
    "OFI R2, 10 s": figure(0.65, 0.0),
    "TFI R2, 10 s": figure(0.32, 0.0),
    "OFI less TFI R2, 10 s": above(0.0, 0.33),
    "OFI R2, 1 s": NOTHING,
    "TFI R2, 1 s": NOTHING,
    "OFI less TFI R2, 1 s": above(0.0),
    "slope of ln beta on ln depth": figure(-1.0, 0.0),
    "out-of-sample R2, 1 level": figure(0.65, 0.0),
    "out-of-sample R2, 10 levels": NOTHING,
    "out-of-sample R2, integrated": figure(0.84, 0.0),
    "10 levels less 1, out-of-sample R2": above(0.0),
    "integrated less 1 level, out-of-sample R2": above(0.0, 0.19),
    "first component's share of variance": above(0.6),
    "AUC of imbalance": above(0.5),
    "share of up moves": NOTHING,
    **{
        f"MSE of micro-price / {other}, {horizon} s": below(1.0)
        for horizon in HORIZONS
        for other in ("mid", "weighted mid")
    },
    "gamma of signs": Claim(math.nan, 0.3, 0.7),
    "autocorrelation of signs, lag 1": above(0.0),
    **{f"effective spread, bps, offset {offset} ms": NOTHING for offset in OFFSETS},
    **{f"realised spread {HORIZON:g} s, bps, offset {offset} ms": NOTHING for offset in OFFSETS},
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One published result, and what this sample says of it."""

    name: str
    symbol: str
    recording: str
    estimate: Estimate  # NaN = not measured, the note says why
    note: str = ""
    alike: bool = True  # measured as the paper did

    @property
    def claim(self) -> Claim:
        """What was published, if it may be compared."""
        return CLAIMS[self.name] if self.alike else NOTHING

    @property
    def verdict(self) -> str:
        """Does it hold here?"""
        claim, (value, low, high) = self.claim, (self.estimate.value, self.estimate.low, self.estimate.high)
        if math.isnan(value):
            return UNMEASURED
        if math.isnan(claim.least):
            return INCOMPARABLE
        if math.isnan(low):
            return UNDECIDED
        if high < claim.least or low > claim.most:
            return FAILS
        if claim.least == claim.most:
            return UNDECIDED if low <= claim.null <= high else HOLDS
        return HOLDS if claim.least <= low and high <= claim.most else UNDECIDED

    @property
    def row(self) -> dict[str, Any]:
        """As JSON can hold it: NaN is None."""
        one = self.estimate
        numbers = {"paper": self.claim.paper, "ours": one.value, "low": one.low, "high": one.high}
        known = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        about = {"recording": self.recording, "claim": self.claim.text, "verdict": self.verdict, "note": self.remark}
        return {"name": self.name, "symbol": self.symbol, **known, "n": one.n, **about}

    @property
    def remark(self) -> str:
        """The note, and to which side a figure is missed."""
        if self.verdict == FAILS and self.claim.least == self.claim.most:
            side = "above" if self.estimate.value > self.claim.paper else "below"
            return f"{side} the paper's figure" + (f"; {self.note}" if self.note else "")
        return self.note


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """All findings of one sample, and what there is to draw."""

    recording: str
    symbol: str
    about: str  # what there was to measure
    findings: tuple[Finding, ...]
    drawn: dict[str, Any]  # by study; absent where nothing was measured


class Missing(Exception):  # noqa: N818 - no mistake: a sample that is too short for a study
    """Why a study says nothing, and how many observations it saw."""

    def __init__(self, why: str, n: int = 0) -> None:
        super().__init__(why)
        self.n = n


class Said(NamedTuple):
    """What a study says to one claim."""

    estimate: Estimate
    note: str = ""
    alike: bool = True  # measured as the paper did, so that its figure may be compared


NOT_KNOWN = Estimate(math.nan, math.nan, math.nan, 0)
#: What a study says, by the name of the finding, and what there is to draw.
Answer = tuple[dict[str, Said], Any]


def measure(sample: Sample) -> Measured:
    """Every study of a sample; one that it is too short for says so."""
    findings: list[Finding] = []
    drawn: dict[str, Any] = {}
    for study, (names, ask) in STUDIES.items():
        try:
            answers, picture = ask(sample)
        except (Missing, DataError) as error:
            none = replace(NOT_KNOWN, n=getattr(error, "n", 0))
            answers, picture = dict.fromkeys(names, Said(none, str(error))), None
        findings += [Finding(name, sample.symbol, sample.recording, *answers[name]) for name in names]
        if picture is not None:
            drawn[study] = picture
    about = f"{len(sample.quotes):,} quotes and {len(sample.trades):,} trades in {sample.seconds:,.0f} s"
    return Measured(sample.recording, sample.symbol, about, tuple(findings), drawn)


# --- flow and price


def flow_study(sample: Sample, seconds: int) -> Answer:
    """How much of the mid's change order flow explains, and how much trade flow does, in the same windows.

    Formula: R2 of move = a + b OFI, and of move = a + b TFI, TFI the signed volume of the window. As in the paper the
    mean over half-hours, each with its own regression, where there are at least 6; else one regression.
    Interval: block bootstrap over half-hours, or over windows.
    Source: Cont, Kukanov and Stoikov 2014.
    """
    seen = windows(sample, seconds)
    n = len(seen.move)
    _need(n, FEWEST_WINDOWS, f"whole windows of {seconds} s")
    _need(int(np.count_nonzero(seen.move)), FEWEST_EVENTFUL, f"windows of {seconds} s in which the mid moved")
    traded = int(np.count_nonzero(seen.traded))
    parts = np.hstack([moments(seen.flow, seen.move), moments(seen.traded, seen.move)])
    of_flow, of_trades = slice(None, MOMENTS), slice(MOMENTS, None)
    each = [
        [r_squared(moments(x[inside], seen.move[inside]).sum(axis=0)) for x in (seen.flow, seen.traded)]
        for inside in periods_of(seen, PERIODS[0][1])
    ]
    halves = np.array([pair for pair in each if not np.isnan(pair).any()])
    note = f"best quotes of the {'ticker' if sample.ticker else 'book'}"
    ask: list[Statistic]
    if len(halves) >= FEWEST_PERIODS:
        note += f", mean of {len(halves)} half-hours"
        parts = np.column_stack([halves, halves[:, 0] - halves[:, 1], np.ones(len(halves))])
        ask = [partial(_mean_of, column=column) for column in range(3)]
    else:
        note += ", one regression"
        ask = [
            lambda sums: r_squared(sums[..., of_flow]),
            lambda sums: r_squared(sums[..., of_trades]),
            lambda sums: r_squared(sums[..., of_flow]) - r_squared(sums[..., of_trades]),
        ]
    names = [f"{name} R2, {seconds} s" for name in ("OFI", "TFI", "OFI less TFI")]
    answers = {name: Said(resampled(parts, statistic, n=n), note) for name, statistic in zip(names, ask, strict=True)}
    if traded < FEWEST_EVENTFUL:
        none = Said(NOT_KNOWN, f"{traded} windows of {seconds} s with trades, {FEWEST_EVENTFUL} are needed")
        answers |= dict.fromkeys(names[1:], none)
    return answers, seen


def _mean_of(sums: Floats, column: int) -> Floats:
    """Mean of a column, the last holds ones."""
    return ratio(sums[..., [column, -1]])


def periods_of(seen: Windows, period: int) -> list[NDArray[np.bool_]]:
    """Which windows lie in each sub-window of so many seconds; those that are less than half there are left out."""
    place = seen.number * seen.seconds // period
    inside = [place == one for one in np.unique(place)]
    return [one for one in inside if 2 * int(one.sum()) * seen.seconds > period]


def depth_study(sample: Sample) -> Answer:
    """Does a deeper book move less? How the slope of moves on flow falls with the mean quantity at the best.

    Formula: slope of ln beta_i on ln AD_i over sub-windows i, move = a_i + beta_i OFI in each, AD_i its mean depth. As
    in the paper sub-windows of 30 min and windows of 10 s where there are enough, else of 30 s and 1 s.
    Interval: Student's t; the betas come from windows that do not overlap.
    NaN: beta at or below 0 has no logarithm; such sub-windows are left out, and counted.
    Source: Cont, Kukanov and Stoikov 2014, section 3.2.
    """
    long = sample.seconds >= FEWEST_PERIODS * PERIODS[0][1]
    seconds, period = PERIODS[0] if long else PERIODS[1]
    seen = windows(sample, seconds)
    betas, depths, dropped = betas_of(seen, period)
    _need(len(betas), FEWEST_PERIODS, f"sub-windows of {period} s with a beta above 0")
    estimate = slope_estimate(np.log(depths), np.log(betas))
    note = f"{len(betas)} sub-windows of {period} s, windows of {seconds} s"
    note += f"; {dropped} with beta at or below 0 left out" if dropped else ""
    return {"slope of ln beta on ln depth": Said(estimate, note)}, (depths, betas, estimate)


def betas_of(seen: Windows, period: int) -> tuple[Floats, Floats, int]:
    """(betas, mean depths, how many were left out) of sub-windows; a beta within rounding of 0 is not above it."""
    inside = periods_of(seen, period)
    betas = np.array([fitted_line(seen.flow[one], seen.move[one])[1] for one in inside])
    depths = np.array([seen.depth[one].mean() for one in inside])
    said = betas * [seen.flow[one].std() for one in inside]  # of the move, in its unit
    kept = said > [ROUNDING * np.abs(seen.move[one]).max() for one in inside]
    return betas[kept], depths[kept], int((~kept).sum())


def levels_study(sample: Sample) -> Answer:
    """Do levels behind the best explain more? Fitted on the first half of the windows, judged on the second.

    Formula: R2 = 1 - sum (y - y^)^2 / sum (y - mean of the first half)^2 over the second half, y^ from order flow at
    1 level, at 10 levels (least squares), and from `integrated_ofi` with weights of the first half; the first
    component's share is that of the second half's variance along the first half's direction.
    Interval: block bootstrap over the windows of the second half, the fit as it is.
    Source: Xu, Gould and Howison 2019; Cont, Cucuringu and Zhang 2023.
    """
    for seconds in LENGTHS:
        seen = windows(sample, seconds)
        whole = ~np.isnan(seen.levels).any(axis=1)
        levels, move = seen.levels[whole], seen.move[whole]
        if len(move) >= MANY_WINDOWS:
            break
    _need(len(move), FEW_WINDOWS, f"whole windows of {seconds} s")
    _need(int(np.count_nonzero(move)), FEWEST_EVENTFUL, f"windows of {seconds} s in which the mid moved")
    half = len(move) // 2
    fit, test = slice(None, half), slice(half, None)
    _, weights = integrated_ofi(levels[fit])
    whole_flow, _ = integrated_ofi(levels, weights)
    chosen = {str(k): levels[:, :k] for k in range(1, LEVELS + 1)} | {"integrated": whole_flow[:, None]}
    errors = [(move[test] - _forecast(x[fit], move[fit], x[test])) ** 2 for x in chosen.values()]
    parts = np.column_stack([*errors, (move[test] - move[fit].mean()) ** 2])

    def explained(sums: Floats, column: int) -> Floats:
        return 1.0 - ratio(sums[..., [column, -1]])

    def gained(sums: Floats, column: int) -> Floats:
        return explained(sums, column) - explained(sums, one)

    one, ten, whole_column = 0, LEVELS - 1, LEVELS
    note, alike = f"windows of {seconds} s, {half:,} to fit", seconds == LENGTHS[0]
    named = {"1 level": one, "10 levels": ten, "integrated": whole_column}
    answers = {
        f"out-of-sample R2, {name}": Said(resampled(parts, partial(explained, column=column)), note, alike)
        for name, column in named.items()
    }
    for name, column in (("10 levels less 1", ten), ("integrated less 1 level", whole_column)):
        answers[f"{name}, out-of-sample R2"] = Said(resampled(parts, partial(gained, column=column)), note)
    centred = levels[test] - levels[test].mean(axis=0)
    along = (centred @ weights) ** 2 / (weights @ weights)
    share = resampled(np.column_stack([along, (centred**2).sum(axis=1)]), ratio)
    answers["first component's share of variance"] = Said(share, note)
    totals = parts.sum(axis=0)
    return answers, {name: float(explained(totals, column)) for column, name in enumerate(chosen)}


def _forecast(x: Floats, y: Floats, ahead: Floats) -> Floats:
    """What least squares of y on x, with intercept, says of `ahead`."""
    found = np.linalg.lstsq(np.column_stack([np.ones(len(x)), x]), y, rcond=None)[0]
    forecast: Floats = found[0] + ahead @ found[1:]
    return forecast


# --- the next move


def imbalance_study(sample: Sample) -> Answer:
    """Does the heavier side say where the mid goes next?

    Formula: area under the ROC curve of the imbalance at the best prices for the sign of the next move of the mid; one
    observation a move, the imbalance at a moment drawn evenly between it and the move before (seeded).
    Interval: block bootstrap over groups of moves.
    Source: Gould and Bonart 2015, arXiv 1512.03492.
    """
    scores, up = imbalances(sample.quotes)
    _need(len(scores), FEWEST_MOVES, "moves of the mid")
    parts = classed(scores, up)
    area = resampled(parts, auc, n=len(scores))
    half = parts.shape[1] // 2
    both = np.column_stack([parts[:, :half].sum(axis=1), parts.sum(axis=1)])
    base = resampled(both, ratio, n=len(scores))
    line = logistic(scores, up)
    answers = {
        "AUC of imbalance": Said(area, f"logistic slope {line[1]:.2f}, base rate {base.value:.3f}"),
        "share of up moves": Said(base, "the base rate of the AUC"),
    }
    return answers, (scores, up, line, area)


def imbalances(quotes: Rows) -> tuple[Floats, NDArray[np.bool_]]:
    """(imbalance at a moment between two moves of the mid, whether the second went up); none across a reset.

    Quotes of one time are one: what a sweep leaves between its first and its last fill is no state to forecast from.
    """
    last = np.append(np.diff(quotes["ts"]) > 0, True)[: len(quotes)]
    resets, rows = np.cumsum(quotes["fresh"] != 0)[last], quotes[last]
    ts, mid = rows["ts"], 0.5 * (rows["bid"] + rows["ask"])
    begins = np.flatnonzero((np.diff(mid, prepend=np.nan) != 0.0) | (np.diff(resets, prepend=0) != 0))
    first, then = begins[:-1], begins[1:]
    when = ts[first] + (np.random.default_rng(SEED).random(len(first)) * (ts[then] - ts[first])).astype(np.int64)
    at = np.searchsorted(ts, when, side="right") - 1
    move, scores = mid[then] - mid[first], leanings(rows[at])[0]
    kept = (resets[then] == resets[first]) & ~np.isnan(move + scores)
    return scores[kept], move[kept] > 0.0


def micro_study(sample: Sample, horizon: int) -> Answer:
    """Which of mid, weighted mid and micro-price lies nearer to the mid that comes? Fitted on the first half.

    Formula: mean (f - m_(t+h))^2 over the second half, ten forecasts f a second, h seconds ahead; ratios of these.
    Interval: block bootstrap over seconds, blocks of at least two horizons.
    Unit: ratio.
    Source: Stoikov 2018.
    """
    quotes = sample.quotes
    begin, end = int(quotes["ts"][0]), int(quotes["ts"][-1])
    middle = begin + (end - begin) // 2
    early = quotes[quotes["ts"] < middle]
    if len(early) <= FEWEST:
        raise Missing(f"{len(early):,} quotes in the first half, {FEWEST:,} are needed", len(early))
    ticks = bool(np.nanmedian(early["ask"] - early["bid"]) <= 2.5 * sample.tick)
    model = fit_micro_price(early, tick=sample.tick if ticks else None)
    now = np.arange(middle, end - horizon * NS_PER_S, FORECAST_NS)
    place = np.searchsorted(quotes["ts"], now, side="right") - 1
    later = mids_at(quotes, now + horizon * NS_PER_S)
    rows = quotes[place]
    mid = 0.5 * (rows["bid"] + rows["ask"])
    errors = np.column_stack([(f - later) / mid / BPS for f in (mid, leanings(rows)[1], micro_prices(rows, model))])
    known = ~np.isnan(errors).any(axis=1)
    _need(int(known.sum()), FEWEST_MOVES, "forecasts in the second half")
    second = (now[known] - middle) // NS_PER_S
    parts: Floats = np.column_stack([np.bincount(second, column[known] ** 2) for column in errors.T])
    n, block = int(known.sum()), max(2 * horizon, round(len(parts) ** (1.0 / 3.0)))
    unit = "ticks" if ticks else "bps"
    note = f"states in {unit}, {model.n:,} steps, {model.moves:,} moves" + (
        "" if model.converged else ", not converged"
    )
    answers = {
        f"MSE of micro-price / {name}, {horizon} s": Said(
            resampled(parts[:, [2, other]], ratio, n=n, block=block), note
        )
        for other, name in enumerate(("mid", "weighted mid"))
    }
    return answers, (parts.sum(axis=0) / n, horizon)


# --- trades


def memory_study(sample: Sample) -> Answer:
    """How long do buyers follow buyers?

    Formula: `microstructure.sign_memory` up to 500 orders; prints of one time and side are one order.
    Interval: block bootstrap over 50 stretches of orders; with long memory it is too narrow rather than too wide.
    Source: Lillo, Mike and Farmer 2005; Bouchaud et al. 2004.
    """
    signs = order_signs(sample.trades)
    orders = len(signs)
    _need(orders, FEWEST_ORDERS, "market orders")
    memory = sign_memory(sample.trades, LAGS)
    lags = spaced_lags(LAGS)
    stretch = np.arange(orders) * STRETCHES // orders
    pairs = [np.bincount(stretch[:-lag], signs[:-lag] * signs[lag:], STRETCHES) for lag in lags]
    counts = [np.bincount(stretch[:-lag], minlength=STRETCHES) for lag in lags]
    parts = np.column_stack([*pairs, *counts]).astype(np.float64)

    def curve(sums: Floats) -> Floats:
        found: Floats = np.full((*sums.shape[:-1], LAGS), math.nan)
        found[..., lags - 1] = sums[..., : len(lags)] / np.maximum(sums[..., len(lags) :], 1.0)
        return found

    def gamma(sums: Floats) -> Floats:
        return np.apply_along_axis(fading, -1, curve(sums), orders)

    slow, first = resampled(parts, gamma, n=orders), resampled(parts, lambda sums: curve(sums)[..., 0], n=orders)
    note = f"{len(sample.trades):,} prints" + ("" if orders >= 100_000 else "; fewer than the 100,000 orders it takes")
    if math.isnan(slow.value):
        note = "the autocorrelation does not fall like a power"
    answers = {"gamma of signs": Said(slow, note), "autocorrelation of signs, lag 1": Said(first)}
    return answers, (memory, slow)


def spread_study(sample: Sample) -> Answer:
    """What takers paid, what makers kept of it after 5 s, and whether quotes and prints may be out of step.

    Formula: `microstructure.print_costs`, weighed by quantity; quotes taken to be 0, 10 and 50 ms older than they say.
    Interval: block bootstrap over seconds.
    Unit: bps.
    Source: Huang and Stoll 1996.
    """
    _need(len(sample.trades), FEWEST_PRINTS, "trades")
    second = (sample.trades["ts"] - sample.trades["ts"][0]) // NS_PER_S
    qty = sample.trades["qty"]
    quotes = f"quotes of the {'ticker' if sample.ticker else 'book'}"
    answers = {}
    for horizon, name in ((None, "effective spread"), (HORIZON, f"realised spread {HORIZON:g} s")):
        for offset in OFFSETS:
            costs = print_costs(sample.trades, sample.quotes, horizon, float(offset))
            known = ~np.isnan(costs)
            if not known.any():
                raise Missing("no trade with a quote before it")
            sums = [np.bincount(second[known], weights) for weights in ((qty * costs)[known], qty[known])]
            estimate = resampled(np.column_stack(sums), ratio, n=int(known.sum()))
            answers[f"{name}, bps, offset {offset} ms"] = Said(
                estimate, f"{quotes}, median {np.median(costs[known]):.3f}"
            )
    return answers, None


def _need(n: int, fewest: int, what: str) -> None:
    if n < fewest:
        raise Missing(f"{n:,} {what}, {fewest:,} are needed", n)


Ask = Callable[[Sample], Answer]
#: The studies: the names of their findings, in order, and how to ask.
STUDIES: dict[str, tuple[tuple[str, ...], Ask]] = {
    "flow 10": (tuple(CLAIMS)[:3], partial(flow_study, seconds=10)),
    "flow 1": (tuple(CLAIMS)[3:6], partial(flow_study, seconds=1)),
    "depth": (("slope of ln beta on ln depth",), depth_study),
    "levels": (tuple(CLAIMS)[7:13], levels_study),
    "imbalance": (tuple(CLAIMS)[13:15], imbalance_study),
    **{
        f"micro {horizon}": (
            tuple(name for name in CLAIMS if name.startswith("MSE") and name.endswith(f" {horizon} s")),
            partial(micro_study, horizon=horizon),
        )
        for horizon in HORIZONS
    },
    "memory": (tuple(name for name in CLAIMS if "of signs" in name), memory_study),
    "spread": (tuple(name for name in CLAIMS if "spread" in name), spread_study),
}
