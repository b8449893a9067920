"""Words that others have for a side, a liquidity, a kind or a state: understood at this one place, or refused.

Spelling does not count: LONG, Long, `PositionSide.LONG` and " long " are one word, and so are post-only and POST ONLY.
What is no known word is never taken for another: it is refused, with its row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from utils.codes import EXIT_NAMES, KIND_NAMES, LIQUIDITY_NAMES, STATUS_NAMES
from utils.errors import DataError

#: Our name of a thing, by every word for it.
Words: TypeAlias = Mapping[str, str]


def _words(*named: tuple[str, Iterable[str]]) -> dict[str, str]:
    return {word: name for name, others in named for word in (plain(name), *others)}


def plain(value: Any) -> str:
    """A word or number as the tables have it: small letters, `_` between them, whole numbers without a point.

    Nothing, None and NaN are "".
    """
    if isinstance(value, float | np.floating) and math.isnan(value):
        return ""
    text = str(value).strip().casefold()
    try:
        number = float(text)
    except ValueError:
        text = re.sub(r"[\s_-]+", "_", text.rpartition(".")[2])
        return "" if text in {"none", "<na>", "nat"} else text
    return "" if math.isnan(number) else f"{number + 0.0:g}"  # -0.0 is 0


_BUY, _SELL = ("buy", "b", "1"), ("sell", "s", "-1")
_UP, _DOWN = ("long", *_BUY), ("short", *_SELL)
#: Of a round trip.
TRADE_SIDES = _words(("long", _UP), ("short", _DOWN))
#: Of an order.
ORDER_SIDES = _words(("buy", _UP), ("sell", _DOWN))
#: Of a signal: a direction, 0 = close, empty = nothing.
SIGNAL_SIDES = TRADE_SIDES | _words(("close", ("exit", "flat", "0")), ("", ("hold", "nothing")))
#: Of a print: the aggressor, who may be unknown.
PRINT_SIDES = _words(("buy", _BUY), ("sell", _SELL), ("", ("0",)))
#: Of a fill; empty = it says nothing.
LIQUIDITIES = _words(("", ()), (LIQUIDITY_NAMES[1], ("m",)), (LIQUIDITY_NAMES[2], ("t",)))
#: Of an order.
KINDS = _words(*((name, ()) for name in KIND_NAMES[1:])) | _words(
    ("POST_ONLY", ("postonly", "limit_maker")), ("STOP_MARKET", ("stop",))
)
STATUSES = _words(*((name, ()) for name in STATUS_NAMES[1:])) | _words(
    ("PARTIAL", ("partially_filled", "partiallyfilled")), ("CANCELLED", ("canceled",))
)
#: Why a position ended. Figures only count these by name, so another tool's reasons stay as they are.
EXITS = _words(*((name, ()) for name in EXIT_NAMES))
#: What each word of a side means, in numbers.
SIGNS = {"long": 1.0, "buy": 1.0, "short": -1.0, "sell": -1.0, "close": 0.0, "": math.nan}


def ours(values: Any, words: Words, where: Callable[[int], str]) -> NDArray[Any]:
    """Our names of what stands in a column, as an array of str.

    Args:
        values: words, numbers, or both.
        words: the table that applies.
        where: names a row in the message.

    Raises:
        DataError: a word that is not in the table, with its row.
    """
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    known: dict[tuple[type, str], str] = {}  # True is no 1
    names = []
    for row, value in enumerate(listed):
        key = (type(value), str(value))
        if key not in known:
            name = words.get(plain(value))
            if name is None:
                raise DataError(f"{where(row)}: expected {expected(words)}, saw {value!r:.60}; correct that row")
            known[key] = name
        names.append(known[key])
    return np.array(names, dtype=str)


def ours_or_none(value: Any, words: Words) -> str | None:
    """Our name of one word; None = it is not known."""
    return words.get(plain(value))


def signs(values: Any, words: Words, where: Callable[[int], str]) -> NDArray[np.float64]:
    """The sides of a column as numbers: +1, -1, 0 = close, NaN = nothing or unknown; else as `ours`."""
    names = ours(values, words, where).tolist()
    return np.array([SIGNS[name] for name in names], dtype=np.float64)


def expected(words: Words) -> str:
    """Our names of a table, as the object of "expected"."""
    names = list(dict.fromkeys(name or "nothing" for name in words.values()))
    return f"{', '.join(names[:-1])} or {names[-1]}"
