import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingest.download import main
from ingest.files.candles import load_candles
from ingest.files.funding import load_funding, sibling_funding
from ingest.files.store import Covered, Series, Store
from ingest.replay_server import Fault
from tests.ingest.rest.support import VENUES, paths, rest_box, unthrottled
from tests.places import ROOT
from utils.settings.sources import environment_name
from utils.shell.moments import at_ms

both = pytest.mark.parametrize("exchange", VENUES)
HOURS = 60.0
QUICKLY = {
    "SCALPER__INGEST__RETRIES": "3",
    "SCALPER__INGEST__BACKOFF_S": "0.001",
    "SCALPER__INGEST__BACKOFF_MAX_S": "0.01",
}


@pytest.fixture(scope="module")
def standing():
    with rest_box(history_hours=HOURS) as box:
        yield box


@pytest.fixture
def box(standing, monkeypatch):
    for name, value in world(standing).items():
        monkeypatch.setenv(name, value)
    yield unthrottled(standing)
    standing.clear_faults()


def world(box) -> dict[str, str]:
    """The environment in which the product finds the box."""
    addresses = box.endpoints.model_dump()
    return QUICKLY | {environment_name(f"endpoints.{name}"): value for name, value in addresses.items()}


def flags(box, exchange, out, **more) -> list[str]:
    begin = box.candles("BTCUSDT", "1m")[0].open_ms
    usual = {"symbol": "BTCUSDT", "tf": "1m", "since": begin, "until": begin + 2999 * 60_000, "exchange": exchange}
    return [f"--{name.replace('_', '-')}={value}" for name, value in (usual | {"out": out} | more).items()]


def truth(box, count=3000) -> list[tuple]:
    return [(c.open_ms, c.open, c.high, c.low, c.close, c.volume) for c in box.candles("BTCUSDT", "1m")[:count]]


def rows(candles) -> list[tuple]:
    found = candles.rows
    opens = (found["ts"] - candles.tf_ns) // 1_000_000
    return list(
        zip(opens.tolist(), *(found[name].tolist() for name in ("open", "high", "low", "close", "volume")), strict=True)
    )


