"""The outcome at a bar is the trade that the engine makes of a signal there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.barriers.outcomes import outcomes, stopped_outcomes
from tests.market import EMPTY, FLAT, TF, bars, instrument, only, params, play, wander
from utils.codes import END_OF_DATA, EXIT_NAMES, LIMIT, MAKER, MARKET, POST_ONLY, TAKER

FEES = {"maker_bps": 2.0, "taker_bps": 5.5}


def sides_of(n, said):
    """Sides beside `n` bars, NaN but where something is said."""
    sides = np.full(n, np.nan)
    for k, side in said.items():
        sides[k] = side
    return sides


def trade(rows, t, side, ins, par):
    """What the engine does with one signal, in the fields of an outcome; None = no trade."""
    trades = play(rows, {t: side}, ins, par).trades
    if len(trades) == 0:
        return None
    one = only(trades)
    notional = one["entry_price"] * one["qty"]
    return {
        "entry_ts": one["entry_ts"],
        "exit_ts": one["exit_ts"],
        "entry_price": one["entry_price"],
        "exit_price": one["exit_price"],
        "exit_reason": one["exit_reason"],
        "entry_liquidity": one["entry_liquidity"],
        "exit_liquidity": one["exit_liquidity"],
        "net_bps": one["net_pnl"] / notional * 1e4,
    }


def outcome(rows, t, side, ins, par):
    """The same fields of our outcome; None = no trade."""
    one = outcomes(rows, sides_of(len(rows), {t: side}), ins, par)[t]
    if one["exit_reason"] == 0:
        return None
    opens = rows["ts"] - TF
    ends = opens if one["at_open"] else rows["ts"]
    found = {name: one[name] for name in ("entry_price", "exit_price", "exit_reason", "entry_liquidity")}
    found |= {"exit_liquidity": one["exit_liquidity"], "net_bps": one["net_bps"]}
    return found | {"entry_ts": opens[one["entry_bar"]], "exit_ts": ends[one["exit_bar"]]}


def same(seen, expected):
    """Equal to the bit, but for the net, which the engine has in money."""
    if seen is None or expected is None:
        return seen is expected
    money = seen.pop("net_bps"), expected.pop("net_bps")
    return seen == expected and money[0] == pytest.approx(money[1], abs=1e-9)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    take=st.floats(5.0, 300.0),
    stop=st.floats(5.0, 300.0),
    horizon=st.integers(1, 30),
    kind=st.sampled_from([MARKET, LIMIT, POST_ONLY]),
    patience=st.integers(1, 4),
    offset=st.sampled_from([0.0, 1.0, 20.0]),
    friction=st.sampled_from([0.0, 0.5, 3.0]),
    band=st.sampled_from([1e4, 2.0]),
    holes=st.sampled_from([0, 10]),
)
def test_on_random_paths_every_outcome_equals_the_engines_trade(
    seed, take, stop, horizon, kind, patience, offset, friction, band, holes
):
    rows = wander(60, seed, holes=holes)
    ins = instrument(**FEES)
    par = params(
        take_bps=take,
        stop_bps=stop,
        horizon=float(horizon),
        entry_kind=kind,
        limit_bars=float(patience),
        limit_offset_bps=offset,
        half_spread_bps=friction,
        slippage_bps=friction / 2.0,
        max_impact_bps=band,
        fixed_notional=10.0,
        volume_cap=1.0,
        leverage=1.0,
    )
    for t in range(len(rows)):
        for side in (1.0, -1.0):
            assert same(outcome(rows, t, side, ins, par), trade(rows, t, side, ins, par)), (t, side)


def test_a_signal_at_every_bar_is_answered_as_if_it_were_the_only_one():
    rows, ins, par = wander(200, 5), instrument(**FEES), params()
    together = outcomes(rows, np.ones(200), ins, par)
    alone = [outcomes(rows, sides_of(200, {t: 1.0}), ins, par)[t].tobytes() for t in range(200)]
    assert alone == [one.tobytes() for one in together]


def test_no_outcome_knows_what_comes_after_its_exit():
    rows, ins, par = wander(300, 8), instrument(), params(take_bps=60.0, stop_bps=60.0, horizon=9.0)
    found = outcomes(rows, np.ones(300), ins, par)
    cut = 200
    short = outcomes(rows[:cut], np.ones(cut), ins, par)
    known = found["exit_bar"][:cut] < cut
    assert found[:cut][known].tobytes() == short[known].tobytes()
    assert np.isnan(short["net_bps"][~known]).all()


def test_the_net_of_a_hand_made_trade():
    # bought at the open 100, the take at 101 is traded through: 100 bps less 5.5 as a taker and 2 x 1.01 as a maker
    rows = bars(FLAT, (100.0, 100.5, 99.9, 100.2), (100.2, 101.2, 100.1, 101.0))
    one = outcomes(rows, sides_of(3, {0: 1.0}), instrument(**FEES), params())[0]
    assert (1, 2, TAKER, MAKER) == tuple(one[["entry_bar", "exit_bar", "entry_liquidity", "exit_liquidity"]].tolist())
    assert one["net_bps"] == pytest.approx(100.0 - 5.5 - 2.0 * 1.01)


def test_bars_that_end_too_soon_leave_the_outcome_unknown_unless_they_are_the_last():
    open_end = bars(FLAT, FLAT, FLAT)
    assert np.isnan(outcomes(open_end, sides_of(3, {0: 1.0}), instrument(), params())["net_bps"]).all()
    ended = bars(FLAT, FLAT, FLAT, last=True)
    assert END_OF_DATA == outcomes(ended, sides_of(3, {0: 1.0}), instrument(), params())["exit_reason"][0]


def test_a_time_limit_that_no_trade_meets_waits_for_the_next_open():
    rows = bars(FLAT, FLAT, EMPTY, (100.3, 100.4, 100.2, 100.3))
    one = outcomes(rows, sides_of(4, {0: 1.0}), instrument(), params(horizon=2.0))[0]
    assert ("TIME_LIMIT", 1, 100.3) == (EXIT_NAMES[one["exit_reason"]], one["at_open"], one["exit_price"])


def test_with_a_stop_of_its_own_a_trade_is_what_it_is_with_that_stop_for_all():
    rows, ins = wander(200, 3), instrument(**FEES)
    at, sides = np.arange(0, 190, 7), np.where(np.arange(28) % 2, 1.0, -1.0)
    stops = np.where(np.arange(28) % 3, 20.0, 60.0)
    par = params(stop_bps=999.0)
    seen = stopped_outcomes(rows, at, sides, stops, ins, par)
    for k, t in enumerate(at):
        alone = outcomes(rows, sides_of(len(rows), {t: sides[k]}), ins, params(stop_bps=stops[k]))[t]
        assert alone.tobytes() == seen[k].tobytes()
    assert 999.0 == par["stop_bps"][0]
