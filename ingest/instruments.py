"""What an exchange allows and charges for a symbol: as it lists it, else as configured, else as its candles show.

The one place that decides on tick, lot, fees and margin; `utils.types.Instrument.row` makes a record of them.
"""

from __future__ import annotations

import math

from ingest.files.candles import Candles
from ingest.files.ticks import infer_tick
from ingest.mock.settings import PRESETS, priced, quoted
from ingest.venues.facts import Listing
from ingest.venues.known import folder_of
from utils.settings.tree import Settings
from utils.types import Instrument

__all__ = ["LOT", "MAINTENANCE", "Listing", "instrument_of", "market_of"]

#: Used, and said, where neither exchange nor settings nor data tell.
LOT, MAINTENANCE = 1e-3, 0.005


def market_of(settings: Settings) -> str:
    """The market of the settings, by the name of its data folder: whose fees are charged where data name none."""
    return folder_of(settings.market.exchange, settings.market.market_type)


def instrument_of(
    candles: Candles, settings: Settings, bars: int, listing: Listing | None = None
) -> tuple[Instrument, list[str]]:
    """The instrument of a symbol, and what was assumed for it, in words.

    Args:
        candles: of the symbol; they tell its market, where anything does.
        settings: fees, margin, and what is configured of tick, lot and least notional.
        bars: the first ones, whose prices may show the tick: none of a later time.
        listing: what the exchange says, where it was asked.

    Raises:
        DataError: the tick would have to be told by prices that come from arithmetic.
    """
    known = settings.instrument(candles.market or "default", candles.symbol)
    notes = []
    tick, lot, least = known.tick, known.lot, known.min_notional
    if listing is not None:
        tick, lot = listing.tick_size or tick, listing.lot_size or lot
        least = least if listing.min_notional is None else listing.min_notional
        notes.append(f"{candles.symbol}: tick {tick or 0:g}, lot {lot or 0:g} as {candles.source} lists them")
    if candles.market == "synthetic":
        preset = priced(PRESETS[settings.simulation.preset], candles.symbol)
        tick, lot = tick or preset.tick, lot or preset.lot
        if quoted(candles.symbol) is None:
            notes.append(f"{candles.symbol}: the mock market knows no price of it, {preset.start_price:g} assumed")
    if tick is None:
        tick = infer_tick(candles.rows, bars, f"instruments.{candles.market or 'default'}.{candles.symbol}.tick")
        notes.append(f"{candles.symbol}: tick {tick:g} inferred from the decimals of {bars} warm-up bars")
    if lot is None:
        lot = LOT
        notes.append(f"{candles.symbol}: lot {lot:g} assumed")
    if known.maintenance_margin is None:
        notes.append(f"{candles.symbol}: maintenance margin {100 * MAINTENANCE:g} % assumed")
    if candles.market.endswith("_spot"):
        notes.append(
            f"{candles.symbol}: spot candles traded as if a perpetual: short and with leverage, borrowing free"
        )
    instrument = Instrument(
        symbol=candles.symbol,
        tick_size=tick,
        lot_size=lot,
        min_notional=least or 0.0,
        maker_bps=known.maker_bps,
        taker_bps=known.taker_bps,
        max_leverage=known.max_leverage or math.inf,
        maintenance=MAINTENANCE if known.maintenance_margin is None else known.maintenance_margin,
    )
    return instrument, notes
