"""Health is bad where a market that has begun has nothing fresh to say, and says which and why."""

import dataclasses

from exec.live.following import Followed
from exec.live.health import STATES, figures_of, health_of

WELL = Followed("BTCUSDT", "5m", "streaming", "", True, 1_700_000_000_000_000_000, 12.0, 0.2, None, 3, 2, 1)


def other(**changes):
    return dataclasses.replace(WELL, **changes)


def test_markets_that_are_fresh_or_have_not_begun_are_well():
    begun = other(symbol="ETHUSDT", state="starting", fresh=False, reason="its history is being fetched", last=0)
    found = health_of([WELL, begun], ["model: another"])
    assert ("ok", [], ["model: another"]) == (found.status, found.reasons, found.notes)
    assert ["2023-11-14T22:13:20.000Z", None] == [one.closed_at for one in found.markets]
    assert "ok" == health_of([]).status


def test_a_market_that_is_stale_is_named_with_its_cause():
    gone = other(symbol="SOLUSDT", state="failed", fresh=False, reason="no connection")
    late = other(fresh=False)
    found = health_of([WELL, gone, late])
    assert "stale" == found.status
    assert ["SOLUSDT 5m: no connection", "BTCUSDT 5m: its data are late"] == found.reasons


def test_each_market_is_in_one_state():
    (states, *rest) = figures_of([WELL, other(symbol="ETHUSDT", state="polling")])
    assert 2 == sum(value for _, value in states.rows)
    assert len(STATES) * 2 == len(states.rows)
    assert {("BTCUSDT", "5m"), ("ETHUSDT", "5m")} == {labels for figure in rest for labels, _ in figure.rows}
