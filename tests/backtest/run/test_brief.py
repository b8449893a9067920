"""The summary on one screen: what stands there, how wide it is, and that nothing is cut."""

import io
import re
from dataclasses import replace
from types import MappingProxyType

import pytest
from rich.console import Console

from backtest.data.market import synthetic_market
from backtest.run.brief import SCREEN, Brief, brief, money_lines, warning_lines
from backtest.run.verdict import Step, verdict
from backtest.sim_loop import run_simulation
from tests.e2e.support import settings_of
from tests.places import ROOT

SYMBOLS = "BTCUSDT,ETHUSDT,SOLUSDT,XRPUSDT,DOGEUSDT"
WIDTHS = [40, 50, 60, 80, 100]


def ran(folder, symbols="BTCUSDT", steps=500, **flags):
    settings = settings_of(**flags)
    return run_simulation(data=synthetic_market(settings, symbols, "5m", steps), settings=settings, logs_dir=folder)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return ran(tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="module")
def kinds(result, tmp_path_factory):
    """Runs of every kind: usual, none, one and few trades, refusals only, many symbols, recorded over many days."""
    folder = tmp_path_factory.mktemp("kinds")
    known = {
        "Sharpe days": 287, "Sharpe": -16.41, "Sharpe 95 % from": -19.02, "Sharpe 95 % to": -13.77,
        "Profit factor": float("inf"),
    }  # fmt: skip
    files = replace(result.market, sources=("BTCUSDT_20250119_20251031.parquet",))
    return {
        "usual": result,
        "none": ran(folder, steps=3),
        "few": ran(folder, steps=50),
        "refusals": ran(folder, risk__max_leverage=0.0001, instruments__default__default__min_notional=1_000.0),
        "many": ran(folder, symbols=SYMBOLS, steps=200),
        "recorded": replace(result, market=files, metrics={**result.metrics, **known}),
    }


def text(result, width, *, drawn=False):
    return [line.plain for line in brief(result, width, drawn=drawn)]


def test_the_verdict_comes_first_under_what_was_run(result):
    lines = text(result, 100)
    assert "BTCUSDT 5m | SYNTHETIC, seed 7 | 2024-01-01 to 2024-01-02 | fills: pessimistic bars" == lines[0]
    assert verdict(result) == lines[1]


@pytest.mark.parametrize("kind", ["usual", "none", "few", "refusals", "many", "recorded"])
def test_it_is_one_screen(kinds, kind):
    assert len(text(kinds[kind], 100)) <= SCREEN


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", ["usual", "none", "few", "refusals", "many", "recorded"])
def test_no_line_is_wider_than_the_terminal_but_for_a_path(kinds, kind, width):
    wide = [line for line in text(kinds[kind], width) if len(line) > width]
    assert [] == [line for line in wide if len(line.split()) > 1 and "/" not in line]


@pytest.mark.parametrize("drawn", [True, False])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", ["usual", "none", "few", "refusals", "many", "recorded"])
def test_every_word_and_figure_is_there_at_every_width(kinds, kind, width, drawn):
    def said(columns):
        lines = [line.rstrip("█#") for line in text(kinds[kind], columns, drawn=drawn)]
        return sorted(word for word in " ".join(lines).split() if word != "!" and not set(word) <= set("█#·|"))

    assert said(100) == said(width)
    assert not [word for word in said(width) if "…" in word or "..." in word]


def test_the_lines_of_a_long_recorded_run(kinds):
    lines = text(kinds["recorded"], 100)
    assert (
        "BTCUSDT 5m | BTCUSDT_20250119_20251031.parquet | 2024-01-01 to 2024-01-02 | fills: pessimistic bars"
        == lines[0]
    )
    assert any("Sharpe, yearly  -16.4  (-19.0 to -13.8)" in line for line in lines)
    assert any(line.startswith("profit factor   no loss") for line in lines)
    assert not any("SYNTHETIC" in line or "synthetic" in line for line in lines)


def test_of_many_symbols_the_first_are_named_and_all_are_counted(kinds):
    assert text(kinds["many"], 100)[0].startswith("BTCUSDT, DOGEUSDT, ETHUSDT and 2 more 5m | SYNTHETIC, seed 7 | ")


