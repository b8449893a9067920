"""Scenarios computed by hand: every sentence of the contract on bars, one test each.

A signal said in row 0 is decided at time 1 (in bars) and acts at the earliest in row 1, which opens at time 1.
"""

import numpy as np
import pytest

from exec.engine import Engine
from tests.market import (
    EMPTY,
    FLAT,
    NAN,
    TF,
    bars,
    chatter,
    ended,
    engine,
    instrument,
    one_clock,
    only,
    params,
    play,
    settlements,
    signals,
    wander,
)
from utils.codes import ACTION_NAMES, LIMIT, LIQUIDITY_NAMES, MARKET, ORDER_REASONS, POST_ONLY, STATUS_NAMES
from utils.records.names import reasons_of
from utils.rows import INSTRUMENT

LONG, SHORT, CLOSE = 1.0, -1.0, 0.0
DROP = (100.0, 100.2, 99.4, 99.6)  # through a long's stop of 99.5
POP = (100.0, 101.2, 99.8, 101.0)  # through a long's take of 101


def actions(rows):
    return [ACTION_NAMES[action] for action in rows.decisions["action"]]


def orders(rows):
    """(status, reason) of every order, in the order they ended."""
    return [(STATUS_NAMES[o["status"]], ORDER_REASONS[o["reason"]]) for o in rows.orders]


def entered(trade):
    """Price, time in bars, and liquidity of an entry."""
    return float(trade["entry_price"]), trade["entry_ts"] / TF, LIQUIDITY_NAMES[trade["entry_liquidity"]]


def resting(kind=POST_ONLY, **values):
    """Entries that rest at the deciding close, for three bars."""
    return params(entry_kind=kind, **values)


# Entries


def test_a_signal_acts_at_the_next_open():
    trade = only(play((FLAT, (100.4, 100.5, 100.3, 100.4), DROP), {0: LONG}).trades)
    assert (100.4, 1.0, "taker") == entered(trade)
    assert (1.0, 100.0) == (trade["signal_ts"] / TF, trade["decision_price"])


def test_an_entry_waits_for_a_bar_that_trades():
    rows = play((FLAT, EMPTY, EMPTY, FLAT, DROP), {0: LONG})
    assert (100.0, 3.0, "taker") == entered(only(rows.trades))
    assert 1.0 == only(rows.trades)["signal_ts"] / TF


def test_size_is_decided_at_the_close():
    rows = play((FLAT, (100.4, 100.5, 100.3, 100.4), DROP), {0: LONG})
    assert 10.0 == only(rows.trades)["qty"]


def test_an_entry_takes_its_share_of_the_volume_and_the_rest_is_cancelled():
    rows = play((FLAT, (*FLAT, 200.0), DROP), {0: LONG})
    assert 4.0 == only(rows.trades)["qty"]
    assert (10.0, 4.0) == (rows.orders[0]["qty"], rows.orders[0]["filled_qty"])
    assert ("PARTIAL", "VOLUME_CAP") == orders(rows)[0]


def test_a_protective_exit_fills_whole_in_a_bar_of_any_volume():
    rows = play((FLAT, FLAT, (*DROP, 0.001)), {0: LONG})
    assert 10.0 == only(rows.trades)["qty"] == rows.orders[1]["filled_qty"]


def test_a_share_of_volume_below_one_lot_is_no_entry():
    rows = play((FLAT, (*FLAT, 0.01), FLAT), {0: LONG})
    assert [("REJECTED", "VOLUME_CAP")] == orders(rows)
    assert 0 == len(rows.trades)


def test_a_minimum_notional_that_the_open_undercuts_rejects_the_order():
    rows = play((FLAT, (99.0, 99.0, 99.0, 99.0)), {0: LONG}, ins=instrument(min_notional=995.0))
    assert ["OPENED"] == actions(rows)
    assert [("REJECTED", "MIN_NOTIONAL")] == orders(rows)


def test_a_minimum_notional_that_the_close_undercuts_refuses_the_signal():
    rows = play((FLAT, FLAT), {0: LONG}, ins=instrument(min_notional=1001.0))
    assert ["REFUSED"] == actions(rows)
    assert ["min_notional=1000<1001"] == reasons_of(rows.decisions)
    assert 0 == len(rows.orders)


@pytest.mark.parametrize(
    ("side", "touched", "through"),
    [(LONG, (100.1, 100.3, 100.0, 100.2), (100.1, 100.3, 99.9, 100.2)),
     (SHORT, (99.9, 100.0, 99.7, 99.8), (99.9, 100.1, 99.7, 99.8))],
)  # fmt: skip
def test_a_resting_entry_fills_only_when_the_market_goes_a_tick_through_it(side, touched, through):
    rows = play((FLAT, touched, through, FLAT), {0: side}, par=resting(horizon=1.0))
    assert (100.0, 2.0, "maker") == entered(only(rows.trades))


