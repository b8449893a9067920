"""One exchange as REST answers through ccxt: made once a process, asked politely, believed only after a look.

`Venue.call` is the one way a request goes out: it takes the exchange's door (`ingest.rest.retry.Door`), checks the
answer while it still holds it, tries again what may succeed later, and ends in `DataUnavailable` naming exchange, call
and cause. Nothing here ever answers with data that did not come from the exchange.

Threads may share everything; one exchange's requests go out one after the other, as its limits count by address.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import stamina
import urllib3.exceptions

from ingest.rest import checks as check
from ingest.rest.body import LIST, PAGE, PIECE, TIME, Body, Limit, Unreadable, check_parts
from ingest.rest.cache import uptime
from ingest.rest.client import base_of, exchange_name, make_client
from ingest.rest.clock import ClockReading, ExchangeClock
from ingest.rest.listing import Market, by_name, listing_of, unknown_symbol
from ingest.rest.retry import Answer, BadVenueData, Door, Trouble, judge, patience
from ingest.venues.facts import Listing, Refusals, Rest
from ingest.venues.known import MARKET_TYPES, folder_of, place_of
from ingest.wire.fields import Refused, strict_json
from utils.config import load_settings
from utils.errors import ConfigError, DataUnavailable
from utils.market.symbols import normalise_symbol
from utils.rows import NS_PER_MS, NS_PER_S, S_PER_DAY
from utils.settings.tree import EndpointSettings, IngestSettings

T = TypeVar("T")

#: Ticks, lots and listings change: markets are asked for again after a day.
MARKETS_LIFE_S = S_PER_DAY
#: Of the weight that an exchange allows one address so much is ours: other programs share it.
SHARE = 0.7
#: What an exchange that we do not know may be like.
STRANGER = Rest(ccxt="", types=(), host="", at="")


class Venue:
    """One exchange and market type. Get it from `venue`, which keeps one a process.

    Args:
        exchange: ccxt's name, or one of `ingest.venues.known` for any of its markets.
        market_type: futures or spot.
        base: address that takes the exchange's place; "" = its own.
        door: shared by all that ask this address.
        wall_ns: the machine's clock, ns.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        exchange: str,
        market_type: str,
        base: str,
        door: Door,
        wall_ns: Callable[[], int] = time.time_ns,
        clock: Callable[[], float] = uptime,
    ) -> None:
        self.exchange, self.market_type, self.base = exchange, market_type, base
        self.folder = folder_of(exchange, market_type)
        self.name = f"{exchange} {market_type}"
        place = place_of(exchange, market_type)
        self.ours = place.venue if place else None  # what we know of it besides what ccxt does
        self.rest = place.market.rest or STRANGER if place else STRANGER
        self.refusals = place.venue.refusals if place else Refusals()
        self.client = make_client(exchange, market_type, base)
        self.client.session.hooks["response"].append(self._read)
        self._door, self._wall_ns, self._uptime_s = door, wall_ns, clock
        self._clock = ExchangeClock(wall_ns, clock)
        self._setup = threading.RLock()  # one thread loads markets or reads the clock, the others wait for it
        self._deadline_s = 0.0  # of one answer
        self._limit = PAGE  # likewise
        self._answer: Answer | None = None
        self._markets: tuple[float, dict[str, Market]] | None = None

    @property
    def answer(self) -> Answer:
        """The last answer, for checks that look at the wire itself; only inside `call`.

        Raises:
            BadVenueData: there was none.
        """
        if self._answer is None:
            raise BadVenueData("expected an answer, saw none")
        return self._answer

    def call(self, what: str, ask: Callable[[Any], T], settings: IngestSettings, limit: Limit = PAGE) -> T:
        """What `ask` returns, tried as often as the settings allow.

        Args:
            what: the call and its subject, for messages.
            ask: uses the ccxt client it is given, checks what came, and raises BadVenueData if it cannot be believed.
            settings: timeout, attempts and waits.
            limit: how much an answer may hold.

        Raises:
            DataUnavailable: it did not answer, answered garbage, or has banned us; its cause is the last error.
        """
        retrying = stamina.RetryingCaller(
            attempts=settings.retries,
            timeout=None,
            wait_initial=settings.backoff_s,
            wait_max=settings.backoff_max_s,
            wait_jitter=settings.backoff_s,
        )
        try:
            return retrying(patience(f"{self.name} {what}", settings), self._once, ask, settings, limit)
        except Trouble as trouble:
            raise self._unavailable(what, trouble, settings) from trouble.__cause__

    def _once(self, ask: Callable[[Any], T], settings: IngestSettings, limit: Limit) -> T:
        import ccxt

        with self._door.passing():
            self._answer = None
            self._deadline_s, self._limit = settings.timeout_s, limit
            self.client.timeout = int(1000.0 * settings.timeout_s)
            try:
                return ask(self.client)
            # inside ccxt a body that is not what it expects ends in any of Python's own errors
            except (
                *(ccxt.BaseError, BadVenueData, TypeError, ValueError, LookupError),
                *(AttributeError, ArithmeticError, RecursionError),
            ) as error:
                now_ms = (self._wall_ns() + self._clock.offset_ns) / NS_PER_MS
                trouble = judge(error, self._answer, now_ms, settings.timeout_s, self.refusals)
                if trouble.kind == "rate":
                    self._door.quiet(max(trouble.wait_s, settings.backoff_s))
                elif trouble.kind == "ban":
                    trouble = self._door.ban(trouble, now_ms)
                raise trouble from error

    def _unavailable(self, what: str, trouble: Trouble, settings: IngestSettings) -> DataUnavailable:
        tried = f" after {settings.retries} attempts" if trouble.kind in {"transient", "rate"} else ""
        cure = {
            "transient": "try again later, or look at the connection",
            "rate": "wait, and run fewer programs that ask it from this address",
            "ban": "stop every program that asks it from this address, and wait until then",
            "fatal": "change what is asked for, or choose another exchange",
        }[trouble.kind]
        return DataUnavailable(f"{self.name}: {what} failed{tried}: {trouble.cause}; {cure}")

    def _read(self, response: Any, *_: object, **__: object) -> None:
        """Read an answer's body, whole but not for ever: requests limits the time of each piece alone.

        A hook of requests, called when the headers are there.
        """
        elapsed_s = response.elapsed.total_seconds()
        wall_ns, deadline = self._wall_ns(), self._uptime_s() - elapsed_s + self._deadline_s
        body, trouble = b"", ""
        try:
            body = self._body(response, deadline)
        except (Unreadable, Refused) as error:
            response.close()
            trouble = str(error)
        except urllib3.exceptions.HTTPError:
            trouble = "the answer broke off"
        status, reason = response.status_code, str(response.reason or "")
        self._answer = Answer(status, reason, response.headers, body, not trouble, wall_ns, elapsed_s)
        if trouble and status == HTTPStatus.OK:  # of a refusal the status says enough
            raise BadVenueData(trouble)
        response.raw = io.BytesIO(body)  # where requests goes on reading
        self._note(self._answer)

    def _body(self, response: Any, deadline: float) -> bytes:
        """The body of an answer, once it is known to be no more than a reader can take.

        Raises:
            Unreadable: it is too long, too late, or cannot be unpacked.
            Refused: it is JSON against the rules.
        """
        coming = Body(response.headers.get("Content-Encoding", ""), self._limit.size)
        in_time = True
        try:
            while piece := response.raw.read1(PIECE, decode_content=False):
                coming.add(piece)
                in_time = self._uptime_s() <= deadline
                if not in_time:
                    break
        except urllib3.exceptions.ReadTimeoutError:
            in_time = False
        if not in_time:
            raise Unreadable(
                f"expected a whole answer within {self._deadline_s:g} s, saw {len(coming.data)} bytes and no end"
            )
        body = coming.whole()
        check_parts(body, self._limit.parts)
        if self.ours:
            with contextlib.suppress(ValueError, RecursionError):  # no JSON is said by whoever reads it
                strict_json(body)
        return body

    def _note(self, answer: Answer) -> None:
        """What every answer says beside its body: the weight we have used, and the time to the second."""
        used = str(answer.headers.get(self.rest.used, ""))
        now_s = (answer.wall_ns + self._clock.offset_ns) / NS_PER_S
        if used.isascii() and used.isdigit() and float(used) > SHARE * self.rest.weight:
            self._door.quiet(60.0 - now_s % 60.0)  # the count begins anew with the minute
        self._clock.note(answer)

    # --- time

    def reading(self, settings: IngestSettings) -> ClockReading:
        """How far the exchange's clock is ahead, measured within the last minutes.

        If the exchange tells no time, the Date of its answers has to do.

        Raises:
            DataUnavailable: it did not say.
        """
        with self._setup:
            reading = self._clock.reading()
            return self._clock.keep(self._read_clock(settings)) if reading is None else reading

    def _read_clock(self, settings: IngestSettings) -> ClockReading:
        if self.client.has["fetchTime"]:
            return self.measure(settings)
        if not self._clock.holds(self._clock.dated):
            self._markets = None
        self.markets(settings)
        if self._clock.dated is None:
            raise DataUnavailable(f"{self.name}: it tells no time, and candles cannot be told closed without it")
        return self._clock.dated

    def measure(self, settings: IngestSettings) -> ClockReading:
        """One new measurement, kept by nobody.

        Raises:
            DataUnavailable: the exchange did not say.
        """
        return self.call("fetch_time", self._measure, settings, TIME)

    def _measure(self, client: Any) -> ClockReading:
        return self._clock.told(check.time_ms(client.fetch_time(), "exchange time"), self.answer)

    def now_ms(self, settings: IngestSettings) -> float:
        """Exchange time, the earliest it can be: what closes before this has closed."""
        reading = self.reading(settings)
        return (self._wall_ns() + reading.offset_ns - reading.error_ns) / NS_PER_MS

    def seen_ms(self) -> float:
        """Exchange time when the last answer came; only inside `call`, and after `reading`."""
        return (self.answer.wall_ns + self._clock.offset_ns) / NS_PER_MS

    def at_present(self, client: Any, look: Callable[[float], T]) -> T:
        """What `look` says of the last answer at the present time (ms), and if it refuses, of the time asked for anew.

        Only inside `call`, and after `reading`: an exchange in a box may run faster than the world.
        """
        try:
            return look(self.seen_ms())
        except BadVenueData:
            if not client.has["fetchTime"]:
                raise
            return look(float(check.time_ms(client.fetch_time(), "exchange time")))

    # --- instruments

    def markets(self, settings: IngestSettings) -> Mapping[str, Market]:
        """Markets of this type as ccxt has them, by exchange id and by base and quote; asked for once a day.

        Raises:
            DataUnavailable: the exchange did not say.
            ConfigError: it has no markets of this type.
        """
        with self._setup:
            if self._markets is None or self._uptime_s() - self._markets[0] > MARKETS_LIFE_S:
                found = self.call("load_markets", self._load, settings, LIST)
                if not found:
                    kind = "linear perpetual futures" if self.market_type == "futures" else "spot pairs"
                    raise ConfigError(f"{self.exchange} has no {kind}; choose another exchange or market type")
                self._markets = (self._uptime_s(), found)
            return self._markets[1]

    def _load(self, client: Any) -> dict[str, Market]:
        # reload: ccxt keeps what garbage left behind, and answers from it
        return by_name(check.markets(client.load_markets(True)).values(), self.market_type)

    def listing(self, symbol: str, settings: IngestSettings, *, trading: bool = True) -> Listing:
        """The instrument of a symbol in any known spelling.

        Args:
            symbol: BTCUSDT, BTC/USDT:USDT, ...
            settings: for asking, if need be.
            trading: refuse one that does not trade now.

        Raises:
            ConfigError: no such symbol here; the nearest ones are named.
            DataUnavailable: the exchange did not say, or has halted the symbol.
        """
        name = normalise_symbol(symbol)
        known = self.markets(settings)
        if name not in known:
            raise unknown_symbol(symbol, name, known, self.exchange, self.market_type)
        try:
            found = listing_of(known[name], self.folder, self.client.precisionMode, by_id=self.ours is not None)
        except BadVenueData as error:
            raise DataUnavailable(f"{self.name}: what it lists for {name} cannot be believed: {error}") from error
        if trading and not found.active:
            raise DataUnavailable(
                f"{self.name}: {found.symbol} does not trade (status {found.status}); wait, or choose another symbol"
            )
        return found

    def close(self) -> None:
        """Close its connections."""
        self.client.close()


