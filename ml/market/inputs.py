"""What favourability and best barriers are computed from: closed bars, their costs, and columns beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import numpy as np

from features.fold import FeatureSet
from features.registry import FEATURES
from ingest.files.candles import Candles, infer_tick, load_candles
from ingest.files.columns import TIME_NAMES, Table, numbers, refusal, times
from ingest.files.tables import read_table
from ingest.venues.known import folder_of
from utils.codes import MARKET
from utils.config import load_settings
from utils.errors import ConfigError
from utils.figures.arithmetic import Floats
from utils.market.costs import round_trip_costs
from utils.market.timeframes import TIMEFRAMES, normalise_timeframe
from utils.params import ENTRY_KINDS, params_of
from utils.rows import INSTRUMENT, NS_PER_MINUTE, Rows
from utils.settings.tree import Settings
from utils.types import Instrument, per_step

if TYPE_CHECKING:
    from ingest.files.tables import Source

#: Columns beside the candles that are used where a user has them, and what they must lie in.
EXTRAS = {"spread_bps": (0.0, math.inf), "depth": (0.0, math.inf), "trade_rate": (0.0, math.inf), "vpin": (0.0, 1.0)}
#: When bars without a time begin, ns: any Monday serves.
FIRST_OPEN = 946_857_600_000_000_000
#: Bars whose prices show the tick where nobody gave it.
TICK_BARS = 500


class Terms(TypedDict, total=False):
    """What may be said otherwise than by the settings, by both promised functions alike."""

    symbol: str | None  # exchange id, for fees and tick; None = the path's, or the venue's defaults
    timeframe: str | None  # ccxt name; None = from the spacing of the bars
    settings: Settings | None  # None = config.yaml, .env and the environment
    entry: Literal["market", "limit", "post_only"] | None  # how entries reach the market
    maker_bps: float | None  # fee of an order that rested, bps of notional
    taker_bps: float | None  # fee of an order that crossed
    half_spread_bps: float | None  # paid by each market order
    slippage_bps: float | None  # likewise
    tick: float | None  # price step, quote; None = as configured for the symbol, else from the decimals of the bars


@dataclass(frozen=True, slots=True, eq=False)
class ScalpMarket:
    """Closed bars of one symbol with their costs."""

    symbol: str  # "" = nobody said
    tf_ns: int
    bars: Rows  # utils.rows.BAR
    instrument: Rows  # INSTRUMENT, one row: tick and fees
    params: Rows  # PARAMS, one row: barriers of the settings, kind of entry, half spread and slippage
    extras: Mapping[str, Floats]  # the columns of EXTRAS that there are, beside the bars
    timed: bool  # False = the times are made up, because the frame had none
    settings: Settings

    @property
    def minutes(self) -> float:
        """Length of a bar."""
        return self.tf_ns / NS_PER_MINUTE

    @property
    def entry(self) -> str:
        """How entries reach the market: market, limit or post_only."""
        return next(name for name, kind in ENTRY_KINDS.items() if kind == self.params[0].entry_kind)

    def costs(self) -> tuple[float, float]:
        """Round trip of a trade that ends at its take, and of one that ends at the market, bps."""
        par, fees = self.params[0], self.instrument[0]
        crossing = float(par.half_spread_bps + par.slippage_bps)
        return round_trip_costs(par.entry_kind != MARKET, float(fees.maker_bps), float(fees.taker_bps), crossing)

    def features(self, *names: str) -> dict[str, Floats]:
        """Registered bar features by name, each a column beside the bars."""
        chosen = tuple(feature for feature in FEATURES if feature.name in names)
        out = FeatureSet(chosen).batch(self.bars)
        return {name: np.ascontiguousarray(out[name], dtype=np.float64) for name in names}


def read_market(data: ScalpMarket | Candles | Source, **terms: Unpack[Terms]) -> ScalpMarket:
    """Closed bars from a frame, a file or `Candles`, checked, with the costs of the settings unless told otherwise.

    Args:
        data: columns open, high, low, close, volume; a time (`timestamp`, or `ts` = nanoseconds of the close) where
            there is one; of `spread_bps`, `depth` (quote within 5 bps), `trade_rate` (trades a minute; or `trades` =
            trades of the bar) and `vpin` (0-1) what there is. Bars without a time follow each other without gaps, and
            need `timeframe`.
        **terms: see `Terms`.

    Raises:
        ConfigError: an unknown term, a cost that is no number, an unknown entry, symbol or timeframe.
        DataError: bars that no exchange could have printed; the message names row and column.
    """
    unknown = terms.keys() - Terms.__annotations__
    if unknown:
        raise ConfigError(
            f"{min(unknown)}: expected one of {', '.join(Terms.__annotations__)}, saw another name; correct it"
        )
    if isinstance(data, ScalpMarket):
        settled = [name for name in ("symbol", "timeframe", "settings") if terms.get(name) is not None]
        if settled:
            raise ConfigError(f"{settled[0]}: the score has settled it; leave it out, or pass the bars themselves")
        return _repriced(data, terms)
    settings = terms.get("settings") or load_settings().settings
    if isinstance(data, Candles):
        return _repriced(_priced(data, data.symbol, {}, True, settings), terms)
    table = read_table(data)
    tf = terms.get("timeframe")
    named = terms.get("symbol")
    source, timed = (data, True) if set(TIME_NAMES) & set(table.columns) else _with_opens(data, table, tf)
    # a frame has no name to tell its symbol; where nobody does, the venue's defaults are charged
    candles = load_candles(source, symbol=named or (None if table.path else "NONE"), tf=tf)
    columns = {name: _extra(table, name, len(candles.rows), candles.tf_ns / NS_PER_MINUTE) for name in EXTRAS}
    extras = {name: column for name, column in columns.items() if column is not None}
    symbol = candles.symbol if named or table.path else ""
    return _repriced(_priced(candles, symbol, extras, timed, settings), terms)


def _priced(
    candles: Candles, symbol: str, extras: Mapping[str, Floats], timed: bool, settings: Settings
) -> ScalpMarket:
    """Bars with what the settings say of costs and orders."""
    usual = folder_of(settings.market.exchange, settings.market.market_type)
    known = settings.instrument(candles.market or usual, symbol)
    tick = known.tick or infer_tick(candles.rows, min(len(candles.rows), TICK_BARS))
    instrument = Instrument(symbol or "NONE", tick, 1e-3, 0.0, known.maker_bps, known.taker_bps)
    rows, params = np.array([instrument.row()], INSTRUMENT), params_of(settings, candles.tf_ns)
    return ScalpMarket(symbol, candles.tf_ns, candles.rows, rows, params, extras, timed, settings)


def _repriced(market: ScalpMarket, terms: Terms) -> ScalpMarket:
    """The market with what its user says otherwise of costs and orders."""
    instrument, params = market.instrument.copy(), market.params.copy()
    for name, table, least in (
        ("maker_bps", instrument, -10.0),
        ("taker_bps", instrument, -10.0),
        ("half_spread_bps", params, 0.0),
        ("slippage_bps", params, 0.0),
    ):
        value: Any = terms.get(name)
        if value is None:
            continue
        if not (isinstance(value, (int, float)) and least <= value <= 1000.0):
            raise ConfigError(f"{name}: expected a number from {least:g} to 1000 bps, saw {value!r}; correct it")
        table[name] = value
    kind, tick = terms.get("entry"), terms.get("tick")
    if kind is not None:
        if kind not in ENTRY_KINDS:
            raise ConfigError(f"entry: expected one of {', '.join(ENTRY_KINDS)}, saw {kind!r}; choose one of these")
        params["entry_kind"] = ENTRY_KINDS[kind]
    if tick is not None:
        if not (isinstance(tick, (int, float)) and 0.0 < tick < math.inf):
            raise ConfigError(f"tick: expected a finite price step above 0, saw {tick!r}; correct it")
        instrument["tick"], instrument["per_tick"] = tick, per_step(tick)
    return replace(market, instrument=instrument, params=params)


def _extra(table: Table, name: str, rows: int, minutes: float) -> Floats | None:
    """A column beside the candles, as far as there are closed bars; None where the table has none."""
    if name in table.columns:
        column, scale = name, 1.0
    elif name == "trade_rate" and "trades" in table.columns:
        column, scale = "trades", 1.0 / minutes
    else:
        return None
    values: Floats = numbers(table, column)[:rows] * scale
    low, high = EXTRAS[name]
    wrong = (values < low) | (values > high)
    if wrong.any():
        row = int(wrong.argmax())
        limits = f"from {low:g} to {high:g}" if high < math.inf else f"of {low:g} or more"
        raise refusal(table, row, column, f"a number {limits}", float(values[row]), "correct it, or leave it empty")
    return values


def _with_opens(frame: Any, table: Table, tf: str | None) -> tuple[Any, bool]:
    """A frame whose bars say when they opened, and whether that is true rather than made up."""
    length = None if tf is None else TIMEFRAMES[normalise_timeframe(tf)]
    if "ts" in table.columns:
        closes = times(table, "ts")
        if length is None and len(closes) > 1:
            steps, counts = np.unique(np.diff(closes), return_counts=True)
            length = int(steps[counts.argmax()])
        opens = closes - (length or 0)
    else:
        opens = FIRST_OPEN + (length or 0) * np.arange(table.size)
    if length is None or not hasattr(frame, "assign"):
        raise ConfigError(
            "timeframe: expected one for bars that do not say when they opened, saw none; "
            "give one, such as 1m, or a column `timestamp`"
        )
    return frame.assign(timestamp=opens), "ts" in table.columns
