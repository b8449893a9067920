"""The nouns: one that exists is legal."""

import dataclasses
import math

import numpy as np
import pytest

from utils.codes import LIQUIDITY_NAMES, TAKE_PROFIT, TAKER
from utils.records.schema import TRADE_COLUMNS
from utils.rows import BAR, INSTRUMENT, SIGNAL, TRADE
from utils.types import (
    Bar,
    BookDelta,
    BookInvalid,
    BookSnapshot,
    Decision,
    Fill,
    Funding,
    Instrument,
    MarkPrice,
    Order,
    Position,
    Refusal,
    Reject,
    Signal,
    Trade,
    TradeRecord,
    per_step,
)

BTC = Instrument("BTCUSDT", 0.1, 0.001, 5.0, 2.0, 5.5, 100.0, 0.005)
BAR_5M = Bar("BTCUSDT", "5m", 300, 301, 10.0, 12.0, 9.0, 11.0, 5.0, 2.0)
BOOK = BookSnapshot("BTCUSDT", 1, 2, ((99.0, 1.0), (98.0, 5.0)), ((101.0, 3.0), (102.0, 1.0)))
DELTA = BookDelta("BTCUSDT", 1, 2, ((99.0, 0.0),), ())
TICK = Trade("BTCUSDT", 1, 2, 100.0, 0.5, -1)
ORDER = Order(1, "BTCUSDT", 1, 1, 0.5, "LIMIT", 99.0)
FILL = Fill(1, "BTCUSDT", 1, 2, 1, 0.5, 99.0, 0.01, "maker")
HELD = Position("BTCUSDT", -2.0, 100.0, 1, 101.0, 99.0)
LONG = Signal(1, "BTCUSDT", 1, 80.0, 0.6, 4.0, 25.0, 18.0, 20, ("momentum",))
CLOSED = TradeRecord(
    1, "BTCUSDT", "long", 2.0, 1, 2, 3, 100.0, 100.0, 101.0, 99.0, 101.0, 2.0, 0.5, 0.25, 1.25, 0.0,
    "maker", "taker", "TAKE_PROFIT", 10_001.25, "test",
)  # fmt: skip

