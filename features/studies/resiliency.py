"""How fast a book comes back after a trade that ate its best level: an event study with its limits.

A shock is the prints of one moment and side that took at least what stood at the best price. What follows it, spread,
depth or mid, is averaged over shocks and fitted with y = y_inf + A exp(-rho t). A book that is back before the next
quote is seen is `censored`: all that is known then is an upper limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.folds.top_of_book import fill_spreads
from features.rows.users import Quotes, Trades, of_one_symbol, quote_rows, trade_rows
from utils.errors import ConfigError, DataError
from utils.rows import BPS, NS_PER_S, ROUNDING, Rows

#: Shocks below which nothing is fitted, and the share of a curve's variance that a fit must explain.
FEWEST, LEAST_R2 = 100, 0.3
#: Times at which a curve is looked at, and rates that are tried.
POINTS, RATES = 30, 2000
#: Rates and exponents that are tried reach this far beyond what can be seen.
BEYOND = 50.0
#: Bootstrap draws, and what they leave out on each side.
DRAWS, TAIL = 500, 2.5
#: Standard errors that a trace must lie below what it is held against, one-sided 5 %.
SURE = 1.645
#: Steps of the grid that AR(1) is estimated on, at most.
MOST_STEPS = 1_000_000
MEASURES = ("spread", "depth", "mid")
#: Quotes are not looked at closer than this, s.
FINEST_S = 0.001


@dataclass(frozen=True, slots=True)
class Resiliency:
    """How fast a book comes back; NaN with a `reason` where that cannot be said."""

    n_shocks: int  # that count: no other within the horizon
    resolution_s: float  # time between quotes after a shock, median
    ar1_half_life_s: float  # ln 2 / k of d D = a - k D; NaN for the mid, and where k is not above 0
    half_life_s: float = math.nan  # ln 2 / rho; where censored, an upper limit
    low: float = math.nan  # 95 % interval of the half-life by bootstrap over shocks, s; 0 where censored
    high: float = math.nan
    rho: float = math.nan  # rate, 1 / s
    r2: float = math.nan  # of the fit to the mean curve, fraction
    censored: bool = False  # True = faster than the quotes can show
    aic_exponential: float = math.nan  # of the fit; the lower of the two describes the curve better
    aic_power: float = math.nan  # of y = y_inf + A t^-beta
    reason: str = ""  # why the half-life is NaN


def price_impact_decay(
    trades: Trades,
    quotes: Quotes,
    *,
    measure: str = "spread",
    horizon_s: float = 5.0,
    consumed: float = 1.0,
    seed: int = 0,
) -> Resiliency:
    """Half-life of what a large trade does to the book.

    The quote that a shock is measured against is the last strictly before it. One with another shock within the
    horizon, before or after it, does not count, nor does one whose horizon holds a gap or an end of the quotes. The
    curve is looked at from the resolution to the horizon, at times that grow by one factor.

    Args:
        trades: what `trade_rows` takes; prints without a side are left out.
        quotes: what `quote_rows` takes, with quantities; for `depth` books or BOOK_EVENT rows.
        measure: `spread` (bps of the mid before), `depth` (base within 5 bps of the mid on the side hit, over that
            before) or `mid` (the part of the first move that is undone).
        horizon_s: how long a shock is looked at, s. Some half-lives; the longer, the fewer shocks stand alone.
        consumed: a shock takes at least this multiple of the best quantity.
        seed: of the bootstrap.

    Formula: y(t) = y_inf + A exp(-rho t), least squares on the mean over shocks; half-life = ln 2 / rho. AR(1): on the
        measure sampled at the resolution, D' - D = a - k D per step.
    Unit: seconds.
    NaN: fewer than 100 shocks, R2 below 0.3, the curve leads away from where it ends, or it is not half-way back at the
        horizon; `reason` says which. Where nothing returns because at every look the trace of the shocks is already
        below half of the least they must have done, it is censored instead.

    Raises:
        ConfigError: a setting out of its range.
        DataError: quotes without what the measure needs; or as `trade_rows` and `quote_rows`.
    Source: Obizhaeva and Wang 2013 (exponential), Bouchaud et al. 2004 (power law), Kempf, Mayston and Yadav (AR(1)).
    """
    if measure not in MEASURES:
        raise ConfigError(f"measure: expected one of {', '.join(MEASURES)}, saw {measure!r}")
    if not (FINEST_S < horizon_s < math.inf and 0.0 < consumed < math.inf):
        raise ConfigError(f"expected horizon_s above {FINEST_S} and consumed above 0, saw {horizon_s} and {consumed}")
    prints, book = of_one_symbol(trade_rows(trades), "trades"), quote_rows(quotes)
    wanted = ("near_bid", "near_ask", "bid_qty") if measure == "depth" else ("bid_qty", "ask_qty")
    if any(np.isnan(book[name]).all() for name in wanted):
        raise DataError(f"quotes: expected {' and '.join(wanted)} for {measure}, saw none; hand in order books")
    horizon = round(horizon_s * NS_PER_S)
    ts, side, before = _shocks(prints, book, consumed, horizon)
    resolution = _resolution(ts, book)
    ar1 = math.nan if measure == "mid" else _ar1(_level(book, measure), book, resolution)
    reason = ""
    if len(ts) < FEWEST:
        reason = f"expected at least {FEWEST} shocks that stand alone for {horizon_s:g} s, saw {len(ts)}"
    elif resolution * 2.0 >= horizon_s:
        reason = f"expected quotes more often than every {horizon_s / 2.0:g} s, saw one every {resolution:g} s"
    if reason:
        return Resiliency(len(ts), resolution, ar1, reason=reason)
    times = np.geomspace(resolution, horizon_s, POINTS)
    paths, least = _paths(ts, side, before, book, times, measure)
    # what few shocks have shown yet is no mean of all
    seen = np.isfinite(paths).mean(axis=0) >= 0.5
    found = _fitted(paths[:, seen], least, times[seen], resolution, seed)
    return Resiliency(len(ts), resolution, ar1, **found)


def _shocks(
    prints: Rows, book: Rows, consumed: float, horizon: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Time and side of each shock that stands alone, and the number of the quote before it."""
    known = prints[prints["side"] != 0]
    known = known[np.lexsort((known["side"], known["ts"]))]
    first = np.flatnonzero(np.append(True, (np.diff(known["ts"]) != 0) | (np.diff(known["side"]) != 0))[: len(known)])
    ts, side = known["ts"][first], known["side"][first]
    qty = np.add.reduceat(known["qty"], first) if len(first) else np.empty(0)
    before = np.searchsorted(book["ts"], ts, side="left") - 1
    best = np.where(side > 0, book["ask_qty"][before], book["bid_qty"][before])
    large = (before >= 0) & (qty >= consumed * best)
    ts, side, before = ts[large], side[large], before[large]
    gaps = np.diff(ts)
    alone = np.append(True, gaps > horizon)[: len(ts)] & np.append(gaps > horizon, True)[: len(ts)]
    resets = np.cumsum((book["fresh"] != 0) | np.isnan(book["bid"] + book["ask"]))
    last = np.searchsorted(book["ts"], ts + horizon, side="right") - 1
    whole = (resets[before] == resets[last]) & (ts + horizon <= book["ts"][-1:].max(initial=0))
    return ts[alone & whole], side[alone & whole], before[alone & whole]


