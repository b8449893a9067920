"""Typed settings: one frozen tree, every field with meaning, unit and range, every value with its source.

Precedence: command line, environment, `.env`, `config.yaml`, default. Settings are built once, at an entry point, and
parts of them are handed to constructors; nothing imports a settings object. `python -m utils.config` prints a fresh
`config.yaml` with every default.

Environment names are `SCALPER__SECTION__KEY` and the few in `PLAIN_NAMES`. SYMBOL, TF, HORIZON, TAKE_BPS, STOP_BPS,
EXCHANGE and LIMIT belong to `scripts/retrain.sh` alone: words so common must not change a simulation because some
other program exported them.

Plain pydantic and PyYAML, not pydantic-settings: it triples the import time (0.5 s against 0.15 s, measured), and it
knows neither the line of a value nor which source won.
"""

from __future__ import annotations

import io
import os
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, Strict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from utils.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent

Timeframe: TypeAlias = Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w"]
#: A switch may be written true, yes, on or 1: `AUTO_RETRAIN=1` is promised.
Switch: TypeAlias = Annotated[bool, Strict(strict=False)]


def setting(default: Any, meaning: str, unit: str, allowed: str = "", **limits: Any) -> Any:
    """A field of the settings tree: its default, plain meaning, unit, and limits (`gt`, `ge`, `lt`, `le`, `pattern`).

    `allowed` says the range in words where the limits cannot.
    """
    return Field(default, description=meaning, json_schema_extra={"unit": unit, "range": allowed}, **limits)


def known_zone(name: str) -> str:
    """The name, if it is a time zone of the IANA data base; ValueError otherwise."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, OSError) as error:
        raise ValueError(f"no time zone {name!r}") from error
    return name


class Section(BaseModel):
    """A frozen part of the tree: unknown keys, text for numbers, NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def field(cls, name: str) -> FieldInfo | None:
        """The field of a key; None = no such key."""
        return cls.model_fields.get(name)


class MarketSettings(Section):
    """What is traded, and where."""

    symbol: str = setting(
        "BTCUSDT",
        "Instrument, by its exchange id.",
        "name",
        "capital letters, digits, _ and -",
        pattern="^[A-Z0-9_-]+$",
    )
    timeframe: Timeframe = setting("5m", "Length of a candle.", "name")
    #: The table of exchanges (`ingest.venues.known`) stands above this package: whoever uses the name looks there.
    exchange: str = setting(
        "bybit", "Exchange that real data comes from.", "name", "binance, bybit", pattern="^[a-z0-9]+$"
    )
    market_type: Literal["futures", "spot"] = setting("futures", "Linear perpetual futures, or spot.", "name")


class InstrumentEntry(Section):
    """What one entry of `instruments` may say; null or absent = taken from the venue's `default`, or inferred."""

    tick: float | None = setting(None, "Smallest price step; null = inferred from the warm-up bars.", "quote", gt=0)
    lot: float | None = setting(None, "Smallest quantity step; null = 0.001, said in the assumptions.", "base", gt=0)
    min_notional: float | None = setting(None, "Smallest order value the venue accepts; null = none.", "quote", ge=0)
    maker_bps: float | None = setting(None, "Fee of an order that rested; below 0 = rebate.", "bps", ge=-10, le=100)
    taker_bps: float | None = setting(None, "Fee of an order that crossed the spread.", "bps", ge=-10, le=100)
    max_leverage: float | None = setting(
        None, "Notional over equity that the venue allows; null = only risk.max_leverage.", "ratio", ge=1, le=200
    )
    maintenance_margin: float | None = setting(
        None,
        "Share of notional below which the venue liquidates; null = 0.005, said in the assumptions.",
        "fraction",
        ge=0,
        lt=1,
    )


class InstrumentSettings(InstrumentEntry):
    """One instrument, merged from the fallback, its venue's default and its own entry: fees are always known."""

    maker_bps: float
    taker_bps: float


