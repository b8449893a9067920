"""How much the market will move: variance of the next bars, forecast at each row, and what a forecast is worth.

The forecasts are columns: row t knows rows up to t and nothing later (`ml.audit` proves it). The outcome that they are
held against, `realised_ahead`, is the future and says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from features.folds.technical import log_return
from ml.market.columns import Floats, Prices, folded, one_column, require, rows_ahead, variance_of_sum, volatility_of
from utils.errors import DataError


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
    return rows_ahead(_rolling(_squares(prices, horizon), horizon), horizon)


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
    require(horizon >= 1, "horizon", "1 bar or more", horizon)
    volatility = volatility_of(prices, half_life)
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
    require(refit >= 1, "refit", "1 row or more", refit)
    require(bool(terms) and min(terms) >= 1, "terms", "numbers of periods, 1 or more", terms)
    fewest = 10 * (1 + len(terms))
    require(train >= fewest, "train", f"{fewest} periods or more for {len(terms)} terms", train)
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
    losses = _losses(one_column(forecast, "forecast"), one_column(realised, "realised"))
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
        error = math.sqrt(variance_of_sum(excess - excess.mean(), round(n ** (1.0 / 3.0)))) / n
        scores.append(ForecastScore(name, float(loss.mean()), float(excess.mean()), error, n))
    return tuple(scores)


def _squares(prices: Prices, horizon: int) -> Floats:
    """Squared log return of each bar, bps squared."""
    require(horizon >= 1, "horizon", "1 bar or more", horizon)
    returns = folded(prices, log_return(1))
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
