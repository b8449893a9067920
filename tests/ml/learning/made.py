"""Tables whose truth is known, for the tests of learning."""

from __future__ import annotations

import numpy as np

from ml.learning.table import Table

MINUTE = 60_000_000_000
DAY = 24 * 60 * MINUTE


def made(
    rows: int = 6000, *, edge_bps: float = 0.0, seed: int = 1, features: int = 4, life: int = 6, tf: int = 5
) -> Table:
    """Dice: net is N(0, 20) bps, with an edge on the tenth of the rows where the first feature is lowest or highest.

    Long earns it where the feature is low, short where it is high. Labels live `life` bars of `tf` minutes.
    """
    dice = np.random.default_rng(seed)
    x = dice.normal(size=(rows, features))
    net = dice.normal(0.0, 20.0, (rows, 2))
    low, high = np.quantile(x[:, 0], [0.1, 0.9])
    net[x[:, 0] <= low, 0] += edge_bps
    net[x[:, 0] >= high, 1] += edge_bps
    step = tf * MINUTE
    ts = 1_700_000_100_000_000_000 // step * step + step * np.arange(1, rows + 1, dtype=np.int64)
    until = ts[:, None] + step * dice.integers(1, life + 1, (rows, 2))
    return Table(
        names=tuple(f"f{k}" for k in range(features)),
        symbols=("BTCUSDT",),
        tf_ns=step,
        ts=ts,
        sym=np.zeros(rows, np.int64),
        x=x,
        side=np.zeros(rows),
        net=net,
        until=until,
        weight=np.full((rows, 2), 0.4),
    )
