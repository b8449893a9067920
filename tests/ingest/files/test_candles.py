import bz2
import dataclasses
import gzip
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather

from ingest.files import tables
from ingest.files.candles import Gap, load_candles
from tests.places import ROOT
from utils.errors import ConfigError, DataError
from utils.rows import BAR

OHLCV = ROOT / ".." / "shared" / "data" / "ohlcv"
FILES = sorted(OHLCV.glob("*/*/*.parquet"))
recorded = pytest.mark.skipif(not FILES, reason="the recorded candles are not on this machine")

MINUTE = 60 * 10**9
START = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * 10**9
COLUMNS = ["timestamp", "open", "high", "low", "close", "volume"]


def arrays(n=5, tf_ns=MINUTE, unit=10**6):
    """Rows as ccxt gives them: [time, open, high, low, close, volume]."""
    return [[(START + i * tf_ns) // unit, 100.5 + i, 102.0 + i, 99.25 + i, 101.0 + i, 7.0 * i] for i in range(n)]


def frame(rows=None, columns=COLUMNS):
    return pd.DataFrame(rows or arrays(), columns=columns)


def dated(rows=None):
    table = frame(rows)
    table["timestamp"] = pd.to_datetime(table["timestamp"], unit="ms")
    return table


def binance(n=5, unit=10**6):
    last = MINUTE // unit - 1
    return [
        [row[0], *(f"{x:.2f}" for x in row[1:6]), row[0] + last, "1.0", 3, f"{row[5] / 2:.2f}", "1.0", "0"]
        for row in arrays(n, unit=unit)
    ]


def text(rows, header=None):
    return "\n".join(([header] if header else []) + [",".join(map(str, row)) for row in rows]) + "\n"


def check(candles, taker=False):
    """The five rows of `arrays`, stamped with their close."""
    rows = candles.rows
    assert BAR == rows.dtype
    assert [START + (i + 1) * MINUTE for i in range(5)] == rows["ts"].tolist()
    for j, field in enumerate(("open", "high", "low", "close", "volume"), start=1):
        assert [row[j] for row in arrays()] == rows[field].tolist()
    assert [0, 0, 0, 0, 1] == rows["last"].tolist()
    assert [0] * 5 == rows["gap"].tolist() == rows["sym"].tolist()
    assert (
        ([row[5] / 2 for row in arrays()] == rows["taker_buy"].tolist()) if taker else np.isnan(rows["taker_buy"]).all()
    )
    assert ("BTCUSDT", "1m", MINUTE, (), False, 1) == (
        candles.symbol,
        candles.tf,
        candles.tf_ns,
        candles.gaps,
        candles.dropped_unfinished,
        candles.zero_volume,
    )


# every format


def test_parquet_with_naive_dates_is_read(tmp_path):
    path = tmp_path / "binance_usdm" / "1m" / "BTCUSDT_20250101_20250102.parquet"
    path.parent.mkdir(parents=True)
    dated().assign(taker_buy_volume=[row[5] / 2 for row in arrays()]).to_parquet(path)
    candles = load_candles(path)
    check(candles, taker=True)
    assert "binance_usdm" == candles.market
    assert path.name == candles.source
    assert hashlib.sha256(path.read_bytes()).hexdigest() == candles.sha256


def test_parquet_with_the_time_in_its_index_is_read(tmp_path):
    dated().set_index("timestamp").rename_axis(None).to_parquet(tmp_path / "BTCUSDT.parquet")
    check(load_candles(str(tmp_path / "BTCUSDT.parquet")))


def test_csv_with_header_is_read_whatever_the_case_separator_and_mark(tmp_path):
    path = tmp_path / "BTCUSDT_1m.csv"
    for header, separator, mark in [
        ("timestamp,open,high,low,close,volume", ",", ""),
        ("Date,Open,High,Low,Close,Volume", ",", "\ufeff"),
        ('"Open Time",Open,High,Low,Close,Volume', ";", ""),
    ]:
        path.write_text(mark + text(arrays(), header).replace(",", separator), encoding="utf-8")
        check(load_candles(path))


@pytest.mark.parametrize(
    "form", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S+00:00", "%Y-%m-%d %H:%M"]
)
def test_csv_with_dates_is_read(tmp_path, form):
    table = dated()
    table["timestamp"] = table["timestamp"].dt.strftime(form)
    table.to_csv(tmp_path / "BTCUSDT.csv", index=False)
    check(load_candles(tmp_path / "BTCUSDT.csv"))


def test_csv_without_header_is_read(tmp_path):
    path = tmp_path / "BTC_USDT_1m.csv"
    path.write_text(text(arrays()))
    check(load_candles(path))


def test_json_arrays_of_ccxt_are_read(tmp_path):
    path = tmp_path / "BTC_USDT-1m.json"
    path.write_text(json.dumps(arrays()))
    check(load_candles(path))
    path.write_text(json.dumps([[str(cell) for cell in row] for row in arrays()]))
    check(load_candles(path))


@pytest.mark.parametrize("unit", [10**6, 10**3], ids=["ms", "us"])
@pytest.mark.parametrize("header", [False, True])
def test_the_archive_of_binance_is_read_in_milli_and_in_microseconds(tmp_path, unit, header):
    names = (
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
        "taker_buy_volume,taker_buy_quote_volume,ignore"
    )
    path = tmp_path / "BTCUSDT-1m-2025-01.csv"
    path.write_text(text(binance(unit=unit), names if header else None))
    check(load_candles(path), taker=True)


def test_feather_of_freqtrade_is_read(tmp_path):
    table = dated().rename(columns={"timestamp": "date"})
    table["date"] = table["date"].dt.tz_localize("UTC")
    path = tmp_path / "BTC_USDT_USDT-1m-futures.feather"
    feather.write_feather(table, str(path), compression="lz4")
    candles = load_candles(path)
    check(candles)
    assert "" == candles.market


def test_frames_lists_and_arrays_are_read():
    for source in (frame(), dated(), dated().set_index("timestamp"), arrays(), np.array(arrays()), binance()):
        candles = load_candles(source, symbol="BTC/USDT:USDT")
        check(candles, taker=len(source[0]) == 12 if isinstance(source, list) else False)
        assert ("", "frame") == (candles.market, candles.source)
        assert hashlib.sha256(candles.rows.tobytes()).hexdigest() == candles.sha256


def test_the_content_decides_not_the_extension(tmp_path):
    path = tmp_path / "BTCUSDT.dat"
    dated().to_parquet(path)
    check(load_candles(path))
    path.write_text(json.dumps(arrays()))
    check(load_candles(path))


# time


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9], ids=["ns", "us", "ms", "s"])
@pytest.mark.parametrize("kind", ["int64", "float64", "string", "object"])
def test_the_unit_of_a_number_is_told_by_its_magnitude(unit, kind):
    table = frame(arrays(unit=unit))
    check(load_candles(table.astype({"timestamp": kind}), symbol="BTCUSDT"))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_dates_are_utc_unless_they_carry_a_zone(unit, zone):
    table = dated()
    stamps = table["timestamp"].dt.as_unit(unit)
    table["timestamp"] = stamps if zone is None else stamps.dt.tz_localize("UTC").dt.tz_convert(zone)
    check(load_candles(table, symbol="BTCUSDT"))


