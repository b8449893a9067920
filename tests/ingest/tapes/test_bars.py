"""Candles of a tape: only whole bars, and a bar without trades only where nothing can have been missed."""

import json
import math

import pyarrow.parquet as pq
import pytest

from ingest.files.candles import load_candles
from ingest.tape import main
from ingest.tapes.bars import bars_of
from ingest.tapes.file import Record
from tests.ingest.tapes.test_check import recording, tape
from tests.ingest.tapes.test_play import bybit_trade
from utils.errors import ConfigError, DataError

MINUTE = 60_000
#: A whole minute, ms.
T0 = 1_769_233_920_000
URL = "wss://stream.bybit.com/v5/public/linear"


def numbered(number, at_s, price=100.0, qty=1.0, buyer_is_maker=False, symbol="BTCUSDT", kind="MARKET"):
    """A Binance trade `at_s` seconds after T0, received 20 ms later."""
    ms = T0 + round(at_s * 1000)
    message = {
        "e": "trade", "E": ms, "T": ms, "s": symbol, "t": number,
        "p": f"{price}", "q": f"{qty}", "X": kind, "m": buyer_is_maker,
    }  # fmt: skip
    return Record((ms + 20) * 10**6, json.dumps(message))


def uncounted(at_s, name, price=100.0, side="Buy"):
    """A Bybit trade."""
    ms = T0 + round(at_s * 1000)
    message = bybit_trade(i=name, T=ms, p=f"{price}", S=side) | {"ts": ms}
    return Record((ms + 20) * 10**6, json.dumps(message))


def event(name, at_s, **more):
    return Record((T0 + round(at_s * 1000)) * 10**6, event=name, **more)


def pong(at_s):
    return Record((T0 + round(at_s * 1000)) * 10**6, '{"success":true,"ret_msg":"pong","op":"ping"}')


