"""What goes wrong ends in one sentence (what was expected, what was seen, what to do) and in an exit code."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from backtest.sim_loop import run_simulation
from tests.boxes import PATIENCE_S
from tests.e2e.support import frame_of, write
from tests.places import ROOT
from utils.errors import ConfigError, DataError, StorageError

FULL = Path("/dev/full")
POSIX = pytest.mark.skipif(os.name != "posix", reason="Ctrl-C cannot be sent to a process here")
FILES = ("trades.csv", "signals.csv", "orders.csv", "fills.csv", "equity.csv", "run.json")
AS_USER = os.name != "posix" or os.geteuid() != 0


def contents(folder):
    """Every file below a folder, with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def told(ran, code, *words):
    """One line on standard error with these words, nothing on standard output but the first line, no traceback."""
    assert code == ran.code, ran
    assert ran.err.startswith("error: ")
    assert (1, False) == (ran.err.count("\n"), "Traceback" in ran.err)
    assert [] == [word for word in words if word not in ran.err], ran.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--timeframe", "7m"), ("--timeframe", "7m", "1m, 3m, 5m")),
        (("--initial-capital", "-5"), ("--initial-capital", "above 0", "-5")),
        (("--initial-capital", "nan"), ("--initial-capital", "nan")),
        (("--initial-capital", "much"), ("--initial-capital: expected a number, saw 'much'",)),
        (("--steps", "0"), ("--steps", "at least 1", "0")),
        (("--steps", "-3"), ("--steps", "at least 1", "-3")),
        (("--steps", "1.5"), ("--steps: expected a whole number, saw '1.5'",)),
        (("--seed", "-1"), ("--seed", "at least 0")),
        (("--symbol", "??"), ("symbol: expected an exchange id such as BTCUSDT", "'??'")),
        (("--symbol", "BTCUSDT,"), ("symbol: expected an exchange id",)),
        (("--step", "5"), ("unknown flag --step; did you mean --steps?",)),
        (("--log-dir", "x"), ("unknown flag --log-dir; did you mean --logs-dir?",)),
        (("--xyzzy",), ("unknown flag --xyzzy; --help lists the flags",)),
        (("--data",), ("--data: expected at least one argument", "--help")),
        (("--config", "absent.yaml"), ("absent.yaml: expected a file, seen none",)),
        (("--config", "."), ("expected a file, seen a directory",)),
        (("--data", "absent.parquet"), ("absent.parquet: expected a file, seen none",)),
        (("--data", "."), ("expected a file, seen a directory",)),
        (("--data", "x.parquet", "--slow"), ("--data: expected a file or the exchange, saw both", "leave --slow")),
        (("--data", "x.parquet", "--live"), ("--data: expected a file or the exchange, saw both",)),
        (("--data", "x.parquet", "--seed", "3"), ("--seed: it belongs to the mock market",)),
        (("--funding", "x.parquet"), ("--funding: it belongs to the candles of --data",)),
    ],
)
def test_a_wrong_flag_is_yours(cli, place, flags, words):
    told(cli(*flags), 2, *words)
    assert [] == list(place.iterdir())


@pytest.mark.parametrize("flags", [(), ("--json",), ("--quiet",)])
def test_a_mistake_leaves_standard_output_empty_for_programs(cli, flags):
    ran = cli("--data", "absent.parquet", *flags)
    assert (2, "") == (ran.code, ran.out)


def test_verbose_shows_where_it_went_wrong(cli):
    ran = cli("--data", "absent.parquet", "-v")
    assert (2, True) == (ran.code, "Traceback" in ran.err)
    assert ran.err.splitlines()[-1].startswith("error: absent.parquet: expected a file")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("BTCUSDT_1m.csv", b"", ("expected a table, seen an empty file",)),
        ("BTCUSDT_1m.parquet", b"", ("expected a table, seen an empty file",)),
        ("BTCUSDT_1m.parquet", b"PAR1 and no more", ("expected a Parquet file, seen a damaged one",)),
        ("BTCUSDT_1m.csv", b"timestamp,open,high,low,close,volume\n", ("expected a table with at least one row",)),
        ("BTCUSDT_1m.csv", b"timestamp,open,high,low,last,volume\n1,2,3,4,5,6\n", ("close", "last")),
        ("candles.csv", b"timestamp,open,high,low,close,volume\n1,2,2,2,2,6\n", ("expected a symbol", "--symbol")),
    ],
)
def test_a_wrong_file_is_yours(cli, place, name, content, words):
    (place / name).write_bytes(content)
    told(cli("--data", name), 2, name, *words)


@pytest.mark.parametrize(
    ("row", "column", "value", "words"),
    [
        (7, "high", 0.01, ("row 8", "high", "a price not below low")),
        (9, "volume", -1.0, ("row 10", "volume", "a volume of 0 or more")),
        (11, "close", float("nan"), ("row 12", "close")),
    ],
)
def test_a_wrong_row_is_named(cli, place, mock_frame, row, column, value, words):
    frame = mock_frame.drop(columns="taker_buy_volume")
    frame.loc[row, column] = value
    path = write(frame, place / "BTCUSDT_1m.parquet")
    told(cli("--data", path), 2, path.name, *words)