@pytest.mark.parametrize("value", [5, 0, -1, 10**11, 10**14, 10**17, 2**62])
def test_a_number_that_is_no_time_of_this_century_is_refused(value):
    rows = arrays()
    rows[0][0] = value
    with pytest.raises(DataError, match=r"frame: row 1, column 'timestamp': expected a time .*2000-2100, seen"):
        load_candles(frame(rows), symbol="BTCUSDT")


def test_a_change_from_milli_to_microseconds_inside_a_file_is_refused():
    rows = arrays(3) + arrays(6, unit=10**3)[3:]
    with pytest.raises(
        DataError, match=r"row 4, column 'timestamp': expected .* in ms since 1970, seen 1735689780000000"
    ):
        load_candles(rows, symbol="BTCUSDT")


def test_dates_read_with_the_wrong_unit_are_refused():
    table = frame()
    table["timestamp"] = pd.to_datetime(table["timestamp"], unit="us")
    with pytest.raises(DataError, match=r"row 1, column 'timestamp': expected a time in the years 2000-2100"):
        load_candles(table, symbol="BTCUSDT")


# symbol, timeframe, market


@pytest.mark.parametrize("tf_ns_name", [(MINUTE, "1m"), (5 * MINUTE, "5m"), (60 * MINUTE, "1h"), (1440 * MINUTE, "1d")])
def test_the_timeframe_is_the_most_common_spacing(tf_ns_name):
    tf_ns, name = tf_ns_name
    rows = arrays(7, tf_ns)
    del rows[3]
    for asked in (None, name, name.replace("d", "D")):
        candles = load_candles(rows, symbol="BTCUSDT", tf=asked)
        assert (name, tf_ns) == (candles.tf, candles.tf_ns)


def test_arguments_that_contradict_the_data_are_refused(tmp_path):
    path = tmp_path / "BTCUSDT_1m.csv"
    path.write_text(text(arrays()))
    check(load_candles(path, symbol="BTC-USDT", tf="1m"))
    with pytest.raises(
        ConfigError, match=r"symbol: expected BTCUSDT as the name of BTCUSDT_1m.csv says, seen 'ETHUSDT'"
    ):
        load_candles(path, symbol="ETHUSDT")
    with pytest.raises(ConfigError, match=r"timeframe: expected 1m as the bars of BTCUSDT_1m.csv are, seen 5m"):
        load_candles(path, tf="5m")
    with pytest.raises(ConfigError, match=r"expected one of 1m, 3m, .* seen '7m'"):
        load_candles(path, tf="7m")
    with pytest.raises(ConfigError, match=r"expected a symbol, seen none"):
        load_candles(arrays())


def test_a_path_that_contradicts_the_spacing_is_refused(tmp_path):
    path = tmp_path / "BTCUSDT-5m.csv"
    path.write_text(text(arrays()))
    with pytest.raises(
        DataError, match=r"BTCUSDT-5m.csv: row 2, column 'timestamp': expected bars 5m apart .*, seen 1m"
    ):
        load_candles(path)


def test_a_spacing_nobody_knows_is_refused():
    with pytest.raises(DataError, match=r"row 2, column 'timestamp': expected bars 1m, .* apart, seen 7 minutes"):
        load_candles(arrays(5, 7 * MINUTE), symbol="BTCUSDT")


def test_a_single_bar_needs_a_timeframe():
    with pytest.raises(ConfigError, match=r"expected a timeframe, seen a single bar"):
        load_candles(arrays(1), symbol="BTCUSDT")
    assert [START + 5 * MINUTE] == load_candles(arrays(1), symbol="BTCUSDT", tf="5m").rows["ts"].tolist()


def test_the_market_is_told_only_by_folders_of_the_known_shape(tmp_path):
    for folder, market in [("bybit_linear/1m", "bybit_linear"), ("bybit_linear", ""), ("1m/data", "")]:
        path = tmp_path / folder / "BTCUSDT_2025.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(arrays()))
        assert market == load_candles(path).market


# gaps and the last bar


def test_gaps_are_listed_and_not_filled():
    rows = arrays(12)
    del rows[8:11]
    del rows[2]
    candles = load_candles(rows, symbol="BTCUSDT")
    assert 8 == len(candles.rows)
    assert [0, 0, 1, 0, 0, 0, 0, 3] == candles.rows["gap"].tolist()
    closes = [START + (i + 1) * MINUTE for i in range(12)]
    assert (Gap(closes[1], closes[3], 1), Gap(closes[7], closes[11], 3)) == candles.gaps


@pytest.mark.parametrize("name", ["confirm", "Closed", "is_closed"])
@pytest.mark.parametrize("words", [(True, False), (1, 0), ("true", "false")])
def test_a_last_bar_marked_open_is_dropped(name, words):
    table = frame()
    table[name] = [words[0]] * 4 + [words[1]]
    candles = load_candles(table, symbol="BTCUSDT")
    assert (4, True, 1) == (len(candles.rows), candles.dropped_unfinished, candles.rows["last"][-1])
    table[name] = words[0]
    check(load_candles(table, symbol="BTCUSDT"))
    table[name] = [words[0]] * 2 + [words[1]] + [words[0]] * 2
    with pytest.raises(DataError, match=rf"row 3, column '{name.lower()}': expected a closed bar before the last row"):
        load_candles(table, symbol="BTCUSDT")


