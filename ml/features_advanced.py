"""Is this market worth scalping, how long to hold, and with which barriers: the answers a trader asks for.

What users hold is read here, and only here in `ml`; the parts take values: `ml.market.favourability` (the score and its
test), `ml.market.holding` (decay of an edge), `ml.market.inputs` (bars and costs), `ml.market.regime`, and
`ml.barriers.search` (nested search on the engine's own walk through the bars).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, Unpack

import numpy as np

from features.registry import feature_set
from ingest.files.extras import load_extended
from ingest.instruments import instrument_of
from ingest.instruments import market_of as market_asked
from ml.barriers.search import Fold, Side, Tested, refusals, search
from ml.market.columns import one_column
from ml.market.favourability import (
    LEAST_COVERAGE,
    Favourability,
    FavourabilityTest,
    favourability,
    score_table,
    score_test,
)
from ml.market.holding import Decay, Holding, Scarce, best_holding, break_even_holding, holding_period
from ml.market.inputs import ScalpMarket, Terms, market_of, repriced
from ml.market.regime import EXTREME, NAMES, UNKNOWN
from ml.signal import Signaller, strategy_params
from utils.errors import ConfigError
from utils.figures.arithmetic import Floats
from utils.settings.tree import Settings

if TYPE_CHECKING:
    import pandas as pd

    from ingest.files.candles import Candles
    from ingest.files.tables import Source

__all__ = [
    "Decay",
    "Favourability",
    "FavourabilityTest",
    "Fold",
    "Holding",
    "MicrostructureScore",
    "ScalpingParams",
    "best_holding",
    "break_even_holding",
    "favourability_table",
    "favourability_test",
    "find_best_scalping_params",
    "holding_period",
    "market_microstructure_score",
    "read_market",
]

#: Bar lengths without news after which the last bar is stale.
STALE_BARS = 2
#: Bars whose prices show the tick where nobody gave it.
TICK_BARS = 500
#: Longest horizon of a decay curve, in horizons of the settings.
LONGEST = 4


class Answer(Mapping[str, Any]):
    """A frozen record that is read like a dict, too: its public fields in order; `_` marks what it only carries."""

    __slots__ = ()

    def __getitem__(self, name: str) -> Any:
        if name in set(self):
            return getattr(self, name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (field.name for field in fields(self) if not field.name.startswith("_"))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True, slots=True)
class Component:
    """One part of the score at the last bar."""

    value: float  # 0-1; NaN = not known yet
    weight: float  # fraction; those of one score sum to 1


@dataclass(frozen=True, slots=True, eq=False)
class MicrostructureScore(Answer):
    """How a market looks to a scalper at the close of its last bar."""

    scalping_favorability: float  # 0-100; NaN while unknown
    optimal_holding_period: float | None  # minutes; None = no horizon pays
    components: Mapping[str, Component]  # what the score is made of, and what is known besides at weight 0
    regime: str  # of volatility: unknown, low, normal, high, extreme
    cost_coverage: float  # expected absolute move over the horizon / round-trip cost
    cost_bps: float  # round trip
    sigma_bps: float  # volatility of the horizon
    horizon: int  # bars
    holding: Holding  # where the holding period comes from
    reasons: tuple[str, ...]  # sentences
    _market: ScalpMarket  # the bars and costs, for `find_best_scalping_params`


def read_market(data: ScalpMarket | Candles | Source, **terms: Unpack[Terms]) -> ScalpMarket:
    """Closed bars from a frame, a file or `Candles`, checked, with the costs of the settings unless told otherwise.

    Settings are an argument: without one the built-in defaults count, and neither config.yaml nor the environment is
    looked at (`utils.config.load_settings` does that).

    Args:
        data: bars and columns beside them, see `ingest.files.extras.load_extended`; or the answer of an earlier call.
        **terms: see `Terms`.

    Raises:
        ConfigError: an unknown term, a cost that is no number, an unknown entry, symbol or timeframe.
        DataError: bars that no exchange could have printed; the message names row and column.
    """
    if isinstance(data, ScalpMarket):
        return repriced(data, terms)
    read = load_extended(data, symbol=terms.get("symbol"), tf=terms.get("timeframe"))
    candles, settings = read.candles, terms.get("settings") or Settings()
    charged = candles if candles.market else replace(candles, market=market_asked(settings))
    instrument, _ = instrument_of(charged, settings, min(len(candles.rows), TICK_BARS))
    return market_of(
        candles.rows,
        terms,
        tf_ns=candles.tf_ns,
        instrument=instrument,
        symbol=read.symbol,
        extras=read.extras,
        timed=read.timed,
    )


def favourability_table(
    data: Any, *, weights: Mapping[str, float] | None = None, horizon: int | None = None, **terms: Unpack[Terms]
) -> pd.DataFrame:
    """The score at every bar of what `read_market` takes: `ml.market.favourability.score_table`."""
    return score_table(read_market(data, **terms), weights=weights, horizon=horizon)


def favourability_test(
    data: Any,
    *,
    weights: Mapping[str, float] | None = None,
    horizon: int | None = None,
    first: int = 0,
    draws: int = 500,
    **terms: Unpack[Terms],
) -> FavourabilityTest:
    """Hold the score against the bars after it, on what `read_market` takes: `ml.market.favourability.score_test`."""
    return score_test(read_market(data, **terms), weights=weights, horizon=horizon, first=first, draws=draws)


def market_microstructure_score(
    df: Any,
    *,
    weights: Mapping[str, float] | None = None,
    horizon: int | None = None,
    signal: Sequence[float] | Floats | None = None,
    scarce: Scarce = "rate",
    now_ns: int | None = None,
    **terms: Unpack[Terms],
) -> MicrostructureScore:
    """Score a market for scalping at its last closed bar, and say how long to hold there.

    Formula: the last row of `ml.market.favourability.favourability`: by default 100 x the rank of cost coverage among
    the last 7 days, and 0 where coverage is under 1.5, volatility extreme or the data stale. The holding period
    maximises (alpha(h) - c) / h for a decay curve alpha of the signal, see `ml.market.holding.holding_period`. Unit:
    points 0-100; minutes. NaN: a score that has not seen enough bars (about a day); None: no horizon pays. Source: own.
    On 30 recordings the rank foretold the move beyond costs everywhere (Spearman +.18 to +.37, each interval above 0);
    equal weights for all components did worse on each, and the hard zeros cost .02 to .08 of it, because extreme hours
    move most: they are caution, not forecast.

    Args:
        df: closed bars: a frame, a file or `Candles`, see `read_market`.
        weights: of the components; None = those that the recordings support.
        horizon: h of cost coverage, bars; None = `risk.horizon`.
        signal: whose edge is held, its sign beside each bar, 0 or NaN = none; None = the default strategy's signals
            (`ml.signal` under the settings).
        scarce: "rate" = slots and capital, "sharpe" = a single shot.
        now_ns: present time, ns UTC: bars that ended longer ago than two bar lengths are stale. None = not judged.
        **terms: costs, symbol, timeframe, settings (without them the built-in defaults), see `Terms`.

    Raises:
        ConfigError: a wrong argument.
        DataError: bars that no exchange could have printed.
    """
    market = read_market(df, **terms)
    found = favourability(market, weights=weights, horizon=horizon)
    sides = default_signal(market) if signal is None else _beside(signal, market, "signal")
    closes = np.log(market.bars["close"])
    cost = float(found.cost_bps[-1])
    held = holding_period(closes, sides, market.minutes, cost, LONGEST * found.horizon, scarce)
    stale = now_ns is not None and now_ns - int(market.bars["ts"][-1]) > STALE_BARS * market.tf_ns
    score = float(found.score[-1])
    reasons = _reasons(market, found, held, stale)
    return MicrostructureScore(
        scalping_favorability=0.0 if stale else score,
        optimal_holding_period=held.minutes,
        components={
            name: Component(float(values[-1]), found.weights.get(name, 0.0))
            for name, values in found.components.items()
        },
        regime=NAMES[found.regime[-1]],
        cost_coverage=float(found.coverage[-1]),
        cost_bps=cost,
        sigma_bps=float(found.sigma_bps[-1]),
        horizon=found.horizon,
        holding=held,
        reasons=reasons,
        _market=market,
    )


def default_signal(market: ScalpMarket) -> Floats:
    """The sides of the default strategy's signals beside the bars, under the market's settings; NaN = none."""
    features = feature_set()
    start = int(market.bars["ts"][min(features.warmup, len(market.bars) - 1)])
    signals = Signaller(strategy_params(market.settings), [start]).batch(market.bars, features.batch(market.bars))
    return np.ascontiguousarray(signals["side"])


def _beside(values: Sequence[float] | Floats, market: ScalpMarket, name: str) -> Floats:
    column = one_column(values, name)
    if len(column) != len(market.bars):
        raise ConfigError(
            f"{name}: expected a number beside each of {len(market.bars)} closed bars, saw {len(column)}; "
            "pass 0 or NaN where there is none"
        )
    return column


def _reasons(market: ScalpMarket, found: Favourability, held: Holding, stale: bool) -> tuple[str, ...]:
    """What a reader has to know of a score, each a sentence without its full stop."""
    coverage, cost = found.coverage[-1], found.cost_bps[-1]
    said = []
    if math.isnan(cost):
        said.append("score unknown: the last bar has no spread_bps, and so no cost")
    elif math.isnan(found.score[-1]):
        said.append(f"score unknown: {len(market.bars)} bars are too few for ranks among the days before")
    else:
        parts = ", ".join(f"{name} {100 * weight:.0f} %" for name, weight in found.weights.items() if weight > 0.0)
        said.append(f"score of {parts}")
    if stale:
        said.append(f"hard 0: the last bar ended more than {STALE_BARS} bar lengths ago")
    if market.bars["volume"][-1] <= 0.0:
        said.append("hard 0: nothing traded in the last bar")
    if coverage < LEAST_COVERAGE:
        said.append(
            f"hard 0: in {found.horizon} bars the price is expected to move {coverage:.2f} times the round trip of "
            f"{cost:.1f} bps, under {LEAST_COVERAGE:g}"
        )
    if found.regime[-1] == EXTREME:
        said.append("hard 0: volatility is extreme")
    if found.regime[-1] == UNKNOWN:
        said.append("regime unknown: too few bars")
    if found.missing:
        said.append(f"no data for {', '.join(found.missing)}: left out, the other weights make up for it")
    if not market.timed:
        said.append("the bars have no times: the funding window is left out")
    said.append(f"holding period {'none' if held.minutes is None else f'{held.minutes:.1f} min'}: {held.reason}")
    return tuple(said)


@dataclass(frozen=True, slots=True, eq=False)
class ScalpingParams(Answer):
    """The best barriers of a search, or why there are none."""

    trade: bool
    verdict: str  # "trade" or "no trade"
    params: Mapping[str, Any] | None  # side, entry, take_bps, stop_bps, horizon; None = no trade
    best: Mapping[str, Any] | None  # the same for the candidate that did best, believed or not
    holding_minutes: float  # its horizon; NaN without one
    net_bps: float  # a trade out of sample, after all costs; NaN without trades
    low_bps: float  # 95 % interval
    high_bps: float
    trades: int  # out of sample; they overlap
    independent: int  # stretches of time they lie in
    win_rate: float  # fraction
    break_even_win_rate: float
    psr: float  # probability that the Sharpe ratio out of sample is above 0
    dsr: float  # in sample, against the best of `trials` worthless ones
    trials: int
    ambiguous_share: float  # trades that met a bar with both barriers
    late: int  # trades left out: a halted market held them too long
    best_in_sample_bps: float  # what `best` earned on all bars
    cost_take_bps: float  # round trip that ends at the take
    cost_stop_bps: float  # round trip that ends at the market
    folds: tuple[Fold, ...]
    reasons: tuple[str, ...]


class Notebook(Protocol):
    """Keeps what was tried, as `utils.records.ledger.Ledger` does."""

    def note(self, kind: Literal["search"], data: str, tried: Iterable[tuple[Mapping[str, Any], int, float]]) -> int:
        """Write down configurations tried on data, each with its trades and their mean net, bps; how many were new."""
        ...


def _note(ledger: Notebook, market: ScalpMarket, sides: Mapping[Side, Floats], tested: Sequence[Tested]) -> None:
    """Write down every candidate of a search; a user's signal is told from others by what it says."""
    own = {
        side: hashlib.sha256(values.tobytes()).hexdigest()[:16] for side, values in sides.items() if side == "signal"
    }
    common = {"symbols": [market.symbol], "tf_ns": market.tf_ns, "entry": market.entry, "signal": own.get("signal")}
    tried = (
        (
            {
                **common,
                "side": one.candidate.side,
                "take_bps": one.candidate.take_bps,
                "stop_bps": one.candidate.stop_bps,
                "horizon": one.candidate.horizon,
            },
            one.trades,
            one.net_bps,
        )
        for one in tested
    )
    ledger.note("search", hashlib.sha256(market.bars.tobytes()).hexdigest(), tried)


