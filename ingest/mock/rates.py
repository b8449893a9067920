"""How often orders arrive: market orders excite each other, all of them follow a slow activity.

Sources: Bacry, Mastromatteo, Muzy 2015 (Hawkes).
"""

from __future__ import annotations

import math

from ingest.mock.dice import normal
from ingest.mock.rows import STEPS_PER_OU, MarketRow, ParamsRow
from utils.compiled import compiled


@compiled
def refresh_rates(m: MarketRow, p: ParamsRow) -> None:
    """Rates from excitement, activity and expected sign; limits and cancels follow activity with a power below 1."""
    m.market_rate = m.unexcited + m.hawkes[0] + m.hawkes[1] + m.hawkes[2]
    pace = math.exp(p.activity_power * math.log(m.market_rate / p.market_mean))
    buys = math.exp(-p.refill * m.expected_sign)
    sells = 1.0 / buys
    m.limit_rate = p.limit_rate * pace * 0.5 * (buys + sells)
    m.cancel_rate = p.cancel_rate * pace
    m.buy_share = buys / (buys + sells)


@compiled
def set_base(m: MarketRow, p: ParamsRow) -> None:
    """Base rate of market orders: log-normal around its mean."""
    m.unexcited = p.base_rate * math.exp(p.activity_sd * m.activity - 0.5 * p.activity_sd * p.activity_sd)


@compiled
def next_step(m: MarketRow, p: ParamsRow) -> None:
    """Begin the next step of the intensities' grid."""
    m.phase = 0.0
    m.step_ts += p.step_ns
    m.step_no += 1
    for i in range(3):
        m.hawkes[i] *= p.decay[i]
    if m.step_no % STEPS_PER_OU == 0:
        m.activity = m.activity * p.activity_keep + p.activity_kick * normal(m)
        set_base(m, p)
    refresh_rates(m, p)
