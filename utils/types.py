"""The nouns: frozen values that come in as events and go out as decisions; one that exists is legal.

`ts` and `ts_recv` are int nanoseconds since 1970, UTC: exchange time, and when we had it. Prices are quote per base,
quantities base and positive, money quote, `_bps` basis points, ratios fractions; `side` is +1 or -1. A wrong value
raises a ValueError that names the field. The compiled core keeps the same things as records (`utils.rows`); nouns are
built from them for journals, APIs and tests, never inside the loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from itertools import pairwise
from typing import Any

from utils.codes import EXIT_NAMES, KIND_NAMES, LIQUIDITY_NAMES, ROLE_NAMES
from utils.market.timeframes import TIMEFRAMES
from utils.rows import BPS, Level

#: Number in a simulation, an exchange's text in a live run; 0 = numbered when it ends.
OrderId = int | str
#: What makes a field legal, and the words for it.
Rule = tuple[Callable[[Any], bool], str]


def _one_of(*names: object) -> Rule:
    return names.__contains__, f"one of {', '.join(map(str, names))}"


def _levels(direction: int) -> Rule:
    def best_first(levels: tuple[Level, ...]) -> bool:
        legal = all(0.0 < price < math.inf and 0.0 < qty < math.inf for price, qty in levels)
        return legal and all(direction * (far[0] - near[0]) > 0.0 for near, far in pairwise(levels))

    return best_first, "finite (price, qty) levels above 0, best first"


_POSITIVE: Rule = (lambda x: 0.0 < x < math.inf, "a finite number above 0")
_NOT_NEGATIVE: Rule = (lambda x: 0.0 <= x < math.inf, "a finite number, at least 0")
_FINITE: Rule = (math.isfinite, "a finite number")
_FRACTION: Rule = (lambda x: 0.0 <= x <= 1.0, "a number from 0 to 1")
_NAME: Rule = (lambda x: isinstance(x, str) and x != "", "a name")
_TIME: Rule = (lambda x: isinstance(x, int) and x >= 0, "int nanoseconds, at least 0")
_CHANGES: Rule = (
    lambda levels: all(0.0 < price < math.inf and 0.0 <= qty < math.inf for price, qty in levels),
    "finite (price, qty) levels, prices above 0, quantities at least 0",
)

#: A field's name means the same in every noun, so its rule stands once; `Noun.field` where one differs.
_RULES: dict[str, Rule] = {
    **dict.fromkeys(("symbol", "rule", "reason"), _NAME),
    **dict.fromkeys(("ts", "ts_recv", "opened_ts", "signal_time", "entry_time", "exit_time"), _TIME),
    **dict.fromkeys(("open", "high", "low", "close", "price", "qty", "entry_price", "exit_price"), _POSITIVE),
    **dict.fromkeys(("bid", "bid_qty", "ask", "ask_qty"), _POSITIVE),
    **dict.fromkeys(("stop", "take", "stop_price", "take_price", "decision_price", "atr"), _POSITIVE),
    **dict.fromkeys(("trigger", "reference"), _POSITIVE),
    **dict.fromkeys(("tick_size", "lot_size", "take_bps", "stop_bps", "horizon"), _POSITIVE),
    **dict.fromkeys(("volume", "taker_buy_volume", "min_notional"), _NOT_NEGATIVE),
    **dict.fromkeys(("maker_bps", "taker_bps", "rate", "fee", "expected_bps", "threshold"), _FINITE),
    **dict.fromkeys(("gross_pnl", "fees", "funding", "net_pnl", "slippage_bps", "equity_after"), _FINITE),
    **dict.fromkeys(("liquidity", "entry_liquidity", "exit_liquidity"), _one_of(*LIQUIDITY_NAMES[1:])),
    **dict.fromkeys(("id", "order_id", "trade_id"), (lambda x: x != "" and (isinstance(x, str) or x >= 0), "an id")),
    "tf": _one_of(*TIMEFRAMES),
    "bids": _levels(-1),
    "asks": _levels(1),
    "BookDelta.bids": _CHANGES,
    "BookDelta.asks": _CHANGES,
    "side": _one_of(1, -1),
    "Signal.side": _one_of(1, -1, 0),
    "TradeRecord.side": _one_of("long", "short"),
    "strength": (lambda x: 0.0 <= x <= 100.0, "a number from 0 to 100"),
    "p_win": _FRACTION,
    "kind": _one_of(*KIND_NAMES[1:]),
    "role": _one_of(*ROLE_NAMES[1:]),
    "Position.qty": (lambda x: math.isfinite(x) and x != 0.0, "a finite number, not 0"),
    "exit_reason": _one_of(*EXIT_NAMES[1:]),
    "max_leverage": (lambda x: x >= 1.0, "a number, at least 1"),
    "maintenance": (lambda x: 0.0 <= x < 1.0, "a fraction below 1"),
}


@cache
def _rules_of(noun: type) -> tuple[tuple[str, bool, Callable[[Any], bool], str], ...]:
    """(field, may be None, legal, expected) for each field of a noun that has a rule."""
    rules = ((field, _RULES.get(f"{noun.__name__}.{field.name}", _RULES.get(field.name))) for field in fields(noun))
    return tuple((field.name, "None" in field.type, *rule) for field, rule in rules if rule)


class _Noun:
    """Fields are checked when a noun is made; what concerns several fields, a noun adds in `_whole`."""

    __slots__ = ()

    def __post_init__(self) -> None:
        noun: type = type(self)
        for field, optional, legal, expected in _rules_of(noun):
            value = getattr(self, field)
            if not (optional and value is None) and not legal(value):
                self._refuse(field, f"None or {expected}" if optional else expected)
        self._whole()

    def _whole(self) -> None:
        """What concerns several fields."""

    def _received(self, ts: int, ts_recv: int) -> None:
        if ts_recv < ts:
            self._refuse("ts_recv", f"a time at or after ts {ts}")

    def _refuse(self, field: str, expected: str) -> None:
        raise ValueError(f"{type(self).__name__}.{field}: expected {expected}, saw {getattr(self, field)!r}")


def per_step(step: float) -> float:
    """1 / `step` where that is a whole number (prices are then k / per, the exact decimals), else 0."""
    per = round(1.0 / step)
    return float(per) if math.isclose(per * step, 1.0, rel_tol=1e-9) else 0.0


@dataclass(frozen=True, slots=True)
class Instrument(_Noun):
    """What the venue allows and charges for one symbol."""

    symbol: str
    tick_size: float  # quote
    lot_size: float  # base
    min_notional: float = 0.0  # quote
    maker_bps: float = 2.0  # below 0 = rebate
    taker_bps: float = 5.0
    max_leverage: float = math.inf  # notional / equity; inf = the venue sets no limit
    maintenance: float = 0.0  # maintenance margin, fraction of notional

    def round_price(self, price: float, direction: int = 0) -> float:
        """`price` (quote) on the tick: up for `direction` +1, down for -1, to the nearest for 0 (half goes up)."""
        from utils.market.barriers import ceil_to, floor_to  # readers of journals never round and need no compiler

        per = per_step(self.tick_size)
        if direction > 0:
            return ceil_to(price, self.tick_size, per)
        return floor_to(price if direction < 0 else price + 0.5 * self.tick_size, self.tick_size, per)

    def round_qty(self, qty: float) -> float:
        """`qty` (base) down to the lot."""
        from utils.market.barriers import floor_to

        return floor_to(qty, self.lot_size, per_step(self.lot_size))

    def row(self) -> tuple[float, ...]:
        """The values of its INSTRUMENT record."""
        grid = (self.tick_size, per_step(self.tick_size), self.lot_size, per_step(self.lot_size))
        return *grid, self.min_notional, self.maker_bps, self.taker_bps, self.max_leverage, self.maintenance


@dataclass(frozen=True, slots=True)
class Bar(_Noun):
    """One closed candle; `ts` is its close."""

    symbol: str
    tf: str  # ccxt name, such as 5m
    ts: int
    ts_recv: int
    open: float
    high: float
    low: float
    close: float
    volume: float  # base
    taker_buy_volume: float | None = None  # base bought by takers; None = the venue does not say

    def _whole(self) -> None:
        self._received(self.ts, self.ts_recv)
        if self.high < max(self.open, self.close, self.low):
            self._refuse("high", "a price not below the others")
        if self.low > min(self.open, self.close):
            self._refuse("low", "a price not above the others")
        if (self.taker_buy_volume or 0.0) > self.volume * (1.0 + 1e-9):
            self._refuse("taker_buy_volume", f"at most the volume {self.volume}")

    def row(self, sym: int, gap: int = 0, last: bool = False) -> tuple[float, ...]:
        """The values of its BAR record: symbol index, bars missing before it, known to be the last; None is NaN."""
        bought = math.nan if self.taker_buy_volume is None else self.taker_buy_volume
        prices = (self.open, self.high, self.low, self.close)
        return self.ts, sym, int(last), gap, *prices, self.volume, bought

    @classmethod
    def of(cls, row: Any, symbol: str, tf: str, ts_recv: int | None = None) -> Bar:
        """The bar of a BAR record; without `ts_recv` (ns) it was received at its close."""
        ts, bought = int(row["ts"]), float(row["taker_buy"])
        prices = {name: float(row[name]) for name in ("open", "high", "low", "close", "volume")}
        recv = ts if ts_recv is None else ts_recv
        return cls(symbol, tf, ts, recv, **prices, taker_buy_volume=None if math.isnan(bought) else bought)


@dataclass(frozen=True, slots=True)
class BookSnapshot(_Noun):
    """The order book as it stands; a side may be empty."""

    symbol: str
    ts: int
    ts_recv: int
    bids: tuple[Level, ...]  # (price, qty), best first
    asks: tuple[Level, ...]

    def _whole(self) -> None:
        self._received(self.ts, self.ts_recv)
        if self.bids and self.asks and self.bids[0][0] >= self.asks[0][0]:
            self._refuse("bids", f"the best bid below the best ask {self.asks[0][0]}")

    @property
    def mid(self) -> float:
        """Mean of best bid and best ask, quote; NaN when a side is empty."""
        return 0.5 * (self.bids[0][0] + self.asks[0][0]) if self.bids and self.asks else math.nan

    @property
    def weighted_mid(self) -> float:
        """(bid x ask qty + ask x bid qty) / (bid qty + ask qty), quote; NaN when a side is empty."""
        if not (self.bids and self.asks):
            return math.nan
        (bid, bid_qty), (ask, ask_qty) = self.bids[0], self.asks[0]
        return (bid * ask_qty + ask * bid_qty) / (bid_qty + ask_qty)

    @property
    def spread_bps(self) -> float:
        """(ask - bid) / mid, bps; NaN when a side is empty."""
        return (self.asks[0][0] - self.bids[0][0]) / self.mid / BPS if self.bids and self.asks else math.nan


@dataclass(frozen=True, slots=True)
class BookDelta(_Noun):
    """Changed levels of the book; quantity 0 = the level is gone."""

    symbol: str
    ts: int
    ts_recv: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    def _whole(self) -> None:
        self._received(self.ts, self.ts_recv)


@dataclass(frozen=True, slots=True)
class BookInvalid(_Noun):
    """The book can no longer be trusted: features NaN, entries refused, until a new snapshot."""

    symbol: str
    ts: int
    ts_recv: int
    reason: str

    def _whole(self) -> None:
        self._received(self.ts, self.ts_recv)


@dataclass(frozen=True, slots=True)
class Trade(_Noun):
    """One trade of the market; `side` is the aggressor's."""

    symbol: str
    ts: int
    ts_recv: int
    price: float
    qty: float
    side: int

    def _whole(self) -> None:
        self._received(self.ts, self.ts_recv)


