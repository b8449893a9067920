"""In what state the market is: volatility regime, volatility forecasts, and how long momentum lasts.

The regime and the forecasts are columns: row t knows rows up to t and nothing later (`ml.audit` proves it). What is
measured over a whole sample (decay curve, half-lives, variance ratio) answers one number and is for research.

Volatility has a daily rhythm: for regimes of what is unusual rather than of the hour, rank `adjusted_vol_20_bps`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from features.fold import Feature, FeatureSet
from features.technical import log_return
from features.volatility import ewma_vol
from features.windows import Ring, state_layout
from utils.compiled import compiled, inlined
from utils.errors import ConfigError, DataError
from utils.rows import BAR, Rows

Floats = NDArray[np.float64]
#: What functions of prices accept: a DataFrame or rows with a `close`, or the closes themselves, oldest first; quote.
Prices = Any

#: Names of the regime codes.
NAMES = ("unknown", "low", "normal", "high", "extreme")
UNKNOWN, LOW, NORMAL, HIGH, EXTREME = range(len(NAMES))
#: Ranks that divide the regimes.
BORDERS = (0.33, 0.8, 0.97)

#: Pairs of signal and return under which a correlation is not worth its name.
FEWEST_PAIRS = 30
#: Lengths of a decay that are tried, per horizon.
TAUS = 200
#: MacKinnon 2010, 5 %, with constant: critical value of the Dickey-Fuller t over 1, 1/n, 1/n^2, 1/n^3.
DICKEY_FULLER = (-2.86154, -2.8903, -4.234, -40.04)


class RegimeRow(Protocol):
    """Settings and memory of one regime; the ring and the sorted window lie beside it."""

    window: int  # values
    least: int  # values before the first rank
    hold: int  # bars in a row that a change needs
    borders: Ring  # ranks
    ups: Ring  # borders on the way up
    downs: Ring  # borders on the way down
    pos: int  # of the oldest value in the ring
    count: int  # values in the window
    regime: int
    direction: int  # of the change that is asked for: +1, -1, 0 = none
    run: int  # bars in a row that asked for it
    reach: int  # the regime all of them would reach


REGIME = state_layout(RegimeRow)


@inlined
def place_of(ordered: Floats, count: int, value: float, beyond: bool) -> int:
    """How many of the first `count` sorted values are below `value`; `beyond`: not above it."""
    low = 0
    high = count
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < value or (beyond and ordered[middle] == value):
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def admit(state: RegimeRow, ring: Floats, ordered: Floats, value: float) -> None:
    """The newest value in, the oldest out; what lies between their places in the sorted window moves over."""
    hole = state.count
    if state.count == state.window:
        hole = place_of(ordered, state.count, ring[state.pos], False)
    else:
        state.count += 1
    while hole > 0 and ordered[hole - 1] > value:
        ordered[hole] = ordered[hole - 1]
        hole -= 1
    while hole < state.count - 1 and ordered[hole + 1] < value:
        ordered[hole] = ordered[hole + 1]
        hole += 1
    ordered[hole] = value
    ring[state.pos] = value
    state.pos = 0 if state.pos == state.window - 1 else state.pos + 1


@inlined
def settle(state: RegimeRow, rank: float) -> int:
    """The regime after this rank: it changes as far as `hold` ranks in a row agree, each beyond border and band."""
    if state.regime == UNKNOWN:
        state.regime = LOW
        while state.regime < EXTREME and rank >= state.borders[state.regime - LOW]:
            state.regime += 1
        return state.regime
    reach = state.regime
    while reach < EXTREME and rank > state.ups[reach - LOW]:
        reach += 1
    while reach > LOW and rank < state.downs[reach - NORMAL]:
        reach -= 1
    direction = int(reach > state.regime) - int(reach < state.regime)
    if direction != state.direction:
        state.direction = direction
        state.run = 0
    elif abs(state.reach - state.regime) < abs(reach - state.regime):
        reach = state.reach
    state.reach = reach
    state.run += 1
    if direction != 0 and state.run >= state.hold:
        state.regime = reach
        state.direction = 0
    return state.regime


@compiled
def regime_rows(states: Rows, ring: Floats, ordered: Floats, values: Floats, ranks: Floats, codes: Any) -> None:
    """Rank and regime code of each value; a NaN is unknown, does not enter the window and ends a run."""
    state = states[0]
    for i in range(len(values)):
        value = values[i]
        ranks[i] = math.nan
        codes[i] = UNKNOWN
        if math.isnan(value):
            state.direction = 0
            continue
        admit(state, ring, ordered, value)
        if state.count < state.least:
            continue
        below = place_of(ordered, state.count, value, False)
        through = place_of(ordered, state.count, value, True)
        ranks[i] = 0.5 * (below + through) / state.count
        codes[i] = settle(state, ranks[i])


@dataclass(frozen=True, slots=True, eq=False)
class Regimes:
    """One rank and one regime a row."""

    rank: Floats  # fraction in (0, 1); NaN while unknown
    regime: NDArray[np.int8]  # index of NAMES


class RegimeTracker:
    """The volatility regime as it goes on: history and the next value go through one compiled loop.

    Args:
        window: values that a rank is taken in; 7 to 30 days of bars.
        least: values before the first rank; default: a full window.
        borders: ranks that divide low, normal, high and extreme.
        band: how far beyond a border a rank must be for a change; at most half of the room that the border has.
        hold: bars in a row that must be there.

    Raises:
        ConfigError: borders that do not ascend within (0, 1), or a window too short to reach beyond the outer ones.
    """

    def __init__(
        self,
        window: int,
        *,
        least: int | None = None,
        borders: tuple[float, float, float] = BORDERS,
        band: float = 0.05,
        hold: int = 2,
    ) -> None:
        least = window if least is None else least
        edges = np.array((0.0, *borders, 1.0))
        rooms = np.diff(edges)
        if len(borders) != EXTREME - LOW or not rooms.min() > 0.0:
            raise ConfigError(f"borders: expected three ascending ranks between 0 and 1, got {borders}")
        if hold < 1 or not band >= 0.0:
            raise ConfigError(f"expected hold of 1 bar or more and a band of 0 or more, got {hold} and {band}")
        bands = np.minimum(band, 0.5 * np.minimum(rooms[:-1], rooms[1:]))
        # the most extreme of n values ranks half a value from the end
        needed = math.floor(0.5 / min(borders[0] - bands[0], 1.0 - borders[-1] - bands[-1])) + 1
        if not needed <= least <= window:
            raise ConfigError(
                f"expected {needed} <= least <= window, got least {least} and window {window}; "
                f"with fewer values no rank reaches beyond the outer borders {borders[0]} and {borders[-1]}"
            )
        self._fresh = np.zeros(1, REGIME)
        self._fresh["window"], self._fresh["least"], self._fresh["hold"] = window, least, hold
        for name, ranks in (("borders", edges[1:-1]), ("ups", edges[1:-1] + bands), ("downs", edges[1:-1] - bands)):
            self._fresh[name][0, : len(ranks)] = ranks
        self.states: Rows = self._fresh.copy()
        self._ring = np.zeros(window)
        self._ordered = np.zeros(window)

    def batch(self, volatility: Sequence[float] | Floats) -> Regimes:
        """Feed values in order of time, one or many; the answer has as many rows."""
        values = _column(volatility, "volatility")
        regimes = Regimes(np.empty(len(values)), np.empty(len(values), np.int8))
        regime_rows(self.states, self._ring, self._ordered, values, regimes.rank, regimes.regime)
        return regimes

    def reset(self) -> None:
        """Forget all values."""
        self.states[:] = self._fresh


def volatility_regime(volatility: Sequence[float] | Floats, *, window: int, **settings: Any) -> Regimes:
    """How unusual each volatility is among the last `window`, and the regime that follows from it, causally.

    Formula: rank = (number below + number not above) / (2 n) among the last n values, v[t] included; low < 0.33 <=
    normal < 0.8 <= high < 0.97 <= extreme; a change needs 2 bars in a row beyond the border by a band of 0.05, and
    goes as far as both agree. 0.97 + 0.05 no rank can reach: where a border has less than twice the band to its
    neighbour or to 0 or 1, the band is half of that room (extreme is entered above 0.985, left below 0.955).
    Unit: rank in (0, 1); regime as index of NAMES. `volatility` in any unit.
    NaN: rank while fewer than `least` values were seen, and where the volatility is NaN; the regime is then unknown.
    Source: own; percentile as in Hazen, 1914.

    Args:
        volatility: one value a bar, oldest first.
        window: values that a rank is taken in; 7 to 30 days of bars.
        settings: as in RegimeTracker, whose `batch` gives the same answers one bar at a time.

    Raises:
        ConfigError: as RegimeTracker.
        DataError: the volatility is not one column of finite numbers and NaN.
    """
    return RegimeTracker(window, **settings).batch(volatility)


def price_regime(prices: Prices, *, window: int, half_life: int = 20, **settings: Any) -> Regimes:
    """The regime of the exponentially weighted volatility of prices: `ewma_vol`, then `volatility_regime`.

    Formula, Unit, NaN, Source: as there; the first 20 returns start the average.

    Args:
        prices: DataFrame or bar rows with `close`, or closes, oldest first; quote.
        window: bars.
        half_life: of the volatility, bars.
        settings: as in RegimeTracker.

    Raises:
        ConfigError: as RegimeTracker.
        DataError: prices are not finite and above 0.
    """
    return volatility_regime(_volatility(prices, half_life), window=window, **settings)


def realised_ahead(prices: Prices, *, horizon: int) -> Floats:
    """Variance that the next `horizon` bars realise: what the forecasts are held against. It knows the future.

    Formula: sum of r[t+1]^2 to r[t+horizon]^2, r the log return of a bar in bps.
    Unit: bps squared over the horizon.
    NaN: the last `horizon` rows.
    Source: Andersen and Bollerslev, Answering the Skeptics, 1998.

    Raises:
        ConfigError: horizon under 1.
        DataError: prices are not finite and above 0.
    """
    return _ahead(_rolling(_squares(prices, horizon), horizon), horizon)


def ewma_forecast(prices: Prices, *, horizon: int, half_life: int = 60) -> Floats:
    """Forecast of the variance of the next `horizon` bars: the exponential average of squared returns goes on.

    Formula: horizon s2[t], s2 as in `ewma_vol`.
    Unit: bps squared over the horizon; its root is the volatility over the horizon in bps.
    NaN: the first 20 rows.
    Source: RiskMetrics Technical Document, 1996.

    Raises:
        ConfigError: horizon under 1.
        DataError: prices are not finite and above 0.
    """
    _require(horizon >= 1, "horizon", "1 bar or more", horizon)
    volatility = _volatility(prices, half_life)
    return horizon * (volatility * volatility)


def har_forecast(
    prices: Prices, *, horizon: int, terms: tuple[int, ...] = (1, 6, 24), train: int = 240, refit: int | None = None
) -> Floats:
    """Forecast of the variance of the next `horizon` bars from realised variance over short and long spans.

    Formula: ln RV[t+horizon] = c + sum of b_k ln RV_k[t] + e, RV_k the mean over the last k periods of `horizon` bars
    (an hour of minutes: 1, 6 and 24 hours); forecast exp(fitted + s^2 / 2), s^2 the variance of e. Least squares over
    the last `train` periods whose outcome is known at t; fitted anew at rows that are multiples of `refit`.
    Unit: bps squared over the horizon.
    NaN: the first horizon (max(terms) + train) rows; where nothing moved in a span; where half of the training
    periods have no value for that reason.
    Source: Corsi, A Simple Approximate Long-Memory Model of Realized Volatility, 2009.

    Args:
        prices: DataFrame or bar rows with `close`, or closes, oldest first; quote.
        horizon: bars of a period.
        terms: periods that each term averages over.
        train: periods to fit on.
        refit: rows from one fit to the next, counted from the first row given; default: `horizon`.

    Raises:
        ConfigError: a number under 1, or too few training periods for the terms.
        DataError: prices are not finite and above 0.
    """
    squares = _squares(prices, horizon)
    refit = horizon if refit is None else refit
    _require(refit >= 1, "refit", "1 row or more", refit)
    _require(bool(terms) and min(terms) >= 1, "terms", "numbers of periods, 1 or more", terms)
    fewest = 10 * (1 + len(terms))
    _require(train >= fewest, "train", f"{fewest} periods or more for {len(terms)} terms", train)
    period = _rolling(squares, horizon)
    spans = [_logged(_rolling(period, span, horizon) / span) for span in terms]
    design = np.column_stack((np.ones(len(period)), *spans))
    target = _logged(period)
    forecast = np.full(len(period), math.nan)
    back = horizon * np.arange(train)
    first = horizon * (max(terms) + train)
    for row in range(-(-first // refit) * refit, len(period), refit):
        known = design[row - horizon - back]
        outcome = target[row - back]
        whole = np.isfinite(known).all(axis=1) & np.isfinite(outcome)
        if whole.sum() < max(fewest, train / 2):
            continue
        known, outcome = known[whole], outcome[whole]
        weights = np.linalg.lstsq(known, outcome)[0]
        missed = outcome - known @ weights
        scale = 0.5 * float(missed @ missed) / (len(outcome) - len(weights))
        now = design[row : row + refit]
        # term by term: a matrix product may round a row otherwise when other rows stand beside it
        fitted = sum(weight * now[:, k] for k, weight in enumerate(weights))
        forecast[row : row + refit] = np.exp(fitted + scale)
    return forecast


def qlike(forecast: Floats, realised: Floats) -> float:
    """Mean loss of a variance forecast; 0 = perfect. It ranks forecasts rightly although RV is noisy.

    Formula: mean of RV / F - ln(RV / F) - 1.
    Unit: none; both in one unit of variance.
    NaN: no row in which both are finite and above 0; other rows are left out.
    Source: Patton, Volatility Forecast Comparison Using Imperfect Volatility Proxies, 2011.

    Raises:
        DataError: columns of different length.
    """
    losses = _losses(_column(forecast, "forecast"), _column(realised, "realised"))
    losses = losses[np.isfinite(losses)]
    return float(losses.mean()) if len(losses) else math.nan


@dataclass(frozen=True, slots=True)
class ForecastScore:
    """How one variance forecast did."""

    name: str
    qlike: float
    worse: float  # mean loss less that of HAR; above 0 = HAR was better
    error: float  # standard error of `worse`, Newey-West
    n: int  # periods, the same for all


def compare_forecasts(
    prices: Prices, *, horizon: int, half_lives: tuple[int, ...] = (20, 60, 240), train: int = 240
) -> tuple[ForecastScore, ...]:
    """HAR against exponential averages and against the last period's variance, on periods that do not overlap.

    Formula: `qlike` over the periods for which every forecast and the outcome exist; `worse` and its error as in
    Diebold and Mariano with n^(1/3) lags.
    Unit: none.
    NaN: all figures, if no period is left.
    Source: Patton 2011; Diebold and Mariano, Comparing Predictive Accuracy, 1995.

    Raises:
        ConfigError, DataError: as the forecasts.
    """
    forecasts = {"har": har_forecast(prices, horizon=horizon, train=train)}
    for half_life in half_lives:
        forecasts[f"ewma_{half_life}"] = ewma_forecast(prices, horizon=horizon, half_life=half_life)
    forecasts["last"] = _rolling(_squares(prices, horizon), horizon)
    realised = realised_ahead(prices, horizon=horizon)
    periods = slice(horizon, None, horizon)
    losses = np.array([_losses(forecast[periods], realised[periods]) for forecast in forecasts.values()])
    losses = losses[:, np.isfinite(losses).all(axis=0)]
    n = losses.shape[1]
    if n == 0:
        return tuple(ForecastScore(name, math.nan, math.nan, math.nan, 0) for name in forecasts)
    scores = []
    for name, loss in zip(forecasts, losses, strict=True):
        excess = loss - losses[0]
        error = math.sqrt(_long_run(excess - excess.mean(), round(n ** (1.0 / 3.0)))) / n
        scores.append(ForecastScore(name, float(loss.mean()), float(excess.mean()), error, n))
    return tuple(scores)


@dataclass(frozen=True, slots=True, eq=False)
class MomentumDecay:
    """How the return that a signal foretells grows with the horizon, and how fast it is used up."""

    horizons: NDArray[np.int64]  # bars
    ic: Floats  # Spearman's rank correlation of signal and return
    error: Floats  # standard error of `ic`, Newey-West with as many lags as the horizon has bars
    edge_bps: Floats  # ic times the return's standard deviation: return foretold by a signal one deviation strong
    n: NDArray[np.int64]  # pairs
    limit_bps: float  # A: what the edge grows to
    tau: float  # bars
    half_life: float  # bars in which half of it has come


def momentum_decay(
    signal: Sequence[float] | Floats, closes: Prices, horizons: Sequence[int] = (1, 2, 3, 5, 8, 13, 21, 34, 55)
) -> MomentumDecay:
    """How long a signal goes on foretelling returns: its information curve, and the half-life fitted to it.

    Formula: IC(h) = Spearman(signal[t], ln(C[t+h] / C[t])); edge(h) = IC(h) sd(return over h), to which
    A (1 - exp(-h / tau)) is fitted by least squares weighted with the errors; half-life = tau ln 2. The edge and not
    the IC is fitted: a return's deviation grows with sqrt(h), so the IC of a decaying signal rises and falls again,
    and its half-life would come out far too short.
    Unit: bars; edge in bps.
    NaN: a horizon with fewer than 30 pairs, or with a constant side; limit, tau and half-life where under three
    horizons have an IC, none is three errors from 0, or tau leaves [first horizon / 3, 3 last horizon].
    Source: Grinold and Kahn, Active Portfolio Management, 2000; Newey and West 1987.

    Args:
        signal: one value a bar, known at its close; NaN = none.
        closes: DataFrame or bar rows with `close`, or closes of the same bars, oldest first; quote. Mids where there
            are any: trades bounce between bid and ask, which looks like reversal.
        horizons: bars, ascending.

    Raises:
        ConfigError: horizons do not ascend from 1 or more.
        DataError: the columns differ in length, or prices are not finite and above 0.
    """
    spans = np.array(horizons, dtype=np.int64)
    _require(
        len(spans) > 0 and int(spans[0]) >= 1 and bool((np.diff(spans) > 0).all()),
        "horizons",
        "ascending numbers of bars, 1 or more",
        tuple(horizons),
    )
    said = _column(signal, "signal")
    prices = _closes(closes)
    if len(said) != len(prices):
        raise DataError(f"expected a signal for each of {len(prices)} prices, got {len(said)}; pass NaN for none")
    logs = 1e4 * np.log(prices)
    measured = [_information(said, _ahead(_change(logs, h), h), h) for h in map(int, spans)]
    ic, error, spread, n = (np.array(column) for column in zip(*measured, strict=True))
    limit, tau = _fitted_decay(spans, ic, error, spread)
    return MomentumDecay(spans, ic, error, ic * spread, n, limit, tau, tau * math.log(2.0))


def ar1_half_life(x: Sequence[float] | Floats) -> float:
    """In how many bars a deviation from the mean halves, by a first-order autoregression.

    Formula: -ln 2 / ln(phi), x[t] = a + phi x[t-1] + e by least squares.
    Unit: bars; phi = 0.9 gives 6.58.
    NaN: phi outside (0, 1), x constant or shorter than 3.
    Source: own; phi is biased down in short samples (Kendall 1954), and below 0 for prices that bounce: use the mid.

    Raises:
        DataError: not one column of numbers.
    """
    return _half_life(_autoregression(_column(x, "x"))[0])


def ou_half_life(x: Sequence[float] | Floats, *, tested: bool = True) -> float:
    """In how many bars an Ornstein-Uhlenbeck process comes half the way back, given that it comes back at all.

    Formula: -ln 2 / ln(1 + b), x[t] - x[t-1] = a + b x[t-1] + e by least squares.
    Unit: bars.
    NaN: b outside (-1, 0), x constant or shorter than 4, or, unless `tested` is False, a unit root that Dickey and
    Fuller's t of b does not reject at 5 %: a random walk of any length has some b below 0.
    Source: Dickey and Fuller 1979; critical values: MacKinnon, Critical Values for Cointegration Tests, 2010.

    Raises:
        DataError: not one column of numbers.
    """
    phi, t, n = _autoregression(_column(x, "x"))
    if tested and (math.isnan(t) or t >= sum(value / n**power for power, value in enumerate(DICKEY_FULLER))):
        return math.nan
    return _half_life(phi)


@dataclass(frozen=True, slots=True)
class VarianceRatio:
    """Variance of sums of q returns over q times the variance of one."""

    ratio: float  # 1 = random walk, above = trending, below = reverting
    z: float  # robust to changing variance; standard normal under a random walk
    p_value: float  # two-sided


def variance_ratio(returns: Sequence[float] | Floats, q: int) -> VarianceRatio:
    """Do returns trend or revert over q bars, or is the price a random walk whose volatility may change?

    Formula: VR = s2(q) / s2(1) from overlapping sums, without bias; z* = sqrt(n) (VR - 1) / sqrt(theta),
    theta = sum over k < q of (2 (q - k) / q)^2 delta_k, delta_k = n sum e[t]^2 e[t-k]^2 / (sum e[t]^2)^2.
    Unit: ratio; z* in standard deviations.
    NaN: no more than q returns, or all equal; z* where theta is 0. NaN returns are refused, since sums would span them.
    Source: Lo and MacKinlay, Stock Market Prices Do Not Follow Random Walks, 1988.

    Raises:
        ConfigError: q under 2.
        DataError: a return is NaN or infinite.
    """
    _require(q >= 2, "q", "2 bars or more", q)
    r = _column(returns, "returns")
    if np.isnan(r).any():
        row = int(np.argmax(np.isnan(r)))
        raise DataError(f"returns, row {row}: expected a number, seen nan; cut the column there")
    n = len(r)
    if n <= q or not np.ptp(r) > 0.0:
        return VarianceRatio(math.nan, math.nan, math.nan)
    off = r - r.mean()
    squares = off * off
    total = squares.sum()
    path = np.concatenate(([0.0], np.cumsum(off)))
    sums = path[q:] - path[:-q]
    ratio = float(sums @ sums / (q * (n - q + 1) * (1.0 - q / n)) / (total / (n - 1)))
    deltas = [n * float(squares[k:] @ squares[:-k]) / total**2 for k in range(1, q)]
    theta = sum((2.0 * (q - k) / q) ** 2 * delta for k, delta in enumerate(deltas, 1))
    z = math.sqrt(n / theta) * (ratio - 1.0) if theta > 0.0 else math.nan
    return VarianceRatio(ratio, z, math.erfc(abs(z) / math.sqrt(2.0)))


def _require(holds: bool, name: str, expected: str, seen: object) -> None:
    if not holds:
        raise ConfigError(f"{name}: expected {expected}, got {seen}")


def _column(values: Any, name: str) -> Floats:
    """One column of float64; NaN is allowed, infinity is not."""
    try:
        column = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: expected one column of numbers, got {type(values).__name__}") from error
    if column.ndim != 1:
        raise DataError(f"{name}: expected one column, got shape {column.shape}; pass one value a bar")
    if np.isinf(column).any():
        row = int(np.argmax(np.isinf(column)))
        raise DataError(f"{name}, row {row}: expected a finite number or NaN, seen infinity; mend or drop the row")
    return column


def _closes(prices: Prices) -> Floats:
    """The closes of a frame or of rows, or what is one column already; finite and above 0."""
    named = getattr(prices, "columns", None)
    names = getattr(getattr(prices, "dtype", None), "names", None) if named is None else named
    if names is not None and "close" not in names:
        raise DataError(f"prices: expected a column `close`, seen {', '.join(map(str, names))}; rename it")
    if names is not None and "sym" in names and len(np.unique(prices["sym"])) > 1:
        raise DataError("prices: expected rows of one symbol, seen several; pass them one by one")
    closes = _column(prices if names is None else prices["close"], "close")
    wrong = ~(closes > 0.0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"close, row {row}: expected a price above 0, seen {closes[row]}; drop or mend the row")
    return closes


def _folded(prices: Prices, feature: Feature) -> Floats:
    """A feature of the close alone, by its registered fold."""
    closes = _closes(prices)
    bars = np.zeros(len(closes), BAR)
    for field in ("open", "high", "low", "close"):
        bars[field] = closes
    column: Floats = FeatureSet((feature,)).batch(bars)[feature.name].copy()
    return column


def _volatility(prices: Prices, half_life: int) -> Floats:
    """Exponential volatility of each bar, bps; one name for all half-lives, so that they share one compiled loop."""
    _require(half_life >= 1, "half_life", "1 bar or more", half_life)
    return _folded(prices, replace(ewma_vol(half_life), name="volatility"))


def _squares(prices: Prices, horizon: int) -> Floats:
    """Squared log return of each bar, bps squared."""
    _require(horizon >= 1, "horizon", "1 bar or more", horizon)
    returns = _folded(prices, log_return(1))
    return returns * returns


def _rolling(values: Floats, n: int, stride: int = 1) -> Floats:
    """Sum of `n` values, `stride` rows apart, up to each row; NaN before there are so many.

    Row by row the same additions in the same order, whatever comes later, and no subtraction that would leave a trace.
    """
    total = np.full(len(values), math.nan)
    first = (n - 1) * stride
    if first < len(values):
        total[first:] = 0.0
        for k in range(n):
            total[first:] += values[first - k * stride : len(values) - k * stride]
    return total


def _ahead(values: Floats, rows: int) -> Floats:
    """What stands `rows` later; NaN where nothing does."""
    later = np.full(len(values), math.nan)
    later[: max(0, len(values) - rows)] = values[rows:]
    return later


def _change(values: Floats, n: int) -> Floats:
    """Each value less the one `n` rows before; NaN where there is none."""
    change = np.full(len(values), math.nan)
    change[n:] = values[n:] - values[: max(0, len(values) - n)]
    return change


def _logged(values: Floats) -> Floats:
    """Logarithms; NaN where a value is not above 0."""
    logs = np.full(len(values), math.nan)
    np.log(values, out=logs, where=values > 0.0)
    return logs


def _losses(forecast: Floats, realised: Floats) -> Floats:
    """Patton's loss of each row; NaN where one side is NaN or not above 0."""
    if len(forecast) != len(realised):
        raise DataError(f"expected a forecast per realised variance, got {len(forecast)} for {len(realised)}")
    ratio = np.full(len(forecast), math.nan)
    np.divide(realised, forecast, out=ratio, where=(forecast > 0.0) & (realised > 0.0))
    losses: Floats = ratio - np.log(ratio) - 1.0
    return losses