def test_a_resting_entry_lies_its_offset_away_from_the_close_and_rounds_away_from_the_market():
    rows = play((FLAT, (100.0, 100.0, 99.7, 100.0)), {0: LONG}, par=resting(limit_offset_bps=11.0, horizon=1.0))
    assert 99.8 == only(rows.trades)["entry_price"]
    rows = play((FLAT, (100.0, 100.3, 100.0, 100.0)), {0: SHORT}, par=resting(limit_offset_bps=11.0, horizon=1.0))
    assert 100.2 == only(rows.trades)["entry_price"]


def test_an_arriving_limit_that_the_open_is_beyond_fills_there_as_a_taker():
    rows = play((FLAT, (99.8, 100.0, 99.7, 99.9), FLAT), {0: LONG}, par=resting(LIMIT, horizon=1.0))
    assert (99.8, 1.0, "taker") == entered(only(rows.trades))


def test_an_arriving_post_only_that_would_cross_is_rejected():
    rows = play((FLAT, (99.8, 100.0, 99.7, 99.9), FLAT), {0: LONG}, par=resting())
    assert [("REJECTED", "WOULD_CROSS")] == orders(rows)
    assert 0 == len(rows.trades)


@pytest.mark.parametrize("kind", [LIMIT, POST_ONLY])
def test_a_limit_that_rested_fills_at_its_own_price_in_a_bar_that_opens_beyond_it(kind):
    candles = (FLAT, (100.2, 100.3, 100.1, 100.2), (99.8, 100.0, 99.7, 99.9))
    rows = play(candles, {0: LONG}, par=resting(kind, horizon=1.0))
    assert (100.0, 2.0, "maker") == entered(only(rows.trades))


def test_a_resting_entry_expires():
    away = (100.2, 100.3, 100.1, 100.2)
    rows = play((FLAT, away, away, away, (100.2, 100.2, 99.0, 99.0)), {0: LONG}, par=resting(limit_bars=3.0))
    assert [("EXPIRED", "LIMIT_BARS")] == orders(rows)
    rows = play((FLAT, away, away, (100.2, 100.2, 99.6, 99.7)), {0: LONG}, par=resting(limit_bars=3.0))
    assert [("FILLED", "")] == orders(rows)


def test_an_entry_that_filled_inside_a_bar_can_be_stopped_in_it():
    rows = play((FLAT, (100.2, 102.0, 99.4, 101.5)), {0: LONG}, par=resting())
    assert (100.0, 1.0, "maker") == entered(only(rows.trades))
    assert ("STOP_LOSS", 99.5, 2.0) == ended(only(rows.trades))


def test_an_entry_that_filled_inside_a_bar_takes_profit_in_it_by_its_close_alone():
    rows = play((FLAT, (100.2, 102.0, 99.8, 101.1), FLAT), {0: LONG}, par=resting())
    assert ("TAKE_PROFIT", 101.0, 2.0) == ended(only(rows.trades))
    rows = play((FLAT, (100.2, 102.0, 99.8, 101.0), (101.0, 101.1, 100.9, 101.0)), {0: LONG}, par=resting())
    assert ("TAKE_PROFIT", 101.0, 3.0) == ended(only(rows.trades))


def test_a_market_entry_can_take_profit_in_its_own_bar():
    assert ("TAKE_PROFIT", 101.0, 2.0) == ended(only(play((FLAT, POP), {0: LONG}).trades))


# Barriers


def test_a_stop_fills_at_its_level_less_slippage():
    rows = play((FLAT, FLAT, DROP), {0: LONG}, par=params(slippage_bps=10.0))
    trade = only(rows.trades)
    # filled at 100.1, half a percent below is 99.5995, away from the entry 99.5, ten bps below 99.4005
    assert (100.1, 99.5) == (trade["entry_price"], trade["stop_price"])
    assert ("STOP_LOSS", 99.4, 3.0) == ended(trade)


def test_a_stop_that_is_jumped_over_fills_at_the_open():
    assert ("STOP_LOSS", 98.0, 3.0) == ended(only(play((FLAT, FLAT, (98.0, 98.5, 97.0, 98.0)), {0: LONG}).trades))
    assert ("STOP_LOSS", 102.0, 3.0) == ended(only(play((FLAT, FLAT, (102.0, 103.0, 101.0, 102.0)), {0: SHORT}).trades))


@pytest.mark.parametrize(
    ("side", "candle", "expected"),
    [
        (LONG, (100.0, 101.0, 99.6, 100.0), ("END_OF_DATA", 100.0, 4.0)),
        (LONG, (100.0, 101.1, 99.6, 100.0), ("TAKE_PROFIT", 101.0, 3.0)),
        (LONG, (100.0, 101.0, 99.5, 100.0), ("STOP_LOSS", 99.5, 3.0)),
        (SHORT, (100.0, 100.4, 99.0, 100.0), ("END_OF_DATA", 100.0, 4.0)),
        (SHORT, (100.0, 100.4, 98.9, 100.0), ("TAKE_PROFIT", 99.0, 3.0)),
        (SHORT, (100.0, 100.5, 99.0, 100.0), ("STOP_LOSS", 100.5, 3.0)),
    ],
)
def test_one_tick_decides(side, candle, expected):
    assert expected == ended(only(play(bars(FLAT, FLAT, candle, FLAT, last=True), {0: side}).trades))