def test_rows_out_of_order_are_refused(cli, place, mock_frame):
    order = [*range(10), 11, 10, *range(12, len(mock_frame))]
    path = write(mock_frame.iloc[order], place / "BTCUSDT_1m.parquet")
    told(cli("--data", path), 2, path.name, "row 12", "timestamp", "sort the file by time")


def test_a_file_shorter_than_the_warm_up_is_refused(cli, place, mock_frame):
    path = write(mock_frame.iloc[:60], place / "BTCUSDT_1m.parquet")
    told(cli("--data", path), 2, path.name, "expected more than 60 bars (the warm-up)", "saw 60", "use a longer file")


def test_one_bar_more_than_the_warm_up_is_one_step(cli, place, mock_frame):
    path = write(mock_frame.iloc[:61], place / "BTCUSDT_1m.parquet")
    assert 1 == cli("--data", path, "--json").report["bars"]


def test_flags_that_contradict_the_file_are_refused(cli, mock_file):
    told(cli("--data", mock_file, "--symbol", "BTCUSDT"), 2, "symbol: expected SOLUSDT", "seen 'BTCUSDT'")
    told(cli("--data", mock_file, "--timeframe", "5m"), 2, "timeframe: expected 1m", "seen 5m")
    assert 0 == cli("--data", mock_file, "--symbol", "sol/usdt", "--timeframe", "1m", "--quiet").code


def test_files_that_do_not_fit_together_are_refused(cli, place, mock_file, mock_frame):
    other = write(mock_frame, place / "ETHUSDT_1m.parquet")
    slow = write(frame_of(200, "5m"), place / "XRPUSDT_5m.parquet")
    told(cli("--data", mock_file, "--data", mock_file), 2, "expected each symbol once", "SOLUSDT twice")
    told(cli("--data", mock_file, "--data", slow), 2, "expected one timeframe on one clock, saw 1m, 5m")
    told(
        cli("--data", mock_file, "--data", other, "--symbol", "SOLUSDT"), 2, "(SOLUSDT, ETHUSDT)", "leave --symbol out"
    )


def test_funding_of_a_symbol_that_is_not_simulated_is_refused(cli, place, mock_file, mock_frame):
    frame = pd.DataFrame({"timestamp": mock_frame["timestamp"].iloc[::480], "funding_rate": 1e-4})
    wrong, right = write(frame, place / "BTCUSDT_funding.parquet"), write(frame, place / "SOLUSDT_a.parquet")
    unnamed, other = write(frame, place / "rates.parquet"), write(mock_frame, place / "ETHUSDT_1m.parquet")
    several = ("--data", mock_file, "--data", other)
    told(cli("--data", mock_file, "--funding", wrong), 2, "expected a file of SOLUSDT", "BTCUSDT_funding.parquet")
    told(cli("--data", mock_file, "--funding", right, "--funding", right), 2, "expected one file for SOLUSDT")
    told(cli(*several, "--funding", unnamed), 2, "saw rates.parquet of unknown symbol", "SYMBOL_...")
    told(cli("--data", mock_file, "--funding", "absent.parquet"), 2, "absent.parquet: expected a file, seen none")
    assert 0 == cli("--data", mock_file, "--funding", unnamed, "--quiet").code


def test_an_unreadable_or_wrong_config_is_yours(cli, place):
    for text, words in (
        ("risk: {take_bps: [}", ("bad.yaml", "not valid YAML")),
        ("risk: {take_bp: 3}", ("unknown key risk.take_bp", "did you mean risk.take_bps?")),
        ("risk: {take_bps: -3}", ("risk.take_bps", "above 0", "-3", "bad.yaml line 1")),
    ):
        (place / "bad.yaml").write_text(text)
        told(cli("--config", "bad.yaml"), 2, *words)


@pytest.mark.skipif(not AS_USER, reason="the superuser may read every file")
def test_a_file_that_may_not_be_read_is_yours(cli, place):
    (place / "secret.yaml").touch(mode=0o000)
    told(cli("--config", "secret.yaml"), 2, "secret.yaml", "Permission denied")


@pytest.mark.parametrize("steps", [0, -3])
def test_steps_below_one_are_refused_in_python_too(mock_file, place, steps):
    with pytest.raises(ConfigError, match="steps: expected at least 1"):
        run_simulation(data=mock_file, steps=steps, logs_dir=place)


def test_logs_that_cannot_be_written_are_the_machines_fault(cli, place):
    (place / "taken").write_text("mine")
    for where in ("taken", "taken/below"):
        told(cli("--quiet", "--steps", 1, "--logs-dir", where), 1, where, "a file in its place", "--logs-dir")
    assert "mine" == (place / "taken").read_text()
    (place / "logs").write_text("mine too")
    told(cli("--quiet", "--steps", 1), 1, "logs: expected a directory that this user may write to")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="this machine has no read-only file system to try")
