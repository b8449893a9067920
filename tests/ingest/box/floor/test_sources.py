"""The mock market as the box's source: one path, whatever is asked of it and when."""

from ingest.box.floor.market import Arrival, Change
from ingest.box.floor.sources import SyntheticFlow, _book
from tests.boxes import MIDNIGHT_NS
from utils.rows import MS_PER_MINUTE, NS_PER_MS, NS_PER_S

HALF_PAST = MIDNIGHT_NS + 1830 * NS_PER_S


def flow(symbol: str = "BTCUSDT", seed: int = 7) -> SyntheticFlow:
    return SyntheticFlow(symbol, "large-tick", seed, HALF_PAST, 0.5)


def arrivals(source: SyntheticFlow, *cuts_s: float) -> list[Arrival]:
    return [arrival for cut in cuts_s for arrival in source.take(HALF_PAST + round(cut * NS_PER_S))]


def test_a_seed_is_one_market():
    assert arrivals(flow(), 20) == arrivals(flow(), 20)


def test_each_symbol_has_a_seed_of_its_own():
    first, second = ([arrival.changes for arrival in arrivals(flow(name), 20)] for name in ("BTCUSDT", "ETHUSDT"))
    assert first != second


def test_the_path_does_not_depend_on_where_it_is_cut():
    assert arrivals(flow(), 20) == arrivals(flow(), 0.001, 0.5, 3.7, 3.7, 20)


def test_the_book_follows_from_the_arrivals():
    source = flow()
    for arrival in arrivals(source, 30):
        source.market.apply(arrival)
    assert set(_book(source._market)) == {
        *(Change(1, tick, lots) for tick, lots in source.market.bids.lots.items()),
        *(Change(-1, -tick, lots) for tick, lots in source.market.asks.lots.items()),
    }


def test_no_arrival_leaves_a_crossed_book():
    source = flow()
    for arrival in arrivals(source, 60):
        source.market.apply(arrival)
        assert source.market.bids.best < source.market.asks.best


def test_trades_are_made_at_the_best_price():
    source = flow()
    checked = 0
    for arrival in arrivals(source, 60):
        if arrival.fills:
            side, tick, _ = arrival.fills[0]
            assert tick == (source.market.asks if side > 0 else source.market.bids).best
            checked += 1
        source.market.apply(arrival)
    assert checked > 0


def test_the_history_reaches_from_the_listing_to_the_present_without_a_gap():
    market = flow().market
    opens = [candle.open_ms for candle in market.candles]
    assert list(range(MIDNIGHT_NS // NS_PER_MS, HALF_PAST // NS_PER_MS, MS_PER_MINUTE)) == opens


def test_the_candles_of_the_history_are_made_of_its_trades():
    market = flow().market
    for candle in market.candles:
        trades = [trade for trade in market.trades if 0 <= trade.ts // NS_PER_MS - candle.open_ms < MS_PER_MINUTE]
        assert sum(trade.lots for trade in trades) == candle.lots
        assert len(trades) == candle.trades
        if trades:
            ticks = [trade.tick for trade in trades]
            assert (ticks[0], max(ticks), min(ticks), ticks[-1]) == (
                candle.open,
                candle.high,
                candle.low,
                candle.close,
            )
            assert trades[0].id == candle.first_id