@pytest.mark.parametrize(
    ("side", "candle", "expected"),
    [
        (LONG, (100.0, 100.0, 87.6, 100.0), "END_OF_DATA"),
        (LONG, (100.0, 100.0, 87.5, 100.0), "LIQUIDATION"),
        (SHORT, (100.0, 112.4, 100.0, 100.0), "END_OF_DATA"),
        (SHORT, (100.0, 112.5, 100.0, 100.0), "LIQUIDATION"),
    ],
)
def test_one_tick_decides_over_liquidation(side, candle, expected):
    venue, wide = instrument(maintenance=0.0, max_leverage=8.0), params(stop_bps=5000.0, take_bps=5000.0)
    rows = play(bars(FLAT, FLAT, candle, FLAT, last=True), {0: side}, ins=venue, par=wide)
    assert expected == ended(only(rows.trades))[0]


def test_the_stop_comes_first_when_a_bar_touches_both():
    one = engine()
    one.run(bars(FLAT, FLAT, (100.0, 101.5, 99.4, 101.0)), signals(3, {0: LONG}))
    assert ("STOP_LOSS", 99.5, 3.0) == ended(only(one.drain().trades))
    assert (1, 2) == (one.account[0].ambiguous, one.account[0].held_bars)


def test_the_stop_comes_first_in_the_entry_bar_too():
    assert ("STOP_LOSS", 99.5, 2.0) == ended(only(play((FLAT, (100.0, 101.5, 99.4, 101.0)), {0: LONG}).trades))


def test_a_bar_after_the_entry_bar_that_opens_beyond_the_take_fills_it_first_at_its_own_price():
    trade = only(play((FLAT, FLAT, (101.4, 101.5, 99.0, 99.0)), {0: LONG}).trades)
    assert ("TAKE_PROFIT", 101.0, 3.0) == ended(trade)
    assert "maker" == LIQUIDITY_NAMES[trade["exit_liquidity"]]


def test_take_and_stop_are_measured_from_the_fill_slippage_included():
    trade = only(play((FLAT, FLAT, FLAT), {0: LONG}, par=params(slippage_bps=30.0, horizon=1.0)).trades)
    # filled at 100.3: 101.303 and 99.7985 round away from it
    assert (100.3, 101.4, 99.7) == (trade["entry_price"], trade["take_price"], trade["stop_price"])


def test_a_stop_is_at_least_a_tick_off():
    trade = only(play((FLAT, FLAT, DROP), {0: {"side": LONG, "stop_bps": 1.0}}).trades)
    assert 99.9 == trade["stop_price"]


def test_a_signal_brings_its_own_barriers():
    said = {0: {"side": LONG, "take_bps": 20.0, "stop_bps": 200.0, "horizon": 2.0}}
    trade = only(play((FLAT, FLAT, DROP, POP), said).trades)
    assert (100.2, 98.0) == (trade["take_price"], trade["stop_price"])
    assert ("TIME_LIMIT", 99.6, 3.0) == ended(trade)


def test_nothing_fires_in_a_bar_without_volume():
    rows = play((FLAT, FLAT, (100.0, 105.0, 95.0, 100.0, 0.0), POP), {0: LONG})
    assert ("TAKE_PROFIT", 101.0, 4.0) == ended(only(rows.trades))


@pytest.mark.parametrize("horizon", [1, 2, 3])
def test_the_time_limit_is_the_close_of_bar_entry_plus_horizon_less_one(horizon):
    up = [(100.0, 100.0 + k / 10.0, 100.0, 100.0 + k / 10.0) for k in range(1, 5)]
    rows = play((FLAT, *up), {0: LONG}, par=params(horizon=float(horizon)))
    assert ("TIME_LIMIT", 100.0 + horizon / 10.0, 1.0 + horizon) == ended(only(rows.trades))


def test_the_time_limit_pays_as_a_taker():
    rows = play((FLAT, FLAT), {0: LONG}, par=params(horizon=1.0, half_spread_bps=10.0))
    assert ("TIME_LIMIT", 99.9, 2.0) == ended(only(rows.trades))


def test_bars_without_volume_count_towards_the_time_limit():
    rows = play((FLAT, FLAT, EMPTY, EMPTY, FLAT, FLAT), {0: LONG}, par=params(horizon=4.0))
    assert ("TIME_LIMIT", 100.0, 5.0) == ended(only(rows.trades))


