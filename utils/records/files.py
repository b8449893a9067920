"""The record of a run: log files that are whole or not there, and never destroy an older run.

A run is staged in hidden directories beside its places. When it is whole, one of them is renamed to
`runs/<UTC start>-<hash>/` and the files in the logs directory are replaced by the other's, as a set (`swap.py`). A
crash, a full disk or Ctrl-C leaves the older files as they were.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from utils.disk import stage, written
from utils.errors import StorageError
from utils.records.moment import Moment
from utils.records.names import KINDS, Words, log_tables
from utils.records.schema import (
    ID_COLUMNS,
    NO_TIME,
    TEXT_COLUMNS,
    TIME_COLUMNS,
    TRADE_COLUMNS,
    Columns,
)
from utils.records.swap import Hidden, replace_set, whole_set
from utils.rows import Rows
from utils.shell.rim import masked

TABLES = ("trades", "signals", "orders", "fills", "equity")
#: The log files of a run, all of one run at any moment.
FILES = (*(f"{table}.csv" for table in TABLES), "run.json")
#: Tables that hold what was decided and done; their bytes make the decision hash.
DECISION_TABLES = ("signals", "orders", "trades")


def cells(name: str, values: NDArray[Any]) -> list[str]:
    """One column as text: ISO 8601 UTC with ms, shortest exact decimals, empty for NaN, `NO_TIME` and id 0."""
    if name in TIME_COLUMNS:
        stamps = np.datetime_as_string(values.astype("M8[ns]").astype("M8[ms]"))
        texts = [f"{stamp}Z" for stamp in stamps.tolist()]
        return texts if np.all(values != NO_TIME) else ["" if text == "NaTZ" else text for text in texts]
    if name in ID_COLUMNS:
        return [str(value) if value else "" for value in values.tolist()]
    if name in TEXT_COLUMNS:
        return [quoted(value) for value in values.tolist()]
    # + 0.0 turns -0.0 into 0.0; a NaN is not equal to itself
    return ["" if value != value else repr(value) for value in (values + 0).tolist()]  # noqa: PLR0124


def quoted(text: str) -> str:
    """A CSV cell: in quotes only where a comma, a quote or a line break asks for it."""
    if any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def csv_text(columns: Columns) -> str:
    """A table as CSV with a header line and Unix line ends."""
    lines = [",".join(columns)]
    lines.extend(map(",".join, zip(*(cells(name, values) for name, values in columns.items()), strict=True)))
    return "\n".join(lines) + "\n"


def decision_hash(texts: Mapping[str, str]) -> str:
    """SHA-256 of the decision log: the SHA-256 of signals.csv, orders.csv and trades.csv, joined in this order.

    Of each the columns before `source` count: how a file is called, and what says when and where, decides nothing.
    """
    digests = (hashlib.sha256(decided(texts[table]).encode()).digest() for table in DECISION_TABLES)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def decided(text: str) -> str:
    """A table as CSV without the column `source` and those after it."""
    names = text.partition("\n")[0].split(",")
    if "source" not in names:
        return text
    kept = names.index("source")
    if '"' in text:
        lines = [",".join(map(quoted, row[:kept])) for row in csv.reader(StringIO(text, ""))]
    else:
        lines = [line.rsplit(",", len(names) - kept)[0] for line in text[:-1].split("\n")]
    return "\n".join(lines) + "\n"


def decision_hash_of(logs: str | os.PathLike[str]) -> str:
    """The decision hash of the log files in a directory.

    Raises:
        OSError: one is not there.
    """
    place = whole_set(Path(logs))
    return decision_hash({table: (place / f"{table}.csv").read_bytes().decode() for table in DECISION_TABLES})


def plain(value: Any) -> Any:
    """What JSON can hold: NaN and infinities become null, paths text, NumPy numbers plain ones."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (int, float, type(None))) else str(value)


def storing(where: Path) -> AbstractContextManager[None]:
    """Turn the machine's refusals to write into one sentence."""
    lost = "the logs of this run were not kept and older ones are untouched"
    return written(where, "a directory", lost, "pass --logs-dir with another one")


