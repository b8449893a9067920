import threading
import time

import ccxt
import pytest

from ingest.rest.retry import (
    LONGEST_S,
    Answer,
    BadVenueData,
    Door,
    Trouble,
    asked_wait_s,
    judge,
    patience,
    retry_after_s,
)
from ingest.venues.bybit.venue import BYBIT
from utils.settings.tree import IngestSettings

NOW_MS = 1_735_689_600_000.0  # 2025-01-01


def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, "Some Reason", named, body, True, 0, 0.0)


@pytest.mark.parametrize(
    ("error", "seen", "kind"),
    [
        (ccxt.RequestTimeout("x"), None, "transient"),
        (ccxt.NetworkError("x"), None, "transient"),
        (ccxt.ExchangeError("x"), None, "fatal"),  # ccxt's own: nothing was sent
        (ccxt.ExchangeNotAvailable("x"), answer(503, b"<html>"), "transient"),
        (ccxt.ExchangeError("x"), answer(507, b"<html>"), "transient"),
        (ccxt.OperationFailed("x"), answer(503, b'{"code":-1001,"msg":"Internal error"}'), "transient"),
        (ccxt.InvalidNonce("x"), answer(400, b'{"code":-1021,"msg":"ahead"}'), "transient"),
        (ccxt.ExchangeError("x"), answer(200, b'{"retCode":10016,"retMsg":"Server error"}'), "transient"),
        (ccxt.ExchangeError("x"), answer(200, b"{}"), "transient"),
        (BadVenueData("crossed"), answer(), "transient"),
        (TypeError("x"), answer(200, b"<html>"), "transient"),
        (ccxt.DDoSProtection("x"), answer(429, b""), "rate"),
        (ccxt.RateLimitExceeded("x"), answer(200, b'{"retCode":10006,"retMsg":"Too many visits!"}'), "rate"),
        (ccxt.RateLimitExceeded("x"), answer(200, b'{"retCode":10018,"retMsg":"ip limit"}'), "rate"),
        (ccxt.DDoSProtection("x"), answer(418, b"", Retry_After="7"), "ban"),
        (ccxt.RateLimitExceeded("x"), answer(403, b"<html>"), "ban"),
        (ccxt.DDoSProtection("x"), answer(429, b"", Retry_After="3600"), "ban"),
        (ccxt.BadSymbol("x"), answer(400, b'{"code":-1121,"msg":"Invalid symbol."}'), "fatal"),
        (ccxt.BadRequest("x"), answer(200, b'{"retCode":10001,"retMsg":"params error"}'), "fatal"),
        (ccxt.ExchangeError("x"), answer(200, b'{"retCode":99999,"retMsg":"no"}'), "fatal"),
        (ccxt.NotSupported("x"), None, "fatal"),
        (ccxt.ExchangeNotAvailable("x"), answer(451, b""), "fatal"),
    ],
)
def test_what_a_failure_means(error, seen, kind):
    assert kind == judge(error, seen, NOW_MS, 10.0, BYBIT.refusals).kind


@pytest.mark.parametrize(
    ("error", "seen", "cause"),
    [
        (ccxt.RequestTimeout("x"), None, "no answer within 10 s"),
        (
            ccxt.ExchangeNotAvailable("x"),
            answer(503, b"<html>many\nlines</html>"),
            "HTTP 503 Some Reason: an HTML page",
        ),
        (ccxt.BadRequest("x"), answer(400, b'{"code":-1121,"msg":"Invalid symbol."}'), "-1121 Invalid symbol."),
        (ccxt.ExchangeError("x"), answer(200, b"[]"), "expected an answer as documented, saw '[]' (x)"),
        (BadVenueData("candles: expected a list"), answer(200, b"<html>"), "expected JSON, saw an HTML page"),
        (BadVenueData("bids: expected one"), answer(200, b"{}"), "bids: expected one"),
        (AttributeError("x"), answer(200, b"hello"), "saw 'hello' (AttributeError)"),
    ],
)
def test_the_cause_is_one_phrase(error, seen, cause):
    told = judge(error, seen, NOW_MS, 10.0, BYBIT.refusals).cause
    assert (True, False) == (cause in told, "\n" in told)


