"""A user's strategy live: asked for its newest rows only, it answers as over the whole history, or that is said."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from backtest.data.market import build_market
from backtest.run.report import conclude, journal_of
from backtest.sim_loop import run_simulation
from examples import breakout as example
from exec.asking import LOOKBACK
from exec.strategy import MarketRows, ask, market_frame
from features.check_inputs import random_bars
from features.live import BOOK_AT_CLOSE
from features.registry import feature_set
from ingest.files.candles import Candles, gaps_of
from tests.live import Live as LiveRun
from tests.places import ROOT
from utils.errors import ConfigError, DataError
from utils.rows import NS_PER_MINUTE, NS_PER_S
from utils.settings.tree import Settings
from utils.types import Bar, BookSnapshot

SETTINGS = Settings()
NAMES = ("BTCUSDT", "ETHUSDT")


def source(symbol, seed, bars):
    rows = random_bars(bars, seed)
    return Candles(symbol, "1m", NS_PER_MINUTE, "test", "here", "hash", rows, (), False, 0)


def world(bars, symbols=1, leave_out=()):
    """Candles of each symbol; `leave_out` names (symbol's number, bar) that nobody has."""
    sources = [source(name, k + 1, bars) for k, name in enumerate(NAMES[:symbols])]
    for k, one in enumerate(sources):
        rows = np.delete(one.rows, [bar for symbol, bar in leave_out if symbol == k])
        rows["gap"] = np.diff(rows["ts"], prepend=rows["ts"][0] - NS_PER_MINUTE) // NS_PER_MINUTE - 1
        sources[k] = dataclasses.replace(one, rows=rows, gaps=gaps_of(rows))
    return sources


def upto(sources, ts):
    """The bars that closed by `ts` as sources and as one market; what comes next is decided on."""
    parts = [dataclasses.replace(one, rows=one.rows[one.rows["ts"] <= ts].copy()) for one in sources]
    market = build_market(parts, SETTINGS, steps=1)
    return parts, dataclasses.replace(market, starts=tuple(int(ts) + 1 for _ in parts))


def close_of(sources, bar):
    return int(sources[0].rows["ts"][0]) + bar * NS_PER_MINUTE


class Live:
    """A live run over the bars of a world from number `begin` on, one close after the other."""

    def __init__(self, sources, begin, strategy, *, missed=()):
        self.sources, self.missed, self.told = sources, set(missed), []
        self.begin = close_of(sources, begin - 1)
        self.run = LiveRun(*upto(sources, self.begin), SETTINGS, strategy, backfill=self.backfill)

    def backfill(self, symbol, first, last):
        (one,) = [one for one in self.sources if one.symbol == symbol]
        return one.rows[(one.rows["ts"] >= first) & (one.rows["ts"] <= last)]

    def play(self, bars):
        """All bars of so many closes; those that the stream missed come by REST with the next ones."""
        for number in range(bars):
            ts = self.begin + (number + 1) * NS_PER_MINUTE
            for one in self.sources:
                self.run.see(BookSnapshot(one.symbol, ts - NS_PER_S, ts, ((1.0, 5.0),), ((1.0001, 5.0 + number),)), 0.0)
            for one in self.sources:
                if (one.symbol, number) not in self.missed:
                    for row in one.rows[one.rows["ts"] == ts]:
                        self.told += self.run.see(Bar.of(row, one.symbol, "1m"), 100.0 * number)
            self.told += self.run.due(100.0 * number + 50.0)
        self.begin += bars * NS_PER_MINUTE
        return self

    @property
    def signals(self):
        """What was answered at each close, in order."""
        return np.concatenate([instant.signals for instant in self.told])

    def asked_whole(self, strategy):
        """What the strategy answers to each close when it is shown all bars until then."""
        market, _ = self.run.finish()
        answers, done = [], len(market.bars) - sum(len(instant.bars) for instant in self.told)
        for instant in self.told:
            done += len(instant.bars)
            known = dataclasses.replace(market, bars=market.bars[:done], book=market.book[:done])
            answers.append(ask(strategy, known)[-len(instant.bars) :])
            if instant.late:
                answers[-1]["side"] = np.nan
        return np.concatenate(answers)


def readme():
    (code,) = [
        code
        for code in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
        if "def breakout" in code
    ]
    scope = {}
    exec(code, scope)  # noqa: S102 - our own README
    return scope["breakout"]


def columns(market):
    """A dict of columns, a row a bar, with barriers of its own."""
    side = np.sign(-market["zscore_20"]).where(market["zscore_20"].abs() > 1.0)
    return {"ts": list(market["ts"]), "symbol": list(market["symbol"]), "side": side, "take_bps": 30.0, "horizon": 7}


def dicts(market):
    """A list of dicts about some bars only, in plain Python, by position."""
    return [
        {"ts": market["ts"][i], "symbol": market["symbol"][i], "side": 1, "strength": 50.0}
        for i in range(3, len(market))
        if market["close"][i] > market["close"][i - 3] * 1.0005
    ][::-1]


def of_the_book(market):
    """Where the live book stands beside a bar."""
    return market[["ts", "symbol"]].assign(
        side=np.sign(market["book_age_ms"].notna() * (market["close"] - market["open"]))
    )


def mean_reverting(market):
    """Whole-number moving average of 100 bars a symbol: exact whatever it is summed from."""
    ticks = (market["close"] * 10).round()
    mean = ticks.groupby(market["symbol"]).transform(lambda one: one.rolling(100).mean())
    return market.loc[ticks < mean, ["ts", "symbol"]].assign(side=1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "symbols"),
    [
        (readme(), 1),
        (example.breakout, 1),
        (example.breakout, 2),
        (columns, 2),
        (dicts, 1),
        (dicts, 2),
        (of_the_book, 2),
        (mean_reverting, 2),
    ],
)
def test_the_newest_rows_get_the_answers_of_the_whole_history(strategy, symbols):
    live = Live(world(700, symbols), 2 * LOOKBACK + 20, strategy).play(40)
    assert live.asked_whole(strategy).tobytes() == live.signals.tobytes()
    assert np.isfinite(live.signals["side"]).sum() > 2
    answers = live.run.finish()[1].answers
    assert {"lookback": LOOKBACK, "compared": 40 * symbols, "different": 0, "note": None} == answers


