import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from ingest.files.candles import load_candles
from ingest.prices import Period, get_ohlcv, when_ms
from ingest.replay_server import Fault
from ingest.rest.cache import TimedCache
from ingest.rest.checks import Span
from ingest.rest.venue import close_venues
from tests.boxes import PATIENCE_S
from tests.ingest.rest.support import QUICK, VENUES, paths, rest_box, unthrottled
from utils.errors import ConfigError, DataUnavailable

both = pytest.mark.parametrize("exchange", VENUES)
MIN = 60_000
T0 = 1_735_689_600_000  # 2025-01-01


@pytest.fixture(scope="module")
def standing():
    with rest_box(history_hours=36.0) as box:
        yield box


@pytest.fixture
def box(standing):
    left_s = 60.0 - time.time() % 60.0
    if left_s < 8.0:  # a candle that closes between the question and the look at the truth is in one of them only
        time.sleep(left_s + 0.2)
    yield unthrottled(standing)
    standing.clear_faults()


def ask(box, exchange, tf="1m", limit=20, **more) -> pd.DataFrame:
    usual = {"endpoints": box.endpoints, "settings": QUICK, "fresh": True}
    return get_ohlcv("BTCUSDT", tf, exchange, limit=limit, **usual | more)


def truth(box, tf="1m") -> dict[int, tuple]:
    """The box's closed candles by open, ms."""
    found = box.candles("BTCUSDT", tf)[:-1]
    return {c.open_ms: (c.open, c.high, c.low, c.close, c.volume, c.taker_buy_volume) for c in found}


def seen(frame) -> dict[int, tuple]:
    """A frame's candles by open, ms."""
    stamps = frame["timestamp"].dt.as_unit("ms").astype("int64")
    return dict(zip(stamps, frame.drop(columns="timestamp").itertuples(index=False, name=None), strict=True))


# --- what comes


@both
@pytest.mark.parametrize(("tf", "limit"), [("1m", 20), ("5m", 100), ("1h", 30)])
def test_candles_are_the_last_closed_ones_of_the_market(box, exchange, tf, limit):
    frame = ask(box, exchange, tf, limit)
    width = 6 if exchange == "binance" else 5
    expected = {open_ms: row[:width] for open_ms, row in list(truth(box, tf).items())[-limit:]}
    assert expected == seen(frame)


@both
def test_two_thousand_come_in_pages_one_after_the_other(box, exchange):
    before = len(paths(box, "kline"))
    frame = ask(box, exchange, limit=2000)
    steps = np.diff(frame["timestamp"].to_numpy()).astype("m8[ms]").astype("int64")
    assert (2000, {MIN}, 2) == (len(frame), set(steps.tolist()), len(paths(box, "kline")) - before)
    assert list(seen(frame)) == list(truth(box))[-2000:]


def test_binance_tells_taker_volume_and_bybit_does_not(box):
    columns = ["timestamp", "open", "high", "low", "close", "volume"]
    assert [*columns, "taker_buy_volume"] == list(ask(box, "binance").columns)
    assert columns == list(ask(box, "bybit").columns)


@both
def test_a_frame_goes_into_the_loader_as_it_is(box, exchange):
    frame = ask(box, exchange, "5m", 50)
    candles = load_candles(frame, symbol="BTCUSDT", tf="5m")
    assert (50, "5m", ()) == (len(candles.rows), candles.tf, candles.gaps)
    assert candles.rows["ts"][-1] == 1_000_000 * (list(seen(frame))[-1] + 5 * MIN)
    assert "datetime64[ms]" == str(frame["timestamp"].dtype)


@both
def test_a_frame_says_what_it_is(box, exchange):
    attrs = ask(box, exchange).attrs
    market = {"binance": "binance_usdm", "bybit": "bybit_linear"}[exchange]
    said = {"symbol": "BTCUSDT", "tf": "1m", "exchange": exchange, "market": market, "gaps": []}
    assert said == {name: attrs[name] for name in said}
    assert 0.0 <= attrs["age_s"] < 1.0


@both
def test_the_forming_candle_is_dropped_even_if_it_is_sent(box, exchange):
    box.inject(Fault("forming_candle", times=0))
    frame = ask(box, exchange)
    assert list(truth(box))[-20:] == list(seen(frame))


@both
def test_closed_is_what_has_closed_by_the_exchanges_clock(box, exchange):
    close_venues()  # one that has not looked at the clock yet
    box.inject(Fault("clock_skew", match=exchange, seconds=-90.0, times=0))
    frame = ask(box, exchange)
    close_venues()
    assert list(seen(frame))[-1] < list(truth(box))[-1]


@both
def test_a_symbol_listed_just_now_gives_what_it_has(box, exchange):
    frame = ask(box, exchange, limit=5000)
    assert list(truth(box)) == list(seen(frame))


