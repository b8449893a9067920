"""How right messages become wrong ones: pure functions over the venues' JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ingest.box.faults.desk import Fault
from ingest.box.floor.market import Market
from utils.rows import NS_PER_MS, NS_PER_S

#: Keys of the stamps a venue writes; the times of candles are not among them.
_STAMPS = ("ts", "cts", "E", "T", "time", "serverTime")
_SYMBOLS = ("s", "symbol")
#: Keys of prices and of sizes outside order books and rows without names.
_PRICES = ("p", "price", "lastPrice", "bid1Price", "bidPrice", "markPrice", "close", "c", "b", "fundingRate")
_SIZES = ("v", "q", "size", "qty", "bid1Size", "volume", "volume24h", "openInterest", "bidQty", "B")
_SIDES = ("b", "a", "bids", "asks")
_OTHER = "OTHERUSDT"


def objects(message: Any, depth: int = 4) -> Iterator[dict[str, Any]]:
    """A message's objects, from the outside in."""
    if isinstance(message, dict):
        yield message
        inner: Any = message.values()
    else:
        inner = message if isinstance(message, list) else ()
    if depth:
        for value in inner:
            yield from objects(value, depth - 1)


def rows_of(message: Any) -> list[list[Any]]:
    """The candles of a REST answer, in the venue's order; [] when there are none."""
    rows = message["result"].get("list", []) if isinstance(message, dict) and "result" in message else message
    return rows if isinstance(rows, list) and rows and isinstance(rows[0], list) else []


