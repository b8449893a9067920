"""Data sets whose truth is known, and what a training makes of them, for the tests of `model`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from backtest.data.dataset import KEY, DataSet, arrow_of, schema_of
from backtest.data.decisions import SCHEMA, Content
from features.registry import fingerprint
from ml.learning.table import Table
from model.training import Trained, train
from utils.records.ledger import Ledger


def data_of(table: Table, **other: object) -> DataSet:
    """A data set of a table, of which each decision ended at a barrier."""
    n = len(table)
    costs = {"maker_bps": [2.0], "taker_bps": [5.0], "tick": [0.1], "half_spread_bps": 0.5, "slippage_bps": 1.0}
    configuration = {
        "symbols": list(table.symbols),
        "timeframe": "5m",
        "take_bps": 25.0,
        "stop_bps": 18.0,
        "horizon": 6,
        "entry": "post_only",
        "costs": costs,
        "gross": False,
        **other,
    }
    manifest = {"configuration": configuration, "fingerprint": "f", "features": list(table.names), "content": "a" * 64}
    return DataSet(table, table.net, np.ones((n, 2), np.int64), np.zeros((n, 2), np.int64), manifest)


def trained(data: DataSet, folder: Path, *families: str, now_ns: int = 10) -> tuple[list[Trained], Ledger]:
    """A training below a folder, and the ledger that it is written down in."""
    ledger = Ledger(folder / "trials.jsonl")
    return train(data, folder, ledger, families=families or ("logistic",), now_ns=now_ns, seed=1), ledger


def written(data: DataSet, path: Path) -> Path:
    """A data set as the file that `read_dataset` reads."""
    names = data.table.names
    content = Content()
    content.add(data)
    manifest = {
        **data.manifest,
        "schema": SCHEMA,
        "registered": fingerprint(),
        "rows": len(data),
        "symbols": list(data.table.symbols),
        "timeframe_ns": data.table.tf_ns,
        "content": content.digest,
    }
    table = arrow_of(data, schema_of(names))
    pq.write_table(table.replace_schema_metadata({KEY: json.dumps(manifest)}), path)
    return path
