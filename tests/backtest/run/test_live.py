"""Real data through the driver: what a live run decides is what a replay of its bars decides."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from backtest.run.live import begin, model_for, refuse_loop
from backtest.run.loop import simulate
from backtest.run.resume import Going
from backtest.sim_loop import run_simulation
from exec.strategy import Strategy
from ml.learning.artifact import parts_of
from tests.live import (
    BARS,
    HISTORY,
    SETTINGS,
    Live,
    bar_events,
    before,
    begun_with,
    nothing_missed,
    quoted,
    sources,
    whole,
)
from tests.ml.models import champion, judging
from utils.codes import EXPECTED_NET
from utils.errors import ConfigError
from utils.records.database import Told
from utils.records.sqlite import SqliteJournal, unfinished
from utils.records.versions import Versions
from utils.rows import NS_PER_MINUTE
from utils.settings.tree import MetaSettings
from utils.types import Trade


@pytest.fixture(scope="module")
def world():
    return sources()


def live_run(world, backfill=nothing_missed, strategy: Strategy | None = None):
    """A run whose history ends at `HISTORY` bars and that decides from the next bar on."""
    return Live(*before(world), SETTINGS, strategy, backfill=backfill)


def fetched(world, asked):
    """Answers for bars that were missed, and notes who asked."""

    def backfill(symbol, first, last):
        asked.append((symbol, (first - int(world[0].rows["ts"][0])) // NS_PER_MINUTE))
        (one,) = [one for one in world if one.symbol == symbol]
        return one.rows[(one.rows["ts"] >= first) & (one.rows["ts"] <= last)]

    return backfill


def test_a_live_run_writes_the_rows_of_a_replay_of_its_bars(world):
    run = live_run(world)
    told = run.play([*quoted(world), *bar_events(world)])
    market, outcome = run.finish()
    expected = simulate(whole(world), SETTINGS, live=True)
    assert BARS - HISTORY == len(told)
    assert whole(world).bars.tobytes() == market.bars.tobytes()
    for table in ("trades", "orders", "decisions", "equity"):
        assert getattr(expected.rows, table).tobytes() == getattr(outcome.rows, table).tobytes()
    assert len(expected.rows.trades) > 0


def test_what_was_told_live_is_what_the_log_files_say(world):
    run = live_run(world)
    told = run.play([*quoted(world), *bar_events(world)])
    _, outcome = run.finish()
    live = np.concatenate([instant.rows.decisions for instant in told])
    assert outcome.rows.decisions.tobytes() == live.tobytes()


def test_a_live_run_is_judged_as_a_replay_of_its_bars(world):
    model = champion(float(np.nanmedian(simulate(whole(world), SETTINGS, model=champion()).rows.decisions["net_bps"])))
    run = Live(*before(world), SETTINGS, model=model)
    told = run.play([*quoted(world), *bar_events(world)])
    _, outcome = run.finish()
    expected = simulate(whole(world), SETTINGS, live=True, model=model)
    for table in ("trades", "orders", "decisions", "equity"):
        assert getattr(expected.rows, table).tobytes() == getattr(outcome.rows, table).tobytes()
    refused = outcome.rows.decisions["rule"] == EXPECTED_NET
    assert 0 < refused.sum() < len(refused)
    assert outcome.rows.decisions.tobytes() == np.concatenate([one.rows.decisions for one in told]).tobytes()
    assert (model,) == outcome.models


def test_a_run_that_was_killed_goes_on_with_the_model_it_had(world, tmp_path):
    candles, market = before(world)
    model, events = champion(2.0), list(bar_events(world))
    with SqliteJournal.begin(tmp_path / "logs", "killed", begun_with(SETTINGS, market, models=["one"])) as journal:
        one = Live(candles, market, SETTINGS, journal=journal, model=model)
        one.play([*quoted(world), *events[:300]])
    (home,) = unfinished(tmp_path / "logs")
    other = Live.going_on(home, SETTINGS, model=model)
    at = max(event.ts for event in events[:300]) + 1
    other.play([*(dataclasses.replace(one, ts=at, ts_recv=at) for one in quoted(world)), *events[300:]])
    never = Live(candles, market, SETTINGS, model=model)
    never.play([*quoted(world), *events])
    wanted, found = (one.trader.past.signals for one in (never, other))
    asked = np.isfinite(wanted["side"])
    assert wanted["side"].tobytes() == found["side"].tobytes()
    assert wanted[asked].tobytes() == found[asked].tobytes()
    assert {1.0} == set(found["model"][asked][-3:])


def test_which_model_judges_is_settled_when_a_run_begins(world, tmp_path):
    versions = Versions(tmp_path / "artifacts")
    old, new = (
        versions.write(parts_of(judging(least)), {"what": "test"}, (1_700_000_000 + k) * 10**9)
        for k, least in enumerate((2.0, 3.0))
    )
    versions.make_current(new)
    off = SETTINGS.model_copy(update={"meta": MetaSettings(dir=versions.folder)})
    on = SETTINGS.model_copy(update={"meta": MetaSettings(dir=versions.folder, enabled=True)})
    without, judged = (
        Going(tmp_path, Told(begun_with(SETTINGS, before(world)[1], models=names), "", True, False, 1))
        for names in ([], [old])
    )
    assert new == model_for(on, None, None, (), "").name
    assert old == model_for(on, None, judged, (), "").name == model_for(off, None, judged, (), "").name
    assert [None] * 3 == [
        model_for(*asked, (), "") for asked in ((off, None, None), (on, None, without), (on, print, None))
    ]
    assert (old,) == judged.meta.words.models


def test_without_a_valid_book_entries_are_refused_and_counted(world):
    run = live_run(world)
    run.play([*bar_events(world)])
    _, outcome = run.finish()
    assert 0 == len(outcome.rows.trades)
    assert outcome.funnel["wide_book"] == outcome.unavailable["wide_book"] > 0


def test_a_bar_the_stream_missed_is_fetched_and_not_decided_on(world):
    asked = []
    missed = {(symbol, i) for symbol in ("BTCUSDT", "ETHUSDT") for i in (600, 601)}
    run = live_run(world, fetched(world, asked))
    told = run.play([*quoted(world), *bar_events(world, missed)])
    market, _ = run.finish()
    assert [("BTCUSDT", 600), ("ETHUSDT", 600)] == asked
    assert whole(world).bars.tobytes() == market.bars.tobytes()
    late = [instant for instant in told if instant.late]
    assert 2 == len(late)
    assert all(np.isnan(instant.signals["side"]).all() for instant in late)


def test_a_bar_that_nobody_has_is_a_gap_and_never_made_up(world):
    run = live_run(world[:1], lambda *_: world[0].rows[:0])
    told = run.play([*quoted(world[:1]), *bar_events(world[:1], {("BTCUSDT", 600)})])
    market, _ = run.finish()
    assert BARS - HISTORY - 1 == len(told)
    assert 1 == market.bars["gap"][600]
    assert [{"missing": 1}] == [{"missing": gap["missing"]} for gap in market.files[0]["gaps"]]


def test_a_users_strategy_sees_the_book_beside_live_bars_only(world):
    frames = []

    def watcher(frame):
        frames.append(frame)
        return frame[["ts", "symbol"]].assign(side=math.nan)

    watcher.together = True
    run = live_run(world, strategy=watcher)
    run.play([*quoted(world), *list(bar_events(world))[:2]])
    seen = frames[-1]["spread_bps"]
    assert 2 * HISTORY == int(seen.isna().sum())
    assert [pytest.approx(0.99995, abs=1e-4)] * 2 == seen.iloc[-2:].tolist()


def test_prints_of_the_stream_become_columns_beside_the_bars(world):
    first = int(world[0].rows["ts"][HISTORY - 1])
    step = NS_PER_MINUTE // 30
    prints = [Trade("BTCUSDT", at, at, 1.0, 2.0, 1) for at in range(first + 1, first + NS_PER_MINUTE, step)]
    run = live_run(world)
    run.play([*quoted(world), *prints, *list(bar_events(world))[:2]])
    market, _ = run.finish()
    newest = market.book[-2:]
    assert [1.0, 1.0] == newest["trade_imbalance_10s"][:1].tolist() * 2
    assert np.isnan(newest["trade_imbalance_10s"][1])
    assert np.isnan(market.book["trade_rate_10s"][:-2]).all()


def test_a_history_is_not_at_its_end(world):
    candles, market = before(world)
    assert [1, 1] == market.bars["last"][-2:].tolist()
    begun = begin(candles, market, SETTINGS, None)
    assert not begun.trader.market.bars["last"].any()
    assert [1, 1] == market.bars["last"][-2:].tolist()


async def test_a_live_run_inside_an_event_loop_is_refused_with_what_to_do_instead():
    with pytest.raises(ConfigError, match=r"await asyncio\.to_thread"):
        run_simulation("BTCUSDT", "1m", live=True, settings=SETTINGS)


def test_where_no_loop_runs_nothing_is_refused():
    refuse_loop()