ILLEGAL = [
    (BAR_5M, {"close": math.nan}, "Bar.close: expected a finite number above 0, saw nan"),
    (BAR_5M, {"open": -1.0}, "Bar.open: expected a finite number above 0"),
    (BAR_5M, {"high": math.inf}, "Bar.high"),
    (BAR_5M, {"high": 10.5}, "Bar.high: expected a price not below the others, saw 10.5"),
    (BAR_5M, {"low": 10.5}, "Bar.low: expected a price not above the others"),
    (BAR_5M, {"volume": -1.0}, "Bar.volume: expected a finite number, at least 0"),
    (BAR_5M, {"taker_buy_volume": 6.0}, "Bar.taker_buy_volume: expected at most the volume 5.0"),
    (BAR_5M, {"taker_buy_volume": math.nan}, "Bar.taker_buy_volume: expected None or a finite number"),
    (BAR_5M, {"ts_recv": 299}, "Bar.ts_recv: expected a time at or after ts 300, saw 299"),
    (BAR_5M, {"ts": 300.0}, "Bar.ts: expected int nanoseconds"),
    (BAR_5M, {"tf": "7m"}, "Bar.tf: expected one of 1m, 3m"),
    (BAR_5M, {"symbol": ""}, "Bar.symbol: expected a name"),
    (BOOK, {"bids": ((101.0, 1.0),)}, "BookSnapshot.bids: expected the best bid below the best ask 101.0"),
    (BOOK, {"bids": ((98.0, 1.0), (99.0, 1.0))}, "BookSnapshot.bids: .* best first"),
    (BOOK, {"asks": ((101.0, 0.0),)}, "BookSnapshot.asks"),
    (BOOK, {"asks": ((math.nan, 1.0),)}, "BookSnapshot.asks"),
    (BOOK, {"ts_recv": 0}, "BookSnapshot.ts_recv"),
    (DELTA, {"bids": ((99.0, -1.0),)}, "BookDelta.bids"),
    (DELTA, {"ts_recv": 0}, "BookDelta.ts_recv"),
    (BookInvalid("BTCUSDT", 1, 2, "gap"), {"reason": ""}, "BookInvalid.reason"),
    (BookInvalid("BTCUSDT", 1, 2, "gap"), {"ts_recv": 0}, "BookInvalid.ts_recv"),
    (TICK, {"qty": 0.0}, "Trade.qty"),
    (TICK, {"side": 0}, "Trade.side: expected one of 1, -1, saw 0"),
    (TICK, {"ts_recv": 0}, "Trade.ts_recv"),
    (Funding("BTCUSDT", 1, 1e-4), {"rate": math.nan}, "Funding.rate"),
    (MarkPrice("BTCUSDT", 1, 100.0), {"price": 0.0}, "MarkPrice.price"),
    (LONG, {"side": 2}, "Signal.side: expected one of 1, -1, 0"),
    (LONG, {"side": math.nan}, "Signal.side"),
    (LONG, {"strength": 101.0}, "Signal.strength"),
    (LONG, {"p_win": 1.5}, "Signal.p_win"),
    (LONG, {"stop_bps": 0.0}, "Signal.stop_bps"),
    (LONG, {"expected_bps": math.nan}, "Signal.expected_bps"),
    (ORDER, {"kind": "STOP"}, "Order.kind: expected one of MARKET, LIMIT, POST_ONLY, STOP_MARKET, saw 'STOP'"),
    (ORDER, {"kind": "MARKET"}, "Order.price: expected None, as a MARKET order has no limit"),
    (ORDER, {"qty": -0.5}, "Order.qty"),
    (ORDER, {"id": ""}, "Order.id"),
    (FILL, {"liquidity": "both"}, "Fill.liquidity: expected one of maker, taker"),
    (FILL, {"fee": math.nan}, "Fill.fee"),
    (FILL, {"ts_recv": 0}, "Fill.ts_recv"),
    (Reject(1, 1, "no margin"), {"ts": -1}, "Reject.ts"),
    (HELD, {"qty": 0.0}, "Position.qty: expected a finite number, not 0"),
    (HELD, {"stop": math.nan}, "Position.stop"),
    (CLOSED, {"net_pnl": 1.26}, "TradeRecord.net_pnl: expected gross_pnl - fees - funding = 1.25, saw 1.26"),
    (CLOSED, {"gross_pnl": math.nan}, "TradeRecord.gross_pnl"),
    (CLOSED, {"side": 1}, "TradeRecord.side: expected one of long, short"),
    (CLOSED, {"exit_reason": "BORED"}, "TradeRecord.exit_reason"),
    (CLOSED, {"exit_time": 1}, "TradeRecord.entry_time"),
    (BTC, {"tick_size": 0.0}, "Instrument.tick_size"),
    (BTC, {"lot_size": math.nan}, "Instrument.lot_size"),
    (BTC, {"max_leverage": 0.5}, "Instrument.max_leverage"),
    (BTC, {"maintenance": 1.0}, "Instrument.maintenance"),
    (Refusal("heat", "too hot"), {"rule": ""}, "Refusal.rule"),
]


@pytest.mark.parametrize(("noun", "change", "says"), ILLEGAL, ids=[f"{type(n).__name__} {c}" for n, c, _ in ILLEGAL])
def test_what_is_illegal_cannot_be_made(noun, change, says):
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(noun, **change)


def test_a_noun_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        BAR_5M.close = 1.0


def test_what_the_venue_does_not_say_is_none_in_the_noun_and_nan_in_the_row():
    quiet = dataclasses.replace(BAR_5M, taker_buy_volume=None)
    row = np.array([quiet.row(3, gap=2, last=True)], BAR)[0]
    assert math.isnan(row.taker_buy)
    assert (300, 3, 2, 1) == (row.ts, row.sym, row.gap, row.last)
    assert quiet == Bar.of(row, "BTCUSDT", "5m", 301)


def test_a_bar_survives_the_way_through_its_row():
    assert BAR_5M == Bar.of(np.array([BAR_5M.row(0)], BAR)[0], "BTCUSDT", "5m", 301)
    assert 300 == Bar.of(np.array([BAR_5M.row(0)], BAR)[0], "BTCUSDT", "5m").ts_recv


