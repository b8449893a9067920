import pytest

from ingest.mock.events import event_blocks
from ingest.mock.market import START_NS, nothing, open_market
from ingest.mock.outputs import tick_of
from ingest.mock.rows import MASK
from ingest.mock.settings import PRESETS, priced
from utils.errors import ConfigError
from utils.rows import NS_PER_MINUTE, NS_PER_S


def test_it_opens_warm_and_stands_where_it_was_asked_for():
    market = open_market(5, start_ns=START_NS + NS_PER_S)
    m = market.state[0]
    assert START_NS <= m.ts < START_NS + NS_PER_S
    assert m.step_no > 1000
    assert (0, 0, 0) == (m.n_events, m.n_grid, m.n_bars)


def test_levels_are_bids_then_asks_best_first_and_all_that_rests():
    market = open_market(5)
    levels = list(market.levels())
    bids, asks = ([level for level in levels if level[0] == side] for side in (1, -1))
    assert levels == bids + asks
    assert sorted((tick for _, tick, _ in bids), reverse=True) == [tick for _, tick, _ in bids]
    assert sorted(tick for _, tick, _ in asks) == [tick for _, tick, _ in asks]
    assert bids[0][1] < asks[0][1]
    assert sum(lots for *_, lots in levels) == market.sides["lots"].sum()
    assert bids[0][2] == market.sides[0].lots[market.sides[0].best & MASK]


def test_levels_of_a_coin_stand_at_its_own_ticks():
    plain = open_market(5)
    coin = open_market(5, priced(PRESETS["large-tick"], "BTCUSDT"))
    assert [(side, tick_of(tick, 120), lots) for side, tick, lots in plain.levels()] == list(coin.levels())


@pytest.mark.parametrize("wanted", [{}, {"grid_ns": NS_PER_S}, {"bar_ns": NS_PER_MINUTE}, {"events": True}])
def test_what_is_wanted_is_counted_from_its_start(wanted):
    market = open_market(5)
    market.want(START_NS, **wanted)
    m = market.state[0]
    assert bool(wanted.get("events")) == bool(m.taping)
    lengths = [wanted.get(name) for name in ("grid_ns", "bar_ns")]
    assert [START_NS + length for length in lengths if length] == [ts for ts in (m.grid_ts, m.bar_ts) if ts < 2**62]


def test_nothing_is_written_where_nothing_was_asked_for():
    market = open_market(5)
    assert market.advance(START_NS + NS_PER_MINUTE, *nothing())
    assert (0, 0, 0) == tuple(int(market.state[0][name]) for name in ("n_events", "n_grid", "n_bars"))
    assert market.state[0].ts > START_NS


def test_a_time_beyond_the_clock_is_one_sentence():
    with pytest.raises(ConfigError, match=r"expected a time up to the year 2116, saw 1\.14e"):
        next(iter(list(event_blocks(3.6e15, 5))))
