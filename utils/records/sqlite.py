"""The journal of a live run: a moment is committed to a database before anybody acts upon it; log files grow beside.

The database is what the run was. The log files are for readers, and made anew from it where a kill left them behind.
They stand in the run's own folder below `runs/`; with its first moment the files in the logs directory become links to
them, so that both grow. Until the run is over run.json says `"finished": false` and names the database: who sees that
reads the database, where the run stands as it was at one commit.

A line goes into its file in one piece. Where it crosses a page of memory, a kill in that very moment can still cut it,
and a reader see it cut: what follows the last line end does not count then, and is mended when the run goes on.
"""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from utils.disk import stage
from utils.errors import DataError, ScalperError, StorageError
from utils.records.database import (
    JOURNAL,
    PATIENCE_S,
    Recovery,
    Told,
    create,
    is_empty,
    mark_finished,
    open_to_write,
    put,
    read_rows,
    read_told,
    recover,
    settle,
    speaking,
)
from utils.records.files import (
    FILES,
    TABLES,
    csv_text,
    kept_places,
    run_text,
    storing,
)
from utils.records.moment import Meta, Moment
from utils.records.names import log_order, log_tables, tables_in_words
from utils.records.schema import SCHEMA_VERSION, Columns
from utils.records.swap import Hidden, replace_set
from utils.rows import Rows

#: Held by the process that writes; a database of its own, empty, so that the system frees it however the process ends.
LOCK = "journal.lock"


