"""A user's strategy: any function from market rows to signal rows, in NumPy, pandas or plain Python.

Of several symbols it is asked for each by itself, in a frame without the others, unless it says that it wants them
together: then `rolling`, `shift` and positions run through rows of all of them, and it has to group them itself.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import sys
import traceback
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exec.market import Market
from features.fold import matrix
from features.live import BOOK_AT_CLOSE
from features.registry import feature_set
from utils.errors import ConfigError, DataError, ScalperError
from utils.rows import SIGNAL, Rows
from utils.words import SIGNAL_SIDES, signs

if TYPE_CHECKING:
    import pandas as pd

#: Takes the market frame, answers with signal rows: a DataFrame, a dict of columns, or a list of dicts. Two attributes
#: may say more of it: `lookback`, how many bars of each symbol an answer depends on (`exec.asking`); and `together`,
#: that it looks at several symbols at once.
Strategy = Callable[["pd.DataFrame"], Any]

#: Columns of a bar that a strategy sees.
CANDLE = ("open", "high", "low", "close", "volume", "taker_buy")

#: Lowest and highest value of each field; NaN leaves it to the settings.
RANGES = {
    "side": (-1.0, 1.0),
    "strength": (0.0, 100.0),
    "p_win": (0.0, 1.0),
    "expected_bps": (-1e4, 1e4),
    "take_bps": (1e-3, 1e4),
    "stop_bps": (1e-3, 9999.0),
    "horizon": (1.0, 1e9),
}
#: Columns that mean something in a signal row.
ANSWER = ("ts", "symbol", *RANGES)
#: What a strategy may say of itself.
ATTRIBUTES = ("lookback", "together")
#: Lines of a traceback that are told.
FRAMES = 3


class MarketRows:
    """What a strategy sees of the market, row by row: rows come at the end, and any of them can be had as a frame.

    Columns are `ts` (close, UTC), symbol, candle columns, every feature, and the live book if any. Only what was known
    at the close stands in a row: column j of row i never depends on a row after i.

    Args:
        symbols: names, by `sym` of the bars.
        bars: BAR rows to begin with.
        features: beside them.
        book: BOOK_AT_CLOSE beside them; None = no live book, and no columns of it.
    """

    def __init__(self, symbols: Sequence[str], bars: Rows, features: Rows, book: Rows | None = None) -> None:
        import pandas as pd

        self._symbols = pd.Series(np.array(symbols)).array  # as a frame holds them
        self._shown: tuple[Rows, Any] = (
            np.zeros(0, np.int64),
            self._symbols[:0],
        )  # the last ones shown, and their names
        self._utc = pd.DatetimeTZDtype("ns", "UTC")
        book_names = () if book is None else book.dtype.names or ()
        names = ["ts", "symbol", *CANDLE, *(features.dtype.names or ()), *book_names]
        # plain objects: an index of pandas' text is turned into them whenever a strategy names a column
        self._names = pd.Index(names, dtype=object)
        self._size, self._bars = len(bars), 0
        self._ts, self._sym = bars["ts"].copy(), bars["sym"].copy()
        self._values = self._empty(self._size)
        self._fill(0, bars, features, book)

    def __len__(self) -> int:
        return self._size

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names, by `sym`."""
        return tuple(self._symbols)

    @property
    def ts(self) -> Rows:
        """Close of each row, ns."""
        return self._ts[: self._size]

    @property
    def sym(self) -> Rows:
        """Symbol of each row, as an index."""
        return self._sym[: self._size]

    def append(self, bars: Rows, features: Rows, book: Rows | None = None) -> None:
        """Rows that came: laid out as those it began with."""
        if self._size + len(bars) > len(self._ts):
            self._move(self.newest(self._bars) if self._bars else slice(0, self._size), len(bars))
        first = self._size
        self._size += len(bars)
        self._ts[first : self._size], self._sym[first : self._size] = bars["ts"], bars["sym"]
        self._fill(first, bars, features, book)

    def keep(self, bars: int) -> None:
        """From now on remember no more than the last `bars` rows of each symbol for certain."""
        self._bars = bars
        self._move(self.newest(bars), 0)

    def newest(self, bars: int, end: int | None = None) -> slice | Rows:
        """Which rows are the last `bars` ones of each symbol, of those before row `end`; in order."""
        end = self._size if end is None else end
        sym, count = self._sym[:end], len(self._symbols)
        tail = slice(max(0, end - bars * count), end)
        if count == 1 or (np.bincount(sym[tail], minlength=count) == bars).all():
            return tail
        return np.sort(np.concatenate([np.flatnonzero(sym == one)[-bars:] for one in range(count)]))

    def frame(self, rows: slice | Rows) -> pd.DataFrame:
        """These rows as a frame of its own, counted from 0: to write into it changes nothing here."""
        return self._frame(rows, self._taken(rows))

    def handed_over(self) -> pd.DataFrame:
        """All rows as a frame, without a copy: nothing may be asked afterwards."""
        return self._frame(slice(0, self._size), self._values[:, : self._size])

    def _frame(self, rows: slice | Rows, values: Rows) -> pd.DataFrame:
        import pandas as pd

        # one block of numbers, of which two columns are set anew: a quarter of the time of a dict of columns
        frame = pd.DataFrame(values.T, columns=self._names, copy=False)
        frame.isetitem(0, pd.array(self._ts[rows].view("M8[ns]"), dtype=self._utc))
        frame.isetitem(1, self._named(self._sym[rows]))
        return frame

    def _named(self, sym: Rows) -> Any:
        """The names of these symbols: mostly those of the close before, which a frame copies."""
        if not np.array_equal(sym, self._shown[0]):
            self._shown = sym.copy(), self._symbols.take(sym)
        return self._shown[1]

    def _empty(self, room: int) -> Rows:
        return np.empty((len(self._names), room))

    def _taken(self, rows: slice | Rows) -> Rows:
        values = self._values
        return values[:, rows].copy() if isinstance(rows, slice) else values.take(rows, axis=1)

    def _move(self, rows: slice | Rows, more: int) -> None:
        """These rows to the front of new memory, in which as many and `more` have room behind them."""
        ts, sym, old = self._ts[rows], self._sym[rows], self._taken(rows)
        self._size = len(ts)
        room = 2 * self._size + more
        self._ts, self._sym = np.empty(room, ts.dtype), np.empty(room, sym.dtype)
        self._values = self._empty(room)
        self._ts[: self._size], self._sym[: self._size], self._values[:, : self._size] = ts, sym, old

    def _fill(self, first: int, bars: Rows, features: Rows, book: Rows | None) -> None:
        at = slice(first, first + len(bars))
        for k, name in enumerate(CANDLE):
            self._values[2 + k, at] = bars[name]
        begin = 2 + len(CANDLE)
        for part in (features, book):
            if part is not None:
                columns = matrix(part).T
                self._values[begin : begin + len(columns), at] = columns
                begin += len(columns)


