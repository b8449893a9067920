"""Whether markets can be believed, in words and in figures."""

from dataclasses import replace

import pytest

from exec.live.desk import Followed
from exec.live.health import STATES, figures_of, health_of

GOOD = Followed(
    symbol="BTCUSDT", tf="5m", state="streaming", reason="", fresh=True, silent=False, last=1_764_000_000_000_000_000,
    bar_s=12.0, book_s=0.1, prints_s=None, asked=7, closes=3, lost=0,
)  # fmt: skip


def test_nothing_followed_is_nothing_wrong():
    assert ("ok", [], [], []) == tuple(health_of([]).model_dump().values())


@pytest.mark.parametrize("state", ["streaming", "polling", "tape"])
def test_what_is_fresh_is_well_however_it_comes(state):
    assert "ok" == health_of([replace(GOOD, state=state, reason="no streams here")]).status


def test_why_a_market_that_is_well_has_no_streams_is_a_note():
    found = health_of(
        [replace(GOOD, state="polling", reason="streams were lost"), replace(GOOD, state="polling")], ["a"]
    )
    assert ("ok", [], ["a", "BTCUSDT 5m: streams were lost"]) == (found.status, found.reasons, found.notes)


def test_what_has_just_begun_is_no_reason_to_worry():
    begun = replace(GOOD, state="starting", fresh=False, last=0, bar_s=None, reason="its history is being fetched")
    found = health_of([begun])
    assert ("ok", None) == (found.status, found.markets[0].closed_at)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"state": "failed", "reason": "bybit did not answer"}, "BTCUSDT 5m: bybit did not answer"),
        ({"state": "streaming"}, "BTCUSDT 5m: its data are late"),
        ({"silent": True, "fresh": True, "reason": "no book"}, "BTCUSDT 5m: no book"),
        ({"state": "polling", "reason": "streams were lost"}, "BTCUSDT 5m: streams were lost"),
    ],
)
def test_what_has_nothing_fresh_to_say_is_stale_with_its_reason(bad, reason):
    found = health_of([replace(GOOD, symbol="ETHUSDT"), replace(GOOD, **{"fresh": False} | bad)], ["a note"])
    assert ("stale", [reason], ["a note"]) == (found.status, found.reasons, found.notes)
    assert [True, bool(bad.get("fresh"))] == [one.fresh for one in found.markets]


def test_a_market_is_told_with_its_ages():
    told = health_of([GOOD]).markets[0]
    assert ("2025-11-24T16:00:00.000Z", 12.0, 0.1, None) == (told.closed_at, told.bar_s, told.book_s, told.prints_s)


def test_figures_have_a_row_for_each_market_and_one_for_each_state():
    found = {one.name: one for one in figures_of([GOOD, replace(GOOD, symbol="ETHUSDT", state="failed")])}
    states = {labels: value for labels, value in found["scalper_market_state"].rows if value}
    assert {("BTCUSDT", "5m", "streaming"): 1.0, ("ETHUSDT", "5m", "failed"): 1.0} == states
    assert 2 * len(STATES) == len(found["scalper_market_state"].rows)
    assert [(("BTCUSDT", "5m"), None), (("ETHUSDT", "5m"), None)] == found["scalper_market_prints_age_seconds"].rows
    assert [True, False] == [found[f"scalper_market_{name}"].counts for name in ("closes", "bar_age_seconds")]
