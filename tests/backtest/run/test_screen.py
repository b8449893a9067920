"""Lines that a run prints while it goes, as a person reads them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backtest.data.market import synthetic_market
from backtest.run.resume import Going
from backtest.run.screen import MOST_LINES, Screen, first_line, minute, price, signal_line, trade_line
from backtest.sim_loop import run_simulation
from tests.e2e.support import settings_of
from tests.journal import META
from utils.codes import CLOSED, OPENED, TAKE_PROFIT
from utils.records.database import Told
from utils.rows import DECISION, TRADE


@pytest.fixture(scope="module")
def market():
    return synthetic_market(settings_of(), "BTCUSDT", "1m", 1_000)


def test_the_first_line_says_whether_the_data_are_real():
    assert "Recorded candles: a.csv" == first_line("a.csv", synthetic=False).plain
    assert first_line("seed 1", synthetic=True).plain.startswith("SYNTHETIC mock market (seed 1): no real data.")


def test_a_time_is_read_to_the_minute():
    assert "2025-01-01 00:05" == minute(1_735_689_900_000_000_000)


@pytest.mark.parametrize(
    ("side", "action", "words"),
    [(1, OPENED, "long   signal of strength 34: entry order"), (0, CLOSED, "close  signal")],
)
def test_a_signal_that_was_acted_upon_is_one_line(market, side, action, words):
    row = np.zeros(1, DECISION)[0]
    row.side, row.action, row.strength = side, action, 34.2
    assert words in signal_line(market, row).plain


def test_a_closed_trade_is_one_line_with_its_reason_and_what_it_left(market):
    row = np.zeros(1, TRADE)[0]
    row.side, row.entry_price, row.exit_price = -1, 60_124.3, 160_012.0
    row.exit_reason, row.net_pnl = TAKE_PROFIT, -3.214
    assert trade_line(market, row).plain.endswith("BTCUSDT short  60124.3 -> 160012.0  TAKE_PROFIT  -3.21")


@pytest.mark.parametrize(
    ("tick", "shown"), [(0.0001, "0.5024"), (0.05, "0.50"), (1.0, "1"), (10.0, "1"), (1e-7, "0.5024000")]
)
def test_a_price_has_the_decimals_of_its_tick(market, tick, shown):
    instruments = market.instruments.copy()
    instruments["tick"] = tick
    row = np.zeros(1, TRADE)[0]
    row.entry_price = 0.5024 if tick < 1 else 0.7
    assert shown == price(replace(market, instruments=instruments), row, "entry_price")


def test_a_run_shows_its_first_lines_and_says_that_there_are_more(market, tmp_path, capsys):
    settings = settings_of(signal__min_strength=5.0)
    with Screen(as_json=False, quiet=False, pause_s=1e9) as screen:
        run_simulation(data=market, settings=settings, logs_dir=tmp_path, watch=screen.watching(market))
    lines = [line for line in capsys.readouterr().err.splitlines() if "BTCUSDT" in line or "others" in line]
    assert (MOST_LINES + 1, "... the others stand in the log files") == (len(lines), lines[-1])


def test_a_run_that_goes_on_is_named_with_what_is_kept_of_it(capsys):
    going = Going(Path("logs/runs/a"), Told(META, "token", kept=True, finished=False, seq=7))
    Screen(as_json=False, quiet=False).announce_going_on(going)
    Screen(as_json=True, quiet=False).announce_going_on(going)
    said = "It goes on with logs/runs/a: BTCUSDT, ETHUSDT at 1m, begun 2024-01-01 00:00, 7 closes kept\n"
    assert said == capsys.readouterr().out


def test_as_json_nothing_else_is_printed(market, tmp_path, capsys):
    with Screen(as_json=True, quiet=False) as screen:
        screen.announce("a.csv", synthetic=False)
        screen.compiling(cold=True)
        run_simulation(data=market, settings=settings_of(), logs_dir=tmp_path, watch=screen.watching(market))
    assert ("", "") == capsys.readouterr()
