"""A folder of Parquet files and the manifest of what this program put there, whole at every moment.

    <root>/manifest.json
    <root>/<market>/<tf>/<SYMBOL>_<from>_<to>.parquet

Pages lie in a hidden folder beside the file until all are there; then one file is made of them and of what it extends.
A plan is written before the file is put in its place, so that the next run finishes what a killed one had all but done.
Files the manifest does not name are never touched, and nothing that lies there is believed to name a file outside.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from ingest.files.inside import inside, open_lock, plain_file, read_small, stays
from utils.errors import ConfigError, DataError
from utils.rows import MS_PER_DAY
from utils.shell.moments import at_ms

FORMAT = 1
#: No time of a row is later, ms: the year 2100.
LAST_MS = 4_102_444_800_000
#: Most rows of one file, and bytes of it unpacked: nineteen years of minutes.
MOST_ROWS, MOST_BYTES = 10_000_000, 600 * 2**20
#: Settlements are told to the second, ms.
SECOND_MS = 1_000
_PAGE = re.compile(r"([0-9]{1,13})_([0-9]{1,13})\.parquet")
#: Beside the pages: what is being made of them, and where they came from.
PENDING, ADDRESS = "pending.json", "address"


class Covered(NamedTuple):
    """A period that was asked for and answered: from `start` up to and without `end`, ms."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What the manifest says of one file."""

    path: str  # from the root, with slashes
    symbol: str
    covers: tuple[int, int]  # asked for and answered, ms; what is missing inside stands in gaps
    rows: int
    first: str  # time of the first and the last row, ISO 8601 UTC
    last: str
    sha256: str
    gaps: tuple[dict[str, Any], ...]
    source: dict[str, Any]  # exchange, call, address
    downloaded_at: str

    @property
    def place(self) -> str:
        """The folder it lies in."""
        return self.path.rpartition("/")[0]


