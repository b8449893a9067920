"""A market as Bybit sends it, with all that goes wrong in one, and two ways from its messages to vectors."""

import json
import random

from features.live import EventFeatures
from ingest.live.feed import LiveFeed
from ingest.wire.streams import Stream
from tests.wire import MS, bybit, bybit_book, bybit_protocol, bybit_trade
from utils.types import Bar

SYMBOLS = ("BTCUSDT", "ETHUSDT")
KINDS = ("book", "trades", "bars")
STREAMS = [Stream(kind, symbol, "1m" if kind == "bars" else "") for kind in KINDS for symbol in SYMBOLS]
MINUTE_MS = 60_000
#: The first close, ms.
FIRST_MS = 29_922_118 * MINUTE_MS
#: Levels a side of the made books, fewer than the stream has; and the price step.
DEPTH, TICK = 30, 10


class MadeBook:
    """One symbol's book, and the messages that tell of it: mostly plain deltas, now and then something else."""

    def __init__(self, symbol, dice):
        self.symbol, self.dice = symbol, dice
        self.mid, self.update, self.bar, self.trades = 650_000, 100, FIRST_MS, 0
        self.sides = ({}, {})

    def prices(self, side):
        return [self.mid - 1 - i * TICK if side == 0 else self.mid + 1 + i * TICK for i in range(DEPTH)]

    def moved(self):
        """Changed levels of both sides, all that stays within reach of the mid, and what is out of it removed."""
        self.mid += self.dice.choice((-TICK, 0, 0, 0, TICK))
        changed = ([], [])
        for side, book in enumerate(self.sides):
            prices = self.prices(side)
            for price in [price for price in book if price not in prices]:
                del book[price]
                changed[side].append((price, 0.0))
            for price in {*[price for price in prices if price not in book], *self.dice.sample(prices, 2)}:
                book[price] = self.dice.randint(1, 9000) / 1000
                changed[side].append((price, book[price]))
        return changed

    def message(self, sides, ts, kind="delta", update=None, cts=None):
        b, a = ([[f"{price / 10:.1f}", f"{qty:.3f}"] for price, qty in side] for side in sides)
        self.update = self.update + 1 if update is None else update
        return bybit_book(self.update, b, a, kind, self.symbol, ts=ts, cts=cts or ts)

    def snapshot(self, ts):
        self.moved()
        return self.message([[*side.items()] for side in self.sides], ts, "snapshot")

    def after_loss(self, ts):
        """A message that ends the book, one that comes in vain, and the snapshot that follows."""
        wrong = self.dice.choice(("gap", "crossed", "bad"))
        if wrong == "gap":
            self.moved()
            yield self.message(self.moved(), ts, update=self.update + 2)
        elif wrong == "crossed":
            yield self.message(([(self.mid + 5 * TICK, 1.0)], []), ts)
        else:
            yield self.message(self.moved(), ts).replace(b'"a":[', b'"a":[["-1","1"],')
        yield self.trade(ts)
        yield self.message(self.moved(), ts)
        yield self.snapshot(ts)

    def emptied(self, ts):
        """A side loses all its levels, and gets them back."""
        side = self.dice.randint(0, 1)
        gone = [(price, 0.0) for price in self.sides[side]]
        self.sides[side].clear()
        yield self.message((gone, []) if side == 0 else ([], gone), ts)
        yield self.message(self.moved(), ts + 1)

    def trade(self, ts):
        rows = []
        for _ in range(self.dice.randint(1, 3)):
            self.trades += 1
            side, price = self.dice.choice((("Buy", self.mid + 1), ("Sell", self.mid - 1)))
            late = self.dice.choice((0, 0, 40))
            rows.append(bybit_trade(f"{self.trades}", f"{price / 10:.1f}", "0.25", side, self.symbol, ts - late))
        return bybit("publicTrade", rows, self.symbol, ts)

    def closed(self, ts):
        """The bar that closed last."""
        row = {"start": self.bar - MINUTE_MS, "end": self.bar - 1, "interval": "1", "confirm": True, "timestamp": ts}
        prices = dict.fromkeys(("open", "high", "low", "close"), f"{self.mid / 10:.1f}")
        self.bar += MINUTE_MS
        return bybit("kline.1", [row | prices | {"volume": "1", "turnover": "1"}], self.symbol, ts)

    def messages(self, ts):
        """What comes at `ts`, ms."""
        if ts >= self.bar and self.dice.random() < 0.5:  # before or after the first event behind its close
            yield self.closed(ts)
        chance = self.dice.random()
        if self.update == 100 or chance > 0.985:
            yield self.snapshot(ts)
        elif chance > 0.97:
            yield from self.after_loss(ts)
        elif chance > 0.955:
            yield from self.emptied(ts)
        elif chance > 0.8:
            yield self.trade(ts)
        elif chance > 0.75:  # the fast door knows no blanks
            yield json.dumps(json.loads(self.message(self.moved(), ts))).encode()
        else:  # what was matched before a close may be told after it
            yield self.message(self.moved(), ts, cts=ts - self.dice.choice((0, 0, 3, 300)))


def made(seed, count):
    """Receive time, ns, and message: of `count` moments of both symbols in turns, some 0.3 s apart."""
    dice = random.Random(seed)
    books, ts = [MadeBook(symbol, dice) for symbol in SYMBOLS], FIRST_MS - 20_000
    for _ in range(count):
        ts += dice.randint(1, 600)
        for message in dice.choice(books).messages(ts):
            yield (ts + 7) * MS, message


class Kept:
    """Features that keep what they were after each event: the vector, and at a bar what stood at its close."""

    def __init__(self, symbols=SYMBOLS, closes=(FIRST_MS * MS,) * 2, tf_ns=MINUTE_MS * MS):
        self.features, self.symbols = EventFeatures(symbols, closes, tf_ns), symbols
        self.found, self.given = [], 0

    def see(self, event):
        self.features.see(event)
        if isinstance(event, Bar):
            stood = self.features.at(self.symbols.index(event.symbol), event.ts)
            self.found.append(repr((event.ts, stood.book_age_ms, stood.print_age_ms, stood.vector.tobytes())))
        self._keep(event.symbol)

    def moved(self, symbol, ts, ts_recv, book):
        assert ts_recv >= ts
        self.features.moved(symbol, ts, ts_recv, book)
        self.given += 1
        self._keep(symbol)

    def _keep(self, symbol):
        self.found.append(self.features.vector(symbol).tobytes())


def by_nouns(messages):
    """All that was kept where every message becomes nouns."""
    protocol, kept = bybit_protocol(*STREAMS), Kept()
    for recv_ns, message in messages:
        for noun in protocol.receive(message, recv_ns):
            kept.see(noun)
    return kept


def by_hearing(messages):
    """All that was kept by the listener of a live feed."""
    now, kept = [0], Kept()
    feed = LiveFeed("bybit", STREAMS, stamp=lambda: now[0], listener=kept)
    [link] = feed._links
    link.protocol.connected(messages[0][0])
    for now[0], message in messages:
        feed._hear(link, message)
    return kept