def test_bars_missing_from_the_file_do_not_count_and_are_flagged():
    candles = bars(FLAT, FLAT, FLAT, FLAT)
    candles["ts"][2:] += 7 * TF
    candles["gap"][2] = 7
    trade = only(play(candles, {0: LONG}, par=params(horizon=3.0)).trades)
    assert ("TIME_LIMIT", 100.0, 11.0) == ended(trade)
    assert 7 == trade["gap_bars"]


def test_a_gap_before_the_entry_is_not_the_positions():
    candles = bars(FLAT, FLAT, FLAT)
    candles["ts"][1:] += 7 * TF
    candles["gap"][1] = 7
    assert 0 == only(play(candles, {0: LONG}, par=params(horizon=2.0)).trades)["gap_bars"]


def test_a_time_limit_in_a_bar_without_volume_waits_for_the_next_open_and_is_stamped_with_it():
    opens = (100.3, 100.4, 100.2, 100.2)
    rows = play((FLAT, FLAT, EMPTY, EMPTY, opens), {0: LONG}, par=params(horizon=2.0))
    assert ("TIME_LIMIT", 100.3, 4.0) == ended(only(rows.trades))


def test_the_last_bar_ends_what_is_open_at_its_close_as_a_taker():
    rows = play(bars(FLAT, FLAT, (100.0, 100.5, 99.9, 100.4), last=True), {0: LONG}, par=params(half_spread_bps=10.0))
    trade = only(rows.trades)
    assert ("END_OF_DATA", 100.2, 3.0) == ended(trade)
    assert "taker" == LIQUIDITY_NAMES[trade["exit_liquidity"]]


def test_barriers_come_before_the_end_of_data():
    assert ("STOP_LOSS", 99.5, 3.0) == ended(only(play(bars(FLAT, FLAT, DROP, last=True), {0: LONG}).trades))


def test_a_last_bar_without_volume_ends_positions_and_waiting_exits():
    rows = play(bars(FLAT, FLAT, EMPTY, last=True), {0: LONG, 1: CLOSE})
    assert ("END_OF_DATA", 100.0, 3.0) == ended(only(rows.trades))


def test_an_entry_without_a_bar_left_expires_with_the_data():
    for said in ({0: LONG}, {1: LONG}):
        rows = play(bars(FLAT, (100.2, 100.3, 100.1, 100.2), last=True), said, par=resting(limit_bars=9.0))
        assert ["OPENED"] == actions(rows)
        assert [("EXPIRED", "END_OF_DATA")] == orders(rows)


def test_a_trail_moves_at_the_close_and_holds_from_the_next_bar_on():
    candles = (FLAT, FLAT, (100.0, 100.9, 99.6, 100.8), (100.8, 100.9, 100.3, 100.4))
    trade = only(play(candles, {0: LONG}, par=params(trail_bps=50.0)).trades)
    # the third bar's low of 99.6 is under its own trail of 100.4, which holds only from the fourth on
    assert ("TRAILING_STOP", 100.4, 4.0) == ended(trade)
    assert 99.5 == trade["stop_price"]


def test_a_trail_never_falls_back():
    candles = (FLAT, FLAT, (100.0, 100.9, 100.0, 100.8), (100.8, 100.8, 100.5, 100.5), (100.5, 100.5, 100.0, 100.0))
    trade = only(play(candles, {0: LONG}, par=params(trail_bps=50.0)).trades)
    assert ("TRAILING_STOP", 100.4, 5.0) == ended(trade)


def test_a_short_trail_never_rises_back():
    candles = (FLAT, FLAT, (100.0, 100.0, 99.1, 99.2), (99.2, 99.5, 99.2, 99.5), (99.5, 100.0, 99.5, 100.0))
    trade = only(play(candles, {0: SHORT}, par=params(trail_bps=50.0)).trades)
    assert ("TRAILING_STOP", 99.6, 5.0) == ended(trade)


def test_of_the_bar_a_resting_entry_filled_in_a_trail_knows_only_the_close():
    candles = (FLAT, (100.2, 102.0, 99.8, 100.1), (100.1, 100.1, 99.7, 99.9))
    trade = only(play(candles, {0: LONG}, par=resting(trail_bps=50.0, horizon=2.0)).trades)
    assert ("TIME_LIMIT", 99.9, 3.0) == ended(trade)


def test_a_stop_that_never_moved_is_a_plain_one():
    trade = only(play((FLAT, FLAT, DROP), {0: LONG}, par=params(trail_bps=90.0)).trades)
    assert ("STOP_LOSS", 99.5, 3.0) == ended(trade)


