"""A user's strategy: any function from market rows to signal rows."""

import argparse
import dataclasses
import math
import sys

import numpy as np
import pandas as pd
import pytest

from backtest.data.market import synthetic_market
from backtest.sim_loop import run_simulation
from exec.strategy import ask, market_frame
from features.registry import feature_set
from tests.e2e.support import settings_of
from utils.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def market():
    return synthetic_market(settings_of(), "BTCUSDT", "1m", 200)


@pytest.fixture(scope="module")
def two():
    return synthetic_market(settings_of(), "BTCUSDT,ETHUSDT", "1m", 50)


def every(step, side):
    """A strategy that wants `side` at each `step`-th bar."""
    return lambda frame: pd.DataFrame({"ts": frame["ts"].iloc[::step], "side": side})


def test_the_market_frame_holds_candles_and_every_feature(market):
    features = feature_set(1)
    frame = market_frame(market, features.batch(market.bars))
    assert ["ts", "symbol", "open", "high", "low", "close", "volume", "taker_buy", *features.dtype.names] == list(frame)
    assert len(market.bars) == len(frame)
    assert "UTC" == str(frame["ts"].dt.tz)


def test_a_row_of_the_frame_never_depends_on_a_later_one(market):
    seen = []

    def look(frame):
        seen.append(frame)
        return frame[["ts"]].iloc[:0].assign(side=0.0)

    ask(look, market)
    half = build_market_of(market, len(market.bars) // 2)
    ask(look, half)
    pd.testing.assert_frame_equal(seen[0].iloc[: len(half.bars)], seen[1])


def build_market_of(market, bars):
    """The same market cut off after so many bars."""
    values = {name: getattr(market, name) for name in market.__slots__}
    return type(market)(**values | {"bars": market.bars[:bars].copy()})


@pytest.mark.parametrize(
    "shape",
    [
        lambda frame: pd.DataFrame({"ts": frame["ts"][100:103], "side": [1, 0, -1]}),
        lambda frame: {"ts": list(frame["ts"][100:103]), "side": [1, 0, -1]},
        lambda frame: [{"ts": ts, "side": side} for ts, side in zip(frame["ts"][100:103], (1, 0, -1), strict=True)],
        lambda frame: pd.DataFrame({"ts": frame["ts"][100:103], "side": [1, 0, -1], "symbol": "BTCUSDT"})[::-1],
    ],
)
def test_signal_rows_come_as_frame_columns_or_rows_in_any_order(market, shape):
    sides = ask(shape, market)["side"]
    assert [1.0, 0.0, -1.0] == list(sides[100:103])
    assert len(market.bars) - 3 == np.isnan(sides).sum()


def test_what_a_strategy_leaves_out_is_left_to_the_settings(market):
    row = ask(every(100, 1), market)[100]
    assert all(math.isnan(row[name]) for name in ("take_bps", "stop_bps", "horizon", "strength", "p_win"))


def test_signals_of_the_warm_up_are_not_acted_upon(market):
    sides = ask(every(1, 1), market)["side"]
    warmup = len(market.bars) - len(market.decided)
    assert [True] * warmup + [False] * 200 == list(np.isnan(sides))


def test_a_strategy_trades_by_its_own_barriers(tmp_path, market):
    def rows(frame):
        take = np.where(np.arange(len(frame)) % 40 == 0, 30.0, np.nan)
        side = np.where(np.arange(len(frame)) % 40 == 0, 1.0, np.nan)
        return pd.DataFrame({"ts": frame["ts"], "side": side, "take_bps": take, "stop_bps": 40.0, "horizon": 5})

    settings = settings_of(execution__entry="market")
    trades = run_simulation(data=market, settings=settings, strategy=rows, logs_dir=tmp_path).trades
    assert 5 == len(trades)
    assert {"long"} == set(trades["side"])
    assert (trades["take_price"] >= trades["entry_price"] * 1.0030).all()
    held = (trades["exit_time"] - trades["entry_time"]).dt.total_seconds() / 60
    assert held.max() <= 5


def test_side_zero_closes(tmp_path, market):
    def rows(frame):
        side = pd.Series(np.nan, frame.index)
        side[100], side[103] = 1, 0
        return pd.DataFrame({"ts": frame["ts"], "side": side, "stop_bps": 900.0, "take_bps": 900.0})

    settings = settings_of(execution__entry="market")
    result = run_simulation(data=market, settings=settings, strategy=rows, logs_dir=tmp_path)
    assert ["EARLY_STOP"] == list(result.trades["exit_reason"])
    assert ["OPENED", "CLOSED"] == list(result.signals["action"])
    assert "bars" in result.funnel
    assert not any(name.startswith("stopped by") for name in result.funnel)


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (lambda _: None, "dict of columns or a list of dicts., saw None; return one"),
        (lambda _: [], "saw columns none; add side and ts"),
        (lambda _: sys.exit(0), r"saw SystemExit\(0\), which ends the program; mend the function\n .*test_strategy.py"),
        (lambda _: argparse.ArgumentParser().parse_args(["--no"]), r"saw SystemExit\(2\).*mend the function\n "),
        (lambda f: pd.DataFrame({"ts": f["ts"]}), "at least ts and side, saw columns ts; add side"),
        (lambda f: pd.DataFrame({"when": f["ts"], "side": 1}), "add ts"),
        (lambda _: {"ts": ["soon"], "side": [1]}, "expected times in ts"),
        (lambda _: {"ts": [None], "side": [1]}, "expected times in ts|each ts to be the close"),
        (
            lambda f: pd.DataFrame({"ts": f["ts"], "side": 0.5}),
            r"side must be \+1, -1, 0 .close. or NaN .nothing., saw 0.5",
        ),
        (lambda f: pd.DataFrame({"ts": f["ts"], "side": 2}), "side in row 1 must lie from -1 to 1, saw 2"),
        (
            lambda f: pd.DataFrame({"ts": f["ts"], "side": 1, "strength": 101}),
            "strength in row 1 must lie from 0 to 100",
        ),
        (
            lambda f: pd.DataFrame({"ts": f["ts"], "side": "up"}),
            "side in row 1: expected long, short, close or nothing, saw 'up'; correct that row",
        ),
        (lambda f: f[["ts"]].assign(side=f["close"] > f["open"]), "side in row 1: expected long, .*, saw (True|False)"),
        (lambda f: f[["ts"]].assign(side=1, strength="much"), "expected numbers in strength, saw 'much'"),
        (
            lambda f: f[["ts"]].assign(side=1, take=200.0, stop_loss_bps=100.0),
            r"unknown column 'take', 'stop_loss_bps'; did you mean take_bps, stop_bps\?",
        ),
        (lambda f: f[["ts"]].assign(side=1, horizn=3), r"unknown column 'horizn'; did you mean horizon\?"),
        (lambda f: {"ts": f["ts"], "side": 1, "Strength": 3}, r"unknown column 'Strength'; did you mean strength\?"),
        (
            lambda f: f[["ts"]].assign(side=1, fast=f["close"]),
            "unknown column 'fast'; signal rows have ts, symbol, side",
        ),
        (lambda f: pd.DataFrame({"ts": f["ts"] + pd.Timedelta("1s"), "side": 1}), "each ts to be the close of a bar"),
        (lambda f: pd.DataFrame({"ts": f["ts"].iloc[[5, 5]], "side": 1}), "one signal row per bar and symbol"),
        (lambda f: pd.DataFrame({"ts": f["ts"], "side": 1, "symbol": "DOGE"}), "expected symbols BTCUSDT, saw DOGE"),
        (lambda _: 5, "a DataFrame, a dict of columns or a list of dicts., saw 5; return one of these"),
    ],
)
def test_an_answer_that_is_no_signal_rows_is_refused(market, strategy, words):
    with pytest.raises(DataError, match=words):
        ask(strategy, market)


