"""What settings and instrument say about a size, looked up once: sizes are asked for more often than they change."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from risk.controls import on
from risk.held import Same, known_symbol
from utils.errors import DataError
from utils.rows import BPS
from utils.settings.tree import Settings
from utils.types import Instrument


class Terms(NamedTuple):
    """What settings and instrument say, each looked up once; a limit of NaN is off."""

    symbol: str
    equity: float  # quote
    stop_bps: float  # NaN = in ATR units
    take_bps: float
    risk: float  # equity lost at the stop, fraction
    fixed: float  # quote
    kelly: float  # share of Kelly's size; 0 = off
    max_leverage: float
    venue_leverage: float
    max_net: float
    max_heat: float
    max_correlated: float
    max_cluster: float
    cluster_rho: float
    rho_floor: float
    depth_share: float
    target: float  # fraction
    drawdown_floor: float
    maker_entry: bool
    maker_bps: float
    taker_bps: float
    crossing_bps: float
    tick: float  # quote; 0 = not known
    lot: float  # base; NaN = not known
    min_notional: float  # quote


def terms_of(settings: Settings | None, instrument: Instrument | None, symbol: str | None) -> Terms:
    """The terms of an entry.

    Args:
        settings: None = every default.
        instrument: None = as the settings charge for a symbol of no venue.
        symbol: exchange id; None = the instrument's, or that of the settings.

    Raises:
        DataError: the settings are none, or symbol and instrument differ.
    """
    return _kept(Same(settings), instrument, symbol)


@lru_cache(64)
def _kept(same: Same, instrument: Instrument | None, symbol: str | None) -> Terms:
    settings = Settings() if same.it is None else same.it
    if not isinstance(settings, Settings):
        raise DataError(
            f"settings: expected Settings, saw {type(settings).__name__}; load_settings().settings are some"
        )
    if instrument is not None and not isinstance(instrument, Instrument):
        raise DataError(f"instrument: expected an Instrument, saw {str(instrument)[:40]!r}; utils.types has the noun")
    name = symbol or (settings.market.symbol if instrument is None else known_symbol(instrument.symbol))
    if instrument is not None and known_symbol(instrument.symbol) != name:
        raise DataError(f"instrument: expected that of {name}, saw that of {instrument.symbol}; name one symbol")
    row = _charged(settings, name) if instrument is None else instrument
    risk, costs = settings.risk, settings.simulation
    fixed = risk.sizing == "fixed"
    return Terms(
        symbol=name,
        equity=costs.initial_capital,
        stop_bps=risk.stop_bps if risk.stop == "bps" else math.nan,
        take_bps=risk.take_bps,
        risk=_least(math.nan if fixed else risk.risk_per_trade, on(risk.max_risk_per_trade)),
        fixed=risk.fixed_notional if fixed else math.nan,
        kelly=risk.kelly_fraction,
        max_leverage=risk.max_leverage,
        venue_leverage=row.max_leverage,
        max_net=on(risk.max_net_leverage),
        max_heat=on(risk.max_heat),
        max_correlated=on(risk.max_correlated_heat),
        max_cluster=on(risk.max_cluster_risk),
        cluster_rho=risk.cluster_correlation,
        rho_floor=risk.correlation_floor,
        depth_share=on(risk.max_depth_share),
        target=on(risk.target_volatility_bps) * BPS,
        drawdown_floor=on(risk.drawdown_floor),
        maker_entry=settings.execution.entry in {"limit", "post_only"},
        maker_bps=row.maker_bps,
        taker_bps=row.taker_bps,
        crossing_bps=costs.spread_bps / 2.0 + costs.slippage_bps,
        tick=row.tick_size,
        lot=row.lot_size,
        min_notional=row.min_notional,
    )


class _Charged(NamedTuple):
    """The instrument of which only the settings know."""

    tick_size: float  # quote; 0 = not known
    lot_size: float  # base; NaN = not known
    min_notional: float  # quote
    maker_bps: float
    taker_bps: float
    max_leverage: float


def _charged(settings: Settings, symbol: str) -> _Charged:
    """What the settings' default venue charges for a symbol."""
    known = settings.instrument("default", symbol)
    return _Charged(
        known.tick or 0.0,
        known.lot or math.nan,
        known.min_notional or 0.0,
        known.maker_bps,
        known.taker_bps,
        known.max_leverage or math.inf,
    )


def _least(one: float, other: float) -> float:
    """The smaller of two limits, either of which may be off."""
    return other if math.isnan(one) else one if math.isnan(other) else min(one, other)
