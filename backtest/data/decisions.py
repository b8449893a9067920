"""A data set from a market: one row a decision, its features, and what became of a trade in either direction.

It is made stretch by stretch, in order of time, so that memory is flat for whoever writes it away meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from ml.signal import Signaller, strategy_key, strategy_params
from utils.codes import END_OF_DATA, EXIT_NAMES, LABEL_NAMES, MARKET, NO_BAR
from utils.figures.arithmetic import Floats
from utils.market.costs import break_even_win_rate
from utils.params import costs_of, params_of, require_fixed
from utils.rows import BPS, SIGNAL, Rows
from utils.settings.tree import Settings

Whole = NDArray[np.int64]

#: Of what a data set holds; a reader refuses another.
SCHEMA = 1
#: Bars made at once.
STRETCH = 65_536
#: Bars whose features and signals are made at once: few enough to stay in a core's own cache.
CACHED = 4_096
#: Names of the directions, in the order of the columns of a table.
DIRECTIONS = ("long", "short")
#: Columns of a file: those before the features, labels, those of either direction, and the last.
FIRST, LABELS, LAST = ("ts", "symbol", "side"), ("label_long_win", "label_short_win", "label_win"), ("t0", "t1")
OF_DIRECTION = ("net_bps", "gross_bps", "reason", "ambiguous", "t1", "uniqueness")
#: Reasons for which nobody knows what became of a decision.
UNKNOWN = (END_OF_DATA, NO_BAR)
#: Sections of the settings that a data set depends on.
USED = ("instruments", "signal", "risk", "execution", "simulation", "features")
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
        self._vectors: Rows = np.empty(CACHED, self._features.dtype)
        self._signals: Rows = np.empty(CACHED, SIGNAL)
        # no trade is cut short that is over before the first symbol's last close
        ts, sym = market.bars["ts"], market.bars["sym"]
        self._ends = min(int(ts[sym == k][-1]) for k in range(len(market.symbols)))

    @property
    def rows(self) -> int:
        """Bars that are decided on."""
        return len(self.market.decided)

    def parts(self, tell: Callable[[int], None] | None = None, room: DataSet | None = None) -> Iterator[DataSet]:
        """The data set in order of time, in stretches.

        Decisions of which nobody knows yet what became, in either direction, are left out.

        Args:
            tell: hears how many bars were looked at.
            room: rows to write to, one behind the other; None = each stretch has its own.
        """
        market = self.market
        signaller = Signaller(strategy_params(self.settings), market.starts)
        starts = np.array(market.starts)
        labellers = [self._labellers(sym) for sym in range(len(market.symbols))]
        done = 0
        # of either direction labels are made beside the features: compiled code holds no lock
        with ThreadPoolExecutor(len(SIDES)) as pool:
            for lo, hi in chunks(market.bars, STRETCH):
                bars = market.bars[lo:hi]
                decided = bars["ts"] >= starts[bars["sym"]]
                n = int(np.count_nonzero(decided))
                part = self.room(n) if room is None else room.take(slice(done, done + n))
                table = part.table
                table.ts[:], table.sym[:] = bars["ts"][decided], bars["sym"][decided]
                work = [pool.submit(self._label, part, k, labellers) for k in range(len(SIDES))]
                self._see(part, lo, decided, signaller)
                for each in work:
                    each.result()
                made = part.take(kept) if not (kept := self._kept(part)).all() else part
                if room is not None and len(made) < n:  # close the ranks
                    part = room.take(slice(done, done + len(made)))
                    for name in BESIDE:
                        getattr(part.table, name)[:] = getattr(made.table, name)
                    for name in MORE:
                        getattr(part, name)[:] = getattr(made, name)
                done += len(made)
                self.tally.add(made)
                yield made
                if tell is not None:
                    tell(hi)

    def room(self, rows: int) -> DataSet:
        """A data set of so many rows, to be written to."""
        table = Table(
            self.names,
            self.market.symbols,
            self.market.tf_ns,
            ts=np.empty(rows, np.int64),
            sym=np.empty(rows, np.int64),
            x=np.empty((rows, len(self.names))),
            side=np.empty(rows),
            net=np.empty((rows, 2)),
            until=np.empty((rows, 2), np.int64),
            weight=np.empty((rows, 2)),
        )
        return DataSet(table, np.empty((rows, 2)), np.empty((rows, 2), np.int64), np.empty((rows, 2), np.int64))

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
            "prices": {name: self._prices(sym) for sym, name in enumerate(market.symbols)},
            **self.tally.row(),
        }

    def configuration(self) -> dict[str, Any]:
        """What was tried, for whoever counts trials: two data sets of the same one differ by their time alone."""
        par, settings = self.params[0], self.settings
        entry = settings.execution.entry
        rests = {"limit_offset_bps": float(par["limit_offset_bps"]), "limit_bars": int(par["limit_bars"])}
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
            "signal": strategy_key(settings),
        }

    def _prices(self, sym: int) -> dict[str, float | None]:
        """What a win rate must be, and how wide a tick is beside the fees of a round trip, at the first close."""
        bars, par, fees = self.market.bars, self.params[0], self.market.instruments[sym]
        first = float(bars["close"][int(np.argmax(bars["sym"] == sym))])
        costs = costs_of(par, self.instruments[sym], first)
        need = break_even_win_rate(float(par["take_bps"]), float(par["stop_bps"]), *costs)
        paid_in = fees["taker_bps"] if par["entry_kind"] == MARKET else fees["maker_bps"]
        return {
            "break_even": need if math.isfinite(need) else None,
            "tick_bps": float(fees["tick"]) / first / BPS,
            "fees_bps": float(paid_in + fees["taker_bps"]),
        }

    def _labellers(self, sym: int) -> list[Labeller]:
        bars = own_bars(self.market, sym)
        first = int(np.searchsorted(bars["ts"], self.market.starts[sym]))
        return [Labeller(bars, first, side, self.instruments[sym : sym + 1], self.params) for side in SIDES]

    def _label(self, part: DataSet, k: int, labellers: Sequence[Sequence[Labeller]]) -> None:
        """Write the labels of one direction."""
        table = part.table
        for sym, of_side in enumerate(labellers):
            at: Any = slice(None) if len(labellers) == 1 else np.flatnonzero(table.sym == sym)
            rows = of_side[k].take(len(table) if len(labellers) == 1 else len(at))
            table.net[at, k], table.until[at, k], table.weight[at, k] = rows["net_bps"], rows["until"], rows["weight"]
            part.gross[at, k], part.reason[at, k] = rows["gross_bps"], rows["reason"]
            part.ambiguous[at, k] = rows["ambiguous"]

    def _see(self, part: DataSet, first: int, decided: NDArray[np.bool_], signaller: Signaller) -> None:
        """Write features and sides of the bars that are decided on, from row `first` of the market on."""
        market, own, at = self.market, len(self._features.names), 0
        x, side = part.table.x, part.table.side
        for lo in range(0, len(decided), CACHED):
            mask = decided[lo : lo + CACHED]
            bars = market.bars[first + lo : first + lo + len(mask)]
            end = at + int(np.count_nonzero(mask))
            straight = end - at == len(mask) and not self._further
            # where nothing is left out or added, features are written to their place at once
            out = x[at:end].view(self._features.dtype)[:, 0] if straight else self._vectors[: len(mask)]
            features = self._features.batch(bars, out)
            signals = signals_of(signaller, market, bars, features, first + lo, self._signals[: len(mask)])
            side[at:end] = signals["side"][mask]
            if not straight:
                x[at:end, :own] = matrix(features)[mask]
                done = own
                for each in self._further:
                    width = len(each.names)
                    x[at:end, done : done + width] = each.values[first + lo : first + lo + len(mask)][mask]
                    done += width
            self.tally.see(x[at:end])
            at = end

    def _kept(self, part: DataSet) -> NDArray[np.bool_]:
        """Which rows' ends are known in a direction."""
        known: NDArray[np.bool_] = np.ones(len(part), np.bool_)
        if len(part) and part.table.until.max() >= self._ends:
            known[:] = ~np.isin(part.reason, UNKNOWN).all(axis=1)
        return known


