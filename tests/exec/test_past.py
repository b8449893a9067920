"""What a live run remembers, put together again."""

import numpy as np

from exec.past import Part, Past, no_book
from tests.market import FLAT, TWO, bars, one_clock, signals


def part(first, side, *, late=False):
    rows = one_clock(bars(FLAT, first=first), bars(FLAT, first=first, sym=1))
    return Part(rows, no_book(2), signals(2, {0: side}), late)


def test_the_bars_of_a_run_become_a_market_that_has_ended():
    past = Past(TWO)
    past.append(Part(TWO.bars, no_book(6), signals(6, {}), late=False))
    past.append(part(3, 1.0))
    market = past.market(part(4, -1.0))
    assert (8, 10) == (len(past), len(market.bars))
    assert [0] * 8 + [1, 1] == market.bars["last"].tolist()
    assert np.diff(market.bars["ts"]).min() == 0
    assert np.isnan(market.book["spread_bps"]).all()
    assert TWO.symbols == market.symbols


def test_what_was_said_and_what_came_late_stand_beside_the_bars():
    past = Past(TWO)
    past.append(part(0, 1.0))
    past.append(part(1, -1.0, late=True))
    assert [1.0, -1.0] == past.signals["side"][::2].tolist()
    assert [False, False, True, True] == past.late.tolist()
