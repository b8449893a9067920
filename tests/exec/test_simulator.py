"""The paper broker: the engine's face, bar by bar."""

import dataclasses
import math

import numpy as np
import pytest

from exec.engine import Engine
from exec.simulator import PaperBroker, default_params
from tests.fakes import FakeBroker, ListFeed, ListJournal
from tests.market import row
from utils.codes import AUTO, LIMIT, MARKET, STATUS_NAMES
from utils.market.timeframes import parse_timeframe
from utils.params import params_of
from utils.ports import Broker, Feed
from utils.rows import BAR, FUNDING, INSTRUMENT, PARAMS, SIGNAL
from utils.settings.tree import Settings
from utils.types import (
    Bar,
    BookInvalid,
    BookSnapshot,
    Decision,
    Funding,
    Instrument,
    MarkPrice,
    Order,
    Quote,
    Signal,
    Trade,
)

TF = 300_000_000_000
BTC = Instrument("BTC", 0.1, 0.001, min_notional=5.0, maintenance=0.005, max_leverage=20.0)
ETH = Instrument("ETH", 0.01, 0.001, min_notional=5.0)
XRP = Instrument("XRP", 0.0001, 0.1, min_notional=5.0)


def bar(k, prices=(100.0, 100.0, 100.0, 100.0), symbol="BTC", volume=1e6):
    """Bar number k of a symbol; it closes k bar lengths after 1970."""
    return Bar(symbol, "5m", k * TF, k * TF, *prices, volume)


def frictionless(**values):
    """Params without spread, slippage and impact."""
    params = default_params()
    for name, value in {"half_spread_bps": 0.0, "slippage_bps": 0.0, "impact": 0.0, **values}.items():
        params[name] = value
    return params


def calm(**values):
    """A broker of one symbol without friction, its journal, after one flat bar at 100."""
    journal = ListJournal()
    broker = PaperBroker([BTC], params=frictionless(**values), journal=journal, source="test")
    broker.on_event(bar(1))
    return broker, journal