def test_a_run_without_trades_has_no_money_to_show_and_says_where_it_stopped(kinds):
    lines = text(kinds["none"], 100)
    assert "This run made no trade. 0 signals on 3 bars; most bars stopped at strength." == lines[1]
    assert not any(line.startswith(("where the money went", "exits")) for line in lines)
    assert any(line.startswith("why not more trades    strength 100 % of bars") for line in lines)


def test_few_trades_have_no_interval_of_their_mean(kinds):
    few = kinds["few"]
    assert 0 < few.report["trades"] < 10
    assert any(re.search(r"net per trade   -?[\d.]+ bps$", line) for line in text(few, 100))


def test_bars_are_as_long_as_the_money_is_much():
    money = [Step("price moves", 500.0), Step("fees", -1_000.0), Step("funding", 0.0)]
    lines = [line.plain for line in money_lines(money, 100, "#")]
    assert [12, 24, 0] == [line.count("#") for line in lines]
    assert ["500", "-1,000", "0"] == [re.search(r"-?[\d,]+(?= *#*$)", line)[0] for line in lines]


def test_a_step_says_its_share_of_what_was_traded_where_it_has_one():
    money = [Step("price moves", 500.0, 1.25), Step("fees", -1_000.0, -2.5), Step("still open", 20.0)]
    assert [["1.25", "bps"], ["-2.50", "bps"], ["open", "20"]] == [
        line.plain.rstrip("# ").split()[-2:] for line in money_lines(money, 80, "#")
    ]


def test_little_money_has_cents_and_a_narrow_terminal_no_bars():
    money = [Step("price moves", 0.5), Step("fees", -1.25)]
    assert ["0.50", "-1.25"] == [line.plain.split()[-1] for line in money_lines(money, 24, "#")[1:]]


def test_warnings_beyond_the_screen_are_counted_and_the_first_are_shown_whole():
    said = [f"warning {k}" for k in range(20)]
    lines = [line.plain for line in warning_lines(said, 100, 6)]
    assert [*(f"! warning {k}" for k in range(5)), "! and 15 more warnings: --full"] == lines
    assert ["! warning 0", "! warning 1", "! warning 2", "! and 17 more warnings: --full"] == [
        line.plain for line in warning_lines(said, 100, 0)
    ]
    assert [] == warning_lines([], 100, 6)


def test_there_is_room_for_all_warnings_where_they_are_few(result):
    assert not any("more warning" in line for line in text(result, 100))


@pytest.mark.parametrize(("terminal", "brick"), [(True, "█"), (False, "#")])
def test_what_is_drawn_hangs_on_the_terminal(result, terminal, brick):
    file = io.StringIO()
    environment = MappingProxyType({"TERM": "xterm-256color"})
    Console(file=file, force_terminal=terminal, width=100, _environ=environment).print(Brief(result))
    assert brick in file.getvalue()
    assert ("#" if terminal else "█") not in file.getvalue()


def test_every_label_of_the_summary_is_explained_line_by_line(kinds):
    page = (ROOT / "docs" / "first-run.md").read_text(encoding="utf-8")
    labels = {
        *("net result", "trades", "profit factor", "drawdown", "net per trade", "win rate", "needed", "Sharpe, yearly"),
        *(
            "time in market",
            "where the money went",
            "price moves",
            "spread",
            "slippage",
            "fees",
            "funding",
            "still open",
        ),
        *("why not more trades", "exits", "assumptions", "decisions", "files", "kept", "too few days", "fills", "!"),
    }
    assert set() == {label for label in labels if f"`{label}`" not in page}
    shown = "\n".join(line for one in kinds.values() for line in text(one, 100))
    told = {re.split(r"\s{2,}|: ", line.strip())[0] for line in shown.splitlines() if line.strip()}
    bare = {label for label in told if re.fullmatch(r"[a-z][a-z, ]+", label)} - {"each line explained"}
    assert {"net result", "exits", "files"} <= bare
    assert set() == {label for label in bare if label not in page}
