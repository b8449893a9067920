import json
import os
import subprocess
import sys
import threading
import time

import pytest

from ingest.box.faults.desk import Fault
from ingest.box.news import CRYPTOPANIC_TOKEN as TOKEN
from ingest.checkup import EXCHANGE, FAIL, MACHINE, OK, SETTING, WARN, Check, check_compiled
from ingest.doctor import ASKED, as_json, exit_code, in_a_hurry, main, together, verdict
from ingest.rest.venue import close_venues
from tests.boxes import PATIENCE_S, box_in_thread
from tests.places import ROOT
from utils.settings.tree import IngestSettings, Settings

OTHER = TOKEN[::-1]


@pytest.fixture(scope="module")
def shared_box():
    with box_in_thread(symbols=("BTCUSDT",)) as running:
        running.candles("BTCUSDT", "1m")  # its market, and our machine code, are made before a clock runs
        check_compiled()
        yield running


@pytest.fixture
def box(shared_box):
    yield shared_box
    shared_box.clear_faults()
    close_venues()


def environment(box, **more):
    return {f"SCALPER__ENDPOINTS__{name.upper()}": url for name, url in box.endpoints} | more


def examined(box, monkeypatch, capsys, *arguments, **env):
    """Exit code and checks by name of a run against the box."""
    for name, value in environment(box, **env).items():
        monkeypatch.setenv(name, value)
    code = main(["--json", *arguments])
    out, err = capsys.readouterr()
    assert "" == err
    said = json.loads(out)
    assert code == said["exit_code"]
    return code, {check["name"]: check for check in said["checks"]}


@pytest.mark.parametrize("exchange", ["bybit", "binance"])
def test_an_exchange_that_works_is_fit(box, exchange, monkeypatch, capsys):
    code, checks = examined(box, monkeypatch, capsys, "--exchange", exchange, "--symbol", "btc/usdt:usdt")
    assert (0, set()) == (code, {name for name, check in checks.items() if check["status"] == FAIL})
    assert {OK} == {checks[name]["status"] for name in ("rest", "clock", "stream", "settings", "compiled")}
    assert "levels" in checks["stream"]["seen"]
    assert "BTCUSDT" in checks["symbol"]["seen"]
    assert f"at 127.0.0.1:{box.port}" in checks["endpoints"]["seen"]


def test_a_clock_that_is_wrong_is_said_with_its_cure(box, monkeypatch, capsys):
    box.inject(Fault("clock_skew", match="bybit", seconds=90))
    code, checks = examined(box, monkeypatch, capsys)
    assert (0, WARN) == (code, checks["clock"]["status"])
    assert checks["clock"]["seen"].startswith(("89", "90"))
    assert "ms behind bybit" in checks["clock"]["seen"]


def test_garbage_with_status_200_is_an_exchange_that_failed(box, monkeypatch, capsys):
    box.inject(Fault("html", match="bybit /v5/market/time", times=0))
    code, checks = examined(box, monkeypatch, capsys)
    assert (3, FAIL, EXCHANGE) == (code, checks["rest"]["status"], checks["rest"]["blame"])
    assert (WARN, OK) == (checks["clock"]["status"], checks["stream"]["status"])


def test_a_stream_that_says_nothing_is_found_in_time(box, monkeypatch, capsys):
    box.inject(Fault("stall", match="orderbook", times=0, seconds=600))
    began = time.monotonic()
    code, checks = examined(box, monkeypatch, capsys, "--timeout", "3")
    assert (3, FAIL) == (code, checks["stream"]["status"])
    assert "BTCUSDT" in checks["stream"]["seen"]
    assert time.monotonic() - began < 0.5 * PATIENCE_S


def test_an_exchange_that_never_answers_is_found_in_time(box, monkeypatch, capsys):
    box.inject(Fault("slow", match="bybit", times=0, seconds=PATIENCE_S))
    box.inject(Fault("handshake_hang", match="", times=0, seconds=PATIENCE_S))
    began = time.monotonic()
    code, checks = examined(box, monkeypatch, capsys, "--timeout", "2")
    assert time.monotonic() - began < 0.5 * PATIENCE_S
    assert (3, {FAIL}) == (code, {checks[name]["status"] for name in ("rest", "stream")})


def test_a_symbol_that_is_not_there_is_a_setting(box, monkeypatch, capsys):
    code, checks = examined(box, monkeypatch, capsys, "--symbol", "NOPEUSDT", "--timeout", "4")
    assert (2, FAIL, SETTING) == (code, checks["symbol"]["status"], checks["symbol"]["blame"])
    assert FAIL == checks["stream"]["status"]


