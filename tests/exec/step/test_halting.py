"""A breaker that trips: what waits is cancelled, what protects stays, and to flatten is another thing than to block."""

import numpy as np
import pytest

from exec.engine import Engine
from risk.halts import NEVER
from tests.market import (
    FLAT,
    TF,
    asked,
    bars,
    chatter,
    engine,
    instrument,
    one_clock,
    only,
    params,
    signals,
    wander,
)
from utils.codes import (
    BLOCK,
    CANCELLED,
    EXIT_NAMES,
    FLATTEN,
    FREE,
    LIMIT,
    LIVE,
    OPENED,
    ORDER_REASONS,
    POST_ONLY,
    REFUSED,
    RISK_HALT,
    ROLE_NAMES,
    RULE_NAMES,
    SENT,
)
from utils.compiled import compiled

LONG, SHORT = 1.0, -1.0
#: Positions of all equity; an eighth lost trips, and no stop or limit of time is near.
TRIPS = {
    "limits": 1, "max_drawdown": 0.125, "fixed_notional": 10_000.0, "take_bps": 9_000.0, "stop_bps": 4_000.0,
    "horizon": 1e6, "leverage": 2.0,
}  # fmt: skip
#: An eighth below.
FALLEN = (100.0, 100.0, 87.5, 87.5)
LOW = (87.5, 87.5, 87.5, 87.5)


def halted(action, *after, said=None, ins=None, **settings):
    """An engine that opened a long, saw it fall by an eighth, and then these bars."""
    one = engine(ins, params(**TRIPS, drawdown_action=action, **settings))
    rows = bars(FLAT, FLAT, FALLEN, *after)
    one.run(rows, signals(len(rows), {0: LONG, **(said or {})}))
    return one


def test_a_breaker_that_blocks_leaves_the_position_and_what_protects_it():
    one = halted(BLOCK, LOW)
    assert (NEVER, 1) == (one.account[0].drawdown_until, one.account[0].halts)
    assert (100.0, [FREE, LIVE, LIVE, FREE]) == (one.positions[0].qty, one.slots["state"].tolist())
    assert 0 == len(one.drain().trades)


def test_a_position_of_a_blocked_account_still_ends_at_its_stop():
    one = halted(BLOCK, LOW, (87.5, 87.5, 59.0, 59.0))
    assert ["STOP_LOSS"] == [EXIT_NAMES[trade.exit_reason] for trade in one.drain().trades]


def test_a_breaker_that_flattens_closes_at_the_next_open():
    one = halted(FLATTEN)
    close = one.slots[3]
    assert (SENT, -1, 100.0, RISK_HALT, 3 * TF, 87.5, 1) == (
        close.state, close.side, close.qty, close.reason, close.decision_ts, close.decision_price, close.reduce_only,
    )  # fmt: skip
    one = halted(FLATTEN, (88.0, 95.0, 88.0, 95.0))
    trade = only(one.drain().trades)
    assert ("RISK_HALT", 88.0, 3 * TF) == (EXIT_NAMES[trade.exit_reason], trade.exit_price, trade.exit_ts)
    assert ([FREE] * 4, 0) == (one.slots["state"].tolist(), one.positions[0].waiting)


@pytest.mark.parametrize("action", [BLOCK, FLATTEN])
def test_no_entry_while_halted_and_the_answer_says_why_and_until_when(action):
    one = halted(action, LOW, LOW, said={2: SHORT, 4: LONG})
    first, second, third = one.drain().decisions
    assert OPENED == first.action
    refused = tuple(third[["rule", "until"]])
    assert (RULE_NAMES.index("max_drawdown"), NEVER) == refused == tuple(second[["rule", "until"]])
    assert (0.125, 0.125) == tuple(third[["value", "limit"]])
    assert FREE == one.slots[0].state


def test_a_halt_for_a_time_ends_and_entries_come_again():
    one = halted(FLATTEN, LOW, LOW, said={3: LONG, 4: LONG}, drawdown_ns=2 * TF)
    assert [OPENED, REFUSED, OPENED] == one.drain().decisions["action"].tolist()
    assert (0, 8_750.0, SENT) == (one.account[0].drawdown_until, one.account[0].high, one.slots[0].state)


