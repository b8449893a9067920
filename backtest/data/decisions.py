"""A data set from a market: one row a decision, its features, and what became of a trade in either direction.

It is made stretch by stretch, in order of time, so that memory is flat for whoever writes it away meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest.data.manifest import stamp
from backtest.data.market import warmup_of
from exec.market import Market
from exec.trader import chunks
from features.fold import matrix
from features.live import EVENT_VECTOR
from features.registry import feature_set, fingerprint
from features.rows.sources import EVENT_SOURCES
from ml.barriers.labels import SIDES, Labeller
from ml.learning.table import BESIDE, Table
from ml.signal import Signaller, strategy_params
from utils.codes import END_OF_DATA, EXIT_NAMES, LABEL_NAMES, NO_BAR
from utils.figures.arithmetic import Floats
from utils.market.costs import break_even_win_rate
from utils.params import costs_of, params_of, require_fixed
from utils.rows import Rows
from utils.settings.tree import Settings

Whole = NDArray[np.int64]

#: Of what a data set holds; a reader refuses another.
SCHEMA = 1
#: Bars made at once.
STRETCH = 65_536
#: Names of the directions, in the order of the columns of a table.
DIRECTIONS = ("long", "short")
#: Columns of a file: those before the features, labels, those of either direction, and the last.
FIRST, LABELS, LAST = ("ts", "symbol", "side"), ("label_long_win", "label_short_win", "label_win"), ("t0", "t1")
OF_DIRECTION = ("net_bps", "gross_bps", "reason", "ambiguous", "t1", "uniqueness")
#: Reasons for which nobody knows what became of a decision.
UNKNOWN = (END_OF_DATA, NO_BAR)
#: Sections of the settings that a data set depends on.
USED = ("instruments", "signal", "risk", "execution", "simulation")
#: What a data set has beside its table, n x 2 each.
MORE = ("gross", "reason", "ambiguous")


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """Decisions as arrays, what else is known of their labels, and where all that is from."""

    table: Table
    gross: Floats  # n x 2: what the trade earned before fees, bps of its entry; NaN = no label
    reason: Whole  # n x 2: how it ended, or why there was none, as in `utils.codes.LABEL_NAMES`
    ambiguous: Whole  # n x 2: bars that touched both barriers
    manifest: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    def take(self, rows: Any) -> DataSet:
        """The data set of some rows: a mask, indices or a slice; its manifest stays that of all."""
        return replace(self, table=self.table.take(rows), **{name: getattr(self, name)[rows] for name in MORE})


@dataclass(frozen=True, slots=True, eq=False)
class Further:
    """Columns beside the bars of a market that are features, too."""

    names: tuple[str, ...]
    values: Floats  # bars x names; NaN = not computable
    fingerprint: str  # of their definitions


def reserved() -> frozenset[str]:
    """Names of columns that no feature may have."""
    each = {f"{name}_{direction}" for name in OF_DIRECTION for direction in DIRECTIONS}
    return frozenset({*FIRST, *LABELS, *LAST, *each})


class Maker:
    """Makes a data set stretch by stretch.

    Args:
        market: bars, instruments, and the closes from which each symbol is decided on.
        settings: signal, barriers, kind of entry, costs.
        gross: labels before all costs.
        further: columns beside the bars, which stand after the registered features.

    Raises:
        ConfigError: the kind of an entry is chosen signal by signal, so a walk over candles cannot take it.
    """

    def __init__(
        self, market: Market, settings: Settings, *, gross: bool = False, further: tuple[Further, ...] = ()
    ) -> None:
        self.market, self.settings, self.gross = market, settings, gross
        self.params = params_of(settings, market.tf_ns)
        require_fixed(self.params)
        self.instruments = market.instruments.copy()
        if gross:
            self.params["half_spread_bps"] = self.params["slippage_bps"] = 0.0
            self.instruments["maker_bps"] = self.instruments["taker_bps"] = 0.0
        self._features = feature_set(len(market.symbols))
        self._further = (*of_book(market), *further)
        self.names = (*self._features.names, *(name for each in self._further for name in each.names))
        self.fingerprint = joint_fingerprint(self._features.fingerprint(), self._further)
        self.tally = Tally(len(self.names))

    @property
    def rows(self) -> int:
        """Bars that are decided on."""
        return len(self.market.decided)

    def parts(self, tell: Callable[[int], None] | None = None) -> Iterator[DataSet]:
        """The data set in order of time, in stretches; `tell` hears how many bars were looked at.

        Decisions of which nobody knows yet what became, in either direction, are left out.
        """
        market = self.market
        signaller = Signaller(strategy_params(self.settings), market.starts)
        starts = np.array(market.starts)
        labellers = [self._labeller(sym) for sym in range(len(market.symbols))]
        vectors: Rows = np.empty(0, self._features.dtype)
        for lo, hi in chunks(market.bars, STRETCH):
            bars = market.bars[lo:hi]
            if len(vectors) < len(bars):
                vectors = np.empty(len(bars), self._features.dtype)
            features = self._features.batch(bars, vectors[: len(bars)])
            side = signals_of(signaller, market, bars, features, lo)["side"]
            decided = bars["ts"] >= starts[bars["sym"]]
            part = self._part(bars, decided, labellers)
            x = np.empty((len(part), len(self.names)))
            self._fill(x, features, lo, decided)
            table = replace(part.table, x=x, side=np.ascontiguousarray(side[decided]))
            known = ~np.isin(part.reason, UNKNOWN).all(axis=1)
            made = replace(part, table=table)
            made = made if known.all() else made.take(known)
            self.tally.add(made)
            yield made
            if tell is not None:
                tell(hi)

    def manifest(self) -> dict[str, Any]:
        """What the data set is, where from, and what it counts; whole once all parts were made."""
        market, settings = self.market, self.settings
        return {
            "schema": SCHEMA,
            "features": list(self.names),
            "fingerprint": self.fingerprint,
            "registered": self._features.fingerprint(),
            "empty": [name for name, there in zip(self.names, self.tally.there, strict=True) if not there],
            "symbols": list(market.symbols),
            "timeframe": market.tf,
            "timeframe_ns": market.tf_ns,
            "synthetic": market.synthetic,
            "warmup": warmup_of(settings),
            "sources": [dict(one) for one in market.files],
            "assumptions": list(market.assumptions),
            "doubts": list(market.doubts),
            "settings": settings.model_dump(mode="json", include=set(USED)),
            "configuration": self.configuration(),
            "break_even": {name: self._break_even(sym) for sym, name in enumerate(market.symbols)},
            **self.tally.row(),
        }

    def configuration(self) -> dict[str, Any]:
        """What was tried, for whoever counts trials: two data sets of the same one differ by their time alone."""
        par, settings = self.params[0], self.settings
        entry = settings.execution.entry
        rests = {"limit_offset_bps": float(par["limit_offset_bps"]), "limit_bars": int(par["limit_bars"])}
        strategy = json.dumps(settings.signal.model_dump(mode="json"), sort_keys=True)
        return {
            "symbols": list(self.market.symbols),
            "timeframe": self.market.tf,
            "market": sorted({str(one["market"]) for one in self.market.files}),
            "take_bps": float(par["take_bps"]),
            "stop_bps": float(par["stop_bps"]),
            "horizon": int(par["horizon"]),
            "entry": entry,
            **({} if entry == "market" else rests),
            "costs": {
                "maker_bps": self.instruments["maker_bps"].tolist(),
                "taker_bps": self.instruments["taker_bps"].tolist(),
                "tick": self.instruments["tick"].tolist(),
                "half_spread_bps": float(par["half_spread_bps"]),
                "slippage_bps": float(par["slippage_bps"]),
            },
            "gross": self.gross,
            "fingerprint": self.fingerprint,
            "signal": hashlib.sha256(strategy.encode()).hexdigest(),
        }

    def _break_even(self, sym: int) -> float | None:
        bars = self.market.bars
        first = float(bars["close"][int(np.argmax(bars["sym"] == sym))])
        par, costs = self.params[0], costs_of(self.params[0], self.instruments[sym], first)
        need = break_even_win_rate(float(par["take_bps"]), float(par["stop_bps"]), *costs)
        return need if math.isfinite(need) else None

    def _labeller(self, sym: int) -> Labeller:
        bars = own_bars(self.market, sym)
        first = int(np.searchsorted(bars["ts"], self.market.starts[sym]))
        return Labeller(bars, first, self.instruments[sym : sym + 1], self.params)

    def _part(self, bars: Rows, decided: NDArray[np.bool_], labellers: list[Labeller]) -> DataSet:
        """The decisions of these bars with their labels, still without features."""
        sym = bars["sym"][decided].astype(np.int64)
        n = len(sym)
        net, gross, weight = (np.empty((n, len(SIDES))) for _ in range(3))
        until, reason, ambiguous = (np.empty((n, len(SIDES)), np.int64) for _ in range(3))
        columns = {
            "net_bps": net, "gross_bps": gross, "weight": weight,
            "until": until, "reason": reason, "ambiguous": ambiguous,
        }  # fmt: skip
        for k, labeller in enumerate(labellers):
            at: Any = slice(None) if len(labellers) == 1 else np.flatnonzero(sym == k)
            for direction, rows in enumerate(labeller.take(n if len(labellers) == 1 else len(at))):
                for name, values in columns.items():
                    values[at, direction] = rows[name]
        ts = np.ascontiguousarray(bars["ts"][decided])
        nothing = np.empty((n, 0))
        table = Table(
            self.names, self.market.symbols, self.market.tf_ns, ts, sym, nothing, nothing, net, until, weight
        )  # fmt: skip
        return DataSet(table, gross, reason, ambiguous)

    def _fill(self, x: Floats, features: Rows, lo: int, decided: NDArray[np.bool_]) -> None:
        """Features, then what stands beside the bars."""
        at = 0
        own = matrix(features)
        for values in (own, *(each.values[lo : lo + len(own)] for each in self._further)):
            width = values.shape[1]
            x[:, at : at + width] = values if decided.all() else values[decided]
            at += width


def own_bars(market: Market, sym: int) -> Rows:
    """The bars of one symbol, one behind the other in memory."""
    if len(market.symbols) == 1:
        return market.bars
    rows: Rows = market.bars[market.bars["sym"] == sym]
    return rows


def signals_of(signaller: Signaller, market: Market, bars: Rows, features: Rows, first: int) -> Rows:
    """The default strategy's SIGNAL rows beside `bars`, which begin at row `first` of the market; it sees books."""
    if market.book is None:
        return signaller.batch(bars, features)
    told = []
    for i, bar in enumerate(bars):
        signaller.see_book(int(bar["sym"]), float(market.book["spread_bps"][first + i]))
        told.append(signaller.batch(bars[i : i + 1], features[i : i + 1]))
    return np.concatenate(told)