# --- periods


@both
def test_since_gives_the_first_from_there(box, exchange):
    opens = list(truth(box))
    assert opens[100:120] == list(seen(ask(box, exchange, since=opens[100])))
    assert opens[101:121] == list(seen(ask(box, exchange, since=opens[100] + 1)))


@both
def test_since_near_the_present_gives_as_many_as_have_closed(box, exchange):
    opens = list(truth(box))
    assert opens[-3:] == list(seen(ask(box, exchange, since=opens[-3])))


@both
def test_until_gives_the_last_up_to_it_included(box, exchange):
    opens = list(truth(box))
    assert opens[81:101] == list(seen(ask(box, exchange, until=opens[100])))


@both
def test_since_and_until_give_all_between(box, exchange):
    opens = list(truth(box))
    first, last = (datetime.fromtimestamp(opens[i] / 1000, UTC) for i in (50, 55))
    assert opens[50:56] == list(seen(ask(box, exchange, since=first, until=last.isoformat())))


def test_a_period_that_holds_more_than_the_limit_is_not_cut_in_silence():
    with pytest.raises(ConfigError, match="holds 8,928 candles, saw limit=1,000"):
        get_ohlcv("BTCUSDT", "5m", since="2025-01-01", until="2025-01-31")


@pytest.mark.parametrize(
    ("since", "until", "span"),
    [
        (None, None, (T0 + 50 * MIN, T0 + 60 * MIN)),
        (T0, None, (T0, T0 + 10 * MIN)),
        (T0 + 55 * MIN, None, (T0 + 55 * MIN, T0 + 60 * MIN)),
        (None, T0 + 29 * MIN, (T0 + 20 * MIN, T0 + 30 * MIN)),
        (T0, T0 + 9 * MIN, (T0, T0 + 10 * MIN)),
        (T0 - 1, T0 + 9 * MIN + 59_999, (T0, T0 + 10 * MIN)),
        (T0 + 58 * MIN, T0 + 65 * MIN, (T0 + 58 * MIN, T0 + 60 * MIN)),
    ],
)
def test_which_candles_a_period_means(since, until, span):
    now = T0 + 60 * MIN + 59_999.0
    assert Span(*span, MIN) == Period.of(since, until, MIN, 10).span(now)


@pytest.mark.parametrize(
    ("when", "end", "ms"),
    [
        (T0, False, T0),
        (str(T0), False, T0),
        ("2025-01-01", False, T0),
        ("2024-12-31", True, T0 - 1),
        (date(2024, 12, 31), True, T0 - 1),
        ("2025-01-01T00:00", True, T0),
        ("2025-01-01T01:00+01:00", False, T0),
        ("2025-01-01T00:00:00Z", False, T0),
        (" 2025-01-01 ", False, T0),
        ("20250101", False, T0),
        (datetime(2025, 1, 1, tzinfo=UTC), False, T0),
        (datetime(2025, 1, 1), False, T0),  # noqa: DTZ001 - a time without a zone is UTC
        (pd.Timestamp("2025-01-01"), False, T0),
    ],
)
def test_a_time_may_be_written_in_many_ways(when, end, ms):
    assert ms == when_ms(when, "since", end=end)


@pytest.mark.parametrize("when", ["yesterday", "2025-13-01", "", 0, 1_735_689_600, True, -1, "20250199", pd.NaT, 2**70])
def test_what_is_no_time_is_the_users_mistake(when):
    with pytest.raises(ConfigError, match="--since: expected a time such as 2025-01-31"):
        when_ms(when, "--since")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"limit": 0}, "limit: expected 1 to"),
        ({"limit": -5}, "limit: expected 1 to"),
        ({"limit": 10_000_000}, "ingest.download takes more"),
        ({"tf": "7m"}, "timeframe: expected one of"),
        ({"symbol": "?"}, "symbol: expected"),
        ({"since": "2025-01-02", "until": "2025-01-01"}, "since before until"),
        ({"exchange": "binanse"}, "did you mean binance"),
    ],
)
def test_a_wrong_argument_is_said_before_anything_is_asked(box, arguments, told):
    before = len(box.requests)
    usual = {"symbol": "BTCUSDT", "tf": "1m", "endpoints": box.endpoints, "settings": QUICK}
    with pytest.raises(ConfigError, match=told):
        get_ohlcv(**usual | arguments)
    assert before == len(box.requests)


def test_a_timeframe_that_the_exchange_does_not_have_is_said_with_those_it_has(box):
    with pytest.raises(ConfigError, match="bybit has no 8h candles; it has 1m, 3m, 5m"):
        ask(box, "bybit", "8h")


# --- garbage


