import math

from ingest.mock.market import open_market
from ingest.mock.rates import next_step, refresh_rates, set_base


def test_rates_are_balanced_when_no_sign_is_expected_and_lean_against_one():
    market = open_market(1)
    m, p = market.state[0], market.params[0]
    m.expected_sign = 0.0
    refresh_rates(m, p)
    assert 0.5 == m.buy_share
    m.expected_sign = 1.0  # who expects buyers offers
    refresh_rates(m, p)
    assert m.buy_share < 0.5


def test_limits_and_cancels_follow_market_orders_less_than_one_for_one():
    market = open_market(1)
    m, p = market.state[0], market.params[0]
    m.expected_sign, m.hawkes = 0.0, (0.0, 0.0, 0.0)
    m.unexcited = p.market_mean
    refresh_rates(m, p)
    assert (p.market_mean, p.limit_rate, p.cancel_rate) == (m.market_rate, m.limit_rate, m.cancel_rate)
    m.unexcited = 4.0 * p.market_mean
    refresh_rates(m, p)
    assert math.isclose(4.0**0.6, m.limit_rate / p.limit_rate)


def test_the_base_is_lognormal_around_its_mean_and_excitement_fades():
    market = open_market(1)
    m, p = market.state[0], market.params[0]
    m.activity = 0.5
    set_base(m, p)
    assert math.isclose(p.base_rate, m.unexcited)
    m.hawkes = (1.0, 1.0, 1.0)
    before = m.step_ts
    next_step(m, p)
    assert p.decay.tolist() == m.hawkes.tolist()
    assert before + p.step_ns == m.step_ts