@pytest.mark.parametrize("strategy", [example.breakout, columns])
def test_bars_that_were_missed_late_or_never_there_change_no_answer(strategy):
    gaps = {(0, 150), (1, 555), (1, 556), (1, 575)}
    missed = {("BTCUSDT", 10), ("BTCUSDT", 11), ("ETHUSDT", 10), ("ETHUSDT", 11), ("ETHUSDT", 30)}
    live = Live(world(700, 2, gaps), 540, strategy, missed=missed).play(60)
    assert live.asked_whole(strategy).tobytes() == live.signals.tobytes()
    assert 2 == sum(instant.late for instant in live.told)
    assert 0 == live.run.finish()[1].answers["different"]


def test_a_bar_that_comes_after_younger_ones_of_another_symbol_is_answered():
    sources = world(700, 2)
    before = upto(sources, close_of(sources, 599))
    run = LiveRun(*before, SETTINGS, example.breakout, backfill=lambda *_: sources[0].rows[:0])
    told = []
    for bar, when in ((600, 0.0), (601, 100.0)):
        told += run.see(Bar.of(sources[1].rows[bar], "ETHUSDT", "1m"), when) + run.due(when + 50.0)
    run.backfill = lambda symbol, *_: sources[0].rows[600:602] if symbol == "BTCUSDT" else sources[1].rows[:0]
    told += run.see(Bar.of(sources[0].rows[602], "BTCUSDT", "1m"), 200.0) + run.due(250.0)
    order = [
        (int(one.bars["sym"][0]), (int(one.bars["ts"][0]) - close_of(sources, 0)) // NS_PER_MINUTE) for one in told
    ]
    assert [(1, 600), (1, 601), (0, 600), (0, 601), (0, 602)] == order
    assert 0 == run.finish()[1].answers["different"]


def shown_to(strategy):
    """The strategy, and how many rows it was shown each time."""
    rows = []

    def watched(market):
        rows.append(len(market))
        return strategy(market)

    return watched, rows


@pytest.mark.parametrize("history", [600, 2400])
@pytest.mark.parametrize("symbols", [1, 2])
def test_a_close_costs_the_same_however_long_the_history(history, symbols):
    watched, rows = shown_to(example.breakout)
    live = Live(world(history + 30, symbols), history, watched)
    rows.clear()
    live.play(20)
    assert [LOOKBACK] * 20 * symbols == rows


def test_a_symbol_without_bars_does_not_make_the_others_dearer():
    silent = {(1, bar) for bar in range(300, 900)}
    watched, rows = shown_to(example.breakout)
    live = Live(world(900, 2, silent), 700, watched)
    rows.clear()
    live.play(100)
    assert {LOOKBACK} == set(rows)
    assert 200 == len(rows)


def test_a_strategy_is_shown_as_many_bars_as_it_says():
    watched, rows = shown_to(example.breakout)
    watched.lookback = 21
    live = Live(world(200), 100, watched)
    rows.clear()
    live.play(10)
    assert [21] * 10 == rows
    assert 21 == live.run.finish()[1].answers["lookback"]


def test_until_a_window_can_be_tried_a_strategy_is_shown_everything():
    watched, rows = shown_to(example.breakout)
    live = Live(world(900), 2 * LOOKBACK // 4, watched).play(3 * LOOKBACK // 2 - 1)
    assert {*range(LOOKBACK // 2, 2 * LOOKBACK)} == set(rows)
    live.play(1)
    rows.clear()
    live.play(3)
    assert [LOOKBACK] * 3 == rows


def test_all_bars_are_asked_for_again_only_when_they_have_doubled():
    watched, rows = shown_to(example.breakout)
    watched.lookback = 21
    live = Live(world(300), 70, watched)
    rows.clear()
    live.play(229)
    assert [140, 280] == [shown for k, shown in enumerate(rows) if shown > 21 and rows[k - 1] == 21 == rows[k - 2]]
    rows.clear()
    live.run.finish()
    assert 299 == rows[0]


def high_of(bars):
    """A strategy that looks back so many bars, and not one less."""

    def strategy(market):
        return market[["ts"]].assign(side=(market["close"] >= market["close"].rolling(bars).max()).astype(float))

    return strategy


def test_a_lookback_that_is_not_enough_is_refused_before_anything_is_decided():
    strategy = functools.partial(high_of(40))
    strategy.lookback = 30
    with pytest.raises(
        ConfigError, match=r"last 30 bars to answer as all .* saw side 0.0 and not 1.0 .*raise its look"
    ):
        Live(world(300), 200, strategy)
    strategy.lookback = 40
    assert 0 == Live(world(300), 200, strategy).play(50).run.finish()[1].answers["different"]


@pytest.mark.parametrize("lookback", [0, -3, 2.5, "20", True])
def test_a_lookback_is_a_number_of_bars(lookback):
    strategy = functools.partial(high_of(40))
    strategy.lookback = lookback
    with pytest.raises(ConfigError, match="lookback to be a whole number of bars from 1"):
        Live(world(100), 90, strategy)


def test_a_strategy_that_looks_further_back_is_shown_twice_as_many(caplog):
    strategy = high_of(400)
    live = Live(world(1200), 1100, strategy).play(20)
    assert live.asked_whole(strategy).tobytes() == live.signals.tobytes()
    assert 2 * LOOKBACK == live.run.finish()[1].answers["lookback"]
    assert [] == caplog.messages


def test_a_lookback_that_turns_out_too_short_is_widened_and_said(caplog):
    sources = world(600)
    since = pd.Timestamp(close_of(sources, 150), tz="UTC")

    def strategy(market):  # what the history shows of it looks back not at all
        return high_of(90)(market).where(market["ts"] > since, 0.0).assign(ts=market["ts"])

    strategy.lookback = 60
    live = Live(sources, 150, strategy).play(150)
    assert ["expected the answers of the live run over all its bars too"] == [
        re.search("expected the answers of the live run over all its bars too", said)[0] for said in caplog.messages
    ]
    given = len(live.told)
    live.play(50)
    assert 120 == live.run.trader._asked.lookback
    assert live.asked_whole(strategy)[given:].tobytes() == live.signals[given:].tobytes()
    answers = live.run.finish()[1].answers
    assert answers["different"] > 0
    assert answers["note"] == caplog.messages[-1]


def test_an_average_that_never_forgets_is_shown_all_bars(caplog):
    def strategy(market):
        average = market["close"].expanding().mean()
        return market[["ts"]].assign(side=np.sign(market["close"] - average), strength=(average / 1e4).clip(0, 100))

    watched, rows = shown_to(strategy)
    live = Live(world(700), 600, watched)
    rows.clear()
    live.play(10)
    assert list(range(601, 611)) == rows
    assert live.asked_whole(strategy).tobytes() == live.signals.tobytes()
    assert {"lookback": None, "compared": 10, "different": 0, "note": None} == live.run.finish()[1].answers
    assert ["it looks further back, so it is shown all bars"] == [
        re.search("it looks further back, so it is shown all bars", message)[0] for message in caplog.messages
    ]


def test_an_exponential_average_of_rounded_answers_forgets():
    def strategy(market):
        average = market["close"].ewm(span=10).mean()
        return market[["ts"]].assign(side=np.sign((market["close"] - average).round(1)))

    live = Live(world(700), 600, strategy).play(30)
    assert live.asked_whole(strategy).tobytes() == live.signals.tobytes()
    assert LOOKBACK == live.run.finish()[1].answers["lookback"]


def test_a_function_that_fails_on_few_bars_is_shown_more():
    def strategy(market):
        if len(market) < 300:
            raise ValueError("too few")
        return example.breakout(market)

    live = Live(world(1200), 1100, strategy).play(5)
    assert 2 * LOOKBACK == live.run.finish()[1].answers["lookback"]


def peeking(market):
    return market[["ts"]].assign(side=np.sign(market["close"].shift(-1) - market["close"]))


def test_a_strategy_that_looks_ahead_is_named_at_the_start_and_at_the_end(caplog, tmp_path):
    live = Live(world(700), 600, peeking).play(20)
    assert "its answer at a bar changes when later bars are added" in caplog.messages[0]
    began = datetime(2026, 1, 1, tzinfo=UTC)
    market, outcome = live.run.finish()
    assert np.isnan(live.signals["side"]).all()
    assert (20, 19) == (outcome.answers["compared"], outcome.answers["different"])
    with journal_of(market, SETTINGS, tmp_path, began) as journal:
        conclude(market, SETTINGS, outcome, journal, began, 0.0)
    written = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["answers"]
    assert outcome.answers == written
    assert "saw 19 of 20 differ, first side nan and not " in written["note"]
    assert written["note"] in caplog.messages


def test_answers_that_come_from_a_memory_of_its_own_are_named_at_the_end():
    calls = []

    def strategy(market):
        calls.append(len(market))
        return market[["ts"]].assign(side=1.0 if len(calls) % 2 else -1.0)

    answers = Live(world(200), 100, strategy).play(20).run.finish()[1].answers
    assert 10 == answers["different"]
    assert "a replay of these bars will not repeat this run" in answers["note"]


def test_a_failure_over_all_bars_loses_no_run():
    calls = []

    def strategy(market):
        calls.append(len(market))
        if len(calls) > 11:
            raise ValueError("enough")
        return market[["ts"]].assign(side=1.0)

    strategy.lookback = 60
    market, outcome = Live(world(200), 100, strategy).play(10).run.finish()
    assert 110 == len(market.bars)
    assert "saw ValueError('enough')" in outcome.answers["note"]


def test_a_window_that_fails_later_is_widened_and_the_run_goes_on(caplog):
    def since_the_last_event(market):
        assert np.isin(market["ts"], events).any()
        return market[["ts"]].assign(side=1.0)

    since_the_last_event.lookback = 60
    sources = world(400)
    events = pd.to_datetime([close_of(sources, bar) for bar in range(20, 200, 20)], utc=True)
    live = Live(sources, 200, since_the_last_event).play(150)
    assert 150 == len(live.signals)
    assert {1.0} == set(live.signals["side"])
    assert "saw AssertionError" in caplog.text
    live.run.finish()


def test_a_strategy_that_fails_over_all_bars_too_is_said_in_a_sentence():
    def once(market):
        if len(market) != 110:
            raise ValueError("no more")
        return market[["ts"]].assign(side=1.0)

    live = Live(world(200), 110, once)
    with pytest.raises(DataError, match=r"expected signal rows, saw ValueError\('no more'\); mend the function"):
        live.play(1)
    assert 110 == len(live.run.finish()[0].bars)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, DataError])
def test_a_run_that_ends_within_the_strategy_keeps_every_close_before(stop):
    calls = []

    def strategy(market):
        calls.append(len(market))
        if len(market) > 112:
            raise stop("now")
        return market[["ts"]].assign(side=1.0)

    live = Live(world(200), 110, strategy)
    with pytest.raises(stop):
        live.play(20)
    market, outcome = live.run.finish()
    assert (112, 2) == (len(market.bars), len(live.told))
    assert len(outcome.rows.decisions) > 0


def test_a_lookback_may_be_computed_with_numpy():
    strategy = functools.partial(readme())
    strategy.lookback = np.int64(64)
    assert 64 == Live(world(200), 150, strategy).run.trader._asked.lookback


def test_a_run_on_a_file_compares_with_data_cut_off_instead(tmp_path):
    _, market = upto(world(200), close_of(world(200), 150))
    market = dataclasses.replace(market, starts=(0,))
    result = run_simulation(data=market, settings=SETTINGS, strategy=readme(), logs_dir=tmp_path)
    assert {0} == {cut["different"] for cut in result.answers["cuts"]}
    assert result.answers == json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["answers"]
    bare = run_simulation(data=market, settings=SETTINGS, strategy=readme(), logs_dir=tmp_path, audit=False)
    assert {} == bare.answers
    assert "answers" not in json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))


