import numpy as np
import pytest

from ingest.mock.market import open_market
from ingest.mock.outputs import close_bar, close_grid, count_flow, decimal, tick_of
from ingest.mock.rows import GRID, MASK
from utils.rows import BAR, NS_PER_S


@pytest.mark.parametrize(
    ("count", "step", "per", "price"), [(3, 0.1, 10.0, 0.3), (5123, 0.0001, 10_000.0, 0.5123), (3, 0.25, 0.0, 0.75)]
)
def test_ticks_become_the_nearest_double_of_the_decimal(count, step, per, price):
    assert price == decimal(count, step, per)


@pytest.mark.parametrize("steps", [1, 2, 3, 120])
def test_a_level_has_one_tick_of_its_own_and_they_rise_together(steps):
    ticks = [tick_of(level, steps) for level in range(20_000)]
    places = {tick - level * steps for level, tick in enumerate(ticks)}
    assert sorted(set(ticks)) == ticks
    assert set(range(steps)) == places


def test_a_closed_bar_holds_its_trades_and_the_next_begins_empty():
    market = open_market(1)
    m, bars = market.state[0], np.zeros(2, BAR)
    m.bar_ts, m.bar_ns, m.n_bars = NS_PER_S, NS_PER_S, 0
    m.bar_open, m.bar_high, m.bar_low, m.last_tick, m.bar_lots, m.bar_bought = 5000, 5003, 4999, 5001, 70, 40
    for bar in bars:
        close_bar(m, market.params[0], bar)
    assert (0.5, 0.5003, 0.4999, 0.5001, 70.0, 40.0) == tuple(bars[0].tolist()[4:])
    assert (0.5001, 0.5001, 0.5001, 0.5001, 0.0, 0.0) == tuple(bars[1].tolist()[4:])
    assert ([NS_PER_S, 2 * NS_PER_S], 2) == (bars["ts"].tolist(), m.n_bars)


def test_flow_counts_what_came_to_the_bid_and_left_the_ask():
    market = open_market(1)
    m, (bid, ask), rows = market.state[0], market.sides, np.zeros(1, GRID)
    m.ofi, m.n_grid, m.grid_ts, m.grid_ns = 0, 0, NS_PER_S, NS_PER_S
    m.bid_tick, m.bid_lots = bid.best, bid.lots[bid.best & MASK] - 30
    m.ask_tick, m.ask_lots = -ask.best, ask.lots[ask.best & MASK] + 20
    count_flow(m, bid, ask)
    assert 50 == m.ofi
    close_grid(m, bid, ask, rows[0])
    assert (50.0, -ask.best - bid.best, 0) == (rows[0].ofi, rows[0].spread, m.ofi)