def test_keys_are_tried_and_never_shown(box, monkeypatch, capsys):
    _, checks = examined(box, monkeypatch, capsys, CRYPTOPANIC_TOKEN=TOKEN)
    assert (OK, True) == (checks["news"]["status"], "headlines from cryptopanic" in checks["news"]["seen"])
    assert "CRYPTOPANIC_TOKEN set" in checks["secrets"]["seen"]
    code, checks = examined(box, monkeypatch, capsys, CRYPTOPANIC_TOKEN=OTHER)
    assert (2, FAIL, SETTING) == (code, checks["news"]["status"], checks["news"]["blame"])
    assert not {TOKEN, OTHER} & set(json.dumps(checks).replace('"', " ").split())


def test_a_wrong_setting_ends_the_questions_but_not_the_look_at_the_machine(box, monkeypatch, capsys):
    code, checks = examined(box, monkeypatch, capsys, SCALPER__RISK__TAKE_BP="3")
    assert (2, FAIL, SETTING) == (code, checks["settings"]["status"], checks["settings"]["blame"])
    assert "did you mean SCALPER__RISK__TAKE_BPS?" in checks["settings"]["seen"]
    assert {"settings", "python", "logs", "data", "compiled", "time zone", "model", "exchange"} == set(checks)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tiemout", "3"], "unknown flag --tiemout; did you mean --timeout?"),
        (["--timeout", "0.5"], "--timeout: expected 1 to 300 s, saw 0.5"),
        (["--timeout", "soon"], "expected a number, saw 'soon'"),
        (["--api-port", "80000"], "--api-port: expected 1 to 65535, saw 80000"),
    ],
)
def test_a_wrong_flag_is_one_sentence(arguments, says, capsys):
    assert 2 == main(arguments)
    assert says in capsys.readouterr().err


def test_the_table_says_what_to_mend_and_nothing_else_is_printed(box):
    env = os.environ | environment(box) | {"COLUMNS": "100", "PYTHONUTF8": "1"}
    box.inject(Fault("html", match="bybit /v5/market/time", times=0))
    done = subprocess.run(
        [sys.executable, "-m", "ingest.doctor", "--timeout", f"{PATIENCE_S:g}"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (3, "") == (done.returncode, done.stderr)
    lines = done.stdout.splitlines()
    assert "BTCUSDT on bybit futures" in lines[0]
    assert {OK, WARN, FAIL} == {line.split()[0] for line in lines[1:-1] if not line.startswith(" ")}
    assert "Not fit: 1 failed" in lines[-1]
    assert max(map(len, lines)) <= 100


def check(name, status, blame=""):
    return Check(name, status, "seen", "fix", blame)


@pytest.mark.parametrize(
    ("blames", "code"),
    [
        ((), 0),
        ((SETTING,), 2),
        ((MACHINE,), 1),
        ((EXCHANGE,), 3),
        ((EXCHANGE, MACHINE), 1),
        ((MACHINE, SETTING, EXCHANGE), 2),
    ],
)
def test_the_exit_code_says_what_to_mend_first(blames, code):
    checks = [check("a", OK), check("b", WARN), *(check(blame, FAIL, blame) for blame in blames)]
    assert code == exit_code(checks) == as_json(Settings(), checks, exit_code(checks))["exit_code"]


def test_the_verdict_counts():
    assert "Fit." == verdict([check("a", OK)])
    assert "Fit, with 1 warning." == verdict([check("a", OK), check("b", WARN)])
    failed = [check("rest", FAIL, EXCHANGE), check("b", WARN), check("logs", FAIL, MACHINE)]
    assert "Not fit: 2 failed, 1 warning. Begin with this machine: logs." == verdict(failed)


def test_jobs_run_together_and_one_that_hangs_fails_alone():
    never = threading.Event()

    def hangs():
        yield check("rest", OK)
        never.wait(PATIENCE_S)
        yield check("clock", OK)

    began = time.monotonic()
    jobs = {("rest", "clock"): hangs, ("stream",): lambda: iter([check("stream", OK)]), ("news",): hangs}
    found = together(jobs, 2.0)
    never.set()
    statuses = [("rest", OK), ("clock", FAIL), ("stream", OK), ("news", WARN)]
    assert statuses == [(each.name, each.status) for each in found]
    assert "no answer within 2 s" == found[1].seen
    assert time.monotonic() - began < 0.5 * PATIENCE_S


def test_a_bug_in_a_job_is_not_swallowed():
    def broken():
        raise KeyError("bug")
        yield

    with pytest.raises(KeyError, match="bug"):
        together({("rest",): broken}, 1.0)


def test_a_doctor_in_a_hurry_ends_before_the_examination_does():
    settings = in_a_hurry(IngestSettings(), 10.0)
    assert settings.retries * settings.timeout_s + settings.backoff_max_s < 10.0
    assert 1.5 * settings.timeout_s < 10.0
    assert [1.0, 4] == [in_a_hurry(IngestSettings(timeout_s=1.0), 10.0).timeout_s, len(ASKED)]
