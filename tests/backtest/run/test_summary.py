"""The summary: complete, aligned, as wide as the terminal, and honest about what is bad."""

import dataclasses
import io
import json
import re
import runpy

import pytest
from rich.console import Console

from backtest.data.market import build_market, synthetic_market
from backtest.run.brief import brief
from backtest.run.screen import Screen
from backtest.run.summary import COLUMNS, RATIOS, Metrics, last_words, number, one_line, summary, warnings
from backtest.sim_loop import run_simulation
from ingest.files.candles import load_candles
from tests.e2e.support import frame_of, settings_of
from tests.places import ROOT
from utils.figures.shown import percent, plain
from utils.kpis import Log
from utils.summary import SECTIONS, SUMMARY_ROWS, exit_reasons


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    market = synthetic_market(settings_of(), "BTCUSDT", "5m", 500)
    return run_simulation(data=market, settings=settings_of(), logs_dir=tmp_path_factory.mktemp("logs"))


def printed(result, width):
    file = io.StringIO()
    Console(file=file, width=width, markup=False).print(summary(result))
    return file.getvalue()


def test_every_section_but_the_record_has_one_place():
    placed = [section for column in COLUMNS for section in column]
    assert sorted(placed) == sorted(set(SECTIONS) - {"Record"})


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(result, width):
    text = printed(result, width)
    assert width >= max(len(line) for line in text.splitlines())
    assert [] == [name for name in list(SUMMARY_ROWS)[:-1] if not re.search(rf"{re.escape(name)} +[-\w]", text)]


def test_a_wide_terminal_needs_fewer_lines(result):
    lines = {width: printed(result, width).count("\n") for width in (60, 80, 100)}
    assert lines[100] < lines[80] < lines[60]
    assert lines[100] <= 95


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_where_the_money_went_ends_with_the_net(result, width):
    lines = printed(result, width).splitlines()
    first = lines.index("WHERE THE MONEY WENT") + 1
    rows = [re.match(r"(\D+?) +(-?[\d,]+) +(-?[\d.]+) bps( #+)?$", line.rstrip()) for line in lines[first : first + 7]]
    names = ["price moves", "spread", "slippage", "maker fees", "taker fees", "funding", "net"]
    assert names == [row[1] for row in rows if row]
    *parts, net = [float(row[3]) for row in rows if row]
    assert sum(parts) == pytest.approx(net, abs=0.05)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Win rate", 0.2889, "28.89 %"),
        ("Maker %", 64.957, "64.96 %"),
        ("Market change", -2.5, "-2.50 %"),
        ("Sharpe", float("nan"), "-"),
        ("PBO", None, "-"),
        ("Backtesting from", "2024-01-01T05:05:00.000Z", "2024-01-01 05:05"),
        ("Bars", 132420, "132,420"),
        ("Fees paid", 1234.5, "1,234.50"),
        ("Long / Short", "30 / 15", "30 / 15"),
    ],
)
def test_numbers_are_shown_in_their_unit(name, value, shown):
    assert shown == number(name, value)


@pytest.mark.parametrize("width", [40, 76, 100])
def test_a_long_name_is_never_parted_from_its_figure_and_unit(result, width):
    symbol = "AVERYLONGNAMEOFACOINTHATNOBODYHASUSDT"
    file = io.StringIO()
    Console(file=file, width=width).print(Metrics({**result.metrics, "Best Pair": f"{symbol} 30.10 %"}))
    lines = file.getvalue().splitlines()
    assert any("30.10 %" in line for line in lines)
    assert all(len(line) <= width for line in lines)


def test_costs_that_no_win_rate_pays_are_said_to_be_that(result):
    dear = dataclasses.replace(result, report={**result.report, "break_even_win_rate": 1.959})
    assert "no win rate pays these costs: more trades will not help" in warnings(dear)
    assert any("needed none pays" in line.plain for line in brief(dear, 80, drawn=False))


def test_what_matters_most_is_said_first(result):
    said = warnings(result)
    assert result.report["net_pnl"] < 0 < result.report["win_rate"] < result.report["break_even_win_rate"]
    had, trades = percent(result.report["win_rate"]), result.report["trades"]
    needed = percent(result.report["break_even_win_rate"])
    assert [
        "synthetic data: profit or loss here proves nothing about real markets",
        f"the win rate, {had}, is below the {needed} that barriers and costs need: more trades will not help",
        f"{trades} trades in 2 days prove little: rates are noisy under 100 trades, ratios under 30 days",
    ] == said


