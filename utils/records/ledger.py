"""Every configuration that was ever tried, and what it earned: without it a good result says nothing.

Who looks at a hundred parameter sets finds a good one among worthless ones. So each set that was looked at is a line
here, and stays one: the number of different ones is the k of the gate, and what they earned is what the deflated Sharpe
ratio and the probability of backtest overfitting are worked out from. A run of a simulation with the settings as they
are tries nothing and is no line.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from utils.errors import ConfigError, DataError
from utils.figures.arithmetic import Floats, sharpe
from utils.records.chain import Chain
from utils.records.files import plain
from utils.rows import NS_PER_DAY

#: Where configurations are tried.
Kind = Literal["search", "training", "retrain", "sweep", "claim"]
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One configuration on one data set, and what it earned there.

    Raises:
        ConfigError: a kind, a number or a day that is none.
    """

    time: int  # when it was tried, ns UTC
    kind: Kind
    configuration: Mapping[str, Any]  # as JSON holds it: whatever tells it from others
    data: str  # what tells the data from others: a hash
    trades: int
    net_bps: float  # mean of the trades; NaN = none, or not known
    sharpe: float  # of a trade: mean net / its standard deviation; NaN likewise
    days: Mapping[str, float] = field(default_factory=dict)  # net bps of each UTC day of the data; 0 = no trade ended

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(f"trial: expected a kind among {', '.join(get_args(Kind))}, saw {self.kind!r}; name one")
        if self.trades < 0 or math.isinf(self.net_bps) or math.isinf(self.sharpe):
            raise ConfigError(
                f"trial: expected at least 0 trades and finite numbers, saw {self.trades}, {self.net_bps} bps and a "
                f"Sharpe ratio of {self.sharpe}; correct them"
            )
        for day, net in self.days.items():
            if not (_DAY.fullmatch(day) and math.isfinite(net)):
                raise ConfigError(f"trial: expected days as 2026-01-31 with finite bps, saw {day!r}: {net}; correct it")

    @property
    def key(self) -> str:
        """SHA-256 of the configuration: the same however its keys are ordered and its whole numbers are written."""
        return key_of(self.configuration)


def key_of(configuration: Mapping[str, Any]) -> str:
    """SHA-256 of a configuration, hexadecimal: what tells it from all others."""
    return hashlib.sha256(json.dumps(canonical(configuration), sort_keys=True).encode()).hexdigest()


class Matrix(NamedTuple):
    """What each configuration earned each day."""

    days: tuple[str, ...]  # in order
    keys: tuple[str, ...]  # of the configurations, in the order in which they were first tried
    net_bps: Floats  # days x configurations; NaN = its data did not hold that day