# --- one of each a process

_venues: dict[tuple[str, str, str], Venue] = {}
_doors: dict[tuple[str, str], Door] = {}
_lock = threading.Lock()


def venue(exchange: str, market_type: str = "futures", endpoints: EndpointSettings | None = None) -> Venue:
    """The process's one client of an exchange and market type.

    Args:
        exchange: any exchange ccxt knows.
        market_type: futures (linear perpetuals) or spot.
        endpoints: where the exchanges live; None = by settings file and environment.

    Raises:
        ConfigError: no such exchange or market type.
    """
    name = exchange_name(exchange)
    if market_type not in MARKET_TYPES:
        raise ConfigError(f"market type: expected futures or spot, saw {market_type!r}; choose one of these")
    base = base_of(name, market_type, endpoints or load_settings().settings.endpoints)
    with _lock:
        key = (name, market_type, base)
        if key not in _venues:
            door = _doors.setdefault((name, base), Door(name))
            _venues[key] = Venue(name, market_type, base, door)
        return _venues[key]


def close_venues() -> None:
    """Close every client of this process; the next call makes new ones."""
    with _lock:
        for each in _venues.values():
            each.close()
        _venues.clear()
        _doors.clear()


atexit.register(close_venues)


def configured(
    endpoints: EndpointSettings | None, settings: IngestSettings | None
) -> tuple[EndpointSettings, IngestSettings]:
    """What was given, and for what was not, settings file and environment."""
    if endpoints is not None and settings is not None:
        return endpoints, settings
    loaded = load_settings().settings
    return endpoints or loaded.endpoints, settings or loaded.ingest