def test_a_read_only_logs_directory_is_the_machines_fault(cli):
    told(cli("--quiet", "--steps", 1, "--logs-dir", "/proc/self/logs"), 1, "/proc/self/logs", "pass --logs-dir")


@pytest.mark.skipif(not AS_USER, reason="the superuser may write everywhere")
def test_a_directory_without_permission_is_the_machines_fault(cli, place):
    (place / "shut").mkdir(mode=0o500)
    told(cli("--quiet", "--steps", 1, "--logs-dir", "shut"), 1, "shut", "Permission denied")


def limited(size):
    """Forbids files longer than `size` bytes, as a full disk does; runs in the child."""

    resource = pytest.importorskip("resource")

    def forbid():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return forbid


@pytest.mark.parametrize("size", [100, 5_000, 20_000])
def test_a_full_disk_keeps_older_logs_and_leaves_nothing_half_written(cli, place, size):
    assert 0 == cli("--quiet").code
    before = contents(place)
    ran = subprocess.run(
        [sys.executable, ROOT / "run_simulation.py", "--seed", "8"],
        cwd=place,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=limited(size),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (1, 0) == (ran.returncode, ran.stderr.count("Traceback")), ran.stderr
    assert ran.stderr.splitlines()[-1].startswith("error: logs: the disk is full, the logs of this run were not kept")
    assert before == contents(place)
    assert [] == list(place.rglob(".partial*"))


@pytest.mark.skipif(not FULL.exists(), reason="this machine has no device that is always full")
@pytest.mark.parametrize("flags", [(), ("--json",), ("--quiet",), ("--show-config",)])
def test_output_that_cannot_be_written_is_the_machines_fault(place, flags):
    with FULL.open("w") as full:
        ran = subprocess.run(
            [sys.executable, ROOT / "run_simulation.py", "--steps", "1", *flags],
            cwd=place,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (1, False) == (ran.returncode, "Traceback" in ran.stderr)
    assert "No space left on device" in ran.stderr.splitlines()[-1]


@POSIX
def test_ctrl_c_while_a_run_goes_on_ends_it_with_130(cli, place):
    assert 0 == cli("--quiet").code
    before = contents(place)
    with subprocess.Popen(
        [sys.executable, "-u", ROOT / "run_simulation.py", "--steps", "400000"],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout.readline().startswith("SYNTHETIC")
        time.sleep(1.0)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=PATIENCE_S)
    assert (130, "") == (child.returncode, out)
    assert "stopped by Ctrl-C; no file is half-written" == err.splitlines()[-1]
    assert "Traceback" not in err
    assert before == contents(place)


def test_ctrl_c_between_chunks_leaves_no_trace(mock_file, place):
    def stop(*_):
        assert [] != list(place.rglob(".partial*"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_simulation(data=mock_file, logs_dir=place / "logs", watch=stop)
    assert [] == list((place / "logs").iterdir())


def test_ctrl_c_before_the_program_is_loaded_is_130_too(place):
    shutil.copy(ROOT / "run_simulation.py", place)
    (place / "backtest" / "run").mkdir(parents=True)
    (place / "backtest" / "run" / "cli.py").write_text("raise KeyboardInterrupt")
    ran = subprocess.run([sys.executable, place / "run_simulation.py"], capture_output=True, check=False)
    assert (130, b"", b"") == (ran.returncode, ran.stdout, ran.stderr)


def test_a_failure_in_a_strategy_leaves_older_logs_alone(mock_file, place):
    run_simulation(data=mock_file, logs_dir=place)
    before = contents(place)

    def broken(_):
        raise ZeroDivisionError

    with pytest.raises(DataError, match="strategy: expected signal rows, saw ZeroDivisionError"):
        run_simulation(data=mock_file, logs_dir=place, strategy=broken)
    assert before == contents(place)


def test_a_bug_is_one_sentence_without_verbose(cli, place, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("boom")

    monkeypatch.setattr("backtest.run.simulation.conclude", broken)
    told(cli("--quiet", "--steps", 1), 1, "a bug of ours: RuntimeError: boom; run again with -v and report it")
    assert not (place / "logs" / "trades.csv").exists()


def test_storage_errors_say_so_before_the_run(mock_file, place):
    (place / "taken").touch()

    def never(*_):
        raise AssertionError

    with pytest.raises(StorageError):
        run_simulation(data=mock_file, logs_dir=place / "taken", watch=never)


def test_the_kept_run_of_a_failed_one_is_not_there(cli, place):
    assert 0 == cli("--quiet", "--steps", 40).code
    (kept,) = (place / "logs" / "runs").iterdir()
    assert set(FILES) == {path.name for path in kept.iterdir()}
    assert 1 == json.loads((kept / "run.json").read_text())["schema"]
