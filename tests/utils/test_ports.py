"""What is asked of every journal, of log files and of a database alike."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.journal import META, moment, net
from utils import kpis
from utils.errors import StorageError
from utils.ports import Journal
from utils.records.files import TABLES, FileJournal
from utils.records.reader import tail
from utils.records.schema import EQUITY_COLUMNS, FILL_COLUMNS, ORDER_COLUMNS, SIGNAL_COLUMNS, TRADE_COLUMNS
from utils.records.sqlite import SqliteJournal

COLUMNS = dict(zip(TABLES, (TRADE_COLUMNS, SIGNAL_COLUMNS, ORDER_COLUMNS, FILL_COLUMNS, EQUITY_COLUMNS), strict=True))
KEEPERS = {
    "files": lambda logs, name: FileJournal(logs, name, META.words),
    "database": lambda logs, name: SqliteJournal.begin(logs, name, META),
}


@pytest.fixture(params=KEEPERS)
def begin(request):
    """Begins a journal: (logs directory, name)."""
    return KEEPERS[request.param]


def texts(folder):
    return {table: (folder / f"{table}.csv").read_text() for table in TABLES}


@pytest.mark.parametrize("name", [None, "now"])
def test_moments_are_numbered_from_one_on_and_their_rows_stand_in_the_log_files(begin, tmp_path, name):
    with begin(tmp_path / "logs", name) as journal:
        assert isinstance(journal, Journal)
        assert [1, 2, 3] == [journal.commit(moment(number)) for number in (1, 2, 3)]
        paths = journal.finish({"x": float("nan")})
    assert {table: str(tmp_path / "logs" / f"{table}.csv") for table in TABLES}.items() <= paths.items()
    run = json.loads((tmp_path / "logs" / "run.json").read_text())
    assert (None, True) == (run["x"], run.get("finished", True))
    for table, columns in COLUMNS.items():
        assert list(columns) == list(pd.read_csv(tmp_path / "logs" / f"{table}.csv").columns)
    assert [1, 2, 3] == pd.read_csv(paths["trades"]).trade_id.tolist()
    assert [2, 3, 4, 5, 6, 7] == pd.read_csv(paths["fills"]).fill_id.tolist()


def test_every_journal_leaves_the_same_bytes(tmp_path):
    for kind, begin in KEEPERS.items():
        with begin(tmp_path / kind, None) as journal:
            for number in (1, 2, 5, 4, 3):  # trades of one run may become known in another order than they ended in
                journal.commit(moment(number))
            journal.finish({})
    assert texts(tmp_path / "files") == texts(tmp_path / "database")


def test_figures_and_tail_are_those_of_the_files(begin, tmp_path):
    with begin(tmp_path, None) as journal:
        for number in range(1, 30):
            journal.commit(moment(number))
        journal.finish({"initial_capital": META.capital})
    assert 29 == kpis.trade_count(tmp_path) == kpis.trade_count(tmp_path / "trades.csv")
    assert pytest.approx(sum(net(number) for number in range(1, 30))) == kpis.net_profit(tmp_path)
    batch = tail(tmp_path)
    assert (True, True, set(TABLES)) == (batch.whole, batch.finished, set(batch.tables))
    assert 29 == len(batch.tables["trades"]["net_pnl"])
    after = tail(tmp_path, batch.mark)
    assert (batch.mark, False, 0) == (after.mark, after.whole, len(after.tables["trades"]["net_pnl"]))


def test_tables_that_are_written_whole_stand_in_place_of_the_moments(begin, tmp_path):
    with begin(tmp_path, None) as journal:
        journal.commit(moment(1))
        journal.write("trades", "whole\n")
        journal.finish({})
    assert "whole\n" == (tmp_path / "trades.csv").read_text()
    assert 1 == len(pd.read_csv(tmp_path / "orders.csv"))


def test_a_kept_run_is_a_copy(begin, tmp_path):
    with begin(tmp_path, "now") as journal:
        journal.commit(moment(1))
        paths = journal.finish({})
    assert str(tmp_path / "runs" / "now") == paths["kept"]
    assert texts(tmp_path) == texts(tmp_path / "runs" / "now")
    for table in TABLES:
        assert not (tmp_path / f"{table}.csv").samefile(tmp_path / "runs" / "now" / f"{table}.csv")


def test_runs_of_one_name_stand_side_by_side(begin, tmp_path):
    with begin(tmp_path, "now") as first, begin(tmp_path, "now") as second:
        first.commit(moment(1))
        second.commit(moment(2))
        second.finish({})
        first.finish({})
    kept = sorted(pd.read_csv(path / "trades.csv").trade_id[0] for path in (tmp_path / "runs").iterdir())
    assert [1, 2] == kept
    assert [1] == pd.read_csv(tmp_path / "trades.csv").trade_id.tolist()


@pytest.mark.parametrize("name", [None, "now"])
def test_a_run_without_a_moment_leaves_nothing_and_older_logs_alone(begin, tmp_path, name):
    (tmp_path / "trades.csv").write_text("older\n")

    def begun():
        with begin(tmp_path, name):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begun()
    assert ["trades.csv"] == [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert [] == list(tmp_path.rglob(".partial*"))


@pytest.mark.parametrize("name", [None, "now"])
def test_a_place_that_is_no_directory_is_said_before_the_run(begin, tmp_path, name):
    (tmp_path / "taken").touch()
    with pytest.raises(StorageError, match=r"expected a directory .* saw 'a file in its place'; .* --logs-dir"):
        begin(tmp_path / "taken", name)


def test_a_run_without_rows_has_all_files(begin, tmp_path):
    with begin(tmp_path, None) as journal:
        journal.finish({})
    assert {table: ",".join(columns) + "\n" for table, columns in COLUMNS.items()} == texts(tmp_path)
    assert 0 == kpis.trade_count(tmp_path)
    assert np.isnan(kpis.win_rate(tmp_path))
