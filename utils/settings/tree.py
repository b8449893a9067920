"""Every setting: one frozen tree of sections, each field with its meaning, unit, range and default.

Parts of the tree are handed to constructors; nothing imports a settings object. Where values come from, `utils.config`
says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, Strict, model_validator
from pydantic.fields import FieldInfo

from utils.errors import ConfigError
from utils.market.symbols import linear_symbol


def _timeframe(text: str) -> str:
    """The ccxt name of a timeframe."""
    if text in get_args(Timeframe):
        return text
    from utils.market.timeframes import normalise_timeframe  # brings NumPy, which a start need not wait for

    return normalise_timeframe(text)


def _as_spelled(read: Callable[[str], str]) -> BeforeValidator:
    """Brings a text to its one spelling, as behind a flag; what is none is left for the field to refuse."""

    def spelled(value: Any) -> Any:
        try:
            return read(value) if isinstance(value, str) else value
        except ConfigError as error:
            raise ValueError(str(error)) from None

    return BeforeValidator(spelled)


Timeframe: TypeAlias = Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w"]
SpelledTimeframe: TypeAlias = Annotated[Timeframe, _as_spelled(_timeframe)]
SpelledSymbol: TypeAlias = Annotated[str, _as_spelled(linear_symbol)]
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


def _bearer(token: SecretStr | None) -> SecretStr | None:
    """The token, if a header can carry it and nobody guesses it; a pattern does not reach into a secret."""
    if token is not None and not re.fullmatch(r"[A-Za-z0-9._~+/=-]{16,200}", token.get_secret_value()):
        raise ValueError("no token")
    return token


class Section(BaseModel):
    """A frozen part of the tree: unknown keys, text for numbers, NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def field(cls, name: str) -> FieldInfo | None:
        """The field of a key; None = no such key."""
        return cls.model_fields.get(name)


