"""Data sets: made of a market in memory, written to Parquet stretch by stretch, and read back with every check.

A file is whole or not there: it is written under another name, and takes its place when it is on the disk.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from backtest.data.decisions import DIRECTIONS, LABELS, OF_DIRECTION, SCHEMA, Content, DataSet, Further, Maker
from exec.market import Market
from features.registry import fingerprint
from ml.learning.table import Table
from utils.codes import LABEL_NAMES
from utils.disk import FULL
from utils.errors import DataError, StorageError
from utils.records.files import plain
from utils.records.swap import Hidden
from utils.rows import NS_PER_MS
from utils.settings.tree import Settings

__all__ = ["DataSet", "Further", "in_the_way", "make_dataset", "read_dataset", "write_dataset"]

#: Where the manifest stands in the metadata of the file.
KEY = b"hybrid_scalper_dataset"
#: Most rows of a file that is read into memory.
MOST_ROWS = 20_000_000
#: Fewest rows with a label, in either direction, that anything can be learned from.
FEWEST = 50
#: What a cell may unpack to, bytes, and what a file may have besides.
CELL, BESIDES = 16, 1 << 20
#: Rows that become columns at once: few enough to stay in cache, as columns of long rows are far apart.
BLOCK = 1_024
#: How a file is made anew.
ANEW = "build it anew with python -m backtest.build_dataset"

Tell = Callable[[int], None]


def make_dataset(
    market: Market,
    settings: Settings,
    *,
    gross: bool = False,
    further: tuple[Further, ...] = (),
    tell: Tell | None = None,
) -> DataSet:
    """The data set of a market, in memory; its manifest is that of a file but for `content`.

    Args:
        market: bars, instruments, and the closes from which each symbol is decided on.
        settings: signal, barriers, kind of entry, costs.
        gross: labels before all costs.
        further: columns beside the bars, which stand after the registered features.
        tell: told how many bars were looked at.

    Raises:
        ConfigError: the kind of an entry is chosen signal by signal, so a walk over candles cannot take it.
        DataError: not one decision has a known end.
    """
    maker = Maker(market, settings, gross=gross, further=further)
    room = maker.room(maker.rows)
    for _ in maker.parts(tell, room):
        pass
    _require_rows(maker)
    return replace(room.take(slice(0, maker.tally.rows)), manifest=maker.manifest())


def write_dataset(
    path: str | Path,
    market: Market,
    settings: Settings,
    *,
    gross: bool = False,
    further: tuple[Further, ...] = (),
    tell: Tell | None = None,
) -> dict[str, Any]:
    """Make the data set of a market straight into a Parquet file, stretch by stretch; returns its manifest.

    Memory is that of the market and of a stretch. Columns, a row a decision: `ts`, `symbol`, `side`; the features by
    name; `label_long_win`, `label_short_win`, `label_win` (= long; 1, 0, null = no label); of each direction
    `net_bps_*`, `gross_bps_*`, `reason_*`, `ambiguous_*`, `t1_*`, `uniqueness_*`; `t0` (= ts), `t1` (the later one).

    Raises:
        ConfigError: as `make_dataset`.
        DataError: likewise; nothing is written.
        StorageError: the file cannot be written; one that stands there stays as it was.
    """
    import pyarrow.parquet as pq

    place = Path(path)
    maker = Maker(market, settings, gross=gross, further=further)
    schema = schema_of(maker.names)
    with _storing(place), Hidden(place.absolute().parent, ()) as hidden:
        staged = hidden / "dataset"
        with staged.open("wb") as file:
            words = [name for name in schema.names if name == "symbol" or name.startswith("reason_")]
            content = Content()
            with pq.ParquetWriter(file, schema, compression="lz4", use_dictionary=words) as writer:

                def keep(part: DataSet) -> None:
                    content.add(part)
                    if len(part):
                        writer.write_table(arrow_of(part, schema))

                # one stretch is packed while the next is made
                with ThreadPoolExecutor(1) as pool:
                    last: Future[Any] = pool.submit(bool)
                    for part in maker.parts(tell):
                        last.result()
                        last = pool.submit(keep, part)
                    last.result()
                _require_rows(maker)
                manifest: dict[str, Any] = plain({**maker.manifest(), "content": content.digest})
                writer.add_key_value_metadata({KEY: json.dumps(manifest)})
            file.flush()
            os.fsync(file.fileno())
        staged.replace(place)
    return manifest


def schema_of(features: tuple[str, ...]) -> Any:
    """The Arrow schema of a data set with these features."""
    import pyarrow as pa

    time, word = pa.timestamp("ms", "UTC"), pa.dictionary(pa.int8(), pa.string())
    kinds = {
        "net_bps": pa.float64(),
        "gross_bps": pa.float64(),
        "reason": word,
        "ambiguous": pa.int32(),
        "t1": time,
        "uniqueness": pa.float64(),
    }
    return pa.schema(
        [
            ("ts", time),
            ("symbol", pa.dictionary(pa.int16(), pa.string())),
            ("side", pa.float64()),
            *((name, pa.float64()) for name in features),
            *((name, pa.int8()) for name in LABELS),
            *((f"{name}_{direction}", kinds[name]) for name in OF_DIRECTION for direction in DIRECTIONS),
            ("t0", time),
            ("t1", time),
        ]
    )


def arrow_of(part: DataSet, schema: Any) -> Any:
    """Some rows as an Arrow table."""
    import pyarrow as pa

    table = part.table
    x = np.empty(table.x.shape[::-1])
    for lo in range(0, len(table), BLOCK):
        x[:, lo : lo + BLOCK] = table.x[lo : lo + BLOCK].T
    columns: dict[str, Any] = {
        "ts": table.ts // NS_PER_MS,
        "symbol": pa.DictionaryArray.from_arrays(table.sym.astype(np.int16), list(table.symbols)),
        "side": table.side,
        **dict(zip(table.names, x, strict=True)),
        "t0": table.ts // NS_PER_MS,
        "t1": table.until.max(axis=1) // NS_PER_MS,
    }
    for k, direction in enumerate(DIRECTIONS):
        net = np.ascontiguousarray(table.net[:, k])
        columns[f"label_{direction}_win"] = pa.array((net > 0.0).astype(np.int8), mask=np.isnan(net))
        columns[f"net_bps_{direction}"] = net
        columns[f"gross_bps_{direction}"] = np.ascontiguousarray(part.gross[:, k])
        codes = part.reason[:, k].astype(np.int8)
        columns[f"reason_{direction}"] = pa.DictionaryArray.from_arrays(codes, list(LABEL_NAMES))
        columns[f"ambiguous_{direction}"] = part.ambiguous[:, k].astype(np.int32)
        columns[f"t1_{direction}"] = table.until[:, k] // NS_PER_MS
        columns[f"uniqueness_{direction}"] = np.ascontiguousarray(table.weight[:, k])
    columns["label_win"] = columns["label_long_win"]
    return pa.Table.from_arrays([pa.array(columns[each.name], each.type) for each in schema], schema=schema)


def _require_rows(maker: Maker) -> None:
    if not maker.tally.rows:
        raise DataError(
            f"expected a decision of which it is known what became, saw {maker.rows} bars after the warm-up and none; "
            "use a longer history"
        )


@contextmanager
def _storing(place: Path) -> Iterator[None]:
    """Turn the machine's refusals to write a data set into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageError(
                f"{place}: the disk is full, and what stood there is untouched; free some space or name another place"
            ) from error
        if error.errno is None:
            raise
        seen = "a directory of that name" if error.errno == errno.EISDIR else os.strerror(error.errno)
        raise StorageError(
            f"{place}: expected a file that this user may write, saw '{seen}'; change that or name another place"
        ) from error


