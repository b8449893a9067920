"""Whether features of the microstructure make forecasts of the next move more accurate, by 15 % as is said.

The same events, folds and learners with and without them: on candles the two features of taker flow, on recorded books
the imbalance and flow of the book and the prints. The placebo has them too, but of another time. What is forecast is
the sign of the next move, of closes or, on books, of mids: a print's price bounces between bid and ask, and a model
that knows where the last one was forecasts the bounce, which nobody can trade.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from backtest.data.market import build_market
from backtest.experiments.data import CLUSTERED, WALK, WALK_TICK, Series, Whole, series_of, walk_candles
from backtest.experiments.statistics import HOLDS, UNMEASURED, Estimate, by_day
from backtest.replication.data import MOCK, Collector, Sample, mids_at, windows
from features.microstructure import leanings
from features.registry import feature_set
from ingest.synthetic import START_NS
from ml.learning.learners import FEWEST_OF_A_CLASS, FEWEST_ROWS, fit
from ml.learning.splits import walk_forward
from ml.scoring import raw_scores
from utils.errors import DataError
from utils.figures.arithmetic import Floats
from utils.figures.bootstrap import chance_positive, lower_bound
from utils.market.costs import round_trip_costs
from utils.rows import BPS, NS_PER_DAY, NS_PER_HOUR, NS_PER_S
from utils.settings.tree import Settings
from utils.types import Quote, Trade

#: What the claim promises: so much more accuracy, as a share of that without.
PROMISE = 0.15
#: Probability of an error, over all rows of a market together.
ERROR = 0.05
LEARNERS = ("logistic", "lightgbm")
#: What candles have of the microstructure.
FLOW = ("taker_flow_1", "taker_flow_20")
#: How far ahead, bars and seconds.
BARS_AHEAD, SECONDS_AHEAD = (1, 5, 20), (1, 5, 30)
#: Tests of a walk forward, the share of rows before the first, and the rows that train at most, evenly chosen.
FOLDS, FIRST, MOST_ROWS = 3, 0.4, 20_000
#: Rows of books that are added up before they are drawn, ns, of candles it is an hour; and how many hang together.
MOMENTS, HOURS_TOGETHER, MOMENTS_TOGETHER = 5 * NS_PER_S, 24, 4
#: Forecasts of a market below which nothing is said, and resamples.
FEWEST, DRAWS = 200, 2_000
#: What a round trip costs at the least, two maker fees of the settings, bps.
COSTS_BPS = 4.0
#: Of a book, levels whose flow counts, and seconds over which flows are added up.
LEVELS, SPANS = 5, (1, 5, 30)
IMPROVES, NOTHING = "improves", "nothing found"
#: Groups of books.
BOOKS, MOCK_BOOKS, WALK_BOOKS = "recorded books", "mock market, books", "random walk, books"
#: Columns of a table of forecasts.
WITHOUT, WITH, PLACEBO, UP, MOVE, ONE = range(6)


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """What may be forecast on one stretch of one market, so far ahead."""

    group: str  # what it is counted with
    ahead: str  # horizon, in words
    start: Whole  # decision, ns
    end: Whole  # when the move is known, ns
    move: Floats  # bps, never 0: what did not move is no event
    plain: Floats  # features without the microstructure
    micro: Floats  # those of the microstructure
    placebo: Floats  # these, of another time
    unit: int  # ns that are added up before they are drawn
    together: int  # units that hang together
    bounce: float  # the tick beside the round-trip fees; above 1 a close bounces by more than they take


@dataclass(frozen=True, slots=True)
class Finding:
    """How accurate forecasts of one market were, with and without."""

    group: str
    learner: str
    ahead: str
    n: int  # forecasts, out of sample
    move: float  # mean size of what was forecast, bps
    base: float  # share of the commoner direction
    without: float  # accuracies, fractions
    accurate: float  # with them
    placebo: float
    difference: Estimate  # accuracy with less without, fraction
    relative: Estimate  # accuracy with over without, less 1
    p: float  # one-sided, that the difference is luck; NaN = too little is known
    p_holm: float  # the same of so many rows of the market
    bounce: float  # the tick beside the round-trip fees

    @property
    def verdict(self) -> str:
        """Whether the promise is kept: all of the relative gain's interval; or at least something is gained."""
        if math.isnan(self.p) or self.n < FEWEST:
            return UNMEASURED
        if not (self.p_holm <= ERROR and self.difference.low > 0.0 and self.accurate > self.placebo):
            return NOTHING
        return HOLDS if self.relative.low >= PROMISE else IMPROVES


