"""History into Parquet: `python -m ingest.download --symbol BTCUSDT --tf 5m --since 2025-01-01`.

Stopped at any moment, it goes on where it was when started again; run twice, it changes nothing. What the exchange does
not have is listed as a gap, never filled.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from ingest.files.store import Covered, Entry, Series, Store, missing, now_text, touching
from ingest.prices import LISTING_MS, CandleSource, when_ms
from ingest.rest import checks as check
from ingest.rest.checks import Matrix, Span
from ingest.rest.retry import BadVenueData, IncompleteCandles
from ingest.rest.venue import Venue, venue
from ingest.venues.facts import Listing
from ingest.venues.known import check_names
from utils.config import load_settings
from utils.errors import ConfigError, DataUnavailable
from utils.market.symbols import normalise_symbol
from utils.market.timeframes import TIMEFRAMES, normalise_timeframe
from utils.rows import MS_PER_HOUR, NS_PER_MS
from utils.settings.tree import IngestSettings
from utils.shell.cli import Parser, command
from utils.shell.console import progress_console
from utils.shell.log import setup_logging
from utils.shell.meter import Meter
from utils.shell.moments import at_ms
from utils.shell.version import version

#: Settlements of one request to an exchange that we do not know; none settles more often than hourly.
FUNDING_PAGE = 100

#: Told how many ms of a period are there, of how many.
Watch = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Download:
    """What one symbol's download left behind."""

    entry: Entry
    root: Path
    fetched: int  # pages asked for; 0 = all was there


class Rows(Protocol):
    """A source of rows in pages."""

    call: str
    page_ms: int

    def fetch(self, period: Covered) -> Any:
        """An Arrow table of the rows of a period, at most a page."""
        ...

    def gaps(self, table: Any, period: Covered) -> tuple[dict[str, Any], ...]:
        """What a period's rows lack."""
        ...


class CandleRows:
    """Candles as the files have them."""

    call = "fetch_ohlcv"

    def __init__(self, where: Venue, listing: Listing, tf: str, settings: IngestSettings) -> None:
        self._source = CandleSource(where, listing, tf, settings)
        self._tf_ms = TIMEFRAMES[tf] // NS_PER_MS
        self._listed_ms = listing.listed_ms
        self.page_ms = self._source.page * self._tf_ms
        self._taker = where.rest.candles is not None and where.rest.candles.tells_takers

    def period(self, since: int, until: int | None, now_ms: float) -> Covered:
        """The closed candles from `since` to `until` (ms, opens, both included), from the symbol's first on.

        Raises:
            DataUnavailable: there are none.
        """
        end = check.floor_to_grid(now_ms, self._tf_ms)
        if until is not None:
            end = min(end, check.floor_to_grid(until, self._tf_ms) + self._tf_ms)
        span = self._source.clip(Span(check.ceil_to_grid(since, self._tf_ms), end, self._tf_ms))
        return Covered(span.start, span.end)

    def fetch(self, period: Covered) -> Any:
        """The candles of a page; some may be missing, after the exchange was asked as often as the settings allow.

        Raises:
            DataUnavailable: there are none at all, or what came cannot be believed.
        """
        try:
            rows, _ = self._source.fetch(Span(period.start, period.end, self._tf_ms))
        except DataUnavailable as error:
            lost = error.__cause__
            if not isinstance(lost, IncompleteCandles) or not len(lost.rows):
                raise
            rows = lost.rows
        return self._table(rows)

    def _table(self, rows: Matrix) -> Any:
        import pyarrow as pa

        opens = pa.array(rows[:, check.TIME].astype("int64")).cast(pa.timestamp("ms"))
        width = check.TAKER_BUY + int(self._taker)
        columns = {check.NAMES[i]: pa.array(rows[:, i]) for i in range(check.OPEN, width)}
        return pa.table({"timestamp": opens} | columns)

    def gaps(self, table: Any, period: Covered) -> tuple[dict[str, Any], ...]:
        """Runs of missing candles: the first one's open, and how many. What lies before the first trade is no gap."""
        opens = table.column("timestamp").cast("int64").to_numpy()
        young = self._listed_ms is not None and opens[0] < self._listed_ms + LISTING_MS
        runs = check.runs_missing(opens, Span(int(opens[0]) if young else period.start, period.end, self._tf_ms))
        return tuple({"first": at_ms(first), "candles": candles} for first, candles in runs)


