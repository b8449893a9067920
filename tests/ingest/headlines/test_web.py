import gzip
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import SecretStr

from ingest.headlines.web import Key, Service
from ingest.rest.body import PAGE
from tests.boxes import PATIENCE_S
from tests.scripted import Reply, ScriptedServer
from utils.errors import ConfigError, DataUnavailable
from utils.settings.tree import IngestSettings

SECRET = "0af9" * 8
QUICK = IngestSettings(timeout_s=1.0, retries=3, backoff_s=0.01, backoff_max_s=0.2)
IN_QUERY = Key("NEWS_TOKEN", SecretStr(SECRET), query="auth_token")
IN_HEADER = Key("NEWS_TOKEN", SecretStr(SECRET), header="x-key")


def in_turn(*replies):
    """Answers in this order; the last one again and again."""
    left = list(replies)
    return lambda _request: left.pop(0) if len(left) > 1 else left[0]


def service(server, key=None, settings=QUICK, **more):
    return Service("News", server.url, settings, key, **{"pace_s": 0.0, **more})


def test_an_answer_is_json_stamped_by_the_clock():
    with ScriptedServer(in_turn(Reply({"a": [1]}))) as server:
        answer = service(server, now_ns=lambda: 42).get("/x", {"q": "ä b"})
    assert ({"a": [1]}, 42) == (answer.body, answer.seen_ns)
    assert [("/x", {"q": "ä b"})] == [(request.path, request.query) for request in server.requests]


@pytest.mark.parametrize("key", [IN_QUERY, IN_HEADER])
def test_the_key_travels_and_is_seen_nowhere_else(key, caplog):
    caplog.set_level(logging.DEBUG)
    echo = {"Location": f"/login?auth_token={SECRET}&x=1"}
    link = {"next": f"https://elsewhere.example/?auth_token={SECRET}&page=2"}
    with ScriptedServer(in_turn(Reply(link), Reply(f"<{SECRET}>".encode(), 302, echo), Reply(b"", 500))) as server:
        asked = service(server, key)
        body = asked.get("/a", {}).body
        errors = []
        for path in ("/b", "/c"):
            with pytest.raises(DataUnavailable) as raised:
                asked.get(path, {})
            errors += [str(raised.value), repr(raised.value), str(raised.value.__context__)]
    sent = [request.query.get("auth_token") or request.headers.get("x-key") for request in server.requests]
    assert {SECRET} == set(sent)
    assert {"next": "https://elsewhere.example/?auth_token=hidden&page=2"} == body
    said = "".join(record.getMessage() + str(record.__dict__) for record in caplog.records)
    assert "HTTP Request: GET" in said  # httpx did log the address
    assert "receive_response_headers" in said  # and httpcore what came back
    assert SECRET not in said + "".join(errors) + repr(vars(asked))


def test_a_redirect_is_not_followed():
    away = Reply(b"", 301, {"Location": "http://127.0.0.1:1/"})
    seen = "expected an answer from /x, saw HTTP 301"
    with ScriptedServer(in_turn(away)) as server, pytest.raises(DataUnavailable, match=seen):
        service(server, IN_QUERY).get("/x", {})
    assert 1 == len(server.requests)


def test_an_answer_is_kept_for_a_minute_and_fetched_once_for_many():
    with ScriptedServer(in_turn(Reply({"n": 1}, wait_s=0.1))) as server:
        asked = service(server)
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(asked.get("/x", {"a": "1"}))) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asked.get("/x", {"a": "2"})
    assert 50 == len(answers)
    assert ["1", "2"] == [request.query["a"] for request in server.requests]


def test_requests_are_a_second_apart_unless_told_otherwise():
    with ScriptedServer(in_turn(Reply({}))) as server:
        asked = Service("News", server.url, QUICK)
        for number in range(2):
            asked.get("/x", {"n": str(number)})
    first, second = server.requests
    assert second.at_s - first.at_s > 0.95


@pytest.mark.parametrize(
    "trouble",
    [
        Reply(b"<html>down</html>"),
        Reply(b""),
        Reply(b"null"),
        Reply(b'{"results": [1, 2'),
        Reply("grüß".encode("latin-1")),
        Reply(b"[" * 100_000),
        Reply(b"not gzip", headers={"Content-Encoding": "gzip"}),
        Reply(b"{}", headers={"Content-Length": "100"}),
        Reply(b"x", 500),
        Reply(b"<html>", 503, {"Retry-After": "0"}),
        Reply({}, 408),
    ],
)
def test_what_may_pass_is_asked_again(trouble):
    with ScriptedServer(in_turn(trouble, trouble, Reply({"fine": True}))) as server:
        assert {"fine": True} == service(server).get("/x", {}).body
    assert 3 == len(server.requests)


def test_garbage_for_ever_is_an_error_that_shows_its_beginning():
    page = Reply(b"<html><body>maintenance, back at noon, dear customers</body>")
    seen = "News: expected JSON, saw '<html><body>maintenance, back at noon, d'"
    with ScriptedServer(in_turn(page)) as server, pytest.raises(DataUnavailable, match=seen):
        service(server).get("/x", {})
    assert 3 == len(server.requests)