class Store:
    """Files below one root; held by one process at a time. Use it with `with`.

    Args:
        root: the folder; made if absent.

    Raises:
        ConfigError: another process holds it.
        DataError: its manifest, or a file the manifest names, is not as this program left it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __enter__(self) -> Store:
        self.root.mkdir(parents=True, exist_ok=True)
        self._lock = os.fdopen(open_lock(self.root / ".lock"), "r+")
        try:
            self._hold()
            self.entries = self._read_manifest()
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.close()  # which gives it back; so does being killed

    def _hold(self) -> None:
        with contextlib.suppress(ImportError):  # on Windows nothing keeps two downloads apart
            import fcntl

            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"{self.root}: another download is writing here; wait for it, or choose another place with --out"
                ) from None

    def _read_manifest(self) -> dict[str, Entry]:
        path = self.root / "manifest.json"
        if not plain_file(path):
            return {}
        try:
            found = json.loads(read_small(path))
            if found["format"] != FORMAT:
                raise DataError(
                    f"{path}: expected format {FORMAT}, seen {found['format']}; use a newer version of this"
                )
            entries = msgspec.convert(found["files"], list[Entry])
        except (ValueError, KeyError, TypeError, RecursionError, msgspec.ValidationError) as error:
            raise DataError(
                f"{path}: expected the manifest of a download, seen another file ({error!r}); move it away, and the"
                " files beside it too"
            ) from None
        return {
            entry.path: entry for entry in entries if plain_file(inside(self.root, _checked(entry, path).path, path))
        }

    def commit(self, made: Entry, replaced: Sequence[str]) -> None:
        """A new file counts, and the ones it takes the place of no longer do."""
        self.entries = {path: entry for path, entry in self.entries.items() if path not in replaced}
        self.entries[made.path] = made
        files = [asdict(self.entries[path]) for path in sorted(self.entries)]
        _replace(
            self.root / "manifest.json", (json.dumps({"format": FORMAT, "files": files}, indent=1) + "\n").encode()
        )
        for path in replaced:
            if path != made.path:
                inside(self.root, path, self.root / "manifest.json").unlink(missing_ok=True)


class Series:
    """One symbol's rows in one folder of a store, on their way to being a file.

    Args:
        store: an open store.
        place: folder below its root, such as binance_usdm/5m.
        symbol: exchange id.
        address: where its rows come from; they are never joined with those of another place.

    Raises:
        ConfigError: rows that lie here came from another address.
        DataError: what a killed run left here is not what this program leaves.
    """

    def __init__(self, store: Store, place: str, symbol: str, address: str) -> None:
        self._store, self._place, self._symbol, self._address = store, place, symbol, address
        self._folder = stays(store.root, store.root / place)
        self._parts = stays(store.root, self._folder / f".{symbol}.parts")
        self._own = re.compile(rf"{re.escape(place)}/{re.escape(symbol)}_[0-9]{{8}}_[0-9]{{8}}\.parquet")
        self._recover()
        for known in self._addresses():
            if known != address:
                raise ConfigError(
                    f"{self._folder}: expected {symbol} to come from {known}, as the rows that lie there did, and"
                    f" {address} is what the settings say; choose another place with --out"
                )

    def _addresses(self) -> Iterator[str]:
        """Where the rows that lie here came from."""
        if plain_file(self._parts / ADDRESS):
            yield read_small(self._parts / ADDRESS)
        for entry in self._mine():
            yield str(entry.source.get("address", self._address))

    def _recover(self) -> None:
        """Finish what a killed run had all but done, or take away the half-written."""
        for partial in self._folder.glob(f".{self._symbol}_*.partial"):
            partial.unlink()
        pending = self._parts / PENDING
        if not plain_file(pending):
            return
        made, replaced = self._plan(pending)
        file = inside(self._store.root, made.path, pending)
        if plain_file(file) and _sha256(file) == made.sha256:
            self._commit(made, replaced)
        else:
            pending.unlink()

    def _plan(self, pending: Path) -> tuple[Entry, list[str]]:
        """What was to become of the pages.

        Raises:
            DataError: it is no plan, or names files that are not this series'.
        """
        try:
            plan = json.loads(read_small(pending))
            made, replaced = msgspec.convert(plan["made"], Entry), msgspec.convert(plan["replaced"], list[str])
        except (ValueError, KeyError, TypeError, RecursionError, msgspec.ValidationError) as error:
            raise DataError(
                f"{pending}: expected the plan of a download, saw another file ({error!r}); delete it, and the same"
                " command goes on from there"
            ) from None
        for name in (_checked(made, pending).path, *replaced):
            if not self._own.fullmatch(name):
                raise DataError(
                    f"{pending}: expected files of {self._symbol} in {self._place}, saw {name[:80]!r}; it was not"
                    " written by this program: delete it, and the same command goes on from there"
                )
        return made, replaced

    def entries(self) -> list[Entry]:
        """The files there are of this symbol, oldest first, each as it was written.

        Raises:
            DataError: a file has been changed.
        """
        found = self._mine()
        for entry in found:
            if _sha256(self._store.root / entry.path) != entry.sha256:
                raise DataError(
                    f"{self._store.root / entry.path}: expected the file that the manifest describes, seen another;"
                    " move it away, and it will be downloaded anew"
                )
        return sorted(found, key=lambda entry: entry.covers)

    def _mine(self) -> list[Entry]:
        mine = (self._place, self._symbol)
        return [entry for entry in self._store.entries.values() if (entry.place, entry.symbol) == mine]

    def covered(self) -> list[Covered]:
        """The periods whose pages wait to become a file."""
        found = []
        for path in self._parts.glob("*.parquet"):
            named = _PAGE.fullmatch(path.name)
            period = Covered(int(named[1]), int(named[2])) if named else Covered(0, 0)
            if not named or not period.start < period.end < LAST_MS or not plain_file(stays(self._parts, path)):
                raise DataError(
                    f"{path}: expected only pages that a download left here, saw another file; move it away, and the"
                    " same command goes on from there"
                )
            found.append(period)
        return sorted(found)

    def keep(self, period: Covered, table: Any) -> None:
        """Keep a page: an Arrow table whose first column is `timestamp`."""
        if not (self._parts / ADDRESS).exists():
            _replace(self._parts / ADDRESS, self._address.encode())
        _replace(self._parts / f"{period.start}_{period.end}.parquet", _parquet(table))

    def finish(self, period: Covered, replaced: Sequence[Entry], entry: Entry) -> Entry:
        """Make one file of the pages and of the files it takes the place of.

        Args:
            period: what it covers.
            replaced: files it takes the place of.
            entry: what is known of it; path, covers, rows, first, last and hash are filled in here.

        Raises:
            DataError: somebody else's file stands in its place.
        """
        table = self.rows(period, replaced)
        stamps = table.column("timestamp").cast("int64")
        first, last = stamps[0].as_py(), stamps[-1].as_py()
        data = _parquet(table)
        made = replace(
            entry,
            path=f"{self._place}/{self._symbol}_{_day(first)}_{_day(last)}.parquet",
            covers=(period.start, period.end),
            rows=table.num_rows,
            first=at_ms(first),
            last=at_ms(last),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        old = [each.path for each in replaced]
        if made.path not in self._store.entries and (self._store.root / made.path).exists():
            raise DataError(
                f"{self._store.root / made.path}: expected no such file, as the manifest names none, seen one; move it"
                " away, and the same command goes on from there"
            )
        _replace(self._parts / PENDING, json.dumps({"made": asdict(made), "replaced": old}).encode())
        _replace(self._store.root / made.path, data)
        self._commit(made, old)
        return made

    def _commit(self, made: Entry, replaced: Sequence[str]) -> None:
        self._store.commit(made, replaced)
        for page in self._pages(Covered(*made.covers)):
            page.unlink(missing_ok=True)
        # last, so that being killed meanwhile leads here again
        (self._parts / PENDING).unlink()
        if not self.covered():
            (self._parts / ADDRESS).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # pages of another period wait there
            self._parts.rmdir()

    def _pages(self, period: Covered) -> list[Path]:
        inside = [page for page in self.covered() if period.start <= page.start and page.end <= period.end]
        return [self._parts / f"{start}_{end}.parquet" for start, end in inside]

    def rows(self, period: Covered, replaced: Iterable[Entry]) -> Any:
        """The rows of files, and of the pages of a period, as one Arrow table in order of time."""
        import pyarrow as pa

        tables: list[Any] = []
        for path in [*(self._store.root / entry.path for entry in replaced), *self._pages(period)]:
            try:
                tables.append(_rows_of(path))
                wrong = "columns unlike those of the others" if tables[-1].schema != tables[0].schema else ""
            except (pa.ArrowException, OSError, ValueError, KeyError) as error:
                wrong = " ".join(str(error).split())[:120]
            if wrong:
                raise DataError(
                    f"{path}: expected rows of {self._symbol} as a download leaves them, saw others ({wrong}); move it"
                    " away, and the same command fetches them anew"
                )
        return pa.concat_tables(tables).sort_by("timestamp")


def _rows_of(path: Path) -> Any:
    """The rows of a file, once it is known how many they are; of a page, once they are of its period.

    Raises:
        ValueError: they are too many, without times, or of another period; what pyarrow raises, if they are none.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    # one by one: as a data set, pyarrow would read columns out of the folders' names
    file = pq.ParquetFile(path)
    size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
    if file.metadata.num_rows > MOST_ROWS or size > MOST_BYTES:
        raise ValueError(f"{file.metadata.num_rows:,} rows of {size:,} bytes")
    table = file.read()
    stamps = table.column("timestamp").cast("int64")
    if stamps.null_count:
        raise ValueError("rows without a time")
    named = _PAGE.fullmatch(path.name)
    if named and len(stamps):
        first, last = (bound.as_py() for bound in pc.min_max(stamps).values())
        if not int(named[1]) - SECOND_MS <= first <= last <= int(named[2]):
            raise ValueError(f"from {at_ms(first)} to {at_ms(last)}")
    return table