class FundingRows:
    """Funding settlements as the files have them: time to the second, rate as a fraction."""

    call = "fetch_funding_rate_history"

    def __init__(self, where: Venue, listing: Listing, settings: IngestSettings) -> None:
        if not where.client.has["fetchFundingRateHistory"]:
            raise ConfigError(f"{where.exchange} tells no history of funding; leave --funding out")
        self._where, self._listing, self._settings = where, listing, settings
        self._most = where.ours.funding_page if where.ours else FUNDING_PAGE
        self.page_ms = self._most * MS_PER_HOUR

    def fetch(self, period: Covered) -> Any:
        """The settlements of a page.

        Raises:
            DataUnavailable: the exchange did not answer, or what came cannot be believed.
        """
        import pyarrow as pa

        start, end = period
        name = self._listing.unified

        def ask(client: Any) -> list[tuple[int, float]]:
            rows = client.fetch_funding_rate_history(name, start, self._most, {"until": end - 1})
            found = check.funding(rows, start, end, name)
            if not found and end - start > check.FUNDING_MS:
                raise BadVenueData("expected a settlement every 8 hours at least, saw none")
            return found

        what = f"{self.call} {self._listing.symbol} ({at_ms(start)} to {at_ms(end)})"
        found = self._where.call(what, ask, self._settings)
        stamps = [round(stamp / 1000.0) * 1000 for stamp, _ in found]
        rates = pa.array([rate for _, rate in found], pa.float64())
        return pa.table({"timestamp": pa.array(stamps, pa.int64()).cast(pa.timestamp("ms")), "funding_rate": rates})

    def gaps(self, table: Any, period: Covered) -> tuple[dict[str, Any], ...]:
        """Stretches between two settlements longer than any exchange's interval."""
        stamps = [period.start, *table.column("timestamp").cast("int64").to_pylist(), period.end]
        long = [(a, b) for a, b in pairwise(stamps) if b - a > check.FUNDING_MS + check.FUNDING_SLACK_MS]
        return tuple({"after": at_ms(a), "before": at_ms(b)} for a, b in long)


def download(
    store: Store, place: str, where: Venue, listing: Listing, rows: Rows, wanted: Covered, watch: Watch, *, one: bool
) -> Download | None:
    """Bring a period of one symbol into a store; what is there already is not asked for again.

    None: the exchange answered, and there is nothing in the period.

    Args:
        store: an open store.
        place: folder below its root.
        where: the exchange.
        listing: the symbol.
        rows: asks for pages.
        wanted: the period, on the grid of the rows.
        watch: told how many ms of how many are there.
        one: keep a single file of a symbol: what lies between the period and older files is asked for, too.

    Raises:
        ConfigError: what is there came from another address.
        DataUnavailable: the exchange did not answer, or does not have it; pages that came are kept.
    """
    address = where.base or where.exchange
    series = Series(store, place, listing.symbol, address)
    entries, pages = series.entries(), series.covered()
    if wanted.end <= wanted.start:
        return None
    if one and entries:
        ends = [wanted, *(Covered(*entry.covers) for entry in entries)]
        wanted = Covered(min(each.start for each in ends), max(each.end for each in ends))
    period, replaced = touching(wanted, entries, pages)
    holes = missing(period, [*(Covered(*entry.covers) for entry in replaced), *pages])
    if len(replaced) == 1 and period == Covered(*replaced[0].covers):
        return Download(replaced[0], store.root, 0)
    todo = [
        Covered(start, min(start + rows.page_ms, hole.end))
        for hole in holes
        for start in range(hole.start, hole.end, rows.page_ms)
    ]
    total = period.end - period.start
    done = total - sum(page.end - page.start for page in todo)
    for page in todo:
        watch(done, total)
        series.keep(page, rows.fetch(page))
        done += page.end - page.start
    watch(done, total)
    table = series.rows(period, replaced)
    if table.num_rows == 0:
        return None
    source = {"exchange": where.exchange, "call": rows.call, "address": address}
    blank = Entry("", listing.symbol, (0, 0), 0, "", "", "", rows.gaps(table, period), source, now_text())
    return Download(series.finish(period, replaced, blank), store.root, len(todo))


def funding_period(candles: Covered, until: int | None, now_ms: float) -> Covered:
    """The hours of candles, ms, the one at which they begin and the one at which they end included.

    Each hour counts from a minute before it to a minute after: stamps are some ms off, and published a little late.
    """
    slack = check.FUNDING_SLACK_MS
    latest = now_ms - slack if until is None else min(until, now_ms - slack)
    start = check.floor_to_grid(candles.start, MS_PER_HOUR) - slack
    return Covered(start, max(start, check.floor_to_grid(latest, MS_PER_HOUR) + slack))


# --- the command line


