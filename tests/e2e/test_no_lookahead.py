"""No look-ahead: cut a file off, or make noise of its rest, and what was decided before stays byte for byte."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backtest.sim_loop import run_simulation
from ingest.files.funding import sibling_funding
from tests.e2e.support import CANDLES, frame_of, settings_of, write
from utils.market.symbols import symbol_of_file
from utils.settings.tree import Settings

RECORDED = CANDLES / "binance_usdm" / "1m" / "BTCUSDT_20250706_20250717.parquet"
#: Last bars that are kept, as shares of the file; the odd ones fall into the middle of things.
CUTS = (0.031, 0.2, 0.4567, 0.75, 0.999)
TIME_OF = {"trades": "exit_time", "signals": "time", "equity": "time"}
SETTINGS = {
    "the default": {},
    "market entries, stop and trail in ATR": {"execution__entry": "market", "risk__stop": "atr", "risk__trail": "atr"},
}


def noise_after(frame: pd.DataFrame, kept: int) -> pd.DataFrame:
    """The frame with every bar after the first `kept` replaced by a wild random walk at the same times."""
    dice = np.random.default_rng(kept)
    noisy, rest = frame.copy(), slice(kept, None)
    close = frame["close"].iloc[kept - 1] * np.exp(np.cumsum(dice.normal(0.0, 0.01, len(frame) - kept)))
    start = np.concatenate([[frame["close"].iloc[kept - 1]], close[:-1]])
    spread = 1.0 + np.abs(dice.normal(0.0, 0.01, len(close)))
    values = {
        "open": start,
        "close": close,
        "high": np.maximum(start, close) * spread,
        "low": np.minimum(start, close) / spread,
        "volume": dice.exponential(frame["volume"].mean(), len(close)),
    }
    for name, column in values.items():
        noisy.loc[noisy.index[rest], name] = column
    if "taker_buy_volume" in noisy:
        noisy.loc[noisy.index[rest], "taker_buy_volume"] = values["volume"] * dice.uniform(0.0, 1.0, len(close))
    return noisy


def lines_before(logs: Path, table: str, stamp: str) -> list[str]:
    """The header and every line of a log whose time lies before `stamp`."""
    header, *lines = (logs / f"{table}.csv").read_text().splitlines()
    at = header.split(",").index(TIME_OF[table])
    return [header, *(line for line in lines if line.split(",")[at] < stamp)]


def hold(whole: Path, frame: pd.DataFrame, place: Path, settings: Settings, least: int) -> None:
    """Compare the run on a file with runs on the same file cut off, and drowned in noise, at each cut."""
    # the funding file stands beside the recording; the other folders have none, so that it is named for all
    funding = sibling_funding(whole, whole.parts[-3], symbol_of_file(whole.name))
    given = {"settings": settings, "funding": () if funding is None else funding}
    run_simulation(data=whole, logs_dir=place / "whole", **given)
    tf = frame["timestamp"].diff().mode()[0]
    market_and_tf = Path(*whole.parts[-3:-1])
    seen = 0
    for cut in CUTS:
        kept = int(cut * len(frame))
        stamp = f"{(frame['timestamp'].iloc[kept - 1] + tf).isoformat(timespec='milliseconds')}Z"
        rest = {"cut off": frame.iloc[:kept], "noise": noise_after(frame, kept)}
        for name, changed in rest.items():
            folder = place / f"{name} {cut}"
            path = write(changed, folder / market_and_tf / whole.name)
            run_simulation(data=path, logs_dir=folder / "logs", **given)
            for table in TIME_OF:
                expected = lines_before(place / "whole", table, stamp)
                assert expected == lines_before(folder / "logs", table, stamp), (name, cut, table)
                seen += len(expected) - 1 if table == "trades" else 0
    assert seen >= least, "too few trades to prove anything"


@pytest.mark.parametrize("name", SETTINGS)
def test_the_mock_market_run_knows_nothing_of_its_future(tmp_path, name):
    frame = frame_of(2_000, "5m")
    path = write(frame, tmp_path / "data" / "binance_usdm_flow" / "5m" / "MOCKUSDT_202401.parquet")
    hold(path, frame, tmp_path, settings_of(**SETTINGS[name]), 100)


@pytest.mark.skipif(not RECORDED.is_file(), reason="the recorded candles are not beside this tree")
@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_on_recorded_candles_knows_nothing_of_its_future(tmp_path, name):
    hold(RECORDED, pd.read_parquet(RECORDED), tmp_path, settings_of(**SETTINGS[name]), 100)
