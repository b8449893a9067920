"""Replications as they are asked for: the mock market, whose truth is known, and the command line."""

import json
import math
import os
import subprocess
import sys

import pytest

from backtest.replicate import main
from backtest.replication.data import mock_sample
from backtest.replication.studies import (
    CLAIMS,
    HOLDS,
    UNMEASURED,
    measure,
)
from tests.ingest.tapes.test_check import tape
from tests.ingest.tapes.test_play import bybit_book, diff, enveloped
from tests.places import RECORDINGS, ROOT

SMALL = RECORDINGS / "bybit_v5" / "linear_BTC_ETH_SOL_DOGE_20260809T2127_42s.jsonl.zst"
SHORT = RECORDINGS / "binance_usdm" / "SUSHI_AKRO_KEEP_CTK_20210722T2225_30s.jsonl.zst"


def deaf(_):
    """Nobody wants to know how far we are."""


def named(one):
    return {finding.name: finding for finding in one.findings}


# --- the mock market, whose truth is known


@pytest.fixture(scope="module")
def usual():
    return measure(mock_sample(7, 0.6, deaf))


#: Stylised facts that the mock market was built to show; wide, as half an hour is short.
BANDS = {
    "OFI R2, 1 s": (0.1, 0.35),
    "OFI R2, 10 s": (0.4, 0.7),
    "first component's share of variance": (0.5, 0.95),
    "AUC of imbalance": (0.6, 0.78),
    "share of up moves": (0.4, 0.6),
    "autocorrelation of signs, lag 1": (0.12, 0.6),
    "gamma of signs": (0.2, 0.9),
    "slope of ln beta on ln depth": (-1.8, -0.2),
    "effective spread, bps, offset 0 ms": (2.0, 4.0),
}


@pytest.mark.parametrize("name", BANDS)
def test_the_mock_market_shows_its_stylised_fact(usual, name):
    low, high = BANDS[name]
    assert low < named(usual)[name].estimate.value < high


@pytest.mark.parametrize(
    "name",
    [
        "OFI less TFI R2, 10 s",
        "OFI less TFI R2, 1 s",
        "AUC of imbalance",
        "MSE of micro-price / weighted mid, 1 s",
        "autocorrelation of signs, lag 1",
    ],
)
def test_what_the_mock_market_was_built_to_show_is_found_to_hold(usual, name):
    assert HOLDS == named(usual)[name].verdict


def test_an_estimate_lies_in_its_interval(usual):
    for finding in usual.findings:
        one = finding.estimate
        assert math.isnan(one.low) or one.low <= one.value <= one.high, finding.name


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 3])
def test_stylised_facts_hold_over_hours(seed):
    found = named(measure(mock_sample(seed, 6.0, deaf)))
    bands = BANDS | {"OFI R2, 10 s": (0.4, 0.65), "AUC of imbalance": (0.6, 0.75), "gamma of signs": (0.3, 0.75)}
    for name, (low, high) in bands.items():
        assert low < found[name].estimate.value < high, name
    assert "1800" in found["slope of ln beta on ln depth"].note
    assert HOLDS == found["MSE of micro-price / mid, 10 s"].verdict


# --- the command


def asked(capsys, *arguments):
    code = main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def rows_in(out):
    def refuse(token):
        raise ValueError(token)

    return json.loads(out, parse_constant=refuse)


KEYS = {"name", "symbol", "paper", "ours", "low", "high", "n"}


def test_json_is_a_list_of_rows_and_nothing_else(capsys):
    code, out, err = asked(capsys, "--synthetic", "--hours", "0.05", "--seed", "3", "--json")
    rows = rows_in(out)
    assert (0, "") == (code, err)
    assert list(CLAIMS) == [row["name"] for row in rows]
    for row in rows:
        assert set(row) >= KEYS
        assert isinstance(row["n"], int)
        assert all(row[key] is None or isinstance(row[key], float) for key in ("paper", "ours", "low", "high"))
        assert (row["ours"] is None) == (row["verdict"] == UNMEASURED)


def test_pictures_are_saved_and_a_table_is_printed(capsys, tmp_path):
    code, out, _ = asked(capsys, "--synthetic", "--hours", "0.1", "--out", str(tmp_path / "plots"))
    assert 0 == code
    assert "OFI R2, 10 s" in out
    assert "not measured:" in out
    saved = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert ["forest.svg", "mock_market_large_tick_seed_7_MOCK.svg"] == saved
    for name in saved:
        assert (tmp_path / "plots" / name).read_text().startswith("<?xml")


