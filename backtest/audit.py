"""Whether a strategy of yours sees the future: it is asked again on data cut off at many bars.

    python -m backtest.audit --strategy package.module:name --data FILE
    python -m backtest.audit --strategy file.py:name --data FILE [--data FILE] [--cuts 64] [--json]

Exit code: 0 its answers do not depend on later bars, as far as was tried; 2 they do, or it mixes symbols, remembers, or
fails on fewer bars: something of yours to mend, said in one sentence. A run asks at a few bars only (`run_simulation`).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from backtest.data.market import build_market, read_sources
from backtest.strategies import ahead
from backtest.strategies.identity import identity_of
from backtest.strategies.loading import load_strategy
from exec.strategy import ask
from utils.config import load_settings
from utils.errors import ConfigError, DataError
from utils.shell.cli import INTERRUPTED, Parser, command, whole
from utils.shell.console import progress_console
from utils.shell.meter import Meter

#: Cuts where no flag says.
CUTS = 64


def build_parser() -> Parser:
    """The flags."""
    line = "python -m backtest.audit --strategy examples/breakout.py:breakout --data BTCUSDT-5m.parquet"
    parser = Parser(
        "python -m backtest.audit",
        "Whether a strategy of yours sees the future: it is asked again on data cut off at many bars.",
        examples=(
            (line, "asked again at 64 bars"),
            (f"{line} --cuts 400", "at more of them"),
            ("python -m backtest.audit --strategy my.rules:pairs --data A.csv B.csv", "symbols together, mixed or not"),
            (f"{line} --json", "one JSON object, for scripts"),
        ),
        exits=(
            "0 its answers know no later bar, as far as was tried",
            "1 our fault or the machine's",
            "2 they do, or it mixes symbols, remembers or fails; a flag, setting or file of yours",
            f"{INTERRUPTED} Ctrl-C or SIGTERM",
        ),
    )
    add = parser.group("what is asked")
    add("--strategy", required=True, metavar="WHERE:NAME", help="package.module:name or file.py:name")
    add("--cuts", type=whole, default=CUTS, metavar="N", help=f"bars at which it is asked again (default: {CUTS})")
    add = parser.group("where it comes from")
    add("--data", required=True, action="extend", nargs="+", metavar="PATH", help="candle files, one a symbol")
    add("--symbol", metavar="SYMBOL", help="where the file does not tell")
    add("--timeframe", "--tf", metavar="TF", help="length of a candle, where the file does not tell")
    add("--config", type=Path, metavar="PATH", help="settings file (default: config.yaml beside the program)")
    add = parser.group("output")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="with an error, its traceback")
    return parser


def run(flags: argparse.Namespace) -> int:
    """Do what the flags say."""
    if flags.cuts < 4:
        raise ConfigError(f"--cuts: expected at least 4, saw {flags.cuts}; ask at more bars")
    settings = load_settings(flags.config).settings
    strategy = load_strategy(flags.strategy)
    candles = read_sources(flags.data if len(flags.data) > 1 else flags.data[0], flags.symbol, flags.timeframe)
    market = build_market(candles, settings, data=flags.data)
    signals = ask(strategy, market)
    with Meter("asking again", "cuts", progress_console(quiet=flags.json)) as meter:
        found = ahead.audit(strategy, market, signals, each=flags.cuts // 4, share=1.0, tell=meter.reach)
    identity = identity_of(strategy)
    if flags.json:
        row = {"strategy": identity.row(), "bars": found.bars, "clean": found.clean, **found.row()}
        print(json.dumps(row, allow_nan=False))
        return 0 if found.clean else DataError.exit_code
    if not found.cuts:
        raise DataError("strategy: expected a bar to cut at, saw none that is decided on; name a longer file")
    print(
        f"{identity.name} on {', '.join(market.sources)}: {found.bars:,} bars, asked again at {len(found.cuts)} of them"
    )
    print(found.note or "its answers are the same on data cut off: it knows no later bar, as far as was tried")
    return 0 if found.clean else DataError.exit_code


main = command(build_parser, run)


if __name__ == "__main__":
    sys.exit(main())
