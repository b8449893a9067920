"""A live run as moments of its journal: what is kept goes on as if nothing had happened, and a replay finds no seam."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from backtest.run.keeping import HISTORY, Keeper, market_kept, past_kept
from backtest.run.live import resumed
from backtest.run.loop import simulate
from exec.engine import TABLES, joined
from features.live import EventFeatures
from tests.live import BARS, SETTINGS, Live, bar_events, before, begun_with, nothing_missed, quoted, sources, whole
from tests.live import HISTORY as FIRST
from utils.errors import DataError, StorageError
from utils.kpis import trade_count
from utils.records.database import JOURNAL, recover
from utils.records.names import KINDS
from utils.records.reader import read_log
from utils.records.sqlite import SqliteJournal
from utils.rows import NS_PER_MINUTE


@pytest.fixture(scope="module")
def world():
    return sources()


@pytest.fixture(scope="module")
def events(world):
    return [*quoted(world), *bar_events(world)]


def rule(frame):
    """A user's function, of two bars."""
    change = frame.groupby("symbol")["close"].diff()
    return frame[["ts", "symbol"]].assign(side=np.sign(change).where(change.abs() > 0.0008))


rule.lookback = 2


def kept(logs, world, events, strategy=None):
    """A live run of these events whose process then was gone; its folder."""
    candles, market = before(world)
    with SqliteJournal.begin(logs, "killed", begun_with(SETTINGS, market, strategy=strategy is not None)) as journal:
        Live(candles, market, SETTINGS, strategy, journal=journal).play(events)
    return journal.home


def rest_of(world):
    """What REST has."""

    def backfill(symbol, first, last):
        (one,) = [one for one in world if one.symbol == symbol]
        return one.rows[(one.rows["ts"] >= first) & (one.rows["ts"] <= last)]

    return backfill


def after(events, bars, world):
    """The events from that bar on, with a book before them."""
    ts = int(world[0].rows["ts"][bars - 1])
    books = [dataclasses.replace(one, ts=ts + 1, ts_recv=ts + 1) for one in quoted(world)]
    return [*books, *(one for one in events if one.ts > ts and not hasattr(one, "bids"))]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [None, rule], ids=["default", "own"])
def test_a_run_that_was_killed_and_missed_nothing_is_the_run_that_was_not(tmp_path, world, events, strategy):
    never = Live(*before(world), SETTINGS, strategy)
    never.play(events)
    expected_market, expected = never.finish()
    home = tmp_path / "runs" / "killed"
    for begun, upto in ((0, 640), (640, 641), (641, 777), (777, BARS)):
        until = int(world[0].rows["ts"][upto - 1])
        now = [one for one in events if one.ts <= until]
        if not begun:
            kept(tmp_path, world, now, strategy)
        else:
            run = Live.going_on(home, SETTINGS, strategy)
            run.play([one for one in after(events, begun, world) if one.ts <= until])
            run.keep._journal.close()
    market, outcome = run.finish()
    assert expected_market.bars.tobytes() == market.bars.tobytes()
    assert len(outcome.rows.trades) > 0
    for name in TABLES:
        assert getattr(expected.rows, name).tobytes() == getattr(outcome.rows, name).tobytes()
    assert (expected.funnel, expected.unavailable) == (outcome.funnel, outcome.unavailable)
    assert (expected.answers.get("different"), len(market.book)) == (outcome.answers.get("different"), len(market.bars))


def test_what_closed_meanwhile_is_late_and_the_rest_is_decided_as_ever(tmp_path, world, events):
    never = Live(*before(world))
    never.play(events)
    home = kept(tmp_path, world, [one for one in events if one.ts <= world[0].rows["ts"][699]])
    run = Live.going_on(home, backfill=rest_of(world))
    told = run.play(after(events, 760, world))
    assert [True] * 60 + [False] * (BARS - 760) == [instant.late for instant in told]
    late, given = run.trader.past.late, run.trader.past.signals
    assert 2 * 60 == np.count_nonzero(late)
    assert np.isnan(given["side"][late]).all()
    wanted = np.isfinite(never.trader.past.signals["side"]) & ~late
    assert never.trader.past.signals[wanted].tobytes() == given[np.isfinite(given["side"])].tobytes()
    assert np.count_nonzero(wanted[2 * 760 :]) > 0
    replayed = simulate(whole(world), SETTINGS, signals=given, live=True)
    assert replayed.rows.trades.tobytes() == run.finish()[1].rows.trades.tobytes()