def market_frame(market: Market, features: Rows) -> pd.DataFrame:
    """Market rows as the frame that a strategy sees: see `MarketRows`."""
    return MarketRows(market.symbols, market.bars, features, market.book).handed_over()


def ask(strategy: Strategy, market: Market) -> Rows:
    """Signal rows of a user's strategy beside `market.bars`, checked.

    Raises:
        DataError: the answer lacks `ts` or `side`, names a bar that is not there, or holds a value out of range.
    """
    bars = market.bars
    features = feature_set(len(market.symbols)).batch(bars)
    shown = MarketRows(market.symbols, bars, features, market.book)
    try:
        signals = answered(strategy, shown, slice(0, len(bars)), last=True)
    except Exception as error:
        raise failed(error) from error
    return in_use(signals, bars, features, market.starts)


def answered(strategy: Strategy, shown: MarketRows, rows: slice | Rows, *, last: bool = False) -> Rows:
    """SIGNAL rows beside these rows of the market: of each symbol by itself, or of all together.

    Args:
        strategy: the user's function.
        shown: what it may be shown.
        rows: of it.
        last: nothing is asked afterwards, so that all rows can be handed over without a copy.

    Raises:
        ConfigError: an attribute of it that means nothing.
        DataError: the answer is no signal rows.
    """
    names, ts, sym = shown.symbols, shown.ts[rows], shown.sym[rows]
    if len(names) == 1 or together_of(strategy):
        frame = shown.handed_over() if last else shown.frame(rows)
        return aligned(called(strategy, frame), names, ts, sym)
    signals = np.empty(len(ts), SIGNAL)
    places = np.arange(len(shown))[rows]
    for number, name in enumerate(names):
        own = sym == number
        if own.any():
            answer = called(strategy, shown.frame(places[own]))
            signals[own] = aligned(answer, (name,), ts[own], np.zeros(int(own.sum()), np.int64))
    return signals