@pytest.mark.parametrize("width", [40, 60])
def test_in_a_narrow_terminal_columns_go_and_no_figure_is_cut(result, width):
    text = printed(result, width)
    assert "…" not in text
    for row in (
        result.report["win_rate"],
        *(row["win_rate"] for row in result.report["break_even"]),
    ):
        assert percent(row) in text
    for row in exit_reasons(Log(dict(result.tables["trades"]), None, None, 10_000.0)):
        assert re.search(rf"{row.reason} +{row.exits} .*{re.escape(plain(row.net_pnl))}", text)


def test_ratios_of_few_days_are_called_that_and_stay_numbers_in_the_log(result):
    shown = {
        name: re.search(rf"^{re.escape(name)} +(.*?)(  |$)", printed(result, 60), re.MULTILINE)[1] for name in RATIOS
    }
    assert {"too few days"} == set(shown.values())
    assert all(isinstance(result.metrics[name], float) for name in RATIOS)


def test_gaps_are_said(tmp_path):
    frame = frame_of(300).drop(index=range(150, 160))
    market = build_market([load_candles(frame, symbol="MOCKUSDT")], settings_of())
    result = run_simulation(data=market, settings=settings_of(), logs_dir=tmp_path)
    assert any(text.startswith("bars missing from the data: 10; trades that cross a gap") for text in warnings(result))


def test_what_is_doubtful_about_the_data_is_said_and_recorded(tmp_path):
    frame = frame_of(300).assign(volume=0.0, taker_buy_volume=0.0)
    result = run_simulation(data=frame, symbol="MOCKUSDT", settings=settings_of(), logs_dir=tmp_path)
    doubt = "MOCKUSDT: no bar has any volume: nothing traded, so no order can fill"
    assert [doubt] == result.report["data_warnings"]
    assert doubt in warnings(result)
    assert [doubt] == json.loads((tmp_path / "run.json").read_text())["data_warnings"]


def test_a_run_without_trades_says_how_far_it_came(tmp_path):
    market = synthetic_market(settings_of(), "BTCUSDT", "5m", 3)
    result = run_simulation(data=market, settings=settings_of(), logs_dir=tmp_path)
    assert "This run made no trade. 0 signals on 3 bars; most bars stopped at strength." in printed(result, 100)
    assert "this run had" in printed(result, 100)


def test_the_last_words_are_balance_hash_and_paths(result):
    balance, sha, logs = (line.plain for line in last_words(result))
    assert re.fullmatch(r"Final balance  [\d,.]+  [-+][\d,.]+, -?[\d.]+ %  \d+ trades, [\d.]+ s", balance)
    assert f"Decision-log sha256  {result.report['decision_sha256']}" == sha
    assert logs == f"Logs  {result.report['logs']['trades']}, signals.csv, orders.csv, fills.csv, equity.csv, run.json"


def test_one_line_is_one_line(result):
    assert "\n" not in one_line(result)


def test_names_in_brackets_are_names_and_no_markup(capsys):
    Screen(as_json=False, quiet=False).announce("[bold]USDT_1m.csv", synthetic=False)
    assert "Recorded candles: [bold]USDT_1m.csv\n" == capsys.readouterr().out


@pytest.mark.parametrize("mode", ["as_json", "quiet"])
def test_programs_are_not_told_of_progress(capsys, mode):
    screen = Screen(**{"as_json": False, "quiet": False, mode: True}, pause_s=0.0)
    with screen:
        screen.announce("x", synthetic=True)
        for done in range(100):
            screen.making(done, 100)
    assert ("", "") == capsys.readouterr()


def test_the_picture_is_the_same_each_time_and_names_no_machine(tmp_path):
    picture = runpy.run_path(str(ROOT / "scripts" / "picture.py"))
    first, second = (picture["draw"](picture["run"]()) for _ in range(2))
    assert first == second
    assert first.startswith("<svg ")
    assert [] == [word for word in ("cdnjs", "@font-face", str(tmp_path.parent), str(ROOT)) if word in first]