class MarketSettings(Section):
    """What is traded, and where."""

    symbol: SpelledSymbol = setting(
        "BTCUSDT",
        "Instrument, by its exchange id.",
        "name",
        "a spot pair or a linear perpetual, such as BTCUSDT or BTC/USDT:USDT",
    )
    timeframe: SpelledTimeframe = setting("5m", "Length of a candle.", "name")
    #: The table of exchanges (`ingest.venues.known`) stands above this package: whoever uses the name looks there.
    exchange: str = setting(
        "bybit", "Exchange that real data comes from.", "name", "binance, bybit", pattern="^[A-Za-z0-9]+$"
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
    stop_floor_costs: float = setting(
        3.0, "Least ATR stop, times spread plus slippage; 0 = off.", "ratio", ge=0, le=100
    )
    stop_liquidation: float = setting(
        2.0, "The way to liquidation is at least so many stops; 0 = off.", "ratio", ge=0, le=100
    )
    trail: Literal["off", "bps", "atr", "chandelier"] = setting(
        "off",
        "Trailing stop: none, by trail_bps, by trail_atr of the entry, or by trail_atr of each bar (chandelier).",
        "name",
    )
    trail_bps: float = setting(12.0, "Trailing distance when trail is bps.", "bps", gt=0, le=1000)
    trail_atr: float = setting(
        2.0, "Trailing distance when trail is atr or chandelier.", "average true ranges", gt=0, le=20
    )
    sizing: Literal["risk", "fixed"] = setting("risk", "Size an entry by risk_per_trade or by fixed_notional.", "name")
    risk_per_trade: float = setting(0.0025, "Share of equity lost when the stop is hit.", "fraction", gt=0, le=0.05)
    fixed_notional: float = setting(1000.0, "Value of an entry when sizing is fixed.", "quote", gt=0, le=1e9)
    max_leverage: float = setting(3.0, "Highest notional over equity, all positions together.", "ratio", gt=0, le=125)
    max_positions: int = setting(3, "Most positions open at once.", "positions", ge=1, le=1000)
    limits: Switch = setting(
        False,
        "Ask the limits below at each entry, and let the breakers watch; off in simulations, to show what costs do.",
        "switch",
    )
    max_risk_per_trade: float = setting(
        0.01, "Most equity that one entry may lose at its stop; 0 = off.", "fraction", ge=0, le=0.5
    )
    kelly_fraction: float = setting(
        0.25, "Share of Kelly's size that an entry with a win probability may have; 0 = off.", "fraction", ge=0, le=1
    )
    max_net_leverage: float = setting(2.0, "Highest |longs less shorts| over equity; 0 = off.", "ratio", ge=0, le=125)
    max_heat: float = setting(0.04, "Most equity lost if all stops were hit at once; 0 = off.", "fraction", ge=0, le=1)
    max_correlated_heat: float = setting(
        0.03, "Likewise with correlations: root of h' C h; 0 = off.", "fraction", ge=0, le=1
    )
    max_cluster_risk: float = setting(
        0.02, "Most heat of positions that move with an entry; 0 = off.", "fraction", ge=0, le=1
    )
    cluster_correlation: float = setting(
        0.7, "Correlation above which positions move together.", "correlation", ge=0, le=1
    )
    correlation_floor: float = setting(
        0.5, "Least correlation of two positions of one side.", "correlation", ge=-1, le=1
    )
    correlation_halflife: float = setting(288.0, "Memory of correlations.", "bars", gt=0, le=1_000_000)
    max_depth_share: float = setting(
        0.05, "Share of the depth within 5 bps that an entry may take, where a book is known; 0 = off.", "fraction",
        ge=0, le=1,
    )  # fmt: skip
    target_volatility_bps: float = setting(
        0.0, "Volatility of a bar above which entries shrink in proportion; 0 = off.", "bps", ge=0, le=10_000
    )
    drawdown_floor: float = setting(
        0.85,
        "Share of the highest equity, since a drawdown halt ended, at which entries are shrunk to nothing; 0 = off.",
        "fraction",
        ge=0,
        lt=1,
    )
    max_daily_loss: float = setting(
        0.02, "Loss of a UTC day that trips a breaker until midnight; 0 = off.", "fraction", ge=0, lt=1
    )
    on_daily_loss: Literal["block", "flatten"] = setting(
        "block", "What it does: no entries, or no entries and every position closed.", "name"
    )
    max_losses: int = setting(
        5, "Trades lost in a row that block entries for losses_pause_minutes; 0 = off.", "trades", ge=0, le=1000
    )
    losses_pause_minutes: float = setting(60.0, "How long they do.", "minutes", gt=0, le=100_000)
    max_drawdown: float = setting(
        0.1,
        "Fall below the highest equity, since such a halt ended, that trips a breaker; 0 = off.",
        "fraction",
        ge=0,
        lt=1,
    )
    on_drawdown: Literal["block", "flatten"] = setting(
        "block", "What it does: no entries, or no entries and every position closed.", "name"
    )
    drawdown_pause_hours: float = setting(
        0.0, "How long it holds; 0 = until somebody lifts it.", "hours", ge=0, le=100_000
    )
    cooldown_bars: int = setting(1, "Rest of a symbol after a stop that lost; 0 = off.", "bars", ge=0, le=100_000)
    max_age_bars: float = setting(
        3.0,
        "Age of a price that equity or the entry hangs on, and that blocks entries; 0 = off.",
        "bars",
        ge=0,
        le=100_000,
    )
    max_spread_bps: float = setting(
        0.0, "Spread of a book that blocks entries, where one is known; 0 = off.", "bps", ge=0, le=10_000
    )
    max_volatility_bps: float = setting(
        0.0, "Volatility of a bar that blocks entries; 0 = off.", "bps", ge=0, le=10_000
    )


class ExecutionSettings(Section):
    """How entries reach the market."""

    entry: Literal["market", "limit", "post_only", "auto"] = setting(
        "post_only", "Kind of entry order; auto = for each signal the one that pays most after costs, or none.", "name"
    )
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
    max_impact_bps: float = setting(
        200.0,
        "Most that half the spread, slippage and impact take together of a market order's price.",
        "bps",
        gt=0,
        le=5000,
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

    @model_validator(mode="after")
    def _capped(self) -> SimulationSettings:
        fixed = self.spread_bps / 2.0 + self.slippage_bps
        if fixed > self.max_impact_bps:
            raise ValueError(
                f"expected half of spread_bps plus slippage_bps within max_impact_bps ({self.max_impact_bps:g}), "
                f"saw {fixed:g}"
            )
        return self


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
        further = re.fullmatch(r"([a-z0-9]+)(?:_[a-z0-9]+)*_(rest|ws)", name)
        known = {own.partition("_")[0] for own in cls.model_fields}
        # what nearly names an exchange that has its keys here is a slip of the pen, and no other exchange
        if name in cls.model_fields or not further or get_close_matches(further[1], known, 1, 0.8):
            return super().field(name)
        unit, allowed = _REST if further[2] == "rest" else _STREAM
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
    feed_latency_ms: float = setting(
        50.0, "Delay from exchange to us, where a recording does not say when a message came.", "ms", ge=0, le=60_000
    )
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


class FeatureSettings(Section):
    """Features of a data set besides those of candles; a source that is switched on and not there is an error."""

    news: Switch = setting(False, "Columns of headlines, from snapshots that were recorded.", "switch")
    news_dir: Annotated[Path, Strict(strict=False)] = setting(
        Path("data/tapes"), "Where scripts/record.py --news kept them.", "path", "a directory"
    )
    positioning: Switch = setting(False, "Columns of positioning; nothing records it yet.", "switch")


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


class MetaSettings(Section):
    """The meta-model: whether it judges signals, and where its versions are kept."""

    enabled: Switch = setting(
        False, "Signals carry the model's win probability, and it may refuse them; a retrain turns it on.", "switch"
    )
    dir: Annotated[Path, Strict(strict=False)] = setting(
        Path("model/artifacts"),
        "Folder of the versions, and of CURRENT, which names the one that serves.",
        "path",
        "a directory",
    )
    version: str = setting(
        "",
        "Version that serves whatever CURRENT says; empty = CURRENT.",
        "name",
        "a version, or empty",
        pattern=r"^$|^[A-Za-z0-9][A-Za-z0-9._-]*$",
    )
    ledger: Annotated[Path, Strict(strict=False)] = setting(
        Path("model/artifacts/trials.jsonl"), "Where each configuration ever tried is written down.", "path", "a file"
    )


class ApiSettings(Section):
    """The signal over HTTP: where its data come from, and what it grants to whom."""

    source: str = setting(
        "exchange",
        "Where markets come from: streams of the exchange, and its REST answers while there are none; or a recording.",
        "name",
        "exchange, rest, or tape:FILE with a file of candles",
        pattern=r"^(exchange|rest|tape:.+)$",
    )
    max_markets: int = setting(8, "Most symbols and timeframes that are followed at once.", "markets", ge=1, le=200)
    idle_minutes: float = setting(
        60.0, "A market that nobody has asked for so long is no longer followed.", "minutes", gt=0, le=100_000
    )
    history_bars: int = setting(
        2_000, "Closed candles that a market is begun with; the adaptive threshold remembers them.", "bars",
        ge=500, le=50_000,
    )  # fmt: skip
    timeout_s: float = setting(10.0, "Longest that a request waits for its answer.", "s", gt=0, le=300)
    rate_per_s: float = setting(
        50.0, "Requests of one client that are answered; 0 = all of them.", "requests/s", ge=0, le=1_000_000
    )
    burst: int = setting(100, "Requests of one client that may come at once.", "requests", ge=1, le=1_000_000)
    max_streams: int = setting(2_000, "Most readers of /signals/stream at once.", "readers", ge=1, le=100_000)
    heartbeat_s: float = setting(15.0, "Time between two signs of life on a quiet stream.", "s", gt=0, le=300)
    kept_events: int = setting(
        1_000, "Events that a reader who comes back may ask for again.", "events", ge=1, le=1_000_000
    )
    hosts: str = setting(
        "", "Names beside localhost under which this machine is asked, with commas.", "names", "host names, or empty"
    )
    cors: str = setting(
        "",
        "Origins whose pages may read answers, with commas; empty = none.",
        "addresses",
        "such as https://desk.example, or empty",
        pattern=r"^$|^https?://[^\s,*]+(,https?://[^\s,*]+)*$",
    )

    @property
    def tape(self) -> Path | None:
        """The recording that `source` names; None = it is an exchange."""
        kind, _, name = self.source.partition(":")
        return Path(name) if kind == "tape" else None


class RetrainSettings(Section):
    """When the API trains the model again by itself."""

    auto: Switch = setting(False, "Train daily, and at API start when artifacts are absent or old.", "switch")
    days: int = setting(60, "Days of candles that such a training fetches.", "days", ge=1, le=3_650)
    daily_hour: int = setting(3, "Local hour of the daily training.", "hour", ge=0, le=23)
    max_age_hours: float = setting(24.0, "Age from which artifacts are old.", "h", gt=0, le=8760)
    tz: Annotated[str, AfterValidator(known_zone)] = setting(
        "Europe/Vienna", "Time zone of daily_hour.", "name", "an IANA time zone such as Europe/Vienna"
    )


class SecretSettings(Section):
    """Keys, of others' services and of ours: from the environment or `.env` only, never shown."""

    api_token: Annotated[SecretStr | None, AfterValidator(_bearer)] = setting(
        None, "Token that the API asks for; it must be set where others than this machine can reach it.", "secret",
        "16 to 200 letters, digits and -._~+/=",
    )  # fmt: skip
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
    features: FeatureSettings = Field(default_factory=FeatureSettings)
    logs: LogSettings = Field(default_factory=LogSettings)
    compute: ComputeSettings = Field(default_factory=ComputeSettings)
    meta: MetaSettings = Field(default_factory=MetaSettings)
    api: ApiSettings = Field(default_factory=ApiSettings)
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
