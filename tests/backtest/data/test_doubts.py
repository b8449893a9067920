"""What is doubtful about bars is said, and nothing else is."""

from dataclasses import replace

import numpy as np
import pytest

from backtest.data.doubts import doubts
from exec.market import Market
from tests.market import TF, bars, instrument, one_clock
from utils.rows import FUNDING, NS_PER_HOUR

CALM = (100.0, 100.5, 99.5, 100.0, 5.0)
NOTHING = (100.0, 100.0, 100.0, 100.0, 0.0)


def market(*candles, starts=(0,), symbols=("BTCUSDT",), **values):
    return Market(
        symbols,
        ("here",) * len(symbols),
        "1m",
        TF,
        one_clock(*(bars(*candles, sym=sym) for sym in range(len(symbols)))),
        instrument(**values).repeat(len(symbols)),
        np.zeros(0, FUNDING),
        starts * len(symbols),
        ({"market": "bybit_linear"},) * len(symbols),
        (),
    )


def trades(*spans, symbol="BTCUSDT"):
    """Trades as (opened at minute, closed at minute, exit price)."""
    columns = np.array(spans, dtype=float).reshape(-1, 3)
    names = {"entry_time": columns[:, 0] * TF, "exit_time": columns[:, 1] * TF}
    return {
        "symbol": np.array([symbol] * len(columns), dtype=object),
        "exit_price": columns[:, 2],
        **{name: values.astype(np.int64) for name, values in names.items()},
    }


def said(*candles, closed=(), **values):
    return [text.removeprefix("BTCUSDT: ") for text in doubts(market(*candles, **values), trades(*closed))]


def test_plain_bars_leave_no_doubt():
    assert [] == said(*[CALM] * 10)


def test_a_tick_that_becomes_finer_is_told_from_the_bar_on():
    finer = (100.02, 100.5, 99.57, 100.0, 5.0)
    (text,) = said(*[CALM] * 3, *[finer] * 3)
    remedy = "set instruments.bybit_linear.BTCUSDT.tick"
    assert f"from 1970-01-01T00:04 prices lie between ticks of 0.1: the tick has changed; {remedy}" == text


def test_a_few_prices_between_ticks_are_counted():
    odd = (100.0, 100.55, 99.5, 100.0, 5.0)
    (text,) = said(CALM, odd, *[CALM] * 8)
    assert text.startswith(
        "prices lie between ticks of 0.1 in 1 bar, the first in the one that closed at 1970-01-01T00:02"
    )


def test_the_noise_of_arithmetic_lies_on_its_tick():
    noisy = (100.10000000000001, 100.30000000000001, 99.89999999999999, 100.10000000000001, 5.0)
    assert [] == said(*[noisy] * 5)


def test_bars_before_the_first_decision_are_not_doubted():
    odd = [(100.03, 100.03, 100.03, 100.03, 0.0), (1.0, 1.0, 1.0, 1.0, 1.0)]
    assert [] == said(*odd, *[CALM] * 5, starts=(4 * TF,))


@pytest.mark.parametrize(
    ("moving", "count"),
    [
        ([(100.0, 100.0, 80.0, 80.0, 0.0)], "1 bar moved without volume: stops are not checked in it (row 3)"),
        ([(100.0, 100.2, 100.0, 100.0, 0.0)] * 2, "2 bars moved without volume: stops are not checked in them (row 3)"),
        ([(100.4, 100.4, 100.4, 100.4, 0.0)], "1 bar moved without volume: stops are not checked in it (row 3)"),
    ],
)
def test_bars_that_move_without_volume_are_counted(moving, count):
    assert count == said(CALM, CALM, *moving, CALM)[0]


def test_flat_bars_without_volume_are_a_calm_market():
    assert [] == said(CALM, NOTHING, NOTHING, CALM)


def test_a_price_that_opens_far_away_after_bars_without_volume_is_told():
    fallen = (79.5, 80.0, 79.0, 79.5, 5.0)
    assert [
        "row 4 opened 20.5 % from the last trade, after bars without volume: stops between the two filled there"
    ] == said(CALM, NOTHING, NOTHING, fallen)


def test_a_file_without_any_volume_fills_no_order():
    assert ["no bar has any volume: nothing traded, so no order can fill"] == said(*[(*CALM[:4], 0.0)] * 4)


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        (1 / 1000, "1/1000 of"),
        (10.0, "10 times"),
        (1e6, "1000000 times"),
        (3.5, "3.5 times"),
        (1 / 4, "1/4 of"),
    ],
)
def test_a_jump_of_the_unit_is_told_with_the_trades_across_it(unit, words):
    new = [(*(price * unit for price in CALM[:4]), 5.0)] * 3
    closed = [(0, 2, 100.0), (1, 4, 100.0 * unit), (1, 3, 100.0), (2, 3, 100.0 * unit), (3, 5, 100.0 * unit)]
    text = said(*[CALM] * 3, *new, closed=closed, tick=1e-9, per_tick=1e9)[0]
    assert (
        f"1970-01-01T00:03, row 4 opens at {words} the close before: a new unit or another instrument? "
        "trades across it: 2"
    ) == text


def test_a_jump_inside_a_bar_is_told():
    (text,) = said(CALM, (100.0, 400.0, 100.0, 400.0, 5.0), (400.0,) * 4, closed=[(0, 3, 400.0), (2, 3, 400.0)])
    assert "row 2 goes from 100 to 400: a new unit or another instrument? trades across it: 1" in text


def test_several_jumps_are_one_sentence():
    cheap = (1.0, 1.0, 1.0, 1.0, 5.0)
    (text,) = said(CALM, cheap, CALM, cheap, closed=[(0, 4, 1.0), (2, 3, 100.0)])
    assert text.endswith("trades across them: 1, and 2 more such rows")


def test_a_fall_by_half_is_a_market():
    assert [] == said(CALM, (50.0, 50.0, 40.0, 40.0, 5.0))


def test_each_symbol_is_doubted_by_itself():
    found = doubts(market(*[(*CALM[:4], 0.0)] * 3, symbols=("ADAUSDT", "BTCUSDT")), trades())
    assert ["ADAUSDT", "BTCUSDT"] == [text[:7] for text in found]


def test_what_the_files_leave_open_comes_first():
    doubted = replace(market(CALM), doubts=("funding",))
    assert ["funding"] == doubts(doubted, trades())


def test_a_gap_of_hours_is_no_jump_by_itself():
    quiet = market(CALM, CALM)
    quiet.bars["ts"][1] += NS_PER_HOUR
    assert [] == doubts(quiet, trades())