def test_liquidation_is_touched_when_it_is_nearer_than_the_stop_and_loses_the_margin():
    wide = params(stop_bps=1000.0, fixed_notional=20_000.0, leverage=50.0)
    venue = instrument(max_leverage=50.0)
    start = (20_000.0,) * 4
    dip = (20_000.0, 20_000.0, 19_698.5, 19_900.0)
    low = (20_000.0, 20_000.0, 19_698.4, 19_900.0)
    trade = only(play((start, start, dip, low), {0: LONG}, ins=venue, par=wide).trades)
    assert ("LIQUIDATION", 19_600.0, 4.0) == ended(trade)
    assert pytest.approx(-400.0) == trade["gross_pnl"]
    spike = (20_000.0, 20_298.5, 20_000.0, 20_000.0)
    high = (20_000.0, 20_298.6, 20_000.0, 20_000.0)
    trade = only(play((start, start, spike, high), {0: SHORT}, ins=venue, par=wide).trades)
    assert ("LIQUIDATION", 20_400.0, 4.0) == ended(trade)


def test_a_stop_nearer_than_liquidation_comes_first():
    venue, near = instrument(max_leverage=50.0), params(stop_bps=100.0, leverage=50.0)
    start = (20_000.0,) * 4
    trade = only(play((start, start, (20_000.0, 20_000.0, 19_000.0, 19_000.0)), {0: LONG}, ins=venue, par=near).trades)
    assert ("STOP_LOSS", 19_800.0, 3.0) == ended(trade)


# Signals while something is open


def test_an_opposite_signal_flips_at_one_open():
    rows = play((FLAT, FLAT, (100.3, 100.3, 100.3, 100.3), FLAT), {0: LONG, 1: SHORT}, par=params(horizon=2.0))
    first, second = rows.trades
    assert ("FLIP", 100.3, 2.0) == ended(first)
    assert (100.3, 2.0, "taker") == entered(second)
    assert (1, -1) == (first["side"], second["side"])
    assert ["OPENED", "FLIPPED"] == actions(rows)


def test_a_flip_waits_with_both_halves_for_a_bar_that_trades():
    candles = (FLAT, FLAT, (100.0, 105.0, 95.0, 100.0, 0.0), (100.3, 100.3, 100.3, 100.3))
    rows = play(candles, {0: LONG, 1: SHORT}, par=params(horizon=9.0))
    assert ("FLIP", 100.3, 3.0) == ended(only(rows.trades))
    assert [100.0, 100.3, 100.3] == rows.orders["fill_price"].tolist()


def test_the_time_limit_of_the_bar_comes_before_the_flip_of_its_close():
    rows = play((FLAT, FLAT, FLAT), {0: LONG, 1: SHORT}, par=params(horizon=1.0))
    assert ["TIME_LIMIT", "TIME_LIMIT"] == [ended(trade)[0] for trade in rows.trades]
    assert ["OPENED", "OPENED"] == actions(rows)


def test_a_flip_whose_new_side_is_refused_still_closes():
    # 100 bps against 50, a tick of 10 bps each time it crosses, need 7 wins in 16
    said = {0: LONG, 1: {"side": SHORT, "p_win": 0.3}}
    rows = play((FLAT, FLAT, (98.0, 98.0, 98.0, 98.0)), said, par=params(veto_break_even=1))
    assert ("FLIP", 98.0, 2.0) == ended(only(rows.trades))
    assert ["OPENED", "CLOSED"] == actions(rows)
    assert "break_even=0.3<0.4375" == reasons_of(rows.decisions)[1]


@pytest.mark.parametrize("settings", [{"stop_in_atr": 1, "stop_atr": 1.0}, {"trail_atr": 1.0}])
def test_an_entry_whose_stop_is_still_warming_up_is_refused(settings):
    rows = play((FLAT, FLAT), {0: LONG}, par=params(**settings))
    assert ["REFUSED"] == actions(rows)
    assert ["stop_distance=nan<=0"] == reasons_of(rows.decisions)


def test_what_an_entry_loses_at_a_stop_that_is_still_warming_up_is_unknown():
    one = engine(par=params(stop_in_atr=1, stop_atr=1.0, fixed_notional=0.0, risk_fraction=0.01))
    one.run(bars(FLAT, FLAT), signals(2, {0: LONG}))
    assert np.isnan(one.asked[0].loss)  # a level of no price is no number of ticks: plain Python fails at it


def test_the_same_side_neither_adds_nor_extends():
    said = {0: LONG, 1: LONG, 2: {"side": LONG, "horizon": 99.0}}
    rows = play((FLAT, FLAT, FLAT, FLAT, FLAT), said, par=params(horizon=3.0))
    assert ["OPENED", "HELD", "HELD"] == actions(rows)
    assert ("TIME_LIMIT", 100.0, 4.0) == ended(only(rows.trades))
    assert 10.0 == only(rows.trades)["qty"]


def test_the_same_side_while_an_entry_waits_is_held():
    away = (100.2, 100.3, 100.1, 100.2)
    rows = play((FLAT, away, away, away, away), {0: LONG, 1: LONG}, par=resting())
    assert ["OPENED", "HELD"] == actions(rows)
    assert [("EXPIRED", "LIMIT_BARS")] == orders(rows)


