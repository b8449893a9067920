import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.rest import checks as check
from ingest.rest.checks import Span
from ingest.rest.retry import BadVenueData, IncompleteCandles
from utils.rows import MS_PER_HOUR, MS_PER_WEEK

T0 = 1_735_689_600_000  # 2025-01-01
MIN = 60_000
SPAN = Span(T0, T0 + 5 * MIN, MIN)
NOW = T0 + 60 * MIN


def rows(n: int = 5, **changed) -> list[list]:
    """Five candles as Binance writes them; `r2_4="NaN"` puts it into row 2, column 4."""
    found: list[list] = [[T0 + i * MIN, "10", "12", "9", "11", "3.5", "1.5"] for i in range(n)]
    for place, value in changed.items():
        row, column = place[1:].split("_")
        found[int(row)][int(column)] = value
    return found


def test_legal_candles_pass_as_they_are():
    table = check.candles(rows(), SPAN, NOW)
    assert [T0 + 4 * MIN, 10.0, 12.0, 9.0, 11.0, 3.5, 1.5] == table[-1].tolist()


def test_rows_without_taker_volume_have_none():
    assert np.isnan(check.candles([row[:6] for row in rows()], SPAN, NOW)[:, check.TAKER_BUY]).all()


def test_quiet_candles_are_legal():
    quiet = {f"r2_{column}": "10" for column in range(1, 5)} | {"r2_5": "0", "r2_6": "0"}
    assert 0.0 == check.candles(rows(**quiet), SPAN, NOW)[2, check.VOLUME]


@pytest.mark.parametrize(
    "changed",
    [
        {"r2_4": "NaN"},
        {"r2_4": "Infinity"},
        {"r2_4": "1e400"},
        {"r2_4": 10**400},
        {"r2_4": ""},
        {"r2_4": None},
        {"r2_4": "1,5"},
        {"r2_4": True},
        {"r2_4": []},
        {"r2_1": "-1"},
        {"r2_1": "0"},
        {"r2_5": "-0.1"},
        {"r2_3": "13"},  # low above high
        {"r2_2": "10.5"},  # close above high
        {"r2_3": "10.5"},  # open below low
        {"r2_6": "3.6"},  # more bought than traded
        {"r2_6": "-1"},
        {"r2_0": 0},
        {"r2_0": (T0 + 2 * MIN) // 1000},
        {"r2_0": (T0 + 2 * MIN) * 1000},
        {"r2_0": "NaN"},
        {"r2_0": T0 + 2 * MIN + 1},  # off the grid
        {"r2_0": T0 + MIN},  # twice
        {"r2_0": T0 + 4 * MIN},  # unsorted
        {"r0_0": T0 - MIN},  # not asked for
        {"r4_0": T0 + 5 * MIN},
        {"r4_0": T0 + 90 * MIN},  # has not begun
    ],
)
def test_candles_that_no_exchange_could_have_printed_are_refused(changed):
    with pytest.raises(BadVenueData) as refused:
        check.candles(rows(**changed), SPAN, NOW)
    assert not isinstance(refused.value, IncompleteCandles)


@pytest.mark.parametrize("body", ["<html>", "", None, {}, 5, [[]], ["a"], [[1, 2]], [None], [[T0, "1"]], rows(5)[0]])
def test_what_is_no_list_of_candles_is_refused(body):
    with pytest.raises(BadVenueData):
        check.candles(body, SPAN, NOW)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=30,
    )
)
def test_any_json_is_refused_with_a_sentence(body):
    for look in (
        lambda: check.candles(body, SPAN, NOW),
        lambda: check.book(body, body),
        lambda: check.trades(body, "BTC/USDT:USDT", NOW, 10.0),
        lambda: check.markets(body),
        lambda: check.time_ms(body),
    ):
        with pytest.raises(BadVenueData):
            look()


def test_the_forming_candle_is_dropped_by_its_time():
    now = T0 + 4 * MIN + 59_999
    closed = check.candles(rows(), Span(T0, T0 + 4 * MIN, MIN), now)
    assert T0 + 3 * MIN == closed[-1, check.TIME]


def test_a_candle_is_closed_at_the_very_end_of_its_minute():
    assert 5 == len(check.candles(rows(), SPAN, T0 + 5 * MIN))


def test_missing_candles_are_named_and_what_came_is_kept():
    some = [row for i, row in enumerate(rows()) if i not in {0, 2, 3}]
    with pytest.raises(IncompleteCandles, match="missing candles: 1 from 2025-01-01T00:00Z, 2 from") as lost:
        check.candles(some, SPAN, NOW)
    assert ([(T0, 1), (T0 + 2 * MIN, 2)], 2) == (lost.value.missing, len(lost.value.rows))


def test_no_candle_at_all_is_all_of_them_missing():
    with pytest.raises(IncompleteCandles) as lost:
        check.candles([], SPAN, NOW)
    assert [(T0, 5)] == lost.value.missing


def test_weeks_begin_on_monday():
    monday = 1_735_516_800_000  # 2024-12-30
    seen = [check.floor_to_grid(T0, MS_PER_WEEK), check.ceil_to_grid(monday, MS_PER_WEEK)]
    assert [monday, monday] == seen