def test_a_last_bar_whose_close_time_is_early_is_dropped():
    rows = binance()
    rows[-1][6] -= 30_000
    rows[-1][2] = "nan"
    candles = load_candles(rows, symbol="BTCUSDT")
    assert (4, True) == (len(candles.rows), candles.dropped_unfinished)


def test_a_last_bar_that_closes_after_now_is_dropped():
    close = START + 5 * MINUTE
    check(load_candles(arrays(), symbol="BTCUSDT", now_ns=close))
    candles = load_candles(arrays(), symbol="BTCUSDT", now_ns=close - 1)
    assert (4, True) == (len(candles.rows), candles.dropped_unfinished)
    with pytest.raises(DataError, match=r"row 4, column 'timestamp': expected no bar but the last to close after"):
        load_candles(arrays(), symbol="BTCUSDT", now_ns=close - MINUTE - 1)


def test_nothing_is_dropped_by_a_clock(tmp_path):
    path = tmp_path / "BTCUSDT_1m.csv"
    path.write_text(text(arrays()))
    os.utime(path, ns=(START, START))
    check(load_candles(path))


def test_an_unfinished_bar_alone_is_refused():
    with pytest.raises(DataError, match=r"seen only an unfinished one"):
        load_candles(arrays(1), symbol="BTCUSDT", tf="1m", now_ns=START)


# refusals


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (2, "open", "abc", r"row 3, column 'open': expected a number, seen 'abc'"),
        (2, "open", float("nan"), r"row 3, column 'open': expected a finite number, seen nan"),
        (2, "open", None, r"row 3, column 'open': expected a finite number, seen nan"),
        (2, "close", float("inf"), r"row 3, column 'close': expected a finite number, seen inf"),
        (2, "volume", float("nan"), r"row 3, column 'volume': expected a finite number, seen nan"),
        (0, "low", 0.0, r"row 1, column 'low': expected a price above 0, seen 0.0"),
        (4, "low", -3.0, r"row 5, column 'low': expected a price above 0, seen -3.0"),
        (2, "volume", -1.0, r"row 3, column 'volume': expected a volume of 0 or more, seen -1.0"),
        (2, "high", 90.0, r"row 3, column 'high': expected a price not below low 101.25, seen 90.0"),
        (2, "open", 90.0, r"row 3, column 'open': expected a price from low 101.25 to high 104.0, seen 90.0"),
        (2, "close", 104.5, r"row 3, column 'close': expected a price from low 101.25 to high 104.0, seen 104.5"),
        (
            2,
            "timestamp",
            START // 10**6 + 90_000,
            r"row 3, column 'timestamp': expected a multiple of 1m after 2025-01-01T00:01:00Z, seen .*T00:01:30Z",
        ),
        (
            2,
            "timestamp",
            START // 10**6 + 60_000,
            r"row 3, column 'timestamp': expected a time after 2025-01-01T00:01:00Z, seen .* again; delete",
        ),
        (
            2,
            "timestamp",
            START // 10**6 + 240_000,
            r"row 4, column 'timestamp': expected a time after 2025-01-01T00:04:00Z, seen 2025-01-01T00:03:00Z; sort",
        ),
        (2, "timestamp", "yesterday", r"row 3, column 'timestamp': expected a time, seen 'yesterday'"),
        (2, "timestamp", None, r"row 3, column 'timestamp': expected a (time|whole number), seen (nan|an empty cell)"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "frame", "json"])
def test_a_wrong_cell_is_refused_with_row_and_column(tmp_path, form, row, column, value, message):
    rows = arrays()
    rows[row][COLUMNS.index(column)] = value
    if form == "frame":
        source = frame(rows)
    elif form == "json":
        source = tmp_path / "BTCUSDT.json"
        source.write_text(json.dumps(rows))
    else:
        source = tmp_path / "BTCUSDT.csv"
        frame(rows).to_csv(source, index=False)
    if isinstance(source, Path):
        message = f"{source.name}: {message}"
    with pytest.raises(DataError, match=message):
        load_candles(source, symbol="BTCUSDT")


@pytest.mark.parametrize("bought", ["15.0", "-0.5", "nan"])
def test_taker_volume_outside_the_volume_is_refused(bought):
    rows = binance()
    rows[2][9] = bought
    with pytest.raises(
        DataError, match=r"row 3, column 'taker_buy_volume': expected (0 to volume 14.0|a finite number)"
    ):
        load_candles(rows, symbol="BTCUSDT")


def test_the_first_wrong_row_is_the_one_named():
    rows = arrays()
    rows[3][1] = -1.0
    rows[1][5] = -1.0
    with pytest.raises(DataError, match=r"row 2, column 'volume'"):
        load_candles(rows, symbol="BTCUSDT")


def test_newest_first_is_read_and_rows_are_counted_as_they_stand():
    check(load_candles(arrays()[::-1], symbol="BTCUSDT"))
    rows = arrays()[::-1]
    rows[1][2] = 90.0
    with pytest.raises(DataError, match=r"row 2, column 'high'"):
        load_candles(rows, symbol="BTCUSDT")


def test_a_missing_column_is_refused_and_the_nearest_named(tmp_path):
    path = tmp_path / "BTCUSDT.csv"
    path.write_text(text(arrays(), "timestamp,open,hihg,low,close,volume"))
    with pytest.raises(
        DataError, match=r"BTCUSDT.csv: column 'high': expected a column named high, .*rename 'hihg' to 'high'"
    ):
        load_candles(path)
    with pytest.raises(DataError, match=r"'open_time': expected a column named open_time or timestamp .*; add it"):
        load_candles(frame().drop(columns="timestamp"), symbol="BTCUSDT")


def test_a_column_given_twice_is_refused(tmp_path):
    path = tmp_path / "BTCUSDT.csv"
    path.write_text(text([[*row, 1] for row in arrays()], "timestamp,open,high,low,close,volume,Close"))
    with pytest.raises(DataError, match=r"expected each column once, seen 'close' twice"):
        load_candles(path)