class Ledger:
    """The trials in a file that only grows, see `Chain`.

    Args:
        path: the file; made with the first trial.
    """

    def __init__(self, path: Path) -> None:
        self._chain = Chain(path)

    def add(self, *trials: Trial) -> int:
        """Write trials down; how many were new: the same configuration on the same data is one trial.

        Raises:
            DataError: the file is damaged, or none of ours.
            StorageError: the disk refuses; none was added.
        """

        def new(rows: list[dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
            there = {(row.get("key"), row.get("data")) for row in rows}
            for trial in trials:
                if (trial.key, trial.data) not in there:
                    there.add((trial.key, trial.data))
                    yield _row(trial)

        return self._chain.extend(new)

    def note(self, kind: Kind, data: str, tried: Iterable[tuple[Mapping[str, Any], int, float]]) -> int:
        """Write down configurations tried now on the same data, each with its trades and their mean net, bps.

        Raises:
            DataError: the file is damaged, or none of ours.
            StorageError: the disk refuses; none was added.
        """
        now = time.time_ns()
        return self.add(
            *(Trial(now, kind, configuration, data, trades, net, math.nan) for configuration, trades, net in tried)
        )

    def trials(self) -> tuple[Trial, ...]:
        """Every trial, the oldest first.

        Raises:
            DataError: the file is damaged, or none of ours.
        """
        return tuple(
            self._trial(row, f"{self._chain.path} line {number}") for number, row in enumerate(self._chain.read(), 1)
        )

    def count(self) -> int:
        """Configurations ever tried, each counted once on whatever data: the k of the gate."""
        return len({trial.key for trial in self.trials()})

    def sharpes(self) -> Floats:
        """Sharpe ratio of a trade of each configuration, as last tried; those that had none are left out."""
        last = {trial.key: trial.sharpe for trial in self.trials() if not math.isnan(trial.sharpe)}
        return np.array(list(last.values()), np.float64)

    def matrix(self) -> Matrix:
        """Net bps by day and configuration, see `matrix_of`."""
        return matrix_of(self.trials())

    def _trial(self, row: Mapping[str, Any], where: str) -> Trial:
        def number(name: str) -> float:
            return math.nan if row[name] is None else float(row[name])

        try:
            trial = Trial(
                time=int(row["time"]),
                kind=row["kind"],
                configuration=dict(row["configuration"]),
                data=str(row["data"]),
                trades=int(row["trades"]),
                net_bps=number("net_bps"),
                sharpe=number("sharpe"),
                days={str(day): float(net) for day, net in row["days"].items()},
            )
            same = trial.key == row["key"]
        except (KeyError, TypeError, ValueError, AttributeError, ConfigError):
            same = False
        if not same:
            raise DataError(f"{where}: expected a trial, saw {str(row)[:80]}; name another ledger in meta.ledger")
        return trial


def matrix_of(trials: Iterable[Trial]) -> Matrix:
    """Net bps by day and configuration, for PBO: of a day that was tried twice the later counts."""
    by_key: dict[str, dict[str, float]] = {}
    for trial in trials:
        by_key.setdefault(trial.key, {}).update(trial.days)
    days = sorted({day for column in by_key.values() for day in column})
    nets = [[column.get(day, math.nan) for column in by_key.values()] for day in days]
    return Matrix(tuple(days), tuple(by_key), np.array(nets, np.float64).reshape(len(days), len(by_key)))


def daily_sharpes(matrix: Matrix) -> Floats:
    """Daily Sharpe ratio (not annual) of each configuration; those that have none are left out."""
    found = np.array([sharpe(column[~np.isnan(column)], 1.0) for column in matrix.net_bps.T], np.float64)
    return found[~np.isnan(found)]


def daily(exit_ns: Sequence[int] | NDArray[np.int64], net_bps: Floats, first: int, last: int) -> dict[str, float]:
    """Net bps by UTC day, for `Trial.days`: the sum over the trades that ended in it, 0 where none did.

    A close at midnight belongs to the day that ends there.

    Args:
        exit_ns: when each trade ended, ns.
        net_bps: what it earned.
        first: first close of the data, ns.
        last: last close of the data, ns.

    Raises:
        ConfigError: a trade ended outside of the data.
    """
    ends = np.asarray(exit_ns, np.int64)
    start, stop = (first - 1) // NS_PER_DAY, (last - 1) // NS_PER_DAY
    at = (ends - 1) // NS_PER_DAY - start
    if np.any((at < 0) | (at > stop - start)):
        raise ConfigError("trial: expected trades that end within the data, saw one outside; give their first and last")
    sums = np.bincount(at, weights=net_bps, minlength=stop - start + 1)
    names = np.datetime_as_string((start + np.arange(len(sums))).astype("M8[D]"))
    return dict(zip(names.tolist(), sums.tolist(), strict=True))


def canonical(value: Any) -> Any:
    """A configuration in its one spelling: as JSON holds it, whole numbers without a point."""
    value = plain(value)
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _row(trial: Trial) -> dict[str, Any]:
    return {
        "time": trial.time,
        "kind": trial.kind,
        "key": trial.key,
        "configuration": canonical(trial.configuration),
        "data": trial.data,
        "trades": trial.trades,
        "net_bps": trial.net_bps,
        "sharpe": trial.sharpe,
        "days": trial.days,
    }
