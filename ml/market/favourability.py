"""Is this a market to scalp in? A score of every closed bar, and the test that could refute it.

There is no standard of such a score, so it has to be falsifiable: out of sample it must foretell how far the price will
move beyond what a round trip costs, and it must do so better than cost coverage alone, or cost coverage is the score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ml.market.inputs import ScalpMarket
from ml.market.regime import EXTREME, NAMES, Regimes, volatility_regime
from ml.resampling import correlation, finite, products, spearman
from utils.codes import MARKET
from utils.errors import ConfigError, DataError
from utils.figures.arithmetic import Floats
from utils.figures.bootstrap import statistic_interval

if TYPE_CHECKING:
    import pandas as pd

#: E|z| of a normal variable: the mean absolute move over its volatility.
MEAN_MOVE = math.sqrt(2.0 / math.pi)
#: Cost coverage below which nothing is worth its costs.
LEAST_COVERAGE = 1.5
#: Ranks are taken among so many days, and not before a seventh of them is there.
RANK_DAYS = 7
LEAST_RANK_BARS, MOST_RANK_BARS = 500, 20_000
#: Minutes on either side of a funding settlement in which the market is not itself.
FUNDING_WINDOW = 15.0
FUNDING_PERIOD = 480.0

#: What the score may be made of, each a number from 0 to 1, and the weights that the recordings support.
#:
#: Measured on 30 recordings (1m and 5m, Binance and Bybit, 20 bars ahead; `score_test`): rank of cost coverage
#: alone +.177 to +.367, every interval above 0; equal weights of all components there are lower by .004 to .030 on all
#: 30, with an interval below 0 on 27; never a gain with an interval above 0. Spread, depth and VPIN have no recording
#: long enough: unproven is 0, too, and what a spread costs is in the coverage. Whoever knows better passes `weights`,
#: and `score_test` judges them.
WEIGHTS: Mapping[str, float] = {
    "cost_coverage": 1.0,
    "spread": 0.0,
    "depth": 0.0,
    "trade_rate": 0.0,
    "vpin": 0.0,
    "funding_window": 0.0,
}
EQUAL: Mapping[str, float] = dict.fromkeys(WEIGHTS, 1.0)
#: Components that rank a column beside the candles, and whether more of it is better.
COLUMNS = {"spread": ("spread_bps", -1), "depth": ("depth", 1), "trade_rate": ("trade_rate", 1), "vpin": ("vpin", -1)}


@dataclass(frozen=True, slots=True, eq=False)
class Favourability:
    """The score beside each bar and all it was made of; a row knows no later row."""

    score: Floats  # 0-100, with its hard zeros; NaN while unknown
    weighted: Floats  # 0-100, without them
    components: Mapping[str, Floats]  # 0-1 each
    weights: Mapping[str, float]  # of the components that there are; they sum to 1
    coverage: Floats  # expected absolute move over the horizon / round-trip cost
    sigma_bps: Floats  # volatility of the horizon
    cost_bps: Floats  # round trip that ends at the market
    regime: NDArray[np.int8]  # index of `ml.market.regime.NAMES`
    horizon: int  # bars
    missing: tuple[str, ...]  # components with a weight and no data: left out


def rank_window(minutes: float) -> int:
    """Among so many bars of that length (minutes) a value is ranked: those of `RANK_DAYS`, within limits."""
    return min(max(round(RANK_DAYS * 1440 / minutes), LEAST_RANK_BARS), MOST_RANK_BARS)


def _ranked(market: ScalpMarket, values: Floats) -> Regimes:
    """Trailing causal ranks of a column, and the regimes they mean."""
    window = rank_window(market.minutes)
    return volatility_regime(values, window=window, least=window // 7)


def favourability(
    market: ScalpMarket, *, weights: Mapping[str, float] | None = None, horizon: int | None = None
) -> Favourability:
    """Score every closed bar for scalping, from what was known at its close.

    Formula: 100 sum(w x) / sum(w) over the components with data; cost coverage CC = .798 sigma sqrt(h) / c as rank
    among the last 7 days, depth and trade rate likewise, spread and VPIN as 1 - rank, and the distance from the next
    or last funding settlement over 15 minutes, at most 1. Hard 0: CC < 1.5, extreme volatility, a bar without a trade.
    Unit: points, 0-100. NaN: while a component with a weight has no rank yet. Source: own.

    Args:
        market: bars, costs, and the columns there are beside them.
        weights: by component, at least 0; None = `WEIGHTS`.
        horizon: h, bars; None = `risk.horizon` of the settings.

    Raises:
        ConfigError: an unknown component, a weight that is no number of 0 or more, weights without any data, or a
            horizon that is no whole number above 0.
    """
    h = int(market.params[0].horizon) if horizon is None else horizon
    if not (isinstance(h, (int, np.integer)) and h >= 1):
        raise ConfigError(f"horizon: expected a whole number of bars, at least 1, saw {h!r}; correct it")
    asked = _checked(WEIGHTS if weights is None else weights)
    found = market.features("ewma_vol_20_bps", "to_funding_min")
    sigma = found["ewma_vol_20_bps"] * math.sqrt(h)
    cost = np.full(len(sigma), market.costs()[1])
    if "spread_bps" in market.extras:
        crossings = 1.0 if market.params[0].entry_kind != MARKET else 2.0
        cost += crossings * (market.extras["spread_bps"] / 2.0 - float(market.params[0].half_spread_bps))
    with np.errstate(divide="ignore", invalid="ignore"):
        coverage = np.where(cost > 0.0, MEAN_MOVE * sigma / cost, np.nan)
    parts = {"cost_coverage": _ranked(market, coverage).rank}
    for name, (column, sign) in COLUMNS.items():
        if column in market.extras:
            rank = _ranked(market, market.extras[column]).rank
            parts[name] = rank if sign > 0 else 1.0 - rank
    if market.timed:
        ahead = found["to_funding_min"]
        parts["funding_window"] = np.minimum(1.0, np.minimum(ahead, FUNDING_PERIOD - ahead) / FUNDING_WINDOW)
    used = {name: weight for name, weight in asked.items() if name in parts}
    total = sum(used.values())
    if not total > 0.0:
        raise ConfigError(
            f"weights: expected one above 0 among {', '.join(parts)}, saw {dict(asked)}; name one of them"
        )
    used = {name: weight / total for name, weight in used.items()}
    weighted = 100.0 * np.sum([weight * parts[name] for name, weight in used.items() if weight > 0.0], axis=0)
    regime = _ranked(market, found["ewma_vol_20_bps"]).regime
    dead = (coverage < LEAST_COVERAGE) | (regime == EXTREME) | (market.bars["volume"] <= 0.0)
    score = np.where(dead & np.isfinite(weighted), 0.0, weighted)
    missing = tuple(name for name, weight in asked.items() if weight > 0.0 and name not in parts)
    return Favourability(score, weighted, parts, used, coverage, sigma, cost, regime, h, missing)


def _checked(weights: Mapping[str, float]) -> Mapping[str, float]:
    for name, weight in weights.items():
        if name not in WEIGHTS:
            raise ConfigError(f"weights: expected components among {', '.join(WEIGHTS)}, saw {name!r}; rename it")
        if not (isinstance(weight, (int, float)) and 0.0 <= weight < math.inf):
            raise ConfigError(f"weights: expected a number of 0 or more for {name}, saw {weight!r}; correct it")
    return weights


def score_table(
    market: ScalpMarket, *, weights: Mapping[str, float] | None = None, horizon: int | None = None
) -> pd.DataFrame:
    """The score at every bar as a frame: close time, score, coverage, cost, regime and each component.

    Formula, unit, NaN, arguments, errors: as `favourability`, whose columns these are.
    """
    import pandas as pd

    found = favourability(market, weights=weights, horizon=horizon)
    columns = {
        "scalping_favorability": found.score,
        "cost_coverage_ratio": found.coverage,
        "sigma_bps": found.sigma_bps,
        "cost_bps": found.cost_bps,
        "regime": np.array(NAMES)[found.regime],
    }
    frame = pd.DataFrame({**columns, **found.components})
    frame.insert(0, "time", pd.to_datetime(market.bars["ts"], utc=True))
    return frame


@dataclass(frozen=True, slots=True)
class RankTest:
    """Spearman's correlation of a score with what it should foretell, and how much it is ahead of rank(CC)."""

    spearman: float
    low: float  # 95 % interval, moving blocks
    high: float
    gain: float  # spearman less that of rank(CC) on the same rows
    gain_low: float
    gain_high: float


