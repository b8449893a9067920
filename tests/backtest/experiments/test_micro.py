"""What microstructure adds: leaks planted and found, nothing found where there is nothing, and corrections by hand."""

import dataclasses
import math

import numpy as np
import pytest

from backtest.experiments.micro import (
    COSTS_BPS,
    HOLDS,
    IMPROVES,
    NOTHING,
    UNMEASURED,
    WALK_BOOKS,
    Events,
    answer,
    bar_events,
    book_events,
    cells,
    compared,
    findings,
    flows,
    forecasts,
    holm,
    walk_book,
    walk_series,
    words,
)
from backtest.experiments.statistics import Estimate
from utils.rows import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from utils.settings.tree import Settings

MICE = 2_000


def events(strength, seed=1, n=MICE, bounce=0.3):
    """Moves of which one feature knows the sign, more or less; the plain one and the placebo know nothing."""
    dice = np.random.default_rng(seed)
    move = dice.normal(size=n)
    start = NS_PER_DAY + 10 * NS_PER_MINUTE * np.arange(n)
    flow = strength * np.sign(move) + dice.normal(size=n)
    return Events(
        group="by hand",
        ahead="1 bar",
        start=start,
        end=start + NS_PER_MINUTE,
        move=move,
        plain=dice.normal(size=(n, 1)),
        micro=flow[:, None],
        placebo=np.roll(flow, n // 2)[:, None],
        unit=NS_PER_HOUR,
        together=3,
        bounce=bounce,
    )


@pytest.mark.parametrize("learner", ["logistic", "lightgbm"])
def test_what_knows_the_next_move_keeps_the_promise(learner):
    found = compared([events(1.0)], learner, 1)
    assert HOLDS == found.verdict
    assert found.relative.low > 0.15
    assert found.placebo == pytest.approx(found.without, abs=0.05)
    assert found.difference.value == pytest.approx(found.accurate - found.without)


def test_what_knows_little_improves_and_what_knows_nothing_is_not_found():
    assert IMPROVES == compared([events(0.15, n=20_000)], "logistic", 1).verdict
    verdicts = [compared([events(0.0, seed=k)], "logistic", 1).verdict for k in range(20)]
    assert verdicts.count(NOTHING) >= 18


def test_forecasts_are_of_rows_after_those_that_trained_and_know_when():
    unit, table = forecasts(events(0.5), "logistic", 1)
    assert 0.6 * MICE == len(unit) == len(table)
    assert unit[0] == events(0.5).start[int(0.4 * MICE)] // NS_PER_HOUR
    assert set(np.unique(table[:, :4])) == {0.0, 1.0}


def test_too_little_is_not_measured():
    for few in (events(1.0, n=5), events(1.0, n=60), dataclasses.replace(events(1.0), move=np.ones(MICE))):
        found = compared([few], "logistic", 1)
        assert UNMEASURED == found.verdict
        assert "too little to say anything" in words(found)
        assert "nan" not in " ".join(cells(found).values())


def test_the_least_of_many_is_corrected_for_being_chosen():
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.5, math.nan, 0.9]))[[0, 2]] == pytest.approx([1.0, 1.0])
    assert len(holm(np.empty(0))) == 0


def test_a_bounce_and_a_move_below_all_costs_are_said():
    found = dataclasses.replace(compared([events(1.0, bounce=1.3)], "logistic", 1), move=COSTS_BPS / 2)
    assert "its tick is 1.3 times the fees, so this forecasts the bounce" in words(found)
    assert "less than any round trip costs" in words(found)


def test_a_gain_that_the_placebo_has_too_is_none():
    found = dataclasses.replace(compared([events(1.0)], "logistic", 1), placebo=0.99)
    assert NOTHING == found.verdict
    low = dataclasses.replace(found, placebo=0.5, relative=Estimate(0.16, 0.14, 0.2))
    assert IMPROVES == low.verdict
    assert NOTHING == dataclasses.replace(low, p_holm=0.06).verdict


def test_a_driftless_walk_whose_takers_follow_it_tells_nothing():
    series = walk_series(20_000, 3, Settings())
    assert flows(series)
    flow = series.bars["taker_buy"] / series.bars["volume"] - 0.5
    assert np.corrcoef(flow, series.bars["close"] - series.bars["open"])[0, 1] > 0.5
    found = findings(bar_events(series), 1)
    assert ["1 bar", "5 bars", "20 bars"] * 2 == [one.ahead for one in found]
    assert {NOTHING} == {one.verdict for one in found}
    assert "0 keep the promise of +15 %, 0 improve by less, 6 find nothing" in answer(found)[0]


def test_the_next_close_is_what_is_forecast_and_flow_is_of_the_bar_before():
    series = walk_series(4_000, 4, Settings())
    one = next(bar_events(series))
    row = int(np.searchsorted(series.bars["ts"], one.start[7]))
    close = series.bars["close"]
    assert one.move[7] == pytest.approx(1e4 * (close[row + 1] / close[row] - 1.0))
    assert one.end[7] == series.bars["ts"][row + 1]
    bought, volume = float(series.bars["taker_buy"][row]), float(series.bars["volume"][row])
    assert one.micro[7, 0] == pytest.approx(2.0 * bought / volume - 1.0)
    day = NS_PER_DAY // NS_PER_MINUTE
    assert one.placebo[7, 0] == pytest.approx(
        2.0 * series.bars["taker_buy"][row - day] / series.bars["volume"][row - day] - 1.0
    )


def test_a_book_that_walks_tells_nothing_of_its_mid():
    found = findings(book_events(walk_book(900, 3), WALK_BOOKS), 1)
    assert ["1 s", "5 s", "30 s"] * 2 == [one.ahead for one in found]
    assert not {HOLDS, IMPROVES} & {one.verdict for one in found}
    assert [] == list(book_events(walk_book(60, 3), WALK_BOOKS))


def test_candles_without_taker_flow_are_no_events():
    series = walk_series(1_000, 3, Settings())
    series.bars["taker_buy"] = np.nan
    assert not flows(series)
    assert [] == list(bar_events(series))
