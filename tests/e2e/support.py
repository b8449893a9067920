"""Helpers of the end-to-end tests: how a command ended, settings, candle files, and where the recordings are."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ingest.synthetic import SyntheticFeed
from tests.places import DATA, SHARED
from utils.config import load_settings
from utils.settings.tree import EndpointSettings, Settings

CANDLES = DATA / "ohlcv"
TOOL = SHARED / "tools" / "check_trades.py"


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The one JSON object of `--json`; NaN and Infinity are no JSON."""

        def refuse(token: str) -> None:
            raise ValueError(token)

        return json.loads(self.out, parse_constant=refuse)


def settings_of(**flags: Any) -> Settings:
    """Settings of config.yaml with these on top; `risk__trail` stands for `risk.trail`."""
    given = {name.replace("__", "."): value for name, value in flags.items()}
    return load_settings(env={}, dotenv=Path(os.devnull), flags=given).settings


def names(endpoints: EndpointSettings) -> dict[str, str]:
    """The environment that points the product at these addresses, and makes it impatient."""
    found = {f"SCALPER__ENDPOINTS__{name.upper()}": value for name, value in endpoints}
    return found | {
        "SCALPER__INGEST__RETRIES": "2",
        "SCALPER__INGEST__BACKOFF_S": "0.01",
        "SCALPER__INGEST__TIMEOUT_S": "5",
    }


def frame_of(bars: int, tf: str = "1m", seed: int = 3) -> pd.DataFrame:
    """Candles of the mock market in the columns of a recorded file."""
    candles = SyntheticFeed("MOCKUSDT", tf, seed, "large-tick").candles(bars)
    opens = pd.to_datetime(candles.rows["ts"] - candles.tf_ns)
    frame = pd.DataFrame({name: candles.rows[name] for name in ("open", "high", "low", "close", "volume")})
    frame.insert(0, "timestamp", opens.as_unit("ms"))
    frame["taker_buy_volume"] = candles.rows["taker_buy"]
    return frame


def like_bitcoin(bars: int) -> pd.DataFrame:
    """The first of 4,000 candles of five minutes of the mock market, at prices and volumes of Bitcoin."""
    frame, prices, volumes = frame_of(4_000, "5m"), ["open", "high", "low", "close"], ["volume", "taker_buy_volume"]
    frame[prices] = (frame[prices] * 120_000).round(1)
    frame[volumes] = (frame[volumes] / 120_000).round(4)
    return frame[:bars]


def write(frame: pd.DataFrame, path: Path) -> Path:
    """A candle file, folders and all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


def recordings() -> list[Path]:
    """Every recorded candle file; none where the recordings are not beside this tree."""
    return sorted(CANDLES.glob("*/*/*.parquet"))