#: Venue -> symbol -> entry. Ticks divide every price of the recorded candles; SOLUSDT on Binance is left out: some of
#: its highs and lows are off the 0.01 tick, and its lot changed in 2025. Sources: Bybit instruments-info of 2026-08-09;
#: Binance candles of 2025, minimum notionals as its order errors (-4164) name them. Fees: VIP 0.
INSTRUMENTS: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "default": {"default": {"maker_bps": 2.0, "taker_bps": 5.0}},
    "binance_usdm": {
        "default": {"maker_bps": 2.0, "taker_bps": 5.0},
        "BTCUSDT": {"tick": 0.1, "lot": 0.001, "min_notional": 100.0},
        "ETHUSDT": {"tick": 0.01, "lot": 0.001, "min_notional": 20.0},
        "XRPUSDT": {"tick": 0.0001, "lot": 0.1, "min_notional": 5.0},
        "BNBUSDT": {"tick": 0.01, "lot": 0.01, "min_notional": 5.0},
    },
    "binance_spot": {"default": {"maker_bps": 10.0, "taker_bps": 10.0}},
    "bybit_linear": {
        "default": {"maker_bps": 2.0, "taker_bps": 5.5},
        "BTCUSDT": {"tick": 0.1, "lot": 0.001, "min_notional": 5.0, "max_leverage": 100.0},
        "ETHUSDT": {"tick": 0.01, "lot": 0.01, "min_notional": 5.0, "max_leverage": 100.0},
        "SOLUSDT": {"tick": 0.01, "lot": 0.1, "min_notional": 5.0, "max_leverage": 100.0},
    },
    "bybit_spot": {"default": {"maker_bps": 10.0, "taker_bps": 10.0}},
}
VENUES = (*INSTRUMENTS, "synthetic")
#: Data folders that hold another view of a venue's market.
SAME_VENUE = {"binance_usdm_flow": "binance_usdm"}


class SignalSettings(Section):
    """The default strategy."""

    trend_weight: float = setting(1.0, "Weight of the trend, fast less slow average.", "none", ge=0, le=100)
    stretch_weight: float = setting(1.0, "Weight of the pullback, distance from the mean.", "none", ge=0, le=100)
    flow_weight: float = setting(0.5, "Weight of the flow of 20 bars.", "none", ge=0, le=100)
    min_strength: float = setting(20.0, "Lowest strength that is acted upon.", "points", ge=0, le=100)
    adapt_quantile: float = setting(
        0.97, "Share of recent bars whose strength must lie below the threshold.", "fraction", ge=0.5, le=0.999
    )
    adapt_halflife: float = setting(500.0, "Memory of that share.", "bars", gt=0, le=1_000_000)
    vol_tilt: float = setting(
        10.0, "Points added to the threshold per unit of fast over slow volatility above 1.", "points", ge=0, le=1000
    )
    vol_low: float = setting(0.5, "Lowest fast over slow volatility that is traded.", "ratio", ge=0, le=100)
    vol_high: float = setting(3.0, "Highest fast over slow volatility that is traded.", "ratio", gt=0, le=100)
    min_volume_ratio: float = setting(
        0.1, "Thinnest volume that is traded, over the mean of 20 bars; 0 = off.", "ratio", ge=0, le=20
    )
    max_roll_bps: float = setting(
        20.0, "Widest spread that is traded, as Roll estimates it from closes.", "bps", ge=0, le=10_000
    )
    max_book_spread_bps: float = setting(
        5.0, "Widest spread of a live order book that is traded; candles alone have none.", "bps", gt=0, le=1000
    )
    max_flow_against: float = setting(
        0.3, "Most flow of 20 bars against the side that is still traded.", "fraction", ge=0, le=1
    )
    edge_per_sigma: float = setting(
        0.15,
        "Expected move over volatility of the horizon at strength 100; a prior, not measured.",
        "ratio",
        ge=0,
        le=10,
    )
    veto_below_break_even: Switch = setting(
        False, "Refuse entries whose win probability does not pay their costs.", "switch"
    )

    @model_validator(mode="after")
    def _ordered(self) -> SignalSettings:
        if self.vol_low >= self.vol_high:
            raise ValueError(f"expected vol_low below vol_high, saw {self.vol_low} and {self.vol_high}")
        return self


class RiskSettings(Section):
    """Barriers, size and limits."""

    take_bps: float = setting(25.0, "Take-profit distance from the entry fill.", "bps", gt=0, le=1000)
    stop_bps: float = setting(18.0, "Stop-loss distance from the entry fill.", "bps", gt=0, le=1000)
    horizon: int = setting(20, "Longest holding time.", "bars", ge=1, le=100_000)
    stop: Literal["bps", "atr"] = setting("bps", "What sets the stop distance: stop_bps or stop_atr.", "name")
    stop_atr: float = setting(1.5, "Stop distance when stop is atr.", "average true ranges", gt=0, le=20)
    trail: Literal["off", "bps", "atr"] = setting("off", "Trailing stop: none, by trail_bps or by trail_atr.", "name")
    trail_bps: float = setting(12.0, "Trailing distance when trail is bps.", "bps", gt=0, le=1000)
    trail_atr: float = setting(2.0, "Trailing distance when trail is atr.", "average true ranges", gt=0, le=20)
    sizing: Literal["risk", "fixed"] = setting("risk", "Size an entry by risk_per_trade or by fixed_notional.", "name")
    risk_per_trade: float = setting(0.0025, "Share of equity lost when the stop is hit.", "fraction", gt=0, le=0.05)
    fixed_notional: float = setting(1000.0, "Value of an entry when sizing is fixed.", "quote", gt=0, le=1e9)
    max_leverage: float = setting(3.0, "Highest notional over equity, all positions together.", "ratio", gt=0, le=125)
    max_positions: int = setting(3, "Most positions open at once.", "positions", ge=1, le=1000)


