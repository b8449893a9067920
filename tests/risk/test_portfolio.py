"""The ledger: fills become positions, positions become trades, money is counted once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.portfolio import (
    close_position,
    exposure,
    fee_of,
    mark,
    note_equity,
    open_pnl,
    open_position,
    settle_funding,
)
from tests.market import FLAT, NAN, TF, bars, instrument, params, row, settlements
from utils.codes import FLIP, MAKER, MARKET, STOP_LOSS, TAKER
from utils.rows import ACCOUNT, EQUITY, POSITION, TRADE

FEES = {"maker_bps": 2.0, "taker_bps": 5.0}


def waiting(**fields):
    """A symbol whose order was decided at 99.8, the close of the first bar; it asks for 100 and 50 bps."""
    return row(POSITION, o_ts=TF, o_price=99.8, o_take_bps=100.0, o_stop=0.005, o_horizon=20.0, **fields)[0]


def opened(side=1, price=100.0, qty=2.0, reference=100.0, liquidity=TAKER, inside=False, **settings):
    acc, p = row(ACCOUNT, entries=6)[0], waiting()
    args = instrument(**FEES)[0], params(**settings)[0], side, TF, qty, price, reference, liquidity, inside
    open_position(acc, p, *args)
    return acc, p


def test_fees_are_notional_times_the_rate_of_the_side():
    ins = instrument(**FEES)[0]
    assert pytest.approx(0.04) == fee_of(100.0, 2.0, MAKER, ins)
    assert pytest.approx(0.10) == fee_of(100.0, 2.0, TAKER, ins)
    assert 0.0 > fee_of(100.0, 2.0, MAKER, instrument(maker_bps=-1.0)[0])


def test_an_opened_position_remembers_its_fill_and_its_decision():
    acc, p = opened()
    assert (7, 7) == (acc.entries, p.entry_no)
    assert (2.0, 1, 100.0, TF, TF, 99.8) == (p.qty, p.side, p.entry_price, p.entry_ts, p.signal_ts, p.decision_price)
    assert pytest.approx(0.10) == p.fees
    assert (0.0, 0, 0, 20.0) == (p.funding, p.bars, p.gaps, p.horizon)


def test_barriers_are_measured_from_the_fill():
    _, p = opened(price=100.3, reference=100.0)
    # 101.303 rounds away from the entry, 99.7985 towards it
    assert (101.4, 99.8, 99.8) == (p.take_price, p.stop, p.first_stop)
    _, p = opened(side=-1, price=99.7)
    assert (-2.0, 98.7, 100.1) == (p.qty, p.take_price, p.stop)


def test_the_entry_leg_costs_its_distance_from_the_reference_in_bps_of_the_decision_price():
    assert pytest.approx(0.3 / 99.8 * 1e4) == opened(price=100.3)[1].slip_bps
    assert pytest.approx(0.3 / 99.8 * 1e4) == opened(side=-1, price=99.7)[1].slip_bps


def test_liquidation_follows_the_smaller_of_account_and_venue_leverage():
    assert pytest.approx(90.0) == opened(leverage=50.0)[1].bankrupt
    assert pytest.approx(80.0) == opened(leverage=5.0)[1].bankrupt
    assert pytest.approx(80.0 / 0.995) == opened(leverage=5.0)[1].liq
    assert 0.0 == opened(leverage=0.5)[1].bankrupt


def closed(side, price, reference, liquidity=TAKER, funding=0.0):
    acc, p = opened(side)
    p.funding = funding
    trade = row(TRADE, exit_reason=STOP_LOSS, exit_ts=2 * TF, exit_price=price, exit_liquidity=liquidity)[0]
    close_position(acc, p, instrument(**FEES)[0], trade, bars(FLAT, FLAT)[1], reference)
    return acc, p, trade


@pytest.mark.parametrize(("side", "gross"), [(1, -1.2), (-1, 1.2)])
def test_gross_is_direction_times_price_change_times_quantity(side, gross):
    assert pytest.approx(gross) == closed(side, 99.4, 99.5)[2].gross_pnl


def test_net_is_gross_less_fees_less_funding_and_is_realised():
    acc, p, trade = closed(1, 99.4, 99.5, funding=0.25)
    assert pytest.approx(0.10 + 99.4 * 2.0 * 5e-4) == trade.fees
    assert 0.25 == trade.funding
    assert trade.net_pnl == trade.gross_pnl - trade.fees - trade.funding == acc.realised
    assert (1, 0.0, 0) == (acc.n_trades, p.qty, p.side)


def test_slippage_sums_both_legs_and_positive_is_a_cost():
    assert pytest.approx(0.1 / 99.8 * 1e4) == closed(1, 99.4, 99.5)[2].slippage_bps
    assert pytest.approx(0.1 / 99.8 * 1e4) == closed(-1, 100.6, 100.5)[2].slippage_bps


@given(
    side=st.sampled_from([1, -1]),
    entry=st.integers(500, 2000),
    leave=st.integers(500, 2000),
    lots=st.integers(1, 10**6),
    funding=st.floats(-5.0, 5.0),
)
def test_net_adds_up_exactly(side, entry, leave, lots, funding):
    acc, p = opened(side, price=entry / 10.0, qty=lots / 1000.0)
    p.funding = funding
    trade = row(TRADE, exit_reason=FLIP, exit_price=leave / 10.0, exit_liquidity=MAKER)[0]
    close_position(acc, p, instrument(**FEES)[0], trade, bars(FLAT)[0], leave / 10.0)
    assert side * (trade.exit_price - trade.entry_price) * trade.qty == trade.gross_pnl
    assert trade.gross_pnl - trade.fees - trade.funding == trade.net_pnl
    assert trade.fees > 0.0


def paid(at, *, side=1, entry=1, mark_=99.0):
    """Funding of a position of 2 opened at `entry` (in bars), stamp and rate of 1 % at `at`, seen by the bar 2-3."""
    p = row(POSITION, qty=side * 2.0, side=side, entry_ts=entry * TF, mark=mark_)[0]
    settle_funding(p, settlements((at, 0.01))[0], bars(FLAT, FLAT, (100.0, 103.0, 99.0, 102.0))[2])
    return p.funding


def test_a_long_pays_a_positive_rate_and_a_short_receives_it():
    assert pytest.approx(2.04) == paid(3)
    assert pytest.approx(-2.04) == paid(3, side=-1)


def test_the_price_is_the_close_of_the_last_bar_that_ended_at_or_before_the_stamp():
    assert pytest.approx(2.0 * 102.0 * 0.01) == paid(3)
    assert pytest.approx(2.0 * 99.0 * 0.01) == paid(2.99)
    assert pytest.approx(2.0 * 99.0 * 0.01) == paid(2)


def test_a_position_opened_at_the_stamp_does_not_pay():
    assert 0.0 == paid(2, entry=2)
    assert 0.0 != paid(2.01, entry=2)


def test_without_a_position_a_settlement_passes_by():
    p = row(POSITION, f_next=4)[0]
    settle_funding(p, settlements((1, 0.01))[0], bars(FLAT)[0])
    assert (0.0, 5) == (p.funding, p.f_next)


def test_open_pnl_is_marked_at_the_last_close_less_what_was_paid():
    p = row(POSITION, qty=-2.0, side=-1, entry_price=100.0, mark=99.0, fees=0.1, funding=-0.05)[0]
    assert pytest.approx(2.0 - 0.1 + 0.05) == open_pnl(p)
    p.qty = 0.0
    assert 0.0 == open_pnl(p)


def test_equity_is_capital_and_realised_and_open_and_its_peak_stays():
    acc = row(ACCOUNT, initial=1000.0, peak=1000.0, realised=20.0)[0]
    mark(acc, 5.0)
    assert (1025.0, 1025.0, 5.0) == (acc.equity, acc.peak, acc.open_pnl)
    mark(acc, -5.0)
    assert (1015.0, 1025.0) == (acc.equity, acc.peak)


def noted(ts, *, step, last=False):
    acc = row(ACCOUNT, initial=1000.0, equity=900.0, peak=1000.0, realised=-80.0, open_pnl=-20.0, equity_ts=10 * TF)[0]
    out = row(EQUITY)[0]
    note_equity(acc, params(equity_step_ns=step)[0], bars(FLAT, first=ts - 1, last=last)[0], out)
    return tuple(out.tolist()) if acc.n_equity else None


def test_an_equity_row_says_where_the_account_stands():
    assert (11 * TF, 900.0, -80.0, -20.0, pytest.approx(0.1)) == noted(11, step=TF)


def test_equity_rows_are_thinned_but_for_the_last():
    assert noted(11, step=2 * TF) is None
    assert noted(12, step=2 * TF) is not None
    assert noted(11, step=2 * TF, last=True) is not None


def test_exposure_counts_positions_that_stay_and_entries_that_wait():
    stays = row(POSITION, qty=-2.0, side=-1, mark=50.0)
    leaves = row(POSITION, qty=1.0, side=1, mark=70.0, closing=FLIP, o_side=-1, o_kind=MARKET, o_qty=3.0, o_price=71.0)
    rows = row(POSITION, qty=NAN).repeat(3)
    rows[0], rows[1], rows[2] = stays[0], leaves[0], row(POSITION)[0]
    assert (2, 100.0 + 213.0) == exposure(rows)
