"""What is at work when an entry is asked for: heat of positions, of what waits, and how they move together."""

import math

import numpy as np
import pytest

from exec.engine import Engine
from risk.correlation import PAIR
from risk.exposure import LEAST_PAIRS, held_heat, kelly_after_costs, learn, look, planned_heat
from risk.sizing import loss_at_stop
from risk.stops import liquidation_levels
from tests.market import FLAT, NAN, TF, bars, instrument, one_clock, params, question, row, signals
from utils.codes import CLOSE, ENTRY, LIMIT, LIVE, MARKET, POST_ONLY, QUOTE, SENT, STOP
from utils.rows import ACCOUNT, ORDER_SLOT, POSITION

#: A venue with fees of 2 and 5 bps and a small tick.
VENUE = {"tick": 0.01, "per_tick": 100.0, "maker_bps": 2.0, "taker_bps": 5.0}
#: One without fees, and without a tick that matters.
FREE_VENUE = {"tick": 1e-9, "per_tick": 0.0}
EACH = 6
ACC = {"equity": 10_000.0, "high": 10_000.0, "slots": EACH}


def at_work(*symbols, par=None, pairs=None, side=1, sym=0, kind=MARKET, said=None, ins=None, stop=0.005):
    """ASKED of an entry beside symbols, each (fields of its POSITION, {place: fields of a slot})."""
    pos = np.zeros(len(symbols), POSITION).view(np.recarray)
    pos["spread_bps"] = pos["depth"] = NAN
    slots = np.zeros(EACH * len(symbols), ORDER_SLOT).view(np.recarray)
    slots["limit"] = slots["trigger"] = NAN
    for s, (position, orders) in enumerate(symbols):
        for name, value in {"mark": 100.0, **position}.items():
            pos[name][s] = value
        for place, order in orders.items():
            for name, value in order.items():
                slots[name][EACH * s + place] = value
    venue = instrument(**{**FREE_VENUE, **(ins or {})}).repeat(len(symbols))
    known_pairs = np.zeros(len(symbols) ** 2, PAIR).view(np.recarray) if pairs is None else pairs
    at = question(stop=stop)[0]
    limits = params(**{"limits": 1, "fixed_notional": 0.0, "risk_fraction": 0.0025, **(par or {})})[0]
    neutral = signals(1, {0: {"side": float(side), **(said or {})}})[0]
    account = row(ACCOUNT, **ACC)[0]
    look(account, pos, slots, known_pairs, venue, limits, neutral, at, sym, side, 5 * TF, 100.0, kind)
    return at


def held(side, qty=10.0, stop=None, **position):
    """A position with a stop, and nothing else."""
    orders = {} if stop is None else {STOP - 1: {"state": LIVE, "role": STOP, "trigger": stop, "reduce_only": 0}}
    return {"qty": side * qty, "side": side, "mark_ts": 5 * TF, **position}, orders


NOTHING = ({}, {})


@pytest.mark.parametrize("side", [1, -1])
def test_heat_is_measured_from_the_mark_and_grows_as_a_price_runs_away_from_its_stop(side):
    free, par = instrument(tick=1e-9, per_tick=0.0)[0], params()[0]
    stop = row(ORDER_SLOT, state=LIVE, trigger=100.0 - side)[0]
    found = [
        held_heat(row(POSITION, side=side, qty=2.0 * side, mark=100.0 + away * side)[0], stop, free, par)
        for away in (0.0, 4.0, -3.0)
    ]
    assert [side * 2.0, side * 10.0, 0.0] == [pytest.approx(heat, abs=1e-6) for heat in found]


def test_a_position_without_a_stop_is_as_hot_as_the_way_to_liquidation():
    free, par = instrument(tick=1e-9, per_tick=0.0)[0], params()[0]
    p = row(POSITION, side=1, qty=2.0, mark=100.0, liq=90.0)[0]
    assert pytest.approx(20.0, abs=1e-6) == held_heat(p, row(ORDER_SLOT)[0], free, par)


