"""The fold: one definition of a feature, and the compiled loop over many of them that history and live share.

A feature is `step(state, row) -> float64`, compiled, over two records. From a tuple of features one compiled loop is
generated that calls the steps directly; a whole history, any chunk of it and the next closed bar all go through that
loop, so they give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from features.rows.sources import Door, Source
from utils.compiled import compile_source, stamped_files
from utils.errors import ConfigError, DataError
from utils.rows import Rows, layout

#: One object per layout: compiled code knows rows by the object of their dtype, and compares an equal one field by
#: field at each call, which made the live vector of a process's second set of features 25 times slower.
_one_layout = cache(layout)

#: What a feature without a state costs, in bytes of the state of one that has a window.
EVERY_FEATURE = 128

#: A compiled `step(state, row) -> float`: reads only its row, writes only to its state.
Step = Callable[[Any, Any], float]
#: The compiled loop: `(states, rows, out) -> rows done`; fewer than given if a row names a symbol without a state.
Loop = Callable[[Rows, Rows, Rows], int]


@dataclass(frozen=True, slots=True)
class Rule:
    """When NaN is right after warm-up, in words and as a test over one symbol's rows from its first."""

    name: str
    allowed: Callable[[Rows], NDArray[np.bool_]]


NEVER = Rule("never", lambda rows: np.zeros(len(rows), dtype=np.bool_))


@dataclass(frozen=True, slots=True)
class Feature:
    """One fold over market rows: everything the loop, the checks and the model's fingerprint want to know of it.

    `step` carries the documentation: its docstring has the lines `Formula:`, `Unit:` and `Source:`.
    """

    name: str
    source: Source
    unit: str
    warmup: int  # rows before the first finite value; NaN until then
    state: np.dtype[Any]  # a record; its first fields are the parameters, the rest begins as 0
    step: Step
    undefined: Rule
    params: tuple[float | NDArray[np.float64], ...]
    reference: str  # paper, exchange page, or "own"
    bounds: tuple[float, float] = (-np.inf, np.inf)  # in `unit`, both ends included

    def __post_init__(self) -> None:
        if self.state.names is None or len(self.state.names) < len(self.params):
            raise ConfigError(f"{self.name}: expected a state field for each of {len(self.params)} params")

    def fresh(self) -> Rows:
        """A state before its first row: params in the first fields, 0 elsewhere; a record array of length 1."""
        state = np.zeros(1, self.state)
        for field, value in zip(self.state.names or (), self.params, strict=False):
            state[field] = value
        return state


def fingerprint(features: tuple[Feature, ...]) -> str:
    """SHA-256 over names, order and parameters; a model refuses features whose fingerprint differs from its own."""
    text = json.dumps([[f.name, f.source.name, *(x for p in f.params for x in np.ravel(p).tolist())] for f in features])
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """The Python function behind a compiled one."""
    return getattr(function, "py_func", function)


# A step is compiled once more, into the loop: its calls and its doors to Python would cost a third of the time of a row
# and a quarter of the compilation. This version must never be called from Python: it has no door.
_swallowed: Callable[[Callable[..., Any]], Callable[..., Any]] = numba.njit(
    nogil=True,
    error_model="numpy",
    boundscheck=True,
    forceinline=True,
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
)