class ExecutionSettings(Section):
    """How entries reach the market."""

    entry: Literal["market", "limit", "post_only"] = setting("post_only", "Kind of entry order.", "name")
    limit_offset_bps: float = setting(
        1.0, "Distance of a resting entry from the deciding close, away from the market.", "bps", ge=0, le=1000
    )
    limit_bars: int = setting(3, "Time a resting entry waits before it expires.", "bars", ge=1, le=1000)
    entry_latency_ms: float = setting(50.0, "Delay from decision to market.", "ms", ge=0, le=60_000)


class SimulationSettings(Section):
    """The simulated account and market."""

    initial_capital: float = setting(10_000.0, "Equity at the start.", "quote", gt=0, le=1e12)
    seed: int = setting(7, "Seed of the synthetic market.", "none", ge=0, le=2**32 - 1)
    spread_bps: float = setting(1.0, "Full quoted spread where no book says better.", "bps", ge=0, le=1000)
    slippage_bps: float = setting(1.0, "Extra adverse price of each market order.", "bps", ge=0, le=1000)
    impact: float = setting(
        0.5, "Market impact Y in Y x volatility x sqrt(quantity / bar volume).", "ratio", ge=0, le=10
    )
    volume_cap: float = setting(0.02, "Share of a bar's volume one entry may take.", "fraction", gt=0, le=1)
    bar_delay_ms: float = setting(500.0, "Delay from a bar's close to its arrival.", "ms", ge=0, le=60_000)
    steps: int = setting(500, "Bars on which decisions are made, warm-up not counted.", "bars", ge=1, le=100_000_000)
    warmup_bars: int | None = setting(
        None, "Bars before the first decision; null = what the strategy needs.", "bars", ge=0, le=1_000_000
    )
    equity_step_s: float = setting(60.0, "Shortest time between two rows of equity.csv.", "s", gt=0, le=86_400)
    preset: str = setting(
        "large-tick", "Kind of synthetic market.", "name", "small letters, digits and hyphens", pattern="^[a-z0-9-]+$"
    )


def checked_address(address: str, scheme: str) -> str:
    """The address without a slash at its end; unencrypted only on this machine, as keys travel with requests.

    Args:
        address: as it was given.
        scheme: http or ws.
    """
    from urllib.parse import urlsplit

    parts = urlsplit(address)
    local = parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if not parts.hostname or parts.scheme not in ({f"{scheme}s", scheme} if local else {f"{scheme}s"}):
        raise ValueError(f"no {scheme}s address: {address!r}")
    if parts.username or parts.query or parts.fragment or parts.port == 0 or re.search(r"\s", address):
        raise ValueError("an address holds no user, query, fragment, port 0 or space")
    return address.rstrip("/")


RestAddress: TypeAlias = Annotated[str, AfterValidator(partial(checked_address, scheme="http"))]
StreamAddress: TypeAlias = Annotated[str, AfterValidator(partial(checked_address, scheme="ws"))]
_REST = ("address", "https; http on this machine only")
_STREAM = ("address", "wss; ws on this machine only")


FurtherAddress: TypeAlias = Annotated[
    str, AfterValidator(lambda address: checked_address(address, "ws" if address.startswith("ws") else "http"))
]