def _checked(entry: Entry, said_by: Path) -> Entry:
    """An entry whose numbers can be.

    Raises:
        DataError: they cannot.
    """
    start, end = entry.covers
    if not 0 <= start < end < LAST_MS or entry.rows < 0:
        raise DataError(
            f"{said_by}: expected a period in ms and its rows, saw {entry.covers} and {entry.rows}; move it away"
        )
    return entry


def missing(wanted: Covered, have: Iterable[Covered]) -> list[Covered]:
    """What of a period is in none of others."""
    found, start = [], wanted.start
    for each in sorted(have):
        if each.end <= start or each.start >= wanted.end:
            continue
        if each.start > start:
            found.append(Covered(start, each.start))
        start = max(start, each.end)
    if start < wanted.end:
        found.append(Covered(start, wanted.end))
    return found


def touching(wanted: Covered, entries: Iterable[Entry], pages: Iterable[Covered]) -> tuple[Covered, list[Entry]]:
    """The files that a period meets, overlaps or shares a day with, and the period grown to hold them and the pages."""
    rest: list[tuple[Covered, Entry | None]] = [(Covered(*entry.covers), entry) for entry in entries]
    rest += [(page, None) for page in pages]
    chosen: list[Entry] = []
    while met := [each for each in rest if _meet(wanted, each[0])]:
        rest = [each for each in rest if not _meet(wanted, each[0])]
        chosen += [entry for _, entry in met if entry is not None]
        wanted = Covered(
            min(wanted.start, *(period.start for period, _ in met)), max(wanted.end, *(period.end for period, _ in met))
        )
    return wanted, sorted(chosen, key=lambda entry: entry.covers)


def _meet(a: Covered, b: Covered) -> bool:
    """Names hold days: two files of one day would be one name."""
    one_day = a.start // MS_PER_DAY <= (b.end - 1) // MS_PER_DAY and b.start // MS_PER_DAY <= (a.end - 1) // MS_PER_DAY
    return one_day or (a.start <= b.end and b.start <= a.end)


def now_text() -> str:
    """The machine's time as ISO 8601 UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y%m%d")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parquet(table: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _replace(path: Path, data: bytes) -> None:
    """Put bytes in a file's place by one rename, so that a reader, or a run after a power cut, sees all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)  # and not written to: it may be a link
    with partial.open("xb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)
    with contextlib.suppress(PermissionError):  # Windows opens no folders
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