def server_time_ns(
    exchange: str,
    market_type: str = "futures",
    *,
    endpoints: EndpointSettings | None = None,
    settings: IngestSettings | None = None,
) -> int:
    """The exchange's time now, ns UTC: the machine's clock, corrected by an offset measured within the last minutes.

    Raises:
        ConfigError: no such exchange or market type.
        DataUnavailable: the exchange did not answer.
    """
    return time.time_ns() + clock_offset(exchange, market_type, endpoints=endpoints, settings=settings).offset_ns


def clock_offset(
    exchange: str,
    market_type: str = "futures",
    *,
    endpoints: EndpointSettings | None = None,
    settings: IngestSettings | None = None,
) -> ClockReading:
    """How far the exchange's clock is ahead of the machine's, and how wrong that may be; raises as `server_time_ns`."""
    endpoints, settings = configured(endpoints, settings)
    return venue(exchange, market_type, endpoints).reading(settings)


def instrument(
    symbol: str,
    exchange: str,
    market_type: str = "futures",
    *,
    endpoints: EndpointSettings | None = None,
    settings: IngestSettings | None = None,
) -> Listing:
    """What an exchange allows for one symbol: tick, lot, least order, status; of one that does not trade, too.

    Raises:
        ConfigError: no such exchange, market type or symbol.
        DataUnavailable: the exchange did not answer.
    """
    endpoints, settings = configured(endpoints, settings)
    return venue(exchange, market_type, endpoints).listing(symbol, settings, trading=False)
