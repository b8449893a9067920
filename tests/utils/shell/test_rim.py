"""Nothing secret and nothing a terminal obeys leaves the program."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from tests.places import ROOT
from utils.config import load_settings
from utils.errors import ConfigError, DataUnavailable
from utils.records.files import run_text
from utils.settings.sources import environment_name
from utils.shell import rim
from utils.shell.cli import guarded
from utils.shell.console import PlainConsole, SafeConsole
from utils.shell.log import HumanLine, JsonLine
from utils.shell.rim import Rim, behind, for_children, keep_secret, masked, printable, safe


@pytest.fixture(autouse=True)
def _no_secrets_of_others(monkeypatch):
    monkeypatch.setattr(rim, "_secrets", set())
    for name in rim.PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    "text",
    [
        "user:PASS1234@127.0.0.1:1 isn't a valid proxy",
        "saw 'https://user:abc/PASS@api.bybit.com' (from c.yaml line 2)",
        "saw https://user:12/PASS@api.bybit.com",
        "http://PASSTOKEN@host/x",
        "http://u:p@PASS@host:1/a?b=c",
        "socks5://u:pa:ss/PASS#?x@[::1]:1",
        "//user:PASS@h/p",
        "proxy=user:PASS@h",
        "https%3A%2F%2Fuser%3APASS%40host%2Fx",
        "user%3aPASS%40host",
        "GET /x?auth_token=PASS&y=1",
        "COINGECKO_API_KEY=PASS",
        "{'x_cg_demo_api_key=PASS'}",
        "Location: https://evil.example/?next=https://user:PASS@x",
        "user.name:PASS/w@proxy.local:3128",
    ],
)
def test_a_password_is_masked_wherever_an_address_or_a_query_has_one(text):
    assert "PASS" not in masked(text)
    assert "hidden" in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "ws://127.0.0.1:18900/stream?streams=btcusdt@depth@100ms/x",
        "127.0.0.1:18900/stream?streams=btcusdt@depth",
        "https://medium.com/@user/a",
        "btcusdt@depth@100ms",
        "BTC/USDT:USDT",
        "binance btcusdt@depth@100ms: gap",
        "mail a@b.c at 12:30 @ 5",
        '{"url":"https://h/x","b":"u@v"}',
        "secrets.coingecko_api_key: expected plain letters, saw others",
    ],
)
def test_what_only_looks_like_an_address_with_a_user_stays(text):
    assert masked(text) == text


def test_a_secret_that_was_told_is_masked_in_every_spelling_and_a_short_one_is_not():
    keep_secret("Tr/0b ador&3")
    assert masked("<Tr/0b ador&3> Tr/0b%20ador%263 Tr%2F0b%20ador%263") == "<hidden> hidden hidden"
    keep_secret("market")
    assert masked("market") == "market"


def test_the_password_of_a_proxy_of_the_environment_is_masked_wherever_it_stands(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://me:S%23cretword@127.0.0.1:1")
    assert masked("said S#cretword, S%23cretword") == "said hidden, hidden"
    monkeypatch.setenv("ALL_PROXY", "socks5://somebody:PAS/SWORD42@h:1")
    assert "PAS" not in masked("Failed to parse: 'somebody:PAS' is not a host, nor '/SWORD42@h:1' a path")
    monkeypatch.setenv("ALL_PROXY", "me:withoutscheme@h")
    assert masked("x withoutscheme y") == "x hidden y"


def test_settings_tell_their_secrets():
    env = {"CRYPTOPANIC_TOKEN": "abcdefgh1234"}
    load_settings(env=env)
    assert masked("it echoed abcdefgh1234") == "it echoed hidden"


@pytest.mark.parametrize("address", ["https://user:abc/PASS@api.bybit.com", "https://PASS@api.bybit.com", "u:PASS@h"])
def test_a_refused_address_is_told_without_its_password(tmp_path, address):
    path = tmp_path / "c.yaml"
    path.write_text(f"endpoints:\n  bybit_rest: {address}\n  okx_rest: {address}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(path, env={})
    assert "PASS" not in str(caught.value)


def test_control_characters_and_turned_lines_are_written_out():
    assert printable("a\x1b]0;owned\x07\x9b2J\r\x7f\u202eb\tc\n") == (
        "a\\u001b]0;owned\\u0007\\u009b2J\\u000d\\u007f\\u202eb\tc\n"
    )
    assert printable("ü 漢 🚀 עברית") == "ü 漢 🚀 עברית"


def test_a_stream_at_the_rim_writes_what_is_safe_and_is_else_the_stream():
    stream = io.StringIO()
    guarded_stream = Rim(stream)
    print("x\x1b[2J", "http://u:p@h", file=guarded_stream)
    assert stream.getvalue() == "x\\u001b[2J http://hidden@h\n"
    assert not guarded_stream.isatty()
    assert behind(guarded_stream) is stream


def test_a_console_obeys_rich_and_no_text():
    stream = io.StringIO()
    console = SafeConsole(stream, force_terminal=True, color_system="standard", width=80)
    console.print("[bold]a[/bold]", "\x1b[2J")
    assert stream.getvalue().startswith("\x1b[1ma\x1b[0m")
    assert "\x1b[2J" not in stream.getvalue()
    plain = io.StringIO()
    PlainConsole(plain, 80).print("b\x1bc http://u:p@h")
    assert plain.getvalue() == "b\\u001bc http://hidden@h\n"


def test_the_last_sentence_is_safe(capsys):
    def work() -> NoReturn:
        raise DataUnavailable("it said '\x1b]0;x\x07' to http://u:PASS@h")

    assert guarded(work, []) == 3
    assert capsys.readouterr().err == "error: it said '\\u001b]0;x\\u0007' to http://hidden@h\n"


def test_a_log_line_is_one_line_without_secrets_and_its_json_stays_json():
    record = logging.makeLogRecord(
        {"msg": "a\nerror: http://u:PASS@h \x1b[2J\x7f", "levelname": "INFO", "name": "ingest"}
    )
    human = HumanLine().format(record)
    assert human.endswith("INFO  ingest: a\\nerror: http://hidden@h \\u001b[2J\\u007f")
    row = json.loads(JsonLine().format(record))
    assert row["text"] == "a\nerror: http://hidden@h \x1b[2J\x7f"
    assert "\x7f" not in JsonLine().format(record)


def test_a_traceback_in_the_log_is_safe_too():
    try:
        int("http://u:PASS@h \x1b[2J")
    except ValueError:
        record = logging.LogRecord("ingest", logging.ERROR, __file__, 1, "x", (), sys.exc_info())
    for line in (HumanLine().format(record), JsonLine().format(record)):
        assert "PASS" not in line
        assert "\x1b" not in line


def test_run_json_holds_no_password():
    assert json.loads(run_text({"command": ["--config", "http://u:PASS@h"]})) == {
        "command": ["--config", "http://hidden@h"]
    }


def test_a_proxy_without_a_scheme_is_told_without_its_password(tmp_path):
    code = (
        "import os, sys\nfrom ingest.tapes.record import record\nfrom ingest.wire.streams import Stream\n"
        "from utils.shell.cli import guarded\nfrom utils.shell.log import setup_logging\nsetup_logging(2)\n"
        "from utils.settings.tree import IngestSettings\n"
        "s = IngestSettings(timeout_s=0.3, backoff_s=0.05)\n"
        "asked = [Stream('trades', 'BTCUSDT')]\n"
        "work = lambda: record('bybit', asked, out=sys.argv[1], seconds=0.5, settings=s) and 0\n"
        "sys.exit(guarded(work, ['-v']))\n"
    )
    env = {"PATH": "/usr/bin", "PYTHONPATH": str(ROOT), "HTTPS_PROXY": "user:SECRETPW@127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=env, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 3
    assert "SECRETPW" not in done.stderr + done.stdout


@pytest.mark.parametrize("folder", ["ingest", "backtest", "utils", "scripts", "features", "exec"])
def test_consoles_are_made_safe_ones(folder):
    made = [
        path.name
        for path in Path(ROOT, folder).rglob("*.py")
        if path.name not in {"console.py", "picture.py"} and "Console(stderr=True" in path.read_text(encoding="utf-8")
    ]
    assert made == []


def test_safe_is_both():
    assert safe("\x1b http://u:p@h") == "\\u001b http://hidden@h"


def test_processes_that_are_begun_know_all_but_the_token_of_the_api(monkeypatch):
    for name in (rim.TOKEN, rim.TOKEN.lower(), "Scalper__Secrets__Api_Token"):
        monkeypatch.setenv(name, "a-token-of-24-characters")
    monkeypatch.setenv("SCALPER__LOGS__DIR", "elsewhere")
    told = for_children()
    assert "a-token-of-24-characters" not in told.values()
    assert "elsewhere" == told["SCALPER__LOGS__DIR"]
    assert {name for name in os.environ if name.upper() != rim.TOKEN} == set(told)


def test_the_token_is_known_by_the_name_of_its_setting():
    assert environment_name("secrets.api_token") == rim.TOKEN
