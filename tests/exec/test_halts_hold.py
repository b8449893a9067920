"""Whatever bars, fills, cuts and restores come: no entry while halted, and none that takes the heat above its limit."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exec.engine import Engine
from tests.exec.test_simulator import market
from tests.market import instrument, params
from utils.codes import BLOCK, CLOSE, FLATTEN, FREE, RISK_HALT, SENT, STOP
from utils.rows import BPS, NS_PER_HOUR

#: Limits that bind within 400 bars of five minutes; everything else as the simulator's market asks.
TIGHT = {
    "tf_ns": 5 * NS_PER_HOUR // 60, "fixed_notional": 0.0, "risk_fraction": 0.01, "taker": 0.0, "limits": 1,
    "max_risk": 0.02, "max_net": 6.0, "max_heat": 0.018, "max_correlated": 0.016, "max_cluster": 0.014,
    "cluster_rho": 0.7, "rho_floor": 0.5, "rho_weight": 0.01, "equity_floor": 0.8, "max_daily": 0.02,
    "daily_action": BLOCK, "max_losses": 4.0, "losses_ns": NS_PER_HOUR, "max_drawdown": 0.04,
    "drawdown_action": FLATTEN, "drawdown_ns": 3 * NS_PER_HOUR, "cooldown_ns": NS_PER_HOUR // 6, "max_age_ns": 1e13,
}  # fmt: skip
del TIGHT["taker"]


def a_market(seed):
    """Bars, signals and funding of three symbols, and what is traded."""
    bars, signals, funding = market(seed)
    return instrument(tick=1e-4, per_tick=1e4, taker_bps=5.0, maker_bps=2.0).repeat(3), bars, signals, funding


def an_engine(instruments, funding, **changes):
    """An account of 10,000 under the tight limits."""
    return Engine(instruments, params(half_spread_bps=0.5, slippage_bps=1.0, **{**TIGHT, **changes}), 10_000.0, funding)


def instants(bars):
    """Row ranges of the bars that close together."""
    edges = [0, *(np.flatnonzero(np.diff(bars["ts"])) + 1).tolist(), len(bars)]
    return list(pairwise(edges))


def halted_until(engine):
    """Until when the account's entries are blocked, ns."""
    return max(int(engine.account[f"{name}_until"][0]) for name in ("daily", "losses", "drawdown"))


def heat(engine, par):
    """Equity lost if all stops were hit, worked out from positions and orders alone, fraction."""
    total = 0.0
    for s, p in enumerate(engine.positions):
        slots = engine.slots[s * 4 : s * 4 + 4]
        cost = (par["half_spread_bps"] + par["slippage_bps"] + engine.instruments[s]["taker_bps"]) * BPS
        if p["qty"] != 0.0 and slots[CLOSE - 1]["state"] == FREE:
            stop = slots[STOP - 1]["trigger"]
            total += max(0.0, p["side"] * (p["mark"] - stop) * abs(p["qty"])) + cost * stop * abs(p["qty"])
        entry = slots[0]
        if entry["state"] >= SENT:
            fee = engine.instruments[s]["taker_bps"] * BPS
            total += entry["qty"] * entry["decision_price"] * (entry["stop"] + cost + fee)
    return total / float(engine.account["equity"][0])


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(1, 10_000), action=st.sampled_from([BLOCK, FLATTEN]), cut=st.integers(1, 390))
def test_no_position_is_opened_while_halted_however_often_the_engine_is_restored(seed, action, cut):
    instruments, bars, signals, funding = a_market(seed)
    engine = an_engine(instruments, funding, daily_action=action, drawdown_action=action)
    halted = halts = 0
    for number, (lo, hi) in enumerate(instants(bars)):
        opened = int(engine.account["entries"][0])
        engine.run(bars[lo:hi], signals[lo:hi])
        now = int(bars["ts"][lo])
        if halted > now - TIGHT["tf_ns"] and halts == int(engine.account["halts"][0]):
            assert opened == int(engine.account["entries"][0])
        halted, halts = halted_until(engine), int(engine.account["halts"][0])
        if halted > now:
            assert all(engine.slots["state"][::4] == FREE)  # nothing waits to be filled while halted
        if number == cut:
            restored = an_engine(instruments, funding, daily_action=action, drawdown_action=action)
            restored.restore(engine.snapshot())
            assert halted_until(restored) == halted
            engine = restored


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(1, 10_000))
def test_no_entry_takes_the_heat_above_its_limit(seed):
    instruments, bars, signals, funding = a_market(seed)
    engine, waits = an_engine(instruments, funding, max_drawdown=0.0, max_daily=0.0, equity_floor=0.0), 0
    for lo, hi in instants(bars):
        before = int(engine.account["orders"][0])
        engine.run(bars[lo:hi], signals[lo:hi])
        sent = any(slot["state"] == SENT and slot["id"] > before for slot in engine.slots[::4])
        if sent:
            waits += 1
            # prices on the grid are what the two ways of counting differ by
            assert heat(engine, engine.params[0]) <= TIGHT["max_heat"] * 1.01
    assert waits > 5


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_run_under_all_limits_is_the_same_in_one_piece_and_restored_at_every_instant(seed):
    instruments, bars, signals, funding = a_market(seed)
    whole = an_engine(instruments, funding)
    whole.run(bars, signals)
    piecewise, trades = an_engine(instruments, funding), []
    for lo, hi in instants(bars):
        piecewise.run(bars[lo:hi], signals[lo:hi])
        trades.append(piecewise.drain().trades)
        state = piecewise.snapshot()
        piecewise = an_engine(instruments, funding)
        piecewise.restore(state)
    assert whole.snapshot() == piecewise.snapshot()
    assert whole.drain().trades.tobytes() == np.concatenate(trades).tobytes()


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("trail", [0, 1])
def test_one_symbol_passes_calm_bars_quickly_to_the_same_end(seed, trail):
    instruments, bars, signals, funding = a_market(seed)
    one = bars["sym"] == 0
    alone = [an_engine(instruments[:1], funding[funding["sym"] == 0], trail_bps=20.0 * trail) for _ in range(2)]
    alone[0].run(bars[one], signals[one])
    for k in np.flatnonzero(one):
        alone[1].run(bars[k : k + 1], signals[k : k + 1])
    assert alone[0].snapshot() == alone[1].snapshot()
    assert int(alone[0].account["halts"][0]) > 0


def test_what_is_flattened_says_so_and_leaves_at_the_next_open():
    instruments, bars, signals, funding = a_market(5)
    engine = an_engine(instruments, funding, max_drawdown=0.005)
    engine.run(bars, signals)
    flattened = (trades := engine.drain().trades)[trades["exit_reason"] == RISK_HALT]
    assert len(flattened) > 0
    assert not any(math.isnan(price) for price in flattened["exit_price"])


def test_a_halt_that_holds_until_it_is_lifted_does_so():
    instruments, bars, signals, funding = a_market(7)
    engine = an_engine(instruments, funding, drawdown_ns=0, max_daily=0.0, max_losses=0.0, equity_floor=0.0)
    engine.run(bars, signals)
    assert halted_until(engine) == np.iinfo(np.int64).max
    engine.lift_halts()
    assert halted_until(engine) == 0
    later, entries = bars.copy(), int(engine.account["entries"][0])
    later["ts"] += bars["ts"].max()
    engine.run(later, signals)
    assert int(engine.account["entries"][0]) > entries