def market(seed, n=400):
    """Random bars of three symbols on one clock (some missing, some without volume), signals and funding."""
    rng = np.random.default_rng(seed)
    instruments = (BTC, ETH, XRP)
    bars, signals, funding = [], [], []
    price, before = {"BTC": 60_000.0, "ETH": 3_000.0, "XRP": 0.5}, {}
    shown = {ins.symbol: [k for k in range(1, n + 1) if rng.random() > 0.05] for ins in instruments}
    for k in range(1, n + 1):
        for s, ins in enumerate(instruments):
            if k not in shown[ins.symbol]:
                continue
            path = price[ins.symbol] * np.exp(np.cumsum(rng.normal(0.0, 0.0006, 8)))
            grid = [ins.round_price(float(x)) for x in (path[0], path.max(), path.min(), path[-1])]
            price[ins.symbol] = grid[3]
            volume = 0.0 if rng.random() < 0.1 else float(rng.uniform(10.0, 5e3) * 100.0 / grid[3])
            gap = k - before.get(ins.symbol, k - 1) - 1
            before[ins.symbol] = k
            prices = dict(zip(("open", "high", "low", "close"), grid, strict=True))
            place = {"ts": k * TF, "sym": s, "gap": gap, "last": k == shown[ins.symbol][-1]}
            bars.append(row(BAR, **place, **prices, volume=volume, taker_buy=math.nan))
            side = rng.choice([math.nan, 1.0, -1.0, 0.0], p=[0.7, 0.13, 0.13, 0.04])
            choice = [float(rng.uniform(10, 40)) if rng.random() < 0.5 else math.nan for _ in range(2)]
            horizon = float(rng.integers(1, 12)) if rng.random() < 0.5 else math.nan
            rank = float(rng.uniform(0, 9)) if rng.random() < 0.7 else math.nan
            signals.append(
                (side, float(rng.uniform(50, 100)), math.nan, math.nan, rank, *choice, horizon, *5 * [math.nan])
            )
        if k % 7 == 0:
            funding += [(k * TF - int(rng.integers(0, 2)) * TF // 3, s, 1e-4 * (s - 1)) for s in range(3)]
    return np.concatenate(bars, dtype=BAR), np.array(signals, SIGNAL), np.array(funding, FUNDING)


def as_signal(row, ts, symbol):
    """The noun of a SIGNAL record."""

    def value(x):
        return None if math.isnan(x) else float(x)

    names = ("p_win", "expected_bps", "take_bps", "stop_bps", "horizon", "threshold", "atr", "vol_bps")
    return Signal(ts, symbol, int(row.side), float(row.strength), **{name: value(row[name]) for name in names})


def fed_bar_by_bar(broker, instruments, bars, signals, funding, each=lambda: None):
    """Hand the broker each event in order of time, and each close's signals after its bars."""
    symbols = sorted(ins.symbol for ins in instruments)
    due = sorted(map(tuple, funding.tolist()))
    for ts in np.unique(bars["ts"]):
        while due and due[0][0] <= ts:
            stamp, s, rate = due.pop(0)
            broker.on_event(Funding(symbols[s], stamp, rate))
        here = np.flatnonzero(bars["ts"] == ts)
        for i in here:
            broker.on_event(Bar.of(bars[i], symbols[bars[i].sym], "5m"), last=bool(bars[i].last))
        said = [i for i in here if not math.isnan(signals[i].side)]
        if said:
            broker.decide([as_signal(signals[i], int(ts), symbols[bars[i].sym]) for i in reversed(said)])
        each()


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    "values",
    [{}, {"max_positions": 2, "trail_bps": 9.0}, {"entry_kind": LIMIT, "limit_bars": 3.0}],
    ids=["market", "limits bind", "resting entries"],
)
def test_bar_by_bar_equals_the_whole_array_bit_for_bit(seed, values):
    instruments = (BTC, ETH, XRP)
    params = default_params()
    for name, value in values.items():
        params[name] = value
    bars, signals, funding = market(seed)
    engine = Engine(np.array([ins.row() for ins in instruments], INSTRUMENT), params, 10_000.0, funding)
    engine.run(bars, signals)
    expected = engine.drain()
    journal = ListJournal()
    broker = PaperBroker(instruments[::-1], params=params, journal=journal)
    fed_bar_by_bar(broker, instruments, bars, signals, funding)
    actual = broker.drain()
    assert len(expected.trades) > 30
    assert np.any(expected.trades["funding"] != 0.0)
    assert expected.trades.tobytes() == actual.trades.tobytes()
    assert expected.orders.tobytes() == actual.orders.tobytes()
    assert expected.decisions.tobytes() == actual.decisions.tobytes()
    assert expected.equity.tobytes() == actual.equity.tobytes()
    assert expected.trades["entry_no"].tolist() == [trade.trade_id for trade in journal.trades]
    assert broker.equity == journal.trades[-1].equity_after


def test_money_is_conserved_at_every_close():
    instruments = (BTC, ETH, XRP)
    bars, signals, funding = market(5)
    journal = ListJournal()
    broker = PaperBroker(instruments, journal=journal, initial_capital=5_000.0)
    closes = {}

    def check():
        equity = broker.equity
        net = sum(trade.net_pnl for trade in journal.trades)
        assert pytest.approx(5_000.0 + net + broker.open_pnl, abs=1e-9) == equity
        closes.update({symbols[row.sym]: row.close for row in bars[bars["ts"] == broker.decide([]).ts]})
        paper = sum(position.pnl(closes[symbol]) for symbol, position in broker.positions.items())
        assert pytest.approx(broker.cash + paper, abs=1e-9) == equity

    symbols = sorted(ins.symbol for ins in instruments)
    fed_bar_by_bar(broker, instruments, bars, signals, funding, check)
    assert {} == broker.positions
    assert broker.cash == broker.equity


def test_default_params_are_the_settings_defaults_but_for_market_entries_without_a_limit_of_positions():
    settings, params = params_of(Settings(), parse_timeframe("5m"))[0], default_params()[0]
    changed = {name: params[name].item() for name in PARAMS.names if params[name] != settings[name]}
    assert {"entry_kind": MARKET, "max_positions": 1_000_000} == changed


def test_an_order_before_the_first_bar_is_refused_for_want_of_a_price():
    decision = PaperBroker([BTC]).open("BTC", "long")
    assert ["no_bar"] == [refusal.rule for refusal in decision.refusals]
    assert () == decision.orders


def test_an_order_fills_at_the_next_open_never_in_the_bar_that_caused_it():
    broker, _ = calm()
    decision = broker.open("BTC", "long", 2.0)
    expected = Order(1, "BTC", TF, 1, 2.0, decision_price=100.0, role="ENTRY")
    assert (expected,) == decision.orders
    assert {} == broker.positions
    broker.on_event(bar(2, (101.0, 101.0, 101.0, 101.0)))
    assert (2.0, 101.0, TF) == tuple(
        getattr(broker.positions["BTC"], name) for name in ("qty", "entry_price", "opened_ts")
    )


def test_no_quantity_means_sized_by_the_risk_at_the_stop():
    broker, _ = calm(risk_fraction=0.0025, leverage=100.0)
    (order,) = broker.open("BTC", "short", stop_bps=50.0).orders
    # 25 quote to lose: sold a tick lower at 99.9, the stop 100.3995 is 100.4, bought a tick higher, 5 bps of each fee
    assert (-1, round(25.0 / (100.5 - 99.9 + 5e-4 * (99.9 + 100.5)) - 0.0005, 3)) == (order.side, order.qty)


def test_an_explicit_quantity_stays_under_the_leverage_cap():
    broker, _ = calm(leverage=3.0)
    (order,) = broker.open("BTC", "long", 1_000.0).orders
    assert 300.0 == order.qty


def test_the_same_side_again_is_held():
    broker, _ = calm()
    broker.open("BTC", "long", 1.0)
    assert ["held"] == [refusal.rule for refusal in broker.open("BTC", "long", 1.0).refusals]
    broker.on_event(bar(2))
    assert ["held"] == [refusal.rule for refusal in broker.open("BTC", 1).refusals]
    assert 1.0 == broker.positions["BTC"].qty


def test_close_exits_at_the_next_open_as_an_early_stop():
    broker, journal = calm()
    broker.open("BTC", "long", 1.0)
    broker.on_event(bar(2))
    (order,) = broker.close("BTC").orders
    assert (True, -1, 1.0) == (order.reduce_only, order.side, order.qty)
    decision = broker.on_event(bar(3, (100.1, 100.1, 100.1, 100.1)))
    (trade,) = decision.closed
    assert [trade] == journal.trades
    assert ("long", "EARLY_STOP", 100.0, 100.1, 2 * TF) == (
        trade.side, trade.exit_reason, trade.entry_price, trade.exit_price, trade.exit_time,
    )  # fmt: skip
    assert "test" == trade.source
    assert {} == broker.positions
    assert ["flat"] == [refusal.rule for refusal in broker.close("BTC").refusals]


def test_a_flip_closes_and_opens_at_the_same_open():
    broker, journal = calm()
    broker.open("BTC", "long", 1.0)
    broker.on_event(bar(2))
    decision = broker.flip("BTC", 2.0)
    assert [(-1, 1.0, True), (-1, 2.0, False)] == [(o.side, o.qty, o.reduce_only) for o in decision.orders]
    broker.on_event(bar(3, (100.1, 100.1, 100.1, 100.1)))
    assert [("FLIP", 100.1, 2 * TF)] == [(t.exit_reason, t.exit_price, t.exit_time) for t in journal.trades]
    position = broker.positions["BTC"]
    assert (-2.0, 100.1, 2 * TF) == (position.qty, position.entry_price, position.opened_ts)


def test_there_is_nothing_to_flip_when_flat():
    assert ["flat"] == [refusal.rule for refusal in calm()[0].flip("BTC").refusals]


def test_a_limit_is_not_filled_by_a_touch_but_by_a_trade_one_tick_through():
    broker, _ = calm()
    (order,) = broker.open("BTC", "long", 1.0, limit=99.9, stop_bps=50.0).orders
    assert ("LIMIT", 99.9) == (order.kind, order.price)
    broker.on_event(bar(2, (100.0, 100.0, 99.9, 100.0)))
    assert {} == broker.positions
    broker.on_event(bar(3, (100.0, 100.0, 99.8, 100.0)))
    assert 99.9 == broker.positions["BTC"].entry_price


def test_a_named_limit_is_rounded_away_from_the_market():
    broker, _ = calm()
    (order,) = broker.open("BTC", "short", 1.0, limit=100.54).orders
    assert 100.6 == order.price


def test_a_waiting_limit_expires_and_the_answer_names_it():
    broker, _ = calm(limit_bars=2.0)
    (order,) = broker.open("BTC", "long", 1.0, kind="LIMIT", limit=90.0).orders
    assert () == broker.on_event(bar(2)).cancels
    assert (order.id,) == broker.on_event(bar(3)).cancels


def test_stop_and_take_in_one_bar_is_the_stop():
    broker, journal = calm()
    broker.open("BTC", "long", 1.0, take_bps=25.0, stop_bps=20.0)
    broker.on_event(bar(2))
    broker.on_event(bar(3, (100.0, 101.0, 99.0, 100.0)))
    assert [("STOP_LOSS", 99.8)] == [(trade.exit_reason, trade.exit_price) for trade in journal.trades]


def test_a_post_only_order_that_would_cross_is_rejected():
    broker, _ = calm()
    broker.open("BTC", "long", 1.0, kind="POST_ONLY", limit=100.0)
    decision = broker.on_event(bar(2, (99.0, 99.0, 99.0, 99.0)))
    assert ["would_cross"] == [refusal.rule for refusal in decision.refusals]
    assert {} == broker.positions


def test_too_small_an_order_is_a_refusal_that_names_its_rule():
    broker, _ = calm()
    (refusal,) = broker.open("BTC", "long", 0.01).refusals
    assert ("min_notional", "BTC: min_notional=1<5") == (refusal.rule, refusal.reason)


def test_a_flip_whose_new_side_is_refused_still_closes():
    broker, journal = calm()
    broker.open("BTC", "long", 1.0)
    broker.on_event(bar(2))
    decision = broker.flip("BTC", 0.001)
    assert ["min_notional"] == [refusal.rule for refusal in decision.refusals]
    broker.on_event(bar(3))
    assert ["FLIP"] == [trade.exit_reason for trade in journal.trades]
    assert {} == broker.positions


def test_a_position_pays_funding_once_even_when_more_is_announced():
    broker, journal = calm()
    broker.open("BTC", "long", 1.0)
    broker.on_event(bar(2))
    broker.on_event(Funding("BTC", 3 * TF, 0.001))
    broker.on_event(bar(3))
    broker.on_event(Funding("BTC", 5 * TF, 0.002))
    broker.on_event(bar(4))
    broker.close("BTC")
    broker.on_event(bar(5))
    (trade,) = journal.trades
    assert 0.001 * 100.0 == trade.funding  # closed at the open of bar 5, before the second settlement


def test_apply_sends_cancels_and_closes_as_the_port_asks():
    broker, journal = calm()
    sent = broker.apply([Order(7, "BTC", TF, 1, 1.0, "LIMIT", 99.0)], [])
    (order,) = sent.orders
    assert ("LIMIT", 99.0) == (order.kind, order.price)
    assert (order.id,) == broker.apply([], [order.id]).cancels
    assert ["unknown_order"] == [refusal.rule for refusal in broker.apply([], [order.id]).refusals]
    broker.apply([Order("a", "BTC", TF, 1, 1.0)], [])
    broker.on_event(bar(2, (98.0, 98.0, 98.0, 98.0)))
    whole = Order("b", "BTC", 2 * TF, -1, 1.0, reduce_only=True)
    more = dataclasses.replace(whole, qty=1.5)
    assert ["reduce_only"] == [refusal.rule for refusal in broker.apply([more], []).refusals]
    broker.apply([whole], [])
    broker.on_event(bar(3, (98.0, 98.0, 98.0, 98.0)))
    assert ["EARLY_STOP"] == [trade.exit_reason for trade in journal.trades]
    assert ["CANCELLED", "FILLED", "FILLED"] == [STATUS_NAMES[row.status] for row in broker.drain().orders]


def test_orders_of_one_close_make_room_before_they_take_it():
    broker = PaperBroker([BTC, ETH], params=frictionless(max_positions=1))
    for k in (1, 2):
        for symbol in ("BTC", "ETH"):
            broker.on_event(bar(k, symbol=symbol))
        if k == 1:
            broker.open("ETH", "long", 1.0)
    entry, leave = (
        Order(1, "BTC", 2 * TF, -1, 1.0, "POST_ONLY", 100.5),
        Order(2, "ETH", 2 * TF, -1, 1.0, reduce_only=True),
    )
    decision = broker.apply([entry, leave], [])
    assert () == decision.refusals
    assert [("ETH", None), ("BTC", 100.5)] == [(order.symbol, order.price) for order in decision.orders]


def test_nobody_acts_inside_a_bar_that_is_not_over():
    broker = PaperBroker([BTC, ETH])
    for symbol in ("BTC", "ETH"):
        broker.on_event(bar(1, symbol=symbol))
    broker.on_event(bar(2, symbol="BTC"))
    assert ["no_bar"] == [refusal.rule for refusal in broker.open("ETH", "long").refusals]
    assert 1 == len(broker.open("BTC", "long").orders)
    broker.on_event(bar(2, symbol="ETH"))
    assert 1 == len(broker.open("ETH", "long").orders)


def test_what_is_open_at_the_last_bar_ends_with_the_data():
    broker, journal = calm()
    broker.open("BTC", "long", 1.0)
    broker.on_event(bar(2), last=True)
    assert ["END_OF_DATA"] == [trade.exit_reason for trade in journal.trades]


def test_every_closed_trade_stands_in_one_answer():
    bars, signals, funding = market(9, 150)
    journal = ListJournal()
    broker = PaperBroker([BTC, ETH, XRP], journal=journal)
    told = []
    answer, decide = broker.on_event, broker.decide
    broker.on_event = lambda event, last=False: told.extend(answer(event, last=last).closed)
    broker.decide = lambda signals: told.extend(decide(signals).closed)
    fed_bar_by_bar(broker, (BTC, ETH, XRP), bars, signals, funding)
    told.extend(decide([]).closed)
    assert told == journal.trades
    assert len({trade.trade_id for trade in told}) == len(told)


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (bar(1), "closes at or after"),
        (bar(2, symbol="DOGE"), "expected one of BTC, saw 'DOGE'"),
        (Bar("BTC", "1m", 2 * TF, 2 * TF, 1.0, 1.0, 1.0, 1.0, 1.0), "expected bars of 5m"),
        (Funding("BTC", TF, 0.0), "after its last bar"),
    ],
)
def test_an_event_out_of_place_is_an_error_that_says_why(event, says):
    with pytest.raises(ValueError, match=says):
        calm()[0].on_event(event)