@dataclass(frozen=True, slots=True)
class Quote(_Noun):
    """Best bid and ask as the venue's ticker states them; the order book is the better witness."""

    symbol: str
    ts: int
    ts_recv: int
    bid: float
    bid_qty: float
    ask: float
    ask_qty: float

    def _whole(self) -> None:
        self._received(self.ts, self.ts_recv)
        if self.bid >= self.ask:
            self._refuse("bid", f"a price below the ask {self.ask}")


@dataclass(frozen=True, slots=True)
class Liquidation(_Noun):
    """A position the venue closed by force."""

    symbol: str
    ts: int
    ts_recv: int
    price: float  # bankruptcy price, quote
    qty: float
    side: int  # of the forced order: -1 = a long was sold out


@dataclass(frozen=True, slots=True)
class Funding(_Noun):
    """One funding settlement."""

    symbol: str
    ts: int
    rate: float  # fraction of notional; positive = longs pay


@dataclass(frozen=True, slots=True)
class MarkPrice(_Noun):
    """The venue's mark price."""

    symbol: str
    ts: int
    price: float


@dataclass(frozen=True, slots=True)
class Signal(_Noun):
    """What a strategy wants at a bar's close; None = not estimated, or the settings decide."""

    ts: int
    symbol: str
    side: int  # +1, -1, 0 = close
    strength: float = 100.0  # 0-100
    p_win: float | None = None  # 0-1
    expected_bps: float | None = None  # before costs
    take_bps: float | None = None
    stop_bps: float | None = None
    horizon: int | None = None  # bars
    reasons: tuple[str, ...] = ()
    threshold: float | None = None  # strength that was asked for
    atr: float | None = None  # quote; for stops and trails in ATR units
    vol_bps: float | None = None  # volatility of one bar

    def row(self) -> tuple[float, ...]:
        """The values of its SIGNAL record; None is NaN."""
        optional = (self.p_win, self.expected_bps, self.take_bps, self.stop_bps, self.horizon, self.atr, self.vol_bps)
        values = (math.nan if value is None else value for value in optional)
        asked = math.nan if self.threshold is None else self.threshold
        return self.side, self.strength, asked, *values, math.nan, math.nan, math.nan  # no model was asked


