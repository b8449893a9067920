"""The ledger: fills become positions, positions become trades, money is counted once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exec.step.orders import write_fill
from risk.portfolio import apply_fill, exposure, fee_of, mark, note_equity, open_pnl, settle_funding
from tests.market import FLAT, TF, bars, instrument, params, row, settlements
from utils.codes import CLOSE, ENTRY, FLIP, LIVE, MAKER, QUOTE, SENT, STOP_LOSS, TAKER
from utils.rows import ACCOUNT, EQUITY, FILL, ORDER_SLOT, POSITION, TRADE

FEES = {"maker_bps": 2.0, "taker_bps": 5.0}


TICK = instrument(**FEES)


class Book:
    """An account and one symbol's position, fed with fills; one order a fill unless one is given."""

    def __init__(self, leverage=10.0, entries=6):
        self.acc = row(ACCOUNT, entries=entries, keep_trades=1, keep_fills=1)[0]
        self.p = row(POSITION)[0]
        self.fill = row(FILL)[0]
        self.trade = row(TRADE)[0]
        self.par = params(leverage=leverage)[0]

    def fills(self, side, qty, price, *, reference=None, liquidity=TAKER, order=None, ts=TF, reason=STOP_LOSS):
        if order is None:
            asked = {
                "side": side,
                "qty": qty,
                "leaves": qty,
                "decision_ts": TF,
                "decision_price": 99.8,
                "horizon": 20.0,
            }
            order = row(ORDER_SLOT, id=3, role=ENTRY, reason=reason, **asked)[0]
        aimed = price if reference is None else reference
        write_fill(self.fill, 0, side, qty, price, aimed, liquidity, ts, ts)
        apply_fill(self.acc, self.p, TICK[0], self.par, order, self.fill, self.trade)
        return order


def opened(side=1, price=100.0, qty=2.0, reference=None, **settings):
    book = Book(**settings)
    book.fills(side, qty, price, reference=reference)
    return book


def test_fees_are_notional_times_the_rate_of_the_side():
    ins = instrument(**FEES)[0]
    assert pytest.approx(0.04) == fee_of(100.0, 2.0, MAKER, ins)
    assert pytest.approx(0.10) == fee_of(100.0, 2.0, TAKER, ins)
    assert 0.0 > fee_of(100.0, 2.0, MAKER, instrument(maker_bps=-1.0)[0])


def test_an_opened_position_remembers_its_fill_and_its_decision():
    book = opened()
    acc, p = book.acc, book.p
    assert (7, 7) == (acc.entries, p.entry_no)
    assert (2.0, 1, 100.0, TF, TF, 99.8) == (p.qty, p.side, p.entry_price, p.entry_ts, p.signal_ts, p.decision_price)
    assert pytest.approx(0.10) == p.fees
    assert (0.0, 0, 0, 20.0) == (p.funding, p.bars, p.gaps, p.horizon)


def test_a_fill_says_whose_it_is_and_what_it_cost():
    book = opened()
    assert (1, 3, 7, ENTRY) == tuple(book.fill[name] for name in ("fill_id", "order_id", "entry_no", "role"))
    assert pytest.approx(0.10) == book.fill.fee
    assert 1 == book.acc.n_fills


def test_the_entry_leg_costs_its_distance_from_the_reference_in_bps_of_the_decision_price():
    assert pytest.approx(0.3 / 99.8 * 1e4) == opened(price=100.3, reference=100.0).p.slip_bps
    assert pytest.approx(0.3 / 99.8 * 1e4) == opened(side=-1, price=99.7, reference=100.0).p.slip_bps


def test_liquidation_follows_the_smaller_of_account_and_venue_leverage():
    assert pytest.approx(90.0) == opened(leverage=50.0).p.bankrupt
    assert pytest.approx(80.0) == opened(leverage=5.0).p.bankrupt
    assert pytest.approx(80.0 / 0.995) == opened(leverage=5.0).p.liq
    assert 0.0 == opened(leverage=0.5).p.bankrupt


def closed(side, price, reference, liquidity=TAKER, funding=0.0):
    book = opened(side)
    book.p.funding = funding
    book.fills(-side, 2.0, price, reference=reference, liquidity=liquidity, ts=2 * TF)
    return book


@pytest.mark.parametrize(("side", "gross"), [(1, -1.2), (-1, 1.2)])
def test_gross_is_direction_times_price_change_times_quantity(side, gross):
    assert pytest.approx(gross) == closed(side, 99.4, 99.5).trade.gross_pnl