class EndpointSettings(Section):
    """Where the exchanges and news live; point these at `python -m ingest.replay_server` to work without them.

    An exchange that was added since brings its addresses in its own folder (`ingest.venues.known`), which this package
    cannot see; a key of the form `<exchange>_rest` or `<exchange>_ws` replaces one all the same.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, FurtherAddress] = Field(init=False)

    binance_rest: RestAddress = setting("https://fapi.binance.com", "Binance USD-M futures, REST.", *_REST)
    binance_ws: StreamAddress = setting("wss://fstream.binance.com", "Binance USD-M futures, streams.", *_STREAM)
    binance_spot_rest: RestAddress = setting("https://api.binance.com", "Binance spot, REST.", *_REST)
    binance_spot_ws: StreamAddress = setting("wss://stream.binance.com:9443", "Binance spot, streams.", *_STREAM)
    bybit_rest: RestAddress = setting("https://api.bybit.com", "Bybit v5, REST.", *_REST)
    bybit_ws: StreamAddress = setting("wss://stream.bybit.com", "Bybit v5, streams.", *_STREAM)
    cryptopanic: RestAddress = setting("https://cryptopanic.com", "CryptoPanic, headlines.", *_REST)
    coingecko: RestAddress = setting("https://api.coingecko.com", "CoinGecko with a demo key, or without.", *_REST)
    coingecko_pro: RestAddress = setting("https://pro-api.coingecko.com", "CoinGecko with a paid key.", *_REST)

    @classmethod
    def field(cls, name: str) -> FieldInfo | None:
        """The field of a key, also of one that only the table of exchanges knows."""
        further = re.fullmatch(r"[a-z0-9]+(?:_[a-z0-9]+)*_(rest|ws)", name)
        if name in cls.model_fields or not further:
            return super().field(name)
        unit, allowed = _REST if further[1] == "rest" else _STREAM
        return FieldInfo(annotation=str, json_schema_extra={"unit": unit, "range": allowed})

    @model_validator(mode="after")
    def _named(self) -> EndpointSettings:
        for name, address in (self.model_extra or {}).items():
            if self.field(name) is None or name.endswith("_ws") != address.startswith("ws"):
                raise ValueError(f"expected <exchange>_rest with https or <exchange>_ws with wss, saw {name} {address}")
        return self


class IngestSettings(Section):
    """How sources outside are asked, watched and retried."""

    timeout_s: float = setting(10.0, "Longest wait for one answer.", "s", gt=0, le=300)
    retries: int = setting(4, "Most attempts of one request that may succeed later.", "attempts", ge=1, le=20)
    backoff_s: float = setting(0.5, "First wait before another attempt; it doubles, with jitter.", "s", gt=0, le=60)
    backoff_max_s: float = setting(30.0, "Longest wait before another attempt.", "s", gt=0, le=3600)
    cache_s: float = setting(15.0, "Life of a cached answer; the order path never uses the cache.", "s", ge=0, le=3600)
    heartbeat_s: float = setting(20.0, "Time between two pings on a stream.", "s", gt=0, le=60)
    stale_s: float = setting(
        10.0, "Exchange time may stand still so long before a book counts as stale.", "s", gt=0, le=3600
    )
    book_depth: Literal[50, 200, 1000] = setting(50, "Levels a side of a streamed Bybit book.", "levels")
    queue: int = setting(10_000, "Events a slow reader may lag; then books begin anew.", "events", ge=10, le=10_000_000)
    max_frame_mib: float = setting(8.0, "Longest message of a stream that is read.", "MiB", gt=0, le=256)
    max_skew_ms: float = setting(250.0, "Clock difference to the exchange that is warned of.", "ms", gt=0, le=60_000)
    cryptopanic_path: str = setting(
        "api/developer/v2", "Path of your CryptoPanic plan.", "path", "such as api/v1", pattern="^[a-z0-9/]+$"
    )
    coingecko_plan: Literal["demo", "pro"] = setting("demo", "Kind of CoinGecko key: it does not tell.", "name")


class LogSettings(Section):
    """Where a run writes."""

    dir: Annotated[Path, Strict(strict=False)] = setting(
        Path("logs"), "Directory of trades.csv and its siblings.", "path", "a directory"
    )


class ComputeSettings(Section):
    """Where work of many independent runs is done, such as a parameter search."""

    cluster: str = setting(
        "",
        "Scheduler of a Dask cluster; empty = the cores of this machine.",
        "address",
        "tcp://host:port or tls://host:port, or empty",
        pattern=r"^$|^(tcp|tls)://[^\s/]+:[0-9]+$",
    )


class RetrainSettings(Section):
    """When the model is trained again; nothing reads these until there is a model."""

    auto: Switch = setting(False, "Train daily, and at API start when artifacts are absent or old.", "switch")
    daily_hour: int = setting(3, "Local hour of the daily training.", "hour", ge=0, le=23)
    max_age_hours: float = setting(24.0, "Age from which artifacts are old.", "h", gt=0, le=8760)
    tz: Annotated[str, AfterValidator(known_zone)] = setting(
        "Europe/Vienna", "Time zone of daily_hour.", "name", "an IANA time zone such as Europe/Vienna"
    )


class SecretSettings(Section):
    """Keys of others' services: from the environment or `.env` only, never shown."""

    cryptopanic_token: SecretStr | None = setting(None, "Key of CryptoPanic, for headlines.", "secret", "text")
    coingecko_api_key: SecretStr | None = setting(
        None, "Key of CoinGecko; paid plans bring headlines.", "secret", "text"
    )