def test_what_waits_is_cancelled_and_told_as_risks_doing():
    one = Engine(instrument().repeat(2), params(**TRIPS, drawdown_action=BLOCK), 10_000.0, standing=2)
    one.run(one_clock(bars(FLAT, FLAT), bars(FLAT, FLAT, sym=1)), signals(4, {0: LONG}))
    wanted = np.concatenate(
        [
            asked(1, 1.0, POST_ONLY, 50.0, sym=1, at=2.0),
            asked(-1, 1.0, LIMIT, 300.0, at=2.0),
            asked(-1, 1.0, LIMIT, 400.0, at=2.0, reduce_only=1),
        ]
    )
    one.obey(wanted)
    assert [0, 0, 0] == wanted["rule"].tolist()
    one.run(one_clock(bars(FALLEN, first=2), bars(FLAT, first=2, sym=1)), signals(2, {}))
    ended = [(o.sym, ROLE_NAMES[o.role], o.status, ORDER_REASONS[o.reason], o.end_ts) for o in one.drain().orders[1:]]
    assert [(0, "QUOTE", CANCELLED, "RISK", 3 * TF), (1, "QUOTE", CANCELLED, "RISK", 3 * TF)] == ended
    # what only reduces may stay
    assert [400.0] == one.slots["limit"][(one.slots["state"] != FREE) & (one.slots["role"] == 5)].tolist()
    assert [1, 0] == one.positions["waiting"].tolist()


def test_an_entry_that_waits_does_not_outlast_a_halt():
    away = {"entry_kind": LIMIT, "limit_offset_bps": 5_000.0, "limit_bars": 50.0}
    one = Engine(instrument().repeat(2), params(**TRIPS, drawdown_action=BLOCK), 10_000.0)
    one.run(one_clock(bars(FLAT, FLAT), bars(FLAT, FLAT, sym=1)), signals(4, {0: LONG}))
    for name, value in away.items():
        one.params[name] = value
    one.params["fixed_notional"] = 1_000.0
    one.run(one_clock(bars(FLAT, first=2), bars(FLAT, first=2, sym=1)), signals(2, {1: LONG}))
    assert SENT == one.slots[4].state
    one.run(one_clock(bars(FALLEN, first=3), bars(FLAT, first=3, sym=1)), signals(2, {}))
    assert (FREE, 0, 100.0) == (one.slots[4].state, one.positions[1].waiting, one.positions[0].qty)
    assert "RISK" == ORDER_REASONS[one.drain().orders[-1].reason]


def test_a_restored_engine_is_as_halted_as_before():
    one = halted(FLATTEN)
    two = engine(par=params(**TRIPS, drawdown_action=FLATTEN))
    two.restore(one.snapshot())
    for each in (one, two):
        each.run(bars(LOW, LOW, first=3), signals(2, {1: LONG}))
    assert one.snapshot() == two.snapshot()
    assert RULE_NAMES.index("max_drawdown") == two.drain().decisions[-1].rule


@compiled
def silent(acc, p, ins, par, row, orders, memory, out):
    return 0


#: Every limit that bars can reach, some of them at once.
ALL_ON = {
    "limits": 1, "max_risk": 0.01, "kelly": 0.25, "max_net": 5.0, "max_heat": 0.2, "max_correlated": 0.2,
    "max_cluster": 0.2, "cluster_rho": 0.7, "rho_floor": 0.5, "rho_weight": 0.01, "equity_floor": 0.5,
    "max_daily": 0.01, "daily_action": BLOCK, "max_losses": 3.0, "losses_ns": 20 * TF, "max_drawdown": 0.03,
    "drawdown_action": FLATTEN, "drawdown_ns": 100 * TF, "cooldown_ns": 2 * TF, "max_age_ns": 3.0 * TF,
    "fixed_notional": 0.0, "risk_fraction": 0.005, "stop_liquidation": 2.0,
}  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("horizon", [20.0, 200.0])
def test_the_short_way_through_calm_bars_meets_every_breaker_that_the_long_way_meets(seed, horizon):
    rows, said = wander(3_000, seed), chatter(3_000, seed + 50)
    par = params(**ALL_ON, horizon=horizon)
    short, long = Engine(instrument(), par, 10_000.0), Engine(instrument(), par, 10_000.0, standing=1, quoting=silent)
    for one in (short, long):
        one.run(rows, said)
    ours, theirs = short.drain(), long.drain()
    assert short.account[0].halts > 2
    for name in ("trades", "orders", "fills", "decisions", "equity"):
        assert getattr(ours, name).tobytes() == getattr(theirs, name).tobytes(), name
    same = [name for name in short.account.dtype.names if name != "slots"]
    assert short.account[same].tolist() == long.account[same].tolist()
