"""What experiments are made on: files found, walks whose truth is known, signals as simulations have them."""

import numpy as np
import pytest

from backtest.data.market import build_market
from backtest.experiments.data import (
    FIRST_PRICE,
    STEPS,
    WALK_BPS,
    candle_files,
    mocked,
    recorded,
    walk_candles,
    walked,
)
from exec.trader import Trader
from tests.places import ROOT
from utils.errors import DataError
from utils.settings.tree import Settings


def deaf(done, total=0.0):
    """Nobody wants to know how far we are."""


def test_files_are_named_by_themselves_by_pattern_and_by_folder_and_each_counts_once(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.parquet", "b.csv.gz", "notes.md", "in/c.json", "in/d.gz"):
        (tmp_path / name).touch()
    names = [
        path.name for path in candle_files([str(tmp_path), str(tmp_path / "*.parquet"), str(tmp_path / "b.csv.gz")])
    ]
    assert ["a.parquet", "b.csv.gz", "c.json"] == names


@pytest.mark.parametrize("name", ["nowhere.parquet", "*.feather", "empty"])
def test_a_name_that_leads_to_no_candles_is_one_sentence(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="--data: expected candle files or a folder of them, saw none at"):
        candle_files([str(tmp_path / name)])


@pytest.fixture(scope="module")
def walk():
    return walk_candles(20_000, 3).rows


def test_a_walk_has_the_variance_and_the_reach_of_its_increments(walk):
    moves = np.diff(np.log(walk["close"])) * 1e4
    assert WALK_BPS == pytest.approx(moves.std(), rel=0.02)
    assert abs(moves.mean()) < 3.0 * WALK_BPS / np.sqrt(len(moves))
    reach = np.log(walk["high"] / walk["low"]).mean() * 1e4 / WALK_BPS
    assert np.sqrt(8.0 / np.pi) * (1.0 - 0.5 / np.sqrt(STEPS) * 1.5) < reach < np.sqrt(8.0 / np.pi)


def test_a_walk_is_legal_candles_that_open_where_the_last_closed(walk):
    assert FIRST_PRICE == walk["open"][0]
    assert (walk["open"][1:] == walk["close"][:-1]).all()
    assert (walk["low"] <= np.minimum(walk["open"], walk["close"])).all()
    assert (walk["high"] >= np.maximum(walk["open"], walk["close"])).all()
    assert [1] == np.unique(np.diff(walk["ts"]) // 60_000_000_000).tolist()


def test_clustered_volatility_has_the_same_mean_variance_and_a_memory():
    moves = np.diff(np.log(walk_candles(400_000, 3, clustered=True).rows["close"])) * 1e4
    assert WALK_BPS**2 == pytest.approx(moves.var(), rel=0.1)
    size = np.abs(moves)
    assert np.corrcoef(size[60:], size[:-60])[0, 1] > 0.15
    plain = np.abs(np.diff(np.log(walk_candles(100_000, 3).rows["close"])))
    assert abs(np.corrcoef(plain[60:], plain[:-60])[0, 1]) < 0.02


def test_walks_of_one_seed_differ_and_share_no_day():
    one, other = walked(2, 3_000, 5, Settings())
    assert not set(one.days) & set(other.days)
    assert one.bars["close"][-1] != other.bars["close"][-1]
    again = next(walked(1, 3_000, 5, Settings()))
    assert one.bars.tobytes() == again.bars.tobytes()


def test_signals_are_those_of_a_trader():
    settings = Settings()
    series = next(walked(1, 4_000, 5, settings))
    market = build_market([walk_candles(4_000, 5)], settings)
    told = Trader(market, settings).on_bars(market.bars)["side"]
    assert len(series.at) > 20
    assert np.flatnonzero(np.isfinite(told)).tolist() == series.at.tolist()
    assert told[series.at].tolist() == series.sides.tolist()


def test_the_mock_market_is_made_and_a_file_is_recorded(tmp_path):
    made = mocked(600, 4, Settings(), deaf)
    assert (True, "mock market") == (made.made, made.group)
    path = tmp_path / "binance_usdm" / "1m" / "BTCUSDT.csv"
    path.parent.mkdir(parents=True)
    rows = walk_candles(800, 1).rows
    lines = [
        ",".join(
            map(
                str,
                (
                    int(row["ts"]) // 10**6 - 60_000,
                    *(float(row[name]) for name in ("open", "high", "low", "close", "volume")),
                ),
            )
        )
        for row in rows
    ]
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *lines]))
    (kept,) = recorded([path], Settings(), deaf)
    assert (False, "recorded, 1m", "binance_usdm 1m") == (kept.made, kept.group, kept.place)
    assert kept.name.startswith("BTCUSDT 20")
    assert str(ROOT) not in kept.name