def test_net_is_gross_less_fees_less_funding_and_is_realised():
    book = closed(1, 99.4, 99.5, funding=0.25)
    acc, p, trade = book.acc, book.p, book.trade
    assert pytest.approx(0.10 + 99.4 * 2.0 * 5e-4) == trade.fees
    assert 0.25 == trade.funding
    assert trade.net_pnl == trade.gross_pnl - trade.fees - trade.funding == acc.realised
    assert (1, 0.0, 0) == (acc.n_trades, p.qty, p.side)


def test_an_order_pays_its_own_fees_and_no_others():
    book = opened(price=100.0)
    order = book.fills(-1, 2.0, 99.4, liquidity=MAKER)
    assert pytest.approx(99.4 * 2.0 * 2e-4) == order.fees
    assert pytest.approx(order.fees) == book.fill.fee


def test_slippage_sums_both_legs_and_positive_is_a_cost():
    assert pytest.approx(0.1 / 99.8 * 1e4) == closed(1, 99.4, 99.5).trade.slippage_bps
    assert pytest.approx(0.1 / 99.8 * 1e4) == closed(-1, 100.6, 100.5).trade.slippage_bps


def test_partial_fills_of_an_entry_average_in():
    book = Book()
    order = row(ORDER_SLOT, side=1, qty=3.0, leaves=3.0, decision_price=100.0, horizon=20.0)[0]
    book.fills(1, 1.0, 100.0, order=order, liquidity=MAKER)
    book.fills(1, 2.0, 103.0, order=order, reference=102.0)
    p = book.p
    assert (3.0, 102.0, 102.0, 3.0, 7) == (p.qty, p.entry_price, p.basis, p.entered, p.entry_no)
    assert (102.0, 3.0, 0.0) == (order.fill_price, order.filled, order.leaves)
    assert pytest.approx(2.0 / 3.0 * 1.0 / 100.0 * 1e4) == p.slip_bps
    assert TAKER == p.entry_liquidity
    assert pytest.approx(102.0 * 0.9) == p.bankrupt


def test_a_partial_exit_realises_its_share_and_the_round_trip_goes_on():
    book = opened(qty=2.0)
    book.fills(-1, 0.5, 104.0)
    assert (1.5, 2.0, 0.5, 0) == (book.p.qty, book.p.share, book.p.exited, book.acc.n_trades)
    assert 0.0 == book.acc.realised
    book.p.mark = 100.0
    assert pytest.approx(2.0 - book.p.fees) == open_pnl(book.p)
    book.fills(-1, 1.5, 96.0, liquidity=MAKER)
    trade = book.trade
    assert (2.0, 98.0, pytest.approx(-4.0)) == (trade.qty, trade.exit_price, trade.gross_pnl)
    assert (1, 0.0, TAKER) == (book.acc.n_trades, book.p.qty, trade.exit_liquidity)
    assert trade.net_pnl == book.acc.realised


def test_what_is_bought_after_a_partial_exit_counts_at_its_own_price():
    book = opened(qty=1.0, price=100.0)
    book.fills(-1, 0.5, 110.0)
    book.fills(1, 0.5, 120.0)
    assert (110.0, 1.0) == (book.p.basis, book.p.qty)
    book.fills(-1, 1.0, 115.0)
    assert pytest.approx((1.5, 160.0 / 1.5, 170.0 / 1.5, 10.0)) == (
        book.trade.qty, book.trade.entry_price, book.trade.exit_price, book.trade.gross_pnl,
    )  # fmt: skip


def test_every_part_of_an_exit_adds_to_what_was_realised():
    book = opened(qty=3.0)
    shares = []
    for price in (104.0, 105.0, 97.0):
        book.fills(-1, 1.0, price)
        shares.append(float(book.p.share))
    assert [4.0, 9.0, 6.0] == shares
    assert 6.0 == book.trade.gross_pnl


def test_a_round_trip_of_resting_orders_after_one_of_takers_is_a_makers():
    book = Book()
    for liquidity in (TAKER, MAKER):
        book.fills(1, 1.0, 100.0, liquidity=liquidity)
        book.fills(-1, 1.0, 101.0, liquidity=liquidity)
        assert (liquidity, liquidity) == (book.trade.entry_liquidity, book.trade.exit_liquidity)


def test_the_noise_of_a_subtraction_is_no_position():
    book = opened(qty=0.3)
    book.fills(-1, 0.1, 101.0)
    book.fills(-1, 0.2, 101.0)
    assert (0.0, 0, 1) == (book.p.qty, book.p.side, book.acc.n_trades)