def called(strategy: Strategy, frame: pd.DataFrame) -> Any:
    """What a strategy answers; what it prints goes to standard error, as standard output is the run's.

    Raises:
        DataError: it would have ended the program.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return strategy(frame)
    except SystemExit as error:
        raise failed(error) from error


def together_of(strategy: Strategy) -> bool:
    """Whether a strategy says that it wants the rows of all symbols in one frame.

    Raises:
        ConfigError: `together` is neither True nor False, or an attribute that is nearly one of ours.
    """
    if isinstance(strategy, types.FunctionType):
        for name in vars(strategy):
            near = difflib.get_close_matches(name, ATTRIBUTES, 1, 0.8)
            if near and name not in ATTRIBUTES:
                raise ConfigError(f"strategy: unknown attribute {name}; did you mean {near[0]}?")
    declared = getattr(strategy, "together", False)
    if not isinstance(declared, bool):
        raise ConfigError(f"strategy: expected together to be True or False, saw {declared!r}; change it")
    return declared


def failed(error: Exception | SystemExit) -> Exception:
    """That a strategy did not answer, and where in its own file; what is said in our words already stays as it is."""
    if isinstance(error, (ScalperError, MemoryError)):
        return error
    own = [
        line
        for line in traceback.extract_tb(error.__traceback__)
        if Path(line.filename).parent != Path(__file__).parent
    ]
    told = [
        f"\n  {line.filename}, line {line.lineno}, in {line.name}: {line.line}"
        for line in own
        if line.filename == own[0].filename
    ]
    saw = f"{error!r:.200}{', which ends the program' if isinstance(error, SystemExit) else ''}"
    return DataError(f"strategy: expected signal rows, saw {saw}; mend the function{''.join(told[-FRAMES:])}")


def in_use(signals: Rows, bars: Rows, features: Rows, starts: Sequence[int]) -> Rows:
    """The rows as the engine uses them: with the range for its stops, and silent before the decided period."""
    signals["atr"], signals["vol_bps"] = features["atr_14"], features["ewma_vol_20_bps"]
    signals["side"][bars["ts"] < np.array(starts)[bars["sym"]]] = np.nan
    return signals


def aligned(answer: Any, symbols: Sequence[str], ts: Rows, sym: Rows) -> Rows:
    """Put the rows a strategy gave at the bars it was shown; bars it does not mention are neutral."""
    frame = framed(answer)
    columns = set(frame.columns)
    missing = {"ts", "side"} - columns
    if missing:
        seen = ", ".join(map(str, frame.columns)) or "none"
        raise DataError(
            f"strategy: expected signal rows with at least ts and side, saw columns {seen}; "
            f"add {' and '.join(sorted(missing))}"
        )
    refuse_unknown(frame)
    at = positions(frame, symbols, ts, sym)
    signals = np.empty(len(ts), SIGNAL)
    matrix(signals).fill(np.nan)
    for name, (low, high) in RANGES.items():
        if name in columns:
            signals[name][at] = checked(frame, name, low, high)
    sides = signals["side"]
    odd = ~np.isnan(sides) & (sides % 1.0 != 0.0)
    if odd.any():
        raise DataError(f"strategy: side must be +1, -1, 0 (close) or NaN (nothing), saw {sides[odd][0]:g}")
    return signals


def framed(answer: Any) -> pd.DataFrame:
    """An answer as a frame; None, of which pandas would make an empty one, is no answer."""
    import pandas as pd

    cause: Exception | None = None
    if answer is not None:
        try:
            return answer if isinstance(answer, pd.DataFrame) else pd.DataFrame(answer)
        except (TypeError, ValueError) as error:
            cause = error
    raise DataError(
        f"strategy: expected signal rows (a DataFrame, a dict of columns or a list of dicts), saw {answer!r:.60}; "
        "return one of these"
    ) from cause


@functools.cache
def market_columns() -> frozenset[str]:
    """Every column that a strategy can be shown, and may hand back as it is."""
    return frozenset(("ts", "symbol", *CANDLE, *(feature_set().dtype.names or ()), *(BOOK_AT_CLOSE.names or ())))


def refuse_unknown(frame: pd.DataFrame) -> None:
    """Refuse columns that would be passed over: a misspelt barrier must not leave the settings' in its place."""
    strangers = [str(name) for name in frame.columns if name not in ANSWER and name not in market_columns()]
    if not strangers:
        return
    near = [difflib.get_close_matches(name.lower(), ANSWER, 1) for name in strangers]
    seen = ", ".join(map(repr, strangers))
    meant = ", ".join(dict.fromkeys(one[0] for one in near if one))
    cure = f"did you mean {meant}?" if all(near) else f"signal rows have {', '.join(ANSWER)}; drop what is your own"
    raise DataError(f"strategy: unknown column {seen}; {cure}")