def starts(bars):
    """Minutes after T0 at which bars open."""
    return [(row[0] // 10**6 - T0) // MINUTE for row in bars.rows]


def one(folder, records, tf="1m", **options):
    (bars,) = bars_of([tape(folder, records)], tf, **options)
    return bars


def test_a_bar_is_what_its_trades_were(tmp_path):
    bars = one(
        tmp_path,
        [
            numbered(1, 30),
            numbered(2, 60, 101.0, 0.1),
            numbered(3, 70, 105.5, 0.2, buyer_is_maker=True),
            numbered(4, 80, 99.0, 0.3),
            numbered(5, 119.999, 102.0, 0.7, buyer_is_maker=True),
            numbered(6, 120),
        ],
    )
    assert [(T0 * 10**6 + 60 * 10**9, 101.0, 105.5, 99.0, 102.0, 1.3, 4, 0.4)] == bars.rows
    assert ("BTCUSDT", "1m", "binance_usdm", 0, 0) == (bars.symbol, bars.tf, bars.market, bars.missing, bars.empty)


def test_the_first_bar_and_the_last_are_not_whole(tmp_path):
    bars = one(tmp_path, [numbered(n + 1, 20 * n) for n in range(13)])
    assert [1, 2, 3] == starts(bars)


def test_consecutive_ids_prove_that_nothing_traded(tmp_path):
    records = [numbered(1, 0), numbered(2, 61, 101.0), numbered(3, 400, 99.0), numbered(4, 500)]
    url = "wss://fstream.binance.com/public/stream?streams=btcusdt@trade"
    lost = [event("disconnect", 100, url=url, reason="x"), event("connect", 300, url=url)]
    bars = one(tmp_path, [*records[:2], *lost, *records[2:]])
    assert [1, 2, 3, 4, 5, 6, 7] == starts(bars)
    assert (101.0,) * 4 + (0.0, 0, 0.0) == bars.rows[1][1:]
    assert (5, 0) == (bars.empty, bars.missing)


def test_bars_around_a_missing_id_are_left_out(tmp_path):
    bars = one(tmp_path, [numbered(n + 1 + (n >= 12), 20 * n) for n in range(25)])
    # ids 12 and 14 stand at 220 s and 240 s
    assert [1, 2, 5, 6, 7] == starts(bars)
    assert 2 == bars.missing


def fund(number, at_s):
    """A print of the insurance fund."""
    return numbered(number, at_s, 0.0, 0.0, kind="INSURANCE_FUND")


def test_prints_that_are_no_trades_have_a_number_and_no_volume(tmp_path):
    bars = one(tmp_path, [fund(n + 1, 20 * n) if n % 3 == 2 else numbered(n + 1, 20 * n) for n in range(20)])
    assert [1, 2, 3, 4, 5] == starts(bars)
    assert [2.0] * 5 == [row[5] for row in bars.rows]


def test_a_gap_that_ends_with_such_a_print_is_a_gap(tmp_path):
    records = [*(numbered(n + 1, 20 * n) for n in range(9)), fund(12, 180), fund(12, 181)]
    bars = one(tmp_path, [*records, *(numbered(n + 4, 20 * n) for n in range(10, 25))])
    assert [1, 4, 5, 6, 7] == starts(bars)[:5]


def test_a_week_is_no_bar_of_a_tape(tmp_path):
    with pytest.raises(ConfigError, match="expected at most 1d, saw 1w"):
        one(tmp_path, [numbered(1, 0)], "1w")


def test_a_quiet_bar_is_flat_where_the_connection_was_heard(tmp_path):
    records = [uncounted(10, "a"), uncounted(70, "b"), uncounted(310, "c", 101.0), uncounted(370, "d")]
    pongs = [pong(s) for s in range(15, 400, 20)]
    everything = sorted([*records, *pongs], key=lambda record: record.recv_ns)
    bars = one(tmp_path, [event("connect", 0, url=URL), *everything])
    assert [1, 2, 3, 4, 5] == starts(bars)
    assert 3 == bars.empty


def test_a_quiet_bar_is_missing_where_nothing_was_heard(tmp_path):
    trades = [uncounted(10, "a"), uncounted(70, "b"), uncounted(310, "c", 101.0), uncounted(370, "d")]
    pongs = [pong(s) for s in (30, 50, 80, 95, 320, 340, 360, 390, 410, 430)]
    everything = sorted([*trades, *pongs], key=lambda record: record.recv_ns)
    bars = one(tmp_path, [event("connect", 0, url=URL), *everything])
    assert [6] == starts(bars)


def test_bars_around_a_lost_connection_are_left_out_where_ids_do_not_count(tmp_path):
    trades = [uncounted(10 * n, f"{n}") for n in range(40)]
    lost = [event("disconnect", 205, url=URL, reason="reset"), event("connect", 206, url=URL)]
    everything = sorted([*trades, *lost], key=lambda record: record.recv_ns)
    bars = one(tmp_path, [event("connect", -1, url=URL), *everything])
    assert [1, 2, 4, 5] == starts(bars)


def test_bars_around_what_the_recorder_dropped_are_left_out(tmp_path):
    trades = [uncounted(10 * n, f"{n}") for n in range(40)]
    everything = sorted([*trades, event("dropped", 205, missing=2)], key=lambda record: record.recv_ns)
    assert [1, 2, 4, 5] == starts(one(tmp_path, everything))


def test_two_recordings_do_not_vouch_for_what_lies_between(tmp_path):
    paths = [
        tape(tmp_path, [uncounted(10 * n, f"{n}") for n in range(15)], "a"),
        tape(tmp_path, [uncounted(145 + 10 * n, f"b{n}") for n in range(15)], "b"),
    ]
    (bars,) = bars_of(paths, "1m")
    assert [1, 3] == starts(bars)


def test_symbols_keep_apart_and_can_be_chosen(tmp_path):
    records = [numbered(n + 1, 20 * n, symbol=symbol) for n in range(10) for symbol in ("BTCUSDT", "ETHUSDT")]
    path = tape(tmp_path, records)
    assert ["BTCUSDT", "ETHUSDT"] == [bars.symbol for bars in bars_of([path], "1m")]
    assert ["ETHUSDT"] == [bars.symbol for bars in bars_of([path], "1m", ["ETHUSDT"])]


def test_a_recording_without_a_whole_bar_is_refused(tmp_path):
    with pytest.raises(DataError, match="expected trades over at least one whole 5m bar, saw none"):
        one(tmp_path, [numbered(n + 1, 20 * n) for n in range(10)], "5m")


def test_contracts_of_the_quote_currency_are_refused(tmp_path):
    with pytest.raises(DataError, match="in quote currency, saw binance_coinm"):
        one(tmp_path, [numbered(1, 0, symbol="BTCUSD_PERP")])


def test_a_file_of_candles_is_taken_by_the_backtest(tmp_path, capsys):
    path = tape(tmp_path, [numbered(n + 1, 20 * n, 100.0 + n, 0.25, n % 2 == 0) for n in range(30)])
    assert 0 == main(["bars", str(path), "--tf", "1m", "--out", str(tmp_path / "out"), "--json"])
    (written,) = json.loads(capsys.readouterr().out)["written"]
    assert ("BTCUSDT", 8, 0, 0) == (written["symbol"], written["bars"], written["missing"], written["empty"])
    candles = load_candles(written["path"])
    assert ("BTCUSDT", "1m", "binance_usdm") == (candles.symbol, candles.tf, candles.market)
    assert (8, 0) == (len(candles.rows), len(candles.gaps))
    assert [0.75] * 8 == candles.rows["volume"].tolist()
    assert math.isclose(sum(candles.rows["taker_buy"]), 12 * 0.25)
    assert {"timestamp", "open", "high", "low", "close", "volume", "trades", "taker_buy_volume"} == set(
        pq.read_schema(written["path"]).names
    )
    assert 2 == main(["bars", str(path), "--out", str(tmp_path / "out")])
    assert "expected a new file" in capsys.readouterr().err


def test_one_file_cannot_hold_two_symbols(tmp_path, capsys):
    records = [numbered(n + 1, 20 * n, symbol=symbol) for n in range(10) for symbol in ("BTCUSDT", "ETHUSDT")]
    path = str(tape(tmp_path, records))
    assert 2 == main(["bars", path, "--out", str(tmp_path / "x.parquet")])
    assert "--symbol" in capsys.readouterr().err
    assert 0 == main(["bars", path, "--out", str(tmp_path / "ETHUSDT.parquet"), "--symbol", "ETH/USDT"])
    assert "ETHUSDT" == load_candles(tmp_path / "ETHUSDT.parquet").symbol


@pytest.mark.long
def test_the_bars_of_a_real_recording_are_those_of_its_trades():
    (bars,) = bars_of([recording("binance_usdm/BTCUSDT_20240718T2357_480s")], "1m")
    assert (7, 0, 0) == (len(bars.rows), bars.missing, bars.empty)
    assert 10_236 == sum(row[6] for row in bars.rows)
    assert all(0.0 <= row[7] <= row[5] and row[3] <= min(row[1], row[4]) <= row[2] for row in bars.rows)