def build_parser() -> Parser:
    """The flags of `python -m ingest.download`."""
    parser = Parser(
        "python -m ingest.download",
        "Download closed candles, and with --funding settlements, into Parquet files with a manifest.",
        examples=(
            ("python -m ingest.download --since 2025-01-01", "the market of config.yaml, from then to now"),
            ("python -m ingest.download --symbol BTCUSDT,ETHUSDT --tf 5m --since 2025-01-01 --funding", "with funding"),
            ("python -m ingest.download --since 2025-01-01 --until 2025-01-31", "January; the last day is included"),
            ("python -m ingest.download --exchange binance --market-type spot --since 2025-01-01", "spot candles"),
        ),
    )
    add = parser.group("what is downloaded")
    add("--symbol", metavar="SYMBOL", help="exchange id, several with commas (default: market.symbol)")
    add("--timeframe", "--tf", metavar="TF", help="length of a candle, as 5m (default: market.timeframe)")
    add("--since", metavar="TIME", help="first day, or time (UTC), or ms since 1970, as 2025-01-01; has to be given")
    add("--until", metavar="TIME", help="last day or time, included (default: now)")
    add("--funding", action="store_true", help="funding too, into the folder `funding` beside --out")
    add = parser.group("where from")
    add("--exchange", metavar="NAME", help="any that ccxt knows (default: market.exchange)")
    add("--market-type", metavar="KIND", help="futures or spot (default: market.market_type)")
    add("--config", type=Path, metavar="PATH", help="settings file (default: config.yaml beside the program)")
    add = parser.group("output")
    add("--out", type=Path, default=Path("data/ohlcv"), metavar="DIR", help="folder (default: data/ohlcv)")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    add = parser.add_argument
    add("-v", "--verbose", action="count", default=0, help="more log lines; with an error, its traceback")
    add("--version", action="store_true", help="print the version")
    return parser


def run(flags: argparse.Namespace) -> int:
    """Do what the flags say."""
    if flags.version:
        print(f"hybrid-scalper {version()}")
        return 0
    if flags.since is None:
        raise ConfigError("--since: expected the first day to download, such as 2025-01-01, saw none")
    loaded = load_settings(flags.config)
    check_names(loaded)
    settings = loaded.settings
    setup_logging(flags.verbose, quiet=flags.json)
    tf = normalise_timeframe(flags.timeframe or settings.market.timeframe)
    market_type = flags.market_type or settings.market.market_type
    if flags.funding and market_type != "futures":
        raise ConfigError("--funding: expected --market-type futures, saw spot; leave one of them out")
    since = when_ms(flags.since, "--since")
    until = None if flags.until is None else when_ms(flags.until, "--until", end=True)
    if until is not None and until < since:
        raise ConfigError(f"--until: expected a time after --since, saw {flags.until} and {flags.since}; swap them")
    names = [normalise_symbol(name) for name in (flags.symbol or settings.market.symbol).split(",")]
    where = venue(flags.exchange or settings.market.exchange, market_type, settings.endpoints)
    listings = [where.listing(name, settings.ingest, trading=False) for name in dict.fromkeys(names)]
    done: list[Download | None] = []
    try:
        for listing in listings:
            done += fetch_all(where, listing, tf, since, until, flags, settings.ingest)
    except DataUnavailable as error:
        raise DataUnavailable(f"{error}; what came is kept, and the same command goes on from there") from error
    if flags.json:
        print(
            json.dumps({"files": [asdict(each.entry) | {"fetched": each.fetched} for each in done if each is not None]})
        )
    return 0


def fetch_all(
    where: Venue,
    listing: Listing,
    tf: str,
    since: int,
    until: int | None,
    flags: argparse.Namespace,
    settings: IngestSettings,
) -> list[Download | None]:
    """One symbol's candles, and its funding where it was asked for."""
    now_ms, tf_ms = where.now_ms(settings), TIMEFRAMES[tf] // NS_PER_MS
    candles = CandleRows(where, listing, tf, settings)
    period = candles.period(since, until, now_ms)
    name = f"{listing.symbol} {tf}"
    console = progress_console(quiet=flags.json)
    with Store(flags.out) as store, Meter(name, "candles", console, size=tf_ms) as meter:
        done = [download(store, f"{where.folder}/{tf}", where, listing, candles, period, meter.reach, one=False)]
    if flags.funding:
        funding = FundingRows(where, listing, settings)
        hours = funding_period(period, until, now_ms)
        # where `ingest.files.funding.sibling_funding` looks for it
        root = flags.out.absolute().parent / "funding"
        with Store(root) as store, Meter(f"{name} funding", "hours", console, size=MS_PER_HOUR) as meter:
            done.append(download(store, where.folder, where, listing, funding, hours, meter.reach, one=True))
    if not flags.json:
        for each in done:
            print(f"{listing.symbol}: no funding was settled in this period" if each is None else sentence(each))
    return done


def sentence(done: Download) -> str:
    """What was done, in one line."""
    entry = done.entry
    count = len(entry.gaps)
    gaps = f"{count} gap{'s' * (count > 1)}, listed in manifest.json" if count else "no gaps"
    new = "downloaded" if done.fetched else "nothing new"
    return f"{done.root / entry.path}: {entry.rows:,} rows, {entry.first} to {entry.last}, {gaps}; {new}"


main = command(build_parser, run)


if __name__ == "__main__":
    sys.exit(main())
