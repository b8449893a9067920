"""What users hold, read: positions as our nouns, as ccxt's `fetch_positions` gives them, or as a frame.

Numbers are numbers: a text that looks like one is refused, as is what is not finite. Symbols may be spelled in any way
that `utils.market.symbols` reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from utils.errors import ConfigError, DataError
from utils.market.symbols import linear_symbol
from utils.types import Position
from utils.words import SIGNS, TRADE_SIDES, plain

#: Position nouns in a sequence or by symbol (as `PaperBroker.positions`), ccxt dicts, or a DataFrame of such columns.
Positions = Any
#: Quote per base by symbol: a mapping or a Series.
Prices = Any

#: What a field may be called: ccxt's name, ours, and what frames have.
_ENTRY, _MARK = ("entryPrice", "entry_price", "entry"), ("markPrice", "mark_price", "mark")
_STOP, _LIQUIDATION = ("stopLossPrice", "stop", "stop_price"), ("liquidationPrice", "liquidation_price", "liquidation")
_QTY = ("contracts", "qty", "amount")


class Held(NamedTuple):
    """One open position, checked; a price of 0 = none, so that positions have an order."""

    symbol: str
    side: int  # +1 long, -1 short
    qty: float  # base
    entry: float  # quote
    stop: float
    liquidation: float
    mark: float


def number(value: Any, name: str, low: float = -math.inf, high: float = math.inf, *, open_low: bool = False) -> float:
    """A finite number within its range.

    Args:
        value: int or float, NumPy's too; no text, and no truth value.
        name: what it is called in the message.
        low: least value.
        high: greatest value.
        open_low: `low` itself is too small.

    Raises:
        DataError: anything else.
    """
    if type(value) is float and low < value < high:  # most are
        return value
    if isinstance(value, float | int | np.floating | np.integer) and not isinstance(value, bool):
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        if (low < found if open_low else low <= found) and found <= high and math.isfinite(found):
            return found
    least = "" if low == -math.inf else f" above {low:g}" if open_low else f" of at least {low:g}"
    most = "" if high == math.inf else f"{' and' if least else ' of'} at most {high:g}"
    cure = "; give a number, not a text" if isinstance(value, str) else ""
    raise DataError(f"{name}: expected a finite number{least}{most}, saw {str(value)[:40]!r}{cure}")


class Same:
    """Something frozen as a key of a cache, by identity: what it holds may have no hash, or a slow one."""

    __slots__ = ("it",)

    def __init__(self, it: Any) -> None:
        self.it = it

    def __hash__(self) -> int:
        return id(self.it)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.it is self.it


def known_symbol(text: str) -> str:
    """The exchange id of a symbol in any spelling.

    Raises:
        DataError: it is none, or that of another kind of instrument.
    """
    try:
        return spelled(text)
    except TypeError:
        raise DataError(f"symbol: expected a name, saw {str(text)[:40]!r}; give a text such as BTCUSDT") from None


@lru_cache(4096)
def spelled(text: str) -> str:
    """`known_symbol` of what can be looked up, without a second call: a size asks it forty times."""
    if not isinstance(text, str):
        raise TypeError
    try:
        return linear_symbol(text)
    except ConfigError as error:
        raise DataError(str(error)) from None


def held(positions: Positions, stops: Prices | None = None) -> list[Held]:
    """The open positions, in the order given; closed ones (0 contracts) are left out.

    Args:
        positions: Position nouns, dicts as ccxt's `fetch_positions` gives them (symbol, side, contracts, contractSize,
            entryPrice, markPrice, liquidationPrice, stopLossPrice), or a DataFrame with such columns; `qty`,
            `entry_price`, `stop` are read, too. Nouns may come by symbol. A quantity without `side` is signed.
        stops: stop prices by symbol, for positions that bring none.

    Raises:
        DataError: a row that is no position, an unknown side, a price or quantity that is no number above 0; names row
            and field.
    """
    listed = list(_listed(positions))
    if set(map(type, listed)) <= {Position}:
        found = list(map(_of_noun, listed))
    else:
        found = [one for row, given in enumerate(listed) if (one := _read(given, row)) is not None]
    if stops is not None:
        beside = prices_of(stops, "stops")
        found = [one if one.stop else one._replace(stop=_beside(beside, one.symbol)) for one in found]
    return found


def prices_of(prices: Prices, what: str = "current_prices") -> dict[str, Any]:
    """Prices by exchange id, not yet looked at.

    Raises:
        DataError: they are not by symbol, or one symbol stands there twice with different prices.
    """
    try:
        pairs = prices.items()
    except AttributeError:
        raise DataError(f"{what}: expected prices by symbol, saw {str(prices)[:60]}; give a dict") from None
    found: dict[str, Any]
    if type(prices) is dict and set(map(type, prices)) <= {str}:
        found = dict(zip(map(spelled, prices), prices.values(), strict=True))
        if len(found) == len(prices):  # else a symbol stands there twice
            return found
    found = {}
    for name, price in pairs:
        symbol = known_symbol(name)
        if symbol in found and found[symbol] != price:
            raise DataError(f"{what}: expected {symbol} once, saw {found[symbol]!r} and {price!r}; drop one")
        found[symbol] = price
    return found


def price_for(prices: Mapping[str, Any], symbol: str, what: str = "current_prices") -> float:
    """The price of a symbol, quote.

    Raises:
        DataError: there is none, or it is no number above 0.
    """
    price = prices.get(symbol)
    if price is None:
        known = ", ".join(sorted(prices)[:5]) or "none"
        raise DataError(f"{what}: expected a price of {symbol}, saw prices of {known}; add the symbol")
    if type(price) is float and 0.0 < price < math.inf:
        return price
    return number(price, f"{what}[{symbol}]", 0.0, open_low=True)


def _beside(prices: Mapping[str, Any], symbol: str) -> float:
    return price_for(prices, symbol, "stops") if prices.get(symbol) is not None else 0.0


def _listed(positions: Positions) -> Iterable[Any]:
    """One position after the other."""
    if hasattr(positions, "to_dict") and hasattr(positions, "columns"):
        repeated = positions.columns[positions.columns.duplicated()]
        if len(repeated):
            raise DataError(f"positions: expected each column once, saw {repeated[0]!r} twice; drop one")
        rows: list[Any] = positions.astype(object).where(positions.notna(), None).to_dict("records")
        return rows
    if isinstance(positions, Mapping):
        if positions and not all(isinstance(one, Position) for one in positions.values()):
            raise DataError(f"positions: expected a sequence of them, saw {str(positions)[:60]}; put one in a list")
        return positions.values()
    if isinstance(positions, str | bytes | Position) or not isinstance(positions, Iterable):
        raise DataError(f"positions: expected a sequence of them, saw {str(positions)[:60]}; put one in a list")
    return positions


def _of_noun(given: Position) -> Held:
    """A noun, which was checked when it was made."""
    qty, side = (given.qty, 1) if given.qty > 0.0 else (-given.qty, -1)
    return _new(Held, (spelled(given.symbol), side, qty, given.entry_price, given.stop or 0.0, 0.0, 0.0))


#: Without the arguments by name that a NamedTuple reads, in half the time.
_new = tuple.__new__


def _of_ccxt(given: dict[Any, Any]) -> Held | None:
    """A position that says all that ccxt can say, in floats; None = it has to be looked at more closely."""
    get = given.get
    qty, entry, stop, mark, side = (
        get("contracts"),
        get("entryPrice"),
        get("stopLossPrice"),
        get("markPrice"),
        get("side"),
    )
    liquidation, size, symbol = get("liquidationPrice"), get("contractSize"), get("symbol")
    if not (type(qty) is type(entry) is type(stop) is type(liquidation) is type(mark) is type(size) is float):
        return None
    qty *= size
    # what is NaN compares as false
    if not (0.0 < qty < math.inf and 0.0 < entry < math.inf and 0.0 <= stop < math.inf and size > 0.0):
        return None
    if not (
        0.0 <= liquidation < math.inf and 0.0 <= mark < math.inf and side in {"long", "short"} and type(symbol) is str
    ):
        return None
    return _new(Held, (spelled(symbol), 1 if side == "long" else -1, qty, entry, stop, liquidation, mark))


def _read(given: Any, row: int) -> Held | None:
    """One position; None where it is closed."""
    if type(given) is Position:
        return _of_noun(given)
    if type(given) is Held:
        return given
    if type(given) is dict and (found := _of_ccxt(given)) is not None:
        return found
    if not isinstance(given, Mapping):
        raise DataError(f"positions, row {row}: expected a position or a dict of one, saw {str(given)[:60]}")
    qty = _signed(given, row)
    if qty == 0.0:
        return None
    symbol = given.get("symbol")
    if symbol is None:
        raise DataError(f"positions, row {row}: expected 'symbol', saw {', '.join(map(str, given))}; name it")
    entry = _price(given, _ENTRY, row) or _missing(given, "entryPrice", row)
    levels = _price(given, _STOP, row), _price(given, _LIQUIDATION, row), _price(given, _MARK, row)
    return Held(known_symbol(symbol), 1 if qty > 0.0 else -1, abs(qty), entry, *levels)


def _missing(given: Mapping[Any, Any], name: str, row: int) -> float:
    raise DataError(f"positions, row {row}: expected {name!r} above 0, saw none among {', '.join(map(str, given))}")


def _given(given: Mapping[Any, Any], names: tuple[str, ...]) -> Any:
    """The first value there is under one of several names; None and NaN are none."""
    for name in names:
        value = given.get(name)
        if value is not None and value == value:  # noqa: PLR0124 - NaN, which frames write for None, differs from itself
            return value
    return None


def _price(given: Mapping[Any, Any], names: tuple[str, ...], row: int) -> float:
    """A price, quote; 0 where there is none: exchanges write 0 for a level that is not set."""
    value = given.get(names[0])
    if type(value) is float and 0.0 <= value < math.inf:  # as ccxt has it: no need to look further
        return value
    value = _given(given, names)
    if value is None:
        return 0.0
    return number(value, f"positions, row {row}, {names[0]}", 0.0)


def _signed(given: Mapping[Any, Any], row: int) -> float:
    """Signed base quantity: contracts x contract size, in the direction of `side`."""
    qty, size, word = given.get(_QTY[0]), given.get("contractSize"), given.get("side")
    if not (type(qty) is float and -math.inf < qty < math.inf):
        value = _given(given, _QTY)
        if value is None:
            return _missing(given, "contracts", row)
        qty = number(value, f"positions, row {row}, contracts")
    if size is not None and size != 1.0:
        qty *= number(size, f"positions, row {row}, contractSize", 0.0, open_low=True)
    if word is None or qty == 0.0:
        return qty
    side = 1 if word == "long" else -1 if word == "short" else side_of(word, f"positions, row {row}, side")
    if qty < 0.0 and side > 0:
        raise DataError(f"positions, row {row}: expected a quantity above 0 of a long, saw {qty:g}; mend one of both")
    return side * abs(qty)


def side_of(word: Any, name: str = "side") -> int:
    """+1 or -1 of a word or number that says long or short.

    Raises:
        DataError: it says neither.
    """
    known = TRADE_SIDES.get(word) if type(word) is str else None
    known = known or TRADE_SIDES.get(plain(word))
    if known is None:
        raise DataError(f"{name}: expected long or short, saw {str(word)[:40]!r}; name the side")
    return int(SIGNS[known])