def check_writable(logs: Path) -> None:
    """Refuse a logs directory that cannot be made or written, while nothing has been worked out yet; nothing is made.

    Raises:
        StorageError: it cannot.
    """
    place = logs
    while not place.exists() and place != place.parent:
        place = place.parent
    with storing(logs):
        if not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file in its place")
        if not os.access(place, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def run_text(run: Mapping[str, Any]) -> bytes:
    """run.json, without what is secret."""
    return (masked(json.dumps(plain(run), indent=1, sort_keys=True)) + "\n").encode()


def kept_places(logs: Path, name: str) -> Iterator[Path]:
    """Where a run of this name may be kept, the first choice first.

    Raises:
        StorageError: they are used up.
    """
    yield logs / "runs" / name
    yield from (logs / "runs" / f"{name}-{number}" for number in range(2, 10_000))
    raise StorageError(f"{logs / 'runs'}: 10,000 runs are named {name}; move some away")


def joined(moments: Sequence[Moment]) -> dict[str, Rows]:
    """All rows of several moments."""
    return {
        name: np.concatenate([np.zeros(0, kind), *(one.rows[name] for one in moments if name in one.rows)]).astype(kind)
        for name, kind in KINDS.items()
    }


class FileJournal:
    """The log files of a run that could be run again: nothing is written before it is over, and then all of it.

    Args:
        logs: the logs directory; made if absent.
        name: `<UTC start>-<hash>` keeps the run under `runs/` too; None writes straight to `logs`.
        words: what tables made of moments say; not needed by who writes whole tables.

    Raises:
        StorageError: `logs` cannot be made or written to, said before the run rather than after it.
    """

    def __init__(self, logs: Path, name: str | None, words: Words | None = None) -> None:
        self.logs = logs
        self._name = name
        self._words = Words() if words is None else words
        self._moments: list[Moment] = []
        self._written: set[str] = set()
        # what will replace the files in `logs`, and what will become the kept run
        self._places: list[Hidden] = []
        with storing(logs), ExitStack() as undone:
            undone.callback(self._clear)
            for folder in [logs] if name is None else [logs, logs / "runs"]:
                self._places.append(Hidden(folder, FILES))
            undone.pop_all()

    def __enter__(self) -> FileJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def _clear(self) -> None:
        for place in self._places:
            place.close()

    def commit(self, moment: Moment) -> int:
        """Keep one moment, in memory; its number, from 1 on."""
        self._moments.append(moment)
        return len(self._moments)

    def write(self, table: str, text: str) -> None:
        """Stage one table, already CSV, as `<table>.csv`."""
        self._written.add(table)
        self._put(f"{table}.csv", text.encode())

    def _put(self, file: str, data: bytes) -> None:
        with storing(self.logs):
            for place in self._places:
                stage(place.path, file, data)

    def finish(self, run: Mapping[str, Any]) -> dict[str, str]:
        """Write run.json and put everything in its place; tables that were not written are those of the moments.

        Returns:
            Path of each file in the logs directory, and as `kept` the run under `runs/` where there is one.
        """
        if missing := [table for table in TABLES if table not in self._written]:
            tables = log_tables(joined(self._moments), self._words)
            for table in missing:
                self.write(table, csv_text(tables[table]))
        self._put("run.json", run_text(run))
        paths = {table: self.logs / f"{table}.csv" for table in TABLES} | {"run": self.logs / "run.json"}
        with storing(self.logs):
            # everything that can fill the disk is behind us: what follows only renames
            kept = self._keep()
            replace_set(self._places[0].path, self.logs, FILES)
        if kept is not None:
            paths["kept"] = kept
        return {name: str(path) for name, path in paths.items()}

    def _keep(self) -> Path | None:
        """Rename the staged run to its place under `runs/`; a number follows the name if it is taken."""
        if self._name is None:
            return None
        for place in kept_places(self.logs, self._name):
            if place.exists():
                continue
            try:
                return self._places[1].path.rename(place)
            except OSError:
                if not place.exists():  # else another process was quicker, and the next number is free
                    raise
        return None


class TradeLog:
    """Appends closed trades to a trades.csv, one flushed line each: what a paper broker writes while it runs.

    Args:
        path: the file; made with its header if absent.

    Raises:
        StorageError: it cannot be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with storing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: TextIO = path.open("a", encoding="utf-8", newline="")
            if self._file.tell() == 0:
                self._file.write(",".join(TRADE_COLUMNS) + "\n")
                self._file.flush()

    def write(self, trades: Sequence[Any]) -> None:
        """Append trade records: objects whose attributes are the columns of trades.csv; None leaves a cell empty."""
        if not trades:
            return
        rows = {name: [getattr(trade, name) for trade in trades] for name in TRADE_COLUMNS}
        columns = {name: np.array([math.nan if cell is None else cell for cell in row]) for name, row in rows.items()}
        with storing(self.path):
            self._file.write(csv_text(columns).split("\n", 1)[1])
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