def read_dataset(path: str | Path) -> DataSet:
    """A data set from a file, with every check.

    Raises:
        DataError: there is none, it is cut short or no data set, of another version or of other features, has too few
            rows or too many, outcomes of one kind alone, rows twice or out of order, or was changed after it was built.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = Path(path)
    if not place.is_file():
        raise DataError(f"{place}: expected a data set, saw {'a directory' if place.is_dir() else 'nothing'}; {ANEW}")
    try:
        with pq.ParquetFile(place) as file:
            manifest = _manifest(place, file)
            made = _rows(place, file, manifest)
    except (pa.ArrowException, OSError) as error:
        told = " ".join(str(error).split())[:120]
        raise DataError(f"{place}: expected a whole Parquet file, saw '{told}'; {ANEW}") from error
    _check(place, made)
    return made


def in_the_way(path: Path) -> str:
    """What stands where a data set is to go, and is none that may be replaced; "" for one, nothing, or no byte."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.is_dir():
        return "a directory"
    if not path.exists():
        return ""
    if not path.is_file():
        return "which is no plain file"
    if not path.stat().st_size:
        return ""
    try:
        told = pq.read_metadata(path).metadata or {}
    except (pa.ArrowException, OSError):
        return "which is something else"
    return "" if KEY in told else "a Parquet file of something else"