def test_prices_round_to_the_tick_as_the_compiled_core_rounds():
    assert [60_000.1, 60_000.2, 60_000.1] == [BTC.round_price(60_000.13, d) for d in (-1, 1, 0)]
    assert 60_000.2 == BTC.round_price(60_000.15000001)
    assert 0.3 == BTC.round_price(0.1 + 0.2, -1) == BTC.round_price(0.1 + 0.2, 1)


def test_quantities_round_down_to_the_lot_without_losing_one():
    assert 0.003 == BTC.round_qty(0.0039)
    assert 0.3 == Instrument("X", 1.0, 0.1).round_qty(0.3)


def test_per_step_is_whole_or_nothing():
    assert [10.0, 10_000.0, 4.0, 1.0, 0.0, 0.0] == [per_step(step) for step in (0.1, 1e-4, 0.25, 1.0, 0.3, 5.0)]


def test_an_instrument_becomes_its_row():
    row = np.array([BTC.row()], INSTRUMENT)[0]
    assert (0.1, 10.0, 0.001, 1000.0, 5.0, 2.0, 5.5, 100.0, 0.005) == row.item()


def test_a_signal_becomes_its_row_with_nan_for_none():
    row = np.array([LONG.row()], SIGNAL)[0]
    assert (1.0, 80.0, 0.6, 4.0, 25.0, 18.0, 20.0) == tuple(
        row[name] for name in ("side", "strength", "p_win", "expected_bps", "take_bps", "stop_bps", "horizon")
    )
    assert math.isnan(row.threshold)
    assert math.isnan(row.atr)


def test_mid_lies_between_the_best_prices_and_the_weighted_one_nearer_the_thinner_side():
    assert 100.0 == BOOK.mid
    assert 99.5 == BOOK.weighted_mid  # 1 bid against 3 ask
    assert 200.0 == pytest.approx(BOOK.spread_bps)


def test_an_empty_side_has_no_mid():
    empty = dataclasses.replace(BOOK, asks=())
    assert all(math.isnan(value) for value in (empty.mid, empty.weighted_mid, empty.spread_bps))


def test_a_short_earns_when_the_price_falls():
    assert 2.0 == HELD.pnl(99.0)
    assert -2.0 == HELD.pnl(101.0)


def test_a_trade_record_has_the_columns_of_trades_csv():
    assert tuple(field.name for field in dataclasses.fields(TradeRecord)) == TRADE_COLUMNS


def test_a_trade_record_is_built_from_a_row():
    row = np.zeros(1, TRADE)
    row["entry_no"], row["sym"], row["side"], row["qty"] = 7, 1, -1, 2.0
    row["signal_ts"], row["entry_ts"], row["exit_ts"] = 1, 2, 3
    row["decision_price"] = row["entry_price"] = 100.0
    row["exit_price"] = row["take_price"] = 99.0
    row["stop_price"] = 101.0
    row["gross_pnl"], row["fees"], row["funding"], row["net_pnl"] = 2.0, 0.5, -0.25, 1.75
    row["entry_liquidity"], row["exit_liquidity"], row["exit_reason"] = (
        TAKER,
        LIQUIDITY_NAMES.index("maker"),
        TAKE_PROFIT,
    )
    record = TradeRecord.of(row[0], ("A", "B"), "file.csv", 10_001.75)
    assert (7, "B", "short", 1, 2, 3) == (
        record.trade_id, record.symbol, record.side, record.signal_time, record.entry_time, record.exit_time,
    )  # fmt: skip
    assert ("taker", "maker", "TAKE_PROFIT") == (record.entry_liquidity, record.exit_liquidity, record.exit_reason)
    assert (1.75, 10_001.75, "file.csv") == (record.net_pnl, record.equity_after, record.source)
    assert type(record.qty) is float


def test_an_empty_decision_asks_for_nothing():
    decision = Decision(1)
    assert (None, (), (), (), ()) == (
        decision.signal, decision.orders, decision.cancels, decision.refusals, decision.closed,
    )  # fmt: skip