def test_an_event_that_nothing_is_matched_with_is_an_error():
    with pytest.raises(
        TypeError, match="expected Bar, Trade, BookSnapshot, Quote, MarkPrice or Funding, saw BookInvalid"
    ):
        calm()[0].on_event(BookInvalid("BTC", TF, TF, "a gap"))


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (("DOGE", "long"), "expected one of BTC"),
        (("BTC", "up"), "expected long or short"),
        (("BTC", True), "expected long or short"),
        (("BTC", "long", math.nan), "qty: expected a finite number above 0"),
        (("BTC", "long", -1.0), "qty: expected a finite number above 0"),
    ],
)
def test_a_wish_that_cannot_be_meant_is_an_error(wish, says):
    with pytest.raises(ValueError, match=says):
        calm()[0].open(*wish)


def test_a_market_order_has_no_limit_and_a_kind_has_a_name():
    with pytest.raises(ValueError, match="name LIMIT or POST_ONLY"):
        calm()[0].open("BTC", "long", kind="MARKET", limit=99.0)
    with pytest.raises(ValueError, match="kind: expected MARKET, LIMIT or POST_ONLY"):
        calm()[0].open("BTC", "long", kind="STOP_MARKET")


def test_params_of_another_bar_length_are_refused():
    with pytest.raises(ValueError, match="expected tf_ns of 5m"):
        PaperBroker([BTC], params=default_params("1m"))
    with pytest.raises(ValueError, match="expected each symbol once"):
        PaperBroker([BTC, BTC])


