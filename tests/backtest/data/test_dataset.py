"""Data sets on the disk: what is read is what was made, and nothing else is taken for one."""

import errno
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtest.data import dataset
from backtest.data.dataset import KEY, make_dataset, read_dataset, write_dataset
from backtest.data.decisions import MORE
from backtest.data.market import synthetic_market
from ml.learning.table import BESIDE
from utils.errors import DataError, StorageError
from utils.settings.tree import Settings

SETTINGS = Settings()


@pytest.fixture(scope="module")
def market():
    return synthetic_market(SETTINGS, "BTCUSDT,ETHUSDT", "1m", 500)


@pytest.fixture(scope="module")
def file(market, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "features.parquet"
    write_dataset(path, market, SETTINGS)
    return path


def test_what_is_read_is_what_was_made_in_memory(market, file):
    made, read = make_dataset(market, SETTINGS), read_dataset(file)
    assert read.table.names == made.table.names
    assert read.table.symbols == made.table.symbols
    assert read.table.tf_ns == made.table.tf_ns
    for name in BESIDE:
        np.testing.assert_array_equal(getattr(read.table, name), getattr(made.table, name))
    for name in MORE:
        np.testing.assert_array_equal(getattr(read, name), getattr(made, name))
    assert {**read.manifest, "content": None} == {**json.loads(json.dumps(made.manifest)), "content": None}


def test_a_frame_of_the_file_has_the_promised_columns(file):
    frame = pd.read_parquet(file, dtype_backend="pyarrow")
    made = read_dataset(file)
    assert list(frame.columns[:3]) == ["ts", "symbol", "side"]
    assert list(frame.columns[3 : 3 + len(made.table.names)]) == list(made.table.names)
    assert str(frame["ts"].dtype) == "timestamp[ms, tz=UTC][pyarrow]"
    won = frame["net_bps_long"].to_numpy(np.float64, na_value=np.nan) > 0
    known = frame["label_long_win"].notna()
    assert frame["label_long_win"][known].tolist() == won[known].astype(int).tolist()
    assert frame["label_win"].equals(frame["label_long_win"].rename("label_win"))
    assert known.sum() == made.manifest["long"]["labels"]
    assert (frame["t1"] >= frame["t0"]).all()
    assert (frame["t0"] == frame["ts"]).all()


def test_the_same_market_gives_the_same_bytes(market, file, tmp_path):
    again = tmp_path / "again.parquet"
    write_dataset(again, market, SETTINGS)
    assert again.read_bytes() == file.read_bytes()


def test_nothing_but_the_file_is_left_in_its_folder(file):
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def rewritten(file, folder, change=lambda table: table, meta=None):
    """The file with another table or manifest."""
    table = pq.read_table(file)
    manifest = json.loads(table.schema.metadata[KEY]) if KEY in (table.schema.metadata or {}) else None
    if manifest is None:
        manifest = json.loads(pq.ParquetFile(file).metadata.metadata[KEY])
    table = change(table)
    manifest |= {"rows": len(table)} | (meta or {})
    path = folder / "other.parquet"
    pq.write_table(table.replace_schema_metadata({KEY: json.dumps(manifest)}), path)
    return path


def replaced(name, values):
    """A change of one column."""
    return lambda table: table.set_column(
        table.column_names.index(name), table.schema.field(name), pa.array(values(table[name]), table[name].type)
    )


def refusal(path):
    with pytest.raises(DataError) as caught:
        read_dataset(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.startswith(str(path))
    return sentence


def test_a_file_that_is_only_written_anew_is_still_read(file, tmp_path):
    assert len(read_dataset(rewritten(file, tmp_path))) == len(read_dataset(file))


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"schema": 2}, "expected a data set of schema 1, saw 2"),
        ({"registered": "ab" * 32}, "expected the features of this version"),
        ({"rows": 5}, "expected 5 rows as its manifest says"),
        ({"features": ["one"]}, "expected the columns of its manifest, saw another or no one"),
        ({"content": "ab"}, "it was changed"),
        ({"content": None}, "expected a whole manifest"),
        ({"symbols": ["BTCUSDT", "XRPUSDT"]}, "expected one of BTCUSDT, XRPUSDT, saw 'ETHUSDT'"),
    ],
)
def test_another_manifest_is_refused(file, tmp_path, meta, said):
    assert said in refusal(rewritten(file, tmp_path, meta=meta))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.slice(0, 40), "expected at least 50 rows with a label in either direction"),
        (lambda table: pa.concat_tables([table, table]), "in order, saw an earlier one"),
        (
            lambda table: pa.concat_tables([table.slice(0, 9), table.slice(8)]),
            "row 9: expected each ts and symbol once",
        ),
        (lambda table: table.drop_columns(["rsi_14"]), "saw another or no rsi_14"),
        (replaced("rsi_14", lambda column: [*column.to_pylist()[:-1], float("inf")]), "a feature that can be"),
        (replaced("rsi_14", lambda column: [*column.to_pylist()[:-1], 50.5]), "it was changed"),
        (replaced("rsi_14", lambda column: [*column.to_pylist()[:-1], None]), "in each row of rsi_14, saw null"),
        (replaced("side", lambda column: [0.5] * len(column)), "row 0: expected a side that can be"),
        (replaced("t1_long", lambda column: [0] * len(column)), "row 0: expected a t1 that can be"),
        (replaced("uniqueness_long", lambda column: [1.5] * len(column)), "row 0: expected a uniqueness"),
        (replaced("net_bps_long", lambda column: [-1.0] * len(column)), "in label_long_win, saw losses alone"),
        (replaced("net_bps_short", lambda column: [1.0] * len(column)), "in label_short_win, saw wins alone"),
    ],
)
def test_rows_that_no_data_set_has_are_refused(file, tmp_path, change, said):
    assert said in refusal(rewritten(file, tmp_path, change))