class SqliteJournal:
    """Keeps a live run; see `utils.ports.Journal`. `begin` and `resume` make one."""

    def __init__(self, logs: Path, home: Path, told: Told, lock: sqlite3.Connection, db: sqlite3.Connection) -> None:
        self.logs, self.home, self.meta = logs, home, told.meta
        self._token, self._seq, self._lock, self._db = told.token, told.seq, lock, db
        self._over = self._closed = False
        self._realised = 0.0  # quote, of all trades so far
        self._growing: dict[str, Growing] = {}
        self._written: dict[str, str] = {}

    @classmethod
    def begin(cls, logs: Path, name: str | None, meta: Meta) -> SqliteJournal:
        """A new run.

        Args:
            logs: the logs directory; made if absent.
            name: `<UTC start>-<hash>` gives the run its folder under `runs/`; None writes straight to `logs`, and a run
                that stands there is moved to a folder of its own below it.
            meta: what the run is.

        Raises:
            StorageError: `logs` cannot be made or written to, or another process keeps a run there.
            DataError: a journal in the way is damaged, of a newer program, or none of ours.
        """
        with storing(logs):
            home = logs if name is None else _folder(logs, name)
            home.mkdir(parents=True, exist_ok=True)
        lock, told = _locked(home), Told(meta, uuid.uuid4().hex, name is not None, finished=False, seq=0)
        try:
            if name is None:
                _set_aside(home)
            return cls(logs, home, told, lock, create(home / JOURNAL, told.token, meta, kept=told.kept))
        except BaseException:
            lock.close()
            raise

    @classmethod
    def resume(cls, place: Path) -> tuple[SqliteJournal, Recovery]:
        """A run that was not finished goes on; its log files are made anew from what was committed.

        Args:
            place: the folder of the run, or its journal.

        Raises:
            DataError: there is no journal, or it is finished, damaged, of another or a newer program.
            StorageError: another process keeps it, or it cannot be written to.
        """
        home = place.parent if place.name == JOURNAL else place
        if read_told(home / JOURNAL).finished:
            raise DataError(f"{home / JOURNAL}: this run is finished, and nothing can follow; begin a new one")
        lock = _locked(home)
        try:
            db = open_to_write(home / JOURNAL)
            told, recovery = read_told(home / JOURNAL), recover(home / JOURNAL)
        except BaseException:
            lock.close()
            raise
        logs = home.parent.parent if told.kept and home.parent.name == "runs" else home
        journal = cls(logs, home, told, lock, db)
        if told.seq:
            journal.show()
        return journal, recovery

    def __enter__(self) -> SqliteJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop writing; what was committed stays. A run without a moment leaves nothing behind."""
        if self._closed:
            return
        self._closed = True
        self._stop_growing()
        with suppress(ScalperError):  # somebody reads it: then the write-ahead log stays beside it
            settle(self._db, self.home / JOURNAL, patience_s=0.0)
        self._db.close()
        with suppress(OSError):
            if self._over or not self._seq:
                (self.home / LOCK).unlink()
            if not self._seq:
                (self.home / JOURNAL).unlink()
            if not self._seq and self.home != self.logs:
                self.home.rmdir()
        self._lock.close()

    def _stop_growing(self) -> None:
        for file in self._growing.values():
            file.close()
        self._growing = {}

    def commit(self, moment: Moment) -> int:
        """Keep one moment; its number, from 1 on. When this returns it is on the disk.

        Raises:
            StorageError: it was not kept, or the log files do not grow any more; no moment before it is lost.
        """
        rows, before = log_order(moment.rows), self._realised
        realised = _after(before, rows["trades"])
        with speaking(self.home / JOURNAL):
            put(self._db, self._seq + 1, dataclasses.replace(moment, rows=rows), realised)
        self._seq, self._realised = self._seq + 1, realised
        if self._growing:
            self._grow(tables_in_words(rows, self.meta.words, before))
        else:
            self.show()
        return self._seq

    def _grow(self, tables: Mapping[str, Columns]) -> None:
        """Append to the log files what happened."""
        with following(self.home):
            for table, columns in tables.items():
                if _length(columns):
                    self._growing[table].append(csv_text(columns).partition("\n")[2].encode())

    def show(self) -> None:
        """Make the log files of what was committed, and have them stand in the logs directory, too."""
        _, rows, _ = read_rows(self.home / JOURNAL)
        tables = tables_in_words(rows, self.meta.words)
        self._realised = _after(0.0, rows["trades"])
        with following(self.home), Hidden(self.home, FILES) as staged:
            for table in TABLES:
                (staged / f"{table}.csv").write_bytes(csv_text(tables[table]).encode())
            stage(staged, "run.json", self._unfinished(JOURNAL))
            replace_set(staged, self.home, FILES)
            self._growing = {table: Growing(self.home / f"{table}.csv") for table in TABLES}
        if self.home != self.logs:
            with following(self.logs), Hidden(self.logs, FILES) as staged:
                try:
                    for table in TABLES:
                        os.link(self.home / f"{table}.csv", staged / f"{table}.csv")
                except OSError:  # no links on this disk: the logs directory waits until the run is over
                    return
                stage(staged, "run.json", self._unfinished(str(self._journal_from_logs())))
                replace_set(staged, self.logs, FILES)

    def _journal_from_logs(self) -> Path:
        return (self.home / JOURNAL).relative_to(self.logs)

    def _unfinished(self, journal: str) -> bytes:
        """run.json of a run that goes on."""
        meta = self.meta
        return run_text(
            {
                "schema": SCHEMA_VERSION,
                "version": meta.version,
                "finished": False,
                "run": self._token,
                "journal": journal,
                "started": f"{np.datetime64(meta.started, 'ns').astype('datetime64[s]')}Z",
                "source": ",".join(dict.fromkeys(meta.sources)),
                "symbol": ",".join(meta.symbols),
                "timeframe": meta.tf,
                "initial_capital": meta.capital,
                "settings": meta.settings,
            }
        )

    def write(self, table: str, text: str) -> None:
        """A whole table of the finished run, as CSV, in place of what its moments say."""
        self._written[table] = text

    def finish(self, run: Mapping[str, Any]) -> dict[str, str]:
        """The run is over: whole log files and run.json replace those that grew.

        Returns:
            Path of each file in the logs directory, of the journal, and as `kept` the run under `runs/` where there is
            one.
        """
        _, rows, _ = read_rows(self.home / JOURNAL)
        texts = {table: csv_text(columns) for table, columns in log_tables(rows, self.meta.words).items()}
        texts |= self._written
        self._stop_growing()
        for place, journal in {self.home: Path(JOURNAL), self.logs: self._journal_from_logs()}.items():
            with following(place), Hidden(place, FILES) as staged:
                for table in TABLES:
                    stage(staged, f"{table}.csv", texts[table].encode())
                whole = {**run, "finished": True, "run": self._token, "moments": self._seq, "journal": str(journal)}
                stage(staged, "run.json", run_text(whole))
                replace_set(staged, place, FILES)
        with speaking(self.home / JOURNAL):
            mark_finished(self._db)
        self._over = True
        paths = {Path(name).stem: str(self.logs / name) for name in FILES} | {"journal": str(self.home / JOURNAL)}
        return paths | ({"kept": str(self.home)} if self.home != self.logs else {})


class Growing:
    """A log file that grows by whole lines."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._size = os.fstat(self._file).st_size

    def append(self, lines: bytes) -> None:
        """Append lines at once; what did not go in whole is taken out again.

        Raises:
            OSError: the disk did not take them.
        """
        left = memoryview(lines)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(lines)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def unfinished(logs: Path) -> list[Path]:
    """Folders of the runs that can go on, in a logs directory and its `runs/`: the one that began last first."""
    found = []
    for journal in (logs / JOURNAL, *(logs / "runs").glob(f"*/{JOURNAL}")):
        with suppress(ScalperError):
            told = read_told(journal)
            if not told.finished:
                found.append((told.meta.started, journal.parent))
    return [folder for _, folder in sorted(found, reverse=True)]


