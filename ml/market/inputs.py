"""What favourability and best barriers are computed from: closed bars, their costs, and columns beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

import numpy as np

from features.fold import FeatureSet
from features.registry import FEATURES
from utils.errors import ConfigError
from utils.figures.arithmetic import Floats
from utils.params import ENTRY_KINDS, FIXED_KINDS, costs_of, params_of, require_fixed
from utils.rows import INSTRUMENT, NS_PER_MINUTE, Rows
from utils.settings.tree import Settings
from utils.types import Instrument, per_step


class Terms(TypedDict, total=False):
    """What may be said otherwise than by the settings, by both promised functions alike."""

    symbol: str | None  # exchange id, for fees and tick; None = the path's, or the venue's defaults
    timeframe: str | None  # ccxt name; None = from the spacing of the bars
    settings: Settings | None  # None = the built-in defaults; no file is read for them
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
    extras: Mapping[str, Floats]  # columns beside the bars: of spread_bps, depth, trade_rate and vpin what there is
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
        """Round trip of a trade that ends at its take, and of one that ends at the market, bps.

        A tick counts at the price of the first bar, which every fold of a search knows.
        """
        return costs_of(self.params[0], self.instrument[0], float(self.bars["close"][0]))

    def features(self, *names: str) -> dict[str, Floats]:
        """Registered bar features by name, each a column beside the bars."""
        chosen = tuple(feature for feature in FEATURES if feature.name in names)
        out = FeatureSet(chosen).batch(self.bars)
        return {name: np.ascontiguousarray(out[name], dtype=np.float64) for name in names}


def market_of(
    bars: Rows,
    terms: Terms,
    *,
    tf_ns: int,
    instrument: Instrument,
    symbol: str = "",
    extras: Mapping[str, Floats] | None = None,
    timed: bool = True,
) -> ScalpMarket:
    """Closed bars with the costs of the settings, unless told otherwise.

    Args:
        bars: BAR rows of one symbol, checked.
        terms: see `Terms`; symbol and timeframe are those given here.
        tf_ns: length of a bar.
        instrument: tick and fees.
        symbol: exchange id; "" = nobody said.
        extras: columns beside the bars.
        timed: the bars' times are true rather than made up.

    Raises:
        ConfigError: an unknown term, a cost that is no number, or an unknown entry.
    """
    settings = terms.get("settings") or Settings()
    rows, params = np.array([instrument.row()], INSTRUMENT), params_of(settings, tf_ns)
    return _told(ScalpMarket(symbol, tf_ns, bars, rows, params, extras or {}, timed, settings), terms)


def repriced(market: ScalpMarket, terms: Terms) -> ScalpMarket:
    """The market with what its user says otherwise of costs and orders.

    Raises:
        ConfigError: as `market_of`; a symbol, timeframe or settings, which the market has already.
    """
    settled = [name for name in ("symbol", "timeframe", "settings") if terms.get(name) is not None]
    if settled:
        raise ConfigError(f"{settled[0]}: the score has settled it; leave it out, or pass the bars themselves")
    return _told(market, terms)


def _told(market: ScalpMarket, terms: Terms) -> ScalpMarket:
    """The market with the costs and orders of the terms."""
    unknown = terms.keys() - Terms.__annotations__
    if unknown:
        raise ConfigError(
            f"{min(unknown)}: expected one of {', '.join(Terms.__annotations__)}, saw another name; correct it"
        )
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
        if kind not in FIXED_KINDS:
            raise ConfigError(f"entry: expected one of {', '.join(FIXED_KINDS)}, saw {kind!r}; choose one of these")
        params["entry_kind"] = FIXED_KINDS[kind]
    require_fixed(params)
    if tick is not None:
        if not (isinstance(tick, (int, float)) and 0.0 < tick < math.inf):
            raise ConfigError(f"tick: expected a finite price step above 0, saw {tick!r}; correct it")
        instrument["tick"], instrument["per_tick"] = tick, per_step(tick)
    return replace(market, instrument=instrument, params=params)