@pytest.mark.parametrize("words", [("long", "short"), ("LONG", "Sell"), ("Buy", -1), ("1", "-1"), (1.0, -1.0)])
def test_the_side_of_a_signal_is_a_word_or_a_number(market, words):
    def strategy(frame):
        side = np.full(len(frame), None, dtype=object)
        side[100], side[101], side[102] = *words, "close"
        return frame[["ts"]].assign(side=side)

    sides = ask(strategy, market)["side"]
    assert [1.0, -1.0, 0.0] == list(sides[100:103])
    assert len(market.bars) - 3 == np.isnan(sides).sum()


def test_the_whole_market_frame_may_be_handed_back_with_signals_beside_it(market):
    whole = ask(lambda f: f.assign(side=np.sign(f["close"] - f["open"])), market)
    bare = ask(lambda f: f[["ts"]].assign(side=np.sign(f["close"] - f["open"])), market)
    assert bare.tobytes() == whole.tobytes()


def crossing(frame):
    """The README's kind: written for one symbol, by position."""
    high = frame["high"].rolling(10).max().shift(1)
    return frame[["ts"]].assign(side=(frame["close"] > high).astype(int).replace(0, np.nan))


def together(strategy):
    def asked(frame):
        return strategy(frame)

    asked.together = True
    return asked