def own_bars(market: Market, sym: int) -> Rows:
    """The bars of one symbol, one behind the other in memory."""
    if len(market.symbols) == 1:
        return market.bars
    rows: Rows = market.bars[market.bars["sym"] == sym]
    return rows


def signals_of(signaller: Signaller, market: Market, bars: Rows, features: Rows, first: int, out: Rows) -> Rows:
    """The default strategy's SIGNAL rows beside `bars`, which begin at row `first` of the market; it sees books."""
    if market.book is None:
        return signaller.batch(bars, features, out)
    for i, bar in enumerate(bars):
        signaller.see_book(int(bar["sym"]), float(market.book["spread_bps"][first + i]))
        signaller.batch(bars[i : i + 1], features[i : i + 1], out[i : i + 1])
    return out


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


class Content:
    """The hash of what stands in a data set, however it is cut."""

    def __init__(self) -> None:
        self._hashes = {name: hashlib.sha256() for name in (*BESIDE, *MORE)}

    def add(self, part: DataSet) -> None:
        """Take in some rows."""
        for name, sha in self._hashes.items():
            values: Any = np.ascontiguousarray(getattr(part.table if name in BESIDE else part, name))
            sha.update(values)

    @property
    def digest(self) -> str:
        """SHA-256 of all values: equal data sets have equal ones."""
        text = json.dumps({name: sha.hexdigest() for name, sha in self._hashes.items()})
        return hashlib.sha256(text.encode()).hexdigest()


class Tally:
    """What a data set is counted by while it is made."""

    def __init__(self, features: int) -> None:
        self.rows = self.signals = 0
        self.there = np.zeros(features, np.bool_)  # features that had a value
        self.span = (0, 0)
        self.counts = np.zeros((len(LABEL_NAMES), len(SIDES)), np.int64)
        self.wins, self.both = np.zeros(len(SIDES), np.int64), np.zeros(len(SIDES), np.int64)
        self.weight, self.net = np.zeros(len(SIDES)), np.zeros(len(SIDES))

    def see(self, x: Floats) -> None:
        """Note which features have a value in some rows."""
        for column in np.flatnonzero(~self.there):
            self.there[column] = np.isfinite(x[:, column]).any()

    def add(self, part: DataSet) -> None:
        """Count some rows."""
        table = part.table
        if not len(table):
            return
        self.span = (self.span[0] or int(table.ts[0]), int(table.ts[-1]))
        self.rows += len(table)
        self.signals += int(np.count_nonzero(np.isfinite(table.side)))
        labelled = table.labelled
        for k in range(len(SIDES)):
            self.counts[:, k] += np.bincount(part.reason[:, k], minlength=len(LABEL_NAMES))
        self.wins += (table.net > 0.0).sum(axis=0)
        self.both += ((part.ambiguous > 0) & labelled).sum(axis=0)
        self.weight += table.weight.sum(axis=0)
        self.net += np.where(labelled, table.net, 0.0).sum(axis=0)

    def row(self) -> dict[str, Any]:
        """The counts as JSON has them."""
        return {
            "rows": self.rows,
            "first_close": stamp(self.span[0]),
            "last_close": stamp(self.span[1]),
            "signals": self.signals,
            **{name: self._direction(k) for k, name in enumerate(DIRECTIONS)},
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