async def test_paper_and_fakes_satisfy_the_ports():
    assert isinstance(PaperBroker([BTC]), Broker)
    assert isinstance(FakeBroker(), Broker)
    assert isinstance(ListFeed([]), Feed)
    assert [bar(1)] == [event async for event in ListFeed([bar(1)])]
    broker = FakeBroker()
    assert Decision(TF) == broker.on_event(bar(1))


# Between bars


def soon(k):
    """A time `k` thousandths of a bar after the first close."""
    return TF + k * TF // 1000


def print_(k, price, qty=1e6):
    return Trade("BTC", soon(k), soon(k + 1), price, qty, 1)


def quote(k, bid, ask):
    return Quote("BTC", soon(k), soon(k + 1), bid, 1.0, ask, 1.0)


def filled(decision):
    """(side, quantity, price, liquidity) of every fill of an answer."""
    return [(fill.side, fill.qty, fill.price, fill.liquidity) for fill in decision.fills]


def test_an_entry_fills_by_the_next_print_and_its_answer_has_the_fill():
    broker, _ = calm()
    (order,) = broker.open("BTC", "long", 2.0).orders
    (fill,) = broker.on_event(print_(100, 100.4)).fills
    assert (order.id, "ENTRY", 1, 2.0, 100.4, soon(100), soon(101), "taker", 100.4) == tuple(
        getattr(fill, name)
        for name in ("order_id", "role", "side", "qty", "price", "ts", "ts_recv", "liquidity", "reference")
    )
    position = broker.positions["BTC"]
    assert (2.0, 100.4, soon(100)) == (position.qty, position.entry_price, position.opened_ts)
    assert [("TAKE", None), ("STOP", position.stop)] == [(one.role, one.trigger) for one in broker.orders]