def test_an_answer_out_of_range_names_its_bar():
    def strategy(market):
        return market[["ts"]].assign(side=1.0, strength=np.where(market["ts"] == wrong, 101.0, 50.0))

    sources = world(700)
    wrong = pd.Timestamp(close_of(sources, 620), tz="UTC")
    live = Live(sources, 600, strategy).play(20)
    with pytest.raises(
        DataError, match=rf"strength in row 621 must lie from 0 to 100, saw 101 at {re.escape(str(wrong))}"
    ):
        live.play(1)


def test_a_strategy_may_write_into_what_it_is_shown():
    def scribbling(market):
        answer = example.breakout(market)
        market.loc[:, "close"] = 0.0
        market["high"] = market["high"] * 2.0
        market.loc[:, "symbol"] = "BTCUSDT"
        market.loc[:, "ts"] = market["ts"].iloc[0]
        for name in market.columns[2:]:
            values = market[name].to_numpy()
            if values.flags.writeable:
                values[:] = -1.0
        return answer

    one, other = (Live(world(700, 2), 600, strategy).play(20) for strategy in (scribbling, example.breakout))
    assert other.signals.tobytes() == one.signals.tobytes()
    assert 0 == one.run.finish()[1].answers["different"]


@pytest.mark.parametrize("symbols", [1, 2])
@pytest.mark.parametrize("gaps", [(), ((0, 95), (0, 97), (1, 30), (1, 99))])
def test_a_window_is_the_tail_of_the_whole_frame(symbols, gaps):
    _, market = upto(world(110, symbols, gaps), close_of(world(110), 109))
    features = feature_set(symbols).batch(market.bars)
    book = np.random.default_rng(1).random((len(market.bars), len(BOOK_AT_CLOSE))).view(BOOK_AT_CLOSE)[:, 0]
    market = dataclasses.replace(market, book=book)
    whole = market_frame(market, features)
    rows = MarketRows(market.symbols, market.bars[:100], features[:100], book[:100])
    for bars in (None, 20):
        if bars is not None:
            rows.keep(bars)
        for at in range(100, len(market.bars)) if bars is None else ():
            rows.append(market.bars[at : at + 1], features[at : at + 1], book[at : at + 1])
        tail = whole.groupby("symbol", sort=False).tail(20).reset_index(drop=True)
        pd.testing.assert_frame_equal(tail, rows.frame(rows.newest(20)))


def test_a_window_stays_the_tail_while_old_rows_are_forgotten():
    _, market = upto(world(500, 2, {(1, bar) for bar in range(100, 300)}), close_of(world(500), 499))
    features = feature_set(2).batch(market.bars)
    whole = market_frame(market, features)
    rows = MarketRows(market.symbols, market.bars[:200], features[:200])
    rows.keep(10)
    for at in range(200, len(market.bars)):
        rows.append(market.bars[at : at + 1], features[at : at + 1])
        assert len(rows) <= 2 * 2 * 10 + 1
        tail = whole.iloc[: at + 1].groupby("symbol", sort=False).tail(10).reset_index(drop=True)
        pd.testing.assert_frame_equal(tail, rows.frame(rows.newest(10)))