@given(st.integers(check.FIRST_MS, check.LAST_MS), st.sampled_from([MIN, 5 * MIN, MS_PER_HOUR, MS_PER_WEEK]))
def test_a_time_lies_between_its_floor_and_its_ceiling(ms, tf):
    floor, ceiling = check.floor_to_grid(ms, tf), check.ceil_to_grid(ms, tf)
    assert floor <= ms <= ceiling
    assert ceiling - floor in {0, tf}


BIDS, ASKS = [[10.0, 1.0], [9.5, 2.0]], [[10.5, 1.0], [11.0, 2.0]]


def test_a_legal_book_passes():
    check.book(BIDS, ASKS)
    check.book([["10.0", "1", 177], ["9.5", "2", 178]], ASKS)


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([], ASKS),
        (BIDS, []),
        (BIDS, None),
        ("b", "a"),
        (BIDS, [[10.0, 1.0]]),  # locked
        (BIDS, [[9.9, 1.0]]),  # crossed
        (BIDS[::-1], ASKS),
        (BIDS, ASKS[::-1]),
        ([BIDS[0], BIDS[0]], ASKS),
        ([["NaN", 1.0]], ASKS),
        ([[10.0, "Infinity"]], ASKS),
        ([[10.0, 0.0]], ASKS),
        ([[-10.0, 1.0]], ASKS),
        ([[10.0]], ASKS),
        ([10.0, 1.0], ASKS),
        ([{"price": 10.0}], ASKS),
    ],
)
def test_what_is_no_book_is_refused(bids, asks):
    with pytest.raises(BadVenueData):
        check.book(bids, asks)


@pytest.mark.parametrize("off_s", [-10.1, 10.1, 90.0, -90.0])
def test_a_time_too_far_from_now_is_refused(off_s):
    with pytest.raises(BadVenueData, match="last 10 s"):
        check.recent(NOW + int(1000 * off_s), NOW, 10.0, "book time")


def test_a_time_close_to_now_passes():
    assert NOW - 9_000 == check.recent(str(NOW - 9_000), NOW, 10.0, "book time")


def trade(**changed) -> dict:
    usual = {"info": {}, "symbol": "S", "id": "1", "side": "buy", "price": 10.0, "amount": 1.0, "timestamp": T0}
    return usual | changed


def test_legal_trades_pass():
    check.trades(
        [trade(), trade(id="2", side="sell", timestamp=T0 + 1), trade(id=None, timestamp=T0 + 1)], "S", NOW, 10
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"info": "<"},  # ccxt makes a trade of each letter of an HTML page
        {"info": None},
        {"symbol": "OTHER"},
        {"side": None},
        {"price": None},
        {"price": 0.0},
        {"amount": -1.0},
        {"timestamp": None},
        {"timestamp": T0 - 1},  # before the trade before it
        {"timestamp": NOW + 11_000},
        {"id": "1"},  # twice
    ],
)
def test_what_is_no_trade_is_refused(changed):
    with pytest.raises(BadVenueData):
        check.trades([trade(), trade(**{"id": "2"} | changed)], "S", NOW, 10.0)


def test_no_trades_at_all_are_refused():
    with pytest.raises(BadVenueData):
        check.trades([], "S", NOW, 10.0)


HOUR = MS_PER_HOUR


def settled(*pairs) -> list[dict]:
    return [{"symbol": "S", "timestamp": stamp, "fundingRate": rate} for stamp, rate in pairs]


def test_settlements_inside_the_period_are_kept():
    found = check.funding(settled((T0, 1e-4), (T0 + 8 * HOUR, -2e-4)), T0, T0 + 8 * HOUR, "S")
    assert [(T0, 1e-4)] == found


@pytest.mark.parametrize(
    "body",
    [
        "<html>",
        settled((T0, "NaN")),
        settled((T0, 1.0)),
        settled((T0, None)),
        settled((None, 1e-4)),
        settled((T0 - 2 * HOUR, 1e-4)),
        settled((T0 + 80 * HOUR, 1e-4)),
        settled((T0 + 8 * HOUR, 1e-4), (T0, 1e-4)),
        settled((T0, 1e-4), (T0, 1e-4)),
        [{"symbol": "OTHER", "timestamp": T0, "fundingRate": 1e-4}],
    ],
)
def test_what_is_no_history_of_funding_is_refused(body):
    with pytest.raises(BadVenueData):
        check.funding(body, T0, T0 + 40 * HOUR, "S")


@pytest.mark.parametrize("body", [{}, {"": {"id": "x"}}, {"A": {}}, {"A": {"id": None}}, {"A": None}, [], None])
def test_what_are_no_markets_is_refused(body):
    with pytest.raises(BadVenueData):
        check.markets(body)


def test_numbers_may_be_text():
    assert [1.5, -2.0] == [check.number(value, "x") for value in json.loads('["1.5", -2]')]


@pytest.mark.parametrize("value", [None, ""])
def test_what_an_exchange_does_not_say_is_none(value):
    assert check.maybe(value, "x") is None


@pytest.mark.parametrize(
    ("value", "positive", "from_0"), [(None, True, True), ("0.5", True, True), (0, False, True), ("-0.1", False, False)]
)
def test_a_number_that_must_not_be_below_or_at_nought_is_refused(value, positive, from_0):
    for ask, legal in ((check.maybe_positive, positive), (check.maybe_from_0, from_0)):
        if legal:
            assert ask(value, "tick") == (None if value is None else float(value))
        else:
            with pytest.raises(BadVenueData, match="tick: expected a number"):
                ask(value, "tick")