def _manifest(place: Path, file: Any) -> dict[str, Any]:
    """The manifest of a file that can be a data set."""
    told = (file.metadata.metadata or {}).get(KEY)
    if told is None:
        raise DataError(f"{place}: expected a data set with its manifest, saw a Parquet file of something else; {ANEW}")
    try:
        manifest = json.loads(told)
        schema = manifest["schema"]
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{place}: expected a manifest that can be read, saw {told[:60]!r}; {ANEW}") from None
    if schema != SCHEMA:
        raise DataError(f"{place}: expected a data set of schema {SCHEMA}, saw {schema!r:.20}; {ANEW}")
    try:
        known, rows, names = manifest["registered"], int(manifest["rows"]), tuple(manifest["features"])
        whole = len(names) and manifest["symbols"] and int(manifest["timeframe_ns"]) > 0 and manifest["content"]
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise DataError(f"{place}: expected a whole manifest, saw one with parts missing; {ANEW}")
    if known != fingerprint():
        raise DataError(
            f"{place}: expected the features of this version ({fingerprint()[:12]}), saw those of another "
            f"({known!s:.12}); {ANEW}"
        )
    wanted = schema_of(names)
    odd = [field.name for field in wanted if file.schema_arrow.get_field_index(field.name) < 0]
    odd += [field.name for field in wanted if field.name not in odd and file.schema_arrow.field(field.name) != field]
    if odd:
        raise DataError(f"{place}: expected the columns of its manifest, saw another or no {odd[0]}; {ANEW}")
    parts = [file.metadata.row_group(k) for k in range(file.metadata.num_row_groups)]
    room = sum(part.total_byte_size for part in parts)
    if file.metadata.num_rows != rows or sum(part.num_rows for part in parts) != rows:
        raise DataError(f"{place}: expected {rows:,} rows as its manifest says, saw {file.metadata.num_rows:,}; {ANEW}")
    if rows > MOST_ROWS or room > rows * len(wanted) * CELL + BESIDES:
        raise DataError(
            f"{place}: expected at most {MOST_ROWS:,} rows of {len(wanted)} columns, saw {rows:,} that unpack to "
            f"{room:,} bytes; build one of a shorter time"
        )
    return dict(manifest)