@dataclass(frozen=True, slots=True)
class Order(_Noun):
    """An order as it is sent."""

    id: OrderId
    symbol: str
    ts: int
    side: int
    qty: float
    kind: str = "MARKET"  # MARKET, LIMIT, POST_ONLY or STOP_MARKET
    price: float | None = None  # limit, quote; None = none named
    reduce_only: bool = False
    decision_price: float | None = None  # mid or close when it was decided, quote; for shortfall
    trigger: float | None = None  # price at which a STOP_MARKET order goes to the market, quote
    role: str = "QUOTE"  # ENTRY has brackets around it, TAKE and STOP are such, CLOSE ends all, QUOTE stands by itself

    def _whole(self) -> None:
        if self.price is not None and self.kind in ("MARKET", "STOP_MARKET"):
            self._refuse("price", f"None, as a {self.kind} order has no limit")
        if (self.trigger is None) == (self.kind == "STOP_MARKET"):
            self._refuse("trigger", "a price for a STOP_MARKET order, None for every other")


@dataclass(frozen=True, slots=True)
class Fill(_Noun):
    """Part or all of an order traded."""

    order_id: OrderId
    symbol: str
    ts: int
    ts_recv: int
    side: int
    qty: float
    price: float
    fee: float  # quote; below 0 = rebate
    liquidity: str  # maker or taker
    reference: float | None = None  # price that it aimed at, quote
    trade_id: OrderId = 0  # the round trip it belongs to
    role: str = "QUOTE"  # of the order

    @classmethod
    def of(cls, row: Any, symbols: Sequence[str]) -> Fill:
        """The noun of a FILL row; `symbols` are in the engine's order."""
        value = {name: row[name].item() for name in row.dtype.names}
        value |= {"symbol": symbols[value["sym"]], "ts_recv": value["seen_ts"], "trade_id": value["entry_no"]}
        value |= {"liquidity": LIQUIDITY_NAMES[value["liquidity"]], "role": ROLE_NAMES[value["role"]]}
        return cls(**{field.name: value[field.name] for field in fields(cls)})

    def _whole(self) -> None:
        self._received(self.ts, self.ts_recv)


