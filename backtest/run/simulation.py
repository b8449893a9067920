"""One simulation from data to files: what `run_simulation` and the command lines start."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backtest.data.market import build_market, read_sources, under
from backtest.run.loop import Watch, replayed
from backtest.run.report import conclude, journal_of
from backtest.run.result import SimulationResult
from backtest.strategies.identity import identity_of
from exec.live.serving import served
from exec.market import Market
from exec.strategy import Strategy
from ingest.venues.known import check_names
from utils.config import Loaded, load_settings
from utils.errors import ConfigError
from utils.settings.tree import Settings


def run_simulation(
    symbol: str | None = None,
    tf: str | None = None,
    exchange_for_ob: str = "bybit",
    steps: int | None = None,
    use_ws: bool = False,
    *,
    data: Any = None,
    funding: str | Path | Sequence[str | Path] = (),
    settings: Settings | None = None,
    logs_dir: str | Path | None = None,
    live: bool = False,
    resume: bool | str | Path = False,
    strategy: Strategy | None = None,
    audit: bool = True,
    watch: Watch | None = None,
    tell: Callable[[Any], None] | None = None,
    told: str = "",
) -> SimulationResult:
    """Simulate on paper, write the log files, and return everything.

    Without `data` the candles come from the exchange of the settings (`market.exchange`) or the run ends with an error.

    Args:
        symbol: exchange id, or several with commas; with `data` only to check against it.
        tf: timeframe, ccxt name; with `data` only to check against it.
        exchange_for_ob: exchange of the order book beside live bars: bybit and binance by their streams, others by
            REST. A book is never joined to a bar that closed before it came.
        steps: bars that may be decided on. With `data` the last ones, None = all after the warm-up; from the exchange
            the last closed ones, None = `simulation.steps`; live as many as are to come, None = until Ctrl-C.
        use_ws: append bars that close meanwhile, and the book beside them, from the stream.
        data: a path, several paths, a DataFrame, `Candles`, or a `Market` (symbol, tf, steps, bars and funding
            are its own, fees and the like those of `settings`); None asks the exchange.
        funding: funding files; without one the sibling of the candle file is used.
        settings: parameters; None loads config.yaml, .env and the environment.
        logs_dir: write straight to this directory; None keeps the run under `logs/runs/` and refreshes `logs/`.
        live: begin to decide with the first bar of the stream, and go on bar by bar. Each is committed to a journal
            before `tell` hears of it, and the log files grow.
        resume: go on with a live run that was killed: True = the one that began last, or the folder of one, or its name
            below `runs/`. Other arguments must agree with it; None are its own, and of `steps` what is left of them.
        strategy: a function from market rows to signal rows; None = the default strategy, which alone a model judges
            where `meta.enabled` says so. It is asked afresh for each
            symbol, unless it says `together`, and again on data cut off.
        audit: ask it again on the data cut off at a few bars, and warn if it answers otherwise; a live run compares its
            answers anyhow.
        watch: told of progress after each chunk of bars.
        tell: told of each instant of the stream (`exec.trader.Instant`) when it has been decided.
        told: the command line that asked for this run, for `run.json`.

    Raises:
        DataUnavailable: the exchange did not answer, or answered garbage; nothing is made up instead.
        DataError: a file is missing or wrong.
        ConfigError: arguments contradict the data.
        StorageError: the log files cannot be written.
    """
    began = time.perf_counter()
    loaded = load_settings() if settings is None else Loaded(settings, {})
    check_names(loaded)
    settings = loaded.settings
    if data is None:
        from backtest.run.live import run_on_exchange

        return run_on_exchange(
            symbol, tf, exchange_for_ob, steps, settings, use_ws=use_ws, live=live, logs_dir=logs_dir,
            strategy=strategy, audit=audit, watch=watch, tell=tell, resume=resume, told=told,
        )  # fmt: skip
    if live or use_ws or resume:
        raise ConfigError("data: expected a file or the exchange's stream, saw both; leave use_ws, live and resume out")
    if isinstance(data, Market):
        market = under(data, settings)
    else:
        paths = [Path(path) for path in ([funding] if isinstance(funding, (str, Path)) else funding)]
        market = build_market(read_sources(data, symbol, tf), settings, steps=steps, data=data, funding=paths)
    model = served(settings, symbols=market.symbols, tf=market.tf) if strategy is None else None
    started = datetime.now(tz=UTC)
    identity = None if strategy is None else identity_of(strategy)
    with journal_of(market, settings, logs_dir, started, identity) as journal:
        outcome = replayed(market, settings, strategy, watch, audit=audit, model=model)
        return conclude(market, settings, outcome, journal, started, began, identity, told=told)