def test_an_entry_that_waits_is_as_hot_as_what_it_may_lose():
    ins, par = instrument(**VENUE)[0], params(half_spread_bps=1.0)[0]
    entry = row(
        ORDER_SLOT, state=SENT, role=ENTRY, side=-1, kind=POST_ONLY, qty=3.0, decision_price=100.0, stop=0.01, chase=NAN
    )[0]
    expected = -300.0 * loss_at_stop(-1, POST_ONLY, 100.0, 0.01, ins, par)
    assert -310.0 * 0.012 < expected < -300.0 * 0.01
    assert pytest.approx(expected) == planned_heat(entry, ins, par)
    entry.chase = 3.0  # it may take in the end
    assert pytest.approx(-300.0 * loss_at_stop(-1, MARKET, 100.0, 0.01, ins, par)) == planned_heat(entry, ins, par)
    entry.reduce_only = 1
    assert 0.0 == planned_heat(entry, ins, par)


@pytest.mark.parametrize("side", [1, -1])
def test_a_quote_without_a_stop_is_as_hot_as_the_way_to_liquidation(side):
    ins, par = instrument(**VENUE)[0], params(leverage=4.0)[0]
    quote = row(ORDER_SLOT, state=LIVE, role=QUOTE, side=side, kind=LIMIT, leaves=2.0, decision_price=100.0, stop=NAN)[
        0
    ]
    quote.limit = quote.trigger = NAN
    way = abs(1.0 - liquidation_levels(side, 1.0, 4.0, 0.005)[0])
    assert pytest.approx(side * 200.0 * way) == planned_heat(quote, ins, par)


def quote(side, notional):
    return {"state": LIVE, "role": QUOTE, "side": side, "kind": LIMIT, "leaves": notional / 100.0,
            "decision_price": 100.0, "limit": 100.0, "stop": 0.01}  # fmt: skip


def test_orders_on_both_sides_of_one_symbol_do_not_cool_each_other():
    one = at_work(({"side": 0}, {EACH - 2: quote(1, 1_000.0), EACH - 1: quote(-1, 3_000.0)}))
    alone = at_work(({"side": 0}, {EACH - 1: quote(-1, 3_000.0)}))
    other = at_work(({"side": 0}, {EACH - 2: quote(1, 1_000.0)}))
    assert pytest.approx(alone.heat + other.heat) == one.heat
    assert pytest.approx(0.003, rel=1e-3) == alone.heat
    assert (pytest.approx(-2_000.0), pytest.approx(4_000.0)) == (one.net, one.gross)


def test_a_position_about_to_close_is_no_longer_at_work():
    position, orders = held(1, stop=99.0)
    closing = {**orders, CLOSE - 1: {"state": SENT, "role": CLOSE, "reduce_only": 1, "side": -1}}
    busy, free = at_work((position, orders)), at_work((position, closing))
    assert (pytest.approx(0.001, rel=1e-4), 1_000.0, 1_000.0, 1) == (busy.heat, busy.net, busy.gross, busy.count)
    assert (0.0, 0.0, 0.0, 0) == (free.heat, free.net, free.gross, free.count)


def test_the_net_is_counted_in_the_direction_of_the_entry():
    assert 1_000.0 == at_work(held(1, stop=99.0), NOTHING, sym=1).net
    assert -1_000.0 == at_work(held(1, stop=99.0), NOTHING, sym=1, side=-1).net
    assert 0.0 == at_work(held(1, stop=99.0), held(-1, stop=101.0), NOTHING, sym=2).net


def test_unknown_correlations_make_a_crowd_of_one_side_and_no_hedge_of_the_other():
    crowd = at_work(held(1, 20.0, stop=99.0), held(1, 10.0, stop=99.0), NOTHING, sym=2)
    assert (0.003, 9e-6, 0.003, 0.003) == tuple(
        pytest.approx(crowd[name], rel=1e-6) for name in ("heat", "variance", "covariance", "cluster")
    )
    apart = at_work(held(1, 20.0, stop=99.0), held(-1, 10.0, stop=101.0), NOTHING, sym=2)
    # the short is no hedge of the long, nor of the entry: 4 + 1, and the long alone moves with the entry
    assert (0.003, 5e-6, 0.002, 0.002) == tuple(
        pytest.approx(apart[name], rel=1e-6) for name in ("heat", "variance", "covariance", "cluster")
    )


