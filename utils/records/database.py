"""The database of a live run: one SQLite file that says what the run is and holds each moment of it, whole or not.

What it rests on (sqlite.org: wal.html, pragma.html, howtocorrupt.html):

* In WAL mode a commit is one record at the end of the log beside the database. Readers neither block the writer nor are
  blocked by it, and each sees the run as it stood at one commit.
* What has been committed survives a killed process whatever `synchronous` says. It is FULL here, which syncs the log at
  each commit, so a power cut loses nothing either, as far as the disk keeps what it says it has. With NORMAL it may
  take back the last commits, upon which orders were sent. A run commits a few times a minute at most.
* Nobody opens the database file otherwise: closing any descriptor of it would end the locks that SQLite holds on it in
  this process. There is one writer, under a lock of its own, and readers cannot write, so no two connections ever reset
  the log at once (a race in SQLite 3.7.0 to 3.51.2).
* All of this needs a disk of this machine: WAL does not work over a network.
"""

from __future__ import annotations

import ast
import json
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.errors import DataError, InvariantError, StorageError
from utils.records.moment import Meta, Moment
from utils.records.names import KINDS
from utils.rows import Rows

#: The file in the folder of a run.
JOURNAL = "journal.sqlite"
#: "SCLP": whose database it is.
APPLICATION = 0x53434C50
#: Layout of the tables below. A program refuses a greater one than its own.
JOURNAL_SCHEMA = 1
#: How long a connection waits for another that opens, closes or recovers the database, s.
PATIENCE_S = 10.0

TABLES = """
CREATE TABLE run (
    id INTEGER PRIMARY KEY CHECK (id = 1), token TEXT NOT NULL, meta TEXT NOT NULL, kept INTEGER NOT NULL,
    finished INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE moments (seq INTEGER PRIMARY KEY, ts INTEGER NOT NULL, realised REAL NOT NULL);
CREATE TABLE layouts (id INTEGER PRIMARY KEY, layout TEXT NOT NULL UNIQUE);
CREATE TABLE arrays (
    seq INTEGER NOT NULL, part TEXT NOT NULL, name TEXT NOT NULL, layout INTEGER NOT NULL, shape TEXT NOT NULL,
    crc INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (seq, part, name)
);
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL
);
"""


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What a journal says of its run, as it stood at one commit."""

    meta: Meta
    token: str  # of this run and no other
    kept: bool  # stands below `runs/` of the logs directory
    finished: bool
    seq: int  # number of the last moment; 0 = none yet


@dataclass(frozen=True, slots=True, eq=False)
class Recovery:
    """What a run that goes on needs to know of what it was."""

    meta: Meta
    seq: int  # number of the last moment; 0 = none yet
    times: tuple[int, ...]  # of each moment, ns UTC
    inputs: tuple[Mapping[str, NDArray[Any]], ...]  # of each moment
    state: bytes | None  # the last one
    rows: Mapping[str, Rows]  # of all `KINDS`, in the order of the moments


@contextmanager
def speaking(path: Path) -> Iterator[None]:
    """Turn what SQLite refuses into one sentence."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:  # no answer of SQLite: we called it wrongly
            raise
        kind, sentence = _SENTENCES.get(code & 0xFF, _SENTENCES[sqlite3.SQLITE_ERROR])
        raise kind(sentence.format(path=path, said=error)) from error


_DAMAGED = (DataError, "{path}: the journal is damaged ({said}); use a copy of it, or begin a new run")
_SHUT = (
    StorageError,
    "{path}: expected a place that this user may write to, saw '{said}'; change that, or pass --logs-dir with another",
)
_BUSY = (StorageError, "{path}: another program has held the journal for too long ({said}); end it and try again")
_SENTENCES: dict[int, tuple[type[Exception], str]] = {
    sqlite3.SQLITE_ERROR: _DAMAGED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: (
        DataError,
        "{path}: expected the journal of a run, saw another kind of file; name the right one",
    ),
    sqlite3.SQLITE_FULL: (
        StorageError,
        "{path}: the disk is full; every moment committed before is kept: free some space and go on from there",
    ),
    sqlite3.SQLITE_IOERR: (
        StorageError,
        "{path}: the disk did not take it ({said}); every moment committed before is kept: see whether it is full",
    ),
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_READONLY: _SHUT,
    sqlite3.SQLITE_CANTOPEN: _SHUT,
    sqlite3.SQLITE_PERM: _SHUT,
}