@dataclass(frozen=True, slots=True)
class FavourabilityTest:
    """Does the score foretell the move beyond costs, and does it do so better than cost coverage alone?"""

    bars: int
    horizon: int  # bars
    tests: Mapping[str, RankTest]  # score (with its hard zeros), weighted (without), equal weights, rank_cc

    @property
    def foretells(self) -> bool:
        """The weighted score's interval lies above 0."""
        return self.tests["weighted"].low > 0.0

    @property
    def beats_coverage(self) -> bool:
        """The interval of its gain over rank(CC) lies above 0; else rank(CC) is what should be shipped."""
        return self.tests["weighted"].gain_low > 0.0


def score_test(
    market: ScalpMarket,
    *,
    weights: Mapping[str, float] | None = None,
    horizon: int | None = None,
    first: int = 0,
    draws: int = 500,
) -> FavourabilityTest:
    """Hold the score against the bars after it.

    Formula: Spearman(score[t], max(0, |1e4 ln(C[t+h] / C[t])| - c[t])); 95 % intervals as `statistic_interval`, blocks
    of 5 h bars or a day, whichever is longer; ranks of the whole sample serve in each draw. The score is causal and its
    weights are not fitted here, so every bar is out of sample, but for weights that were chosen on these very bars:
    then name the `first` row that they have not seen.
    Unit: correlation. NaN: a side that does not vary. Source: Kuensch 1989, Spearman 1904.

    Args:
        market: bars and costs.
        weights: of the components; None = `WEIGHTS`.
        horizon: h, bars.
        first: first row that counts.
        draws: bootstrap samples.

    Raises:
        ConfigError: as `favourability`; `first` under 0, or fewer than 2 draws.
        DataError: fewer than 10 blocks of bars with a score.
    """
    if first < 0:
        raise ConfigError(f"first: expected a row from 0 on, saw {first}; count from the first bar")
    if draws < 2:
        raise ConfigError(f"draws: expected at least 2 bootstrap samples for an interval, saw {draws}; take more")
    found = favourability(market, weights=weights, horizon=horizon)
    equal = favourability(market, weights=EQUAL, horizon=horizon)
    h = found.horizon
    moved = np.full(len(market.bars), np.nan)
    closes = np.log(market.bars["close"])
    moved[:-h] = np.maximum(0.0, np.abs(1e4 * (closes[h:] - closes[:-h])) - found.cost_bps[:-h])
    scores = {
        "score": found.score,
        "weighted": found.weighted,
        "equal": equal.weighted,
        "rank_cc": found.components["cost_coverage"],
    }
    rows = finite(moved, *scores.values())
    rows[:first] = False
    block = max(5 * h, round(1440 / market.minutes))
    count = int(rows.sum())
    if count < 10 * block:
        raise DataError(
            f"expected at least {10 * block} bars with a score and {h} bars after it, saw {count}; use more"
        )
    centre = {name: spearman(score[rows], moved[rows]) for name, score in scores.items()}
    plain = products(scores["rank_cc"][rows], moved[rows])
    tests = {}
    for name, score in scores.items():
        table = products(score[rows], moved[rows])
        low, high = statistic_interval(table, correlation, block, draws)
        gained = statistic_interval(np.hstack([table, plain]), _gain, block, draws)
        tests[name] = RankTest(centre[name], low, high, centre[name] - centre["rank_cc"], *gained)
    return FavourabilityTest(count, h, tests)


def _gain(sums: Floats) -> Floats:
    """How much the first of two correlations is ahead of the second, from sums of `products` beside each other."""
    one, other = np.hsplit(sums, 2)
    return correlation(one) - correlation(other)