def pairs_of(symbols, rho):
    """PAIR of all with all at one correlation, believed."""
    pairs = np.zeros(symbols * symbols, PAIR).view(np.recarray)
    pairs["cov"], pairs["var_a"], pairs["var_b"], pairs["seen"] = rho, 1.0, 1.0, LEAST_PAIRS
    return pairs


@pytest.mark.parametrize(("rho", "floor", "counted"), [(0.8, 0.5, 0.8), (0.2, 0.5, 0.5), (-0.4, -1.0, -0.4)])
def test_correlated_heat_of_one_side_is_held_up_by_the_floor(rho, floor, counted):
    par = {"rho_floor": floor, "cluster_rho": 0.7, "max_correlated": 0.03}
    at = at_work(held(1, 20.0, stop=99.0), held(1, 10.0, stop=99.0), NOTHING, sym=2, pairs=pairs_of(3, rho), par=par)
    assert pytest.approx(4e-6 + 1e-6 + 2.0 * counted * 2e-6, rel=1e-5) == at.variance
    assert pytest.approx(counted * 0.003, rel=1e-5) == at.covariance
    assert pytest.approx(0.003 if counted > 0.7 else 0.0, rel=1e-5) == at.cluster
    after = at.variance + 2.0 * at.covariance * at.correlated_room + at.correlated_room**2
    assert pytest.approx(0.03**2) == after


def test_a_hedge_is_believed_as_far_as_it_was_measured():
    par = {"rho_floor": 0.5, "cluster_rho": 0.7, "max_correlated": 0.03}
    one = at_work(held(1, 20.0, stop=99.0), NOTHING, sym=1, side=-1, pairs=pairs_of(2, 0.8), par=par)
    assert pytest.approx(-0.8 * 0.002, rel=1e-5) == one.covariance
    assert 0.0 == one.cluster
    assert one.correlated_room > 0.03
    # two that move against each other do move together when one is sold
    other = at_work(held(1, 20.0, stop=99.0), NOTHING, sym=1, side=-1, pairs=pairs_of(2, -0.8), par=par)
    assert (pytest.approx(0.0016, rel=1e-5), pytest.approx(0.002, rel=1e-5)) == (other.covariance, other.cluster)


def test_an_entry_into_its_own_symbol_moves_with_it_whatever_was_measured():
    one = at_work(held(1, 20.0, stop=99.0), pairs=pairs_of(1, -1.0), par={"cluster_rho": 0.7})
    assert pytest.approx(0.002, rel=1e-5) == one.covariance == one.cluster


def test_the_oldest_mark_of_a_position_or_of_the_entry_is_the_age():
    old = held(1, stop=99.0, mark_ts=2 * TF)
    assert 3.0 * TF == at_work(old, ({"mark_ts": 5 * TF}, {}), sym=1).age_ns
    assert 1.0 * TF == at_work(held(1, stop=99.0), ({"mark_ts": 4 * TF}, {}), sym=1).age_ns
    # of a symbol that is flat nothing hangs on it
    assert 0.0 == at_work(({"mark_ts": 1}, {}), ({"mark_ts": 5 * TF}, {}), sym=1).age_ns


def test_without_limits_nothing_is_measured_and_every_control_of_them_is_off():
    at = at_work(held(1, 20.0, stop=99.0), NOTHING, sym=1, par={"limits": 0}, said={"p_win": 0.6})
    assert (0.0, 0.0, 0.0, 0.0) == tuple(at[["heat", "variance", "cluster", "net"]])
    for name in ("kelly", "correlated_room", "max_net_leverage", "max_heat", "max_cluster", "depth_share"):
        assert math.isnan(at[name]), name
    assert (2_000.0, 10.0, 10.0, 0.0025) == tuple(at[["gross", "max_leverage", "venue_leverage", "risk_fraction"]])


def test_the_risk_of_one_entry_has_a_cap_whether_it_is_sized_by_risk_or_not():
    assert 0.001 == at_work(NOTHING, par={"max_risk": 0.001}).risk_fraction
    assert 0.0025 == at_work(NOTHING, par={"max_risk": 0.01}).risk_fraction
    fixed = at_work(NOTHING, par={"max_risk": 0.01, "fixed_notional": 500.0})
    assert (0.01, 500.0, pytest.approx(0.005, rel=1e-6)) == tuple(fixed[["risk_fraction", "fixed_notional", "loss"]])
    assert math.isnan(at_work(NOTHING, par={"fixed_notional": 500.0}).risk_fraction)