def test_rows_that_nobody_keeps_are_not_written():
    book = Book()
    book.acc.keep_trades = book.acc.keep_fills = 0
    book.fills(1, 1.0, 100.0)
    book.fills(-1, 1.0, 101.0)
    assert (0, 0, 0) == (book.acc.n_trades, book.acc.n_fills, book.trade.entry_no)
    assert pytest.approx(1.0 - 201.0 * 5e-4) == book.acc.realised


@given(
    side=st.sampled_from([1, -1]),
    entry=st.integers(500, 2000),
    leave=st.integers(500, 2000),
    lots=st.integers(1, 10**6),
    funding=st.floats(-5.0, 5.0),
)
def test_net_adds_up_exactly(side, entry, leave, lots, funding):
    book = opened(side, price=entry / 10.0, qty=lots / 1000.0)
    book.p.funding = funding
    book.fills(-side, lots / 1000.0, leave / 10.0, liquidity=MAKER, reason=FLIP)
    trade = book.trade
    assert side * (trade.exit_price - trade.entry_price) * trade.qty == trade.gross_pnl
    assert trade.gross_pnl - trade.fees - trade.funding == trade.net_pnl
    assert trade.fees > 0.0


@given(
    fills=st.lists(
        st.tuples(st.sampled_from([1, -1]), st.integers(1, 5_000), st.integers(500, 2_000), st.sampled_from([1, 2])),
        min_size=1,
        max_size=40,
    ),
    mark_=st.integers(500, 2000),
)
def test_whatever_is_traded_equity_is_what_was_paid_and_what_is_held(fills, mark_):
    book, cash, held, fees, realised = Book(), 0.0, 0.0, 0.0, 0.0
    for side, lots, tenths, liquidity in fills:
        qty, price = lots / 1000.0, tenths / 10.0
        while qty > 5e-4:
            part = min(qty, abs(float(book.p.qty))) if book.p.side == -side else qty
            book.fills(side, part, price, liquidity=liquidity)
            cash, held, fees, qty = (
                cash - side * part * price,
                held + side * part,
                fees + float(book.fill.fee),
                qty - part,
            )
            if book.p.qty == 0.0:
                realised += float(book.trade.net_pnl)
    book.p.mark = mark_ / 10.0
    assert pytest.approx(cash + held * mark_ / 10.0 - fees, abs=1e-9) == book.acc.realised + open_pnl(book.p)
    assert pytest.approx(held, abs=1e-9) == book.p.qty
    assert pytest.approx(realised, abs=1e-9) == book.acc.realised


def paid(at, *, side=1, entry=1, mark_=99.0, size=2.0):
    """Funding of a position of `size` opened at `entry` (in bars), 1 % due at `at`, seen by the bar 2-3."""
    p = row(POSITION, qty=side * size, side=side, entry_ts=entry * TF, mark=mark_)[0]
    settle_funding(p, settlements((at, 0.01))[0], bars(FLAT, FLAT, (100.0, 103.0, 99.0, 102.0))[2])
    return p.funding


def test_a_long_pays_a_positive_rate_and_a_short_receives_it():
    assert pytest.approx(2.04) == paid(3)
    assert pytest.approx(-2.04) == paid(3, side=-1)
    assert pytest.approx((1.02, -1.02)) == (paid(3, size=1.0), paid(3, side=-1, size=1.0))


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
    p = row(POSITION, qty=-2.0, side=-1, basis=100.0, mark=99.0, fees=0.1, funding=-0.05)[0]
    assert pytest.approx(2.0 - 0.1 + 0.05) == open_pnl(p)
    p.qty = 0.0
    assert 0.0 == open_pnl(p)


def test_equity_is_capital_and_realised_and_open_and_its_peak_stays():
    acc = row(ACCOUNT, initial=1000.0, peak=1000.0, realised=20.0)[0]
    mark(acc, 5.0)
    assert (1025.0, 1025.0, 5.0) == (acc.equity, acc.peak, acc.open_pnl)
    mark(acc, -5.0)
    assert (1015.0, 1025.0) == (acc.equity, acc.peak)


def noted(ts, *, step, last=False, keep=1):
    known = {"equity": 900.0, "peak": 1000.0, "realised": -80.0, "open_pnl": -20.0, "equity_ts": 10 * TF}
    acc = row(ACCOUNT, initial=1000.0, keep_equity=keep, **known)[0]
    out = row(EQUITY)[0]
    note_equity(acc, params(equity_step_ns=step)[0], ts * TF, int(last), out)
    return tuple(out.tolist()) if acc.n_equity else None


