"""The database of a live run: what goes in comes out to the byte, and what is none is refused in one sentence."""

import os
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.live import BOOK_AT_CLOSE
from tests.journal import META, moment
from utils.errors import DataError, InvariantError, StorageError
from utils.records.database import (
    APPLICATION,
    JOURNAL,
    JOURNAL_SCHEMA,
    create,
    is_empty,
    layout_of_text,
    layout_text,
    mark_finished,
    open_to_write,
    put,
    read_rows,
    read_told,
    reading,
    recover,
    settle,
)
from utils.records.moment import Moment
from utils.records.names import KINDS
from utils.rows import ACCOUNT, BAR, FUNDING, INSTRUMENT, PARAMS, POSITION, SIGNAL

LAYOUTS = [*KINDS.values(), BAR, SIGNAL, FUNDING, INSTRUMENT, PARAMS, ACCOUNT, POSITION, BOOK_AT_CLOSE]
PLAIN = [np.dtype(kind) for kind in ("f8", "<f4", ">i2", "?", "M8[ns]", "S3", "U2", "c16")]


@pytest.fixture
def path(tmp_path):
    """A journal of three moments."""
    path = tmp_path / JOURNAL
    with closing(create(path, "token", META, kept=True)) as db:
        for number in (1, 2, 3):
            put(db, number, moment(number), float(number))
    return path


def same(one, other):
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@pytest.mark.parametrize("dtype", [*LAYOUTS, *PLAIN], ids=str)
def test_a_layout_comes_back_as_it_was(dtype):
    again = layout_of_text(layout_text(dtype))
    assert (dtype, dtype.type, dtype.isalignedstruct) == (again, again.type, again.isalignedstruct)


@pytest.mark.parametrize("dtype", [np.dtype(object), np.dtype([("a", "i1"), ("b", "f8")], align=True)], ids=str)
def test_objects_and_rows_with_gaps_are_refused(dtype):
    with pytest.raises(InvariantError, match="plain numbers and rows without gaps"):
        layout_text(dtype)


@st.composite
def arrays(draw, layouts):
    """Any bytes at all, as rows."""
    dtype = draw(st.sampled_from(layouts))
    rows = draw(st.integers(0, 3))
    data = draw(st.binary(min_size=rows * dtype.itemsize, max_size=rows * dtype.itemsize))
    return np.ndarray(rows, dtype, bytearray(data))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.text(max_size=9), arrays([*LAYOUTS, *PLAIN]), max_size=4), max_size=4), st.data())
def test_every_array_and_every_state_comes_back_to_the_byte(tmp_path, given_inputs, data):
    place = tmp_path / os.urandom(8).hex()
    given_rows = [{name: data.draw(arrays([kind])) for name, kind in KINDS.items()} for _ in given_inputs]
    states = [data.draw(st.none() | st.binary(max_size=20)) for _ in given_inputs]
    with closing(create(place, "token", META, kept=False)) as db:
        for k, (inputs, rows, state) in enumerate(zip(given_inputs, given_rows, states, strict=True)):
            put(db, k + 1, Moment(k - 2, rows, inputs, state), 0.0)
    found = recover(place)
    assert (len(given_inputs), tuple(range(-2, len(given_inputs) - 2))) == (found.seq, found.times)
    assert ([None, *(state for state in states if state is not None)][-1]) == found.state
    for wanted, seen in zip(given_inputs, found.inputs, strict=True):
        assert wanted.keys() == seen.keys()
        assert all(same(wanted[name], seen[name]) for name in wanted)
    for name, kind in KINDS.items():
        assert b"".join(rows[name].tobytes() for rows in given_rows) == found.rows[name].tobytes()
        assert (kind, kind.type) == (found.rows[name].dtype, found.rows[name].dtype.type)


