"""Faults: what a script may say, and when a fault strikes."""

import json
import os
import re
from pathlib import Path

import pytest

from ingest.box.faults.desk import FAULT_KINDS, REST_FAULTS, WS_FAULTS, Desk, Fault, read_script
from tests.boxes import MIDNIGHT_NS
from utils.errors import ConfigError, DataError
from utils.rows import NS_PER_S

BOOK = "bybit orderbook.50.BTCUSDT"


def strikes(fault: Fault, subjects: list[str], seed: int = 1, step_s: float = 0.0) -> list[int]:
    """Which of the subjects a fault strikes."""
    desk = Desk(seed)
    desk.inject(fault, MIDNIGHT_NS)
    times = [MIDNIGHT_NS + round(i * step_s * NS_PER_S) for i in range(len(subjects))]
    return [i for i, subject in enumerate(subjects) if desk.strike((fault.kind,), subject, times[i])]


def test_every_kind_has_one_line_about_it():
    assert set(WS_FAULTS) | set(REST_FAULTS) == set(FAULT_KINDS)
    assert all(line and "\n" not in line for line in FAULT_KINDS.values())


def test_a_fault_strikes_once_after_so_many_that_match():
    assert [2] == strikes(Fault("gap", after=2), [BOOK] * 10)


def test_a_fault_strikes_again_after_as_many():
    assert [2, 5, 8] == strikes(Fault("gap", after=2, times=3), [BOOK] * 20)


def test_a_fault_without_end_strikes_every_time():
    assert [0, 1, 2, 3] == strikes(Fault("gap", times=0), [BOOK] * 4)


def test_a_fault_may_wait_for_exchange_time():
    assert [5, 10] == strikes(Fault("gap", after_s=2.5, times=2), [BOOK] * 20, step_s=0.5)


def test_only_what_matches_is_struck_and_counted():
    subjects = ["binance btcusdt@depth", BOOK, "bybit publicTrade.BTCUSDT", BOOK]
    assert [3] == strikes(Fault("gap", match="orderbook.50.btcusdt", after=1), subjects)


def test_faults_of_books_strike_books_only():
    subjects = ["bybit publicTrade.BTCUSDT", "binance btcusdt@trade", "binance btcusdt@depth@100ms", BOOK]
    assert [2, 3] == strikes(Fault("crossed", times=0), subjects)


