"""Real data through the driver: what a live run decides is what a replay of its bars decides."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from backtest.data.market import build_market
from backtest.run.live import LiveRun, follow
from backtest.run.loop import simulate
from ingest.synthetic import SyntheticFeed
from utils.errors import DataUnavailable
from utils.settings.tree import Settings
from utils.types import Bar, BookSnapshot, Trade

MINUTE = 60_000_000_000
HISTORY, BARS = 500, 900
SETTINGS = Settings()


def candles(symbol: str, seed: int, bars: int = BARS):
    return SyntheticFeed(symbol, "1m", seed, "large-tick").candles(bars)


def cut(one, lo: int, hi: int):
    rows = one.rows[lo:hi].copy()
    rows["last"] = 0
    rows["last"][-1] = 1
    return dataclasses.replace(one, rows=rows)


@pytest.fixture(scope="module")
def sources():
    return [candles("BTCUSDT", 3), candles("ETHUSDT", 4)]


def nothing_missed(symbol, first, last):
    raise AssertionError(f"asked for {symbol} {first} to {last}")


def live_run(sources, backfill=nothing_missed, strategy=None):
    """A run whose history ends at `HISTORY` bars and that decides from the next bar on."""
    before = [cut(one, 0, HISTORY) for one in sources]
    market = build_market(before, SETTINGS, steps=1)
    market = dataclasses.replace(market, starts=tuple(int(one.rows["ts"][-1]) + 1 for one in before))
    return LiveRun(before, market, SETTINGS, strategy, backfill=backfill)


def bar_events(sources, leave_out=()):
    """The bars after the history, instant by instant, the symbols in turn first."""
    for i in range(HISTORY, BARS):
        order = sources if i % 2 else sources[::-1]
        yield from (Bar.of(one.rows[i], one.symbol, "1m") for one in order if (one.symbol, i) not in leave_out)


def quoted(sources):
    """A book with a narrow spread for each symbol, before anything else."""
    first = int(sources[0].rows["ts"][HISTORY - 1]) + 1
    return [BookSnapshot(one.symbol, first, first, ((1.0, 5.0),), ((1.0001, 5.0),)) for one in sources]


class Events:
    """A stream that brings these events and then nothing more."""

    def __init__(self, events):
        self.left = list(events)

    def get(self, _timeout_s):
        return self.left.pop(0) if self.left else None


def played(run, events):
    told = []
    assert not follow(run, Events(events), None, live=False, tell=told.append)
    return told


def whole(sources):
    """The same bars as one history, decided on from the same bar."""
    market = build_market(sources, SETTINGS, steps=1)
    starts = tuple(int(one.rows["ts"][HISTORY - 1]) + 1 for one in sources)
    return dataclasses.replace(market, starts=starts)


def test_a_live_run_writes_the_rows_of_a_replay_of_its_bars(sources):
    run = live_run(sources)
    told = played(run, [*quoted(sources), *bar_events(sources)])
    market, outcome = run.finish()
    expected = simulate(whole(sources), SETTINGS, live=True)
    assert BARS - HISTORY == len(told)
    assert whole(sources).bars.tobytes() == market.bars.tobytes()
    for table in ("trades", "orders", "decisions", "equity"):
        assert getattr(expected.rows, table).tobytes() == getattr(outcome.rows, table).tobytes()
    assert len(expected.rows.trades) > 0


def test_what_was_told_live_is_what_the_log_files_say(sources):
    run = live_run(sources)
    told = played(run, [*quoted(sources), *bar_events(sources)])
    _, outcome = run.finish()
    live = np.concatenate([instant.rows.decisions for instant in told])
    assert outcome.rows.decisions.tobytes() == live.tobytes()


def test_without_a_valid_book_entries_are_refused_and_counted(sources):
    run = live_run(sources)
    played(run, bar_events(sources))
    _, outcome = run.finish()
    assert 0 == len(outcome.rows.trades)
    assert outcome.funnel["wide_book"] == outcome.unavailable["wide_book"] > 0


def test_a_bar_the_stream_missed_is_fetched_and_not_decided_on(sources):
    asked = []

    def backfill(symbol, first, last):
        asked.append((symbol, (first - int(sources[0].rows["ts"][0])) // MINUTE))
        (one,) = [one for one in sources if one.symbol == symbol]
        return one.rows[(one.rows["ts"] >= first) & (one.rows["ts"] <= last)]

    missed = {(symbol, i) for symbol in ("BTCUSDT", "ETHUSDT") for i in (600, 601)}
    run = live_run(sources, backfill)
    told = played(run, [*quoted(sources), *bar_events(sources, missed)])
    market, _ = run.finish()
    assert [("BTCUSDT", 600), ("ETHUSDT", 600)] == asked
    assert whole(sources).bars.tobytes() == market.bars.tobytes()
    late = [instant for instant in told if instant.late]
    assert 2 == len(late)
    assert all(np.isnan(instant.signals["side"]).all() for instant in late)


def test_an_instant_waits_for_all_symbols_and_then_asks_for_the_missing_bar(sources):
    asked = []

    def backfill(symbol, first, last):
        asked.append(symbol)
        return sources[1].rows[(sources[1].rows["ts"] >= first) & (sources[1].rows["ts"] <= last)]

    run = live_run(sources, backfill)
    bar = Bar.of(sources[0].rows[HISTORY], "BTCUSDT", "1m")
    assert [] == run.see(bar, 100.0)
    assert [] == run.due(104.9)
    (instant,) = run.due(105.1)
    assert (["ETHUSDT"], 2, False) == (asked, len(instant.bars), instant.late)


def test_a_bar_that_nobody_has_is_a_gap_and_never_made_up(sources):
    run = live_run(sources[:1], lambda *_: sources[0].rows[:0])
    told = played(run, [*quoted(sources[:1]), *bar_events(sources[:1], {("BTCUSDT", 600)})])
    market, _ = run.finish()
    assert BARS - HISTORY - 1 == len(told)
    assert 1 == market.bars["gap"][600]
    assert [{"missing": 1}] == [{"missing": gap["missing"]} for gap in market.files[0]["gaps"]]


def test_a_bar_that_the_history_has_is_passed_over(sources):
    run = live_run(sources)
    assert [] == run.see(Bar.of(sources[0].rows[HISTORY - 1], "BTCUSDT", "1m"), 0.0)
    assert [] == run.due(50.0)


def test_ctrl_c_ends_a_live_run_with_everything_decided_so_far(sources):
    class Interrupted(Events):
        def get(self, _timeout_s):
            if not self.left:
                raise KeyboardInterrupt
            return super().get(_timeout_s)

    run = live_run(sources)
    events = [*quoted(sources), *list(bar_events(sources))[:100]]
    assert follow(run, Interrupted(events), None, live=True, tell=None)
    market, _ = run.finish()
    assert HISTORY + 50 == int((market.bars["sym"] == 0).sum())


def test_a_run_of_so_many_bars_ends_after_them(sources):
    run = live_run(sources)
    assert not follow(run, Events([*quoted(sources), *bar_events(sources)]), 7, live=True, tell=None)
    assert HISTORY + 7 == int((run.finish()[0].bars["sym"] == 0).sum())


def test_a_users_strategy_sees_the_book_beside_live_bars_only(sources):
    frames = []

    def watcher(frame):
        frames.append(frame)
        return frame[["ts", "symbol"]].assign(side=math.nan)

    run = live_run(sources, strategy=watcher)
    played(run, [*quoted(sources), *list(bar_events(sources))[:2]])
    seen = frames[-1]["spread_bps"]
    assert 2 * HISTORY == int(seen.isna().sum())
    assert [pytest.approx(0.99995, abs=1e-4)] * 2 == seen.iloc[-2:].tolist()


def test_prints_of_the_stream_become_columns_beside_the_bars(sources):
    first = int(sources[0].rows["ts"][HISTORY - 1])
    prints = [Trade("BTCUSDT", at, at, 1.0, 2.0, 1) for at in range(first + 1, first + MINUTE, MINUTE // 30)]
    run = live_run(sources)
    played(run, [*quoted(sources), *prints, *list(bar_events(sources))[:2]])
    market, _ = run.finish()
    newest = market.book[-2:]
    assert [1.0, 1.0] == newest["trade_imbalance_10s"][:1].tolist() * 2
    assert np.isnan(newest["trade_imbalance_10s"][1])
    assert np.isnan(market.book["trade_rate_10s"][:-2]).all()


def test_a_stream_that_has_gone_silent_is_asked_for_by_rest(sources):
    asked = []

    def backfill(symbol, first, last):
        asked.append(symbol)
        (one,) = [one for one in sources if one.symbol == symbol]
        return one.rows[(one.rows["ts"] >= first) & (one.rows["ts"] <= last)]

    run = live_run(sources, backfill)
    assert [] == run.due(1000.0)
    assert [] == run.due(1090.0)
    (instant,) = run.due(1090.1)
    assert (["BTCUSDT", "ETHUSDT"], 2, True) == (asked, len(instant.bars), instant.late)
    assert np.isnan(instant.signals["side"]).all()


def test_an_exchange_that_is_gone_ends_a_live_run(sources):
    def backfill(*_):
        raise DataUnavailable("gone")

    run = live_run(sources, backfill)
    run.due(0.0)
    with pytest.raises(DataUnavailable, match="gone"):
        run.due(91.0)