def test_what_is_no_data_set_is_refused(file, tmp_path):
    assert "saw nothing" in refusal(tmp_path / "absent.parquet")
    assert "saw a directory" in refusal(tmp_path)
    path = tmp_path / "x.parquet"
    whole = file.read_bytes()
    for data in (b"", b"PAR1", b"a,b\n1,2\n", whole[: len(whole) // 2], whole[:-100]):
        path.write_bytes(data)
        assert "expected a whole Parquet file" in refusal(path)
    pd.DataFrame({"a": [1.0]}).to_parquet(path)
    assert "saw a Parquet file of something else" in refusal(path)
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({KEY: b"{"}), path)
    assert "expected a manifest that can be read" in refusal(path)


def test_a_damaged_byte_is_refused(file, tmp_path):
    path = tmp_path / "x.parquet"
    whole = bytearray(file.read_bytes())
    for at in range(2_000, len(whole) - 2_000, len(whole) // 20):
        damaged = whole.copy()
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        refusal(path)


def test_more_rows_than_fit_are_refused(file, monkeypatch):
    monkeypatch.setattr(dataset, "MOST_ROWS", 100)
    assert "expected at most 100 rows" in refusal(file)


def test_a_full_disk_leaves_the_older_file(market, file, tmp_path, monkeypatch):
    path = tmp_path / "features.parquet"
    path.write_bytes(b"older")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="the disk is full, and what stood there is untouched"):
        write_dataset(path, market, SETTINGS)
    assert path.read_bytes() == b"older"
    assert [each.name for each in tmp_path.iterdir()] == ["features.parquet"]


def test_a_place_that_cannot_be_written_is_said(market, tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match="expected a file that this user may write, saw 'a directory of that name'"):
        write_dataset(tmp_path / "taken", market, SETTINGS)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="expected a file that this user may write"):
        write_dataset(tmp_path / "file" / "features.parquet", market, SETTINGS)


def test_a_history_too_short_writes_nothing(tmp_path):
    with pytest.raises(DataError, match="use a longer history"):
        write_dataset(tmp_path / "x.parquet", synthetic_market(SETTINGS, "BTCUSDT", "1m", 1), SETTINGS)
    assert list(tmp_path.iterdir()) == []
