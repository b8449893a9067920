"""What the doctor looks at: each check is a function that answers OK, WARN or FAIL, what was seen, and what mends it.

The exchange is asked with the product's own code (`ingest.rest.venue`, `ingest.live.feed`, `ingest.news`), so that what
is tested is what will be used.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from ingest.headlines.coingecko import fetch_prices
from ingest.live.feed import LiveFeed
from ingest.news import take_snapshot
from ingest.rest.clock import ClockReading
from ingest.rest.retry import said
from ingest.rest.venue import venue
from ingest.venues.facts import Listing
from ingest.venues.known import VENUES, own_addresses
from ingest.wire.records import books_compiled, load_books
from ingest.wire.streams import BookView, Stream
from utils.config import Loaded
from utils.errors import ConfigError, DataError, DataUnavailable, ScalperError
from utils.records.versions import CURRENT, Versions, written_ns
from utils.rows import NS_PER_MS, NS_PER_S, S_PER_HOUR
from utils.settings.tree import (
    EndpointSettings,
    IngestSettings,
    InstrumentSettings,
    MetaSettings,
    RetrainSettings,
    SecretSettings,
    Settings,
)
from utils.shell.rim import safe
from utils.types import BookSnapshot

OK, WARN, FAIL = "OK", "WARN", "FAIL"
#: Whose fault a FAIL is.
SETTING, MACHINE, EXCHANGE = "setting", "machine", "exchange"
SAMPLES = 5  # of round trip and clock
#: Free space below which logs and recordings will soon end, and below which nothing should start. Bytes.
SCARCE, TOO_LITTLE = 2 * 2**30, 200 * 2**20
MOST_ANSWER = 2**16  # of the API, bytes


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor."""

    name: str
    status: str  # OK, WARN or FAIL
    seen: str
    fix: str = ""  # what mends it; "" when nothing has to be done
    blame: str = ""  # of a FAIL: setting, machine or exchange


def told(name: str, status: str, error: ScalperError, blame: str = "") -> Check:
    """A check that ended in an error: its sentence, the cure at its end taken apart."""
    seen, semicolon, fix = str(error).rpartition("; ")
    return Check(name, status, seen, fix, blame) if semicolon else Check(name, status, str(error), blame=blame)


# --- the machine


def check_python(requirements: str, version_of: Callable[[str], str | None]) -> Check:
    """Python, and the packages that `requirements` (the text of requirements.txt) names."""
    python = ".".join(map(str, sys.version_info[:3]))
    missing, other = [], []
    wanted = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?((?:[<>=]=?[\d.]+,?)+)", requirements, re.MULTILINE)
    for name, limits in wanted:
        found = version_of(name)
        if found is None:
            missing.append(name)
        elif not all(_within(found, *limit) for limit in re.findall(r"([<>=]=?)([\d.]+)", limits)):
            other.append(f"{name} {found} (wanted: {limits})")
    fix = "pip install -r requirements.txt -c constraints.txt"
    if missing:
        return Check("python", FAIL, f"{python}, without {', '.join(missing)}", fix, MACHINE)
    if other:
        return Check("python", WARN, f"{python}, with {', '.join(other)}", fix)
    return Check("python", OK, f"{python}, {len(wanted)} packages as required")


def _within(found: str, sign: str, limit: str) -> bool:
    """Does a version keep one limit? Numbers only: 3.0rc1 counts as 3.0."""
    seen, bound = (tuple(map(int, re.findall(r"\d+", text)[:3])) for text in (found, limit))
    seen, bound = (number + (0,) * (3 - len(number)) for number in (seen, bound))
    return {">=": seen >= bound, "<": seen < bound, "<=": seen <= bound, ">": seen > bound}.get(sign, seen == bound)