GARBAGE = (
    *("html", "empty_body", "null_body", "empty_object", "empty_array", "truncated_json", "cut_body", "gzip_garbage"),
    *("hang_up", "future_candle", "missing_candle", "duplicate_candle", "unsorted_candles", "impossible_candle"),
    *("reply_wrong_interval", "bom", "rate_code", "server_error"),
)
BYBIT_SAYS_MORE = ("reply_wrong_symbol", "reply_wrong_category", "duplicate_keys")
NUMBERS = [
    {"kind": "reply_bad_number", "value": value, "where": where}
    for value in ("NaN", "Infinity", "", None, "-1", "1,5", "1e400")
    for where in ("price", "size")
]
STATUSES = [
    {"kind": "server_error", "status": status, "body": body}
    for status in (500, 502, 504, 507, 520)
    for body in ("json", "text")
]


def cases() -> list:
    found = [(exchange, {"kind": kind, "retry_after": 0.05}) for exchange in VENUES for kind in GARBAGE]
    found += [("bybit", {"kind": kind}) for kind in BYBIT_SAYS_MORE]
    found += [("binance", case) for case in NUMBERS + STATUSES]
    return [pytest.param(*case, id="-".join(map(str, [case[0], *case[1].values()]))) for case in found]


@pytest.mark.parametrize(("exchange", "fault"), cases())
def test_garbage_is_asked_for_again_and_then_an_error_never_data(box, exchange, fault):
    box.inject(Fault(match="kline", **fault))
    assert list(truth(box))[-20:] == list(seen(ask(box, exchange)))  # the second attempt is right
    box.inject(Fault(match="kline", times=0, **fault))
    before = len(paths(box, "kline"))
    with pytest.raises(DataUnavailable) as failed:
        ask(box, exchange)
    assert 3 == len(paths(box, "kline")) - before
    assert f"{exchange} futures: fetch_ohlcv BTCUSDT 1m (20 candles, " in str(failed.value)
    assert ") failed after 3 attempts: " in str(failed.value)


def test_a_slow_answer_is_given_up(box):
    box.inject(Fault("slow", match="kline", seconds=PATIENCE_S, times=0))
    swift = QUICK.model_copy(update={"timeout_s": 0.2, "retries": 2})
    began = time.monotonic()
    with pytest.raises(DataUnavailable, match=r"no answer within 0\.2 s"):
        ask(box, "bybit", settings=swift)
    assert time.monotonic() - began < 0.5 * PATIENCE_S


def test_missing_candles_are_named(box):
    box.inject(Fault("missing_candle", times=0))
    with pytest.raises(DataUnavailable, match=r"missing candles: 1 from 20\d\d-\d\d-\d\dT\d\d:\d\dZ"):
        ask(box, "binance")


def test_an_error_is_not_kept(box):
    cache = TimedCache()
    box.inject(Fault("html", match="kline", times=3))
    with pytest.raises(DataUnavailable):
        ask(box, "binance", fresh=False, cache=cache)
    assert 20 == len(ask(box, "binance", fresh=False, cache=cache))


# --- the cache


def test_fifty_callers_at_once_cause_one_request(box):
    before = len(paths(box, "kline"))
    cache = TimedCache()
    with ThreadPoolExecutor(50) as pool:
        frames = list(pool.map(lambda _: ask(box, "binance", fresh=False, cache=cache), range(50)))
    assert (1, 50) == (len(paths(box, "kline")) - before, len({id(frame) for frame in frames}))


def test_for_fifteen_seconds_an_answer_is_kept_and_its_age_told(box):
    clock = [0.0]
    cache = TimedCache(clock=lambda: clock[0])
    ages, before = [], len(paths(box, "kline"))
    for now in (0.0, 3.0, 14.9, 15.0):
        clock[0] = now
        ages.append(ask(box, "binance", fresh=False, cache=cache).attrs["age_s"])
    assert ([0.0, 3.0, 14.9, 0.0], 2) == (ages, len(paths(box, "kline")) - before)


def test_readers_of_one_answer_do_not_disturb_each_other(box):
    cache = TimedCache()
    first = ask(box, "binance", fresh=False, cache=cache)
    first.loc[:, "close"] = 0.0
    second = ask(box, "binance", fresh=False, cache=cache)
    assert (second["close"] > 0.0).all()


def test_what_was_asked_differently_is_asked_anew(box):
    cache = TimedCache()
    before = len(paths(box, "kline"))
    for more in ({}, {"limit": 21}, {"tf": "5m"}, {"since": list(truth(box))[-30]}):
        ask(box, "binance", fresh=False, cache=cache, **more)
    ask(box, "bybit", fresh=False, cache=cache)
    ask(box, "binance", fresh=False, cache=cache)
    assert 5 == len(paths(box, "kline")) - before
