"""What a market says of itself: where its symbols come from, and which of its bars may be decided on."""

import dataclasses

from tests.market import TF, TWO


def test_each_symbol_is_decided_on_from_a_close_of_its_own():
    assert [(2, 0), (3, 0), (3, 1)] == [(row["ts"] / TF, row["sym"]) for row in TWO.decided]


def test_a_market_is_spot_or_synthetic_when_one_of_its_symbols_is():
    spot = dataclasses.replace(TWO, files=({"market": "bybit_linear"}, {"market": "binance_spot"}))
    assert (False, True) == (TWO.spot, spot.spot)
    assert (False, True) == (TWO.synthetic, dataclasses.replace(TWO, sources=("here", "synthetic")).synthetic)
