"""A strategy that knows later bars is found by asking it on data cut off; one that does not is never accused."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pandas as pd
import pytest

from backtest.data.market import build_market
from backtest.run.summary import warnings
from backtest.sim_loop import run_simulation
from backtest.strategies.ahead import RUN_CUTS, RUN_SHARE, audit
from examples import breakout as example
from exec.strategy import ask
from features.check_inputs import random_bars
from ingest.files.candles import Candles
from tests.e2e.support import settings_of
from tests.exec.test_asking import columns, dicts, mean_reverting, readme
from utils.rows import NS_PER_MINUTE


def source(symbol, seed, bars):
    return Candles(symbol, "1m", NS_PER_MINUTE, "test", "here", "hash", random_bars(bars, seed), (), False, 0)


@pytest.fixture(scope="module")
def one():
    return build_market([source("BTCUSDT", 1, 600)], settings_of())


@pytest.fixture(scope="module")
def two():
    return build_market([source("BTCUSDT", 1, 600), source("ETHUSDT", 2, 600)], settings_of())


def signals(frame, side):
    """A row where the side is none; both columns, so that it serves one symbol and several."""
    return frame[["ts", "symbol"]].assign(side=np.where(side == 0, np.nan, side))


def next_close(frame):
    return signals(frame, np.sign(frame["close"].shift(-1) - frame["close"]).fillna(0))


def next_close_as_a_switch(frame):
    return signals(frame, np.where(frame["close"].shift(-1) > frame["close"], 1, -1))


def rarely(frame):
    """One bar in thirty, told by the next."""
    high = frame["close"].shift(-1) > frame["close"].rolling(30).max()
    return signals(frame, high.astype(int))


def vetoed_by_the_next(frame):
    """Honest signals that the future takes away."""
    rise = frame["close"] > frame["close"].shift(1)
    fall = frame["close"].shift(-1) < frame["close"]
    return signals(frame, (rise & ~fall).astype(int))


def above_the_mean_of_all(frame):
    return signals(frame, np.sign(frame["close"] - frame["close"].mean()))


def scaled_by_all(frame):
    z = (frame["close"] - frame["close"].rolling(20).mean()) / frame["close"].std()
    return signals(frame, np.sign(z.fillna(0)) * (z.abs() > 0.2))


def ranked_within_all(frame):
    return signals(frame, (frame["volume"].rank(pct=True) > 0.9).astype(int))


def centred(frame):
    return signals(frame, np.sign(frame["close"] - frame["close"].rolling(9, center=True).mean()).fillna(0))


def filled_backwards(frame):
    sparse = frame["close"].where(np.arange(len(frame)) % 7 == 0).bfill()
    return signals(frame, np.sign(sparse - frame["close"]).fillna(0))


def trained_on_a_share(frame):
    known = frame.iloc[: int(0.7 * len(frame))]
    return signals(frame, (frame["close"] > known["close"].quantile(0.8)).astype(int))


def ahead_in_its_barriers(frame):
    side = np.where(np.arange(len(frame)) % 10 == 0, 1, 0)
    away = (frame["high"].shift(-1) / frame["close"] - 1).abs().clip(1e-4, 0.01) * 1e4
    return signals(frame, side).assign(take_bps=away)


def closes_at_the_end(frame):
    """It knows which bar is the last."""
    side = np.where(np.arange(len(frame)) % 10 == 0, 1.0, np.nan)
    side[-1] = 0.0
    return frame[["ts", "symbol"]].assign(side=side)


LEAKS = [
    next_close,
    next_close_as_a_switch,
    rarely,
    vetoed_by_the_next,
    above_the_mean_of_all,
    scaled_by_all,
    ranked_within_all,
    centred,
    filled_backwards,
    trained_on_a_share,
    ahead_in_its_barriers,
    closes_at_the_end,
]


@pytest.mark.parametrize("strategy", LEAKS)
def test_a_strategy_that_knows_later_bars_is_found_by_the_few_cuts_of_a_run(one, strategy):
    found = audit(strategy, one, ask(strategy, one))
    assert found.different > 0
    assert found.steady
    assert not found.clean
    assert "the strategy signals differently at" in found.note
    assert "it sees the future" in found.note
    assert len(found.cuts) <= 4 * RUN_CUTS


@pytest.mark.parametrize("strategy", [next_close, above_the_mean_of_all])
def test_it_is_found_on_several_symbols_too(two, strategy):
    assert audit(strategy, two, ask(strategy, two)).different > 0


def together(strategy):
    def asked(frame):
        return strategy(frame)

    asked.together = True
    return asked


def leader_of_tomorrow(frame):
    """What the other symbol does one bar later."""
    wide = frame.pivot_table(index="ts", columns="symbol", values="close")
    ahead = np.sign(wide["BTCUSDT"].shift(-1) - wide["BTCUSDT"]).reindex(frame["ts"]).to_numpy()
    return signals(frame, np.nan_to_num(ahead))


def leader(frame):
    """What the other symbol did."""
    wide = frame.pivot_table(index="ts", columns="symbol", values="close")
    behind = np.sign(wide["BTCUSDT"] - wide["BTCUSDT"].shift(3)).reindex(frame["ts"]).to_numpy()
    return signals(frame, np.nan_to_num(behind) * (frame["symbol"] == "ETHUSDT"))


def best_of_the_bar(frame):
    moved = frame.groupby("symbol")["close"].pct_change(5)
    return signals(frame, (moved.groupby(frame["ts"]).rank(ascending=False) == 1).astype(int))


def mixing(frame):
    """The README's breakout as it was before a symbol was asked for by itself."""
    high = frame["high"].rolling(20).max().shift(1)
    return signals(frame, (frame["close"] > high).astype(int))