def test_kelly_counts_the_costs_of_both_ends():
    ins = instrument(tick=1e-9, per_tick=0.0, maker_bps=2.0, taker_bps=4.0)[0]
    (sig,), at = signals(1, {0: {"side": 1.0, "p_win": 0.58, "take_bps": 25.0}}), question(stop=0.0018)[0]
    # resting: 2 + 2 at the take, 2 + 4 at the stop
    expected = 0.58 - 0.42 * 24.0 / 21.0
    assert pytest.approx(expected) == kelly_after_costs(sig, at, True, ins, params()[0])
    # taking: 4 + 2 and 4 + 4
    found = kelly_after_costs(sig, at, False, ins, params()[0])
    assert pytest.approx(0.58 - 0.42 * 26.0 / 19.0, abs=1e-6) == found
    sig.p_win = 0.4
    assert 0.0 == kelly_after_costs(sig, at, True, ins, params()[0])


def test_kelly_is_asked_where_the_win_probability_is_known():
    said = {"p_win": 0.58, "take_bps": 25.0}
    assert 0.0 == at_work(NOTHING, par={"kelly": 0.5}, said=said).kelly  # 50 bps are lost for 25
    sure = at_work(NOTHING, par={"kelly": 0.5}, said={**said, "p_win": 0.9})
    assert pytest.approx(0.5 * (0.9 - 0.1 * 50.0 / 25.0), abs=1e-6) == sure.kelly
    assert math.isnan(at_work(NOTHING, par={"kelly": 0.5}, said={"take_bps": 25.0}).kelly)
    assert math.isnan(at_work(NOTHING, said=said).kelly)


@pytest.mark.parametrize("stop", [NAN, 0.0, -0.001, 1.0, math.inf])
def test_where_no_stop_can_stand_nothing_is_reckoned_from_it(stop):
    at = at_work(NOTHING, par={"kelly": 0.5}, said={"p_win": 0.9}, stop=stop)
    assert math.isnan(at.loss)
    assert math.isnan(at.kelly)


def test_the_book_of_the_symbol_is_told():
    at = at_work(NOTHING, ({"spread_bps": 3.0, "depth": 4e5}, {}), sym=1, par={"depth_share": 0.05})
    assert (3.0, 4e5, 0.05) == tuple(at[["spread_bps", "depth", "depth_share"]])
    assert math.isnan(at_work(NOTHING).spread_bps)


def test_closes_that_follow_one_another_at_one_time_are_learned_from():
    pos, pairs = np.zeros(2, POSITION).view(np.recarray), np.zeros(4, PAIR).view(np.recarray)
    par = params(rho_weight=0.5)[0]
    closes = ((100.0, 50.0), (110.0, 55.0), (99.0, 60.5), (99.0, 60.5))
    gaps = (0, 0, 0, 3)
    for k, (pair, gap) in enumerate(zip(closes, gaps, strict=True)):
        rows = one_clock(*(bars((price,) * 4, sym=s, first=k) for s, price in enumerate(pair)))
        rows["gap"][0] = gap
        learn(pos, pairs, rows, par, 0, 2)
    up, down = math.log(1.1), math.log(0.9)
    assert 2 == pairs[1].seen  # neither the first, nor the one after a gap
    assert pytest.approx(0.5 * (0.5 * up * up) + 0.5 * down * up) == pairs[1].cov
    assert [0, 0, 0] == pairs["seen"][[0, 2, 3]].tolist()
    learn(pos, pairs, bars(FLAT, first=4), par, 0, 1)  # one alone
    assert 2 == pairs[1].seen


def test_the_engine_learns_what_moves_together_as_it_goes():
    one = Engine(instrument().repeat(2), params(limits=1, rho_weight=0.1), 10_000.0)
    prices = [100.0, 101.0, 99.0, 102.0, 100.5]
    walk = [(price,) * 4 for price in prices]
    rows = one_clock(bars(*walk), bars(*walk, sym=1))
    one.run(rows, signals(len(rows), {}))
    pair = one.pairs[1]
    assert (4, True) == (pair.seen, math.isclose(pair.cov, pair.var_a, rel_tol=1e-12))