def test_arrays_of_more_dimensions_keep_their_shape(tmp_path):
    cube = np.arange(24.0).reshape(2, 3, 4)
    with closing(create(tmp_path / JOURNAL, "token", META, kept=False)) as db:
        put(db, 1, Moment(1, inputs={"cube": cube, "turned": cube.T, "one": np.array(True)}), 0.0)
    (inputs,) = recover(tmp_path / JOURNAL).inputs
    assert all(same(inputs[name], wanted) for name, wanted in {"cube": cube, "one": np.array(True)}.items())
    assert np.array_equal(inputs["turned"], cube.T)
    inputs["cube"][0, 0, 0] = 7.0  # its own, to be written to


def test_what_the_run_is_comes_back(path):
    told = read_told(path)
    assert ("token", True, False, 3) == (told.token, told.kept, told.finished, told.seq)
    for name in ("symbols", "sources", "tf", "capital", "latency_ms", "settings", "started", "version"):
        assert getattr(META, name) == getattr(told.meta, name)
    assert same(META.instruments, told.meta.instruments)


def test_rows_after_a_moment_come_with_the_net_of_all_before_it(path):
    _, rows, before = read_rows(path, 1)
    assert ([2, 3], 1.0) == (rows["trades"]["entry_no"].tolist(), before)
    _, rows, before = read_rows(path, 3)
    assert ([0] * len(KINDS), 3.0) == ([len(one) for one in rows.values()], before)
    assert all(rows[name].dtype == kind for name, kind in KINDS.items())


def test_moments_of_another_run_are_no_mark_in_this_one(path):
    _, rows, before = read_rows(path, 2, "another")
    assert ([1, 2, 3], 0.0) == (rows["trades"]["entry_no"].tolist(), before)


def test_a_moment_is_there_whole_or_not_at_all(path):
    before = path.read_bytes()
    with closing(open_to_write(path)) as db:
        with pytest.raises(InvariantError):
            put(db, 4, Moment(4, moment(4).rows, {"bars": np.zeros(1, BAR), "worse": np.array([object()])}, b"x"), 0.0)
        with pytest.raises(sqlite3.IntegrityError):
            put(db, 3, moment(4), 0.0)
        put(db, 4, moment(4), 0.0)
    found = recover(path)
    assert (4, [1, 2, 3, 4]) == (found.seq, found.rows["trades"]["entry_no"].tolist())
    assert before != path.read_bytes()


def test_a_reader_sees_one_commit_and_holds_nobody_up(path):
    with closing(open_to_write(path)) as db, reading(path) as seen:
        count = "SELECT count(*) FROM moments"
        assert (3,) == seen.execute(count).fetchone()
        for number in range(4, 400):  # more than a log's worth of pages
            put(db, number, moment(number), 0.0)
        assert (3,) == seen.execute(count).fetchone()
        assert 399 == read_told(path).seq


def test_a_reader_cannot_write(path):
    with pytest.raises(StorageError, match="attempt to write a readonly database"), reading(path) as db:
        db.execute("DELETE FROM moments")


def test_a_settled_journal_is_one_file(path):
    with closing(open_to_write(path)) as db:
        put(db, 4, moment(4), 0.0)
        assert path.with_name(f"{JOURNAL}-wal").exists()
        settle(db, path, 0.0)
    assert [JOURNAL] == [file.name for file in path.parent.iterdir()]
    assert 4 == recover(path).seq


def test_a_journal_that_is_read_does_not_settle(path):
    with closing(open_to_write(path)) as db, reading(path), pytest.raises(StorageError, match="held the journal"):
        settle(db, path, 0.0)


def test_a_finished_journal_says_so(path):
    with closing(open_to_write(path)) as db:
        mark_finished(db)
    assert read_told(path).finished


def altered(path, *commands):
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for command in commands:
            db.execute(command)


