"""Log files that are whole or not there."""

import hashlib
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from utils.errors import StorageError
from utils.records.files import (
    FILES,
    TABLES,
    FileJournal,
    TradeLog,
    cells,
    csv_text,
    decided,
    decision_hash,
    decision_hash_of,
    plain,
    quoted,
)
from utils.records.schema import (
    ID_COLUMNS,
    NO_TIME,
    ORDER_COLUMNS,
    TEXT_COLUMNS,
    TIME_COLUMNS,
    TRADE_COLUMNS,
)


def fill(journal, text="a,b\n1,2\n"):
    for table in TABLES:
        journal.write(table, text)


@pytest.mark.parametrize(
    ("name", "values", "texts"),
    [
        ("time", np.array([0, 1_700_000_000_123_456_789]), ["1970-01-01T00:00:00.000Z", "2023-11-14T22:13:20.123Z"]),
        ("arrival_time", np.array([NO_TIME, 0]), ["", "1970-01-01T00:00:00.000Z"]),
        ("trade_id", np.array([0, 7]), ["", "7"]),
        ("side", np.array(["long", 'a "b", c']), ["long", '"a ""b"", c"']),
        ("fees", np.array([0.1, math.nan, -0.0, 1e-9, 12345678.9]), ["0.1", "", "0.0", "1e-09", "12345678.9"]),
    ],
)
def test_cells_are_exact_and_empty_where_there_is_nothing(name, values, texts):
    assert texts == cells(name, values)


@pytest.mark.parametrize(("text", "cell"), [("plain", "plain"), ("a,b", '"a,b"'), ('"', '""""'), ("a\nb", '"a\nb"')])
def test_only_what_must_be_is_quoted(text, cell):
    assert cell == quoted(text)


def test_csv_has_a_header_and_unix_line_ends():
    assert "fees,side\n0.5,long\n" == csv_text({"fees": np.array([0.5]), "side": np.array(["long"])})
    assert "fees,side\n" == csv_text({"fees": np.array([]), "side": np.array([])})


def test_the_decision_hash_is_that_of_signals_orders_and_trades():
    texts = {"trades": "t", "signals": "s", "orders": "o", "equity": "e"}
    joined = b"".join(hashlib.sha256(text.encode()).digest() for text in "sot")
    assert hashlib.sha256(joined).hexdigest() == decision_hash(texts)
    assert decision_hash(texts) == decision_hash(texts | {"equity": "other"}) != decision_hash(texts | {"trades": "x"})


ORDERS = {
    name: np.array(
        ["a"] if name in TEXT_COLUMNS else [7] if name in ID_COLUMNS | TIME_COLUMNS else [0.5],
    )
    for name in ORDER_COLUMNS
}


@pytest.mark.parametrize("source", ["a.csv", "a, b.csv", 'a "b".csv', "a\nb,c,d,e,f.csv", "a\u2028b\x1cc"])
def test_the_decision_hash_knows_no_file_name_and_no_later_column(source):
    orders = ORDERS | {"source": np.array([source])}
    told = list(ORDERS)[: list(ORDERS).index("source")]
    older = csv_text({name: orders[name] for name in told})
    texts = {"trades": "t", "signals": "s", "orders": csv_text(orders)}
    assert older == decided(csv_text(orders)) == decided(older)
    assert decision_hash(texts | {"orders": older}) == decision_hash(texts)
    assert decision_hash(texts) == decision_hash(texts | {"orders": csv_text(ORDERS)})
    assert decision_hash(texts) == decision_hash(texts | {"orders": csv_text(orders | {"role": np.array(["b"])})})
    assert decision_hash(texts) != decision_hash(texts | {"orders": csv_text(orders | {"status": np.array(["b"])})})


def test_the_decision_hash_can_be_taken_from_files(tmp_path):
    texts = {"trades": "t\n", "signals": "s\n", "orders": csv_text(ORDERS)}
    for table, text in texts.items():
        (tmp_path / f"{table}.csv").write_text(text)
    assert decision_hash(texts) == decision_hash_of(tmp_path)


def test_plain_is_what_json_holds():
    given = {"a": np.float64(1.5), "b": math.nan, "c": (np.int64(2), math.inf), 3: None, "d": np.bool_(True)}
    assert {"a": 1.5, "b": None, "c": [2, None], "3": None, "d": True} == plain(given)
    json.dumps(plain(given), allow_nan=False)