def files(out: Path) -> dict[str, str]:
    """Every file with its hash."""
    found = (path for path in sorted(out.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def only(out: Path) -> Path:
    return next(out.rglob("BTCUSDT_*.parquet"))


@both
def test_history_becomes_a_file_that_the_simulator_takes_as_it_is(box, exchange, tmp_path, capsys):
    assert 0 == main(flags(box, exchange, tmp_path / "ohlcv"))
    market = {"binance": "binance_usdm", "bybit": "bybit_linear"}[exchange]
    candles = load_candles(only(tmp_path))
    assert (market, "1m", "BTCUSDT", ()) == (candles.market, candles.tf, candles.symbol, candles.gaps)
    assert truth(box) == rows(candles)
    assert "3,000 rows" in capsys.readouterr().out


@both
def test_the_manifest_tells_of_each_file(box, exchange, tmp_path):
    main(flags(box, exchange, tmp_path))
    entry = json.loads((tmp_path / "manifest.json").read_text())["files"][0]
    begin, end = truth(box)[0][0], truth(box)[-1][0]
    told = {"rows": 3000, "symbol": "BTCUSDT", "gaps": [], "first": at_ms(begin), "last": at_ms(end)}
    assert told == {name: entry[name] for name in told}
    assert entry["sha256"] == hashlib.sha256((tmp_path / entry["path"]).read_bytes()).hexdigest()
    assert {"exchange": exchange, "call": "fetch_ohlcv", "address": box.http} == entry["source"]
    assert [begin, end + 60_000] == entry["covers"]


@both
def test_running_twice_changes_nothing_and_asks_for_no_candle(box, exchange, tmp_path, capsys):
    main(flags(box, exchange, tmp_path))
    before, asked = files(tmp_path), len(paths(box, "kline"))
    assert 0 == main(flags(box, exchange, tmp_path))
    # near a listing the beginning is looked for once a process, so not even that
    assert (before, asked) == (files(tmp_path), len(paths(box, "kline")))
    assert "nothing new" in capsys.readouterr().out


def test_later_and_earlier_candles_join_the_file(box, tmp_path):
    opens = [row[0] for row in truth(box)]
    for since, until in ((1000, 1999), (1500, 2500), (0, 999)):
        assert 0 == main(flags(box, "binance", tmp_path, since=opens[since], until=opens[until]))
    assert truth(box, 2501) == rows(load_candles(only(tmp_path)))
    assert 2 == len(files(tmp_path))


def test_json_is_one_object_and_nothing_else(box, tmp_path, capsys):
    main([*flags(box, "bybit", tmp_path), "--json"])
    out, err = capsys.readouterr()
    found = json.loads(out)["files"]
    assert (1, 3000, 3, "") == (len(found), found[0]["rows"], found[0]["fetched"], err)


def test_missing_candles_are_listed_and_never_filled(box, tmp_path, capsys):
    box.inject(Fault("missing_candle", match="limit=1000", times=3))  # of one page, whatever it is asked
    assert 0 == main(flags(box, "binance", tmp_path))
    entry = json.loads((tmp_path / "manifest.json").read_text())["files"][0]
    candles = load_candles(only(tmp_path))
    assert (2999, 1, 1) == (entry["rows"], len(entry["gaps"]), entry["gaps"][0]["candles"])
    assert entry["gaps"][0]["first"] == at_ms(candles.gaps[0].after_ts / 1e6)
    assert "1 gap, listed in manifest.json" in capsys.readouterr().out


@both
def test_what_lies_before_the_first_trade_is_no_gap(box, exchange, tmp_path, capsys):
    assert 0 == main(flags(box, exchange, tmp_path, since="2025-01-01"))
    assert truth(box) == rows(load_candles(only(tmp_path)))
    assert ", no gaps; downloaded" in capsys.readouterr().out


def test_a_page_without_any_candle_is_an_error_and_what_came_is_kept(box, tmp_path, capsys):
    second = truth(box)[1000][0]
    box.inject(Fault("empty_array", match=f"start={second}", times=0))
    asked = len(paths(box, "kline"))
    assert 3 == main(flags(box, "bybit", tmp_path))
    warned, said = capsys.readouterr().err.splitlines()
    assert "exchange_attempt_failed" in warned  # once, however often it was tried
    assert 1 + 3 == len(paths(box, "kline")) - asked
    assert said.startswith("error: bybit futures: fetch_ohlcv BTCUSDT 1m (1000 candles, ")
    assert said.endswith("what came is kept, and the same command goes on from there")
    box.clear_faults()
    before = len(paths(box, "kline"))
    assert 0 == main(flags(box, "bybit", tmp_path))
    assert (2, truth(box)) == (len(paths(box, "kline")) - before, rows(load_candles(only(tmp_path))))


@both
def test_funding_lies_where_the_simulator_looks_for_it(box, exchange, tmp_path):
    assert 0 == main([*flags(box, exchange, tmp_path / "ohlcv", tf="5m"), "--funding"])
    candles = only(tmp_path / "ohlcv")
    beside = sibling_funding(candles, candles.parents[1].name, "BTCUSDT")
    found = load_funding(beside, "BTCUSDT")
    hour = 3_600_000_000_000
    assert {8 * hour} == set((found["ts"][1:] - found["ts"][:-1]).tolist())
    assert (0, True) == (int(found["ts"][0] % (8 * hour)), len(found) >= 5)
    assert [] == json.loads((tmp_path / "funding" / "manifest.json").read_text())["files"][0]["gaps"]


def test_funding_twice_changes_nothing_and_later_joins(box, tmp_path):
    opens = [row[0] for row in truth(box)]
    first = flags(box, "bybit", tmp_path / "ohlcv", until=opens[1500])
    main([*first, "--funding"])
    before = files(tmp_path)
    main([*first, "--funding"])
    assert before == files(tmp_path)
    main([*flags(box, "bybit", tmp_path / "ohlcv"), "--funding"])
    found = list((tmp_path / "funding").rglob("*.parquet"))
    assert (1, True) == (len(found), len(load_funding(found[0], "BTCUSDT")) >= 5)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--since", "yesterday"], "--since: expected a time such as 2025-01-31"),
        (["--tf", "7m"], "timeframe: expected one of"),
        (["--exchange", "binanse"], "did you mean binance"),
        (["--symbol", "NOPEUSDT"], "symbol: expected a perpetual contract of binance"),
        (["--market-type", "spot", "--funding"], "--funding: expected --market-type futures"),
        (["--symbol", ","], "symbol: expected an exchange id such as BTCUSDT"),
        (["--since", "2026-02-02", "--until", "2026-02-01"], "--until: expected a time after --since, saw 2026-02-01"),
        (["--sinse", "2025-01-01"], "unknown flag --sinse; did you mean --since?"),
    ],
)
def test_a_wrong_flag_is_one_sentence_and_exit_code_2(box, tmp_path, capsys, more, told):
    assert 2 == main([*flags(box, "binance", tmp_path), *more])
    said = capsys.readouterr().err
    assert (True, 1) == (told in said, said.count("\n"))


