"""What users hold, made rows: every form gives the same rows, and what is wrong is refused with its number."""

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.orderflow import spread_bps
from features.rows.book import BAND_BPS, BOOK_EVENT
from features.rows.tape import PRINT, QUOTE
from features.rows.trades import TRADE_EVENT
from features.rows.users import book_rows, quote_rows, tape_rows, top_of, trade_rows
from utils.errors import DataError
from utils.market.book import ASKS, BIDS
from utils.market.sides import sides
from utils.types import BookSnapshot, Quote, Trade

MS = 1_000_000
T0 = 1_700_000_000_000
#: (ms, side, price, qty), the side of the third told by nobody.
PRINTS = [(T0, "buy", 100.0, 1.0), (T0 + 5, "sell", 99.5, 2.0), (T0 + 5, None, 100.0, 0.5), (T0 + 9, "sell", 99.0, 4.0)]
CCXT = [
    {"id": str(n), "timestamp": ms, "side": side, "price": price, "amount": qty, "symbol": "BTC/USDT", "info": {}}
    for n, (ms, side, price, qty) in enumerate(PRINTS)
]
FRAME = pd.DataFrame(CCXT)[["timestamp", "side", "price", "amount"]]
WHEN = pd.to_datetime(FRAME["timestamp"], unit="ms")
FORMS = {
    "ccxt": CCXT,
    "generator": (trade for trade in CCXT),
    "frame": FRAME,
    "frame by another index": FRAME.set_index(np.array([9, 8, 7, 6])),
    "ns": pd.DataFrame(
        {"ts": FRAME["timestamp"] * MS, "side": [1, -1, 0, -1], "price": FRAME["price"], "qty": 1.0}
    ).assign(qty=FRAME["amount"]),
    "datetimes": FRAME.assign(timestamp=WHEN),
    "datetimes of a zone": FRAME.assign(timestamp=WHEN.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")),
    "datetimes of Python": [
        trade | {"timestamp": dt.datetime.fromtimestamp(trade["timestamp"] / 1000, dt.UTC)} for trade in CCXT
    ],
    "seconds": FRAME.assign(timestamp=FRAME["timestamp"] / 1000),
    "microseconds": FRAME.assign(timestamp=FRAME["timestamp"] * 1000),
    "dates": FRAME.assign(timestamp=WHEN.astype(str)),
    "text": FRAME.assign(price=FRAME["price"].astype(str), side=["Buy", "SELL", None, "sell"]),
    "floats": FRAME.astype({"timestamp": float}),
    "objects": FRAME.astype(object),
    "timestamps of pandas": FRAME.assign(timestamp=[*WHEN]).astype({"timestamp": object}),
    "twice": [*CCXT, CCXT[1] | {"info": {"again": True}}],
    "late": [CCXT[3], *CCXT[:3]],
    "rows": trade_rows(CCXT),
}


@pytest.mark.parametrize("trades", FORMS.values(), ids=FORMS)
def test_each_form_of_trades_gives_the_same_rows(trades):
    rows = trade_rows(trades)
    assert rows.dtype == TRADE_EVENT
    assert [ms * MS for ms, *_ in PRINTS] == rows["ts"].tolist()
    assert [1, -1, 1, -1] == rows["side"].tolist()
    assert [100.0, 99.5, 100.0, 99.0] == rows["price"].tolist()
    assert [1.0, 2.0, 0.5, 4.0] == rows["qty"].tolist()
    assert [1, 0, 0, 0] == rows["fresh"].tolist()
    assert [0, 0, 0, 0] == rows["sym"].tolist()


def test_nouns_become_rows():
    nouns = [Trade("BTCUSDT", 7 * n, 7 * n, 100.0 + n, 2.0, -1) for n in range(3)]
    rows = trade_rows(nouns)
    assert [(0, -1, 100.0), (7, -1, 101.0), (14, -1, 102.0)] == rows[["ts", "side", "price"]].tolist()


@pytest.mark.parametrize("none", [[], FRAME.iloc[:0], np.empty(0, TRADE_EVENT)])
def test_no_trades_are_no_rows(none):
    assert 0 == len(trade_rows(none))


def test_no_books_and_no_quotes_are_no_rows():
    assert [0, 0, 0] == [len(rows) for rows in (book_rows([]), quote_rows([]), tape_rows([], []))]


def test_the_tick_rule_gives_an_unknown_side_that_of_the_last_change_of_price():
    prices = [100.0, 100.0, 101.0, 101.0, 100.5, 100.5, 102.0]
    trades = [{"timestamp": T0 + n, "side": None, "price": price, "amount": 1.0} for n, price in enumerate(prices)]
    assert [0, 0, 1, 1, -1, -1, 1] == trade_rows(trades)["side"].tolist()


def test_a_side_that_is_told_stands_against_the_tick_rule_and_its_price_still_counts():
    trades = [CCXT[0], CCXT[1] | {"side": "buy"}, CCXT[2] | {"price": 99.5}]
    assert [1, 1, -1] == trade_rows(trades)["side"].tolist()


def changed(row, **change):
    return [*CCXT[:row], CCXT[row] | change, *CCXT[row + 1 :]]


@pytest.mark.parametrize(
    ("trades", "sentence"),
    [
        (changed(2, price=math.nan), "row 2: price: expected a finite number above 0, saw nan"),
        (changed(2, price=-1.0), "row 2: price: .* saw -1"),
        (changed(1, price="dear"), "row 1: price: .* saw dear"),
        (changed(1, amount=0.0), "row 1: amount: .* saw 0"),
        (changed(1, amount=None), "row 1: amount"),
        (changed(3, amount=math.inf), "row 3: amount: .* saw inf"),
        (changed(3, side="long"), "row 3: side: .* saw 'long'"),
        (changed(0, side=2), "row 0: side: .* saw 2"),
        (changed(0, side=True), "row 0: side: .* saw True"),
        (changed(1, timestamp=None), "row 1: timestamp: expected a time"),
        (changed(1, timestamp=-5), "row 1: timestamp: .* saw -5"),
        (changed(1, timestamp=T0 * 1000), "row 1: timestamp: expected a time .* in ms since 1970, saw 17"),
        (
            changed(1, timestamp=T0 // 1000),
            "row 1: timestamp: expected .*, in ms since 1970, saw 1700000000; .* one unit",
        ),
        (changed(0, timestamp=0), "row 0: timestamp: expected a time as date or as s, ms, us or ns .*, saw 0"),
        (changed(1, symbol="ETH/USDT"), "row 1: symbol: expected 'BTC/USDT' only"),
        (changed(2, id="0"), "row 2: id: expected one id for each trade"),
        ([*CCXT[:2], {"price": 1.0}], "row 2: expected 'timestamp'"),
        ([*CCXT[:2], 5], "row 2: expected dicts"),
        (FRAME.assign(timestamp="noon"), "row 0: timestamp: expected a time, saw 'noon'; no row of this column"),
        (FRAME.assign(timestamp=True), "row 0: timestamp"),
        (
            FRAME.assign(timestamp=WHEN - pd.Timedelta(days=30_000)),
            "row 0: timestamp: expected a time in the years 2000-2100",
        ),
        (
            changed(2, timestamp=dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
            "row 2: timestamp: expected a time, saw datetime",
        ),
        (FRAME.drop(columns="side"), "expected 'side', .* tick rule"),
        (FRAME.drop(columns="price"), "expected 'price'"),
        (FRAME.drop(columns="timestamp"), "expected 'ts'"),
        (FRAME.drop(columns="amount"), "expected 'qty'"),
        (pd.concat([FRAME, FRAME], axis=1), "'timestamp' twice"),
        (FRAME.assign(price=WHEN), "row 0: price: expected a finite number above 0, saw Timestamp"),
        (FRAME.assign(price=True), "row 0: price: .* saw (np.)?True"),
        (FRAME.assign(price=1j), "row 0: price"),
        (FRAME.assign(timestamp=1j), "row 0: timestamp"),
        (changed(2, side=["buy"]), r"row 2: side: expected a word or number, saw \['buy'\]"),
        (changed(1, id={"a": 1}), "row 1: id: expected a word or number"),
        (changed(3, symbol=[]), "row 3: symbol: expected a word or number"),
        (
            FRAME.assign(timestamp=np.datetime64("3000-01-01", "s")),
            "row 0: timestamp: expected a time in the years 2000-2100, saw 3000",
        ),
        (
            FRAME.assign(timestamp=pd.Series([WHEN[0].to_pydatetime(), 5, WHEN[0], WHEN[0]], dtype=object)),
            "row 1: timestamp: expected a time, saw 5",
        ),
        (CCXT[0], "sequence"),
        ("trades", "sequence"),
        (None, "sequence"),
        (5, "sequence"),
    ],
)
def test_trades_that_are_wrong_are_refused_with_their_row(trades, sentence):
    with pytest.raises(DataError, match=sentence):
        trade_rows(trades)


def test_trades_without_an_id_are_all_kept():
    assert 4 == len(trade_rows([trade | {"id": None} for trade in CCXT]))


BIDS_OF = [[100.0, 10.0], [99.99, 20.0], [99.97, 5.0], [99.0, 50.0]]
ASKS_OF = [[100.01, 6.0], [100.05, 4.0], [101.0, 30.0]]
LEVELS = tuple(map(tuple, BIDS_OF)), tuple(map(tuple, ASKS_OF))
BOOKS = {
    "ccxt": {"bids": BIDS_OF, "asks": ASKS_OF, "timestamp": T0, "nonce": 1},
    "snapshot": BookSnapshot("BTCUSDT", T0 * MS, T0 * MS, *LEVELS),
}


@pytest.mark.parametrize("book", BOOKS.values(), ids=BOOKS)
def test_each_form_of_a_book_gives_the_same_row(book):
    rows = book_rows([book, book])
    assert rows.dtype == BOOK_EVENT
    assert [T0 * MS, T0 * MS] == rows["ts"].tolist()
    assert [1, 0] == rows["fresh"].tolist()
    assert [100.0, 99.99, 99.97, 99.0] == rows["prices"][1, BIDS, :4].tolist()
    assert [6.0, 4.0, 30.0, 0.0] == rows["qtys"][1, ASKS, :4].tolist()
    assert np.isnan(rows["prices"][1, ASKS, 3:]).all()


def test_pairs_take_their_times_from_beside_them():
    rows = book_rows([LEVELS, LEVELS], times=[T0, T0 + 9])
    assert [T0 * MS, (T0 + 9) * MS] == rows["ts"].tolist()
    assert [0, 0] == book_rows([LEVELS, LEVELS])["ts"].tolist()


def test_rows_stay_as_they_are_and_one_of_them_is_a_book():
    rows = book_rows([BOOKS["ccxt"]])
    assert book_rows(rows) is rows
    assert rows.tobytes() == book_rows([rows[0]]).tobytes()
    assert spread_bps(BOOKS["ccxt"]) == spread_bps(rows[0]) == spread_bps(rows) == spread_bps(top_of(rows))


def test_quantities_near_the_mid_are_those_within_the_band_of_all_levels_given():
    bids = [[100.0 - 0.001 * n, 1.0] for n in range(100)]
    row = book_rows([{"bids": bids, "asks": ASKS_OF}])[0]
    mid = 0.5 * (100.0 + 100.01)
    within = sum(abs(price - mid) <= BAND_BPS * 1e-4 * mid for price, _ in bids)
    assert (float(within), 10.0) == tuple(row["near"])
    assert 10 < within < 100


def test_an_empty_side_has_no_levels_and_nothing_is_near():
    row = book_rows([{"bids": [], "asks": ASKS_OF}])[0]
    assert np.isnan(row["prices"][BIDS]).all()
    assert [0.0, 0.0] == row["near"].tolist()


@pytest.mark.parametrize(
    ("books", "sentence"),
    [
        ([BOOKS["ccxt"], BOOKS["ccxt"] | {"bids": [[100.01, 1.0]]}], "row 1: book: expected the best bid below"),
        ([BOOKS["ccxt"], BOOKS["ccxt"] | {"bids": BIDS_OF[::-1]}], "row 1: book: expected levels best first"),
        ([BOOKS["ccxt"], BOOKS["ccxt"] | {"bids": [[math.nan, 1.0]]}], "row 1: bids: expected finite"),
        ([BOOKS["ccxt"], BOOKS["ccxt"] | {"timestamp": None}], "row 1: timestamp: expected a time"),
        ([BOOKS["ccxt"], BOOKS["ccxt"] | {"timestamp": T0 - 1}], "row 1: time: expected one not before"),
        ([BOOKS["ccxt"], BOOKS["snapshot"]], "row 1: book: expected one like those before"),
        (BOOKS["ccxt"], "sequence"),
        (None, "sequence"),
    ],
)
def test_books_that_are_wrong_are_refused_with_their_row(books, sentence):
    with pytest.raises(DataError, match=sentence):
        book_rows(books)


def test_as_many_times_as_books_are_wanted():
    with pytest.raises(DataError, match="a time for each of 2 books, saw 1"):
        book_rows([LEVELS, LEVELS], times=[T0])


QUOTES = pd.DataFrame(
    {"ts": [T0 + 10, T0 + 20, T0 + 30], "bid": [100.0, 100.5, math.nan], "ask": [101.0, 101.5, 102.0]}
)


def test_quotes_of_a_frame_and_of_books_are_the_same_rows():
    books = [([[99.0, 1.0]], [[100.0, 2.0]]), ([[99.5, 3.0]], [])]
    frame = pd.DataFrame({"ts": [T0 + 1, T0 + 2], "bid": [99.0, 99.5], "ask": [100.0, None], "bid_qty": [1.0, 3.0]})
    names = ["ts", "fresh", "bid", "ask", "bid_qty"]
    frame_rows, rows = quote_rows(frame), quote_rows(book_rows(books, times=[T0 + 1, T0 + 2]))
    assert all(np.array_equal(frame_rows[name], rows[name], equal_nan=True) for name in names)
    assert np.isnan(frame_rows["ask_qty"]).all()
    assert [2.0, math.nan] == pytest.approx(rows["ask_qty"].tolist(), nan_ok=True)
    assert quote_rows(rows) is rows


def test_quotes_of_nouns_dicts_and_a_frame_are_the_same_rows():
    nouns = [Quote("BTCUSDT", (T0 + n) * MS, (T0 + n) * MS, 99.0 + n, 1.0, 100.0 + n, 2.0) for n in range(3)]
    dicts = [{"ts": T0 + n, "bid": 99.0 + n, "ask": 100.0 + n, "bid_qty": 1.0, "ask_qty": 2.0} for n in range(3)]
    assert {quote_rows(nouns).tobytes()} == {quote_rows(form).tobytes() for form in (dicts, pd.DataFrame(dicts))}


@pytest.mark.parametrize(
    ("quotes", "sentence"),
    [
        (QUOTES.assign(bid=[100.0, 101.5, 99.0]), "row 1: bid: expected a price below the ask 101.5, saw 101.5"),
        (QUOTES.assign(ask=[101.0, -1.0, 99.0]), "row 1: ask: .* saw -1"),
        (QUOTES.assign(bid=["x", 1.0, 99.0]), "row 0: bid: .* saw x"),
        (QUOTES.drop(columns="bid"), "expected 'bid'"),
        (QUOTES.drop(columns="ts"), "expected 'ts'"),
    ],
)
def test_quotes_that_are_wrong_are_refused_with_their_row(quotes, sentence):
    with pytest.raises(DataError, match=sentence):
        quote_rows(quotes)


def test_on_the_tape_a_trade_comes_before_the_quotes_of_its_moment():
    trades = pd.DataFrame({"ts": [T0 + 20, T0 + 15, T0 + 20], "side": 1, "price": [101.0, 101.0, 101.5], "qty": 1.0})
    rows = tape_rows(QUOTES, trades)
    assert [QUOTE, PRINT, PRINT, PRINT, QUOTE, QUOTE] == rows["kind"].tolist()
    assert [10, 15, 20, 20, 20, 30] == (rows["ts"] // MS - T0).tolist()
    assert [101.0, 101.0, 101.5] == rows["price"][1:4].tolist()
    assert [1, 0, 0, 0, 0, 0] == rows["fresh"].tolist()
    assert [True, False, False, False, True, True] == np.isnan(rows["price"]).tolist()


def test_measures_of_one_market_refuse_rows_of_several():
    rows = np.concatenate([trade_rows(CCXT), trade_rows(CCXT)])
    rows["sym"][4:] = 1
    books = book_rows([LEVELS, LEVELS])
    books["sym"][1] = 2
    with pytest.raises(DataError, match="trades, row 4: sym: expected 0"):
        tape_rows(QUOTES, rows)
    with pytest.raises(DataError, match="books, row 1: sym: expected 0"):
        quote_rows(books)


@given(
    st.lists(st.tuples(st.integers(T0, T0 + 3), st.sampled_from([1, -1]), st.integers(1, 9)), min_size=1), st.randoms()
)
def test_trades_of_known_sides_may_come_in_any_order_within_a_moment(prints, dice):
    def counted(order):
        frame = pd.DataFrame(order, columns=["ts", "side", "price"]).assign(qty=1.0)
        return sorted(trade_rows(frame)[["ts", "side", "price"]].tolist())

    shuffled = list(prints)
    dice.shuffle(shuffled)
    assert counted(prints) == counted(shuffled)
    assert counted(prints) == sorted((ts * MS, side, float(price)) for ts, side, price in prints)


SIDE = st.lists(st.tuples(st.integers(1, 50), st.floats(0.01, 1e6)), max_size=15, unique_by=lambda level: level[0])


@given(SIDE, SIDE)
def test_a_book_that_was_read_is_sorted_and_what_is_near_is_part_of_it(below, above):
    bids = [[100.0 - 0.01 * step, qty] for step, qty in sorted(below)]
    asks = [[100.0 + 0.01 * step, qty] for step, qty in sorted(above)]
    read = sides((bids, asks))
    row = book_rows([(bids, asks)])[0]
    for side, levels in enumerate(read):
        seen = row["prices"][side][~np.isnan(row["prices"][side])]
        assert levels[:10, 0].tolist() == seen.tolist()
        assert 0.0 <= row["near"][side] <= levels[:, 1].sum() * (1.0 + 1e-12)