def bad_number(message: Any, fault: Fault, _: Market | None) -> bool:
    """Put the fault's value in place of a price or size; False when there is none."""
    at = 0 if fault.where == "price" else 1
    for holder in objects(message):
        for side in _SIDES:
            levels = holder.get(side)
            if isinstance(levels, list) and levels and isinstance(levels[0], list):
                levels[0][at] = fault.value
                return True
    rows = rows_of(message)
    if rows:
        rows[len(rows) // 2][4 if fault.where == "price" else 5] = fault.value
        return True
    for holder in reversed(list(objects(message))):
        for name in _PRICES if fault.where == "price" else _SIZES:
            if isinstance(holder.get(name), str):
                holder[name] = fault.value
                return True
    return False


def wrong_symbol(message: Any, _fault: Fault, _: Market | None) -> bool:
    """Name another symbol; False when none is named."""
    found = False
    for holder in objects(message):
        for name in _SYMBOLS:
            if isinstance(holder.get(name), str):
                holder[name] = _OTHER
                found = True
    return found


def crossed(message: Any, fault: Fault, market: Market | None) -> bool:
    """Bring a bid above the best ask, or at it; False when the message is no book or the book has no asks."""
    if market is None or not market.asks.ticks:
        return False
    ask = market.asks.best + (0 if fault.kind == "locked" else 2)
    level = [market.grid.price(ask), market.grid.qty(1)]
    for holder in objects(message):
        for side in ("b", "bids"):
            if isinstance(holder.get(side), list):
                holder[side] = [level, *holder[side]]
                return True
    return False


def bad_time(message: Any, fault: Fault, _: Market | None) -> bool:
    """Stamps as 0, in seconds or in microseconds."""

    def spoiled(ms: int) -> int:
        return {"s": ms // 1000, "us": ms * 1000}.get(str(fault.value), 0)

    return _stamped(message, spoiled)


def skewed(message: Any, skew_ns: int) -> bool:
    """Stamps that are off by a constant."""
    found = _stamped(message, lambda ms: ms + skew_ns // NS_PER_MS)
    for holder in objects(message, 1):
        if "timeNano" in holder:
            nano = int(holder["timeNano"]) + skew_ns
            holder |= {"timeNano": str(nano), "timeSecond": str(nano // NS_PER_S)}
    return found


def _stamped(message: Any, change: Callable[[int], int]) -> bool:
    found = False
    for holder in objects(message, 2):
        if "open" in holder or "o" in holder:
            continue  # a candle's own times
        for name in _STAMPS:
            value = holder.get(name)
            if isinstance(value, int):
                holder[name] = change(value)
                found = True
    return found


def wrong_category(message: Any, _fault: Fault, _: Market | None) -> bool:
    """Bybit's answer for another category."""
    if isinstance(message, dict) and "category" in message.get("result", {}):
        message["result"]["category"] = "inverse"
        return True
    return False


def wrong_interval(message: Any, _fault: Fault, _: Market | None) -> bool:
    """Candles twice as far apart."""
    rows = rows_of(message)
    if len(rows) < 2:
        return False
    del rows[1::2]
    return True


def forming_candle(message: Any, _fault: Fault, market: Market | None) -> bool:
    """Candles that go on to the one being formed."""
    rows = rows_of(message)
    if market is None or len(rows) < 2:
        return False
    step = abs(int(rows[1][0]) - int(rows[0][0]))
    newest = max(rows, key=lambda row: int(row[0]))
    forming = market.candles[-1].open_ms // step * step
    while int(newest[0]) < forming:
        newest = _moved(newest, step)
        rows.insert(0 if int(rows[0][0]) > int(rows[-1][0]) else len(rows), newest)
    return True


def future_candle(message: Any, _fault: Fault, _: Market | None) -> bool:
    """One candle more than there can be."""
    rows = rows_of(message)
    if len(rows) < 2:
        return False
    step = abs(int(rows[1][0]) - int(rows[0][0]))
    newest = max(rows, key=lambda row: int(row[0]))
    rows[rows.index(newest)] = _moved(newest, 100 * step)
    return True


def _moved(row: list[Any], ms: int) -> list[Any]:
    """A candle at another time; Binance's has its end as well."""
    moved = [type(row[0])(int(row[0]) + ms), *row[1:]]
    if len(row) == 12:
        moved[6] += ms
    return moved


def missing_candle(message: Any, _fault: Fault, _: Market | None) -> bool:
    """A hole in the middle."""
    rows = rows_of(message)
    if len(rows) < 3:
        return False
    del rows[len(rows) // 2]
    return True


def duplicate_candle(message: Any, _fault: Fault, _: Market | None) -> bool:
    """A candle in the middle twice."""
    rows = rows_of(message)
    if len(rows) < 3:
        return False
    rows.insert(len(rows) // 2, list(rows[len(rows) // 2]))
    return True


def unsorted_candles(message: Any, _fault: Fault, _: Market | None) -> bool:
    """Two neighbours in the wrong order."""
    rows = rows_of(message)
    if len(rows) < 4:
        return False
    middle = len(rows) // 2
    rows[middle - 1], rows[middle] = rows[middle], rows[middle - 1]
    return True


def revised_candle(message: Any, _fault: Fault, market: Market | None) -> bool:
    """A closed candle that has changed after all."""
    rows = rows_of(message)
    if market is None or len(rows) < 3:
        return False
    row = rows[len(rows) // 2]
    row[4] = row[2] = market.grid.price(round(float(row[2]) / float(market.grid.tick)) + 1)
    return True


def impossible_candle(message: Any, _fault: Fault, _: Market | None) -> bool:
    """A high below the low."""
    rows = rows_of(message)
    if not rows:
        return False
    row = rows[len(rows) // 2]
    row[2], row[3] = str(float(row[3]) * 0.9), row[2]
    return True


def stale_snapshot(message: Any, _fault: Fault, _: Market | None) -> bool:
    """A book with an update id from before the stream began."""
    if not isinstance(message, dict) or "lastUpdateId" not in message:
        return False
    message["lastUpdateId"] -= 1_000_000
    return True


Spoiler = Callable[[Any, Fault, "Market | None"], bool]

#: Stream faults that change a message's content.
MESSAGE: dict[str, Spoiler] = {
    "bad_number": bad_number,
    "wrong_symbol": wrong_symbol,
    "crossed": crossed,
    "locked": crossed,
    "bad_time": bad_time,
}
#: REST faults that change an answer's content.
ANSWER: dict[str, Spoiler] = {
    "reply_bad_number": bad_number,
    "reply_wrong_symbol": wrong_symbol,
    "reply_crossed": crossed,
    "reply_bad_time": bad_time,
    "reply_wrong_category": wrong_category,
    "reply_wrong_interval": wrong_interval,
    "forming_candle": forming_candle,
    "future_candle": future_candle,
    "missing_candle": missing_candle,
    "duplicate_candle": duplicate_candle,
    "unsorted_candles": unsorted_candles,
    "revised_candle": revised_candle,
    "impossible_candle": impossible_candle,
    "stale_snapshot": stale_snapshot,
}