@pytest.mark.parametrize("header", [None, "timestamp,open,high,low,close,volume"])
def test_a_torn_row_is_refused(tmp_path, header):
    path = tmp_path / "BTCUSDT.csv"
    path.write_text(text([*arrays(), [1, 2]], header))
    with pytest.raises(DataError, match=r"BTCUSDT.csv: row 6: expected 6 columns, seen 2"):
        load_candles(path)
    with pytest.raises(DataError, match=r"frame: row 6: expected 6 columns, seen 2"):
        load_candles([*arrays(), [1, 2]], symbol="BTCUSDT")


def test_what_is_no_table_is_refused(tmp_path):
    path = tmp_path / "BTCUSDT.parquet"
    with pytest.raises(DataError, match=r"expected a file, seen none; check the path"):
        load_candles(path)
    with pytest.raises(DataError, match=r"seen a directory"):
        load_candles(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"BTCUSDT.parquet: .*seen an empty file"):
        load_candles(path)
    with pytest.raises(DataError, match=r"did you mean BTCUSDT.parquet"):
        load_candles(tmp_path / "BTCUSD.parquet")
    dated().to_parquet(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"BTCUSDT.parquet: expected a Parquet file, seen a damaged one"):
        load_candles(path)
    for name, content, message in [
        ("BTCUSDT.feather", b"ARROW1 torn", "expected a Feather file, seen a damaged one"),
        ("BTCUSDT.json", b"[[1, 2", "expected JSON, seen a damaged file"),
        ("BTCUSDT.json", b'{"a": 1}', "expected a JSON list of rows"),
        ("BTCUSDT.json", b"[]", "at least one row, seen none"),
        ("BTCUSDT.zip", b"PK\x03\x04\0\0\0", "expected a whole zip file, seen a damaged one"),
        ("BTCUSDT.csv", b"timestamp,open,high,low,close,volume\n", "at least one row, seen none"),
        ("BTCUSDT.csv", b"timestamp,\xf6pen\n1,2\n", "expected UTF-8 text, seen another encoding"),
        ("BTCUSDT.csv", b"1,2,3\n4,5,6\n", "expected 6 or 7 or 12 columns where no names are given, seen 3"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            load_candles(tmp_path / name)
    with pytest.raises(ConfigError, match=r"expected a path, a pandas DataFrame, .* seen int"):
        load_candles(3, symbol="BTCUSDT")
    with pytest.raises(ConfigError, match=r"expected a path, a pandas DataFrame, .* seen Series"):
        load_candles(frame()["open"], symbol="BTCUSDT")
    with pytest.raises(DataError, match=r"at least one row, seen none"):
        load_candles(frame().iloc[:0], symbol="BTCUSDT")


# what the data say of themselves


@pytest.mark.parametrize("name", ["symbol", "Ticker", "instId", "pair"])
def test_two_symbols_in_one_table_are_refused_with_the_first_row_of_the_other(name):
    table = frame().assign(**{name: ["BTCUSDT", "BTC/USDT", "BTC-USDT", "ETHUSDT", "ETHUSDT"]})
    with pytest.raises(DataError, match=r"row 4, column '\w+': expected BTCUSDT as in the rows before, seen ETHUSDT"):
        load_candles(table, symbol="BTCUSDT")


def test_two_symbols_in_the_levels_of_an_index_are_refused_too():
    table = dated().assign(symbol=["BTCUSDT"] * 3 + ["ETHUSDT"] * 2).set_index(["symbol", "timestamp"])
    with pytest.raises(DataError, match="row 4, column 'symbol'"):
        load_candles(table, symbol="BTCUSDT")


def test_a_symbol_column_names_the_symbol_or_must_not_contradict_it(tmp_path):
    table = frame().assign(symbol="BTC/USDT:USDT")
    check(load_candles(table))
    check(load_candles(table.assign(symbol="BTC"), symbol="BTCUSDT"))
    with pytest.raises(DataError, match="row 1, column 'symbol': expected ETHUSDT as was asked for, seen BTCUSDT"):
        load_candles(table, symbol="ETHUSDT")
    table.to_csv(tmp_path / "SOLUSDT_1m.csv", index=False)
    with pytest.raises(DataError, match=r"expected SOLUSDT as the name of SOLUSDT_1m.csv says, seen BTCUSDT"):
        load_candles(tmp_path / "SOLUSDT_1m.csv")
    with pytest.raises(DataError, match="a dated contract"):
        load_candles(table.assign(symbol="BTCUSDT_240329"), symbol="BTCUSDT")
    with pytest.raises(DataError, match="settled in its coin"):
        load_candles(table.assign(symbol="BTCUSD_PERP"), symbol="BTCUSDT")


@pytest.mark.parametrize(
    "word", ["BTCUSDT", "btcusdt", "btc", "BTC", "BINANCE:BTCUSDT", "BTC-USDT", "BTCUSDT_UMCBL", "XBTUSDTM", "17", ""]
)
def test_every_known_spelling_in_a_symbol_column_agrees(word):
    check(load_candles(frame().assign(instrument_id=word), symbol="BTCUSDT"))


@pytest.mark.parametrize("word", ["Bitcoin", "btc_perpetual_x_y", "UNKNOWNTHING"])
def test_an_unknown_spelling_in_a_symbol_column_is_no_agreement(word):
    with pytest.raises(DataError, match="row 1, column 'symbol': expected BTCUSDT as was asked for, seen"):
        load_candles(frame().assign(symbol=word), symbol="BTCUSDT")


@pytest.mark.parametrize(
    "name",
    [
        *("coin", "market", "asset", "base", "name", "code", "series", "product_id", "currency_pair", "product"),
        *("contract_code", "symbol_id", "sym"),
    ],
)
def test_several_symbols_under_any_name_are_refused(tmp_path, name):
    table = frame().assign(**{name: ["BTCUSDT"] * 3 + ["ETHUSDT"] * 2})
    table.to_csv(tmp_path / "BTCUSDT-1m.csv", index=False)
    for source in (table, tmp_path / "BTCUSDT-1m.csv"):
        with pytest.raises(DataError, match=f"row 4, column '{name}': expected BTCUSDT as in the rows before, seen"):
            load_candles(source, symbol="BTCUSDT")


@pytest.mark.parametrize("name", ["coin", "market", "asset", "base", "name", "code", "series", "product", "symbol_id"])
def test_one_word_or_numbers_under_a_name_that_may_be_anything_say_nothing(tmp_path, name):
    for cells in ("futures", range(5), [0.5, 1.5, None, 2.0, 3.0]):
        table = frame().assign(**{name: cells})
        table.to_csv(tmp_path / "BTCUSDT-1m.csv", index=False)
        check(load_candles(table, symbol="BTCUSDT"))
        check(load_candles(tmp_path / "BTCUSDT-1m.csv"))


def test_a_market_that_counts_contracts_is_refused_by_its_folder(tmp_path):
    path = tmp_path / "bybit_inverse" / "1m" / "BTCUSD_2025.csv"
    path.parent.mkdir(parents=True)
    path.write_text(text(arrays()))
    with pytest.raises(ConfigError, match="seen those of bybit_inverse, whose quantities are contracts"):
        load_candles(path)


@pytest.mark.parametrize(
    "place",
    [
        "markPriceKlines/BTCUSDT/1m/BTCUSDT-1m-2025-01.csv",
        "premiumIndexKlines/1m/BTCUSDT-1m.csv",
        "BTC_USDT_USDT-1m-mark.csv",
    ],
)
def test_candles_in_which_nothing_can_trade_are_refused_by_their_name(tmp_path, place):
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(arrays()))
    with pytest.raises(DataError, match=r"expected candles of trades, seen (mark prices|a premium) by its name"):
        load_candles(path)


@pytest.mark.parametrize("name", ["volume_btc", "Volume BTC", "Volume (BTC)", "base_volume"])
def test_the_volume_named_after_the_base_coin_is_it_whatever_the_other_is_called(name):
    table = frame().rename(columns={"volume": name})
    table["volume"] = table[name] * table["close"]
    check(load_candles(table, symbol="BTCUSDT"))


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["vol", "vol_ccy", "vol_quote"], "'vol_ccy' is in BTC for swaps .* and 'vol' for spot"),
        (["quote_volume"], "'quote_volume' is in USDT and no substitute"),
        (["Volume USDT"], "'volume_usdt' is in USDT and no substitute"),
        (["turnover"], "'turnover' is in USDT and no substitute"),
        (["vol"], "'vol' may be in base currency, in quote currency or contracts"),
        (["amount", "contracts"], "'amount' or 'contracts' may be"),
        (["taker_buy_volume"], "; add it"),
        (["volumn"], "; rename 'volumn' to 'volume'"),
    ],
)
def test_no_volume_is_suggested_that_does_not_fit(names, says):
    table = frame().drop(columns="volume").assign(**dict.fromkeys(names, 1.0))
    with pytest.raises(DataError, match=f"column 'volume': expected a column .*{says}"):
        load_candles(table, symbol="BTCUSDT")


