"""Many parameter sets over one history: features once, signals once per distinct signal parameters, engines many.

A worker walks the history chunk by chunk and lets every parameter set see a chunk while it is in cache, so memory is
flat in the number of sets. Workers are threads: the compiled loop holds no lock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from backtest.data.market import under
from backtest.run.trials import write_down
from exec.champion import Champion
from exec.engine import Fleet, joined
from exec.live.serving import require_tested, served
from exec.market import Market
from exec.trader import chunks
from features.fold import FeatureSet
from features.registry import feature_set
from ml.signal import Signaller, strategy_params
from utils.params import params_of
from utils.records.ledger import Ledger
from utils.rows import PARAMS, SIGNAL, Rows
from utils.settings.tree import MetaSettings, Settings

#: Bars that all sets see before the next are looked at: few enough to stay in a core's own cache, signals beside them.
CHUNK = 4_096
#: Writes the signal rows of a chunk from its bars and feature records, and remembers what it needs.
SignalMaker = Callable[[Rows, Rows, Rows], None]


@dataclass(frozen=True, slots=True)
class Branch:
    """Parameter sets that share one signal: how to begin the signal, and the PARAMS of each engine."""

    begin: Callable[[], SignalMaker]
    params: tuple[Rows, ...]
    indices: tuple[int, ...]  # place of each set in the answer
    instruments: Rows | None = None  # INSTRUMENT, beside the market's symbols; None = the market's
    capital: float | None = None  # quote, at the start; None = that of the run


@dataclass(frozen=True, slots=True)
class Score:
    """What a parameter set earned."""

    trades: int
    net_pnl: float  # quote, closed trades
    equity: float  # quote, at the end


def walk(market: Market, branches: Sequence[Branch], capital: float, features: FeatureSet | None) -> dict[int, Score]:
    """Run the sets of some branches over the whole history, in one thread."""
    makers = [branch.begin() for branch in branches]
    fleets = [
        Fleet(
            market.instruments if branch.instruments is None else branch.instruments,
            joined(branch.params, PARAMS),
            capital if branch.capital is None else branch.capital,
            market.funding,
        )
        for branch in branches
    ]
    size = min(CHUNK, len(market.bars)) + len(market.symbols)
    signals = np.full(size * len(SIGNAL.names or ()), np.nan).view(SIGNAL)
    vectors = np.empty(size if features is not None else 0, np.float64 if features is None else features.dtype)
    for lo, hi in chunks(market.bars, CHUNK):
        bars = market.bars[lo:hi]
        seen = vectors[: hi - lo]
        if features is not None:
            features.batch(bars, seen)
        for maker, fleet in zip(makers, fleets, strict=True):
            maker(bars, seen, signals[: hi - lo])
            fleet.run(bars, signals[: hi - lo])
    return {
        index: Score(int(account.entries), float(account.realised), float(account.equity))
        for branch, fleet in zip(branches, fleets, strict=True)
        for index, account in zip(branch.indices, fleet.accounts, strict=True)
    }


def run_branches(
    market: Market, branches: Sequence[Branch], capital: float, *, workers: int = 1, with_features: bool = True
) -> list[Score]:
    """Share the branches among threads; the scores come back in the order of the sets."""
    shares = [branches[k::workers] for k in range(min(workers, len(branches)))]
    sets = [feature_set(len(market.symbols)) if with_features else None for _ in shares]

    def work(share: Sequence[Branch], features: FeatureSet | None) -> dict[int, Score]:
        return walk(market, share, capital, features)

    if len(shares) == 1:
        parts = [work(shares[0], sets[0])]
    else:
        with ThreadPoolExecutor(len(shares)) as pool:
            parts = list(pool.map(work, shares, sets))
    scores = {index: score for part in parts for index, score in part.items()}
    return [scores[index] for index in sorted(scores)]


def models_of(market: Market, settings: Sequence[Settings]) -> dict[MetaSettings, Champion]:
    """The models that are enabled in some of these settings, each read once.

    Raises:
        ConfigError: one is enabled, and there is none, or it was tested on something else.
        DataError: it is not as it was written, or was trained on other features.
    """
    found: dict[MetaSettings, Champion] = {}
    for one in settings:
        if (known := found.get(one.meta)) is not None:
            require_tested(known.name, known.tested, one, market.symbols, market.tf)
        elif (model := served(one, symbols=market.symbols, tf=market.tf)) is not None:
            found[one.meta] = model
    return found


def sweep(market: Market, settings: Sequence[Settings], *, workers: int = 1) -> list[Score]:
    """Score the default strategy under each of `settings`, with the fees and the capital of each.

    Each score is what `backtest.run.loop.simulate` finds for the same settings. Each set that is tried on a market that
    is no mock is written down in the ledger of trials that it names (`meta.ledger`): later results are held against it.

    Raises:
        ConfigError: settings under which the market would have other bars, see `backtest.data.market.under`, or that
            enable a model where there is none.
        DataError: a model is not as it was written, or was trained on other features; or the ledger is damaged. Nothing
            was looked at then.
        StorageError: the ledger cannot be written to.
    """
    for path in {one.meta.ledger for one in settings}:
        Ledger(path).count()
    groups: dict[tuple[bytes, bytes, float, bytes], list[int]] = {}
    listed = [under(market, one).instruments for one in settings]
    models = models_of(market, settings)
    params = [params_of(one, market.tf_ns) for one in settings]
    for index, one in enumerate(settings):
        # a model's expectation before costs hangs on the costs
        own = params[index].tobytes() if one.meta in models else b""
        key = (strategy_params(one).tobytes(), listed[index].tobytes(), one.simulation.initial_capital, own)
        groups.setdefault(key, []).append(index)

    def begin(first: int) -> Callable[[], SignalMaker]:
        one = settings[first]
        model = models.get(one.meta)

        def fresh() -> SignalMaker:
            signaller = Signaller(strategy_params(one), market.starts)

            def make(bars: Rows, seen: Rows, out: Rows) -> None:
                signaller.batch(bars, seen, out)
                if model is not None:
                    model.judge(bars, seen, out, listed[first], params[first])

            return make

        return fresh

    branches = [
        Branch(
            begin(indices[0]),
            tuple(params[index] for index in indices),
            tuple(indices),
            listed[indices[0]],
            capital,
        )
        for (_, _, capital, _), indices in groups.items()
    ]
    scores = run_branches(market, branches, 0.0, workers=workers)
    write_down(market, settings, [score.trades for score in scores])
    return scores
