"""Values that no flag, setting or file can have are the user's, said in a sentence, before any work begins."""

import runpy
import sys
from functools import partial

import pytest

import ingest.doctor
import ingest.download
import ingest.replay_server
import ingest.tape
from backtest.claims import main as claims
from backtest.replicate import main as replicate
from backtest.run.cli import main as simulate
from tests.places import ROOT
from utils.shell.cli import guarded

record = runpy.run_path(str(ROOT / "scripts" / "record.py"))["main"]
#: No number, no word, no name.
NASTY = ("", "a\0b", "\ud800", "1" + "0" * 5_000)
NUMBERS = ("nan", "inf", "-1", "1e400", "x", "0x10", "1" + "0" * 300)
COMMANDS = {
    "simulate": (simulate, ["--quiet"], ["--steps", "--seed", "--initial-capital"],
                 ["--symbol", "--timeframe", "--data", "--config", "--logs-dir", "--exchange", "--market-type"]),
    "exchange": (partial(simulate, real=True), ["--quiet", "--live"], ["--steps"],
                 ["--symbol", "--timeframe", "--exchange-for-ob", "--exchange", "--logs-dir"]),
    "claims": (claims, ["stops"], ["--bars", "--width"], ["--data", "--config"]),
    "replicate": (replicate, ["--synthetic"], ["--seed", "--hours"], ["--out"]),
    "record": (record, ["--out", "o"], ["--seconds", "--rotate-minutes", "--rotate-mib", "--news-minutes", "--depth"],
               ["--tf", "--streams", "--exchange", "--market-type", "--config"]),
    "download": (ingest.download.main, ["--symbol", "BTCUSDT", "--tf", "1h", "--since", "2025-01-01", "--out", "o"], [],
                 ["--symbol", "--tf", "--since", "--until", "--exchange", "--config"]),
    "tape": (ingest.tape.main, ["check"], [], ["FILE"]),
}  # fmt: skip
CASES = [
    (command, flag, value)
    for command, (_, _, numbers, words) in COMMANDS.items()
    for flags, values in ((numbers, NASTY + NUMBERS), (words, NASTY))
    for flag in flags
    for value in values
]


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """A folder of its own, from which nobody is reached: what should have been refused fails at once."""
    monkeypatch.chdir(tmp_path)
    for name in ("BYBIT_REST", "BINANCE_REST"):
        monkeypatch.setenv(f"SCALPER__ENDPOINTS__{name}", "http://127.0.0.1:9")
    for name in ("BYBIT_WS", "BINANCE_WS"):
        monkeypatch.setenv(f"SCALPER__ENDPOINTS__{name}", "ws://127.0.0.1:9")
    monkeypatch.setenv("SCALPER__INGEST__RETRIES", "1")


@pytest.mark.parametrize(("command", "flag", "value"), CASES, ids=lambda part: repr(part)[:14].replace("\\", ""))
def test_a_value_that_cannot_be_is_yours_and_one_sentence(command, flag, value, capsys, tmp_path):
    main, usual, _, _ = COMMANDS[command]
    code = main([*usual, *([value] if flag == "FILE" else [flag, value])])
    said = capsys.readouterr().err.strip()
    assert (2, 1, True) == (code, len(said.splitlines()), said.startswith("error: ")), said
    assert len(said) < 1_000
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("risk:\n  take_bps: " + "[" * 900 + "]" * 900, "c.yaml: expected `section:` and `key: value` below it"),
        ('logs:\n  dir: "a\\0b"\n', "logs.dir: expected text, saw a character that is none (from c.yaml line 2)"),
        ('market:\n  symbol: "\\ud800"\n', "market.symbol: expected text, saw a character that is none"),
        ("simulation:\n  initial_capital: .inf\n", "simulation.initial_capital: expected"),
        ("risk:\n  take_bps: .nan\n", "risk.take_bps: expected"),
        (f"simulation:\n  steps: 1{'0' * 5_000}\n", "simulation.steps: expected"),
        ("a: &a [*a]\n", "c.yaml line 1"),
    ],
)
def test_a_settings_file_that_cannot_be_is_yours(text, said, capsys, tmp_path):
    (tmp_path / "c.yaml").write_text(text)
    for main in (simulate, record):
        assert 2 == main(["--config", "c.yaml"])
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--symbol", "BTCUSDT,ETHBTC"], 2, "one account has one currency"),
        (["--data", "x.csv", "--funding", "nowhere.csv"], 2, "--funding: nowhere.csv: expected a file, seen none"),
        (
            ["--data", "x.csv", "--steps", "0"],
            2,
            "expected a whole number at least 1 and at most 100000000 bars, saw 0",
        ),
        (["--logs-dir", "taken/below"], 1, "saw 'a file in its place'"),
        (["--slow", "--logs-dir", "taken"], 1, "saw 'a file in its place'"),
        (
            ["--live", "--exchange-for-ob", "byebit"],
            2,
            "exchange: expected one that ccxt knows, saw 'byebit'; did you mean bybit",
        ),
    ],
)
def test_what_can_be_seen_to_be_wrong_is_refused_before_the_work(arguments, code, said, capsys, tmp_path, monkeypatch):
    (tmp_path / "taken").touch()

    def work(*_):
        raise AssertionError

    for name in ("simulate_and_show", "run_and_show"):
        monkeypatch.setattr(sys.modules["backtest.run.cli"], name, work)
    assert code == simulate(arguments)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("example", ["breakout", "quoting"])
def test_an_example_says_what_is_wrong_as_every_command_does(example, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    path = str(ROOT / "examples" / f"{example}.py")
    monkeypatch.setattr(sys, "argv", [path, "nowhere.csv"])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(path, run_name="__main__")
    assert "error: nowhere.csv: expected a file, seen none; check the path\n" == capsys.readouterr().err


def test_a_name_that_no_disk_takes_is_yours(capsys, tmp_path):
    assert 2 == guarded(lambda: (tmp_path / ("x" * 5_000)).touch() or 0, [])
    assert capsys.readouterr().err.startswith("error: expected the name of a file or folder, saw '/")