@contextmanager
def following(home: Path) -> Iterator[None]:
    """Turn a refusal of the log files into one sentence: what was committed is kept all the same."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{home}: the log files cannot be written ({error.strerror}); every moment is kept in {JOURNAL}: free some "
            "space, or make the place writable, and go on from there"
        ) from error


def _folder(logs: Path, name: str) -> Path:
    """A new folder for a run of this name."""
    (logs / "runs").mkdir(parents=True, exist_ok=True)
    return next(place for place in kept_places(logs, name) if _made(place))


def _made(place: Path) -> bool:
    with suppress(FileExistsError):
        place.mkdir()
        return True
    return False


def _locked(home: Path) -> sqlite3.Connection:
    """Be the one that writes there, until the connection is closed or the process ends."""
    with speaking(home):
        lock = sqlite3.connect(home / LOCK, isolation_level=None, timeout=0.0)
        try:
            lock.execute("PRAGMA journal_mode = OFF")  # nothing is ever written to it
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            lock.close()
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            raise StorageError(
                f"{home}: another process keeps the journal of a run here; end it, or pass another --logs-dir"
            ) from None
        return lock


def _set_aside(home: Path) -> None:
    """Move the run that stands here to `runs/`, its log files with it."""
    journal = home / JOURNAL
    if not journal.exists():
        return
    if is_empty(journal):
        journal.unlink()
        return
    told, db = read_told(journal), open_to_write(journal)
    with closing(db):
        settle(db, journal, PATIENCE_S)  # else what stands in the log beside it would stay behind
    began = f"{np.datetime64(told.meta.started, 'ns').astype('datetime64[s]')}Z"
    with storing(home):
        place = _folder(home, began.replace("-", "").replace(":", ""))
        for name in (JOURNAL, *(FILES if _named_by(home / "run.json", told) else ())):
            with suppress(FileNotFoundError):
                (home / name).replace(place / name)


def _named_by(run: Path, told: Told) -> bool:
    """Whether a run.json is of this run."""
    try:
        return told.token in run.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _after(realised: float, trades: Rows) -> float:
    """Net of all trades, these included: summed one by one, as the tables do."""
    return float(np.cumsum(np.concatenate([[realised], trades["net_pnl"]]))[-1])


def _length(columns: Columns) -> int:
    return len(next(iter(columns.values())))
