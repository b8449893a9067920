"""Whatever is asked of the paper broker and whatever the market does: money is conserved, and an order ends once."""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exec.simulator import PaperBroker, default_params
from utils.types import Bar, BookSnapshot, Funding, Instrument, MarkPrice, Order, Trade

TF = 300_000_000_000
SYMBOLS = ("AAA", "BBB")
VENUE = [
    Instrument(name, 0.1, 0.001, min_notional=1.0, maker_bps=-0.5, taker_bps=5.0, max_leverage=20.0, maintenance=0.005)
    for name in SYMBOLS
]

tenths = st.integers(960, 1040)
sides = st.sampled_from([1, -1])
lots = st.integers(10, 4_000)
symbols = st.sampled_from(SYMBOLS)
#: What can happen, or be asked for, in any order.
deeds = st.lists(
    st.one_of(
        st.tuples(st.just("bar"), tenths, st.integers(0, 12), st.integers(0, 3_000)),
        st.tuples(st.just("print"), symbols, tenths, lots, sides),
        st.tuples(st.just("book"), symbols, tenths, st.integers(1, 4)),
        st.tuples(st.just("mark"), symbols, tenths),
        st.tuples(st.just("funding"), symbols, st.integers(-20, 20)),
        st.tuples(st.just("open"), symbols, sides, lots, st.sampled_from(["MARKET", "LIMIT", "POST_ONLY"])),
        st.tuples(st.just("close"), symbols, st.sampled_from([None, 0.25, 1.5])),
        st.tuples(st.just("flip"), symbols, lots),
        st.tuples(
            st.just("apply"),
            st.lists(
                st.tuples(
                    symbols,
                    sides,
                    lots,
                    st.sampled_from(["MARKET", "LIMIT", "POST_ONLY", "STOP_MARKET"]),
                    tenths,
                    st.booleans(),
                ),
                max_size=3,
            ),
            st.integers(0, 8),
        ),
        st.tuples(st.just("replace"), st.integers(0, 8), lots, tenths),
    ),
    min_size=5,
    max_size=60,
)


