"""The command line, flag by flag, as a user meets it."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest

from backtest.sim_loop import run_simulation
from ingest.files.candles import load_candles
from ingest.synthetic import SyntheticFeed
from tests.e2e.support import frame_of, settings_of, write
from tests.places import ROOT
from utils import kpis
from utils.config import load_settings, show_config
from utils.errors import ConfigError
from utils.summary import SUMMARY_ROWS

FILES = ("trades.csv", "signals.csv", "orders.csv", "fills.csv", "equity.csv", "run.json")
PROMISED = (
    *("source", "symbol", "timeframe", "bars", "trades", "initial_capital", "final_equity", "net_pnl", "fees"),
    *("funding", "sharpe", "max_drawdown", "profit_factor", "win_rate", "break_even_win_rate", "decision_sha256"),
    *("elapsed_s", "logs"),
)


def process(*arguments: object, cwd=None, **more) -> subprocess.CompletedProcess[str]:
    """The program as a process of its own."""
    command = [sys.executable, str(ROOT / "run_simulation.py"), *map(str, arguments)]
    more = {"capture_output": True, "text": True, "timeout": 120} | more
    return subprocess.run(command, cwd=cwd, check=False, **more)


def test_the_first_line_says_that_the_market_is_a_mock(cli):
    ran = cli("--steps", 40)
    assert (0, "SYNTHETIC mock market (seed 7, large-tick)") == (ran.code, ran.out[:42])


def test_the_first_line_names_the_recorded_file(cli, mock_file):
    assert f"Recorded candles: {mock_file.name}" == cli("--data", mock_file).out.splitlines()[0]


def test_in_full_the_summary_names_every_metric_and_table(cli, place):
    ran = cli("--logs-dir", "here", "--full")
    titles = ("ASSUMPTIONS", "SUMMARY METRICS", "EXIT REASONS", "FUNNEL", "BREAK-EVEN take")
    missing = [name for name in (*SUMMARY_ROWS, *titles) if name not in ran.out]
    assert [] == missing
    sha = json.loads((place / "here" / "run.json").read_text())["decision_sha256"]
    assert [
        f"Decision-log sha256  {sha}",
        "Logs  here/trades.csv, signals.csv, orders.csv, fills.csv, equity.csv, run.json",
    ] == (ran.out.splitlines()[-2:])


def test_signals_and_trades_are_shown_as_they_happen_and_not_without_end(cli):
    lines = cli().err.splitlines()
    assert 13 == len(lines)
    assert "... the others stand in the log files" == lines[-1]
    assert any("signal of strength" in line for line in lines)
    assert any("STOP_LOSS" in line for line in lines)
    assert sorted(line[:16] for line in lines[:-1]) == [line[:16] for line in lines[:-1]]


def test_json_is_one_object_and_nothing_else(cli):
    ran = cli("--json")
    assert (0, "", 1) == (ran.code, ran.err, ran.out.count("\n"))
    assert set() == set(PROMISED) - ran.report.keys()


def test_json_without_a_trade_holds_null_and_never_nan(cli):
    report = cli("--json", "--steps", 1).report
    assert (0, None, None) == (report["trades"], report["win_rate"], report["profit_factor"])


def test_a_run_knows_its_seed_and_the_line_that_was_typed(cli, place, mock_file):
    cli("--quiet", "--steps", 40, "--seed", 11, "--logs-dir", "a b")
    run = json.loads((place / "a b" / "run.json").read_text())
    assert (11, "python run_simulation.py --quiet --steps 40 --seed 11 --logs-dir 'a b'") == (
        run["seed"],
        run["command"],
    )
    cli("--quiet", "--data", mock_file, "--steps", 40, "--logs-dir", "c")
    run = json.loads((place / "c" / "run.json").read_text())
    assert (None, True) == (run["seed"], run["command"].startswith("python run_simulation.py --quiet --data "))


def test_a_run_by_code_has_no_line(place, mock_file):
    run_simulation(data=mock_file, steps=40, logs_dir="d", settings=settings_of())
    assert json.loads((place / "d" / "run.json").read_text())["command"] is None


@pytest.mark.parametrize("flags", [(), ("--full",), ("--show-config",), ("--quiet",)], ids=" ".join)
def test_a_percentage_is_written_one_way(cli, flags):
    ran = cli(*flags)
    assert [] == re.findall(r"\S*\d%\S*", ran.out + ran.err)


def test_the_default_market_looks_like_bitcoin(cli, place):
    cli("--quiet", "--logs-dir", "out")
    prices = pd.read_csv(place / "out" / "trades.csv")["entry_price"]
    assert prices.between(50_000, 70_000).all()


def test_quiet_is_one_line(cli):
    ran = cli("--quiet")
    assert (0, 1, "") == (ran.code, ran.out.count("\n"), ran.err)
    assert re.match(
        r"synthetic BTCUSDT 5m: \d+ trades on 500 bars, net [+-][\d.]+, equity [\d.]+, decisions \w{12}", ran.out
    )


def test_json_with_quiet_is_json(cli):
    assert 500 == cli("--json", "--quiet").report["bars"]


def test_verbose_adds_log_lines(cli):
    assert "run_started" not in cli("--steps", 1).err
    assert " backtest: run_started: source=synthetic " in cli("--steps", 1, "-v").err.replace(
        "run_started ", "run_started: "
    )


def test_version_is_that_of_the_project(cli):
    assert (0, f"hybrid-scalper {load_version()}\n", "") == cli("--version")


def load_version() -> str:
    return re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]


def test_show_config_prints_every_setting_with_unit_range_and_source(cli):
    shown = cli("--show-config", "--seed", 5).out
    assert [] == [row.key for row in show_config(load_settings()) if row.key not in shown]
    line = next(line for line in shown.splitlines() if line.startswith("simulation.seed "))
    assert ["simulation.seed", "5", "none", "at least 0 and at most 4294967295", "--seed"] == re.split(
        r"\s{2,}", line.strip()
    )


def test_show_config_as_json_is_one_object_by_key(cli):
    shown = cli("--show-config", "--json", "--initial-capital", 5).report
    assert {"value": 5.0, "unit": "quote", "source": "--initial-capital"} == {
        name: value for name, value in shown["simulation.initial_capital"].items() if name != "range"
    }


def test_settings_rank_flag_environment_dotenv_yaml_default(cli, place, monkeypatch):
    config = place / "mine.yaml"

    def seed(*flags: object) -> tuple[object, str]:
        row = cli("--show-config", "--json", "--config", config, *flags).report["simulation.seed"]
        return row["value"], row["source"]

    config.write_text("risk: {take_bps: 30}\n")
    assert (7, "default") == seed()
    config.write_text("simulation: {seed: 1}\n")
    assert (1, "mine.yaml:1") == seed()
    (place / ".env").write_text("SCALPER__SIMULATION__SEED=2\n")
    assert (2, ".env") == seed()
    monkeypatch.setenv("SCALPER__SIMULATION__SEED", "3")
    assert (3, "environment SCALPER__SIMULATION__SEED") == seed()
    assert (4, "--seed") == seed("--seed", 4)


def test_logs_dir_is_written_straight(cli, place):
    logs = cli("--json", "--steps", 40, "--logs-dir", "out").report["logs"]
    assert sorted(FILES) == sorted(path.name for path in (place / "out").iterdir())
    assert {f"out{os.sep}{name}" for name in FILES} == set(logs.values())


def test_a_run_is_kept_under_its_name_and_copied_to_logs(cli, place):
    report = cli("--json", "--steps", 40).report
    (kept,) = (place / "logs" / "runs").iterdir()
    assert str(kept.relative_to(place)) == report["logs"]["kept"]
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", kept.name)
    assert sorted([*FILES, "runs"]) == sorted(path.name for path in (place / "logs").iterdir())
    for name in FILES:
        assert (place / "logs" / name).read_bytes() == (kept / name).read_bytes()


def test_runs_in_one_second_do_not_collide_and_older_ones_stay(cli, place):
    first = cli("--json", "--steps", 40).report["logs"]["kept"]
    before = {name: (place / first / name).read_bytes() for name in FILES}
    others = [cli("--json", "--steps", 40).report["logs"]["kept"] for _ in range(3)]
    assert 4 == len({first, *others}) == len(list((place / "logs" / "runs").iterdir()))
    assert before == {name: (place / first / name).read_bytes() for name in FILES}


def test_hyphens_and_underscores_are_one_spelling(cli, place):
    assert 0 == cli("--quiet", "--steps", 1, "--initial_capital=5000", "--logs_dir", "a_b").code
    assert 5000.0 == json.loads((place / "a_b" / "run.json").read_text())["initial_capital"]


def test_flags_reach_the_run(cli):
    report = cli("--json", "--symbol", "eth/usdt", "--timeframe", "1m", "--steps", 100, "--initial-capital", 777).report
    told = [report[name] for name in ("source", "symbol", "timeframe", "bars", "initial_capital")]
    assert ["synthetic", "ETHUSDT", "1m", 100, 777.0] == told


def test_a_seed_is_a_market(cli):
    def sha(*flags: object) -> str:
        return cli("--json", *flags).report["decision_sha256"]

    assert sha() == sha("--seed", 7) != sha("--seed", 8)


def test_several_symbols_of_the_mock_market_run_on_one_clock(cli, place):
    report = cli("--json", "--symbol", "ETHUSDT,BTCUSDT", "--logs-dir", "out").report
    assert ("BTCUSDT,ETHUSDT", 1000) == (report["symbol"], report["bars"])
    assert {"BTCUSDT", "ETHUSDT"} == set(pd.read_csv(place / "out" / "trades.csv").symbol)


def test_steps_of_a_file_are_its_last_bars(cli, mock_file, place):
    assert 300 == cli("--json", "--data", mock_file, "--steps", 300, "--logs-dir", "out").report["bars"]
    run = json.loads((place / "out" / "run.json").read_text())
    first = pd.Timestamp(run["data"][0]["last_close"]) - pd.Timedelta(minutes=299)
    assert first == pd.Timestamp(run["kpis"]["Backtesting from"])


def test_more_steps_than_bars_use_them_all_and_say_so(cli, mock_file):
    ran = cli("--data", mock_file, "--steps", 1_000_000)
    assert 0 == ran.code
    assert f"! {mock_file.name}: 1000000 steps were asked for, and 1940 bars come after the 60" in ran.out


def test_a_log_file_holds_json_lines_of_what_happened(cli, place):
    assert 0 == cli("--quiet", "--steps", 40, "--log-file", "notes/events.jsonl").code
    lines = [json.loads(line) for line in (place / "notes" / "events.jsonl").read_text().splitlines()]
    assert ["run_started", "run_finished"] == [line["event"] for line in lines]


def test_the_funding_of_a_named_file_is_paid(cli, mock_file, mock_frame, place):
    opens = mock_frame["timestamp"].iloc[::30]
    write(pd.DataFrame({"timestamp": opens, "funding_rate": 1e-3}), place / "SOLUSDT_funding.parquet")
    flags = ("--json", "--data", mock_file, "--logs-dir", "out")
    assert 0.0 == cli(*flags).report["funding"]
    report = cli(*flags, "--funding", "SOLUSDT_funding.parquet").report
    assert report["funding"] == pd.read_csv(place / "out" / "trades.csv").funding.sum() != 0.0


def test_the_simulation_module_takes_a_file(cli, mock_file):
    assert mock_file.name == cli("--json", "--data", mock_file, real=True).report["source"]


def test_every_form_of_data_gives_the_same_trades(place, mock_file, mock_frame):
    forms = {
        "path": {"data": str(mock_file)},
        "paths": {"data": [mock_file]},
        "candles": {"data": load_candles(mock_file)},
        "frame": {"data": mock_frame, "symbol": "SOLUSDT"},
        "csv": {"data": write(mock_frame, place / "SOLUSDT-1m.csv")},
    }
    settings = settings_of(instruments__default__default__tick=0.0001, instruments__binance_usdm__default__tick=0.0001)
    money = {
        name: tuple(run_simulation(settings=settings, logs_dir=place / name, **form).trades["net_pnl"])
        for name, form in forms.items()
    }
    assert 1 == len(set(money.values()))
    assert len(money["path"]) > 30


def test_a_result_holds_its_tables_as_frames(place, mock_file):
    result = run_simulation(data=mock_file, logs_dir=place)
    for name in ("trades", "signals", "orders", "equity"):
        table = getattr(result, name)
        assert list(pd.read_csv(place / f"{name}.csv").columns) == list(table.columns)
        assert len(pd.read_csv(place / f"{name}.csv")) == len(table) > 0
    assert "datetime64[ns, UTC]" == str(result.trades["exit_time"].dtype)
    assert result.kpis["final_equity"] == result.equity["equity"].iloc[-1]


def test_candles_that_contradict_the_arguments_are_refused():
    candles = SyntheticFeed("BTCUSDT", "5m", 1, "large-tick").candles(100)
    with pytest.raises(ConfigError, match="symbol: expected BTCUSDT"):
        run_simulation("ETHUSDT", data=candles)
    with pytest.raises(ConfigError, match="timeframe: expected 5m"):
        run_simulation(tf="1m", data=candles)


def test_summary_json_and_kpi_functions_give_one_number(cli, mock_file, place):
    report = cli("--json", "--data", mock_file, "--logs-dir", "out").report
    shown = json.loads((place / "out" / "run.json").read_text())["kpis"]
    trades = str(place / "out" / "trades.csv")
    functions = {
        "sharpe": (kpis.sharpe_ratio, "Sharpe"),
        "profit_factor": (kpis.profit_factor, "Profit factor"),
        "win_rate": (kpis.win_rate, "Win rate"),
        "fill_rate": (kpis.fill_rate, "Fill rate"),
        "fees": (kpis.fees_paid, "Fees paid"),
        "funding": (kpis.funding_paid, "Funding paid"),
        "net_pnl": (kpis.net_profit, "Absolute profit"),
        "final_equity": (kpis.final_balance, "Final balance"),
        "trades": (kpis.trade_count, None),
    }
    for name, (function, row) in functions.items():
        assert report[name] == function(trades), name
        assert row is None or report[name] == shown[row], name
    assert report["max_drawdown"] == kpis.max_drawdown(trades)
    assert -100 * report["max_drawdown"] == shown["Max % of account underwater"]


def test_a_terminal_shows_a_live_bar_with_rate_and_time_to_go(place):
    pty = pytest.importorskip("pty")
    lead, follow = pty.openpty()
    subprocess.run(["stty", "cols", "100", "rows", "40"], stdin=follow, check=True)
    shown = []

    def read() -> None:
        # Linux says by an error that the other end is closed
        with contextlib.suppress(OSError):
            while part := os.read(lead, 65_536):
                shown.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    ran = process("--steps", 3000, cwd=place, capture_output=False, stdout=subprocess.PIPE, stderr=follow)
    os.close(follow)
    reader.join(timeout=60)
    os.close(lead)
    assert 0 == ran.returncode
    for words in (rb"making the market", rb"3060/3060", rb"bars/s", rb"\d:\d\d:\d\d", rb"simulating"):
        assert re.search(words, b"".join(shown)), words


def test_no_terminal_means_no_bar_and_no_colours(place):
    ran = process("--steps", 40, cwd=place)
    assert (0, False, False) == (ran.returncode, "\x1b" in ran.stdout + ran.stderr, "simulating" in ran.stderr)


def test_a_reader_that_leaves_early_is_no_error(place):
    with subprocess.Popen(
        [sys.executable, ROOT / "run_simulation.py"], cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout.readline().startswith(b"SYNTHETIC")
        child.stdout.close()
        said = child.stderr.read().decode()
    assert (0, False) == (child.returncode, "Error" in said or "Traceback" in said)


def test_help_names_every_flag(capsys, cli):
    with pytest.raises(SystemExit) as ended:
        cli("--help")
    assert 0 == ended.value.code
    said = capsys.readouterr().out
    flags = "symbol timeframe steps data funding slow live seed initial-capital config logs-dir log-file json quiet"
    assert [] == [flag for flag in f"{flags} show-config version".split() if f"--{flag}" not in said]


def test_a_frame_of_another_length_of_bar_runs_too(place):
    result = run_simulation("BTCUSDT", data=frame_of(400, "15m"), logs_dir=place)
    assert ("15m", 340) == (result.report["timeframe"], result.report["bars"])
    assert np.isfinite(result.report["final_equity"])


@pytest.mark.parametrize(("told", "meant"), [("1D", "1d"), ("1H", "1h"), ("5m", "5m")])
def test_a_timeframe_may_be_written_as_other_programs_do(cli, told, meant):
    run = cli("--show-config", "--json", "--tf", told)
    assert (0, meant) == (run.code, json.loads(run.out)["market.timeframe"]["value"])