def test_ids_go_on_and_nothing_is_there_twice(tmp_path, world, events):
    home = kept(tmp_path, world, [one for one in events if one.ts <= world[0].rows["ts"][699]])
    before_it = recover(home / JOURNAL).rows
    run = Live.going_on(home)
    run.play(after(events, 700, world))
    run.keep._journal.close()
    rows = recover(home / JOURNAL).rows
    for name in KINDS:
        assert before_it[name].tobytes() == rows[name][: len(before_it[name])].tobytes()
    assert len(rows["trades"]) > len(before_it["trades"]) > 0
    for name, number in (("orders", "order_id"), ("fills", "fill_id"), ("trades", "entry_no")):
        assert len(rows[name]) == len(set(rows[name][number].tolist()))
    assert {NS_PER_MINUTE} == set(np.diff(rows["equity"]["ts"]).tolist())


def test_what_is_kept_is_what_the_finished_files_say_but_for_what_its_end_closes(tmp_path, world, events):
    home = kept(tmp_path, world, events)
    rows = recover(home / JOURNAL).rows
    run = Live.going_on(home)
    market, outcome = run.finish()
    expected = {name: joined([getattr(outcome.rows, name)], kind) for name, (kind, _) in TABLES.items()}
    expected["equity"] = expected["equity"][expected["equity"]["ts"] >= min(market.starts)]
    for name in KINDS:
        size = len(rows[name]) - (name == "equity")  # the last row, of what the end closes
        assert rows[name][:size].tobytes() == expected[name][:size].tobytes()
        assert 0 < size
    run.keep._journal.close()


def test_equity_begins_with_the_first_decision_in_growing_files_too(tmp_path, world, events):
    home = kept(tmp_path, world, events[: 2 + 2 * 7])
    log = read_log(home)
    assert world[0].rows["ts"][FIRST : FIRST + 7].tolist() == log.equity["time"].tolist()
    assert trade_count(home / "trades.csv") == len(log.trades["net_pnl"])


def test_the_history_is_kept_with_the_first_close_and_with_no_other(tmp_path, world, events):
    home = kept(tmp_path, world, events[: 2 + 2 * 3])
    inputs = recover(home / JOURNAL).inputs
    assert [True, False, False] == [HISTORY in one for one in inputs]
    market = market_kept(recover(home / JOURNAL).meta, inputs, NS_PER_MINUTE)
    assert whole(world).bars[: 2 * FIRST].tobytes() == market.bars.tobytes()
    assert 2 * (FIRST + 3) == len(past_kept(market, inputs))


def test_a_close_that_was_not_kept_is_kept_with_the_history_when_it_is_tried_again(world, events):
    class Full:
        """A journal on a disk that was full at first."""

        def __init__(self):
            self.moments, self.full = [], True

        def commit(self, moment):
            if self.full:
                raise StorageError("full")
            self.moments.append(moment)

    journal = Full()
    run = Live(*before(world))
    keep = Keeper(journal, run.trader, run.trader.past.first)
    (instant,) = run.play(events[:4])
    with pytest.raises(StorageError, match="full"):
        keep(instant)
    journal.full = False
    keep(instant)
    assert (1, True) == (keep.kept, HISTORY in journal.moments[0].inputs)


@pytest.mark.parametrize("name", [HISTORY, "signals", "book"])
def test_rows_of_another_version_cannot_go_on(tmp_path, world, events, name):
    recovery = recover(kept(tmp_path, world, events[:6]) / JOURNAL)
    first, *others = recovery.inputs
    older = first | {name: np.zeros(len(first[name]), [("ts", np.int64)])}
    changed = dataclasses.replace(recovery, inputs=(older, *others))
    with pytest.raises(DataError, match=f"expected {name} as this version of the program writes them"):
        resumed(changed, SETTINGS, None, EventFeatures(recovery.meta.symbols, [0, 0], NS_PER_MINUTE))


def test_a_lookback_that_turns_out_too_short_does_not_stop_a_run_from_going_on(tmp_path, world, events):
    def short(frame):
        return frame[["ts", "symbol"]].assign(side=np.sign(frame["close"] - frame.groupby("symbol")["close"].shift(40)))

    home = kept(tmp_path, world, events[:200], short)
    short.lookback = 2  # as if it had been tried for the first time now
    run = Live.going_on(home, SETTINGS, short, backfill=nothing_missed)
    assert 64 == run.trader.review().lookback
    run.keep._journal.close()