def of_book(market: Market) -> tuple[Further, ...]:
    """The features of books and prints as they stood at each close, where the market has them."""
    if market.book is None:
        return ()
    names = tuple(EVENT_VECTOR.names or ())
    values = np.column_stack([market.book[name] for name in names])
    prints = ",".join(fingerprint(source) for source in EVENT_SOURCES)
    return (Further(names, values, hashlib.sha256(prints.encode()).hexdigest()),)


def joint_fingerprint(own: str, further: Sequence[Further]) -> str:
    """Hash of all features of a data set: the registered ones' alone, or with what stands after them."""
    if not further:
        return own
    text = json.dumps([own, *([*each.names, each.fingerprint] for each in further)])
    return hashlib.sha256(text.encode()).hexdigest()


class Tally:
    """What a data set is counted by while it is made, and the hash of its content."""

    def __init__(self, features: int) -> None:
        self.rows = self.signals = 0
        self.there = np.zeros(features, np.bool_)  # features that had a value
        self.span = (0, 0)
        self.counts = np.zeros((len(LABEL_NAMES), len(SIDES)), np.int64)
        self.wins, self.both = np.zeros(len(SIDES), np.int64), np.zeros(len(SIDES), np.int64)
        self.weight, self.net = np.zeros(len(SIDES)), np.zeros(len(SIDES))
        self._hashes = {name: hashlib.sha256() for name in (*BESIDE, *MORE)}

    def add(self, part: DataSet) -> None:
        """Count some rows."""
        table = part.table
        if not len(table):
            return
        self.span = (self.span[0] or int(table.ts[0]), int(table.ts[-1]))
        self.rows += len(table)
        self.signals += int(np.count_nonzero(np.isfinite(table.side)))
        labelled = table.labelled
        if not self.there.all():
            self.there |= np.isfinite(table.x).any(axis=0)
        for k in range(len(SIDES)):
            self.counts[:, k] += np.bincount(part.reason[:, k], minlength=len(LABEL_NAMES))
        self.wins += (table.net > 0.0).sum(axis=0)
        self.both += ((part.ambiguous > 0) & labelled).sum(axis=0)
        self.weight += table.weight.sum(axis=0)
        self.net += np.where(labelled, table.net, 0.0).sum(axis=0)
        for name, sha in self._hashes.items():
            values: Any = np.ascontiguousarray(getattr(table if name in BESIDE else part, name))
            sha.update(values)

    @property
    def content(self) -> str:
        """SHA-256 of all values: equal data sets have equal ones."""
        text = json.dumps({name: sha.hexdigest() for name, sha in self._hashes.items()})
        return hashlib.sha256(text.encode()).hexdigest()

    def row(self) -> dict[str, Any]:
        """The counts as JSON has them."""
        return {
            "rows": self.rows,
            "first_close": stamp(self.span[0]),
            "last_close": stamp(self.span[1]),
            "signals": self.signals,
            **{name: self._direction(k) for k, name in enumerate(DIRECTIONS)},
            "content": self.content,
        }

    def _direction(self, k: int) -> dict[str, Any]:
        counts = self.counts[:, k]
        labels = int(counts[1 : len(EXIT_NAMES)].sum() - counts[END_OF_DATA])
        known = self.rows - int(counts[list(UNKNOWN)].sum())
        return {
            "labels": labels,
            "wins": int(self.wins[k]),
            "base_rate": _share(self.wins[k], labels),
            "mean_net_bps": _share(self.net[k], labels),
            "mean_uniqueness": _share(self.weight[k], labels),
            "effective_labels": float(self.weight[k]),
            "unfilled": known - labels,
            "unfilled_share": _share(known - labels, known),
            "ambiguous_share": _share(self.both[k], labels),
            "reasons": {name: int(n) for name, n in zip(LABEL_NAMES, counts, strict=True) if n},
        }


def _share(part: float, whole: float) -> float | None:
    """A quotient as JSON has it; None = of nothing."""
    return None if whole == 0 else float(part) / float(whole)