def test_a_finished_run_stands_in_its_place(tmp_path):
    with FileJournal(tmp_path / "logs", None) as journal:
        fill(journal)
        paths = journal.finish({"x": math.nan})
    assert {*TABLES, "run"} == paths.keys()
    assert {"x": None} == json.loads((tmp_path / "logs" / "run.json").read_text())
    assert sorted([*(f"{table}.csv" for table in TABLES), "run.json"]) == sorted(
        path.name for path in (tmp_path / "logs").iterdir()
    )


def test_a_kept_run_is_copied(tmp_path):
    with FileJournal(tmp_path, "now-abc") as journal:
        fill(journal)
        paths = journal.finish({})
    assert str(tmp_path / "runs" / "now-abc") == paths["kept"]
    for name in ("trades.csv", "run.json"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "runs" / "now-abc" / name).read_bytes()
        assert not (tmp_path / name).samefile(tmp_path / "runs" / "now-abc" / name)


def test_runs_of_one_name_stand_side_by_side(tmp_path):
    with FileJournal(tmp_path, "now") as first, FileJournal(tmp_path, "now") as second:
        fill(first, "first\n")
        fill(second, "second\n")
        second.finish({})
        first.finish({})
    kept = {path.name: (path / "trades.csv").read_text() for path in (tmp_path / "runs").iterdir()}
    assert {"now": "second\n", "now-2": "first\n"} == kept
    assert "first\n" == (tmp_path / "trades.csv").read_text()


@pytest.mark.parametrize("name", [None, "now"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_run_that_is_not_finished_leaves_nothing(tmp_path, name, error):
    (tmp_path / "trades.csv").write_text("older\n")

    def begin():
        with FileJournal(tmp_path, name) as journal:
            fill(journal)
            raise error

    with pytest.raises(error):
        begin()
    assert ["trades.csv"] == [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert "older\n" == (tmp_path / "trades.csv").read_text()
    assert [] == list(tmp_path.rglob(".partial*"))


@pytest.mark.parametrize("stuck", FILES)
def test_a_file_that_cannot_be_replaced_leaves_all_files_of_the_older_run(tmp_path, stuck):
    with FileJournal(tmp_path, None) as journal:
        fill(journal, "older\n")
        journal.finish({})
    (tmp_path / stuck).unlink()
    (tmp_path / stuck).mkdir()
    before = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    with FileJournal(tmp_path, None) as journal:
        fill(journal, "newer\n")
        with pytest.raises(StorageError, match=f"saw 'a directory named {stuck}'"):
            journal.finish({})
    assert before == {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    assert (tmp_path / stuck).is_dir()


@pytest.mark.parametrize("where", ["taken", "taken/below"])
def test_a_file_in_the_place_of_the_directory_is_said_before_the_run(tmp_path, where):
    (tmp_path / "taken").touch()
    with pytest.raises(StorageError, match=r"expected a directory .* saw 'a file in its place'; .* --logs-dir"):
        FileJournal(tmp_path / where, None)


def test_what_cannot_be_begun_leaves_nothing(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(StorageError, match=r"saw 'a file in its place'"):
        FileJournal(tmp_path, "now")
    assert ["runs"] == [path.name for path in tmp_path.iterdir()]


def trade(**values):
    kinds = {**dict.fromkeys(TIME_COLUMNS, 0), **dict.fromkeys(TEXT_COLUMNS, "x"), **dict.fromkeys(ID_COLUMNS, 1)}
    return SimpleNamespace(**{name: kinds.get(name, 1.0) for name in TRADE_COLUMNS} | values)


def test_a_trade_log_appends_under_one_header(tmp_path):
    path = tmp_path / "deep" / "trades.csv"
    for ids in ((1, 2), (), (3,)):
        log = TradeLog(path)
        log.write([trade(trade_id=number) for number in ids])
        log.close()
    header, *rows = path.read_text().splitlines()
    assert ",".join(TRADE_COLUMNS) == header
    assert ["1", "2", "3"] == [row.split(",")[0] for row in rows]


def test_a_price_that_was_never_set_is_an_empty_cell(tmp_path):
    log = TradeLog(tmp_path / "trades.csv")
    log.write([trade(stop_price=None), trade(stop_price=2.5)])
    log.close()
    rows = (tmp_path / "trades.csv").read_text().splitlines()[1:]
    assert ["", "2.5"] == [row.split(",")[TRADE_COLUMNS.index("stop_price")] for row in rows]