@pytest.mark.parametrize("read", [read_told, read_rows, recover, open_to_write])
class TestRefused:
    def refusal(self, read, path):
        with pytest.raises(DataError) as seen:
            read(path)
        assert str(seen.value).startswith(f"{path}: ")
        assert "\n" not in str(seen.value)
        return str(seen.value)

    def test_no_file(self, read, tmp_path):
        assert "there is none: check the path" in self.refusal(read, tmp_path / "nowhere" / JOURNAL)
        assert not (tmp_path / "nowhere").exists()

    def test_an_empty_file(self, read, tmp_path):
        (tmp_path / JOURNAL).touch()
        assert "nothing is in it yet" in self.refusal(read, tmp_path / JOURNAL)

    def test_a_text(self, read, tmp_path):
        (tmp_path / JOURNAL).write_text("trade_id,symbol\n" * 100)
        assert "saw another kind of file" in self.refusal(read, tmp_path / JOURNAL)

    def test_a_database_of_another_program(self, read, tmp_path):
        altered(tmp_path / JOURNAL, "CREATE TABLE moments (seq INTEGER)")
        assert "saw a database of another program" in self.refusal(read, tmp_path / JOURNAL)

    def test_a_newer_schema(self, read, path):
        altered(path, f"PRAGMA user_version = {JOURNAL_SCHEMA + 1}")
        wanted = f"its schema is {JOURNAL_SCHEMA + 1}, this program reads up to {JOURNAL_SCHEMA}: update it"
        assert wanted in self.refusal(read, path)

    def test_pages_that_were_written_over(self, read, path):
        pages = bytearray(path.read_bytes())
        pages[4096:] = os.urandom(len(pages) - 4096)
        path.write_bytes(pages)
        assert "the journal is damaged" in self.refusal(read, path)

    def test_a_table_that_is_gone(self, read, path):
        if read is open_to_write:
            pytest.skip("opening looks at pages, recovering at tables")
        altered(path, "DROP TABLE run", "DROP TABLE arrays")
        assert "the journal is damaged" in self.refusal(read, path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE arrays SET data = zeroblob(length(data)) WHERE seq = 2 AND name = 'equity'", "equity of moment 2"),
        ("UPDATE arrays SET data = zeroblob(3) WHERE seq = 3 AND name = 'bars'", "bars of moment 3"),
        ("UPDATE state SET data = zeroblob(9)", "the state of moment 3"),
        ("UPDATE arrays SET data = zeroblob(9) WHERE part = 'meta'", "instruments of moment 0"),
        ("UPDATE run SET meta = '{'", "Expecting property name"),
        ("UPDATE run SET meta = '[]'", "list"),
        ("UPDATE layouts SET layout = 'x' || id", "malformed"),
        ("DELETE FROM run", "NoneType"),
    ],
)
def test_bytes_that_are_not_those_that_were_written_are_noticed(path, change, said):
    altered(path, change)
    with pytest.raises(DataError, match=r"the journal is damaged \(.*" + said):
        recover(path)


def test_rows_of_another_version_can_be_read_but_not_gone_on_with(tmp_path):
    longer = np.dtype([*KINDS["orders"].descr, ("more", "f8")])
    with closing(create(tmp_path / JOURNAL, "token", META, kept=False)) as db:
        put(db, 1, Moment(1, {"orders": np.zeros(2, longer)}), 0.0)
    assert 2 == len(read_rows(tmp_path / JOURNAL)[1]["orders"])
    with pytest.raises(DataError, match=r"its orders are rows of another version of this program \(0\)"):
        recover(tmp_path / JOURNAL)


def test_nothing_is_begun_where_something_stands(path):
    before = path.read_bytes()
    with pytest.raises(DataError, match="expected no journal yet, saw one"):
        create(path, "other", META, kept=True)
    assert before == path.read_bytes()


def test_a_journal_that_was_only_begun_is_empty(tmp_path, path):
    assert not is_empty(path)
    altered(tmp_path / "begun", "PRAGMA journal_mode = WAL")
    assert is_empty(tmp_path / "begun")
    assert APPLICATION < 2**31  # as SQLite keeps it: 32 bits, signed