@pytest.mark.parametrize(
    ("seen", "wait_s"),
    [
        (answer(429, b"", Retry_After="7"), 7.0),
        (answer(429, b"", Retry_After="0.25"), 0.25),
        (answer(429, b"", Retry_After="Wed, 01 Jan 2025 00:00:09 GMT"), 9.0),
        (answer(429, b"", Retry_After="Wed, 01 Jan 2020 00:00:09 GMT"), 0.0),
        (answer(429, b"", Retry_After="soon"), 0.0),
        (answer(429, b"", Retry_After="-5"), 0.0),
        (answer(429, b"", Retry_After="Wed, 01 Jan 2025 00:00:09 +99999999999999"), 0.0),
        (answer(429, b""), 0.0),
        (answer(200, b'{"retCode":10006}', X_Bapi_Limit_Reset_Timestamp="1735689601500"), 1.5),
        (answer(200, b'{"retCode":0}', X_Bapi_Limit_Reset_Timestamp="1735689601500"), 0.0),
    ],
)
def test_the_wait_an_exchange_asks_for(seen, wait_s):
    assert pytest.approx(wait_s) == asked_wait_s(seen, NOW_MS, BYBIT.refusals)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0),
        (" 12 ", 12.0),
        ("1.5", 1.5),
        ("9" * 400, LONGEST_S),
        ("Wed, 01 Jan 2025 00:01:00 GMT", 60.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_S),
        ("Wed, 01 Jan 99999999999 00:00:00 GMT", 0.0),
        ("Wed, 01 Jan 2025 00:00:00 +99999999999999", 0.0),
        ("\u0663", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("", 0.0),
    ],
)
def test_retry_after_is_read_in_seconds_or_as_a_date_and_nonsense_is_none(text, seconds):
    assert seconds == retry_after_s({"Retry-After": text}, NOW_MS / 1000.0)


def test_a_ban_without_a_time_lasts_as_long_as_the_exchange_documents():
    bans = [
        judge(ccxt.DDoSProtection("x"), answer(status, b""), NOW_MS, 10.0, BYBIT.refusals).wait_s
        for status in (418, 403)
    ]
    assert [120.0, 600.0] == bans


def test_the_wait_before_another_attempt_is_the_longer_of_what_was_asked_and_the_usual():
    settings = IngestSettings(backoff_s=0.5, backoff_max_s=2.0)
    wait = patience("x", settings)
    asked = (0.1, 0.1, 5.0, 0.0, 0.0)
    assert [0.5, 1.0, 5.0, 2.0, 2.0] == [wait(Trouble("rate", "slowly", seconds)) for seconds in asked]


def test_transient_troubles_take_the_usual_backoff_and_others_none():
    wait = patience("x", IngestSettings())
    assert [True, False, False] == [wait(Trouble(kind, "x")) for kind in ("transient", "ban", "fatal")]


class Slept:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now, self.naps = 50.0, []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


def test_the_door_stays_shut_exactly_as_long_as_quiet_was_asked_for():
    time_ = Slept()
    door = Door("box", time_.clock, time_.sleep)
    with door.passing():
        door.quiet(3.0)
    with door.passing():
        pass
    with door.passing():
        pass
    assert [3.0] == time_.naps


def test_behind_a_ban_nobody_gets_through_until_it_is_over():
    time_ = Slept()
    door = Door("box", time_.clock, time_.sleep)
    told = door.ban(Trouble("ban", "HTTP 418", 120.0), NOW_MS)
    assert "HTTP 418; no request before 2025-01-01T00:02Z" == told.cause
    with pytest.raises(Trouble, match="2025-01-01T00:02Z"), door.passing():
        pass
    time_.now += 120.0
    with door.passing():
        assert [] == time_.naps


def test_one_request_at_a_time_goes_through_the_door():
    door = Door("box")
    inside, most = 0, 0

    def pass_through() -> None:
        nonlocal inside, most
        with door.passing():
            inside += 1
            most = max(most, inside)
            time.sleep(0.002)
            inside -= 1

    threads = [threading.Thread(target=pass_through) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 == most


def test_the_same_failure_is_a_line_a_minute_whichever_period_is_asked_for(caplog):
    for minute in range(5):
        for cause in ("no connection (said once)", "HTTP 502 (said once)"):
            wait = patience(f"bybit fetch_ohlcv BTCUSDT 1m (1 candles, 00:0{minute})", IngestSettings())
            assert wait(Trouble("transient", cause)) is True
    said = [record.getMessage().rpartition(": ")[2] for record in caplog.records]
    assert ["no connection (said once)", "HTTP 502 (said once)"] == said
