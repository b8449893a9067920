import hashlib
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from ingest.files import tables
from ingest.files.tables import read_table
from utils.errors import ConfigError, DataError

CSV = "Open Time;CLOSE\n1;2.5\n3;4.5\n"


def test_a_file_is_a_table_with_plain_names_and_the_hash_of_its_bytes(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(CSV)
    table = read_table(path)
    assert (["open_time", "close"], 2, "a.csv") == (list(table.columns), table.size, table.name)
    assert hashlib.sha256(CSV.encode()).hexdigest() == table.sha256


def test_rows_without_names_have_those_of_their_number():
    assert {"timestamp", "open", "high", "low", "close", "volume"} == set(read_table([[1, 2, 3, 4, 5, 6]]).columns)
    assert ["a", "b"] == list(read_table(np.ones((2, 2)), unnamed={2: ("a", "b")}).columns)


def test_an_index_of_dates_is_a_column_and_another_is_none():
    closes = pd.DataFrame({"close": [1.0]})
    assert ["close"] == list(read_table(closes).columns)
    assert "timestamp" in read_table(closes.set_index(pd.DatetimeIndex(["2025-01-01"], name="date"))).columns


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.csv", b" \n", "seen an empty file"),
        ("noise.bin", b"\x01\0\x02", "seen other binary data"),
        ("torn.parquet", b"PAR1torn", "torn.parquet: expected"),
        ("head.csv", b"open,close\n", "at least one row"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_table(tmp_path / name)


def test_a_missing_file_is_refused_and_the_nearest_named(tmp_path):
    (tmp_path / "BTCUSDT_1m.csv").write_text(CSV)
    with pytest.raises(DataError, match=r"seen none; did you mean BTCUSDT_1m\.csv"):
        read_table(tmp_path / "BTCUSDT_1n.csv")


def test_what_is_neither_file_nor_table_is_the_users_mistake():
    with pytest.raises(ConfigError, match="seen dict; pass one of these"):
        read_table({"close": [1]})


@pytest.mark.parametrize("compression", ["zstd", "lz4", "uncompressed"])
def test_of_a_feather_file_the_wanted_columns_are_read_whatever_their_kinds(tmp_path, compression):
    whole = pa.table(
        {
            "junk": [[1.0], [2.0], None],
            "Close": [1.5, None, 2.5],
            "symbol": pa.array(["A", "A", "B"]).dictionary_encode(),
            "t": pa.array([1, 2, 3], pa.timestamp("ms", "UTC")),
        }
    )
    feather.write_feather(whole, tmp_path / "x.feather", compression=compression, chunksize=2)
    table = read_table(tmp_path / "x.feather", wanted=lambda name: name != "junk")
    assert (["close", "symbol", "t"], ("junk", "close", "symbol", "t"), 3) == (
        list(table.columns),
        table.names,
        table.size,
    )
    assert [["A", "A", "B"], [1.5, None, 2.5]] == [table.columns[name].to_pylist() for name in ("symbol", "close")]


def test_a_feather_file_of_the_first_version_is_read(tmp_path):
    with pytest.deprecated_call():
        feather.write_feather(pd.DataFrame({"close": [1.5, 2.5]}), tmp_path / "x.feather", version=1)
        assert 2 == read_table(tmp_path / "x.feather").size


def test_a_feather_file_that_unpacks_to_more_than_a_table_is_refused_before(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MOST_ROWS", 10_000)
    path = tmp_path / "x.feather"
    zeros = np.zeros(30_000)
    feather.write_feather(pa.table({"close": zeros}), path, compression="zstd", chunksize=5_000)
    with pytest.raises(DataError, match="expected at most 10,000 rows, seen 30,000"):
        read_table(path)
    feather.write_feather(pa.table({"symbol": ["x" * 500_000]}), path, compression="zstd")
    with pytest.raises(DataError, match="seen columns of"):
        read_table(path)
    feather.write_feather(pa.table({"symbol": pa.array(["x" * 500_000]).dictionary_encode()}), path)
    with pytest.raises(DataError, match="seen columns of"):
        read_table(path)


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.struct([("a", pa.float64())]), pa.binary(1000)])
def test_columns_whose_cells_may_be_of_any_size_are_refused_before_they_are_read(tmp_path, kind):
    table = pa.table({"close": pa.array([None, None], kind), "open": [1.0, 2.0]})
    pq.write_table(table, tmp_path / "x.parquet")
    feather.write_feather(table, tmp_path / "x.feather")
    for name in ("x.parquet", "x.feather"):
        with pytest.raises(DataError, match="column 'close': expected a number, a time or a word in each row, seen"):
            read_table(tmp_path / name)
        assert ["open"] == list(read_table(tmp_path / name, wanted=lambda column: column == "open").columns)


@pytest.mark.parametrize("cut", [9, 40, 200, 700])
def test_a_feather_file_that_was_cut_off_is_refused(tmp_path, cut):
    feather.write_feather(pa.table({"close": np.arange(1000.0)}), tmp_path / "x.feather", compression="zstd")
    data = (tmp_path / "x.feather").read_bytes()
    (tmp_path / "x.feather").write_bytes(data[:cut])
    with pytest.raises(DataError, match="expected a Feather file, seen a damaged one"):
        read_table(tmp_path / "x.feather")


def test_records_of_many_names_and_many_rows_are_refused_before_they_are_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MOST_VALUES", 1000)
    records = ",".join([*(f'{{"{i}":1}}' for i in range(90)), *["{}"] * 90])
    (tmp_path / "x.json").write_text(f"[{records}]")
    with pytest.raises(DataError, match="expected at most 1,000 values, seen 180 records of 6 names and more"):
        read_table(tmp_path / "x.json")


def test_a_table_of_very_many_columns_is_refused_in_few_words(tmp_path):
    (tmp_path / "x.csv").write_text(",".join(f"c{i}" for i in range(2000)) + "\n" + ",".join(["1"] * 2000) + "\n")
    with pytest.raises(DataError, match="expected at most 1,000 columns, seen 2,000"):
        read_table(tmp_path / "x.csv")


# a long Parquet file, whose columns are read one by one


def test_a_long_file_leaves_its_columns_where_they_are(tmp_path, monkeypatch):
    n = 200_000
    pq.write_table(pa.table({name: np.arange(n) + 0.5 for name in "abcdef"}), tmp_path / "x.parquet")
    before = pa.total_allocated_bytes()
    monkeypatch.setattr(tables, "LONG", n - 1)
    long = read_table(tmp_path / "x.parquet")
    held = pa.total_allocated_bytes() - before
    assert (list("abcdef"), n, True) == (list(long.columns), long.size, held < 8 * n)
    monkeypatch.setattr(tables, "LONG", n)
    short = read_table(tmp_path / "x.parquet")
    assert short.column("c").equals(long.column("c"))
    assert (long.turned().column("f")[0].as_py(), long.turned().turned().column("f")[0].as_py()) == (n - 0.5, 0.5)


def test_a_long_file_is_looked_at_to_its_end_before_any_of_it_is_believed(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "LONG", 0)
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": np.arange(9.0), "b": np.arange(9.0)}), path, use_dictionary=False, compression="none")
    data = bytearray(path.read_bytes())
    at = pq.ParquetFile(path).metadata.row_group(0).column(1).data_page_offset
    data[at : at + 8] = b"\xff" * 8
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"x\.parquet: expected a Parquet file, seen a damaged one"):
        read_table(path)


def test_a_long_file_that_is_cut_while_it_is_read_is_a_damaged_one(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "LONG", 0)
    pq.write_table(pa.table({"a": np.arange(9.0), "word": ["x"] * 9}), tmp_path / "x.parquet")
    table = read_table(tmp_path / "x.parquet")
    os.truncate(tmp_path / "x.parquet", 8)
    assert 9 == len(table.column("word"))
    with pytest.raises(DataError, match=r"x\.parquet: expected a Parquet file, seen a damaged one"):
        table.column("a")
