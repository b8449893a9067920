"""Logging: one event, two faces, the same name in both."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.places import ROOT
from utils.errors import StorageError
from utils.shell.log import OURS, Console, LogFile, event, event_text, setup_logging

LOG = logging.getLogger("backtest")


@pytest.fixture(autouse=True)
def _levels_and_handlers_are_put_back():
    loggers = [logging.getLogger(name) for name in (None, *OURS)]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    ROOT = logging.getLogger()
    for handler in [h for h in ROOT.handlers if isinstance(h, (Console, LogFile))]:
        ROOT.removeHandler(handler)
        handler.close()


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_console_line_has_utc_milliseconds_level_and_component(capsys):
    setup_logging(0)
    LOG.info("message")
    captured = capsys.readouterr()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO  backtest: message\n", captured.err)
    assert captured.out == ""


def test_the_stamp_is_exact(capsys):
    setup_logging(0)
    record = LOG.makeRecord("backtest", logging.WARNING, __file__, 1, "message", (), None)
    record.created = 1769233902.809
    LOG.handle(record)
    assert capsys.readouterr().err == "2026-01-24T05:51:42.809Z WARN  backtest: message\n"


def test_console_and_file_carry_the_same_event(capsys, tmp_path):
    setup_logging(0, log_file=tmp_path / "deep" / "run.jsonl")
    event(LOG, "gap_found", "bars are missing", symbol="BTCUSDT", bars=np.int64(3), share=0.5)
    assert capsys.readouterr().err.endswith("backtest: gap_found: bars are missing symbol=BTCUSDT bars=3 share=0.5\n")
    (row,) = rows(tmp_path / "deep" / "run.jsonl")
    assert {key: value for key, value in row.items() if key != "ts"} == {
        "level": "INFO",
        "logger": "backtest",
        "event": "gap_found",
        "text": "bars are missing",
        "symbol": "BTCUSDT",
        "bars": 3,
        "share": 0.5,
    }


def test_a_line_that_is_no_event_is_the_event_message(tmp_path):
    setup_logging(0, log_file=tmp_path / "run.jsonl")
    LOG.warning("%d of %d", 1, 2)
    (row,) = rows(tmp_path / "run.jsonl")
    assert (row["event"], row["text"], row["level"]) == ("message", "1 of 2", "WARNING")


def test_an_event_by_extra_keeps_its_sentence(tmp_path, capsys):
    setup_logging(0, log_file=tmp_path / "run.jsonl")
    LOG.info("three bars are missing", extra={"event": "gap_found"})
    (row,) = rows(tmp_path / "run.jsonl")
    assert (row["event"], row["text"]) == ("gap_found", "three bars are missing")
    assert capsys.readouterr().err.endswith("backtest: gap_found: three bars are missing\n")


def test_numbers_that_json_lacks_are_null_and_no_field_is_lost(tmp_path):
    setup_logging(0, log_file=tmp_path / "run.jsonl")
    event(LOG, "odd", nan=float("nan"), far=np.float64("inf"), path=Path("a"), event="x", logger="y", name="z")
    (row,) = rows(tmp_path / "run.jsonl")
    assert tuple(row[key] for key in ("nan", "far", "path", "event", "event_", "logger_", "name")) == (
        None,
        None,
        "a",
        "odd",
        "x",
        "y",
        "z",
    )


def test_an_event_is_one_line_whatever_its_values():
    assert event_text("odd", "", {"a": "x\ny", "b": "", "c": "k=v", "d": 1e-7}) == 'odd a="x\\ny" b="" c="k=v" d=1e-07'


def test_quiet_silences_the_console_below_warning_but_not_the_file(capsys, tmp_path):
    setup_logging(0, quiet=True, log_file=tmp_path / "run.jsonl")
    LOG.info("low")
    LOG.warning("high")
    assert [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines()] == ["high"]
    assert [row["text"] for row in rows(tmp_path / "run.jsonl")] == ["low", "high"]


@pytest.mark.parametrize(
    ("verbosity", "heard"),
    [(0, ["ours info", "theirs warning"]), (1, ["ours debug", "ours info", "theirs warning"])],
)
def test_verbosity_concerns_our_loggers_first(capsys, verbosity, heard):
    setup_logging(verbosity)
    LOG.debug("ours debug")
    LOG.info("ours info")
    logging.getLogger("someone.else").info("theirs info")
    logging.getLogger("someone.else").warning("theirs warning")
    assert heard == [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines()]


def test_verbosity_2_hears_everybody(capsys):
    setup_logging(2)
    logging.getLogger("someone.else").debug("theirs debug")
    assert "theirs debug" in capsys.readouterr().err


def test_a_second_call_replaces_the_first(capsys, tmp_path):
    setup_logging(0, log_file=tmp_path / "a.jsonl")
    setup_logging(0, log_file=tmp_path / "b.jsonl")
    LOG.info("once")
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert (rows(tmp_path / "a.jsonl"), len(rows(tmp_path / "b.jsonl"))) == ([], 1)


def test_an_exception_is_kept_whole(tmp_path, capsys):
    setup_logging(0, log_file=tmp_path / "run.jsonl")
    try:
        int("boom")
    except ValueError:
        LOG.exception("stopped")
    (row,) = rows(tmp_path / "run.jsonl")
    assert row["exception"].endswith("'boom'")
    assert capsys.readouterr().err.endswith("'boom'\n")


def test_a_log_file_that_cannot_be_written_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "run.jsonl"):
        with pytest.raises(StorageError, match="the log cannot be written") as caught:
            setup_logging(0, log_file=path)
        assert caught.value.exit_code == 1
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_under_the_log_file_is_one_sentence_and_exit_1(tmp_path):
    command = [sys.executable, str(ROOT / "run_simulation.py"), "--steps", "5", "--quiet"]
    places = ["--logs-dir", str(tmp_path / "logs"), "--log-file", "/dev/full"]
    run = subprocess.run([*command, *places], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("error: /dev/full: the log could not be written")
    assert "Traceback" not in run.stderr