@pytest.mark.parametrize(
    ("event", "price"),
    [
        (BookSnapshot("BTC", soon(100), soon(101), ((100.1, 1.0),), ((100.3, 1.0),)), 100.3),
        (quote(100, 100.1, 100.3), 100.3),
        (print_(100, 100.2), 100.2),
    ],
)
def test_who_buys_pays_the_ask_or_the_print(event, price):
    broker, _ = calm(stop_bps=50.0)
    broker.open("BTC", "long", 2.0)
    decision = broker.on_event(event)
    assert [(1, 2.0, price, "taker")] == filled(decision)
    # marked at the mid, or the print
    assert pytest.approx((100.2 - price) * 2.0 - decision.fills[0].fee) == broker.open_pnl


@pytest.mark.parametrize(
    "event", [MarkPrice("BTC", soon(100), 101.0), BookSnapshot("BTC", soon(100), soon(101), ((100.1, 1.0),), ())]
)
def test_a_mark_or_a_book_without_asks_sells_nothing_to_us(event):
    broker, _ = calm()
    broker.open("BTC", "long", 2.0)
    assert [] == filled(broker.on_event(event))


def test_a_mark_price_moves_the_equity_and_fires_the_stop():
    broker, journal = calm(stop_bps=50.0)
    broker.open("BTC", "long", 2.0)
    (fill,) = broker.on_event(print_(100, 100.0)).fills
    broker.on_event(MarkPrice("BTC", soon(200), 100.2))
    assert pytest.approx(10_000.4 - fill.fee) == broker.equity
    decision = broker.on_event(MarkPrice("BTC", soon(300), 99.4))
    assert [("STOP_LOSS", 99.4, soon(300))] == [(t.exit_reason, t.exit_price, t.exit_time) for t in decision.closed]
    assert list(decision.closed) == journal.trades