def positions(frame: pd.DataFrame, symbols: Sequence[str], ts: Rows, sym: Rows) -> Any:
    """Which of the bars shown each signal row is about."""
    wanted_ts = closes_of(frame)
    if "symbol" in frame.columns:
        wanted_sym = symbols_of(frame, symbols)
    elif len(symbols) == 1:
        wanted_sym = np.zeros(len(frame), dtype=np.int64)
    else:
        raise DataError("strategy: expected a symbol column, since several symbols are simulated; add it")
    if np.array_equal(wanted_ts, ts) and np.array_equal(wanted_sym, sym):
        return slice(None)  # a row a bar, as shown
    instants, instant = np.unique(ts, return_inverse=True)
    keys = instant * len(symbols) + sym
    order = np.argsort(keys, kind="stable")  # a bar that came late stands behind younger ones of other symbols
    wanted_instant = np.minimum(np.searchsorted(instants, wanted_ts), len(instants) - 1)
    wanted = wanted_instant * len(symbols) + wanted_sym
    at = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    lost = (instants[wanted_instant] != wanted_ts) | (keys[at] != wanted)
    if lost.any():
        first = frame["ts"].iloc[int(np.flatnonzero(lost)[0])]
        raise DataError(f"strategy: expected each ts to be the close of a bar, saw {first}; use the ts column as given")
    if len(np.unique(at)) < len(at):
        raise DataError("strategy: expected one signal row per bar and symbol, saw a repeated one; drop duplicates")
    return at


def closes_of(frame: pd.DataFrame) -> Rows:
    """The times of an answer, ns."""
    import pandas as pd

    times = frame["ts"]
    if isinstance(times.dtype, pd.DatetimeTZDtype) and times.dtype.unit == "ns":  # the column as given
        return times.array.asi8  # type: ignore[no-any-return]
    try:
        found: Rows = pd.DatetimeIndex(pd.to_datetime(times, utc=True)).as_unit("ns").asi8
    except (TypeError, ValueError) as error:
        raise DataError(f"strategy: expected times in ts ({error}); use the ts column as given") from error
    return found


def symbols_of(frame: pd.DataFrame, symbols: Sequence[str]) -> Rows:
    """The symbols of an answer, as indices."""
    import pandas as pd

    found: Rows = pd.Index(symbols).get_indexer(pd.Index(frame["symbol"]))
    if (found < 0).any():
        strangers = dict.fromkeys(map(str, frame["symbol"][found < 0]))
        cure = "; answer for the symbols of the frame alone"
        raise DataError(f"strategy: expected symbols {', '.join(symbols)}, saw {', '.join(strangers)}{cure}")
    return found


def checked(frame: pd.DataFrame, name: str, low: float, high: float) -> Any:
    """A column as float64 within its range; NaN passes."""
    import pandas as pd

    kind = frame[name].dtype
    if name == "side" and (pd.api.types.is_bool_dtype(kind) or not pd.api.types.is_numeric_dtype(kind)):
        return signs(frame[name].astype(object), SIGNAL_SIDES, lambda row: f"strategy: side in row {row + 1}")
    try:
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise DataError(f"strategy: expected numbers in {name}, saw {frame[name].iloc[0]!r}") from error
    bad = ~np.isnan(values) & ~((values >= low) & (values <= high))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"strategy: {name} in row {row + 1} must lie from {low:g} to {high:g}, saw {values[row]:g} "
            f"at {frame['ts'].iloc[row]}"
        )
    if name == "horizon" and (values % 1.0 > 0.0).any():
        raise DataError(f"strategy: horizon must be whole bars, saw {values[values % 1.0 > 0.0][0]:g}")
    return values
