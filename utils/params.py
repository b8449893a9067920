"""The one builder of PARAMS: settings as the compiled step reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from utils.codes import AUTO, HALT_NAMES, LIMIT, MARKET, POST_ONLY
from utils.errors import ConfigError, InvariantError
from utils.market.costs import crossing_bps, round_trip_costs
from utils.rows import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S, PARAMS, Rows

if TYPE_CHECKING:
    from utils.rows import InstrumentRow, ParamsRow
    from utils.settings.tree import RiskSettings, Settings

#: The code of each kind of entry in the settings.
ENTRY_KINDS = {"market": MARKET, "limit": LIMIT, "post_only": POST_ONLY, "auto": AUTO}
#: Kinds of entry that a walk over candles can take: auto is the engine's, signal by signal.
FIXED_KINDS = {name: kind for name, kind in ENTRY_KINDS.items() if kind != AUTO}


def limits_of(risk: RiskSettings, tf_ns: int) -> dict[str, float]:
    """The limits among PARAMS: 0 where one is off, or all are."""

    def limit(value: float) -> float:
        return float(value) if risk.limits else 0.0

    return {
        "limits": risk.limits,
        "max_risk": limit(risk.max_risk_per_trade),
        "kelly": limit(risk.kelly_fraction),
        "max_net": limit(risk.max_net_leverage),
        "max_heat": limit(risk.max_heat),
        "max_correlated": limit(risk.max_correlated_heat),
        "max_cluster": limit(risk.max_cluster_risk),
        "cluster_rho": risk.cluster_correlation,
        "rho_floor": risk.correlation_floor,
        "rho_weight": 1.0 - 2.0 ** (-1.0 / risk.correlation_halflife),
        "depth_share": limit(risk.max_depth_share),
        "target_vol_bps": limit(risk.target_volatility_bps),
        "equity_floor": limit(risk.drawdown_floor),
        "max_daily": limit(risk.max_daily_loss),
        "daily_action": HALT_NAMES.index(risk.on_daily_loss),
        "max_losses": limit(risk.max_losses),
        "losses_ns": round(risk.losses_pause_minutes * NS_PER_MINUTE),
        "max_drawdown": limit(risk.max_drawdown),
        "drawdown_action": HALT_NAMES.index(risk.on_drawdown),
        "drawdown_ns": round(risk.drawdown_pause_hours * NS_PER_HOUR),
        "cooldown_ns": risk.cooldown_bars * tf_ns if risk.limits else 0,
        "max_age_ns": limit(risk.max_age_bars) * tf_ns,
        "max_spread_bps": limit(risk.max_spread_bps),
        "max_vol_bps": limit(risk.max_volatility_bps),
    }


def params_of(settings: Settings, tf_ns: int, *, live: bool = False) -> Rows:
    """The PARAMS record of these settings, one row.

    Args:
        settings: costs, barriers, limits, kind of entry.
        tf_ns: length of a bar, ns.
        live: gates without input refuse.
    """
    risk, entry, costs = settings.risk, settings.execution, settings.simulation
    values = {
        "tf_ns": tf_ns,
        "half_spread_bps": costs.spread_bps / 2.0,
        "slippage_bps": costs.slippage_bps,
        "impact": costs.impact,
        "max_impact_bps": costs.max_impact_bps,
        "volume_cap": costs.volume_cap,
        "take_bps": risk.take_bps,
        "stop_bps": risk.stop_bps,
        "horizon": risk.horizon,
        "stop_in_atr": risk.stop == "atr",
        "stop_atr": risk.stop_atr,
        "trail_bps": risk.trail_bps if risk.trail == "bps" else 0.0,
        "trail_atr": risk.trail_atr if risk.trail in ("atr", "chandelier") else 0.0,
        "chandelier": risk.trail == "chandelier",
        "stop_floor": risk.stop_floor_costs,
        "stop_liquidation": risk.stop_liquidation,
        "entry_kind": ENTRY_KINDS[entry.entry],
        "limit_offset_bps": entry.limit_offset_bps,
        "limit_bars": entry.limit_bars,
        "risk_fraction": risk.risk_per_trade,
        "fixed_notional": risk.fixed_notional if risk.sizing == "fixed" else 0.0,
        "leverage": risk.max_leverage,
        "max_positions": risk.max_positions,
        "veto_break_even": settings.signal.veto_below_break_even,
        "nan_refuses": live,
        **limits_of(risk, tf_ns),
        "equity_step_ns": round(costs.equity_step_s * NS_PER_S),
    }
    # a field that nothing here sets would be a silent 0, and a value without a field would be lost
    odd = values.keys() ^ set(PARAMS.names or ())
    if odd:
        raise InvariantError(f"PARAMS: expected a value for each field, saw {', '.join(sorted(odd))} on one side only")
    return np.array([tuple(values[name] for name in PARAMS.names or ())], PARAMS)


def require_fixed(params: Rows) -> None:
    """Refuse PARAMS whose kind of entry is chosen signal by signal, which no walk over candles can take.

    Raises:
        ConfigError: it is.
    """
    if params[0]["entry_kind"] == AUTO:
        raise ConfigError(
            f"entry: expected one of {', '.join(FIXED_KINDS)}, saw auto, which chooses by signal; name one of these"
        )


def costs_of(par: ParamsRow, fees: InstrumentRow, price: float) -> tuple[float, float]:
    """Round trip of a trade that ends at its take, and of one that ends at the market, bps; `price` weighs a tick."""
    crossing = crossing_bps(float(par.half_spread_bps), float(par.slippage_bps), float(fees.tick), price)
    return round_trip_costs(par.entry_kind != MARKET, float(fees.maker_bps), float(fees.taker_bps), crossing)