def test_both_sides_rest_at_once_and_prints_through_them_fill_them_with_what_was_printed():
    broker, _ = calm()
    buy, sell = broker.apply(
        [Order("a", "BTC", TF, 1, 2.0, "LIMIT", 99.5), Order("b", "BTC", TF, -1, 2.0, "POST_ONLY", 100.5)]
    ).orders
    assert [] == filled(broker.on_event(quote(50, 99.8, 100.2)))
    assert [(1, 1.5, 99.5, "maker")] == filled(broker.on_event(print_(100, 99.4, 1.5)))
    assert [(buy.id, 0.5), (sell.id, 2.0)] == [(order.id, order.qty) for order in broker.orders]
    assert [(1, 0.5, 99.5, "maker")] == filled(broker.on_event(print_(200, 99.4, 9.0)))
    decision = broker.on_event(print_(300, 100.6, 9.0))
    assert [(-1, 2.0, 100.5, "maker")] == filled(decision)
    assert [("long", 2.0, 99.5, 100.5, "EARLY_STOP")] == [
        (t.side, t.qty, t.entry_price, t.exit_price, t.exit_reason) for t in decision.closed
    ]
    assert ((), {}) == (broker.orders, broker.positions)


def test_a_part_of_a_position_is_closed_and_the_rest_turned_round():
    broker, _ = calm(take_bps=300.0)
    broker.open("BTC", "long", 2.0)
    broker.on_event(print_(100, 100.0))
    broker.close("BTC", 0.5)
    assert [(-1, 0.5, 101.0, "taker")] == filled(broker.on_event(print_(200, 101.0)))
    assert 1.5 == broker.positions["BTC"].qty
    broker.apply([Order("a", "BTC", soon(200), -1, 2.0)])
    decision = broker.on_event(print_(300, 100.0))
    assert [(-1, 1.5, 100.0, "taker"), (-1, 0.5, 100.0, "taker")] == filled(decision)
    assert ["FLIP"] == [trade.exit_reason for trade in decision.closed]
    position = broker.positions["BTC"]
    assert (-0.5, None, None) == (position.qty, position.stop, position.take)