def test_of_several_symbols_each_is_asked_for_by_itself(two):
    alone = []
    for number, symbol in enumerate(two.symbols):
        own = two.bars["sym"] == number
        bars = two.bars[own].copy()
        bars["sym"] = 0
        parts = {"symbols": (symbol,), "bars": bars, "starts": (two.starts[number],)}
        alone.append(ask(crossing, dataclasses.replace(two, **parts)))
    both = ask(crossing, two)
    for number, rows in enumerate(alone):
        assert rows.tobytes() == both[two.bars["sym"] == number].tobytes()
    assert np.isfinite(both["side"]).sum() > 2


def test_a_strategy_that_wants_symbols_together_is_shown_all_and_names_them(two):
    seen = []

    def look(frame):
        seen.append(sorted(set(frame["symbol"])))
        return frame[["ts", "symbol"]].iloc[:0].assign(side=0.0)

    ask(look, two)
    ask(together(look), two)
    assert [["BTCUSDT"], ["ETHUSDT"], ["BTCUSDT", "ETHUSDT"]] == seen
    with pytest.raises(DataError, match="expected a symbol column"):
        ask(together(every(1, 1)), two)
    with pytest.raises(DataError, match="expected symbols ETHUSDT, saw BTCUSDT; answer for the symbols of the frame"):
        ask(lambda f: f[["ts"]].assign(side=1, symbol="BTCUSDT"), two)


def test_what_a_strategy_says_of_itself_is_understood_or_refused(two):
    strategy = together(crossing)
    strategy.together = "yes"
    with pytest.raises(ConfigError, match="expected together to be True or False, saw 'yes'"):
        ask(strategy, two)
    del strategy.together
    strategy.togehter = True
    with pytest.raises(ConfigError, match=r"unknown attribute togehter; did you mean together\?"):
        ask(strategy, two)


def test_a_strategy_that_breaks_is_told_with_the_last_lines_of_its_own_file(market):
    def helper(frame):
        return frame["colse"]

    with pytest.raises(DataError, match=r"expected signal rows, saw KeyError.*; mend the function\n") as caught:
        ask(helper, market)
    assert f"{__file__}, line" in str(caught.value)
    assert 'in helper: return frame["colse"]' in str(caught.value)
    assert "pandas" not in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_symbol_is_named_by_its_rows(two):
    rows = ask(lambda f: f.loc[f["symbol"] == "ETHUSDT", ["ts", "symbol"]].assign(side=1), two)
    assert {1} == set(two.bars["sym"][~np.isnan(rows["side"])])


def test_no_signal_rows_are_no_trades(tmp_path, market):
    settings = settings_of()
    result = run_simulation(
        data=market, settings=settings, strategy=lambda f: f[["ts"]].iloc[:0].assign(side=1.0), logs_dir=tmp_path
    )
    assert (0, settings.simulation.initial_capital) == (result.report["trades"], result.report["final_equity"])


def test_what_a_strategy_prints_goes_to_standard_error(capsys, market):
    def talks(frame):
        print("I saw", len(frame))
        return frame[["ts"]].iloc[:0].assign(side=1.0)

    ask(talks, market)
    assert ("", f"I saw {len(market.bars)}\n") == capsys.readouterr()


def test_ctrl_c_inside_a_strategy_stays_what_it_is(market):
    def stopped(frame):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(stopped, market)
