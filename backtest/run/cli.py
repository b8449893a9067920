"""The command line of a simulation: flags in, a summary or one JSON object out, an exit code that says whose fault."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.config import Loaded, load_settings, show_config
from utils.errors import ConfigError, DataError
from utils.market.symbols import linear_symbol, normalise_symbol
from utils.market.timeframes import normalise_timeframe
from utils.records.files import plain
from utils.shell.cli import INTERRUPTED, Parser, amount, command, whole
from utils.shell.log import event, setup_logging
from utils.shell.version import version

if TYPE_CHECKING:
    from exec.strategy import Strategy

#: Flags that set a setting, and which.
SETTING_FLAGS = {
    "symbol": "market.symbol",
    "timeframe": "market.timeframe",
    "seed": "simulation.seed",
    "steps": "simulation.steps",
    "initial_capital": "simulation.initial_capital",
    "exchange": "market.exchange",
    "market_type": "market.market_type",
}
#: Shown by --help.
EXAMPLES = (
    ("python run_simulation.py", "500 bars of the mock market, on one screen"),
    ("python run_simulation.py --data BTCUSDT-5m.parquet --full", "your candles, every table"),
    ("python run_simulation.py --data BTCUSDT-5m.csv --data ETHUSDT-5m.csv", "several symbols, one account"),
    ("python run_simulation.py --slow --symbol ETHUSDT --steps 200 --json", "the exchange's last 200 bars, as JSON"),
)
REAL_EXAMPLES = (
    ("python -m backtest.sim_loop --steps 200", "the exchange's last 200 closed bars"),
    ("python -m backtest.sim_loop --live --tf 1m --steps 30", "bar by bar as they close, half an hour"),
    ("python -m backtest.sim_loop --live --resume", "go on with the live run that was killed last"),
    ("python -m backtest.sim_loop --data BTCUSDT-5m.parquet", "your candles"),
)
logger = logging.getLogger("backtest")


def build_parser(*, real: bool) -> Parser:
    """The flags of `run_simulation.py` and `python -m backtest.sim_loop`."""
    mode = "real data, or an error" if real else "the mock market, or a candle file"
    parser = Parser(
        "python -m backtest.sim_loop" if real else "python run_simulation.py",
        f"Simulate the scalper on paper: {mode}. No real-money orders are ever sent.",
        examples=REAL_EXAMPLES if real else EXAMPLES,
    )
    add = parser.group("what is simulated")
    add("--symbol", metavar="SYMBOL", help="exchange id, several with commas (default: market.symbol, or the file's)")
    add(
        "--timeframe", "--tf", metavar="TF", help="length of a candle, as 5m (default: market.timeframe, or the file's)"
    )
    add("--steps", type=whole, metavar="N", help="bars on which decisions are made, warm-up not counted")
    add("--seed", type=whole, metavar="N", help="seed of the mock market (default: simulation.seed)")
    add("--strategy", metavar="WHERE:NAME", help="a function of yours: package.module:name or file.py:name")
    add("--no-audit", action="store_true", help="with --strategy: do not ask it again on data cut off")
    add = parser.group("where it comes from")
    files: dict[str, Any] = {"action": "extend", "nargs": "+", "metavar": "PATH"}
    add("--data", **files, help="candle files, one a symbol: Parquet, CSV, Feather or JSON, packed or not")
    add("--funding", **files, help="funding files (default: the siblings of --data)")
    add("--slow", action="store_true", help="the last N closed bars from the exchange")
    add("--use-ws", action="store_true", help="append bars that close meanwhile, and the book, from the stream")
    add("--live", action="store_true", help="decide bar by bar on the exchange's stream, N bars or until Ctrl-C")
    add(
        "--resume",
        nargs="?",
        const=True,
        metavar="RUN",
        help="with --live: go on with the run that was killed last, or with this one of logs/runs",
    )
    add("--exchange", metavar="NAME", help="where candles come from: bybit or binance (default: market.exchange)")
    add("--market-type", metavar="KIND", help="futures or spot (default: market.market_type)")
    add("--exchange-for-ob", metavar="NAME", help="where the live book comes from (default: where candles come from)")
    add = parser.group("how it fills", "barriers, costs, sizes and matching are settings: see config.yaml")
    add("--initial-capital", type=amount, metavar="MONEY", help="equity at the start, quote")
    add("--config", type=Path, metavar="PATH", help="settings file (default: config.yaml beside the program)")
    add("--show-config", action="store_true", help="print every setting with value, unit, range and source")
    add = parser.group("output")
    add("--full", action="store_true", help="print every table instead of one screen")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    add("--quiet", action="store_true", help="print one line instead of the summary")
    add("--logs-dir", type=Path, metavar="DIR", help="write the log files straight to this directory")
    add("--log-file", type=Path, metavar="PATH", help="JSON lines of what happened")
    add = parser.add_argument
    add("-v", "--verbose", action="count", default=0, help="more log lines; with an error, its traceback")
    add("--version", action="store_true", help="print the version")
    return parser


def settings_of(flags: argparse.Namespace) -> Loaded:
    """Settings with the flags on top; with a file, symbol and timeframe are its own and only checked."""
    given: dict[str, Any] = {key: getattr(flags, flag) for flag, key in SETTING_FLAGS.items()}
    symbols = [linear_symbol(name) for name in flags.symbol.split(",")] if flags.symbol else []
    given["market.symbol"] = symbols[0] if len(symbols) == 1 and not flags.data else None
    with contextlib.suppress(ConfigError):  # what is no timeframe at all is refused below, where flags are named
        given["market.timeframe"] = normalise_timeframe(flags.timeframe) if flags.timeframe else None
    names = {key: f"--{flag.replace('_', '-')}" for flag, key in SETTING_FLAGS.items()}
    return load_settings(flags.config, flags=given, flag_names=names)


def main(arguments: Sequence[str] | None = None, *, real: bool = False) -> int:
    """Run the command line; returns the exit code (0 done, 1 ours, 2 yours, 3 theirs, 130 Ctrl-C).

    Args:
        arguments: without the program's name; None takes the process's own.
        real: only real data will do (`python -m backtest.sim_loop`).
    """
    return command(partial(build_parser, real=real), partial(run, real=real))(arguments)


def run(flags: argparse.Namespace, *, real: bool) -> int:
    """Do what the flags say."""
    if flags.version:
        print(f"hybrid-scalper {version()}")
        return 0
    from backtest.strategies.loading import load_strategy
    from ingest.venues.known import check_names

    loaded = settings_of(flags)
    check_names(loaded)
    if flags.show_config:
        return print_config(loaded, as_json=flags.json)
    setup_logging(flags.verbose, quiet=flags.quiet or flags.json or not flags.verbose, log_file=flags.log_file)
    streamed = flags.live or flags.use_ws
    asks_exchange = not flags.data and (real or flags.slow or streamed)
    if flags.data and (flags.slow or streamed):
        raise ConfigError("--data: expected a file or the exchange, saw both; leave --slow, --live and --use-ws out")
    if flags.live and flags.slow:
        raise ConfigError("--slow: a live run decides bars as they close, --slow the last closed ones; leave one out")
    for name, value in (("--exchange", flags.exchange), ("--market-type", flags.market_type)):
        if value is not None and not asks_exchange and not flags.data:
            raise ConfigError(f"{name}: the mock market is of no exchange; add --slow or --live, or leave it out")
    if flags.resume and not flags.live:
        raise ConfigError("--resume: only a live run can go on; add --live")
    if flags.exchange_for_ob and not streamed:
        raise ConfigError("--exchange-for-ob: a book stands beside live bars only; add --use-ws or --live")
    if flags.data and flags.seed is not None:
        raise ConfigError("--seed: it belongs to the mock market, and --data names a file; leave one of them out")
    if asks_exchange and flags.seed is not None:
        raise ConfigError("--seed: it belongs to the mock market, and real data was asked for; leave it out")
    if flags.funding and not flags.data:
        raise ConfigError("--funding: it belongs to the candles of --data, and none are named; add --data")
    if flags.no_audit and (streamed or not flags.strategy):
        what = (
            "a live run compares its answers anyhow"
            if streamed
            else "there is no strategy of yours; name one with --strategy"
        )
        raise ConfigError(f"--no-audit: {what}, or leave it out")
    check_before_work(flags, loaded)
    strategy = None if flags.strategy is None else load_strategy(flags.strategy)
    return (run_and_show if asks_exchange else simulate_and_show)(flags, loaded, strategy)


def check_before_work(flags: argparse.Namespace, loaded: Loaded) -> None:
    """Refuse what can be seen to be wrong before anything is compiled, made or fetched.

    Raises:
        ConfigError: a symbol twice, symbols of several currencies, a book of an exchange that nobody knows.
        DataError: a file that is named is not there.
        StorageError: the logs directory cannot be written.
    """
    from backtest.data.market import one_currency
    from backtest.run.report import logs_of
    from utils.records.files import check_writable

    if flags.symbol:
        names = [normalise_symbol(name) for name in flags.symbol.split(",")]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"--symbol: expected each symbol once, saw {', '.join(twice)} twice; name it once")
        one_currency(sorted(names))
    if flags.exchange_for_ob:
        from ingest.orderbook_ccxt import check_exchange

        check_exchange(flags.exchange_for_ob)
    for name in flags.funding or ():
        if not Path(name).is_file():
            raise DataError(f"--funding: {name}: expected a file, seen none; check the path")
    check_writable(logs_of(loaded.settings, flags.logs_dir))


def run_and_show(flags: argparse.Namespace, loaded: Loaded, strategy: Strategy | None) -> int:
    """Simulate on the exchange's candles, live if asked for, and print what came of it."""
    from backtest.run.screen import Screen
    from backtest.run.simulation import run_simulation
    from backtest.run.warm import finish, start
    from ingest.history import source_of

    settings, going = loaded.settings, None
    if flags.resume:
        from backtest.run.report import logs_of
        from backtest.run.resume import agreed, check_agreement, run_to_resume
        from backtest.strategies.identity import identity_of

        going = run_to_resume(logs_of(settings, flags.logs_dir), None if flags.resume is True else flags.resume)
        check_agreement(
            going.meta,
            flags.symbol,
            flags.timeframe,
            flags.exchange_for_ob,
            None if strategy is None else identity_of(strategy),
        )
        given = {key for flag, key in SETTING_FLAGS.items() if getattr(flags, flag) is not None}
        settings = agreed(settings, going.meta, given)
    market = settings.market
    book_of = market.exchange if going is None else going.meta.asked["exchange_for_ob"]
    with Screen(as_json=flags.json, quiet=flags.quiet, full=flags.full) as screen:
        screen.announce_exchange(source_of(settings), market.market_type, live=flags.live)
        if going is not None:
            screen.announce_going_on(going)
        compiling = start()
        screen.compiling(compiling is not None)
        finish(compiling)
        result = run_simulation(
            flags.symbol,
            flags.timeframe,
            flags.exchange_for_ob or book_of,
            flags.steps,
            flags.use_ws,
            live=flags.live,
            resume=False if going is None else going.home,
            settings=settings,
            logs_dir=flags.logs_dir,
            strategy=strategy,
            audit=not flags.no_audit,
            tell=screen.tell_instant,
            told=flags.told,
        )
        event(logger, "run_finished", **{k: v for k, v in result.report.items() if k != "logs"})
        screen.show(result)
    return INTERRUPTED if result.interrupted else 0


