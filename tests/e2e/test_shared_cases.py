"""Inputs that users of this field's tools reported trouble with: each shows what its `expected.txt` says."""

import os
import re
import subprocess
import sys
from typing import NamedTuple

import pytest

from tests.places import ROOT, SHARED

CASES = SHARED / "cases"


class Shown(NamedTuple):
    """Patterns of what the output of a case must have, and of what it must not."""

    must: tuple[str, ...]
    never: tuple[str, ...] = ("Traceback",)


def shown(*must, never=("Traceback",)):
    return Shown(must, never)


SHOWN = {
    # held over the settlement it pays, opened at it not, also where the stamp comes 17 ms late
    "01": shown(
        *(
            rf"{file} held 07:30-08:00 funding 0\.4[89]\d*\n{file} opened at 08:00 funding 0\.0\n"
            for file in ("exact", "late17ms")
        )
    ),
    "02": shown(r"BTCUSDT 5m: \d+ trades on 240 bars", never=("rename", "Traceback")),
    "04": shown(
        r"XRPUSDT_64\.parquet (\d+ \S+ [0-9a-f]{12})\n.*tick 0\.0001 .*\nXRPUSDT_32\.parquet \1\n.*tick 0\.0001 "
    ),
    "06": shown(r"! BTCUSDT: from 2024-01-01T16:45 prices lie between ticks of 0\.01: the tick has changed; set"),
    "07": shown("sharpe nan psr nan", r"np\.full nan"),
    "08": shown(*(rf"{unit} 30\.0 min 20 days, sharpe 6\.2079" for unit in ("ns", "ms", "s"))),
    "09": shown(
        *(
            rf"\[{words}\] .*'10 / 10', 'Absolute profit Long': 10\.0, 'Absolute profit Short': -5\.0"
            for words in ("'long', 'short'", "'LONG', 'SHORT'", "'Buy', 'Sell'", "1, -1")
        )
    ),
    "11": shown("seconds 2024-01-01T00:00:00"),
    "13": shown("BTCUSDT_240329, a dated contract, which is another instrument", "exit code: 2"),
    "15": shown("row 101, column 'symbol': expected BTCUSDT as in the rows before, seen ETHUSDT", "exit code: 2"),
    "17": shown("'vol_ccy' is in BTC", "exit code: 2", never=("rename 'vol_quote'",)),
    "20": shown("BTCUSDT 1m: .* trades on 60 bars", "exit code: 0"),
    "22": shown(r"volume of bar 1 as read: 0\.001"),
    "23": shown("no column of a known name; 'ts' looks like one", "exit code: 2"),
    "24": shown("in 120 of 120 rows high lies below low.*are the columns open, close, high, low"),
    "26": shown("exit code: 0"),
    "27": shown("an hour back on the last Sunday of October; these are local times.*UTC", "exit code: 2"),
    "29": shown(r"^\(17040672"),
    "30": shown("'take', 'stop_loss_bps'; did you mean take_bps, stop_bps"),
    "31": shown(r"cut at bar \d+ .* the strategy signals differently .*it sees the future"),
    "32": shown(
        "BTCUSDT is quoted in USDT, ETHBTC in BTC: one account has one currency; simulate them apart",
        never=("net_pnl.*sum",),
    ),
    "33": shown("BTCUSDT and ETHUSDT have no instant in common"),
    "35": shown("1 bar moved without volume: stops are not checked in it"),
    "37": shown("row 301 opens at 1/1000 of the close before: a new unit or another instrument.* trades across it: 1"),
    "38": shown(r"BTCUSDT,ETHUSDT 5m: \d+ trades", "exit code: 0"),
    "40": shown(r"(?s)BTCUSDT-1m-2024-01\.zip BTCUSDT 1m: .*BTCUSDT-1m\.json\.gz BTCUSDT 1m: ", "exit code: 0"),
    "41": shown(r"(?s)synthetic BTCUSDT 5m: .*synthetic BTCUSDT 5m: .*synthetic BTCUSDT 1d: .*synthetic BTCUSDT 1d: "),
    "42": shown("exit code: [01]", never=("…",)),  # the table that was cut is one of --full now
    "43": shown(r"\{'initial_capital': 10000\.0\} \d+ rows", never=("TypeError", "Traceback")),
    "50": shown(r"most open 1 equity (\S+) = \1"),
    "51": shown(r"NA \[\]", r"INSURANCE_FUND \[\]", "bad 0 gaps 0"),
    "52": shown("1 bar\n0 bar\nduplicates 1"),
    "53": shown("! .* prove little"),
    "54": shown("row 7: amount: expected a finite number above 0"),
}


def test_every_case_is_known():
    if not CASES.is_dir():
        pytest.skip("the shared cases are not beside this tree: ../shared/cases")
    assert sorted(SHOWN) == sorted(place.name[:2] for place in CASES.iterdir() if (place / "cmd.txt").is_file())


@pytest.mark.slow
@pytest.mark.parametrize("number", SHOWN)
def test_a_case_shows_what_is_expected_of_it(number, tmp_path):
    place = next(CASES.glob(f"{number}-*"), None)
    if place is None:
        pytest.skip("the shared cases are not beside this tree: ../shared/cases")
    env = {name: value for name, value in os.environ.items() if not name.startswith("SCALPER__")}
    env |= {"PY": sys.executable, "REPO": str(ROOT), "CASE": str(place), "OUT": str(tmp_path)}
    env["PYTHONPATH"] = str(ROOT / "tests" / "former")
    ran = subprocess.run(
        ["bash", "-c", (place / "cmd.txt").read_text()],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=180.0,
        check=False,
    )
    text = f"{ran.stdout}{ran.stderr}exit code: {ran.returncode}\n"
    for pattern in SHOWN[number].must:
        assert re.search(pattern, text, re.MULTILINE), (pattern, text)
    for pattern in SHOWN[number].never:
        assert not re.search(pattern, text), (pattern, text)