@pytest.mark.parametrize(
    "encode", [lambda t: t.encode(), lambda t: b"\xef\xbb\xbf" + t.encode(), lambda t: t.encode("utf-16")]
)
def test_any_unicode_encoding_is_read(encode):
    with ScriptedServer(in_turn(Reply(encode('{"t": "日本 🚀"}')))) as server:
        assert {"t": "日本 🚀"} == service(server).get("/x", {}).body


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"[" + b"0," * (PAGE.size // 2) + b"0]"),
        Reply(gzip.compress(b" " * (PAGE.size + 1)), headers={"Content-Encoding": "gzip"}),
    ],
)
def test_a_body_that_is_too_long_is_refused_at_once(reply):
    seen = "expected at most 8 MiB, saw more"
    with ScriptedServer(in_turn(reply)) as server, pytest.raises(DataUnavailable, match=seen):
        service(server).get("/x", {})
    assert 1 == len(server.requests)


@pytest.mark.parametrize("reply", [Reply({}, wait_s=PATIENCE_S), Reply(b" " * 10_000, piece_s=0.1)])
def test_silence_and_a_trickle_end_at_the_timeout(reply):
    settings = QUICK.model_copy(update={"timeout_s": 0.3, "retries": 1})
    with ScriptedServer(in_turn(reply)) as server:
        began = time.monotonic()
        with pytest.raises(DataUnavailable, match=r"expected an answer within 0.3 s, saw none; .* ingest.timeout_s"):
            service(server, settings=settings).get("/x", {})
        assert time.monotonic() - began < 0.5 * PATIENCE_S


def test_nobody_there_is_an_error_that_names_the_address():
    with ScriptedServer(in_turn(Reply())) as server:
        gone = service(server)
    with pytest.raises(DataUnavailable, match=rf"News: expected an answer from {server.url[7:]}, saw '.*refused'"):
        gone.get("/x", {})


def test_a_short_retry_after_is_waited_for():
    with ScriptedServer(in_turn(Reply(b"", 429, {"Retry-After": "1"}), Reply({"fine": True}))) as server:
        settings = QUICK.model_copy(update={"backoff_max_s": 2.0})
        assert {"fine": True} == service(server, settings=settings).get("/x", {}).body
    first, second = server.requests
    assert 1.0 <= second.at_s - first.at_s < 1.5


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"Retry-After": "30"}, "30 s"),
        (429, {}, "60 s"),
        (429, {"Retry-After": "soon"}, "60 s"),
        (429, {"Retry-After": "9" * 400}, "86400 s"),
        (403, {}, "60 s"),
        (403, {"Retry-After": "7"}, "7 s"),
    ],
)
def test_a_longer_quiet_is_kept_without_asking(status, headers, wait):
    quiet_is_kept(status, headers, wait)


def test_quiet_may_be_asked_for_until_a_date():
    until = datetime.now(UTC) + timedelta(seconds=3600)
    quiet_is_kept(429, {"Retry-After": format_datetime(until)}, "3[56][0-9]{2} s")


def quiet_is_kept(status: int, headers: dict[str, str], wait: str) -> None:
    with ScriptedServer(in_turn(Reply(b"", status, headers))) as server:
        asked = service(server)
        with pytest.raises(DataUnavailable, match=rf"HTTP {status}\).* {wait}"):
            asked.get("/x", {})
        with pytest.raises(DataUnavailable, match=r"News: it asked for quiet; ask again in \d+"):
            asked.get("/y", {})
    assert 1 == len(server.requests)


def test_a_wrong_key_names_its_setting_and_is_not_tried_again():
    with ScriptedServer(in_turn(Reply({"detail": "no"}, 401))) as server:
        with pytest.raises(ConfigError, match=r"^NEWS_TOKEN: News does not know this key \(HTTP 401\)"):
            service(server, IN_QUERY).get("/x", {})
        with pytest.raises(ConfigError, match=r"^News: it wants a key \(HTTP 401\), and none is set"):
            service(server).get("/x", {})
    assert 2 == len(server.requests)


@pytest.mark.parametrize("text", ["abc\ndef", "abc def", "ключ-ключ"])
def test_a_key_that_cannot_travel_is_refused_unshown(text):
    with pytest.raises(
        ConfigError, match=r"^NEWS_TOKEN: expected plain letters and digits, saw others; copy the key again$"
    ):
        Key("NEWS_TOKEN", SecretStr(text), header="x-key")


def test_a_service_explains_its_own_refusals():
    def explain(status, body):
        return ConfigError(f"{status} {body['code']}") if status == 418 else None

    with ScriptedServer(in_turn(Reply({"code": 7}, 418))) as server, pytest.raises(ConfigError, match="418 7"):
        service(server, explain=explain).get("/x", {})


def test_the_proxy_of_the_environment_is_used_but_not_for_this_machine(monkeypatch):
    with (
        ScriptedServer(in_turn(Reply({"by": "proxy"}))) as proxy,
        ScriptedServer(in_turn(Reply({"by": "us"}))) as server,
    ):
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert {"by": "us"} == service(server).get("/x", {}).body
        far = Service("News", "http://news.example", QUICK, IN_QUERY, pace_s=0.0)
        assert {"by": "proxy"} == far.get("/x", {}).body
        monkeypatch.setenv("http_proxy", "gopher://nowhere")
        with pytest.raises(ConfigError, match="the proxy that the environment names cannot be used"):
            far.get("/y", {})