def _long_run(scores: Floats, lags: int) -> float:
    """Variance of the sum of scores with mean 0, by Newey and West with Bartlett weights."""
    total = float(scores @ scores)
    for lag in range(1, min(lags, len(scores) - 1) + 1):
        total += 2.0 * (1.0 - lag / (lags + 1.0)) * float(scores[lag:] @ scores[:-lag])
    return max(0.0, total)


def _information(signal: Floats, ahead: Floats, horizon: int) -> tuple[float, float, float, int]:
    """Rank correlation, its error, the return's deviation and the number of pairs."""
    from scipy.stats import rankdata

    both = np.isfinite(signal) & np.isfinite(ahead)
    n = int(both.sum())
    if n < FEWEST_PAIRS or np.ptp(signal[both]) == 0.0 or np.ptp(ahead[both]) == 0.0:
        return math.nan, math.nan, math.nan, n
    x, y = (_standardised(rankdata(side[both])) for side in (signal, ahead))
    ic = float(x @ y) / n
    # rows without a pair keep their place in time, with nothing to say
    scores = np.zeros(len(signal))
    scores[both] = x * (y - ic * x)
    return ic, math.sqrt(_long_run(scores, horizon)) / n, float(ahead[both].std()), n


def _standardised(values: Floats) -> Floats:
    standard: Floats = (values - values.mean()) / values.std()
    return standard


