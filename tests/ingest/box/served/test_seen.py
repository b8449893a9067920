from ingest.box.floor.market import Candle
from ingest.box.served.seen import candle_seen, levels_seen
from tests.boxes import ListFlow

MARKET = ListFlow().market


def test_a_candle_is_told_in_prices_and_base():
    candle = Candle(60_000, 100, 105, 99, 101, lots=7, bought=4, trades=3)
    assert (60_000, 10.0, 10.5, 9.9, 10.1, 0.007, 0.004, 3) == candle_seen(MARKET, candle)


def test_levels_are_told_best_first():
    assert ((10.0, 0.001), (9.9, 0.001)) == levels_seen(MARKET, MARKET.bids, 2)
    assert ((10.1, 0.001),) == levels_seen(MARKET, MARKET.asks, 1)