class Account:
    """A broker, and a second set of books that is kept from its fills alone."""

    def __init__(self, **values):
        params = default_params()
        for name, value in {
            "impact": 0.0,
            "slippage_bps": 1.0,
            "half_spread_bps": 0.5,
            "limit_bars": 3.0,
            **values,
        }.items():
            params[name] = value
        self.broker = PaperBroker(VENUE, params=params, initial_capital=5_000.0, standing=4)
        self.cash, self.held, self.marks = 5_000.0, dict.fromkeys(SYMBOLS, 0.0), {}
        self.asked, self.filled, self.over = {}, defaultdict(float), set()
        self.fill_ids, self.ended, self.settled_funding = [], [], 0.0
        self.now = self.bars = 0
        for symbol in SYMBOLS:
            self.bar(symbol, (100.0, 100.0, 100.0, 100.0), 1_000.0)

    def note(self, decision):
        for order in decision.orders:
            if order.id:
                self.asked[order.id] = self.filled[order.id] + order.qty
        for fill in decision.fills:
            self.cash -= fill.side * fill.qty * fill.price + fill.fee
            self.held[fill.symbol] += fill.side * fill.qty
            assert fill.order_id not in self.over, "an order that had ended was filled"
            self.filled[fill.order_id] += fill.qty
            assert fill.ts <= fill.ts_recv
        self.over.update(decision.cancels)

    def bar(self, symbol, prices, volume):
        if symbol == SYMBOLS[0]:
            self.bars += 1
            self.now = self.bars * TF
        self.note(self.broker.on_event(Bar(symbol, "5m", self.now, self.now, *prices, volume)))
        self.marks[symbol] = prices[3]

    def tick(self):
        self.now = min(self.now + 1_000_000, (self.bars + 1) * TF - 1)
        return self.now

    def do(self, deed):
        name, *what = deed
        getattr(self, f"_{name}")(*what)

    def _bar(self, close, reach, volume):
        price, far = close / 10.0, reach / 10.0
        for symbol in SYMBOLS:
            start = round(self.marks[symbol], 1)
            high, low = max(start, price) + far, min(start, price) - far
            self.bar(symbol, (start, round(high, 1), round(low, 1), price), volume / 10.0)

    def _print(self, symbol, price, size, side):
        ts = self.tick()
        self.note(self.broker.on_event(Trade(symbol, ts, ts + 5, price / 10.0, size / 1e3, side)))
        self.marks[symbol] = price / 10.0

    def _book(self, symbol, price, spread):
        ts, bid = self.tick(), price / 10.0
        ask = round(bid + spread / 10.0, 1)
        self.note(self.broker.on_event(BookSnapshot(symbol, ts, ts + 5, ((bid, 1.0),), ((ask, 1.0),))))
        self.marks[symbol] = 0.5 * (bid + ask)

    def _mark(self, symbol, price):
        self.note(self.broker.on_event(MarkPrice(symbol, self.tick(), price / 10.0)))
        self.marks[symbol] = price / 10.0

    def _funding(self, symbol, rate):
        self.note(self.broker.on_event(Funding(symbol, (self.bars + 1) * TF, rate * 1e-4)))

    def _open(self, symbol, side, size, kind):
        self.note(self.broker.open(symbol, side, size / 1e3, kind=kind, stop_bps=80.0, take_bps=60.0))

    def _close(self, symbol, qty):
        self.note(self.broker.close(symbol, qty))

    def _flip(self, symbol, size):
        self.note(self.broker.flip(symbol, size / 1e3))

    def _apply(self, wanted, cancel):
        orders = []
        for symbol, side, size, kind, price, reduce_only in wanted:
            limit = price / 10.0 if kind in ("LIMIT", "POST_ONLY") else None
            trigger = price / 10.0 if kind == "STOP_MARKET" else None
            orders.append(Order(0, symbol, self.now, side, size / 1e3, kind, limit, reduce_only, trigger=trigger))
        waiting = [order.id for order in self.broker.orders if order.id]
        self.note(self.broker.apply(orders, waiting[cancel : cancel + 1]))

    def _replace(self, which, size, price):
        waiting = [order.id for order in self.broker.orders if order.id]
        if which < len(waiting):
            self.note(self.broker.replace(waiting[which], size / 1e3, price / 10.0))

    def check(self):
        broker = self.broker
        funding = sum(float(p["funding"]) for p in broker._engine.positions if p["qty"] != 0.0)
        value = sum(self.held[symbol] * self.marks[symbol] for symbol in SYMBOLS)
        assert pytest.approx(self.cash - self.settled() - funding + value, abs=1e-9) == broker.equity
        assert broker.equity == pytest.approx(
            broker.cash + sum(p.pnl(self.marks[s]) for s, p in broker.positions.items()), abs=1e-9
        )
        for symbol in SYMBOLS:
            position = broker.positions.get(symbol)
            assert pytest.approx(self.held[symbol], abs=1e-9) == (position.qty if position else 0.0)
        for order_id, qty in self.asked.items():
            assert self.filled[order_id] <= qty + 1e-9, "more was filled than asked"

    def settled(self):
        """Funding of round trips that are over."""
        rows = self.broker.drain()
        self.fill_ids += rows.fills["fill_id"].tolist()
        self.ended += rows.orders["order_id"].tolist()
        self.settled_funding += float(rows.trades["funding"].sum())
        return self.settled_funding


@settings(max_examples=150, deadline=None)
@given(deeds=deeds, values=st.sampled_from([{}, {"trail_bps": 15.0}, {"max_positions": 1}, {"leverage": 2.0}]))
def test_money_is_conserved_no_quantity_fills_twice_and_no_order_ends_twice(deeds, values):
    account = Account(**values)
    for deed in deeds:
        account.do(deed)
        account.check()
    assert len(account.ended) == len(set(account.ended))
    assert account.fill_ids == list(range(1, len(account.fill_ids) + 1))


def test_the_second_set_of_books_sees_fills_of_every_role_and_both_liquidities():
    account = Account(half_spread_bps=0.0, slippage_bps=0.0)
    account.do(("open", "AAA", 1, 1_000, "MARKET"))
    account.do(("bar", 1000, 0, 3_000_000))
    account.do(("apply", [("AAA", -1, 500, "LIMIT", 1002, True), ("BBB", 1, 800, "LIMIT", 998, False)], 8))
    account.do(("print", "AAA", 1004, 4_000, 1))
    account.do(("print", "BBB", 1000, 4_000, -1))
    account.do(("print", "BBB", 996, 300, -1))
    account.do(("print", "BBB", 996, 4_000, -1))
    account.do(("apply", [("BBB", -1, 1_500, "MARKET", 0, False)], 8))
    account.do(("book", "BBB", 1001, 1))
    account.do(("bar", 960, 0, 3_000_000))
    account.check()
    assert account.held["BBB"] == pytest.approx(-0.7)