def test_a_recorded_tape_is_measured_as_far_as_it_goes(capsys):
    if not SHORT.is_file():
        pytest.skip("the recordings are not beside this tree")
    code, out, _ = asked(capsys, "--data", str(SHORT), "--symbol", "SUSHI/USDT:USDT", "--json")
    rows = {row["name"]: row for row in rows_in(out)}
    assert 0 == code
    assert {"SUSHIUSDT"} == {row["symbol"] for row in rows.values()}
    assert 0.3 < rows["OFI R2, 1 s"]["ours"] < 0.9
    assert HOLDS == rows["AUC of imbalance"]["verdict"]
    assert rows["OFI R2, 10 s"]["ours"] is None
    assert "2 whole windows of 10 s, 20 are needed" == rows["OFI R2, 10 s"]["note"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "expected --data PATH or --synthetic, saw neither"),
        (["--data", "x", "--synthetic"], "saw both"),
        (["--data", "nowhere.jsonl.zst"], "saw nothing at nowhere.jsonl.zst"),
        (["--data", "."], "expected tapes"),
        (["--data", "x", "--seed", "1"], "--seed: it belongs to --synthetic"),
        (["--synthetic", "--symbol", "BTCUSDT"], "--symbol: it belongs to --data"),
        (["--synthetic", "--hours", "0"], "--hours: expected a number above 0, at most 168, saw 0"),
        (["--synthetic", "--hours", "nan"], "--hours: expected a number above 0, at most 168, saw nan"),
        (["--synthetic", "--hours", "inf"], "--hours: expected a number above 0, at most 168, saw inf"),
        (["--synthetic", "--hours", "1e12"], "at most 168, saw 1e+12"),
        (["--synthetic", "--hours", "169"], "at most 168, saw 169"),
        (["--synthetic", "--out", "taken/below"], "--out: expected a folder, saw the file taken"),
        (["--synthetic", "--seed", "-1"], "a seed is a whole number"),
        (["--synthetic", "--out", "taken"], "--out: expected a folder, saw the file taken"),
        (["--synthetic", "--jsn"], "did you mean --json?"),
        (["--data", "taken"], "taken"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("no tape\n")
    code, out, err = asked(capsys, *arguments)
    assert (2, "") == (code, out)
    assert words in err
    assert 1 == len(err.strip().splitlines())


def test_a_tape_without_a_market_is_said_in_words(capsys, tmp_path):
    (tmp_path / "empty.jsonl").touch()
    code, _, err = asked(capsys, "--data", str(tmp_path))
    assert 2 == code
    assert "expected books or quotes, saw no market's events; name other recordings" in err


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX pipe")
def test_a_reader_that_has_gone_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "backtest.replicate", "--synthetic", "--hours", "0.001"]
    seen = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    os.close(writer)
    assert 0 == seen.returncode


def test_a_symbol_that_is_not_there_is_refused_with_those_that_are(capsys):
    if not SMALL.is_file():
        pytest.skip("the recordings are not beside this tree")
    code, _, err = asked(capsys, "--data", str(SMALL), "--symbol", "XRPUSDT", "--json")
    assert 2 == code
    assert "of XRPUSDT, saw other events, of BTCUSDT, DOGEUSDT, ETHUSDT, SOLUSDT" in err


def test_a_tape_of_two_markets_is_refused(capsys, tmp_path):
    path = tape(tmp_path, [bybit_book("snapshot", 1), enveloped("btcusdt@depth", **diff("BTCUSDT", 1, 2, 1))])
    code, _, err = asked(capsys, "--data", str(path))
    assert 2 == code
    assert "expected one market, as symbols share names, saw binance_usdm, bybit_linear" in err


@pytest.mark.long
def test_every_recording_is_measured(capsys):
    if not RECORDINGS.is_dir():
        pytest.skip("the recordings are not beside this tree")
    code, out, _ = asked(capsys, "--data", str(RECORDINGS), "--json")
    rows = rows_in(out)
    assert 0 == code
    assert 15 * len(CLAIMS) == len(rows)
    area = {row["recording"]: row["ours"] for row in rows if row["name"] == "AUC of imbalance" and row["ours"]}
    assert min(area.values()) > 0.55