def _rows(place: Path, file: Any, manifest: Mapping[str, Any]) -> DataSet:
    """What the file holds, row group by row group."""
    n, names, symbols = int(manifest["rows"]), tuple(manifest["features"]), tuple(manifest["symbols"])
    table = Table(
        names, symbols, int(manifest["timeframe_ns"]),
        ts=np.empty(n, np.int64), sym=np.empty(n, np.int64), x=np.empty((n, len(names))), side=np.empty(n),
        net=np.empty((n, 2)), until=np.empty((n, 2), np.int64), weight=np.empty((n, 2)),
    )  # fmt: skip
    made = DataSet(table, np.empty((n, 2)), np.empty((n, 2), np.int64), np.empty((n, 2), np.int64), manifest)
    at = 0
    for k in range(file.metadata.num_row_groups):
        group = file.read_row_group(k)
        rows = slice(at, at + group.num_rows)
        at += group.num_rows
        odd = [name for name in group.column_names if not name.startswith("label_") and group[name].null_count]
        if odd:
            raise DataError(f"{place}: expected a value in each row of {odd[0]}, saw null; {ANEW}")
        table.ts[rows] = group["ts"].cast("int64").to_numpy() * NS_PER_MS
        table.sym[rows] = _codes(place, group["symbol"], symbols)
        table.side[rows] = group["side"].to_numpy()
        for j, name in enumerate(names):
            table.x[rows, j] = group[name].to_numpy()
        for j, direction in enumerate(DIRECTIONS):
            table.net[rows, j] = group[f"net_bps_{direction}"].to_numpy()
            table.until[rows, j] = group[f"t1_{direction}"].cast("int64").to_numpy() * NS_PER_MS
            table.weight[rows, j] = group[f"uniqueness_{direction}"].to_numpy()
            made.gross[rows, j] = group[f"gross_bps_{direction}"].to_numpy()
            made.reason[rows, j] = _codes(place, group[f"reason_{direction}"], LABEL_NAMES)
            made.ambiguous[rows, j] = group[f"ambiguous_{direction}"].to_numpy()
    return made


def _codes(place: Path, column: Any, names: tuple[str, ...]) -> Any:
    """The place of each word of a column among names."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pc.index_in(column.cast("string"), pa.array(names))
    if found.null_count:
        odd = column.filter(found.is_null())[0].as_py()
        raise DataError(f"{place}: expected one of {', '.join(filter(None, names))}, saw {odd!r:.40}; {ANEW}")
    return found.to_numpy()


def _check(place: Path, made: DataSet) -> None:
    """Refuse rows that no data set has."""
    table = made.table
    labelled = table.labelled
    if (counts := labelled.sum(axis=0)).min() < FEWEST:
        raise DataError(
            f"{place}: expected at least {FEWEST} rows with a label in either direction, saw {counts[0]} long and "
            f"{counts[1]} short; build one of a longer time"
        )
    for k, direction in enumerate(DIRECTIONS):
        if len(kinds := np.unique(table.won[labelled[:, k], k])) < 2:
            alone = "wins" if kinds[0] else "losses"
            raise DataError(
                f"{place}: expected wins and losses in label_{direction}_win, saw {alone} alone; build one of a longer "
                "time, or with other barriers"
            )
    step, sym = np.diff(table.ts), np.diff(table.sym)
    twice, back = (step == 0) & (sym == 0), (step < 0) | ((step == 0) & (sym < 0))
    if twice.any() or back.any():
        row = int(np.argmax(twice | back)) + 1
        what = "the one before once more" if twice[row - 1] else "an earlier one"
        raise DataError(f"{place}: row {row}: expected each ts and symbol once, in order, saw {what}; {ANEW}")
    wrong = (
        ("feature", np.isinf(table.x).any(axis=1)),
        ("side", ~(np.isnan(table.side) | np.isin(table.side, (-1.0, 0.0, 1.0)))),
        ("t1", (table.until < table.ts[:, None]).any(axis=1)),
        ("uniqueness", ~((table.weight >= 0.0) & (table.weight <= 1.0)).all(axis=1)),
        ("net_bps", np.isinf(table.net).any(axis=1)),
    )
    for name, rows in wrong:
        if rows.any():
            raise DataError(f"{place}: row {int(np.argmax(rows))}: expected a {name} that can be, saw none; {ANEW}")
    content = Content()
    content.add(made)
    if content.digest != made.manifest["content"]:
        raise DataError(f"{place}: expected the values of its manifest, saw others: it was changed; {ANEW}")
