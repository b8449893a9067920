"""Claims as they are asked for: the command line, its page and its JSON."""

import json

import pytest

from backtest.claims import main
from backtest.experiments.data import walk_candles

FEW = ["--bars", "1000", "--seed", "3"]


def asked(capsys, *arguments):
    code = main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def candles(tmp_path):
    path = tmp_path / "data" / "binance_usdm" / "1m" / "BTCUSDT.csv"
    path.parent.mkdir(parents=True)
    names = ("open", "high", "low", "close", "volume")
    rows = walk_candles(3_000, 1).rows
    lines = (
        ",".join(map(str, (int(row["ts"]) // 10**6 - 60_000, *(float(row[name]) for name in names)))) for row in rows
    )
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *lines]))
    return path


@pytest.mark.parametrize("claim", ["stops", "kelly", "micro"])
def test_without_recordings_the_controls_alone_are_measured_and_it_says_so(capsys, tmp_path, claim):
    page = tmp_path / "page.md"
    code, out, err = asked(capsys, claim, *FEW, "--out", str(page))
    assert (0, "") == (code, err)
    assert "no recordings were named" in out
    text = page.read_text()
    assert f"    python -m backtest.claims {claim} --bars 1000 --seed 3" in text
    assert f"<!-- {claim}, made: begin -->" in text
    assert "recorded" not in text.replace(str(tmp_path), "")


def test_recordings_have_a_part_of_their_own_and_a_second_run_changes_nothing(capsys, tmp_path, candles):
    page = tmp_path / "page.md"
    line = ["stops", *FEW, "--data", str(candles.parent), "--out", str(page)]
    assert 0 == asked(capsys, *line)[0]
    once = page.read_text()
    assert "binance_usdm 1m: BTCUSDT 20" in once
    assert once.index("stops, recorded: begin") < once.index("stops, made: begin")
    asked(capsys, *line)
    assert once == page.read_text()
    asked(capsys, "stops", *FEW, "--out", str(page))
    assert "stops, recorded: begin" in page.read_text()


def test_json_is_one_object_and_nothing_else(capsys, tmp_path):
    def refuse(token):
        raise ValueError(token)

    code, out, err = asked(capsys, "kelly", *FEW, "--json", "--out", str(tmp_path / "page.md"))
    told = json.loads(out, parse_constant=refuse)
    assert (0, "", "kelly", 3) == (code, err, told["claim"], told["seed"])
    assert {"made"} == set(told["data"])
    assert {"rule", "growth", "verdict", "better", "data"} <= set(told["findings"][0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: CLAIM"),
        (["cache"], "invalid choice: 'cache'"),
        (["stops", "--bars", "999"], "--bars: expected 1,000 to 200,000, saw 999"),
        (["stops", "--seed", "-1"], "--seed: expected a whole number from 0"),
        (["stops", "--width", "0"], "--width: expected numbers above 0, at most 40, saw 0"),
        (["stops", "--width", "1", "nan"], "--width: expected numbers above 0, at most 40, saw nan"),
        (["kelly", "--width", "2"], "--width: it belongs to stops, saw kelly; leave it out"),
        (["kelly", "--tapes", "x"], "--tapes: it belongs to micro, saw kelly; leave it out"),
        (["micro", "--tapes", "nowhere"], "expected a tape or a folder of tapes, saw nothing at nowhere"),
        (["stops", "--data", "nowhere"], "--data: expected candle files or a folder of them, saw none at nowhere"),
        (["stops", "--data", "taken.csv"], "taken.csv"),
        (["stops", "--out", "none/page.md"], "--out: expected a file in a folder that exists, saw no folder none"),
        (["stops", "--jsn"], "did you mean --json?"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.csv").write_text("no candles\n")
    code, out, err = asked(capsys, *arguments)
    assert (2, "") == (code, out)
    assert words in err
    assert 1 == len([line for line in err.strip().splitlines() if line.startswith("error:")])
    assert ["taken.csv"] == [path.name for path in tmp_path.iterdir()]