def test_what_another_symbol_does_later_is_found(two):
    found = audit(together(leader_of_tomorrow), two, ask(together(leader_of_tomorrow), two))
    assert "it sees the future" in found.note


def test_rows_of_several_symbols_that_are_mixed_are_found_and_symbols_looked_at_by_name_are_not(two):
    found = audit(together(mixing), two, ask(together(mixing), two))
    assert 0 == found.different < found.mixed.different
    assert "it mixes rows of several symbols; group them by symbol" in found.note
    for honest in (leader, best_of_the_bar, columns):
        assert audit(together(honest), two, ask(together(honest), two)).note is None
    assert audit(mixing, two, ask(mixing, two)).clean  # asked for each by itself


def by_convolution(frame):
    """Means by a Fourier transform, whose last digits hang on the length of the data."""
    size = 1 << (len(frame) + 32).bit_length()
    kernel = np.zeros(size)
    kernel[:20] = 1 / 20
    padded = np.zeros(size)
    padded[: len(frame)] = frame["close"]
    mean = np.fft.irfft(np.fft.rfft(padded) * np.fft.rfft(kernel), size)[: len(frame)]
    gap = 1e4 * np.abs(frame["close"] / mean - 1)
    return signals(frame, (gap > 3).astype(int)).assign(take_bps=gap.clip(1.0, 900.0))


def exponential(frame):
    fast, slow = (frame["close"].ewm(span=span, adjust=False).mean() for span in (12, 48))
    return signals(frame, np.sign(fast - slow)).assign(strength=(fast / slow - 1).abs().clip(0, 1) * 100)


def expanding(frame):
    z = (frame["close"] - frame["close"].expanding().mean()) / frame["close"].expanding().std()
    return signals(frame, -np.sign(z.fillna(0)) * (z.abs() > 1)).assign(stop_bps=(10 * z.abs()).clip(1, 900))


def whole_frame(frame):
    return frame.assign(side=np.sign(frame["trend_12_48"]))


def looks_away(frame):
    """What is computed ahead, and no signal: it does no harm."""
    return signals(frame, np.where(np.arange(len(frame)) % 40 == 0, 1, 0)).assign(
        strength=np.where(np.arange(len(frame)) % 40 == 1, frame["volume"].rank(pct=True) * 100, 50.0)
    )


def silent(frame):
    return frame[["ts"]].iloc[:0].assign(side=1.0)


def always_long(frame):
    return frame[["ts"]].assign(side=1)


HONEST = [
    readme(), example.breakout, columns, dicts, mean_reverting, by_convolution, exponential, expanding, whole_frame,
    looks_away, silent, always_long,
]  # fmt: skip


@pytest.mark.parametrize("strategy", HONEST)
@pytest.mark.parametrize("each", [RUN_CUTS, 8])
def test_a_strategy_that_knows_no_later_bar_is_not_accused(one, two, strategy, each):
    for market in (one, two):
        found = audit(strategy, market, ask(strategy, market), each=each, share=1.0 if each == 8 else 0.5)
        assert found.note is None
        assert 0 == found.different