def simulate_and_show(flags: argparse.Namespace, loaded: Loaded, strategy: Strategy | None) -> int:
    """Simulate on the mock market or the named files, and print what came of it."""
    from backtest.data.market import build_market, read_sources, synthetic_market
    from backtest.run.screen import Screen
    from backtest.run.simulation import run_simulation
    from backtest.run.warm import finish, start

    settings = loaded.settings
    with Screen(as_json=flags.json, quiet=flags.quiet, full=flags.full) as screen:
        if flags.data:
            data = flags.data if len(flags.data) > 1 else flags.data[0]
            candles = read_sources(data, flags.symbol, flags.timeframe, screen.reading)
            market = build_market(
                candles,
                settings,
                steps=flags.steps,
                data=flags.data,
                funding=[Path(path) for path in flags.funding or ()],
            )
            screen.announce(", ".join(market.sources), synthetic=False)
            compiling = start()
            screen.compiling(compiling is not None)
        else:
            screen.announce(f"seed {settings.simulation.seed}, {settings.simulation.preset}", synthetic=True)
            compiling = start()
            screen.compiling(compiling is not None)
            symbols = flags.symbol or settings.market.symbol
            market = synthetic_market(
                settings, symbols, settings.market.timeframe, settings.simulation.steps, screen.making
            )
        finish(compiling)
        event(
            logger, "run_started", source=",".join(market.sources), bars=len(market.bars), symbols=len(market.symbols)
        )
        result = run_simulation(
            data=market,
            settings=settings,
            logs_dir=flags.logs_dir,
            strategy=strategy,
            audit=not flags.no_audit,
            watch=screen.watching(market),
            told=flags.told,
        )
        event(logger, "run_finished", **{k: v for k, v in result.report.items() if k != "logs"})
        screen.show(result)
    return 0


def print_config(loaded: Loaded, *, as_json: bool) -> int:
    """Every setting: value, unit, range and where it came from."""
    rows = show_config(loaded)
    if as_json:
        settings = {row.key: {name: value for name, value in row._asdict().items() if name != "key"} for row in rows}
        print(json.dumps(plain(settings), allow_nan=False))
        return 0
    from rich.table import Table

    from utils.shell.console import PlainConsole

    table = Table("setting", "value", "unit", "range", "source", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row.key, json.dumps(plain(row.value)), row.unit, row.range, row.source)
    PlainConsole(sys.stdout, 200).print(table)
    return 0
