"""The one builder of PARAMS: settings as the compiled step reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from utils.codes import LIMIT, MARKET, POST_ONLY
from utils.errors import InvariantError
from utils.rows import NS_PER_S, PARAMS, Rows

if TYPE_CHECKING:
    from utils.settings.tree import Settings

#: The code of each kind of entry in the settings.
ENTRY_KINDS = {"market": MARKET, "limit": LIMIT, "post_only": POST_ONLY}


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
        "trail_atr": risk.trail_atr if risk.trail == "atr" else 0.0,
        "entry_kind": ENTRY_KINDS[entry.entry],
        "limit_offset_bps": entry.limit_offset_bps,
        "limit_bars": entry.limit_bars,
        "risk_fraction": risk.risk_per_trade,
        "fixed_notional": risk.fixed_notional if risk.sizing == "fixed" else 0.0,
        "leverage": risk.max_leverage,
        "max_positions": risk.max_positions,
        "veto_break_even": settings.signal.veto_below_break_even,
        "nan_refuses": live,
        "equity_step_ns": round(costs.equity_step_s * NS_PER_S),
    }
    # a field that nothing here sets would be a silent 0, and a value without a field would be lost
    odd = values.keys() ^ set(PARAMS.names or ())
    if odd:
        raise InvariantError(f"PARAMS: expected a value for each field, saw {', '.join(sorted(odd))} on one side only")
    return np.array([tuple(values[name] for name in PARAMS.names or ())], PARAMS)