def _damaged(path: Path, said: str) -> DataError:
    return DataError(_DAMAGED[1].format(path=path, said=" ".join(said.split())))


@contextmanager
def whole(db: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            with suppress(sqlite3.Error):  # the first refusal says more
                db.execute("ROLLBACK")
        raise


def _prepared(db: sqlite3.Connection) -> sqlite3.Connection:
    (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StorageError(
            f"expected a disk that can hold a write-ahead log, saw journal mode '{mode}'; use a local disk"
        )
    db.execute("PRAGMA synchronous = FULL")
    return db


def create(path: Path, token: str, meta: Meta, *, kept: bool) -> sqlite3.Connection:
    """A new journal, open for writing; its first record says what the run is.

    Raises:
        StorageError: it cannot be written there.
        DataError: a database stands there that is no empty journal.
    """
    with speaking(path):
        db = sqlite3.connect(path, isolation_level=None, timeout=PATIENCE_S)
        try:
            _check_empty(db, path)
            _prepared(db)
            with whole(db):
                db.execute(f"PRAGMA application_id = {APPLICATION}")
                db.execute(f"PRAGMA user_version = {JOURNAL_SCHEMA}")
                for table in filter(str.strip, TABLES.split(";")):
                    db.execute(table)
                known = {field.name: getattr(meta, field.name) for field in fields(meta) if field.name != "instruments"}
                db.execute(
                    "INSERT INTO run (id, token, meta, kept) VALUES (1, ?, ?, ?)", (token, json.dumps(known), kept)
                )
                _put(db, 0, "meta", "instruments", meta.instruments)
        except BaseException:
            db.close()
            raise
    return db


def open_to_write(path: Path) -> sqlite3.Connection:
    """A journal that is to go on.

    Raises:
        DataError: it is not there, of another program, of a newer one, or damaged.
        StorageError: it cannot be written.
    """
    _check_there(path)
    with speaking(path):
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=PATIENCE_S)
        try:
            _check(db, path)
            _check_pages(db, path)
            return _prepared(db)
        except BaseException:
            db.close()
            raise


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A journal as it stood at one commit; whoever writes it is not held up.

    Raises:
        DataError: it is not there, cannot be read, is of another program, of a newer one, or damaged.
    """
    _check_there(path)
    with speaking(path):
        url = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(url, uri=True, isolation_level=None, timeout=PATIENCE_S)) as db:
            db.execute("BEGIN")
            _check(db, path)
            try:
                yield db
            except (ValueError, TypeError, KeyError, SyntaxError) as error:  # it reads as no journal of ours
                raise _damaged(path, str(error)) from error


def _check_there(path: Path) -> None:
    if not path.exists():
        raise DataError(f"{path}: expected the journal of a run, but there is none: check the path")


def _check(db: sqlite3.Connection, path: Path) -> None:
    """Refuse what is no journal that this program can read."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (schema,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables and not application:
        raise DataError(f"{path}: expected the journal of a run, but nothing is in it yet: begin a new run")
    if application != APPLICATION:
        raise DataError(f"{path}: expected the journal of a run, saw a database of another program; name the right one")
    if schema > JOURNAL_SCHEMA:
        raise DataError(f"{path}: its schema is {schema}, this program reads up to {JOURNAL_SCHEMA}: update it")


def _check_empty(db: sqlite3.Connection, path: Path) -> None:
    """Refuse to begin where something stands."""
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise DataError(f"{path}: expected no journal yet, saw one; move it away, or pass another --logs-dir")


def _check_pages(db: sqlite3.Connection, path: Path) -> None:
    """Refuse what SQLite finds fault with."""
    (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise _damaged(path, found)


def is_empty(path: Path) -> bool:
    """Whether a database was begun there by somebody who was killed before anything stood in it."""
    with speaking(path), closing(sqlite3.connect(path, isolation_level=None, timeout=PATIENCE_S)) as db:
        return not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def put(db: sqlite3.Connection, seq: int, moment: Moment, realised: float) -> None:
    """Commit a moment under this number.

    Args:
        db: the journal.
        seq: one more than the last.
        moment: what happened, its rows in the order of the log files.
        realised: net of all trades, this moment's included, quote.
    """
    with whole(db):
        db.execute("INSERT INTO moments (seq, ts, realised) VALUES (?, ?, ?)", (seq, int(moment.ts), realised))
        for name, rows in moment.rows.items():
            if len(rows):
                _put(db, seq, "rows", name, rows)
        for name, values in moment.inputs.items():
            _put(db, seq, "inputs", name, values)
        if moment.state is not None:
            db.execute(
                "INSERT OR REPLACE INTO state (id, seq, crc, data) VALUES (1, ?, ?, ?)",
                (seq, zlib.crc32(moment.state), moment.state),
            )


def _put(db: sqlite3.Connection, seq: int, part: str, name: str, values: NDArray[Any]) -> None:
    layout, data = layout_text(values.dtype), values.tobytes()
    db.execute("INSERT OR IGNORE INTO layouts (layout) VALUES (?)", (layout,))
    db.execute(
        "INSERT INTO arrays (seq, part, name, layout, shape, crc, data)"
        " SELECT ?, ?, ?, id, ?, ?, ? FROM layouts WHERE layout = ?",
        (seq, part, name, json.dumps(values.shape), zlib.crc32(data), data, layout),
    )


def layout_text(dtype: np.dtype[Any]) -> str:
    """A dtype as text.

    Raises:
        InvariantError: it holds objects, or would not come back as it is.
    """
    return _layout_text(dtype, issubclass(dtype.type, np.record), dtype.isalignedstruct)


@cache  # a run keeps few layouts, and asks for them at each close; equal dtypes may differ in the other two
def _layout_text(dtype: np.dtype[Any], record: bool, aligned: bool) -> str:
    text = repr((np.lib.format.dtype_to_descr(dtype), record, aligned))
    if not dtype.hasobject and _same(layout_of_text(text), dtype):
        return text
    raise InvariantError(f"a journal keeps plain numbers and rows without gaps, not {dtype}")


def layout_of_text(text: str) -> np.dtype[Any]:
    """The dtype of a text."""
    descr, record, aligned = ast.literal_eval(text)
    dtype = np.dtype(descr, align=aligned)
    return np.dtype((np.record, dtype)) if record else dtype


def _same(one: np.dtype[Any], other: np.dtype[Any]) -> bool:
    return one == other and one.type is other.type and one.isalignedstruct == other.isalignedstruct


def _arrays(
    db: sqlite3.Connection, path: Path, part: str, after: int = 0
) -> Iterator[tuple[int, str, np.dtype[Any], str, bytes]]:
    """Every array of a part, in order: number of its moment, name, dtype, shape as text, bytes."""
    layouts = {id_: layout_of_text(text) for id_, text in db.execute("SELECT id, layout FROM layouts")}
    asked = "SELECT seq, name, layout, shape, crc, data FROM arrays WHERE seq >= ? AND part = ? ORDER BY seq, name"
    for seq, name, layout, shape, crc, data in db.execute(asked, (after, part)):
        if zlib.crc32(data) != crc:
            raise _damaged(path, f"{name} of moment {seq}")
        yield seq, name, layouts[layout], shape, data


def _of_bytes(data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...] | None = None) -> NDArray[Any]:
    """An array of its own over a copy of these bytes."""
    return np.ndarray((len(data) // dtype.itemsize,) if shape is None else shape, dtype, bytearray(data))


def _rows(db: sqlite3.Connection, path: Path, after: int) -> dict[str, Rows]:
    """All rows after a moment."""
    parts: dict[str, list[bytes]] = {name: [] for name in KINDS}
    kinds = dict(KINDS)
    for _, name, dtype, _, data in _arrays(db, path, "rows", after + 1):
        parts[name].append(data)
        kinds[name] = dtype
    return {name: _of_bytes(b"".join(parts[name]), kind) for name, kind in kinds.items()}


def _run(db: sqlite3.Connection, path: Path) -> Told:
    """What the run is."""
    token, text, kept, finished = db.execute("SELECT token, meta, kept, finished FROM run").fetchone()
    ((_, _, dtype, _, data),) = _arrays(db, path, "meta")
    known = json.loads(text)
    known |= {name: tuple(known[name]) for name in ("symbols", "sources", "starts", "assumptions") if name in known}
    (seq,) = db.execute("SELECT coalesce(max(seq), 0) FROM moments").fetchone()
    return Told(Meta(**known, instruments=_of_bytes(data, dtype)), token, bool(kept), bool(finished), seq)


def read_told(path: Path) -> Told:
    """What the run is, and how far it has come.

    Raises:
        DataError: see `reading`.
    """
    with reading(path) as db:
        return _run(db, path)


def read_rows(path: Path, after: int = 0, run: str | None = None) -> tuple[Told, dict[str, Rows], float]:
    """The rows of all `KINDS` after a moment, in the order of the moments, as they stand at one commit.

    Args:
        path: the journal.
        after: number of that moment.
        run: token of the run it is of; None = of this one. Of another one's moments nothing is known here, so all rows
            come.

    Returns:
        What the run is, the rows, and the net of all trades before them, quote.

    Raises:
        DataError: see `reading`.
    """
    with reading(path) as db:
        told = _run(db, path)
        after = after if run in {None, told.token} else 0
        (realised,) = db.execute("SELECT coalesce(sum(realised), 0.0) FROM moments WHERE seq = ?", (after,)).fetchone()
        return told, _rows(db, path, after), realised


def recover(path: Path) -> Recovery:
    """All that a run which goes on needs to know.

    Raises:
        DataError: see `reading`; or its rows are of another version of this program.
    """
    with reading(path) as db:
        told, rows = _run(db, path), _rows(db, path, 0)
        for name, kind in KINDS.items():
            if rows[name].dtype != kind:
                raise DataError(
                    f"{path}: its {name} are rows of another version of this program ({told.meta.version}), which alone"
                    " can go on with it; its log files can be read by this one, too"
                )
        times = dict(db.execute("SELECT seq, ts FROM moments ORDER BY seq"))
        inputs: dict[int, dict[str, NDArray[Any]]] = {seq: {} for seq in times}
        for seq, name, dtype, shape, data in _arrays(db, path, "inputs"):
            inputs[seq][name] = _of_bytes(data, dtype, tuple(json.loads(shape)))
        state = db.execute("SELECT seq, crc, data FROM state").fetchone()
        if state is not None and zlib.crc32(state[2]) != state[1]:
            raise _damaged(path, f"the state of moment {state[0]}")
        return Recovery(told.meta, told.seq, tuple(times.values()), tuple(inputs.values()), state and state[2], rows)


def mark_finished(db: sqlite3.Connection) -> None:
    """The run is over."""
    with whole(db):
        db.execute("UPDATE run SET finished = 1")


def settle(db: sqlite3.Connection, path: Path, patience_s: float) -> None:
    """Put all into the one file, which can then be moved, and read where nobody may write.

    Raises:
        StorageError: somebody else reads it.
    """
    with speaking(path):
        db.execute(f"PRAGMA busy_timeout = {round(1e3 * patience_s)}")
        (mode,) = db.execute("PRAGMA journal_mode = DELETE").fetchone()
        if mode != "delete":
            raise StorageError(f"{path}: another program reads the journal; end it and try again")
