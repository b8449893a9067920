import hashlib

import numpy as np
import pandas as pd
import pytest

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