class Settings(Section):
    """All settings. Hand parts of it to constructors; `model_dump(mode="json", exclude={"secrets"})` for run.json."""

    market: MarketSettings = Field(default_factory=MarketSettings)
    instruments: Mapping[str, Mapping[str, InstrumentEntry]] = Field(
        default_factory=lambda: {
            venue: {symbol: InstrumentEntry(**entry) for symbol, entry in symbols.items()}
            for venue, symbols in INSTRUMENTS.items()
        }
    )
    signal: SignalSettings = Field(default_factory=SignalSettings)
    risk: RiskSettings = Field(default_factory=RiskSettings)
    execution: ExecutionSettings = Field(default_factory=ExecutionSettings)
    simulation: SimulationSettings = Field(default_factory=SimulationSettings)
    endpoints: EndpointSettings = Field(default_factory=EndpointSettings)
    ingest: IngestSettings = Field(default_factory=IngestSettings)
    logs: LogSettings = Field(default_factory=LogSettings)
    compute: ComputeSettings = Field(default_factory=ComputeSettings)
    retrain: RetrainSettings = Field(default_factory=RetrainSettings)
    secrets: SecretSettings = Field(default_factory=SecretSettings)

    def instrument(self, venue: str, symbol: str) -> InstrumentSettings:
        """What is known of one instrument: the venue's `default` entry under the symbol's own, field by field.

        Args:
            venue: name of the market's data folder; one without an entry is charged as `default`.
            symbol: exchange id.

        Raises:
            ConfigError: the settings took the fees away.
        """
        name = SAME_VENUE.get(venue, venue)
        symbols = self.instruments.get(name) or self.instruments.get("default", {})
        layers = (self.instruments.get("default", {}).get("default"), symbols.get("default"), symbols.get(symbol))
        merged: dict[str, float] = {}
        for layer in layers:
            merged |= layer.model_dump(exclude_none=True) if layer else {}
        for fee in ("maker_bps", "taker_bps"):
            if fee not in merged:
                raise ConfigError(f"instruments.{name}.{symbol}: no {fee}; set instruments.default.default.{fee}")
        return InstrumentSettings(**merged)


#: Promised names that stand without the prefix; `SCALPER__SECTION__KEY` names the same settings.
PLAIN_NAMES = {
    "CRYPTOPANIC_TOKEN": "secrets.cryptopanic_token",
    "COINGECKO_API_KEY": "secrets.coingecko_api_key",
    "AUTO_RETRAIN": "retrain.auto",
    "RETRAIN_DAILY_HOUR": "retrain.daily_hour",
    "RETRAIN_MAX_AGE_HOURS": "retrain.max_age_hours",
    "LOCAL_TZ": "retrain.tz",
}
PREFIX = "SCALPER__"


class Given(NamedTuple):
    """A value somebody set, and where."""

    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and for each dotted key where its value came from."""

    settings: Settings
    origin: Mapping[str, str]


class Row(NamedTuple):
    """One line of `--show-config`; `value` is null, bool, number or text."""

    key: str
    value: object
    unit: str
    range: str
    source: str


# --- what the tree knows about its keys


def section_model(name: str) -> type[Section] | None:
    """The class of a top-level section; None for `instruments` and for unknown names."""
    field = Settings.model_fields.get(name)
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def field_of(key: str) -> FieldInfo | None:
    """The field a dotted key names; None = no such key."""
    match key.split("."):
        case ["instruments", venue, symbol, name] if is_section(f"instruments.{venue}.{symbol}"):
            return InstrumentEntry.model_fields.get(name)
        case [section, name]:
            model = section_model(section)
            return model.field(name) if model else None
    return None


def is_section(key: str) -> bool:
    """Whether a dotted key names a group of keys."""
    match key.split("."):
        case [""] | ["instruments"]:
            return True
        case ["instruments", venue]:
            return venue in VENUES
        case ["instruments", venue, symbol]:
            return venue in VENUES and (symbol == "default" or re.fullmatch(r"[A-Z0-9_-]+", symbol) is not None)
        case [section]:
            return section_model(section) is not None
    return False


def leaves(node: BaseModel | Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each dotted key below `node` with its value."""
    for name, value in node.items() if isinstance(node, Mapping) else node:
        if isinstance(value, (BaseModel, Mapping)):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def default_leaves() -> dict[str, object]:
    """Each dotted key with its default; of `instruments` only what is configured."""
    found: dict[str, object] = {}
    for section in Settings.model_fields:
        model = section_model(section)
        fields = model.model_fields if model else {}
        found |= {f"{section}.{name}": field.default for name, field in fields.items()}
        found |= {} if model else dict(leaves(INSTRUMENTS, f"{section}."))
    return found