@cache
def generate(door: Door, steps: tuple[tuple[str, Step], ...]) -> Loop:
    """The compiled loop over rows that fills one field of the output per step.

    Its machine code is cached on disk under a stamp of all compiled sources. Steps may live elsewhere (a user's
    file), which that stamp does not cover: a hash of each such file stands in the generated text.

    Args:
        door: what prepares the rows.
        steps: output field and step of each feature, in order.
    """
    plain = [_plain(step) for _, step in steps]
    files = {Path(step.__code__.co_filename).resolve() for step in plain}
    strange = sorted(files.difference(stamped_files()))
    lines = [f"# {file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in strange]
    lines += [f"# step_{i}: {step.__module__}.{step.__qualname__}" for i, step in enumerate(plain)]
    lines += [
        "def fold(states, bars, out):",
        "    for i in range(len(bars)):",
        "        symbol = bars[i].sym",
        "        if symbol < 0 or symbol >= len(states):",
        "            return i",
        "        event = bars[i]",
        "        state = states[symbol]",
        "        answer = out[i]",
        *(f"        {line}" for line in one_row(tuple(name for name, _ in steps))),
        "    return len(bars)",
        "",
    ]
    # a cached function is rebuilt inside the module it names
    scope = {"__name__": __name__} | callees(door, tuple(step for _, step in steps))
    return compile_source("fold", "\n".join(lines), scope, __file__)


def one_row(names: Sequence[str], of: str = "") -> list[str]:
    """The lines of a generated function that feed one row `event` to `state`, and fill these fields of `answer`.

    Args:
        names: output fields, in the order of the steps.
        of: ends the name of all that belongs to this source, where a function feeds several.
    """
    return [
        f"row{of} = state{of}.row",
        f"prepare{of}(state{of}.shared, event{of}, row{of})",
        *(f"answer.{name} = step{of}_{i}(state{of}.{name}, row{of})" for i, name in enumerate(names)),
    ]


def callees(door: Door, steps: Sequence[Step], of: str = "") -> dict[str, Any]:
    """What the lines of `one_row` call, by name."""
    swallowed = {step: _swallowed(step) for step in map(_plain, steps)}
    scope: dict[str, Any] = {f"step{of}_{i}": swallowed[_plain(step)] for i, step in enumerate(steps)}
    return scope | {f"prepare{of}": _swallowed(_plain(door.prepare))}


def shares(features: tuple[Feature, ...], threads: int) -> list[tuple[Feature, ...]]:
    """`features` cut into at most `threads` runs of about equal work.

    Work is guessed by the size of the state, plus what every feature costs. Neighbours stay together: the fields of
    one row that a thread writes should lie in as few cache lines as can be.
    """
    work = np.cumsum([EVERY_FEATURE + feature.state.itemsize for feature in features])
    cuts = np.searchsorted(work, work[-1] * np.arange(1, threads) / threads) + 1
    ends = sorted({0, *cuts.tolist(), len(features)})
    return [features[first:end] for first, end in pairwise(ends)]


def fresh_state(features: tuple[Feature, ...]) -> Rows:
    """What features of one source remember of a symbol before its first row: a record array of length 1.

    Raises:
        ConfigError: no features, names that repeat or that NumPy owns, or sources that differ.
    """
    sources = {feature.source for feature in features}
    if len(sources) != 1:
        raise ConfigError(f"expected features of one source, got {sorted(s.name for s in sources)}")
    door: Door = sources.pop().value
    try:
        parts = (("shared", door.shared), ("row", door.prepared), *((f.name, f.state) for f in features))
        fresh = np.zeros(1, _one_layout(*parts))
    except ValueError as error:
        raise ConfigError(f"feature names must be unique and free: {error}") from error
    for feature in features:
        fresh[feature.name] = feature.fresh()
    return fresh


class FeatureSet:
    """Features in a fixed order, with one state per symbol: history goes on where the last call ended.

    `batch` and `step` are one compiled loop; only the number of rows differs.
    """

    def __init__(self, features: tuple[Feature, ...], symbols: int = 1) -> None:
        """Fresh states for `symbols` symbols.

        Args:
            features: all of one source, names unique.
            symbols: rows carry `sym` from 0 to symbols - 1.

        Raises:
            ConfigError: no features, names that repeat or that NumPy owns, or sources that differ.
        """
        self._fresh = fresh_state(features)
        door: Door = features[0].source.value
        self._door = door
        self.features = features
        self.names = tuple(feature.name for feature in features)
        self.dtype = _one_layout(*((name, np.float64) for name in self.names))
        self.warmup = max(feature.warmup for feature in features)
        self.states: Rows = np.repeat(self._fresh, symbols)
        self.fold = generate(door, tuple((f.name, f.step) for f in features))
        self._row = np.zeros(1, self.dtype)

    def batch(self, bars: Rows, out: Rows | None = None, threads: int = 1) -> Rows:
        """Feed rows in order of time, symbols interleaved as they come; returns one record of features a row.

        Args:
            bars: rows of the source's layout.
            out: rows of `dtype` to write to, as many as bars; default: new ones.
            threads: that share the features; the same bytes from any number. Pays for whole histories only.

        Raises:
            ConfigError: `out` has another length, or no thread.
            DataError: a row names a symbol that has no state; rows before it are done.
        """
        if out is None:
            out = np.empty(len(bars), self.dtype)
        elif len(out) != len(bars):
            raise ConfigError(f"expected room for {len(bars)} rows, got {len(out)}; pass out=None to have it made")
        if threads < 1:
            raise ConfigError(f"expected at least 1 thread, got {threads}")
        done = self.fold(self.states, bars, out) if threads == 1 else self._shared_out(bars, out, threads)
        if done < len(bars):
            raise DataError(f"row {done}: sym is {bars['sym'][done]}, expected 0 to {len(self.states) - 1}")
        return out

    def _shared_out(self, bars: Rows, out: Rows, threads: int) -> int:
        """`fold` with the features shared out among threads; rows done.

        A feature writes only its own state and its own field, so it does not notice who computes the others. What
        is prepared of a row all threads prepare, each in states of its own.
        """
        parts = shares(self.features, threads)
        folds = [generate(self._door, tuple((f.name, f.step) for f in part)) for part in parts]
        states = [self.states, *(self.states.copy() for _ in parts[1:])]
        with ThreadPoolExecutor(len(parts)) as pool:
            done: list[int] = [*pool.map(lambda fold, own: fold(own, bars, out), folds, states)]
        for part, own in zip(parts[1:], states[1:], strict=True):
            for feature in part:
                self.states[feature.name] = own[feature.name]
        return done[0]

    def step(self, bar: Rows) -> Rows:
        """Feed one row (an array of length 1); the answer is overwritten by the next call.

        Raises:
            ConfigError: another number of rows.
            DataError: the row names a symbol that has no state.
        """
        if len(bar) == 1 and self.fold(self.states, bar, self._row) == 1:
            return self._row
        return self.batch(bar, self._row)  # which says what is wrong

    def reset(self) -> None:
        """Forget all rows of all symbols."""
        self.states[:] = self._fresh

    def snapshot(self) -> bytes:
        """Everything remembered, to go on from later."""
        return bytes.fromhex(self.fingerprint()) + self.states.tobytes()

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`.

        Raises:
            DataError: it was taken from other features or another number of symbols.
        """
        own = bytes.fromhex(self.fingerprint())
        if snapshot[: len(own)] != own or len(snapshot) != len(own) + self.states.nbytes:
            raise DataError("expected a snapshot of these features and symbols, got another; feed the warm-up bars")
        self.states[:] = np.frombuffer(snapshot, self.states.dtype, offset=len(own))

    def fingerprint(self) -> str:
        """Hash of names, order and parameters."""
        return fingerprint(self.features)


def matrix(out: Rows) -> NDArray[np.float64]:
    """Feature rows as float64 of shape (rows, features): a view, nothing is copied."""
    view: NDArray[np.float64] = out.view(np.float64).reshape(len(out), -1)
    return view