def test_chance_is_the_seeds():
    fault = Fault("gap", times=0, probability=0.5)
    first, again, other = (strikes(fault, [BOOK] * 50, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert 10 < len(first) < 40


def test_what_cannot_be_shown_does_not_count():
    desk = Desk(1)
    desk.inject(Fault("gap", after=1), MIDNIGHT_NS)
    seen = [desk.strike(("gap",), BOOK, MIDNIGHT_NS, lambda _, fits=fits: fits) for fits in (False, True, False, True)]
    assert [False, False, False, True] == [fault is not None for fault in seen]


def test_a_strike_is_noted():
    desk = Desk(1)
    desk.inject(Fault("gap"), MIDNIGHT_NS)
    desk.strike(("gap", "reorder"), BOOK, MIDNIGHT_NS)
    assert [("gap", BOOK)] == desk.log


def test_nothing_strikes_after_the_faults_are_cleared():
    desk = Desk(1)
    desk.inject(Fault("gap", times=0), MIDNIGHT_NS)
    desk.clear()
    assert desk.strike(("gap",), BOOK, MIDNIGHT_NS) is None


def test_a_skew_is_constant_and_a_drift_grows():
    desk = Desk(1)
    desk.inject(Fault("clock_skew", seconds=-90), MIDNIGHT_NS)
    desk.inject(Fault("clock_drift", match="bybit", seconds=0.5), MIDNIGHT_NS)
    later = MIDNIGHT_NS + 4 * NS_PER_S
    assert (-88 * NS_PER_S, -90 * NS_PER_S) == (desk.skew_ns("bybit x", later), desk.skew_ns("binance x", later))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "gaps"}, "fault: expected a known kind, saw 'gaps'; did you mean gap?"),
        ({"kind": "gap", "after": -1}, "expected after to be a whole number, at least 0, saw -1"),
        ({"kind": "gap", "after": True}, "expected after to be a whole number, at least 0, saw True"),
        ({"kind": "gap", "times": 1.5}, "expected times to be a whole number, at least 0 (0 = for ever), saw 1.5"),
        ({"kind": "gap", "probability": 0}, "expected probability to be a number above 0, at most 1, saw 0"),
        ({"kind": "gap", "count": 0}, "expected count to be a whole number, at least 1, saw 0"),
        ({"kind": "slow", "seconds": "long"}, "expected seconds to be a number of seconds, saw 'long'"),
        ({"kind": "server_error", "status": 200}, "expected status to be an HTTP status from 400 to 599, saw 200"),
        ({"kind": "server_error", "body": "xml"}, "expected body to be html or json or text, saw 'xml'"),
        ({"kind": "bad_number", "where": "side"}, "expected where to be price or size, saw 'side'"),
        ({"kind": "bad_time", "value": "ns"}, "expected value to be 0 or s or us, saw 'ns'"),
        ({"kind": ["gap"]}, "fault: expected a known kind, saw ['gap']"),
        ({"kind": "bad_time", "value": [1]}, "expected value to be 0 or s or us, saw [1]"),
        ({"kind": "slow", "seconds": float("nan")}, "expected seconds to be a number of seconds, saw nan"),
        ({"kind": "slow", "seconds": 1e308}, "expected seconds to be a number of seconds, saw 1e+308"),
        ({"kind": "gap", "after_s": float("inf")}, "expected after_s to be seconds, at least 0, saw inf"),
        (
            {"kind": "gap", "count": 10**20},
            "expected count to be a whole number, at least 1, saw 100000000000000000000",
        ),
        ({"kind": "gap", "match": [[[1] * 9] * 9] * 99}, "expected match to be text, saw [[[1"),
        ({"kind": "close", "code": 5}, "expected code to be a close code from 1000 to 4999, saw 5"),
    ],
)
def test_a_wrong_fault_is_refused_with_one_sentence(given, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Fault(**given)


def test_a_script_is_json_or_yaml(tmp_path):
    expected = [Fault("gap", match="BTCUSDT", after=20), Fault("rate_limited", retry_after=3)]
    as_json = tmp_path / "faults.json"
    as_json.write_text(
        json.dumps([{"kind": "gap", "match": "BTCUSDT", "after": 20}, {"kind": "rate_limited", "retry_after": 3}])
    )
    as_yaml = tmp_path / "faults.yaml"
    as_yaml.write_text("- {kind: gap, match: BTCUSDT, after: 20}\n- kind: rate_limited\n  retry_after: 3\n")
    assert expected == read_script(as_json) == read_script(as_yaml)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("kind: gap", DataError, "faults.yaml: expected a list of faults such as [{kind: gap}]"),
        ("- gap", DataError, "expected a list of faults"),
        ("- {kind: gap", DataError, "faults.yaml: expected JSON or YAML"),
        ("- {match: x}", ConfigError, "faults.yaml: fault 1 names no kind"),
        (
            "- {kind: gap}\n- {kind: gap, afterr: 1}",
            ConfigError,
            "fault 2 has the unknown key 'afterr'; did you mean after?",
        ),
        ("- {kind: gapp}", ConfigError, "faults.yaml: number 1, fault: expected a known kind, saw 'gapp'"),
    ],
)
def test_a_wrong_script_is_refused_with_one_sentence(tmp_path, text, error, message):
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    with pytest.raises(error, match=re.escape(message)):
        read_script(path)


def test_a_script_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="expected a readable fault script"):
        read_script(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("name", "text"), [("f.yaml", "[" * 5_000), ("f.json", "[" * 200_000), ("g.yaml", "{a: " * 2_000)]
)
def test_a_script_of_lists_without_end_is_one_sentence(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError, match=rf"{name}: expected (a list of faults|JSON or YAML)"):
        read_script(path)


def test_a_script_is_a_small_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "long.yaml").write_text("#" * (257 << 10))
    for path in (tmp_path / "pipe.yaml", tmp_path / "long.yaml", Path("/dev/zero")):
        with pytest.raises(DataError, match="expected a fault script of at most 256 KiB"):
            read_script(path)
