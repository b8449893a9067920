"""Record what an exchange sends, as it sends it: `python scripts/record.py --exchange bybit --symbols BTCUSDT,ETHUSDT`.

Files are `<market>_<symbols>_<UTC start>.jsonl.zst`; `python -m ingest.tape check FILE` says whether one is whole,
`python -m ingest.tape bars FILE` makes candles of it. Ctrl-C or SIGTERM ends the recording with its file whole;
a crash or kill -9 costs at most its last second. `--news` keeps what headlines were visible when, beside the tapes. To
record a loopback exchange, set the addresses that it prints.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from utils.config import load_settings
from utils.errors import ConfigError, ScalperError
from utils.settings.tree import Settings
from utils.shell.cli import Parser, amount, command, whole
from utils.shell.log import setup_logging

#: Time in which a wrong key for news shows, s.
FIRST_LOOK_S = 0.3
#: Of any number that a flag takes; as seconds some thirty years.
MOST = 1e9


def build_parser() -> Parser:
    """The flags."""
    from ingest.wire.streams import KINDS  # here, where what fails is said in a sentence

    parser = Parser(
        "python scripts/record.py",
        "Record an exchange's streams, as it sends them.",
        examples=(
            ("python scripts/record.py --exchange bybit --symbols BTCUSDT,ETHUSDT", "books and trades until Ctrl-C"),
            ("python scripts/record.py --streams book,trades,bars --tf 5m --seconds 3600", "candles too, one hour"),
            ("python scripts/record.py --rotate-minutes 15 --out /data/tapes", "a new file every quarter of an hour"),
            ("python scripts/record.py --news", "headlines too; the key stands in the environment"),
        ),
    )
    add = parser.group("what is recorded")
    add("--symbols", metavar="SYMBOLS", help="exchange ids or pairs, with commas (default: market.symbol)")
    add("--streams", default="book,trades", metavar="STREAMS", help=f"of {','.join(KINDS)} (default: book,trades)")
    add("--depth", type=whole, metavar="N", help="levels a side of a Bybit book (default: ingest.book_depth)")
    add("--tf", "--timeframe", default="1m", metavar="TF", help="length of the bars (default: 1m)")
    add("--news", action="store_true", help="keep snapshots of the headlines too (needs CRYPTOPANIC_TOKEN)")
    add("--news-minutes", type=amount, default=5.0, metavar="N", help="time between two of them (default: 5)")
    add("--seconds", type=amount, metavar="N", help="how long (default: until Ctrl-C)")
    add = parser.group("where from")
    add("--exchange", metavar="NAME", help="bybit or binance (default: market.exchange)")
    add("--market-type", metavar="KIND", help="futures or spot (default: market.market_type)")
    add("--config", type=Path, metavar="PATH", help="settings file (default: config.yaml beside the program)")
    add = parser.group("output")
    add("--out", type=Path, default=Path("data/tapes"), metavar="DIR", help="where the files go (default: data/tapes)")
    add("--rotate-minutes", type=amount, default=60.0, metavar="N", help="a new file after so long (default: 60)")
    add("--rotate-mib", type=amount, default=0.0, metavar="N", help="a new file at this size (default: no limit)")
    add = parser.add_argument
    add("-v", "--verbose", action="count", default=0, help="more log lines; with an error, its traceback")
    return parser


@contextlib.contextmanager
def headlines(flags: argparse.Namespace, symbols: Sequence[str], settings: Settings) -> Iterator[Callable[[], None]]:
    """Record headlines meanwhile; yields what raises when that failed for good."""
    from ingest.news import record_news

    stop, errors = threading.Event(), []

    def work() -> None:
        try:
            record_news(
                flags.out,
                symbols,
                endpoints=settings.endpoints,
                settings=settings.ingest,
                secrets=settings.secrets,
                stop=stop,
                every_s=60.0 * flags.news_minutes,
            )
        except ScalperError as error:
            errors.append(error)

    def watch() -> None:
        if errors:
            raise errors[0]

    thread = threading.Thread(target=work, name="news", daemon=True)
    thread.start()
    thread.join(FIRST_LOOK_S)
    watch()
    try:
        yield watch
    finally:
        stop.set()


def run(flags: argparse.Namespace) -> int:
    """Do what the flags say."""
    for name in ("seconds", "rotate_minutes", "rotate_mib", "news_minutes"):
        value = getattr(flags, name) or 0.0
        if not 0.0 <= value <= MOST:
            flag = name.replace("_", "-")
            raise ConfigError(f"--{flag}: expected a number from 0 to {MOST:,.0f}, saw {value:g}; give one")
    if flags.depth is not None and flags.depth < 1:
        raise ConfigError(f"--depth: expected at least 1 level, saw {flags.depth}; leave it out")
    from ingest.tape import record
    from ingest.venues.known import check_names
    from ingest.wire.streams import Stream

    setup_logging(flags.verbose, quiet=not flags.verbose)
    loaded = load_settings(flags.config)
    check_names(loaded)
    settings = loaded.settings
    symbols = (flags.symbols or settings.market.symbol).split(",")
    streams = [
        Stream(kind, symbol, tf=flags.tf if kind == "bars" else "", depth=flags.depth or settings.ingest.book_depth)
        for symbol in symbols
        for kind in flags.streams.split(",")
    ]
    with headlines(flags, symbols, settings) if flags.news else contextlib.nullcontext(lambda: None) as watch:
        done = record(
            flags.exchange or settings.market.exchange,
            streams,
            out=flags.out,
            market_type=flags.market_type or settings.market.market_type,
            endpoints=settings.endpoints,
            settings=settings.ingest,
            seconds=flags.seconds,
            rotate_minutes=flags.rotate_minutes,
            rotate_mib=flags.rotate_mib,
            say=lambda line: print(line, file=sys.stderr, flush=True),
            watch=watch,
        )
    for path in done.paths:
        print(f"written {path}")
    print(f"{done.messages:,} messages, {done.size / 1e6:,.1f} MB, {done.dropped:,} dropped")
    return 0


main = command(build_parser, run)


if __name__ == "__main__":
    sys.exit(main())