@pytest.mark.parametrize("prices", [(0.4, 2.5), (0.6, 0.61), (20.0, 60_000.0)])
@pytest.mark.parametrize(
    ("power", "says"),
    [(0, r"'turnover' is 1 times .* it counts USDT"), (-1, "1 / price times .* contracts of dollars")],
)
def test_a_turnover_shows_a_volume_in_money_or_in_dollar_contracts_however_far_the_price_moves(prices, power, says):
    closes = np.geomspace(*prices, 200)
    rows = [[START // 10**6 + i * 60_000, c, c, c, c, 1000.0 + i] for i, c in enumerate(closes)]
    table = frame(rows)
    base = table.assign(turnover=table["volume"] * closes * np.exp(0.01 * np.sin(np.arange(200.0))))
    assert 200 == len(load_candles(base, symbol="XRPUSDT").rows)
    with pytest.raises(DataError, match=says):
        load_candles(table.assign(turnover=table["volume"] * closes**power), symbol="XRPUSDT")


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_a_turnover_shows_a_volume_that_counts_contracts(factor):
    rows = arrays(30)
    table = frame(rows).assign(turnover=[row[5] * row[4] for row in rows])
    assert 30 == len(load_candles(table, symbol="BTCUSDT").rows)
    with pytest.raises(DataError, match="column 'volume': expected the volume in BTC, seen one that 'turnover'"):
        load_candles(table.assign(volume=table["volume"] * factor), symbol="BTCUSDT")


def test_no_price_is_suggested_that_does_not_fit():
    table = frame().rename(columns={"low": "flow"}).assign(flow=0.1)
    with pytest.raises(DataError, match=r"expected a column named low, .*; add it"):
        load_candles(table, symbol="BTCUSDT")


@pytest.mark.parametrize("early", [1, 1000, 10**6, 10**9])
@pytest.mark.parametrize("name", ["timestamp", "close_time"])
def test_stamps_a_moment_before_the_close_are_closes(early, name):
    table = dated().rename(columns={"timestamp": name})
    table[name] = table[name].dt.as_unit("ns") + pd.Timedelta(MINUTE - early)
    check(load_candles(table, symbol="BTCUSDT"))


def test_a_column_of_closes_alone_is_read_as_such():
    table = frame().rename(columns={"timestamp": "close_time"})
    table["close_time"] += 60_000
    check(load_candles(table, symbol="BTCUSDT"))


def test_closes_beside_stamps_that_are_closes_too_are_believed():
    table = frame()
    table["timestamp"] += 60_000
    check(load_candles(table.assign(close_time=table["timestamp"] - 1), symbol="BTCUSDT"))


def test_closes_in_a_column_of_opens_are_refused():
    table = frame().rename(columns={"timestamp": "open_time"})
    table["open_time"] += 59_999
    with pytest.raises(
        DataError, match=r"column 'open_time': expected when bars open, .* seen .*T00:00:59.999Z, a close"
    ):
        load_candles(table, symbol="BTCUSDT")


@pytest.mark.parametrize(
    "order", [("open", "close", "high", "low"), ("open", "low", "high", "close"), ("high", "open", "low", "close")]
)
def test_columns_in_another_order_are_one_fault_of_the_table(order):
    table = frame(arrays(30))
    rows = table[["timestamp", *order, "volume"]].to_numpy()
    with pytest.raises(DataError, match=r"in 30 of 30 rows .*: are the columns open, \w+, \w+, \w+\?|are the columns"):
        load_candles(rows, symbol="BTCUSDT")


def test_a_rule_that_most_rows_break_is_one_fault_of_the_table():
    table = frame().assign(open=-1.0, low=-2.0)
    with pytest.raises(DataError, match="column 'open': expected a price above 0, seen otherwise in 5 of 5 rows"):
        load_candles(table, symbol="BTCUSDT")


@pytest.mark.parametrize(
    ("day", "minutes", "sunday"),
    [
        ("2023-10-29", 5, "last Sunday of October"),
        ("2023-10-29", 60, "last Sunday of October"),
        ("2024-11-03", 15, "first Sunday of November"),
        ("2024-04-07", 30, "first Sunday of April"),
    ],
)
def test_local_times_at_the_end_of_summer_time_are_known(day, minutes, sunday):
    before = pd.date_range(day, periods=180 // minutes, freq=f"{minutes}min")
    after = pd.date_range(f"{day} 02:00", periods=20, freq=f"{minutes}min")
    stamps = [*before, *after]
    table = frame(arrays(len(stamps))).assign(timestamp=stamps)
    with pytest.raises(DataError, match=f"an hour back on the {sunday}; these are local times"):
        load_candles(table, symbol="BTCUSDT")


def test_two_series_one_behind_the_other_are_named():
    with pytest.raises(DataError, match=r"row 11, .*; its times begin anew there: are these two symbols"):
        load_candles(arrays(10) + arrays(10), symbol="BTCUSDT")
    doubled = [row for row in arrays(10) for _ in range(2)]
    with pytest.raises(DataError, match=r"row 2, .*; most times come twice: are these two symbols"):
        load_candles(doubled, symbol="BTCUSDT")


# files as people have them


def test_a_number_of_the_row_is_no_time_and_what_looks_like_one_is_named(tmp_path):
    path = tmp_path / "BTCUSDT_1m.csv"
    frame().rename(columns={"timestamp": "ts"}).to_csv(path)
    with pytest.raises(DataError, match="no column of a known name; 'ts' looks like one: rename it to 'open_time' if"):
        load_candles(path)
    frame().rename(columns={"timestamp": "openTime"}).to_csv(path)
    check(load_candles(path))
    dated().set_index("timestamp").rename_axis(None).to_csv(path)
    check(load_candles(path))


def test_a_website_s_line_and_its_two_volumes_are_no_hindrance(tmp_path):
    path = tmp_path / "BTCUSDT_minute.csv"
    rows = [
        [row[0] // 1000, "2025-01-01 07:00:00", "BTC/USDT", *row[1:], row[5] * row[4], 3] for row in reversed(arrays())
    ]
    path.write_text("https://site.test\n" + text(rows, "Unix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT,n"))
    check(load_candles(path))


def test_columns_that_come_twice_matter_only_where_they_are_read_and_differ(tmp_path):
    path = tmp_path / "BTCUSDT.csv"
    path.write_text(text([[*row, 1, 2] for row in arrays()], "timestamp,open,high,low,close,volume,Plot,Plot"))
    check(load_candles(path))
    path.write_text(text([[*row, row[4]] for row in arrays()], "timestamp,open,high,low,close,volume,Close"))
    check(load_candles(path))


@pytest.mark.parametrize("form", ["pyarrow", "records", "record batch"])
def test_tables_of_other_libraries_are_read(form):
    table = pa.Table.from_pandas(frame())
    source = {"pyarrow": table, "records": table.to_pylist(), "record batch": table.to_batches()[0]}[form]
    check(load_candles(source, symbol="BTCUSDT"))


class Foreign:
    """A frame of a library that is not here, as polars' is: columns, and Arrow's stream."""

    def __init__(self, table):
        self.table, self.columns = table, table.column_names

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def test_whatever_streams_arrow_is_a_table():
    check(load_candles(Foreign(pa.Table.from_pandas(frame())), symbol="BTCUSDT"))


def test_what_has_to_be_collected_first_says_so():
    lazy = type("LazyFrame", (), {"columns": [], "collect": print})()
    with pytest.raises(ConfigError, match=r"seen LazyFrame; call its collect\(\) first"):
        load_candles(lazy, symbol="BTCUSDT")


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("pack", ["csv.gz", "zip", "csv.zst", "csv.bz2", "json.gz", "parquet.gz"])
def test_packed_files_are_read(tmp_path, pack, header):
    path = tmp_path / f"btcusdt.{pack}"
    data = text(arrays(), ",".join(COLUMNS) if header else None).encode()
    if pack == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("BTCUSDT-1m-2025-01.csv", data)
    elif pack == "parquet.gz":
        dated().to_parquet(tmp_path / "x")
        path.write_bytes(gzip.compress((tmp_path / "x").read_bytes()))
    else:
        data = json.dumps(arrays() if not header else frame().to_dict("records")).encode() if "json" in pack else data
        packs = {"gz": gzip.compress, "zst": zstandard.compress, "bz2": bz2.compress}
        path.write_bytes(packs[pack[-3:].removeprefix(".")](data))
    check(load_candles(path))


def test_the_name_of_the_file_in_a_zip_counts_where_its_own_tells_nothing(tmp_path):
    with zipfile.ZipFile(tmp_path / "download.zip", "w") as archive:
        archive.writestr("BTCUSDT-1m-2025-01.csv", text(arrays()))
    check(load_candles(tmp_path / "download.zip"))


@pytest.mark.parametrize(
    ("inner", "says"),
    [
        ("ETHUSDT-1m-2025-01.csv", "expected a file of BTCUSDT in it, as the name of BTCUSDT-1m-4.zip says, seen ETH"),
        ("BTCUSDT_250328-1m-2025-01.csv", "a dated contract"),
        ("BTCUSD_PERP-1m-2025-01.csv", "settled in its coin"),
        ("data/markPriceKlines/BTCUSDT/1m/BTCUSDT-1m-2025-01.csv", "seen mark prices by its name"),
    ],
)
def test_the_name_of_the_file_in_a_zip_is_held_to_the_same_rules_and_must_agree(tmp_path, inner, says):
    for name in ("BTCUSDT-1m-4.zip", "download.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(inner, text(arrays()))
        if name == "BTCUSDT-1m-4.zip" or "ETH" not in inner:
            with pytest.raises((ConfigError, DataError), match=says):
                load_candles(tmp_path / name)


@pytest.mark.parametrize("cell", ["1_0", "0x65", "0X65"])
def test_what_a_language_alone_reads_as_a_number_is_none(tmp_path, cell):
    table = frame(columns=COLUMNS).astype({"close": int, "low": int}).astype({"close": str})
    table["close"] = cell
    table.to_csv(tmp_path / "BTCUSDT.csv", index=False)
    (tmp_path / "BTCUSDT.json").write_text(json.dumps([[*row[:4], cell, row[5]] for row in arrays()]))
    for source in (tmp_path / "BTCUSDT.csv", tmp_path / "BTCUSDT.json"):
        with pytest.raises(DataError, match=f"row 1, column 'close': expected a number, seen '{cell}'"):
            load_candles(source)


def test_truth_is_no_price(tmp_path):
    rows = [[*row[:4], True, row[5]] for row in arrays()]
    (tmp_path / "BTCUSDT.json").write_text(json.dumps(rows))
    for source in (tmp_path / "BTCUSDT.json", frame(rows), [dict(zip(COLUMNS, row, strict=True)) for row in rows]):
        with pytest.raises(DataError, match="row 1, column 'close': expected a number, seen True"):
            load_candles(source, symbol="BTCUSDT")


def test_a_symbol_column_of_bytes_is_read_where_it_is_text_and_refused_where_not(tmp_path):
    path = tmp_path / "BTCUSDT.parquet"
    frame().assign(symbol=b"BTCUSDT").to_parquet(path)
    check(load_candles(path))
    frame().assign(symbol=b"\xff\xfe").to_parquet(path)
    with pytest.raises(DataError, match=r"column 'symbol': expected BTCUSDT as the name of BTCUSDT\.parquet says"):
        load_candles(path)


def test_trades_are_told_from_candles(tmp_path):
    path = tmp_path / "BTCUSDT2025-01-01.csv"
    path.write_text("timestamp,symbol,side,size,price\n1735689600.1,BTCUSDT,Buy,1,100\n")
    with pytest.raises(DataError, match=r"expected candles, seen trades .*load_trades reads them"):
        load_candles(path)


def test_a_parquet_file_of_too_many_rows_is_refused_by_what_it_says_of_itself(tmp_path, monkeypatch):
    dated().to_parquet(tmp_path / "BTCUSDT.parquet")
    monkeypatch.setattr(tables, "MOST_ROWS", 4)
    with pytest.raises(DataError, match="expected at most 4 rows, seen 5; cut the file"):
        load_candles(tmp_path / "BTCUSDT.parquet")


def test_few_long_texts_of_a_parquet_file_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MOST_HELD", 1000)
    dated().assign(symbol="BTCUSDT" * 100).to_parquet(tmp_path / "BTCUSDT.parquet")
    with pytest.raises(DataError, match="column 'symbol': expected words, seen texts of 700 bytes"):
        load_candles(tmp_path / "BTCUSDT.parquet")


# long files, whose columns are read one by one


def told(path, **asked):
    """All that is said of a file's candles, or the sentence that refuses them."""
    try:
        candles = load_candles(path, **asked)
    except (ConfigError, DataError) as error:
        return type(error), str(error)
    return candles.rows.tobytes(), *(
        getattr(candles, each.name) for each in dataclasses.fields(candles) if each.name != "rows"
    )


def archived(n=60):
    """Bars with all that a file may say of them."""
    rows = arrays(n)
    table = frame(rows)
    return table.assign(
        open_time=table["timestamp"],
        close_time=table["timestamp"] + 59_999,
        quote_volume=table["volume"] * table["close"],
        taker_buy_volume=table["volume"] / 2,
        confirm=True,
        symbol="BTCUSDT",
        market="perpetual",
    )


LONG_CASES = {
    "all there is": lambda table: table,
    "newest first": lambda table: table[::-1],
    "gaps": lambda table: table.drop(index=[3, 4, 17]),
    "unfinished": lambda table: table.assign(confirm=[*[True] * 59, False]),
    "unfinished by its close": lambda table: table.assign(
        close_time=[*table["close_time"][:-1], START // 10**6 + 59 * 60_000 + 9]
    ),
    "closes alone": lambda table: table.drop(columns=["timestamp", "open_time"]),
    "dates": lambda table: table.assign(open_time=pd.to_datetime(table["open_time"], unit="ms")),
    "an index of dates": lambda table: table.drop(columns=["timestamp", "open_time", "close_time"]).set_index(
        pd.to_datetime(table["timestamp"], unit="ms").rename(None)
    ),
    "narrow": lambda table: table.astype(dict.fromkeys(["open", "high", "low", "close"], "float32")),
    "widened": lambda table: table.assign(
        **{name: (table[name] + 0.17).astype("float32").astype("float64") for name in ("open", "high", "low", "close")}
    ),
    "whole": lambda table: table.astype({"volume": "int64"}),
    "texts": lambda table: table.astype({"close": str, "volume": str}),
    "two names in one": lambda table: table.assign(Close=table["close"]),
    "two meanings of a name": lambda table: table.assign(Close=table["close"] + 1),
    "an empty cell": lambda table: table.assign(low=[*table["low"][:7], None, *table["low"][8:]]),
    "an empty cell, newest first": lambda table: table.assign(low=[*table["low"][:7], None, *table["low"][8:]])[::-1],
    "twice": lambda table: pd.concat([table[:9], table[8:]]),
    "out of order": lambda table: pd.concat([table[:9], table[12:], table[9:12]]),
    "another symbol": lambda table: table.assign(symbol=["BTCUSDT"] * 59 + ["ETHUSDT"]),
    "money": lambda table: table.assign(volume=table["quote_volume"]),
    "no close": lambda table: table.drop(columns="close").rename(columns={"open": "opn"}),
    "more taken than traded": lambda table: table.assign(taker_buy_volume=table["volume"] * 2),
    "no time": lambda table: table.drop(columns=["timestamp", "open_time", "close_time"]),
}


@pytest.mark.parametrize("case", LONG_CASES)
@pytest.mark.parametrize("pack", [False, True], ids=["plain", "packed"])
def test_of_a_long_file_the_same_is_said_as_of_a_short_one(tmp_path, monkeypatch, case, pack):
    path = tmp_path / "BTCUSDT_1m.parquet"
    LONG_CASES[case](archived()).to_parquet(path, row_group_size=16)
    if pack:
        path.write_bytes(gzip.compress(path.read_bytes()))
    short = told(path)
    monkeypatch.setattr(tables, "LONG", 0)
    assert short == told(path)


# properties


@st.composite
def candle_rows(draw):
    n = draw(st.integers(4, 20))
    steps = draw(
        st.lists(st.sampled_from([1, 1, 1, 2, 5]), min_size=n - 1, max_size=n - 1).filter(lambda s: s.count(1) > n // 2)
    )
    rows, ts = [], START // 10**6
    for step in [0, *steps]:
        ts += step * 60_000
        ticks = sorted(draw(st.lists(st.integers(1, 10**7), min_size=4, max_size=4)))
        prices = [t / 100 for t in ticks]
        inner = draw(st.permutations(prices[1:3]))
        rows.append([ts, inner[0], prices[3], prices[0], inner[1], draw(st.integers(0, 10**6)) / 8])
    return rows


@given(candle_rows(), st.sampled_from(["parquet", "csv", "json", "feather"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_valid_candles_come_back_as_they_were_written(tmp_path, rows, form):
    path = tmp_path / f"BTCUSDT.{form}"
    if form == "json":
        path.write_text(json.dumps(rows))
    elif form == "csv":
        frame(rows).to_csv(path, index=False)
    elif form == "parquet":
        dated(rows).to_parquet(path)
    else:
        feather.write_feather(dated(rows), str(path))
    candles = load_candles(path)
    got = candles.rows
    assert rows == [
        [(int(r["ts"]) - MINUTE) // 10**6, *(float(r[f]) for f in ("open", "high", "low", "close", "volume"))]
        for r in got
    ]
    spanned = (rows[-1][0] - rows[0][0]) // 60_000 + 1
    assert spanned == len(rows) + sum(gap.missing for gap in candles.gaps)
    assert got.tobytes() == load_candles(rows, symbol="BTCUSDT").rows.tobytes()


@given(candle_rows(), st.data())
@settings(max_examples=150, deadline=None)
def test_any_single_corruption_is_refused_in_its_row(rows, data):
    row = data.draw(st.integers(1, len(rows) - 1))
    kind = data.draw(
        st.sampled_from(["time", "nan", "inf", "sign", "zero", "above", "below", "volume", "text", "twice"])
    )
    price = data.draw(st.integers(1, 4))
    broken = [list(r) for r in rows]
    if kind == "time":
        broken[row][0] += data.draw(st.integers(-59_999, 59_999).filter(bool))
    elif kind == "twice":
        broken.insert(row, rows[row])
        row += 1
    elif kind == "volume":
        broken[row][5] = -0.5
    elif kind == "above":
        broken[row][data.draw(st.sampled_from([1, 4]))] = rows[row][2] + 0.01
    elif kind == "below":
        broken[row][2] = rows[row][3] - 0.01
    else:
        broken[row][price] = {"nan": np.nan, "inf": np.inf, "sign": -rows[row][price], "zero": 0.0, "text": "1.2.3"}[
            kind
        ]
    with pytest.raises(DataError, match=r"row \d+, column ") as caught:
        load_candles(broken, symbol="BTCUSDT")
    if kind != "time":  # there the spacing may be what is blamed
        assert f"row {row + 1}, " in str(caught.value)


# the recorded files


@recorded
@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-3:]))
def test_every_recorded_file_loads_with_its_known_defects(path):
    market, tf, name = path.parts[-3:]
    halts = {
        "AVAXUSDT_202309": 22,
        "FILUSDT_202308_202310": 76,
        "FILUSDT_202409_202410": 89,
        "NEARUSDT_202308_202310": 271,
    }
    by_place = {("binance_spot", "1h"): 1, ("binance_usdm", "5m"): 5}
    zero = by_place.get((market, tf), halts.get(path.stem, 0))
    candles = load_candles(path)
    assert (market, tf, name.split("_")[0], zero, False) == (
        candles.market,
        candles.tf,
        candles.symbol,
        candles.zero_volume,
        candles.dropped_unfinished,
    )
    assert (1 if market == "binance_spot" else 0) == len(candles.gaps)
    table = pd.read_parquet(path)
    assert len(table) == len(candles.rows)
    opened = table["timestamp"].dt.as_unit("ns").to_numpy().view(np.int64)
    assert (opened + candles.tf_ns == candles.rows["ts"]).all()
    assert np.isnan(candles.rows["taker_buy"]).all() == ("taker_buy_volume" not in table)


@recorded
@pytest.mark.parametrize("path", sorted(OHLCV.glob("binance_spot/1h/*.parquet")), ids=lambda path: path.stem)
def test_the_missing_hour_of_the_spot_outage_is_the_one_gap(path):
    noon = int(datetime(2023, 3, 24, 12, tzinfo=UTC).timestamp()) * 10**9
    hour = 60 * MINUTE
    candles = load_candles(path)
    assert (Gap(after_ts=noon + hour, before_ts=noon + 3 * hour, missing=1),) == candles.gaps
    quiet = candles.rows[candles.rows["volume"] == 0.0]
    assert [noon + hour] == quiet["ts"].tolist()


# the module


def test_importing_the_loader_imports_neither_pandas_nor_arrow_nor_numba():
    code = "import sys, ingest.files.candles; print([m for m in ('pandas', 'pyarrow', 'numba') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()


def test_candles_are_frozen():
    candles = load_candles(arrays(), symbol="BTCUSDT")
    with pytest.raises(dataclasses.FrozenInstanceError):
        candles.tf = "5m"