def _fitted_decay(horizons: NDArray[np.int64], ic: Floats, error: Floats, spread: Floats) -> tuple[float, float]:
    """(A, tau) of the edge curve; NaN where it cannot be told."""
    from scipy.optimize import minimize_scalar

    seen = np.isfinite(ic) & (error > 0.0)
    if seen.sum() < 3 or not (np.abs(ic[seen]) > 3.0 * error[seen]).any():
        return math.nan, math.nan
    h = horizons[seen].astype(np.float64)
    weight = 1.0 / (error[seen] * spread[seen])
    y = weight * ic[seen] * spread[seen]

    def best(log_tau: float) -> tuple[float, float]:
        shape = weight * -np.expm1(-h / math.exp(log_tau))
        limit = float(shape @ y / (shape @ shape))
        missed = y - limit * shape
        return float(missed @ missed), limit

    grid = np.linspace(math.log(h[0] / 3.0), math.log(3.0 * h[-1]), TAUS)
    lowest = int(np.argmin([best(log_tau)[0] for log_tau in grid]))
    if lowest in {0, TAUS - 1}:
        return math.nan, math.nan
    found = minimize_scalar(lambda log_tau: best(log_tau)[0], bounds=grid[[lowest - 1, lowest + 1]], method="bounded")
    return best(found.x)[1], math.exp(found.x)


def _autoregression(x: Floats) -> tuple[float, float, int]:
    """Slope of x[t] on x[t-1], t of its distance from 1, and the number of pairs; pairs with a NaN are left out."""
    both = np.isfinite(x[1:]) & np.isfinite(x[:-1])
    before, after = x[:-1][both], x[1:][both]
    n = len(before)
    if n < 2 or not np.ptp(before) > 0.0:
        return math.nan, math.nan, n
    off = before - before.mean()
    room = float(off @ off)
    phi = float(off @ after) / room
    missed = after - after.mean() - phi * off
    error = math.sqrt(float(missed @ missed) / (n - 2) / room) if n > 2 else math.nan
    distance = phi - 1.0
    return phi, math.copysign(math.inf, distance) if error == 0.0 else distance / error, n


def _half_life(phi: float) -> float:
    return -math.log(2.0) / math.log(phi) if 0.0 < phi < 1.0 else math.nan