def find_best_scalping_params(
    microstructure: Any,
    *,
    signal: Sequence[float] | Floats | None = None,
    takes: Sequence[float] | None = None,
    stops: Sequence[float] | None = None,
    horizons: Sequence[int] | None = None,
    folds: int = 4,
    cluster: str | None = None,
    ledger: Notebook | None = None,
    **terms: Unpack[Terms],
) -> ScalpingParams:
    """Search take, stop and horizon that pay their costs out of sample; "no trade" where none does.

    Formula: `ml.barriers.search.search` over every closed bar, long and short, or over a signal's bars. Traded only if,
    out of sample, the 95 % interval of the net lies above 0 and PSR >= .95 on 100 stretches of time, DSR >= .95, and
    at most 2 % of the trades met a bar with both barriers. Bars with a column `spread_bps` pay half its median each
    time they cross, unless `half_spread_bps` says otherwise. Size is small against volume: no impact, cap or
    liquidation; funding is not charged.
    Unit: bps, bars, fractions. NaN: no trades. Source: quantities as named there.

    Args:
        microstructure: the answer of `market_microstructure_score`, whose bars and costs are used, or bars as it takes.
        signal: a side beside each bar, 0 or NaN = none; None = every bar, long and short.
        takes: bps; None = from volatility and costs, at least five round trips.
        stops: likewise.
        horizons: bars; None = 1/2, 1, 2 and 4 times `risk.horizon`.
        folds: runs that are scored.
        cluster: Dask scheduler, tcp://host:port, "" = this machine; None = the setting `compute.cluster`.
        ledger: `utils.records.ledger.Ledger`, where every candidate is written down, so that later results are held
            against it; None = nowhere: nothing here reads or writes a file that nobody named.
        **terms: costs, symbol, timeframe, settings (without them the built-in defaults), see `Terms`.

    Raises:
        ConfigError: a wrong argument, or a cluster without its packages.
        DataError: bars that no exchange could have printed, or too few.
        DataUnavailable: the cluster does not answer.
    """
    source = microstructure._market if isinstance(microstructure, MicrostructureScore) else microstructure  # noqa: SLF001 - ours
    market = read_market(source, **terms)
    spreads = market.extras.get("spread_bps", np.empty(0))
    if terms.get("half_spread_bps") is None and np.isfinite(spreads).any():
        market = repriced(market, {"half_spread_bps": float(np.nanmedian(spreads)) / 2.0})
    every = np.ones(len(market.bars))
    sides: dict[Side, Floats] = {"long": every, "short": -every}
    if signal is not None:
        sides = {"signal": _beside(signal, market, "signal")}
    where = market.settings.compute.cluster if cluster is None else cluster
    found = search(market, sides, takes=takes, stops=stops, horizons=horizons, folds=folds, cluster=where)
    if ledger is not None:
        _note(ledger, market, sides, found.tested)
    against = refusals(found)
    best = None
    if found.best is not None:
        best = {
            "side": found.best.side,
            "entry": market.entry,
            "take_bps": found.best.take_bps,
            "stop_bps": found.best.stop_bps,
            "horizon": found.best.horizon,
        }
    cost_take, cost_stop = market.costs()
    return ScalpingParams(
        trade=not against,
        verdict="no trade" if against else "trade",
        params=None if against else best,
        best=best,
        holding_minutes=math.nan if found.best is None else found.best.horizon * market.minutes,
        net_bps=found.net_bps,
        low_bps=found.low_bps,
        high_bps=found.high_bps,
        trades=found.trades,
        independent=found.stretches,
        win_rate=found.win_rate,
        break_even_win_rate=found.break_even,
        psr=found.psr,
        dsr=found.dsr,
        trials=found.trials,
        ambiguous_share=found.ambiguous,
        late=found.late,
        best_in_sample_bps=found.best_bps,
        cost_take_bps=cost_take,
        cost_stop_bps=cost_stop,
        folds=found.folds,
        reasons=against or ("out of sample it paid its costs, beyond what so many trials explain",),
    )
