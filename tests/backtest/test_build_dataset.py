"""Data sets as they are asked for: the command line, files and the exchange in the box, and what is refused."""

import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtest.build_dataset import main
from backtest.data.dataset import read_dataset
from tests.boxes import box_in_thread
from tests.e2e.support import frame_of, names, write

MINE = """
def columns(frame):
    return frame[["ts"]].assign(slope=frame["close"].diff(3))

def ahead(frame):
    return frame[["ts"]].assign(fine=frame["close"], later=frame["close"].shift(-1))
"""

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="these places are Linux's")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for symbol, seed in (("BTCUSDT", 3), ("ETHUSDT", 5)):
        write(frame_of(600, seed=seed), tmp_path / f"{symbol}_1m.csv")
    (tmp_path / "mine.py").write_text(MINE)
    yield tmp_path
    sys.modules.pop("mine", None)


def asked(capsys, *words):
    code = main([*map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_file_becomes_a_data_set_and_what_it_is_gets_said(here, capsys):
    code, out, err = asked(
        capsys, "--data", "BTCUSDT_1m.csv", "--take_bps", 30, "--stop-bps=20", "--horizon", 15, "--entry", "limit"
    )
    assert (0, "") == (code, err)
    made = read_dataset("data/features.parquet")
    first, *rest = out.splitlines()
    assert first.startswith(f"{len(made):,} decisions of BTCUSDT at 1m, 2024-01-01T")
    assert "take 30, stop 20 bps, at most 15 bars, entry limit, after costs" in rest
    assert any(line.startswith("long: ") and "effective labels" in line and "unfilled" in line for line in rest)
    assert any(line.startswith("BTCUSDT: win rate that pays the costs without a time limit: ") for line in rest)
    assert rest[-1] == "written to data/features.parquet"
    asked_for = made.manifest["configuration"]
    assert [asked_for[name] for name in ("take_bps", "stop_bps", "horizon", "entry")] == [30.0, 20.0, 15, "limit"]


def test_several_symbols_stand_on_one_clock(here, capsys):
    code, out, _ = asked(capsys, "--data", "BTCUSDT_1m.csv", "ETHUSDT_1m.csv", "--out", "two.parquet", "--json")
    assert 0 == code
    told = json.loads(out)
    assert told["symbols"] == ["BTCUSDT", "ETHUSDT"]
    assert told["file"] == "two.parquet"
    assert told["content"] == read_dataset("two.parquet").manifest["content"]
    assert "TOKEN" not in out


def test_gross_labels_and_one_line(here, capsys):
    code, out, _ = asked(capsys, "--data", "BTCUSDT_1m.csv", "--gross", "--entry", "market", "--quiet")
    assert (0, 1) == (code, len(out.splitlines()))
    made = read_dataset("data/features.parquet")
    np.testing.assert_array_equal(made.table.net, made.gross)


def test_columns_of_the_user_are_features(here, capsys):
    assert 0 == asked(capsys, "--data", "BTCUSDT_1m.csv", "--features", "mine.py:columns")[0]
    assert read_dataset("data/features.parquet").table.names[-1] == "slope"


def test_a_planted_leak_of_one_bar_is_two_and_names_its_column(here, capsys):
    code, _, err = asked(capsys, "--data", "BTCUSDT_1m.csv", "--features", "mine.py:ahead")
    assert 2 == code
    assert err.startswith("error: --features: column later knows later bars: at row ")
    assert len(err.splitlines()) == 1
    assert not (here / "data").exists()


def test_candles_of_the_exchange_are_as_many_as_asked_for(here, capsys, monkeypatch):
    with box_in_thread(symbols=("BTCUSDT",), history_hours=12.0) as box:
        for name, value in names(box.endpoints).items():
            monkeypatch.setenv(name, value)
        for exchange in ("bybit", "binance"):
            line = ["--symbol", "BTCUSDT", "--tf", "1m", "--exchange", exchange, "--exchange_for_ob", exchange]
            code, out, err = asked(capsys, *line, "--market_type", "futures", "--limit", 400)
            assert 0 == code, err
            made = read_dataset("data/features.parquet")
            (source,) = made.manifest["sources"]
            assert source["bars"] == 400
            assert f"no book columns: {exchange} tells no past book by REST; name a recording with --tape" in out


def test_an_exchange_that_does_not_answer_is_three_and_leaves_the_older_file(here, capsys, monkeypatch):
    assert 0 == asked(capsys, "--data", "BTCUSDT_1m.csv")[0]
    older = (here / "data" / "features.parquet").read_bytes()
    monkeypatch.setenv("SCALPER__ENDPOINTS__BYBIT_REST", "http://127.0.0.1:9")
    monkeypatch.setenv("SCALPER__INGEST__RETRIES", "1")
    monkeypatch.setenv("SCALPER__INGEST__BACKOFF_S", "0.01")
    code, _, err = asked(capsys, "--symbol", "BTCUSDT", "--tf", "1m")
    assert 3 == code
    assert "bybit futures" in err
    assert (here / "data" / "features.parquet").read_bytes() == older


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "BTCUSDT_1m.csv", "--limit", "500"], "--limit: it asks an exchange"),
        (["--data", "BTCUSDT_1m.csv", "--exchange", "bybit"], "--exchange: it asks an exchange"),
        (["--data", "BTCUSDT_1m.csv", "--entry", "auto"], "saw auto, which chooses by signal"),
        (["--data", "BTCUSDT_1m.csv", "--entry", "maker"], "execution.entry"),
        (["--data", "BTCUSDT_1m.csv", "--take-bps", "nan"], "risk.take_bps"),
        (["--data", "BTCUSDT_1m.csv", "--horizon", "0"], "risk.horizon"),
        (["--data", "absent.csv"], "absent.csv"),
        (["--data", "BTCUSDT_1m.csv", "--out", "BTCUSDT_1m.csv"], "--out: expected a new file"),
        (["--data", "BTCUSDT_1m.csv", "--features", "mine.py:none"], "mine.py holds no none"),
        (["--data", "BTCUSDT_1m.csv", "--tape", "absent.zst"], "absent.zst"),
        (["--data", "BTCUSDT_1m.csv", "--exchange-for-ob", "nowhere"], "nowhere"),
        (["--symbol", "BTCUSDT", "--limit", "60"], "--limit: expected 61 (one more than the warm-up) to 200,000"),
        (["--symbol", "BTCUSDT,BTCUSDT"], "saw BTCUSDT twice"),
        (["--symbol", "BTCUSDT", "--since", "yesterday"], "--since: expected a time such as"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(here, capsys, words, said):
    code, out, err = asked(capsys, *words)
    assert (2, "") == (code, out)
    assert said in err
    assert len(err.splitlines()) == 1
    assert not (here / "data").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "c.yaml", "--config", "c.yaml"], "saw c.yaml, which is read"),
        (["--out", "mine.py", "--features", "mine.py:columns"], "saw mine.py, which is read"),
        (["--out", "mine.py", "--features", "mine:columns"], "saw mine.py, which is something else"),
        (["--out", "ledger.jsonl"], "saw ledger.jsonl, which is read"),
        (["--out", "models/CURRENT"], "that ends with .parquet among the versions of the model, saw models/CURRENT"),
        (["--out", "news.jsonl"], "saw news.jsonl, which is something else"),
        (["--out", "other.parquet"], "saw other.parquet, a Parquet file of something else"),
        (["--out", "folder"], "saw folder, a directory"),
        (["--out", "mine.py/x.parquet"], "saw a file at "),
        pytest.param(["--out", "/proc/none/x.parquet"], "a folder that this user may write to", marks=LINUX),
        pytest.param(["--out", "/dev/null"], "saw /dev/null, which is no plain file", marks=LINUX),
    ],
)
def test_nothing_but_a_data_set_is_replaced(here, capsys, monkeypatch, words, said):
    monkeypatch.setenv("SCALPER__META__LEDGER", "ledger.jsonl")
    monkeypatch.setenv("SCALPER__META__DIR", "models")
    (here / "c.yaml").write_text("meta: {enabled: false}\n")
    (here / "news.jsonl").write_text("{}\n")
    (here / "folder").mkdir()
    pq.write_table(pa.table({"close": [1.0]}), here / "other.parquet")
    before = {path: path.read_bytes() for path in here.iterdir() if path.is_file()}
    code, out, err = asked(capsys, "--data", "BTCUSDT_1m.csv", *words)
    assert (2, "", 1) == (code, out, len(err.splitlines()))
    assert err.startswith("error: --out: expected ")
    assert said in err
    assert before == {path: path.read_bytes() for path in here.iterdir() if path.is_file()}


def test_a_data_set_may_be_replaced_and_stand_beside_the_models(here, capsys, monkeypatch):
    monkeypatch.setenv("SCALPER__META__DIR", "models")
    (here / "empty.parquet").touch()
    for name in ("empty.parquet", "empty.parquet", "models/x.parquet", "deep/er/x.parquet"):
        assert 0 == asked(capsys, "--data", "BTCUSDT_1m.csv", "--out", name)[0], name
        assert len(read_dataset(name))


def test_news_that_nobody_recorded_is_three(here, capsys, monkeypatch):
    monkeypatch.setenv("SCALPER__FEATURES__NEWS", "true")
    code, _, err = asked(capsys, "--data", "BTCUSDT_1m.csv")
    assert 3 == code
    assert "features.news" in err
