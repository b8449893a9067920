"""What a run says of its data and of what was assumed: the entries of `run.json`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ingest.files.candles import Candles
from utils.rows import NS_PER_MS
from utils.settings.tree import Settings


def stamp(ts: int) -> str:
    """A time in ns as ISO 8601 UTC with milliseconds."""
    return f"{np.datetime64(int(ts) // NS_PER_MS, 'ms')}Z"


def describe(candles: Candles) -> dict[str, Any]:
    """The manifest entry of a source: name, hash, period, gaps."""
    return {
        "name": candles.source,
        "symbol": candles.symbol,
        "timeframe": candles.tf,
        "market": candles.market,
        "sha256": candles.sha256,
        "bars": len(candles.rows),
        "first_close": stamp(candles.rows["ts"][0]),
        "last_close": stamp(candles.rows["ts"][-1]),
        "zero_volume_bars": candles.zero_volume,
        "dropped_unfinished": candles.dropped_unfinished,
        "gaps": [
            {"after": stamp(gap.after_ts), "before": stamp(gap.before_ts), "missing": gap.missing}
            for gap in candles.gaps
        ],
    }


def cost_notes(settings: Settings) -> tuple[str, ...]:
    """What bar matching assumes of spread, slippage, latency and entries, in words."""
    costs, entry = settings.simulation, settings.execution
    arrival = f"bars arrive {costs.bar_delay_ms:g} ms after their close, orders {entry.entry_latency_ms:g} ms later"
    impact = f"an impact of {costs.impact:g} sigma sqrt(quantity / bar volume)"
    notes = [
        f"bar fills: next open plus spread and slippage, latency not modelled ({arrival})",
        f"market orders pay half a {costs.spread_bps:g} bps spread, {costs.slippage_bps:g} bps slippage and {impact}",
        "limits fill only when traded through by a tick, at their price; stop first when a bar touches both barriers",
        f"spread, slippage and impact together are capped at {costs.max_impact_bps:g} bps of a market order's price",
        "a liquidation loses the margin, or more when the bar opens beyond the bankruptcy price",
        f"entries are capped at {100 * costs.volume_cap:g} % of a bar's volume",
    ]
    if entry.entry != "market":
        notes.append(
            f"entries rest {entry.limit_offset_bps:g} bps from the deciding close ({entry.entry.replace('_', '-')}) "
            f"for {entry.limit_bars} bars; no queue is modelled"
        )
    return tuple(notes)
