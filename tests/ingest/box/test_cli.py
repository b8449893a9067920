"""The box's command line, as it is typed."""

import json
import signal
import subprocess
import sys
import urllib.request

import pytest

from ingest.replay_server import FAULT_KINDS, main
from tests.boxes import PATIENCE_S, quick_box
from tests.places import ROOT
from utils.config import load_settings


def started(*flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ingest.replay_server", "--history-hours", "0", *flags]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_it_says_where_it_is_and_serves_until_ctrl_c(tmp_path):
    script = tmp_path / "faults.json"
    script.write_text('[{"kind": "empty_array", "match": "/fapi/v1/time"}]')
    with started("--json", "--symbols", "BTC/USDT", "--faults", str(script)) as box:
        found = json.loads(box.stdout.readline())
        assert ["BTCUSDT"] == found["symbols"]
        settings = load_settings(env=found["environment"]).settings
        assert (found["http"], found["ws"]) == (settings.endpoints.binance_rest, settings.endpoints.bybit_ws)
        bodies = []
        for _ in range(2):
            with urllib.request.urlopen(f"{found['http']}/fapi/v1/time", timeout=PATIENCE_S) as reply:  # noqa: S310
                bodies.append(json.load(reply))
        box.send_signal(signal.SIGINT)
        _, errors = box.communicate(timeout=PATIENCE_S)
    assert ([], ["serverTime"]) == (bodies[0], list(bodies[1]))
    assert (130, "stopped by Ctrl-C; no file is half-written\n") == (box.returncode, errors)


def test_it_prints_lines_for_the_environment():
    with started() as box:
        lines = [box.stdout.readline().strip() for _ in range(15)]
        box.send_signal(signal.SIGINT)
        box.communicate(timeout=PATIENCE_S)
    exports = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
    assert 9 == len(exports)
    assert exports["SCALPER__ENDPOINTS__BYBIT_WS"].startswith("ws://127.0.0.1:")
    assert lines[0].startswith("An exchange in a box: BTCUSDT, ETHUSDT from the mock market, 1 times real time.")


def test_every_kind_of_fault_is_listed(capsys):
    assert 0 == main(["--list-faults"])
    printed = capsys.readouterr().out
    assert all(f"  {kind} " in printed for kind in FAULT_KINDS)
    assert 0 == main(["--list-faults", "--json"])
    assert {"ws", "rest"} == set(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--sped", "3"], "unknown flag --sped; did you mean --speed?"),
        (["--speed", "0.5"], "--speed: expected 1 to 1000, or max, saw 0.5; 1 is the pace of the world"),
        (["--speed", "fast"], "--speed: expected a number, saw 'fast'; --help lists the flags"),
        (["--port", "70000"], "--port: expected 0 to 65535, saw 70000; 0 takes any free one"),
        (["--tape", "x", "--synthetic"], "--tape: expected a recording or the mock market, saw both;"),
        (
            ["--tape", "x", "--preset", "btc-like"],
            "--preset: it belongs to the mock market, and --tape names a recording",
        ),
        (["--tape", "/nowhere/x.jsonl.zst"], "tape: expected a file at /nowhere/x.jsonl.zst, saw none"),
        (["--faults", "/nowhere/x.json"], "/nowhere/x.json: expected a readable fault script"),
        (["--preset", "none"], "preset: expected one of large-tick, btc-like, saw 'none'; choose one of these"),
        (["--history_hours", "-1"], "history_hours: expected 0 to 8760, saw -1; name fewer"),
        (["--seed", "-1"], "seed: expected a whole number from 0 to 2^64 - 1, saw -1; name another"),
        (["--symbols", "BTC_260626"], "symbol: expected an exchange id such as BTCUSDT"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, sentence, capsys):
    assert 2 == main(arguments)
    seen = capsys.readouterr()
    assert ("", True) == (seen.out, seen.err.startswith(f"error: {sentence}")), seen.err
    assert 1 == seen.err.count("\n")


async def test_a_port_that_is_taken_is_one_sentence(capsys):
    async with quick_box() as box:
        import asyncio

        assert 2 == await asyncio.to_thread(main, ["--port", str(box.port)])
    assert f"error: --port: expected a free port, saw {box.port}" in capsys.readouterr().err