@dataclass(frozen=True, slots=True)
class Reject(_Noun):
    """The venue refused an order."""

    order_id: OrderId
    ts: int
    reason: str


@dataclass(frozen=True, slots=True)
class Position(_Noun):
    """An open position."""

    symbol: str
    qty: float  # signed base
    entry_price: float
    opened_ts: int
    stop: float | None = None  # quote; None = no such order
    take: float | None = None

    def pnl(self, price: float) -> float:
        """Profit before costs if it were closed at `price` (quote): qty (price - entry), quote."""
        return self.qty * (price - self.entry_price)


@dataclass(frozen=True, slots=True)
class TradeRecord(_Noun):
    """One closed round trip: the columns of trades.csv, times in ns, prices in quote per base, money in quote."""

    trade_id: OrderId
    symbol: str
    side: str  # long or short
    qty: float
    signal_time: int
    entry_time: int
    exit_time: int
    decision_price: float
    entry_price: float
    exit_price: float
    stop_price: float | None  # as set at entry; None = none was set
    take_price: float | None
    gross_pnl: float
    fees: float
    funding: float  # positive = paid
    net_pnl: float
    slippage_bps: float
    entry_liquidity: str
    exit_liquidity: str
    exit_reason: str
    equity_after: float  # initial capital + net of all trades so far
    source: str
    gap_bars: int = 0  # bars missing from the data while it was open

    def _whole(self) -> None:
        if not self.signal_time <= self.entry_time <= self.exit_time:
            self._refuse("entry_time", f"a time from signal {self.signal_time} to exit {self.exit_time}")
        net = self.gross_pnl - self.fees - self.funding
        if self.net_pnl != net:
            self._refuse("net_pnl", f"gross_pnl - fees - funding = {net!r}")

    @classmethod
    def of(cls, row: Any, symbols: Sequence[str], source: str, equity_after: float) -> TradeRecord:
        """The record of a TRADE row; its id is the entry's number, `symbols` are in the engine's order."""
        value = {name: row[name].item() for name in row.dtype.names}
        value |= {name: LIQUIDITY_NAMES[value[name]] for name in ("entry_liquidity", "exit_liquidity")}
        value |= {"side": "long" if value["side"] > 0 else "short", "exit_reason": EXIT_NAMES[value["exit_reason"]]}
        value |= {"trade_id": value["entry_no"], "symbol": symbols[value["sym"]]}
        value |= {f"{name}_time": value[f"{name}_ts"] for name in ("signal", "entry", "exit")}
        value |= {"equity_after": equity_after, "source": source}
        value |= {name: None for name in ("stop_price", "take_price") if math.isnan(value[name])}
        return cls(**{field.name: value[field.name] for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class Refusal(_Noun):
    """Why something asked for was not done; a value, never an exception."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision(_Noun):
    """What the engine answered to an event, or to a wish."""

    ts: int
    signal: Signal | None = None
    orders: tuple[Order, ...] = ()  # sent
    cancels: tuple[OrderId, ...] = ()  # ended unfilled: cancelled or expired
    refusals: tuple[Refusal, ...] = ()
    closed: tuple[TradeRecord, ...] = ()  # since the decision before
    fills: tuple[Fill, ...] = ()  # likewise


MarketEvent = Bar | BookSnapshot | BookDelta | BookInvalid | Trade | Quote | Liquidation | Funding | MarkPrice
Event = MarketEvent | Fill | Reject