def flows(series: Series) -> bool:
    """Whether candles say what takers bought."""
    return bool(np.isfinite(series.bars["taker_buy"]).any())


def named(candles: list[str], samples: Iterable[tuple[Sample, str]]) -> list[str]:
    """Candles, and books beside them, in words."""
    places: dict[str, list[str]] = {}
    for sample, _ in samples:
        places.setdefault(sample.recording, []).append(f"{sample.symbol} {sample.seconds:.0f} s")
    return candles + [f"books of {place}: {', '.join(held)}" for place, held in places.items()]


def bar_events(series: Series) -> Iterator[Events]:
    """What may be forecast on candles, of the next bars; nothing where a venue does not say what takers bought."""
    bars, instrument = series.bars, series.instrument[0]
    if not flows(series):
        return
    features = feature_set()
    seen = features.batch(bars)
    micro = np.column_stack([seen[name] for name in FLOW])
    plain = np.column_stack([seen[name] for name in features.names if name not in FLOW])
    step = int(np.median(np.diff(bars["ts"])))
    day = max(1, NS_PER_DAY // step)
    placebo = np.concatenate([np.full((min(day, len(bars)), len(FLOW)), np.nan), micro[:-day]])
    fees = round_trip_costs(True, float(instrument["maker_bps"]), float(instrument["taker_bps"]), 0.0)[1]
    tick = float(instrument["tick"]) / float(np.median(bars["close"])) / BPS
    symbol = series.name.split(" ", maxsplit=1)[0]
    for h in BARS_AHEAD:
        move = np.full(len(bars), np.nan)
        move[:-h] = (bars["close"][h:] / bars["close"][:-h] - 1.0) / BPS
        end = bars["ts"] + h * step
        yield known(
            Events(
                group=series.group if series.made else f"{symbol}, {series.place}",
                ahead=f"{h} bar" if h == 1 else f"{h} bars",
                start=bars["ts"],
                end=end,
                move=move,
                plain=plain,
                micro=micro,
                placebo=placebo,
                unit=NS_PER_HOUR,
                together=HOURS_TOGETHER,
                bounce=tick / fees if fees > 0.0 else math.inf,
            )
        )


def book_events(sample: Sample, group: str) -> Iterator[Events]:
    """What may be forecast of a book's mid, each second, seconds ahead.

    Formula: without: move of the mid over 1, 5 and 30 s, and its spread over 30 s; with: imbalance at the best prices,
    and over 1, 5 and 30 s the order flow at the best and at the first levels, over their mean quantity, and what takers
    bought less what they sold, over what was traded on average. The placebo's are half the stretch away.
    """
    seen = windows(sample, 1)
    if len(seen.number) < FEWEST:
        return
    number = np.arange(seen.number[0], seen.number[-1] + 1)
    rows = np.searchsorted(number, seen.number)
    move, flow, traded, deep = (np.full(len(number), np.nan) for _ in range(4))
    move[rows], flow[rows] = seen.move, seen.flow / max(float(np.mean(seen.depth)), 1e-300)
    traded[rows] = seen.traded / (float(np.mean(np.abs(seen.traded))) or 1.0)
    deep[rows] = seen.levels[:, :LEVELS].mean(axis=1)
    now = (number + 1) * NS_PER_S - 1
    quotes = sample.quotes[np.maximum(np.searchsorted(sample.quotes["ts"], now, side="right") - 1, 0)]
    mids = mids_at(sample.quotes, now)
    plain = np.column_stack([*(_sum(move, span) for span in SPANS), np.sqrt(_sum(move * move, SPANS[-1]))])
    flows = [_sum(column, span) for column in (flow, traded, deep) for span in SPANS]
    micro = np.column_stack([leanings(quotes)[0], *flows])
    for h in SECONDS_AHEAD:
        ahead = mids_at(sample.quotes, now + h * NS_PER_S)
        ahead[now + h * NS_PER_S > int(sample.quotes["ts"][-1])] = np.nan
        yield known(
            Events(
                group=group,
                ahead=f"{h} s",
                start=now,
                end=now + h * NS_PER_S,
                move=(ahead / mids - 1.0) / BPS,
                plain=plain,
                micro=micro,
                placebo=np.roll(micro, len(micro) // 2, axis=0),
                unit=MOMENTS,
                together=max(MOMENTS_TOGETHER, 2 * h * NS_PER_S // MOMENTS),
                bounce=0.0,
            )
        )


def _sum(column: Floats, span: int) -> Floats:
    """Sums of the last `span` values; NaN where one is."""
    found = np.full(len(column), np.nan)
    if len(column) >= span:
        found[span - 1 :] = np.lib.stride_tricks.sliding_window_view(column, span).sum(axis=1)
    return found


def known(events: Events) -> Events:
    """Those of which the move, flow and the placebo's are known; learners bear other features that are not."""
    kept = np.isfinite(events.move) & (events.move != 0.0)
    kept &= np.isfinite(events.micro[:, 0]) & np.isfinite(events.placebo[:, 0])
    return replace(
        events,
        start=events.start[kept].astype(np.int64),
        end=events.end[kept].astype(np.int64),
        move=events.move[kept],
        plain=events.plain[kept],
        micro=events.micro[kept],
        placebo=events.placebo[kept],
    )


def forecasts(events: Events, learner: str, seed: int) -> tuple[Whole, Floats]:
    """When each forecast was made, units since 1970, and what came of it.

    Each fold is forecast by what is fitted on the rows whose moves were known before it. Empty where rows are too few.

    Returns:
        Units, and beside them whether the forecast was right without, with, and with the placebo, whether it went up,
        how far in bps, and 1.
    """
    nothing = np.empty(0, np.int64), np.empty((0, ONE + 1))
    try:
        folds = walk_forward(events.start, events.end, FOLDS, FIRST)
    except DataError:
        return nothing
    inputs = (events.plain, np.hstack([events.plain, events.micro]), np.hstack([events.plain, events.placebo]))
    up = (events.move > 0.0).astype(np.float64)
    units, tables = [], []
    for train, test in folds:
        few = train[np.linspace(0, len(train) - 1, min(len(train), MOST_ROWS)).astype(np.int64)]
        ups = int(up[few].sum())
        if len(few) < FEWEST_ROWS or min(ups, len(few) - ups) < FEWEST_OF_A_CLASS:
            return nothing
        columns = []
        for x in inputs:
            model = fit(learner, x[few], up[few], seed=seed)
            # a score of 0 says nothing: it counts as half right
            columns.append(0.5 + 0.5 * np.sign(raw_scores(model, x[test])) * np.sign(events.move[test]))
        units.append(events.start[test] // events.unit)
        tables.append(np.column_stack([*columns, up[test], np.abs(events.move[test]), np.ones(len(test))]))
    return np.concatenate(units), np.concatenate(tables)


def compared(together: Sequence[Events], learner: str, seed: int) -> Finding:
    """How accurate forecasts of one market were, on all its stretches.

    Formula: paired differences added up by hour, or by 5 s on books, which are drawn in runs of a day, or of 20 s or
    two horizons: `stationary_means`. p = 1 - `chance_positive`.
    """
    first = together[0]
    made = [forecasts(one, learner, seed) for one in together]
    unit, table = (np.concatenate(parts) for parts in zip(*made, strict=True))
    n = len(unit)
    nothing = Estimate(math.nan, math.nan, math.nan)
    if n == 0:
        known_little = (math.nan,) * 5
        return Finding(
            first.group, learner, first.ahead, 0, *known_little, nothing, nothing, math.nan, math.nan, first.bounce
        )
    sums = by_day(table, unit)
    mean = table.mean(axis=0)

    def span(asked: Callable[[Floats], Floats], value: float) -> Estimate:
        low = lower_bound(sums, 0.975, first.together, DRAWS, seed, asked)
        high = -lower_bound(sums, 0.975, first.together, DRAWS, seed, lambda means: -asked(means))
        return Estimate(value, low, high)

    gain, relative = (float(asked(mean[None])[0]) for asked in (_gain, _relative))
    p = 1.0 - chance_positive(sums, first.together, DRAWS, seed, _gain)
    return Finding(
        group=first.group,
        learner=learner,
        ahead=first.ahead,
        n=n,
        move=float(mean[MOVE]),
        base=float(max(mean[UP], 1.0 - mean[UP])),
        without=float(mean[WITHOUT]),
        accurate=float(mean[WITH]),
        placebo=float(mean[PLACEBO]),
        difference=span(_gain, gain),
        relative=span(_relative, relative),
        p=p,
        p_holm=p,
        bounce=max(one.bounce for one in together),
    )


def _gain(means: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(means[:, ONE] > 0.0, (means[:, WITH] - means[:, WITHOUT]) / means[:, ONE], np.nan)


def _relative(means: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(means[:, WITHOUT] > 0.0, means[:, WITH] / means[:, WITHOUT] - 1.0, np.nan)


def holm(p: Floats) -> Floats:
    """Probabilities of luck, each as it is where the least of so many is looked at; NaN stays and does not count.

    Formula: of m sorted ones the k-th times m - k + 1, at least those before it, at most 1. Source: Holm 1979.
    """
    found = np.full(len(p), np.nan)
    order = np.argsort(p)[: int(np.isfinite(p).sum())]
    found[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return found


def findings(events: Iterable[Events], seed: int) -> list[Finding]:
    """What microstructure adds, for each market, horizon and learner; all rows of a market share one error."""
    cases: dict[str, dict[str, list[Events]]] = {}
    for one in events:
        cases.setdefault(one.group, {}).setdefault(one.ahead, []).append(one)
    found = []
    for horizons in cases.values():
        rows = [compared(parts, learner, seed) for learner in LEARNERS for parts in horizons.values()]
        corrected = holm(np.array([row.p for row in rows]))
        found += [replace(row, p_holm=float(p)) for row, p in zip(rows, corrected, strict=True)]
    return found


def events_of(series: Iterable[Series], samples: Iterable[tuple[Sample, str]]) -> Iterator[Events]:
    """What may be forecast on candles and on books."""
    for one in series:
        yield from bar_events(one)
    for sample, group in samples:
        yield from book_events(sample, group)


def walk_series(bars: int, seed: int, settings: Settings, *, clustered: bool = False) -> Series:
    """Candles of a driftless walk whose takers bought more where the price rose, and know nothing of what comes.

    Formula: `walk_candles`; bought share = (1 + tanh(2 x + N(0, 1) / 2)) / 2, x the bar's move over its range.
    """
    candles = walk_candles(bars, seed, clustered=clustered)
    rows = candles.rows
    reach = np.maximum(rows["high"] - rows["low"], 1e-9)
    leaning = 2.0 * (rows["close"] - rows["open"]) / reach
    noise = np.random.default_rng([seed, 1, int(clustered)]).normal(size=bars) / 2.0
    rows["taker_buy"] = rows["volume"] * 0.5 * (1.0 + np.tanh(leaning + noise))
    market = build_market([candles], settings)
    return series_of(market, settings, f"{bars:,} bars, seed {seed}", CLUSTERED if clustered else WALK)


def walk_book(seconds: int, seed: int) -> Sample:
    """Best prices that walk without a drift, ten a second, and prints at them; quantities and sides are even dice."""
    dice = np.random.default_rng([seed, 2])
    collector = Collector("random walk", MOCK)
    n = 10 * seconds
    low = 100_000 + np.cumsum(dice.choice([-1, 0, 1], size=n, p=[0.1, 0.8, 0.1]))
    bid_qty, ask_qty, qty = (dice.uniform(1.0, 2.0, n).tolist() for _ in range(3))
    sides = dice.choice([-1, 1], size=n).tolist()
    for k, tick in enumerate(low.tolist()):
        ts = START_NS + k * NS_PER_S // 10
        bid, ask = tick * WALK_TICK, (tick + 1) * WALK_TICK
        collector.see(Quote(MOCK, ts, ts, bid, bid_qty[k], ask, ask_qty[k]))
        collector.see(Trade(MOCK, ts, ts, ask if sides[k] > 0 else bid, qty[k], sides[k]))
    return collector.sample()


#: Columns of a table that has little room.
BRIEF = ("market", "learner", "ahead", "n", "accuracy, %", "placebo, %", "difference, pp", "relative, %", "+15 %")


def cells(found: Finding) -> dict[str, str]:
    """A finding as a row of a table, by column; pairs are without / with."""

    def shown(value: float, places: int = 1) -> str:
        return "-" if math.isnan(value) else f"{value:.{places}f}"

    def span(one: Estimate, places: int) -> str:
        if math.isnan(one.low):
            return "-"
        return " ".join(
            f"{100.0 * value:+.{places}f}{after}"
            for value, after in ((one.value, ""), (one.low, " to"), (one.high, ""))
        )

    return {
        "market": found.group,
        "learner": found.learner,
        "ahead": found.ahead,
        "n": f"{found.n:,}",
        "mean move, bps": shown(found.move),
        "commoner way, %": shown(100.0 * found.base),
        "accuracy, %": f"{shown(100.0 * found.without)} / {shown(100.0 * found.accurate)}",
        "placebo, %": shown(100.0 * found.placebo),
        "difference, pp": span(found.difference, 2),
        "relative, %": span(found.relative, 1),
        "p, Holm": shown(found.p_holm, 3),
        "tick / fees": shown(found.bounce),
        "+15 %": found.verdict,
    }


def words(found: Finding) -> str:
    """What a finding says of the claim, in a sentence."""
    where = f"{found.group}, {found.learner}, {found.ahead} ahead"
    if found.verdict == UNMEASURED:
        return f"{where}: too little to say anything: {found.n:,} forecasts"
    low, value, high = (100.0 * x for x in (found.relative.low, found.relative.value, found.relative.high))
    without, accurate, placebo = (100.0 * x for x in (found.without, found.accurate, found.placebo))
    said = (
        f"accuracy {without:.1f} -> {accurate:.1f} % (placebo {placebo:.1f} %), {value:+.1f} % relative "
        f"({low:+.1f} to {high:+.1f}; promised {100.0 * PROMISE:+.0f} %): {found.verdict}"
    )
    if found.move < COSTS_BPS:
        said += f"; the moves forecast are {found.move:.1f} bps on average, less than any round trip costs"
    if found.bounce > 1.0:
        said += f"; its tick is {found.bounce:.1f} times the fees, so this forecasts the bounce of closes, not a price"
    return f"{where}: {said}"


def answer(found: Sequence[Finding]) -> list[str]:
    """What is found of the claim: of each market the row that gains most, and how many keep the promise."""
    known_rows = [one for one in found if one.verdict != UNMEASURED]
    kept = sum(one.verdict == HOLDS for one in known_rows)
    better = sum(one.verdict == IMPROVES for one in known_rows)
    less = len(known_rows) - kept - better
    promise = f"{100.0 * PROMISE:+.0f} %"
    said = [
        f"of {len(known_rows)} rows {kept} keep the promise of {promise}, {better} improve by less, {less} find nothing"
    ]
    for group in dict.fromkeys(one.group for one in found):
        rows = [one for one in found if one.group == group]
        best = max(rows, key=lambda one: -math.inf if one.verdict == UNMEASURED else one.relative.value)
        said.append(words(best))
    return said