def nearest(key: str) -> str | None:
    """The known key most like `key`: the same name in another section, else the closest spelling."""
    import difflib

    known = [*default_leaves(), *Settings.model_fields, *(f"instruments.{venue}" for venue in VENUES)]
    same_name = [other for other in known if not other.startswith("instruments.") and other.endswith(f".{key}")]
    close = same_name or difflib.get_close_matches(key, known, 1)
    return close[0] if close else None


def kinds_of(field: FieldInfo) -> tuple[Any, ...]:
    """The types a field accepts, NoneType among them where null is allowed."""
    union = get_origin(field.annotation) in {Union, types.UnionType}
    return get_args(field.annotation) if union else (field.annotation,)


def unit_of(field: FieldInfo) -> str:
    """The unit a field was declared with."""
    extra = field.json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) else ""


def limits_of(field: FieldInfo) -> str:
    """What a field accepts besides null, in words."""
    extra = field.json_schema_extra
    kind = kinds_of(field)[0]
    if isinstance(extra, dict) and extra["range"]:
        return str(extra["range"])
    if kind is bool:
        return "true or false"
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    limits = ((word, getattr(rule, name, None)) for name, word in words.items() for rule in field.metadata)
    return " and ".join(f"{word} {limit:.15g}" for word, limit in limits if limit is not None)


def or_null(field: FieldInfo) -> str:
    """The end of a range that null belongs to."""
    return ", or null" if type(None) in kinds_of(field) else ""


def range_of(field: FieldInfo) -> str:
    """What a field accepts, in words."""
    return limits_of(field) + or_null(field)


def expected(field: FieldInfo) -> str:
    """What a field accepts, as the object of "expected"."""
    kind = kinds_of(field)[0]
    if kind not in {int, float}:
        return ("one of " if get_origin(kind) is Literal else "") + range_of(field)
    noun = "a whole number" if kind is int else "a number"
    unit = {"none": "", "ratio": "", "fraction": " as a fraction"}.get(unit_of(field), f" {unit_of(field)}")
    return f"{noun} {limits_of(field)}{unit}{or_null(field)}"


# --- sources


class _Yaml(yaml.SafeLoader):
    """YAML 1.2 scalars: `off` and `no` are words, 1e-3 is a number, 010 is ten, dates are text."""


def _whole(_: _Yaml, node: yaml.ScalarNode) -> int | str:
    # Python refuses absurdly long numbers; as text they fail the range check with a sentence
    return int(node.value) if len(node.value) < 100 else str(node.value)


_NUMBER = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
_Yaml.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", "[-+]?[0-9]+", list("-+0123456789")),
    ("float", rf"{_NUMBER}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.0123456789")),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    _Yaml.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)
_Yaml.add_constructor("tag:yaml.org,2002:int", _whole)


def scalar(text: str) -> object:
    """The value a YAML scalar written as `text` has."""
    loader = _Yaml("")
    return loader.construct_object(yaml.ScalarNode(loader.resolve(yaml.ScalarNode, text, (True, False)), text))  # type: ignore[no-untyped-call]


