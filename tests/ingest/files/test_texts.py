import gzip
import json
import subprocess
import sys

import numpy as np
import pytest

from ingest.files import texts
from ingest.files.tables import read_table
from ingest.files.texts import layout_of, read_json
from tests.places import ROOT
from utils.errors import DataError


@pytest.mark.parametrize(
    ("head", "delimiter", "skip", "named"),
    [
        (b"a,b\n1,2\n3,4\n", ",", 1, True),
        (b"1;2\n3;4\n", ";", 0, False),
        (b"https://site.test\na,b,c\n1,2,3\n4,5,6\n", ",", 2, True),
        (b"# by us, today\n\na\tb\n1\t2\n3\t4\n", "\t", 3, True),
        (b"sep=,\r\na,b,c\r\n1,2,3\r\n4,5,6\r\n", ",", 2, True),
        (b"\xef\xbb\xbfa|b\n1|2\n3|4\n", "|", 1, True),
        (b'"a","b"\n"1","2"\n', ",", 1, True),
    ],
)
def test_where_the_rows_begin_and_what_divides_them(head, delimiter, skip, named):
    layout = layout_of("x.csv", head)
    assert (delimiter, skip, named) == (layout.delimiter, layout.skip, layout.named)


def test_a_header_of_another_width_than_all_rows_is_the_header_s_fault():
    with pytest.raises(DataError, match="line 1: expected a header of 3 columns, as the rows below it have, seen 2"):
        layout_of("x.csv", b"a,b\n1,2,3\n4,5,6\n7,8,9\n")


@pytest.mark.parametrize("block", [64, 1 << 22])
def test_pieces_of_a_file_are_one_column_whatever_their_kinds(tmp_path, monkeypatch, block):
    monkeypatch.setattr(texts, "BLOCK", block)
    lines = [f"{1_704_067_200_000 + i},{i if i < 50 else i + 0.5},{'' if i < 40 else i}, {i} " for i in range(100)]
    (tmp_path / "x.csv").write_text("t,mixed,late,spaced\n" + "\n".join(lines) + "\n")
    table = read_table(tmp_path / "x.csv")
    assert 1_704_067_200_000 + np.arange(100) == pytest.approx(np.asarray(table.columns["t"]))
    assert [*range(50), *(i + 0.5 for i in range(50, 100))] == np.asarray(table.columns["mixed"]).tolist()
    late = np.asarray(table.columns["late"], dtype=float)
    assert (40, 99.0) == (np.isnan(late).sum(), late[-1])
    assert [*range(100)] == np.asarray(table.columns["spaced"]).tolist()


def test_a_cell_of_another_kind_far_down_is_refused_with_its_row(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "BLOCK", 64)
    lines = [f"{i},x" if i == 77 else f"{i},{i}" for i in range(100)]
    (tmp_path / "x.csv").write_text("a,b\n" + "\n".join(lines) + "\n")
    with pytest.raises(
        DataError, match=r"x\.csv: row 78, column 'b': expected a number as in the rows before, seen 'x'"
    ):
        read_table(tmp_path / "x.csv")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_torn_row_of_a_long_file_ends_the_process_with_its_sentence(tmp_path, pack):
    lines = [b"a,b", *(b"%d,%d" % (i, i) for i in range(400_000))]
    lines[10] = b"1"
    (tmp_path / "x.csv").write_bytes(pack(b"\n".join(lines)))
    code = "import sys; from ingest.files.tables import read_table; read_table(sys.argv[1])"
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.csv")],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert 1 == ended.returncode
    assert "x.csv: row 10: expected 2 columns, seen 1" in ended.stderr.splitlines()[-1]


def test_a_torn_row_far_down_has_its_number(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "BLOCK", 64)
    (tmp_path / "x.csv").write_text("a,b\n" + "".join(f"{i}\n" if i == 77 else f"{i},{i}\n" for i in range(100)))
    with pytest.raises(DataError, match="row 78: expected 2 columns, seen 1"):
        read_table(tmp_path / "x.csv")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("block", range(5, 40, 7))
def test_pieces_are_cut_at_the_ends_of_lines_whatever_these_are(tmp_path, monkeypatch, end, block):
    monkeypatch.setattr(texts, "BLOCK", block)
    rows = [f"{i},{i * 1.5}" for i in range(40)]
    (tmp_path / "x.csv").write_bytes(end.join(["# ours", "a,b", *rows]).encode())
    table = read_table(tmp_path / "x.csv")
    assert (40, [i * 1.5 for i in range(40)]) == (table.size, np.asarray(table.columns["b"]).tolist())


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "MOST_LINE", 1 << 17)
    for head in (b"", b"a,b\n1,2\n"):
        (tmp_path / "x.csv").write_bytes(head + b"1" * (1 << 23))
        with pytest.raises(DataError, match=r"expected lines of at most \d+ KiB, seen a longer one"):
            read_table(tmp_path / "x.csv")


def test_only_what_is_wanted_is_kept_and_all_names_are_known(tmp_path):
    (tmp_path / "x.csv").write_text("a,b,c\n1,2,3\n")
    table = read_table(tmp_path / "x.csv", wanted=lambda name: name == "b")
    assert (["b"], ("a", "b", "c")) == (list(table.columns), table.names)


ROWS = [[1, 2.5], [3, 4.5]]


@pytest.mark.parametrize(
    ("found", "rows"),
    [
        (ROWS, ROWS),
        ([{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 2}]),
        ({"a": [1, 3], "b": [2, 4]}, {"a": [1, 3], "b": [2, 4]}),
        ({"a": {"0": 1, "1": 3}, "b": {"0": 2, "1": 4}}, {"a": [1, 3], "b": [2, 4]}),
        ({"columns": ["a", "b"], "index": [0, 1], "data": ROWS}, [{"a": 1, "b": 2.5}, {"a": 3, "b": 4.5}]),
    ],
)
def test_json_of_every_usual_shape_is_rows_records_or_columns(found, rows):
    assert rows == read_json("x.json", json.dumps(found).encode())


def test_json_line_by_line_is_records():
    assert [{"a": 1}, {"a": 2}] == read_json("x.json", b'{"a": 1}\n{"a": 2}\n')


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"[" * 200_000, "brackets within brackets without end"),
        (b'{"a":' * 100_000, "brackets within brackets without end"),
        (b"[[1, 2", "seen a damaged file"),
        (b'{"code": 0, "result": {}}', "seen an object of 'code', 'result'"),
        (b"[1, 2]", "seen another shape"),
    ],
)
def test_json_of_no_table_is_refused(data, says):
    with pytest.raises(DataError, match=says):
        read_json("x.json", data)


def test_json_of_too_many_values_is_refused_before_it_is_parsed(monkeypatch):
    monkeypatch.setattr(texts, "MOST_VALUES", 10)
    with pytest.raises(DataError, match="at most 10 values of JSON"):
        read_json("x.json", b"[[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]]")


def test_json_of_empty_rows_is_refused_before_it_is_parsed(monkeypatch):
    monkeypatch.setattr(texts, "MOST_BRACKETS", 10)
    with pytest.raises(DataError, match="at most 10 rows of JSON, seen 13"):
        read_json("x.json", b"[" + b"[]," * 11 + b"{}]")


@pytest.mark.parametrize("data", [b'[{"a": 1, "b": 2, "a": 3}]', b'{"a": 1}\n{"b": 1, "a": 2, "a": 2}\n'])
def test_a_name_that_comes_twice_in_a_record_is_refused(data):
    with pytest.raises(DataError, match=r"x\.json: expected each name once, seen 'a' twice"):
        read_json("x.json", data)