def test_a_replaced_order_keeps_its_id_and_has_another_price_and_quantity():
    broker, _ = calm()
    (order,) = broker.apply([Order("a", "BTC", TF, 1, 2.0, "LIMIT", 99.0)]).orders
    (changed,) = broker.replace(order.id, qty=1.0, price=99.55).orders
    assert (order.id, 1.0, 99.5) == (changed.id, changed.qty, changed.price)
    broker.on_event(quote(50, 99.8, 100.2))
    assert [(1, 1.0, 99.5, "maker")] == filled(broker.on_event(print_(100, 99.4)))


@pytest.mark.parametrize(("side", "trigger"), [(1, 100.6), (-1, 99.4)])
def test_a_trigger_is_rounded_away_from_the_market_when_it_is_named_and_when_it_is_changed(side, trigger):
    broker, _ = calm()
    near = 100.0 + side * 0.54
    (order,) = broker.apply([Order("a", "BTC", TF, side, 2.0, "STOP_MARKET", trigger=near)]).orders
    (changed,) = broker.replace(order.id, price=near).orders
    assert (trigger, trigger) == (order.trigger, changed.trigger)


def test_an_event_that_comes_late_is_passed_over_and_counted():
    broker, _ = calm()
    broker.on_event(print_(200, 100.0))
    broker.open("BTC", "long", 2.0)
    assert [] == filled(broker.on_event(print_(100, 90.0)))
    assert 1 == broker.late
    assert [(1, 2.0, 100.0, "taker")] == filled(broker.on_event(print_(200, 100.0)))


@pytest.mark.parametrize("limits", [False, True])
def test_an_entry_at_a_named_price_is_as_large_as_one_at_the_usual_price(limits):
    settings = Settings.model_validate({"risk": {"limits": limits}, "execution": {"entry": "post_only"}})
    found = []
    for terms in ({}, {"limit": 99.9}):
        broker = PaperBroker([BTC], params=params_of(settings, TF))
        broker.on_event(bar(1))
        (order,) = broker.open("BTC", "long", **terms).orders
        found.append((order.price, order.qty))
    assert found[0] == found[1]


def test_an_entry_whose_named_price_is_refused_is_not_sent_at_another():
    broker, _ = calm(limits=1, max_net=0.001)
    decision = broker.open("BTC", "short", 0.1, limit=300.0)  # worth 10 at the mark; 30 would be too much
    assert ((), ["min_notional"]) == (decision.orders, [refusal.rule for refusal in decision.refusals])
    assert () == broker.orders


def test_an_order_is_made_larger_only_where_a_new_one_could_be_sent():
    broker, _ = calm(limits=1, max_spread_bps=30.0)
    (order,) = broker.apply([Order("a", "BTC", TF, 1, 2.0, "LIMIT", 99.0)]).orders
    broker.on_event(quote(50, 99.6, 100.2))
    (refused,) = broker.replace(order.id, qty=3.0).refusals
    assert ("max_spread_bps", 2.0) == (refused.rule, broker.orders[0].qty)
    (smaller,) = broker.replace(order.id, qty=1.0).orders
    assert 1.0 == smaller.qty


def test_an_entry_of_any_kind_by_a_signal_that_tells_no_edge_rests_in_simulations_and_is_refused_live():
    auto = {"entry_kind": AUTO, "limit_bars": 3.0}
    (order,) = calm(**auto)[0].open("BTC", "long").orders
    assert "POST_ONLY" == order.kind
    (refused,) = calm(nan_refuses=1, **auto)[0].open("BTC", "long").refusals
    assert "no_edge" == refused.rule
