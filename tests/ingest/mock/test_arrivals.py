import numpy as np
import pytest

from ingest.mock.arrivals import cancel, market_order, new_metaorder, place, trade_lots
from ingest.mock.market import open_market
from ingest.mock.rows import TRADE


@pytest.fixture
def parts():
    """State, parameters and both sides of a market whose arrivals are taped."""
    market = open_market(4)
    m = market.state[0]
    m.taping, m.n_tape = 1, 0
    with np.errstate(over="ignore"):
        yield m, market.params[0], *market.sides


def taped(m):
    rows = [m[name][: m.n_tape].tolist() for name in ("tape_kind", "tape_side", "tape_tick", "tape_lots")]
    return list(zip(*rows, strict=True))


def test_a_limit_order_adds_lots_and_never_crosses(parts):
    m, p, bid, ask = parts
    for _ in range(500):
        before = bid.lots.sum() + ask.lots.sum()
        m.n_tape = 0
        place(m, p, bid, ask)
        assert bid.best < -ask.best
        if 1 == len(taped(m)):  # or something far away was forgotten
            assert bid.lots.sum() + ask.lots.sum() > before


def test_a_cancel_takes_lots_and_leaves_two_sides(parts):
    m, p, bid, ask = parts
    for _ in range(500):
        before = bid.lots.sum() + ask.lots.sum()
        m.n_tape = 0
        cancel(m, p, bid, ask)
        if 1 == len(taped(m)):  # or an empty side was quoted anew
            assert bid.lots.sum() + ask.lots.sum() < before
        assert min(bid.depth, ask.depth) > 0


def test_a_market_order_trades_at_the_best_price_excites_and_is_remembered(parts):
    m, p, bid, ask = parts
    m.hawkes, m.expected_sign = (0.0, 0.0, 0.0), 0.0
    best = {1: -ask.best, -1: bid.best}
    market_order(m, p, bid, ask)
    kind, side, tick, lots = taped(m)[0]
    assert (TRADE, best[side], True) == (kind, tick, lots > 0)
    assert p.jump.tolist() == m.hawkes.tolist()
    assert 0.05 * side == m.expected_sign


def test_a_market_order_is_at_least_a_lot_and_no_more_than_four_queues(parts):
    m, p, *_ = parts
    sizes = [trade_lots(m, p, 1000) for _ in range(2000)]
    assert 1 <= min(sizes) < 1000 < max(sizes) <= 4000


def test_parents_have_a_sign_and_a_length_with_an_end(parts):
    m, p, *_ = parts
    lengths = []
    for _ in range(2000):
        new_metaorder(m, p, 0)
        lengths.append(m.meta_left[0])
        assert m.meta_sign[0] in {1, -1}
    assert (1.0 <= min(lengths) < 3.0, max(lengths) <= p.longest) == (True, True)