def test_an_equity_row_says_where_the_account_stands():
    assert (11 * TF, 900.0, -80.0, -20.0, pytest.approx(0.1)) == noted(11, step=TF)


def test_equity_rows_are_thinned_but_for_the_last():
    assert noted(11, step=2 * TF) is None
    assert noted(12, step=2 * TF) is not None
    assert noted(11, step=2 * TF, last=True) is not None


def test_equity_that_nobody_keeps_is_not_written():
    assert noted(12, step=TF, keep=0) is None
    assert noted(12, step=TF, last=True, keep=0) is None


def test_exposure_counts_positions_that_stay_and_entries_that_wait():
    pos, slots = row(POSITION).repeat(3), row(ORDER_SLOT).repeat(15)
    pos[0], pos[1] = row(POSITION, qty=-2.0, side=-1, mark=50.0)[0], row(POSITION, qty=1.0, side=1, mark=70.0)[0]
    slots[5 + CLOSE - 1] = row(ORDER_SLOT, state=SENT, role=CLOSE, qty=1.0, decision_price=70.0)[0]
    slots[5] = row(ORDER_SLOT, state=SENT, role=ENTRY, side=-1, qty=3.0, leaves=3.0, decision_price=71.0)[0]
    assert (2, 100.0 + 213.0) == exposure(row(ACCOUNT, slots=5)[0], pos, slots)


@pytest.mark.parametrize("side", [1, -1])
def test_a_position_of_one_unit_counts_as_any_other(side):
    pos = row(POSITION, qty=float(side), side=side, mark=50.0, basis=49.0)
    assert (1, 50.0) == exposure(row(ACCOUNT, slots=4)[0], pos, row(ORDER_SLOT).repeat(4))
    assert side * 1.0 == open_pnl(pos[0])


def test_orders_that_stand_by_themselves_count_as_one_position_and_with_all_they_may_add():
    pos, slots = row(POSITION).repeat(1), row(ORDER_SLOT).repeat(7)
    acc = row(ACCOUNT, slots=7)[0]
    asked = {"state": LIVE, "role": QUOTE, "decision_price": 10.0}
    slots[4], slots[5] = (row(ORDER_SLOT, side=side, qty=9.0, leaves=2.0, **asked)[0] for side in (1, -1))
    slots[6] = row(ORDER_SLOT, side=-1, leaves=50.0, reduce_only=1, **asked)[0]
    assert (1, 40.0) == exposure(acc, pos, slots)
    pos[0] = row(POSITION, qty=1.0, side=1, mark=10.0)[0]
    assert (1, 50.0) == exposure(acc, pos, slots)


def crossed(side, price, reference, *, half_spread_bps=1.0, liquidity=TAKER, bid=0.0, ask=0.0):
    book = Book()
    book.par.half_spread_bps = half_spread_bps
    book.p.bid, book.p.ask = bid, ask
    order = book.fills(side, 2.0, price, reference=reference, liquidity=liquidity)
    return order.spread_cost, order.impact_cost


@pytest.mark.parametrize("side", [1, -1])
def test_of_a_takers_distance_half_the_spread_is_spread_and_the_rest_impact(side):
    assert (pytest.approx(0.02), pytest.approx(0.04)) == crossed(side, 100.0 + side * 0.03, 100.0)
    assert (pytest.approx(0.01), pytest.approx(0.0)) == crossed(side, 100.0 + side * 0.005, 100.0)
    assert (0.0, pytest.approx(-0.02)) == crossed(side, 100.0 - side * 0.01, 100.0)


def test_a_maker_crosses_nothing():
    assert (0.0, 0.0) == crossed(1, 100.0, 100.0, liquidity=MAKER, bid=99.9, ask=100.1)


@pytest.mark.parametrize(("side", "best"), [(1, 100.2), (-1, 99.8)])
def test_of_a_book_half_its_own_spread_lies_before_the_far_side(side, best):
    assert (pytest.approx(0.4), pytest.approx(0.0)) == crossed(side, best, best, bid=99.8, ask=100.2)
    assert (pytest.approx(0.4), pytest.approx(0.1)) == crossed(side, best + side * 0.05, best, bid=99.8, ask=100.2)


def test_fills_of_one_order_add_up_to_what_it_crossed():
    book = Book()
    book.par.half_spread_bps = 1.0
    order = book.fills(1, 1.0, 100.03, reference=100.0)
    order = book.fills(1, 2.0, 100.02, reference=100.0, order=order)
    assert pytest.approx(0.01 + 0.02) == order.spread_cost
    assert pytest.approx(0.02 + 0.02) == order.impact_cost
