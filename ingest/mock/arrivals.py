"""What arrives at the mock market: limit orders, cancels, and market orders with reasons of their own.

Sources: Daniels et al. 2003, Farmer et al. 2005 (Santa Fe); Lillo, Mike, Farmer 2005 (metaorders); Huang, Lehalle,
Rosenbaum 2015 (queue-reactive).
"""

from __future__ import annotations

import math

import numpy as np

from ingest.mock.book import balance, change, fall_back, improve, tape
from ingest.mock.dice import LOW_TEN_BITS, U10, U54, coin, exponential, random_bits, uniform
from ingest.mock.rates import refresh_rates
from ingest.mock.rows import MASK, TRADE, WINDOW, MarketRow, ParamsRow, SideRow
from utils.compiled import compiled


@compiled
def place(m: MarketRow, p: ParamsRow, bid: SideRow, ask: SideRow) -> None:
    """A limit order, at a power-law distance from the best price that does not cross."""
    own, other = (bid, ask) if uniform(m) <= m.buy_share else (ask, bid)
    bits = random_bits(m)
    level = -other.best - 1 - p.place_at[np.int64(bits >> U54)]
    if level > own.best:
        improve(m, own, level)
    change(m, own, level, p.limit_lots[np.int64((bits >> U10) & LOW_TEN_BITS)])


@compiled
def cancel(m: MarketRow, p: ParamsRow, bid: SideRow, ask: SideRow) -> None:
    """A cancel at a lot drawn from all near ones; now and then at the thinner best queue."""
    imbalance = balance(bid, ask)
    if uniform(m) <= p.thin_cancel * abs(imbalance):
        nth = 0 if imbalance < 0.0 else bid.depth
    else:
        nth = min(int(uniform(m) * (bid.depth + ask.depth)), bid.depth + ask.depth - 1)
    own, other = (bid, ask) if nth < bid.depth else (ask, bid)
    if nth >= bid.depth:
        nth -= bid.depth
    level = own.best
    here = own.lots[level & MASK]
    while nth >= here:
        nth -= here
        level -= 1
        here = own.lots[level & MASK]
    change(m, own, level, -min(here, p.limit_lots[np.int64(random_bits(m) >> U54)]))
    fall_back(m, own, other, p.unit)


@compiled
def trade_sign(m: MarketRow, p: ParamsRow, bid: SideRow, ask: SideRow) -> int:
    """Who wants to trade: a metaorder, noise, or somebody who sees the thinner queue."""
    j = min(int(uniform(m) * p.metaorders), p.metaorders - 1) if p.metaorders > 0 else -1
    sign = coin(m) if j < 0 else m.meta_sign[j]
    if j >= 0:
        m.meta_left[j] -= 1.0
        if m.meta_left[j] <= 0.0:
            new_metaorder(m, p, j)
    if uniform(m) <= p.noise:
        sign = coin(m)
    imbalance = balance(bid, ask)
    if uniform(m) <= p.thin_hit * abs(imbalance):
        sign = 1 if imbalance > 0.0 else -1
    return sign


@compiled
def new_metaorder(m: MarketRow, p: ParamsRow, j: int) -> None:
    """A fresh parent order; Pareto length, P(length > n) = n^-alpha, up to the longest."""
    m.meta_sign[j] = coin(m)
    m.meta_left[j] = min(math.ceil(math.exp(-math.log(uniform(m)) * p.inverse_alpha)), p.longest)


@compiled
def trade_lots(m: MarketRow, p: ParamsRow, queue: int) -> int:
    """Size of a market order that meets `queue` lots at the best price: mostly a part of it, sometimes a sweep."""
    if uniform(m) <= p.sweep:
        tail = math.exp(-math.log(uniform(m)) / 3.0)
        return int(queue * min(4.0, 1.0 + 0.5 * (tail - 1.0)))
    whole: int = p.market_lots[np.int64(random_bits(m) >> U54)]
    return max(1, min(int(queue * uniform(m)), whole))


@compiled
def market_order(m: MarketRow, p: ParamsRow, bid: SideRow, ask: SideRow) -> None:
    """A market order: it excites the next ones, moves the expected sign, and eats the other side level by level."""
    for i in range(3):
        m.hawkes[i] += p.jump[i]
    sign = trade_sign(m, p, bid, ask)
    m.expected_sign += 0.05 * (sign - m.expected_sign)
    refresh_rates(m, p)
    own, other = (ask, bid) if sign > 0 else (bid, ask)
    eat(m, p, own, other, sign)


@compiled
def eat(m: MarketRow, p: ParamsRow, own: SideRow, other: SideRow, sign: int) -> None:
    """Trade against `own`, at most WINDOW - 1 levels deep."""
    left = trade_lots(m, p, own.lots[own.best & MASK])
    m.orders += 1
    for _ in range(WINDOW - 1):
        if left <= 0:
            return
        lots = min(left, own.lots[own.best & MASK])
        left -= lots
        print_trade(m, sign, own.sign * own.best, lots)
        change(m, own, own.best, -lots)
        fall_back(m, own, other, p.unit)


@compiled
def print_trade(m: MarketRow, sign: int, tick: int, lots: int) -> None:
    """Enter a trade in the open bar, the open grid step and the tape."""
    if m.bar_lots == 0:
        m.bar_open = m.bar_high = m.bar_low = tick
    m.bar_high = max(m.bar_high, tick)
    m.bar_low = min(m.bar_low, tick)
    m.bar_lots += lots
    if sign > 0:
        m.bar_bought += lots
    m.last_tick = tick
    m.tfi += sign * lots
    m.traded += lots
    tape(m, TRADE, sign, tick, lots)


@compiled
def arrive(m: MarketRow, p: ParamsRow, bid: SideRow, ask: SideRow, rate: float) -> None:
    """One arrival: limit order, cancel or market order, in proportion to their rates."""
    dice = uniform(m) * rate
    if dice <= m.market_rate:
        market_order(m, p, bid, ask)
    elif dice <= m.market_rate + m.limit_rate:
        place(m, p, bid, ask)
    else:
        cancel(m, p, bid, ask)
    m.wait = exponential(m)