def installed(name: str) -> str | None:
    """Version of an installed package; None = it is not there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_disk(name: str, folder: Path) -> Check:
    """Space where a folder is or would be, and whether a file can be made there."""
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    fix = f"make {place} writable, or name another place"
    shown = os.path.relpath(folder) if folder.absolute().is_relative_to(Path.cwd()) else folder
    try:
        free = shutil.disk_usage(place).free
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return Check(name, FAIL, f"{shown} cannot be written ({error.strerror or error})", fix, MACHINE)
    seen = f"{shown}{os.sep} can be written, {free / 2**30:.1f} GiB free"
    if free < TOO_LITTLE:
        return Check(name, FAIL, seen, "free some space before anything is started", MACHINE)
    return Check(name, WARN, seen, "free some space, or record elsewhere") if free < SCARCE else Check(name, OK, seen)


def check_compiled() -> Check:
    """Machine code of live books: made now if it is not kept yet, so that no message will have to wait for it."""
    doors = [door for venue in VENUES.values() if (door := venue.language().fast)]
    kept, began = books_compiled(*doors), time.perf_counter()
    load_books(*doors)
    if not books_compiled(*doors):
        fix = "make the folder of this program writable, or set NUMBA_CACHE_DIR to a folder that is"
        return Check("compiled", WARN, "machine code cannot be kept; every start compiles it anew", fix)
    made = "" if kept else f", made in {time.perf_counter() - began:.1f} s"
    return Check("compiled", OK, f"machine code of live books is kept{made}")


def check_time_zone(retrain: RetrainSettings, now: datetime) -> Check:
    """The zone of local hours; everything else is UTC."""
    try:
        there = now.astimezone(ZoneInfo(retrain.tz))
    except (KeyError, OSError):
        seen = f"this machine does not know {retrain.tz} (retrain.tz, LOCAL_TZ)"
        return Check("time zone", FAIL, seen, "pip install tzdata", MACHINE)
    return Check(
        "time zone", OK, f"{retrain.tz}, now {there:%H:%M} (UTC{there.isoformat()[-6:]}); data and logs are UTC"
    )


def check_model(meta: MetaSettings, retrain: RetrainSettings, now: datetime) -> Check:
    """The version that serves, if one is to, and how old the newest is: from `retrain.max_age_hours` on it is old."""
    versions = Versions(meta.dir)
    try:
        names = versions.names()
        serving = (meta.version or versions.current()) if meta.enabled else None
        if serving is not None:
            versions.read(serving)
    except DataError as error:
        return told("model", FAIL, error, MACHINE)
    except OSError as error:
        return Check("model", FAIL, f"{meta.dir} cannot be read ({said(error)})", "let it be read", MACHINE)
    if meta.enabled and serving is None:
        seen = f"one is to serve (meta.enabled), and no {CURRENT} in {meta.dir} names it"
        return Check("model", FAIL, seen, "train one with ./scripts/retrain.sh, or set meta.enabled: false", SETTING)
    which = f"{serving} serves{', frozen' * bool(meta.version)}" if serving else "none serves (meta.enabled is off)"
    ages = [(now.timestamp() - at / NS_PER_S, name) for name in names if (at := written_ns(name)) is not None]
    ages = [(age_s, name) for age_s, name in ages if age_s > -S_PER_HOUR]  # one dated ahead has no age
    if not ages:
        return Check("model", OK, f"{which}, none was trained yet")
    age_s, newest = min(ages)
    age_h = max(0.0, age_s / S_PER_HOUR)
    seen = f"{which}; {'it' if newest == serving else f'the newest, {newest},'} is {age_h:.1f} h old"
    if age_h > retrain.max_age_hours and (meta.enabled or retrain.auto):
        cure = "start the API, which then trains" if retrain.auto else "train again with ./scripts/retrain.sh"
        return Check("model", WARN, seen, f"{cure}, or raise retrain.max_age_hours ({retrain.max_age_hours:g})")
    return Check("model", OK, seen)


# --- the API


def ask_api(settings: Settings, hurried: IngestSettings, port: int) -> Iterator[Check]:
    """What answers at a port of this machine, and whether its data are fresh; an API that does not run is no fault."""
    where, token, asks = f"http://127.0.0.1:{port}", settings.secrets.api_token, "asks for no token"
    try:
        status, answered = _api_says(port, "/health/live", hurried.timeout_s)
        if (status, answered.get("status")) != (200, "alive"):
            seen = f"something else answers at {where} (status {status})"
            yield Check("api", WARN, seen, "stop it, or name another port with --api-port")
            return
        status, answered = _api_says(port, "/health", hurried.timeout_s)
        if status == 401:
            asks = "asks for a token"
            if token is not None:
                status, answered = _api_says(port, "/health", hurried.timeout_s, token.get_secret_value())
    except ConnectionRefusedError:
        yield Check("api", OK, f"not running at {where}; uvicorn app:app --port {port} starts it")
    except (OSError, HTTPException) as error:
        seen = f"{where}: expected an answer within {hurried.timeout_s:g} s, saw {said(error)}"
        yield Check("api", WARN, seen, "look into its log, and start it again")
    else:
        yield check_health(status, answered, f"alive at {where}, {asks}", given=token is not None)


def check_health(status: int, answered: Mapping[str, Any], seen: str, *, given: bool) -> Check:
    """What the API says of its data.

    Args:
        status: of its answer.
        answered: the answer; `reasons` says what is stale, `error` why there is none.
        seen: the beginning of what is said.
        given: a token was set here, and sent where one was asked for.
    """
    if status == 200:
        return Check("api", OK, f"{seen}; its data are fresh")
    if status == 401 and given:
        return Check("api", WARN, f"{seen}, another than is set here", "set SCALPER__SECRETS__API_TOKEN to its token")
    if status == 401:
        return Check("api", OK, f"{seen}; none is set here, so that no more is known")
    error = answered.get("error")
    why = error.get("message") if isinstance(error, Mapping) else answered.get("reasons")
    reasons = "; ".join(map(str, why)) if isinstance(why, list) else str(why or "no reason")
    return Check("api", WARN, f"{seen}; status {status}: {safe(reasons)[:300]}", "see /health, and its log")


def _api_says(port: int, path: str, timeout_s: float, token: str = "") -> tuple[int, Mapping[str, Any]]:
    """Status and JSON object of an answer; an empty one where it is none."""
    connection = HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        body = answer.read(MOST_ANSWER)
    finally:
        connection.close()
    with suppress(ValueError, RecursionError):
        if isinstance(answered := json.loads(body), dict):
            return answer.status, answered
    return answer.status, {}


# --- the settings


def check_settings(loaded: Loaded) -> Check:
    """Where the settings came from; that they are legal has been seen when they were loaded."""
    places = [origin for origin in loaded.origin.values() if origin != "default"]
    kinds = dict.fromkeys(re.sub(r"(:\d+| .*)$", "", place) for place in places)
    counts = [f"{sum(place.startswith(kind) for place in places)} from {kind}" for kind in kinds if kind[:2] != "--"]
    return Check("settings", OK, f"{len(loaded.origin)} known, " + (", ".join(counts) or "all defaults"))


def check_secrets(secrets: SecretSettings, dotenv: Path) -> Check:
    """Which keys are set, never what they are; and whether others on this machine could read them."""
    names = {
        "CRYPTOPANIC_TOKEN": secrets.cryptopanic_token,
        "COINGECKO_API_KEY": secrets.coingecko_api_key,
        "SCALPER__SECRETS__API_TOKEN": secrets.api_token,
    }
    seen = ", ".join(f"{name} {'set' if value else 'not set'}" for name, value in names.items())
    if dotenv.is_file() and dotenv.stat().st_mode & 0o077 and sys.platform != "win32" and any(names.values()):
        return Check("secrets", WARN, f"{seen}; others on this machine can read {dotenv}", f"chmod 600 {dotenv}")
    return Check("secrets", OK, seen)


def check_endpoints(endpoints: EndpointSettings, origin: Mapping[str, str]) -> Check:
    """Which addresses are not those of the services themselves."""
    own = own_addresses()
    moved = {name: url for name, url in endpoints if url != own.get(name)}
    if not moved:
        return Check("endpoints", OK, "every service at its own address")
    hosts: dict[str, list[str]] = {}
    for name, url in moved.items():
        hosts.setdefault(urlsplit(url).netloc, []).append(name)
    seen = "; ".join(f"{', '.join(names)} at {host}" for host, names in hosts.items())
    places = dict.fromkeys(origin[f"endpoints.{name}"].partition(" ")[0].partition(":")[0] for name in moved)
    fix = f"for real data, take these endpoints out of {' and '.join(places)}".replace(
        " environment", " the environment"
    )
    return Check("endpoints", WARN, f"not the services themselves: {seen}", fix)


# --- the exchange


def ask_exchange(settings: Settings, hurried: IngestSettings) -> Iterator[Check]:
    """Round trip, clock and instrument, by REST.

    Args:
        settings: what is asked, and where.
        hurried: `settings.ingest` with as much patience as the doctor has.
    """
    market = settings.market
    place = venue(market.exchange, market.market_type, settings.endpoints)
    try:
        readings = [place.measure(hurried) for _ in range(SAMPLES)]
    except DataUnavailable as error:
        yield told("rest", FAIL, error, EXCHANGE)
        yield Check("clock", WARN, "not compared, as the exchange did not answer", "mend what stands above first")
        yield Check("symbol", WARN, "not looked up, as the exchange did not answer", "mend what stands above first")
        return
    yield check_round_trip(readings, settings.execution.entry_latency_ms)
    yield check_clock(readings, settings.ingest.max_skew_ms, market.exchange)
    try:
        listing = place.listing(market.symbol, hurried, trading=False)
    except ConfigError as error:
        yield told("symbol", FAIL, error, SETTING)
    except DataUnavailable as error:
        yield told("symbol", FAIL, error, EXCHANGE)
    else:
        yield check_listing(listing, settings.instrument(listing.market, listing.symbol))


def check_round_trip(readings: Sequence[ClockReading], entry_latency_ms: float) -> Check:
    """REST answers, and how fast, against the delay that simulations assume for an order."""
    trips = sorted(reading.rtt_ns / NS_PER_MS for reading in readings)
    median = statistics.median(trips)
    seen = f"round trip {median:.0f} ms, {trips[0]:.0f} to {trips[-1]:.0f} ms in {len(trips)} requests"
    if median / 2 > entry_latency_ms:
        fix = f"set execution.entry_latency_ms to {median / 2:.0f} or more, or run nearer to the exchange"
        return Check("rest", WARN, f"{seen}; an order takes longer than the {entry_latency_ms:g} ms assumed", fix)
    return Check("rest", OK, seen)


def check_clock(readings: Sequence[ClockReading], max_skew_ms: float, exchange: str) -> Check:
    """The machine's clock against the exchange's: median of the readings, +- how wrong the best of them may be."""
    offset = statistics.median(reading.offset_ns for reading in readings) / NS_PER_MS
    error = min(reading.error_ns for reading in readings) / NS_PER_MS
    side = "behind" if offset > 0 else "ahead of"
    seen = f"{abs(offset):.0f} ms {side} {exchange}, ± {error:.0f} ms, median of {len(readings)}"
    if abs(offset) <= max_skew_ms:
        return Check("clock", OK, seen)
    fix = "set the clock by NTP (Linux: timedatectl set-ntp true; macOS and Windows: set time automatically)"
    return Check("clock", WARN, f"{seen}; more than {max_skew_ms:g} ms", fix)


def check_listing(listing: Listing, ours: InstrumentSettings) -> Check:
    """What the exchange lists for the symbol, against `instruments` in the settings."""
    where = f"instruments.{listing.market}.{listing.symbol}"
    theirs = {
        "tick": listing.tick_size,
        "lot": listing.lot_size,
        "min_notional": listing.min_notional,
    }
    said = ", ".join(f"{name} {value:g}" for name, value in theirs.items() if value is not None)
    seen = f"{listing.symbol} {listing.status}: {said}; fees maker {ours.maker_bps:g}, taker {ours.taker_bps:g} bps"
    if not listing.active:
        fix = "wait until it trades, or choose another symbol"
        return Check("symbol", FAIL, f"{listing.symbol} does not trade (status {listing.status})", fix, EXCHANGE)
    unlike = [
        f"{name}: {value:g}" for name, value in theirs.items() if value is not None and value != getattr(ours, name)
    ]
    most = listing.max_leverage
    if most is not None and ours.max_leverage is not None and ours.max_leverage > most:
        unlike.append(f"max_leverage: {most:g}")
    if unlike:
        return Check("symbol", WARN, f"{seen}; the settings differ", f"under {where} set {', '.join(unlike)}")
    return Check("symbol", OK, seen)


def ask_stream(settings: Settings, hurried: IngestSettings) -> Iterator[Check]:
    """A socket, a subscription, and the first book."""
    began = time.perf_counter()
    try:
        view = asyncio.run(_first_book(settings, hurried))
    except ConfigError as error:
        yield told("stream", FAIL, error, SETTING)
    except DataUnavailable as error:
        yield told("stream", FAIL, error, EXCHANGE)
    else:
        yield check_book(view, time.perf_counter() - began)


async def _first_book(settings: Settings, hurried: IngestSettings) -> BookView:
    market = settings.market
    stream = Stream("book", market.symbol, depth=settings.ingest.book_depth)
    limit_s = 1.5 * hurried.timeout_s  # a feed that hears nothing says why before
    try:
        async with (
            LiveFeed(
                market.exchange,
                [stream],
                market_type=market.market_type,
                endpoints=settings.endpoints,
                settings=hurried,
            ) as feed,
            asyncio.timeout(limit_s),
        ):
            async for noun in feed:
                if isinstance(noun, BookSnapshot):
                    return feed.book(market.symbol, stream.depth)
    except TimeoutError:
        pass
    raise DataUnavailable(
        f"{market.exchange}: expected a book of {market.symbol} within {limit_s:g} s, saw none; check the connection,"
        " and that no firewall or proxy stops wss"
    )


def check_book(view: BookView, took_s: float) -> Check:
    """The first book of the stream."""
    levels = f"{len(view.bids)} and {len(view.asks)} levels"
    if not (view.bids and view.asks):
        return Check("stream", WARN, f"first book after {took_s:.1f} s, {levels}", "nobody quotes; wait for a market")
    bid, ask = view.bids[0][0], view.asks[0][0]
    spread = 2e4 * (ask - bid) / (ask + bid)
    return Check("stream", OK, f"first book after {took_s:.1f} s: {bid:g} / {ask:g} ({spread:.2f} bps), {levels}")


def ask_news(settings: Settings, hurried: IngestSettings) -> Iterator[Check]:
    """The keys that are set, by one request each; news is no condition of trading, so silence is a warning."""
    secrets = settings.secrets
    if not (secrets.cryptopanic_token or secrets.coingecko_api_key):
        yield Check("news", OK, "no key set, so there are no headlines")
        return
    try:
        if secrets.cryptopanic_token or settings.ingest.coingecko_plan == "pro":
            seen = take_snapshot((), endpoints=settings.endpoints, settings=hurried, secrets=secrets, limit=1)
            newest = seen.headlines[0].title[:60] if seen.headlines else "none just now"
            yield Check("news", OK, f"headlines from {seen.source}; the newest: {newest}")
        else:
            (price,) = fetch_prices(["BTC"], settings.endpoints, hurried, secrets)
            yield Check("news", OK, f"CoinGecko's demo key works (BTC {price.price:g} USD), but it has no headlines")
    except ConfigError as error:
        yield told("news", FAIL, error, SETTING)
    except DataUnavailable as error:
        yield told("news", WARN, error)
