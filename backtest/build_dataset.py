"""A data set for a model: one row a decision, its features, and what became of a trade in either direction.

    python -m backtest.build_dataset --symbol BTCUSDT --tf 5m --horizon 20 --take-bps 25 --stop-bps 18
    python -m backtest.build_dataset --data BTCUSDT-5m.parquet --out data/features.parquet

Candles are those of a file or of the exchange, or it ends with an error. Labels are those of the walk that engine and
search take. Features and signals are asked again on bars cut off, a user's own columns too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backtest.data.columns import audit_registered, of_user
from backtest.data.dataset import in_the_way, write_dataset
from backtest.data.decisions import Further
from backtest.data.market import build_market, one_currency, read_sources, warmup_of
from backtest.data.recorded import book_of, of_settings
from backtest.data.told import lines_of, warnings_of
from backtest.strategies.loading import load_strategy
from exec.market import Market
from ingest.history import fetch_candles, fetch_period, listed
from ingest.orderbook_ccxt import check_exchange
from ingest.prices import MOST, when_ms
from ingest.venues.known import check_names
from utils.config import Loaded, load_settings
from utils.disk import FULL
from utils.errors import ConfigError, StorageError
from utils.market.symbols import linear_symbol
from utils.market.timeframes import normalise_timeframe
from utils.params import FIXED_KINDS, params_of, require_fixed
from utils.root import ROOT
from utils.settings.tree import Settings
from utils.shell.cli import NO_PLACE, Parser, amount, command, whole
from utils.shell.console import progress_console
from utils.shell.meter import Meter

#: Candles asked of an exchange where no flag says.
LIMIT = 2_000
#: Where the file goes.
OUT = Path("data/features.parquet")
#: Ends the name of a data set that may stand in the folder of the models.
SUFFIX = ".parquet"
#: Flags that set a setting, and which.
SETTING_FLAGS = {
    "timeframe": "market.timeframe",
    "exchange": "market.exchange",
    "market_type": "market.market_type",
    "horizon": "risk.horizon",
    "take_bps": "risk.take_bps",
    "stop_bps": "risk.stop_bps",
    "entry": "execution.entry",
}
#: Flags that ask an exchange for something.
OF_EXCHANGE = ("limit", "since", "until")


def build_parser() -> Parser:
    """The flags."""
    line = "python -m backtest.build_dataset --symbol BTCUSDT --tf 5m"
    parser = Parser(
        "python -m backtest.build_dataset",
        "A data set for a model: one row a decision, its features, and what became of a trade in either direction.",
        examples=(
            (f"{line} --horizon 20 --take-bps 25 --stop-bps 18", f"the exchange's last {LIMIT:,} candles"),
            (
                "python -m backtest.build_dataset --data BTCUSDT-5m.parquet ETHUSDT-5m.parquet",
                "your candles, one clock",
            ),
            (f"{line} --since 2025-01-01 --entry market --gross", "a period, before all costs"),
            ("python -m backtest.build_dataset --data A.csv --features mine.py:columns", "and columns of your own"),
        ),
    )
    add_data_flags(parser)
    add = parser.group("output")
    add("--json", action="store_true", help="print the manifest as one JSON object and nothing else")
    add("--quiet", action="store_true", help="print one line")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="with an error, its traceback")
    return parser


def add_data_flags(parser: Parser) -> None:
    """The flags that say what a data set is made of; a retrain has them, too."""
    add = parser.group("what becomes of a trade")
    add("--take-bps", type=amount, metavar="BPS", help="take (default: risk.take_bps)")
    add("--stop-bps", type=amount, metavar="BPS", help="stop (default: risk.stop_bps)")
    add("--horizon", type=whole, metavar="BARS", help="longest holding time (default: risk.horizon)")
    add("--entry", metavar="KIND", help=f"{', '.join(FIXED_KINDS)} (default: execution.entry)")
    add("--gross", action="store_true", help="labels before all costs")
    add = parser.group("where it comes from")
    add("--symbol", metavar="SYMBOL", help="exchange id, several with commas (default: market.symbol, or the file's)")
    add("--timeframe", "--tf", metavar="TF", help="length of a candle (default: market.timeframe, or the file's)")
    add("--data", action="extend", nargs="+", metavar="PATH", help="candle files, one a symbol; none asks the exchange")
    add("--exchange", metavar="NAME", help="whose candles: bybit or binance (default: market.exchange)")
    add("--market-type", metavar="KIND", help="futures or spot (default: market.market_type)")
    add("--limit", type=whole, metavar="N", help=f"candles of each symbol (default: {LIMIT}, or all of the period)")
    add("--since", metavar="TIME", help="first candle, as 2025-01-31 or 2025-01-31T12:00 (UTC)")
    add("--until", metavar="TIME", help="last candle, likewise")
    add = parser.group("further features")
    add(
        "--tape",
        action="extend",
        nargs="+",
        metavar="PATH",
        help="recordings made meanwhile: book, prints at each close",
    )
    add("--exchange-for-ob", metavar="NAME", help="whose book, where it is recorded: the past has none by REST")
    add(
        "--features",
        metavar="WHERE:NAME",
        help="your function from market rows to columns: module:name or file.py:name",
    )
    add = parser.group("where it goes")
    add("--out", type=Path, default=OUT, metavar="FILE", help=f"the data set (default: {OUT.as_posix()})")
    add("--config", type=Path, metavar="PATH", help="settings file (default: config.yaml beside the program)")


def run(flags: argparse.Namespace) -> int:
    """Do what the flags say."""
    loaded = settings_of(flags)
    check(flags, loaded.settings)
    manifest = build(flags, loaded.settings, quiet=flags.json or flags.quiet)
    if flags.json:
        print(json.dumps({"file": flags.out.as_posix(), **manifest}, allow_nan=False))
        return 0
    lines = list(lines_of(manifest))
    for line in lines[:1] if flags.quiet else lines:
        print(line)
    if not flags.quiet:
        for warning in warnings_of(manifest):
            print(f"warning: {warning}")
        if flags.exchange_for_ob and not flags.tape:
            print(f"no book columns: {flags.exchange_for_ob} tells no past book by REST; name a recording with --tape")
        print(f"written to {flags.out.as_posix()}")
    return 0


def build(flags: argparse.Namespace, settings: Settings, *, quiet: bool) -> Mapping[str, Any]:
    """Make the data set that the flags describe, and write it to `flags.out`; returns its manifest.

    Raises:
        ConfigError, DataError: of a flag or a file, or a column that knows later bars.
        DataUnavailable: the exchange did not answer, or answered garbage.
        StorageError: the file cannot be written.
    """
    function = None if flags.features is None else load_strategy(flags.features, "--features")
    market = market_of(flags, settings)
    if flags.tape:
        market = replace(market, book=book_of(market, flags.tape))
    audit_registered(market, settings)
    further: tuple[Further, ...] = of_settings(market, settings)
    if function is not None:
        further = (*further, of_user(function, market))
    with Meter("building", "bars", progress_console(quiet=quiet), len(market.bars)) as meter:
        return write_dataset(flags.out, market, settings, gross=flags.gross, further=further, tell=meter.reach)


def settings_of(flags: argparse.Namespace) -> Loaded:
    """Settings with the flags on top."""
    given = {key: getattr(flags, flag) for flag, key in SETTING_FLAGS.items()}
    given["market.timeframe"] = normalise_timeframe(flags.timeframe) if flags.timeframe else None
    names = {key: f"--{flag.replace('_', '-')}" for flag, key in SETTING_FLAGS.items()}
    loaded = load_settings(flags.config, flags=given, flag_names=names)
    check_names(loaded)
    return loaded


def check(flags: argparse.Namespace, settings: Settings) -> None:
    """Refuse what can be seen to be wrong before anything is fetched or read."""
    require_fixed(params_of(settings, 1))
    for name in ("exchange", *OF_EXCHANGE) if flags.data else ():
        if getattr(flags, name) is not None:
            raise ConfigError(f"--{name}: it asks an exchange, and --data names files; leave one of them out")
    if flags.exchange_for_ob:
        check_exchange(flags.exchange_for_ob)
    check_out(flags, settings)
    if flags.limit is not None and not warmup_of(settings) < flags.limit <= MOST:
        raise ConfigError(
            f"--limit: expected {warmup_of(settings) + 1} (one more than the warm-up) to {MOST:,} candles, saw "
            f"{flags.limit}; python -m ingest.download takes more, and --data reads them"
        )


def check_out(flags: argparse.Namespace, settings: Settings) -> None:
    """Refuse an `--out` that would take the place of something else than a data set, or that cannot be written.

    Raises:
        ConfigError: it would.
        StorageError: the disk is full.
    """
    out: Path = flags.out
    of_features = [] if flags.features is None else [flags.features.rpartition(":")[0]]
    read = [*(flags.data or ()), *(flags.tape or ()), *of_features, flags.config or ROOT / "config.yaml"]
    if out.resolve() in {Path(name).resolve() for name in (*read, settings.meta.ledger)}:
        raise ConfigError(f"--out: expected a new file, saw {out}, which is read; name another")
    models = {Path(folder).resolve() for folder in (settings.meta.dir, getattr(flags, "outdir", None)) if folder}
    if out.suffix != SUFFIX and models & {*out.resolve().parents}:
        raise ConfigError(
            f"--out: expected a name that ends with {SUFFIX} among the versions of the model, saw {out}; name another"
        )
    folder = out.absolute().parent
    try:
        seen = in_the_way(out)
        folder = next(one for one in out.absolute().parents if one.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if error.errno in NO_PLACE:
            raise
        if error.errno in FULL:
            raise StorageError(f"{out}: the disk is full; free some space or name another place with --out") from error
        saw = "a file" if isinstance(error, NotADirectoryError) else f"'{error.strerror}'"
        raise ConfigError(
            f"--out: expected a file below a folder that this user may write to, saw {saw} at {folder}; name another"
        ) from error
    if seen:
        raise ConfigError(f"--out: expected a new file, or a data set to be replaced, saw {out}, {seen}; name another")


def market_of(flags: argparse.Namespace, settings: Settings) -> Market:
    """The market of the files that are named, or else of the exchange.

    Raises:
        ConfigError: symbols twice, or of several currencies.
        DataError: a file is missing or wrong.
        DataUnavailable: the exchange did not answer, or answered garbage.
    """
    if flags.data:
        data = flags.data if len(flags.data) > 1 else flags.data[0]
        return build_market(read_sources(data, flags.symbol, flags.timeframe), settings, data=flags.data)
    names = named(flags.symbol or settings.market.symbol)
    tf = settings.market.timeframe
    since = None if flags.since is None else when_ms(flags.since, "--since")
    until = None if flags.until is None else when_ms(flags.until, "--until", end=True)
    if since is None and until is None:
        candles = [fetch_candles(name, tf, flags.limit or LIMIT, settings) for name in names]
    else:
        most = flags.limit or (LIMIT if since is None else MOST)
        candles = [fetch_period(name, tf, most, settings, since=since, until=until) for name in names]
    return build_market(candles, settings, listings={name: listed(name, settings) for name in names})


def named(symbols: str) -> Sequence[str]:
    """The symbols of a flag, each once, in one currency.

    Raises:
        ConfigError: they are not.
    """
    names = [linear_symbol(name) for name in symbols.split(",")]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"--symbol: expected each symbol once, saw {', '.join(twice)} twice; name it once")
    one_currency(sorted(names))
    return names


main = command(build_parser, run)


if __name__ == "__main__":
    sys.exit(main())
