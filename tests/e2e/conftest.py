"""What end-to-end tests share: the command line in this process, a candle file, and the independent re-check."""

import importlib.util
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from backtest.run.cli import main
from tests.e2e.support import TOOL, Ran, frame_of, write
from utils.shell.log import Console, LogFile


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """An empty working directory, and an environment without settings of ours."""
    for name in list(os.environ):
        if name.startswith("SCALPER__") or name in {"AUTO_RETRAIN", "LOCAL_TZ"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(place, capsys) -> Iterator[Callable[..., Ran]]:
    """Runs a command line in this process and tells how it ended."""

    def run(*arguments: object, real: bool = False) -> Ran:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments], real=real)
        return Ran(code, *capsys.readouterr())

    yield run
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, (Console, LogFile))]:
        root.removeHandler(handler)
        handler.close()


@pytest.fixture(scope="session")
def mock_frame() -> pd.DataFrame:
    """2,000 candles of one minute."""
    return frame_of(2_000)


@pytest.fixture(scope="session")
def mock_file(mock_frame, tmp_path_factory) -> Path:
    """The same as a file, in the folders of a market and a timeframe."""
    return write(mock_frame, tmp_path_factory.mktemp("data") / "binance_usdm" / "1m" / "SOLUSDT_202401.parquet")


@pytest.fixture(scope="session")
def check_trades() -> ModuleType:
    """The independent re-check of trades against candles."""
    if not TOOL.is_file():
        pytest.skip("the tool check_trades.py is not beside this tree")
    spec = importlib.util.spec_from_file_location("check_trades", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