def read_text(path: Path) -> str:
    """The text of a settings file; ConfigError if it cannot be had."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8 text, saw the byte 0x{error.object[error.start]:02x}") from error
    except OSError as error:
        raise ConfigError(f"{path}: expected a readable settings file ({error.strerror})") from error


def from_yaml(path: Path) -> dict[str, Given]:
    """The settings of a YAML file, each with its line."""
    text = read_text(path)
    try:
        loader = _Yaml(text)
        root = loader.get_single_node()
        return dict(walk(loader, root, "", path.name)) if root is not None else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path.name}{where}: not valid YAML ({error.problem or error.context})") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path.name}: not valid YAML ({' '.join(str(error).split())})") from error


def walk(loader: _Yaml, node: yaml.Node, prefix: str, name: str) -> Iterator[tuple[str, Given]]:
    """The settings below a YAML node; refuses unknown and repeated keys and secrets."""
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode) and prefix and loader.construct_object(node) is None:
        return
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{name} line {line}: expected `key: value` lines{f' under {prefix}' if prefix else ''}")
    seen: dict[str, int] = {}
    for key_node, value in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(f"{name} line {line}: expected a plain word as key")
        word = key_node.value
        key = f"{prefix}.{word}" if prefix else word
        if word in seen:
            raise ConfigError(f"{name} line {line}: {key} stands in line {seen[word]} already; keep one of them")
        seen[word] = line
        if word.lower() in SecretSettings.model_fields or key == "secrets":
            raise ConfigError(
                f"{name} line {line}: {key} is a secret; remove it here and set it in the environment or in .env"
            )
        if is_section(key):
            yield from walk(loader, value, key, name)
        elif field_of(key):
            yield key, Given(loader.construct_object(value, deep=True), f"{name}:{line}")
        else:
            raise ConfigError(f"{name} line {line}: unknown key {key}{did_you_mean(nearest(key))}")


def did_you_mean(name: str | None) -> str:
    """The end of a sentence about an unknown name."""
    return f"; did you mean {name}?" if name else "; --show-config lists every key"


def environment_name(key: str) -> str:
    """The environment's name of a dotted key."""
    return PREFIX + key.replace(".", "__").upper()


def from_names(names: Mapping[str, str], source: str) -> dict[str, Given]:
    """The settings among environment variables; empty ones count as not set."""
    found: dict[str, Given] = {}
    named: dict[str, str] = {}
    for name, text in names.items():
        if name in PLAIN_NAMES:
            key = PLAIN_NAMES[name]
        elif name.upper().startswith(PREFIX):
            parts = name[len(PREFIX) :].lower().split("__")
            if len(parts) == 4 and parts[2] != "default":
                parts[2] = parts[2].upper()
            key = ".".join(parts)
        else:
            continue
        field = field_of(key)
        if field is None:
            close = nearest(key)
            advice = did_you_mean(environment_name(close) if close else None)
            raise ConfigError(f"{source}: {name} names no setting{advice}")
        if not text.strip():
            continue
        if key in named and names[named[key]] != text:
            raise ConfigError(f"{source}: {named[key]} and {name} both set {key}; keep one of them")
        named[key] = name
        # a symbol, a path or a key made of digits is still text
        value = scalar(text.strip()) if kinds_of(field)[0] in {bool, int, float} else text.strip()
        found[key] = Given(value, source if source == ".env" else f"{source} {name}")
    return found


def from_dotenv(path: Path) -> dict[str, Given]:
    """The settings of a `.env` file; variables inside values are not expanded."""
    from dotenv.parser import parse_stream

    names: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(read_text(path))):
        if binding.error:
            raise ConfigError(f"{path.name} line {binding.original.line}: expected NAME=value")
        if binding.key is not None:
            names[binding.key] = binding.value or ""
    return from_names(names, ".env")


def from_flags(flags: Mapping[str, object], flag_names: Mapping[str, str]) -> dict[str, Given]:
    """The settings of the command line, by dotted key; None = the flag was not given."""
    given: dict[str, Given] = {}
    for key, value in flags.items():
        flag = flag_names.get(key, "--" + key.rpartition(".")[2].replace("_", "-"))
        if field_of(key) is None:
            raise ConfigError(f"{flag}: {key} names no setting{did_you_mean(nearest(key))}")
        if key.startswith("secrets."):
            raise ConfigError(f"{flag}: {key} is a secret; set it in the environment or in .env")
        if value is not None:
            given[key] = Given(value, flag)
    return given


# --- the tree