def test_an_opposite_signal_cancels_a_waiting_entry_and_takes_its_place():
    away = (100.2, 100.3, 100.1, 100.2)
    rows = play((FLAT, away, (100.2, 100.4, 100.2, 100.3)), {0: LONG, 1: SHORT}, par=resting(horizon=1.0))
    assert ["OPENED", "OPENED"] == actions(rows)
    assert ("CANCELLED", "OPPOSITE_SIGNAL") == orders(rows)[0]
    assert (100.2, 2.0, "maker") == entered(only(rows.trades))


def test_a_close_signal_exits_at_the_next_open():
    rows = play((FLAT, FLAT, (100.4, 100.5, 99.0, 100.4)), {0: LONG, 1: CLOSE})
    assert ("EARLY_STOP", 100.4, 2.0) == ended(only(rows.trades))
    assert ["OPENED", "CLOSED"] == actions(rows)


def test_a_close_signal_cancels_a_waiting_entry():
    away = (100.2, 100.3, 100.1, 100.2)
    rows = play((FLAT, away, (100.2, 100.2, 99.0, 99.0)), {0: LONG, 1: CLOSE}, par=resting())
    assert [("CANCELLED", "CLOSE_SIGNAL")] == orders(rows)
    assert ["OPENED", "CLOSED"] == actions(rows)


def test_a_close_signal_when_flat_does_nothing():
    rows = play((FLAT, FLAT), {0: CLOSE})
    assert ["HELD"] == actions(rows)
    assert 0 == len(rows.orders) == len(rows.trades)


def test_a_side_taken_back_before_its_flip_leaves_the_exit_standing():
    candles = (FLAT, FLAT, EMPTY, (100.3, 100.3, 100.3, 100.3))
    rows = play(candles, {0: LONG, 1: SHORT, 2: LONG})
    assert ["OPENED", "FLIPPED", "CLOSED"] == actions(rows)
    assert ("FLIP", 100.3, 3.0) == ended(only(rows.trades))
    assert ("CANCELLED", "OPPOSITE_SIGNAL") == orders(rows)[1]


def test_a_bars_matching_comes_before_the_signal_of_its_close():
    rows = play((FLAT, FLAT, DROP, FLAT), {0: LONG, 2: SHORT})
    assert ("STOP_LOSS", 99.5, 3.0) == ended(rows.trades[0])
    assert ["OPENED", "OPENED"] == actions(rows)


# Money


def test_fees_are_those_of_each_side():
    venue = instrument(maker_bps=2.0, taker_bps=5.0)
    trade = only(play((FLAT, POP), {0: LONG}, ins=venue).trades)
    assert pytest.approx(1000.0 * 5e-4 + 1010.0 * 2e-4) == trade["fees"]
    assert pytest.approx(10.0 - trade["fees"]) == trade["net_pnl"]


def test_slippage_is_told_in_bps_of_the_decision_price():
    par = params(half_spread_bps=5.0, slippage_bps=5.0, horizon=1.0)
    trade = only(play((FLAT, FLAT), {0: LONG}, par=par).trades)
    assert pytest.approx(20.0) == trade["slippage_bps"]


def funded(stamp, *, rate=0.001, side=LONG, horizon=2.0):
    """Funding of a position from time 1 to time 1 + horizon, with closes 100, 101, 102, 103, 104."""
    candles = [(close, close, close, close) for close in (100.0, 101.0, 102.0, 103.0, 104.0)]
    par = params(horizon=horizon, take_bps=900.0, stop_bps=900.0)
    return only(play(tuple(candles), {0: side}, par=par, funding=settlements((stamp, rate))).trades)["funding"]


@pytest.mark.parametrize(
    ("stamp", "price"),
    [
        (0.5, None),
        (1, None),  # entry_time < stamp
        (1.001, 100.0),
        (2, 101.0),
        (2.5, 101.0),
        (3, 102.0),  # stamp <= exit_time
        (3.001, None),
    ],
)
def test_a_position_pays_when_it_was_open_before_the_stamp_and_until_it(stamp, price):
    # 1,000 quote decided at 100 are 10 base
    assert pytest.approx(0.0 if price is None else 10.0 * price * 0.001) == funded(stamp)


def test_shorts_receive_what_longs_pay():
    assert funded(2, side=SHORT) == -funded(2) == funded(2, rate=-0.001)


def test_every_settlement_inside_a_bar_is_paid():
    due = settlements((1.2, 1e-3), (1.5, 2e-3), (2, -1e-3))
    rows = play((FLAT, FLAT), {0: LONG}, par=params(horizon=1.0), funding=due)
    assert pytest.approx(2.0) == only(rows.trades)["funding"]


