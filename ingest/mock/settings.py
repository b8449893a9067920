"""What makes a mock market: the parameters of its order flow, its instruments, and both as the loop wants them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist

import numpy as np

from ingest.mock.rows import METAORDERS, PARAMS, STEP_S, STEPS_PER_OU, TABLE, WINDOW, Ints
from utils.errors import ConfigError
from utils.market.symbols import DOLLARS
from utils.rows import NS_PER_S, Rows
from utils.types import per_step


@dataclass(frozen=True, slots=True)
class MarketParams:
    """What drives the order flow. A model second is a second of the slow presets; sizes are in units (see `Preset`).

    The defaults were fitted to the bands of the stylised facts; replace one to see what it is there for:
    `hawkes = (0, 0, 0)` with `activity_sd = 0` takes away clustering, `metaorders = 0` the long memory of signs
    (`thin_hit` keeps a short one), `refill = 0` lets prices trend, `refill >= 1` cuts the tie between trades and price,
    `thin_cancel >= 0.3` makes them bounce. Fewer limit orders with as many fewer cancels run faster, but at half the
    rates order flow explains too little of the price.
    """

    base_rate: float = 0.2  # market orders per model second without excitement
    hawkes: tuple[float, float, float] = (0.4, 0.3, 0.2)  # children per market order and kernel; sum < 1
    hawkes_s: tuple[float, float, float] = (0.2, 5.0, 120.0)  # mean age at which they come, model seconds
    limit_rate: float = 30.0  # limit orders per model second, both sides
    cancel_rate: float = 0.08  # cancels per resting unit and model second
    place_power: float = 1.0  # limit orders arrive i levels away with weight (1 + i / place_scale) ^ -place_power
    place_scale: float = 5.0  # levels
    metaorders: int = 3  # parents at work at once, 0 to 8; 0 = every sign is a coin
    alpha: float = 1.5  # Pareto exponent of a parent's length in orders
    longest: float = 1000.0  # orders of a parent; without an end one parent can carry a day's trend
    refill: float = 0.25  # how strongly liquidity comes in against the expected sign
    noise: float = 0.1  # fraction of market orders with a random sign
    sweep: float = 0.08  # fraction of market orders that take the whole best level or more
    activity_sd: float = 1.0  # of log activity
    activity_s: float = 3600.0  # seconds of exchange time activity remembers
    activity_power: float = 0.6  # of limits and cancels; below 1 the book thins in bursts
    thin_hit: float = 0.5  # probability, at full imbalance, that a market order hits the thin queue
    thin_cancel: float = 0.04  # probability, at full imbalance, that a cancel leaves the thin queue


@dataclass(frozen=True, slots=True)
class Preset:
    """An instrument of the mock market."""

    name: str
    tick: float  # quote
    start_price: float  # quote, at the beginning of the unseen warm-up: the first output is a few ticks off
    event_rate_scale: float  # model seconds per second
    lot: float  # base
    lots_per_unit: int  # a typical limit order is 1.35 units, a typical best queue some 5
    steps: int = 1  # ticks from a level of the book to the next, in the mean: orders rest at one of them


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        # 2 bps a tick: a five-minute bar moves some 9 ticks, so fees do not eat everything
        Preset("large-tick", tick=0.0001, start_price=0.5, event_rate_scale=1.0, lot=1.0, lots_per_unit=1000),
        # half a basis point a tick, twenty times the events
        Preset("btc-like", tick=1.0, start_price=20_000.0, event_rate_scale=20.0, lot=0.001, lots_per_unit=50),
    )
}


@dataclass(frozen=True, slots=True)
class Quoted:
    """What a coin costs on the mock market: about what it costs, in the steps in which exchanges trade it."""

    price: float  # dollars
    tick: float  # dollars
    lot: float  # base; of such a size that entries of a small account stay far from the cap on volume


#: Coins that look like their names; every other name begins at the price of its preset.
QUOTED: dict[str, Quoted] = {
    "BTC": Quoted(60_000.0, 0.1, 0.001),
    "ETH": Quoted(3_000.0, 0.01, 0.01),
    "BNB": Quoted(600.0, 0.01, 0.01),
    "SOL": Quoted(150.0, 0.01, 0.1),
    "LTC": Quoted(75.0, 0.01, 0.1),
    "XRP": Quoted(0.5, 0.0001, 10.0),
    "DOGE": Quoted(0.1, 0.00001, 100.0),
}


def quoted(symbol: str) -> Quoted | None:
    """The coin that an exchange id trades against a dollar; None where the mock market knows no price of it."""
    base = next((symbol.removesuffix(dollar) for dollar in DOLLARS if symbol.endswith(dollar)), "")
    return QUOTED.get(base)


def priced(preset: Preset, symbol: str) -> Preset:
    """The preset at the price of what a symbol is named after: the same flow in levels and lots, in its tick and lot.

    The levels stay as far apart as in the preset, and begin and end at ticks of the symbol.
    """
    coin = quoted(symbol)
    if coin is None:
        return preset
    width, tick = coin.price * preset.tick / preset.start_price, coin.tick
    if width < tick:
        tick = float(f"{tick / 10.0:.3g}")  # as exchanges do where a tick is too coarse
    return replace(preset, tick=tick, start_price=coin.price, lot=coin.lot, steps=max(1, round(width / tick)))


def require_positive(name: str, value: float) -> None:
    """Refuse what is not positive."""
    if not value > 0:
        raise ConfigError(f"{name} of the synthetic market is to be more than 0, and is {value}")


def params_record(params: MarketParams, preset: Preset) -> Rows:
    """The loop's settings from the user's.

    Raises:
        ConfigError: a Hawkes sum of 1 or more (the market would explode), more metaorders than there is room for, or
            a rate, time or exponent that is not positive.
    """
    for name in ("base_rate", "limit_rate", "cancel_rate", "place_scale", "alpha", "activity_s"):
        require_positive(name, getattr(params, name))
    children = sum(params.hawkes)
    if not 0.0 <= children < 1.0:
        raise ConfigError(f"the sum of hawkes is to be in [0, 1), and is {children}: give each order fewer children")
    if not 0 <= params.metaorders <= METAORDERS:
        raise ConfigError(f"metaorders is to be 0 to {METAORDERS}, and is {params.metaorders}")
    rows = np.zeros(1, PARAMS)
    p = rows[0]
    for name in set(asdict(params)) & set(PARAMS.names or ()):
        p[name] = getattr(params, name)
    keep = math.exp(-STEP_S * STEPS_PER_OU / (params.activity_s * preset.event_rate_scale))
    p.market_mean = params.base_rate / (1.0 - children)
    p.jump = [n / s for n, s in zip(params.hawkes, params.hawkes_s, strict=True)]
    p.decay = [math.exp(-STEP_S / s) for s in params.hawkes_s]
    p.activity_keep = keep
    p.activity_kick = math.sqrt(1.0 - keep * keep)
    p.cancel_rate = params.cancel_rate / preset.lots_per_unit
    p.inverse_alpha = 1.0 / params.alpha
    p.unit = preset.lots_per_unit
    p.step_ns = round(STEP_S * NS_PER_S / preset.event_rate_scale)
    p.steps = preset.steps
    p.tick, p.per_tick = preset.tick, per_step(preset.tick)
    p.lot, p.per_lot = preset.lot, per_step(preset.lot)
    p.place_at = _place_at(params.place_power, params.place_scale)
    p.limit_lots = _lognormal_lots(0.3, 0.9, preset.lots_per_unit)
    p.market_lots = _lognormal_lots(0.5, 1.0, preset.lots_per_unit)
    return rows


def _lognormal_lots(mu: float, sigma: float, unit: int) -> Ints:
    """Quantiles of exp(mu + sigma Z) units, in lots, at least one."""
    standard = NormalDist()
    quantiles = (math.exp(mu + sigma * standard.inv_cdf((i + 0.5) / TABLE)) for i in range(TABLE))
    return np.array([max(1, round(q * unit)) for q in quantiles], dtype=np.int64)


def _place_at(power: float, scale: float) -> Ints:
    """Quantiles of the distance of limit orders, levels 0 to WINDOW - 1."""
    weights = np.array([(1.0 + i / scale) ** -power for i in range(WINDOW)])
    return np.searchsorted(np.cumsum(weights) / weights.sum(), (np.arange(TABLE) + 0.5) / TABLE)