def test_without_a_beginning_nothing_is_downloaded(capsys):
    assert 2 == main([])
    assert (
        capsys.readouterr().err == "error: --since: expected the first day to download, such as 2025-01-01, saw none\n"
    )


def start(box, exchange, out) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "ingest.download", *flags(box, exchange, out), "--json"],
        cwd=ROOT,
        env=os.environ | world(box),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@both
def test_a_killed_download_goes_on_where_it_stopped(box, exchange, tmp_path, capsys):
    expected = tmp_path / "whole"
    main(flags(box, exchange, expected))
    out = tmp_path / "killed"
    box.inject(Fault("slow", match="limit=1000", seconds=0.15, times=0))
    seen = len(pages(box))
    run = start(box, exchange, out)
    while len(pages(box)) - seen < 2 and run.poll() is None:
        time.sleep(0.01)
    run.kill()  # while its second page is on its way
    assert -signal.SIGKILL == run.wait()
    run.communicate()
    assert {} == hashed(out)
    box.clear_faults()
    capsys.readouterr()
    assert 0 == main([*flags(box, exchange, out), "--json"])
    assert 2 == json.loads(capsys.readouterr().out)["files"][0]["fetched"]
    assert hashed(expected) == hashed(out)


def pages(box) -> list:
    return [
        request for request in list(box.requests) if request.query.get("limit") == "1000" and "kline" in request.path
    ]


def hashed(out: Path) -> dict[str, str]:
    """Hashes of the data files; a manifest holds the time of the download."""
    return {name: digest for name, digest in files(out).items() if "/BTCUSDT_" in name}


def test_pages_that_a_killed_run_had_all_are_made_a_file_without_asking(box, tmp_path):
    opens = [row[0] for row in truth(box)]
    main(flags(box, "bybit", tmp_path, until=opens[999]))
    whole = tmp_path / "whole"
    main(flags(box, "bybit", whole))
    rest = pq.ParquetFile(only(whole)).read().slice(1000)
    with Store(tmp_path) as store:
        Series(store, "bybit_linear/1m", "BTCUSDT", box.http).keep(Covered(opens[1000], opens[2999] + 60_000), rest)
    shutil.rmtree(whole)
    before = len(pages(box))
    assert 0 == main(flags(box, "bybit", tmp_path))
    assert (before, truth(box)) == (len(pages(box)), rows(load_candles(only(tmp_path))))


@pytest.mark.long
@both
def test_killed_at_many_moments_the_store_is_always_valid(box, exchange, tmp_path):
    expected = tmp_path / "whole"
    main(flags(box, exchange, expected))
    out = tmp_path / "killed"
    for moment in range(40):
        run = start(box, exchange, out)
        time.sleep(0.6 + 0.05 * moment)
        run.kill()
        run.communicate()
        manifest = out / "manifest.json"
        entries = json.loads(manifest.read_text())["files"] if manifest.exists() else []
        for entry in entries:
            assert entry["sha256"] == hashlib.sha256((out / entry["path"]).read_bytes()).hexdigest()
    last = start(box, exchange, out)
    assert "" == last.communicate()[1]
    assert hashed(expected) == hashed(out)


def test_ctrl_c_is_exit_code_130_and_the_next_run_goes_on(box, tmp_path):
    box.inject(Fault("slow", match="limit=1000", seconds=0.3, times=0))
    seen = len(pages(box))
    run = start(box, "bybit", tmp_path)
    while len(pages(box)) - seen < 2 and run.poll() is None:
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate()
    assert (130, "", "stopped by Ctrl-C; no file is half-written\n") == (run.returncode, out, err)
    box.clear_faults()
    assert 0 == main(flags(box, "bybit", tmp_path))
    assert truth(box) == rows(load_candles(only(tmp_path)))