def _resolution(ts: NDArray[np.int64], book: Rows) -> float:
    """Median time from the first quote after a shock to the next, s; NaN without shocks."""
    moments = np.unique(book["ts"])
    first = np.searchsorted(moments, ts)
    first = first[first < len(moments) - 1]
    if not len(first):
        return math.nan
    return max(float(np.median(moments[first + 1] - moments[first])) / NS_PER_S, FINEST_S)


def _level(book: Rows, measure: str) -> NDArray[np.float64]:
    """Spread in bps, or depth of both sides in base, of each quote."""
    if measure == "depth":
        depth: NDArray[np.float64] = book["near_bid"] + book["near_ask"]
        return depth
    spread = np.empty(len(book))
    fill_spreads(book, spread)
    return spread


def _ar1(level: NDArray[np.float64], book: Rows, step_s: float) -> float:
    """Half-life of d D = a - k D on a grid of `step_s`; NaN where it does not revert."""
    if not step_s > 0.0:
        return math.nan
    begin, end = int(book["ts"][0]), int(book["ts"][-1])
    step = max(round(step_s * NS_PER_S), (end - begin) // MOST_STEPS)
    grid = np.arange(begin, end + 1, step)
    at = level[np.searchsorted(book["ts"], grid, side="right") - 1]
    pairs = np.isfinite(at[:-1]) & np.isfinite(at[1:])
    now, change = at[:-1][pairs], np.diff(at)[pairs]
    if len(now) < FEWEST or np.ptp(now) == 0.0:
        return math.nan
    k = -float(np.cov(now, change)[0, 1] / now.var(ddof=1))
    return math.log(2.0) / k * step / NS_PER_S if k > ROUNDING else math.nan


def _paths(
    ts: NDArray[np.int64],
    side: NDArray[np.int64],
    before: NDArray[np.int64],
    book: Rows,
    times: NDArray[np.float64],
    measure: str,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each shock left at each time, over the level before it, and the least it must have done at once.

    It falls as the book comes back: a spread's excess, the depth that is missing, the move of the mid that remains (it
    has the half-life of the part undone). NaN until the first quote after the shock.
    """
    at = np.searchsorted(book["ts"], ts[:, None] + np.round(times * NS_PER_S).astype(np.int64), side="right") - 1
    after = np.searchsorted(book["ts"], ts, side="left")
    seen = at >= after[:, None]
    mid = 0.5 * (book["bid"] + book["ask"])
    prices = np.unique(np.concatenate([book["bid"], book["ask"]]))
    steps = np.diff(prices[np.isfinite(prices)])
    tick = steps[steps > 1e-9 * prices[0]].min(initial=math.inf)
    if measure == "spread":
        spread = book["ask"] - book["bid"]
        left = (spread[at] - spread[before][:, None]) / mid[before][:, None] / BPS
        least = tick / mid[before] / BPS
    elif measure == "depth":
        hit = np.where(side > 0, book["near_ask"][before], book["near_bid"][before])
        now = np.where(side[:, None] > 0, book["near_ask"][at], book["near_bid"][at])
        hit = np.where(hit > 0.0, hit, math.nan)
        left = 1.0 - now / hit[:, None]
        least = np.where(side > 0, book["ask_qty"][before], book["bid_qty"][before]) / hit
    else:
        left = side[:, None] * (mid[at] - mid[before][:, None]) / mid[before][:, None] / BPS
        least = 0.5 * tick / mid[before] / BPS
    return np.where(seen, left, math.nan), least


def _fitted(
    paths: NDArray[np.float64], least: NDArray[np.float64], times: NDArray[np.float64], resolution: float, seed: int
) -> dict[str, Any]:
    """What the mean path tells: fields of Resiliency."""
    n = len(paths)
    mean = np.nanmean(paths, axis=0)
    rates = np.geomspace(math.log(2.0) / (BEYOND * times[-1]), BEYOND * math.log(2.0) / times[0], RATES)
    rates = np.concatenate([rates, -rates[rates * times[-1] < BEYOND]])
    decays = np.exp(-np.outer(rates, times))
    exponents = np.geomspace(1.0 / BEYOND, BEYOND / 10.0, RATES)
    rho, amplitude, r2 = (float(value[0]) for value in _best(mean[None], decays, rates))
    power = float(_best(mean[None], times ** -exponents[:, None], exponents)[2][0])
    found = {"rho": rho, "r2": r2, "aic_exponential": _aic(mean, r2), "aic_power": _aic(mean, power)}
    half = math.log(2.0) / rho
    fits, returns = r2 >= LEAST_R2, rho > 0.0 and amplitude > 0.0
    if half < resolution if fits and returns else _gone(paths, least):
        return found | {"half_life_s": resolution, "low": 0.0, "high": resolution, "censored": True}
    reason = ""
    if not fits:
        reason = f"expected a fit with R2 of at least {LEAST_R2}, saw {r2:.2f}"
    elif not returns:
        reason = "expected the book to come back, saw it lead away from where it ends"
    elif half > times[-1]:
        reason = f"expected it half-way back within {times[-1]:g} s, saw a half-life of {half:.3g} s; look for longer"
    if reason:
        return found | {"reason": reason}
    dice = np.random.default_rng(seed)
    weights = dice.multinomial(n, np.full(n, 1.0 / n), size=DRAWS).astype(np.float64)
    means = weights @ np.nan_to_num(paths) / np.maximum(weights @ np.isfinite(paths), 1.0)
    drawn = _best(means, decays, rates)[0]
    # a draw that does not come back has no half-life that is too long
    low, high = np.percentile(np.where(drawn > 0.0, math.log(2.0) / drawn, math.inf), [TAIL, 100.0 - TAIL])
    return found | {"half_life_s": half, "low": float(low), "high": float(high)}


def _gone(paths: NDArray[np.float64], least: NDArray[np.float64]) -> bool:
    """Is less than half of what the shocks must have done left at every look, beyond chance?"""
    seen = np.isfinite(paths).sum(axis=0)
    bounds = np.nanmean(paths, axis=0) + SURE * np.nanstd(paths, axis=0) / np.sqrt(seen)
    return bool((bounds < 0.5 * np.nanmean(least)).all())


def _best(
    curves: NDArray[np.float64], shapes: NDArray[np.float64], names: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of y = y_inf + A f(t), for each curve: the name of the best f, its A, and its share of the variance (R2)."""
    shapes = shapes - shapes.mean(axis=1, keepdims=True)
    sizes = np.sqrt((shapes**2).sum(axis=1))
    there = sizes > 0.0
    shapes, sizes, names = shapes[there], sizes[there], names[there]
    curves = curves - curves.mean(axis=1, keepdims=True)
    scores = curves @ (shapes / sizes[:, None]).T
    best = np.argmax(scores**2, axis=1)
    score = scores[np.arange(len(curves)), best]
    total = (curves**2).sum(axis=1)
    share = np.divide(score**2, total, out=np.zeros(len(curves)), where=total > 0.0)
    return names[best].astype(np.float64), score / sizes[best], share


def _aic(curve: NDArray[np.float64], share: float) -> float:
    """Akaike's criterion of a fit of three parameters: n ln(RSS / n) + 2 k; -inf for a perfect one."""
    rest = float(((curve - curve.mean()) ** 2).sum()) * max(1.0 - share, 0.0)
    perfect = share > 1.0 - ROUNDING or not rest > 0.0
    return -math.inf if perfect else len(curve) * math.log(rest / len(curve)) + 2.0 * 4.0