def test_a_settlement_in_a_gap_is_paid_on_the_close_before_it():
    candles = bars(FLAT, (100.0, 100.4, 100.0, 100.4), FLAT)
    candles["ts"][2] += 5 * TF
    candles["gap"][2] = 5
    due = settlements((4, 1e-3), (7, 1e-3))
    trade = only(play(candles, {0: LONG}, par=params(horizon=2.0), funding=due).trades)
    assert pytest.approx(2 * 10.0 * 100.4 * 1e-3) == trade["funding"]


def test_a_flip_at_the_stamp_pays_for_the_old_side_only():
    rows = play((FLAT, FLAT, FLAT, FLAT), {0: LONG, 1: SHORT}, par=params(horizon=2.0), funding=settlements((2, 1e-3)))
    assert [pytest.approx(1.0), 0.0] == rows.trades["funding"].tolist()


def test_an_exit_at_an_open_pays_the_settlement_stamped_with_it():
    rows = play((FLAT, FLAT, FLAT), {0: LONG, 1: CLOSE}, funding=settlements((2, 1e-3)))
    assert pytest.approx(1.0) == only(rows.trades)["funding"]


def test_settlements_of_another_symbol_are_not_ours():
    rows = play((FLAT, FLAT, FLAT), {0: LONG, 1: CLOSE}, funding=settlements((2, 1e-3), sym=1))
    assert 0.0 == only(rows.trades)["funding"]


# Several symbols, one account


def three(said, *, candles=(FLAT, FLAT, FLAT), par=None, **settings):
    """Three symbols with the same candles; `said` gives the fields of each in the first bar."""
    clock = one_clock(*(bars(*candles, sym=s) for s in range(3)))
    one = Engine(instrument().repeat(3), params(**settings) if par is None else par, 10_000.0)
    one.run(clock, signals(len(clock), dict(enumerate(said))))
    return one.drain()


def hopes(*bps):
    return [{"side": LONG, "expected_bps": value} for value in bps]


def test_entries_are_admitted_by_what_they_promise_until_a_limit_refuses():
    rows = three(hopes(1.0, 3.0, 2.0), max_positions=2)
    assert [1, 2, 0] == rows.decisions["sym"].tolist()
    assert ["OPENED", "OPENED", "REFUSED"] == actions(rows)
    assert "max_positions=2>=2" == reasons_of(rows.decisions)[2]


def test_ties_are_admitted_by_name_and_no_promise_comes_last():
    assert [0, 1, 2] == three(hopes(2.0, 2.0, 2.0)).decisions["sym"].tolist()
    assert [1, 0, 2] == three(hopes(NAN, 2.0, NAN)).decisions["sym"].tolist()


def test_leverage_is_shared_and_the_last_one_gets_what_is_left():
    rows = three(hopes(3.0, 2.0, 1.0), fixed_notional=12_000.0, leverage=2.0, horizon=1.0)
    assert ["OPENED", "OPENED", "REFUSED"] == actions(rows)
    assert [120.0, 80.0] == rows.trades["qty"].tolist()
    assert "max_leverage=2>=2" == reasons_of(rows.decisions)[2]


def test_exits_of_all_symbols_come_before_entries():
    clock = one_clock(bars(FLAT, FLAT, FLAT, FLAT), bars(FLAT, FLAT, FLAT, FLAT, sym=1))
    one = Engine(instrument().repeat(2), params(max_positions=1), 10_000.0)
    # the first symbol by name wants in while the second is told to close
    one.run(clock, signals(8, {1: LONG, 2: LONG, 4: LONG, 5: CLOSE}))
    rows = one.drain()
    assert [(1, "OPENED"), (0, "REFUSED"), (1, "CLOSED"), (0, "OPENED")] == list(
        zip(rows.decisions["sym"].tolist(), actions(rows), strict=True)
    )


def test_a_flip_makes_room_for_itself():
    clock = bars(FLAT, FLAT, FLAT, FLAT)
    rows = play(clock, {0: LONG, 1: SHORT}, par=params(max_positions=1, fixed_notional=15_000.0, leverage=1.5))
    assert ["OPENED", "FLIPPED"] == actions(rows)


def test_a_symbol_without_a_bar_keeps_its_last_mark():
    up = (100.0, 100.4, 100.0, 100.4)
    clock = one_clock(bars(FLAT, up), bars(FLAT, FLAT, FLAT, FLAT, sym=1))
    one = Engine(instrument().repeat(2), params(), 10_000.0)
    one.run(clock, signals(len(clock), {0: LONG}))
    equity = one.drain().equity
    assert [10_000.0, 10_004.0, 10_004.0, 10_004.0] == pytest.approx(equity["equity"].tolist())
    assert 2 * TF == one.positions[0].mark_ts