@pytest.fixture(scope="module")
def mostly_shown():
    """Of 3000 bars the last 40 are decided on."""
    return build_market([source("BTCUSDT", 1, 3000)], settings_of(), steps=40)


def standardised_by_all(frame):
    moved = frame["close"].pct_change().fillna(0)
    return signals(frame, np.sign(moved) * ((moved / moved.std()).abs() > 2))


def fitted_on_the_beginning(frame):
    """A threshold of its first 2000 bars, and nothing said within them."""
    high = frame["volume"].iloc[:2000].quantile(0.9)
    return signals(frame, ((frame["volume"] > high) & (np.arange(len(frame)) >= 2000)).astype(int))


def greedy(frame):
    frame["close"].iloc[2000]
    return signals(frame, np.where(np.arange(len(frame)) % 3 == 0, 1, -1))


@pytest.mark.parametrize("strategy", [standardised_by_all, above_the_mean_of_all, scaled_by_all, ranked_within_all])
@pytest.mark.parametrize(("each", "share"), [(RUN_CUTS, RUN_SHARE), (16, 1.0)])
def test_a_whole_column_is_found_where_few_of_many_bars_are_decided_on(mostly_shown, strategy, each, share):
    told = []
    found = audit(
        strategy, mostly_shown, ask(strategy, mostly_shown), each=each, share=share, tell=lambda *row: told.append(row)
    )
    assert "it sees the future" in found.note
    assert found.steady
    assert {750, 1500} < {cut.bar for cut in found.cuts}
    assert (len(found.cuts), len(found.cuts)) == told[-1]


@pytest.mark.parametrize("strategy", [*HONEST, fitted_on_the_beginning, greedy])
def test_nobody_is_accused_where_few_of_many_bars_are_decided_on(mostly_shown, strategy):
    assert audit(strategy, mostly_shown, ask(strategy, mostly_shown)).note is None


def test_one_that_remembers_is_not_said_to_see_the_future(one):
    counter = itertools.count()

    def moody(frame):
        return signals(frame, np.where(np.arange(len(frame)) % 3 == next(counter) % 3, 1, -1))

    found = audit(moody, one, ask(moody, one))
    assert not found.steady
    assert "asked twice for the same" in found.note
    assert "sees the future" not in found.note


def test_one_that_fails_on_fewer_bars_is_told_where(one):
    def greedy(frame):
        frame["close"].iloc[500]
        return signals(frame, np.where(np.arange(len(frame)) % 3 == 0, 1, -1))

    found = audit(greedy, one, ask(greedy, one))
    assert 0 == found.different
    assert "it fails with IndexError" in found.note


def test_few_bars_are_shown_in_all_and_every_cut_is_told(one):
    shown, told = [], []

    def watched(frame):
        shown.append(len(frame))
        return example.breakout(frame)

    answer = ask(watched, one)
    shown.clear()
    audit(watched, one, answer, tell=lambda done, total: told.append((done, total)))
    assert sum(shown) < 2 * len(one.bars)
    assert [(k, len(shown)) for k in range(len(shown) + 1)] == told
    assert len(shown) == 3 * RUN_CUTS


def test_a_run_warns_and_keeps_what_was_found_and_can_be_told_not_to_ask(tmp_path, one):
    shown = []

    def watched(frame):
        shown.append(len(frame))
        return next_close(frame)

    settings = settings_of(execution__entry="market")
    result = run_simulation(data=one, settings=settings, strategy=watched, logs_dir=tmp_path / "asked")
    (said,) = [line for line in warnings(result) if "it sees the future" in line]
    run = json.loads((tmp_path / "asked" / "run.json").read_text())
    assert said == run["answers"]["note"]
    assert 1 == result.report["answers_different"] == run["answers"]["different"] == run["answers_different"]
    shown.clear()
    again = run_simulation(data=one, settings=settings, strategy=watched, logs_dir=tmp_path / "not", audit=False)
    assert [len(one.bars)] == shown
    assert result.report["decision_sha256"] == again.report["decision_sha256"]
    assert again.report["answers_different"] is None
    assert not any("sees the future" in line for line in warnings(again))


def test_data_of_one_decided_bar_cannot_be_cut(one):
    short = dataclasses.replace(one, starts=(int(one.bars["ts"][-1]),))
    found = audit(next_close, short, ask(next_close, short))
    assert () == found.cuts
    assert found.clean
    assert pd.isna(found.row()["note"])