def load_settings(
    config: Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
    dotenv: Path | None = None,
    flags: Mapping[str, object] | None = None,
    flag_names: Mapping[str, str] | None = None,
) -> Loaded:
    """The settings: command line over environment over `.env` over YAML over defaults.

    Args:
        config: YAML file; None = `config.yaml` beside the program, if there is one.
        env: environment; None = that of the process.
        dotenv: file of environment lines; None = `.env` in the working directory, if there is one.
        flags: values from the command line by dotted key; None values count as not given.
        flag_names: what flags are called where it is not their key's last word, as `logs.dir` -> `--logs-dir`.

    Raises:
        ConfigError: a file that cannot be read, an unknown key or name, a wrong value; the message names its place.
    """
    file = config or ROOT / "config.yaml"
    local = dotenv or Path(".env")
    given = from_yaml(file) if config or file.is_file() else {}
    given |= from_dotenv(local) if dotenv or local.is_file() else {}
    given |= from_names(os.environ if env is None else env, "environment")
    given |= from_flags(flags or {}, flag_names or {})

    defaults = default_leaves()
    # other defaults are left to pydantic, which does not check them: a machine without time zones can still simulate
    values = {key: value for key, value in defaults.items() if key.startswith("instruments.")}
    values |= {key: item.value for key, item in given.items()}
    origin = dict.fromkeys(defaults, "default") | {key: item.origin for key, item in given.items()}
    try:
        settings = Settings.model_validate(tree(values))
    except ValidationError as error:
        raise ConfigError("; ".join(complaint(item, origin) for item in error.errors())) from None
    return Loaded(settings, origin)


def tree(values: Mapping[str, object]) -> dict[str, Any]:
    """Dotted keys as nested mappings."""
    root: dict[str, Any] = {}
    for key, value in values.items():
        *path, name = key.split(".")
        node = root
        for part in path:
            node = node.setdefault(part, {})
        node[name] = value
    return root


def complaint(item: Mapping[str, Any], origin: Mapping[str, str]) -> str:
    """One sentence about a wrong value: expected, seen, where from, what to do."""
    key = ".".join(map(str, item["loc"]))
    field = field_of(key)
    if field is None:
        sources = dict.fromkeys(place(o) for k, o in origin.items() if k.startswith(f"{key}.") and o != "default")
        return f"{key}: {item['msg'].removeprefix('Value error, ')} (from {', '.join(sources)}); change one of them"
    # an address may hold a password, which is why it was refused
    seen = "another" if key.startswith("secrets.") else re.sub(r"//[^/]*@", "//hidden@", repr(item["input"]))[:80]
    default = default_leaves().get(key)
    cure = f"; the default is {default}" if default is not None else ""
    return f"{key}: expected {expected(field)}, saw {seen} (from {place(origin[key])}){cure}"


def place(origin: str) -> str:
    """An origin as it is said in a sentence."""
    return re.sub(r":(\d+)$", r" line \1", origin)


def show_config(loaded: Loaded) -> list[Row]:
    """Every setting with value, unit, range and source; of secrets only whether they are set."""
    rows = []
    for key, value in leaves(loaded.settings):
        field = field_of(key)
        if field is None or key not in loaded.origin:
            continue
        shown = str(value) if isinstance(value, Path) else value
        if unit_of(field) == "secret":
            shown = "not set" if value is None else "set, hidden"
        rows.append(Row(key, shown, unit_of(field), range_of(field), loaded.origin[key]))
    return rows


def default_yaml() -> str:
    """The text of `config.yaml`: every key with its default, under its meaning, unit and range."""

    def about(field: FieldInfo) -> str:
        return f"{field.description} Unit: {unit_of(field)}. Range: {range_of(field)}."

    def line(name: str, value: object) -> str:
        plain = str(value) if isinstance(value, Path) else value
        return yaml.safe_dump({name: plain}, sort_keys=False, width=200).strip()

    def entry(values: Mapping[str, float]) -> str:
        return yaml.safe_dump(dict(values), sort_keys=False, default_flow_style=True, width=200).strip()

    out = [
        "# Every setting with its default. Precedence: command line, environment (SCALPER__SECTION__KEY), .env, this",
        "# file, default. `python run_simulation.py --show-config` prints what holds and where it came from.",
        "# Secrets do not belong here: see .env.example.",
    ]
    for section in Settings.model_fields:
        model = section_model(section)
        if model is None:
            out += ["", "# What the venues allow and charge: venue, then symbol; `default` holds for other symbols,"]
            out += ["# and the venue `default` for other venues. A key left out falls back to `default`."]
            out += [f"# {name}: {about(field)}" for name, field in InstrumentEntry.model_fields.items()]
            out += [f"{section}:"]
            for venue, symbols in INSTRUMENTS.items():
                out += [f"  {venue}:", *(f"    {symbol}: {entry(values)}" for symbol, values in symbols.items())]
        elif model is not SecretSettings:
            out += ["", f"# {(model.__doc__ or '').splitlines()[0]}", f"{section}:"]
            for name, field in model.model_fields.items():
                out += [f"  # {about(field)}", f"  {line(name, field.default)}"]
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    print(default_yaml(), end="")