def test_an_entry_at_a_symbols_last_bar_leaves_room_for_the_others():
    clock = one_clock(bars(FLAT, FLAT, last=True), bars(FLAT, FLAT, FLAT, FLAT, sym=1, last=True))
    one = Engine(instrument().repeat(2), params(max_positions=1), 10_000.0)
    one.run(clock, signals(len(clock), {2: LONG, 4: LONG}))
    rows = one.drain()
    assert [0, 1] == rows.decisions["sym"].tolist()
    assert ["OPENED", "OPENED"] == actions(rows)


# Equity, recomputed from trades and closes


def paid_on(trade, closes, due, until):
    """Funding that a trade has paid by `until`, from the contract."""
    ours = (due["sym"] == trade["sym"]) & (due["ts"] > trade["entry_ts"]) & (due["ts"] <= min(until, trade["exit_ts"]))
    known = closes["ts"]
    price = [closes["close"][np.searchsorted(known, ts, "right") - 1] for ts in due["ts"][ours]]
    return float(trade["side"] * trade["qty"] * np.dot(price, due["rate"][ours]))


def left_at_an_open(trade, closes):
    """Did this trade end at the open of a bar, which shares its time with the close before?"""
    name = ended(trade)[0]
    here = closes[closes["ts"] == trade["exit_ts"]]
    return name in {"FLIP", "EARLY_STOP"} or (name == "TIME_LIMIT" and not (len(here) and here["volume"][0] > 0.0))


@pytest.mark.parametrize("settings", [{}, {"entry_kind": LIMIT}, {"trail_atr": 1.5, "max_positions": 2}])
@pytest.mark.parametrize("seed", [1, 2])
def test_equity_is_capital_and_realised_and_open_at_every_row(settings, seed):
    clock = one_clock(*(wander(400, 10 * seed + s, s, holes=5 * s) for s in range(3)))
    venue = np.zeros(3, INSTRUMENT)
    venue[:] = instrument(maker_bps=2.0, taker_bps=5.0)
    due = np.concatenate([settlements(*((k / 2.0, 1e-4) for k in range(0, 800, 15 + s)), sym=s) for s in range(3)])
    par = params(half_spread_bps=1.0, impact=0.5, horizon=8.0, **settings)
    one = Engine(venue, par, 10_000.0, due)
    one.run(clock, chatter(len(clock), seed))
    rows = one.drain()
    assert len(rows.trades) > 50
    assert any(rows.trades["funding"] != 0.0)
    of = [clock[clock["sym"] == s] for s in range(3)]
    at_open = [left_at_an_open(trade, of[trade["sym"]]) for trade in rows.trades]
    for row in rows.equity[::7]:
        realised = paper = 0.0
        for trade, opened_out in zip(rows.trades, at_open, strict=True):
            closes = of[trade["sym"]]
            seen = closes[closes["ts"] <= row["ts"]]
            if trade["exit_ts"] < row["ts"] or (trade["exit_ts"] == row["ts"] and not opened_out):
                realised += trade["net_pnl"]
            elif len(seen) and trade["entry_ts"] < seen["ts"][-1]:
                rate = (0.0, 2.0, 5.0)[trade["entry_liquidity"]] * 1e-4
                gain = trade["side"] * trade["qty"] * (seen["close"][-1] - trade["entry_price"])
                paper += gain - trade["entry_price"] * trade["qty"] * rate
                paper -= paid_on(trade, closes, due, seen["ts"][-1])
        assert pytest.approx(realised, abs=1e-6) == row["realised"]
        assert pytest.approx(paper, abs=1e-6) == row["open_pnl"]
        assert pytest.approx(10_000.0 + realised + paper, abs=1e-6) == row["equity"]
    assert pytest.approx(10_000.0 + rows.trades["net_pnl"].sum(), abs=1e-6) == rows.equity["equity"][-1]
    assert [paid_on(t, of[t["sym"]], due, t["exit_ts"]) for t in rows.trades] == pytest.approx(
        rows.trades["funding"].tolist(), abs=1e-9
    )


def test_drawdown_is_the_fraction_below_the_highest_equity():
    rows = play((FLAT, (100.0, 100.4, 100.0, 100.4), (100.4, 100.4, 99.8, 99.8)), {0: LONG})
    assert pytest.approx([0.0, 0.0, 6.0 / 10_004.0]) == rows.equity["drawdown"].tolist()


def test_a_market_order_has_no_patience():
    rows = play((FLAT, *[EMPTY] * 30, FLAT), {0: LONG}, par=params(entry_kind=MARKET, limit_bars=1.0))
    assert [("FILLED", "")] == orders(rows)


def test_a_small_buffer_changes_nothing():
    clock, said = wander(300, 4), chatter(300, 4)
    large, small = engine(), Engine(instrument(), params(), 10_000.0, buffer=4)
    for one in (large, small):
        one.run(clock, said)
    expected, actual = large.drain(), small.drain()
    assert len(expected.trades) > 10
    for name in expected.__slots__:
        assert getattr(expected, name).tobytes() == getattr(actual, name).tobytes()
