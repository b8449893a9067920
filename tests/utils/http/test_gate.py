"""The gate in front of a small app, on a real server: what passes, what does not, and what every answer says."""

import asyncio
import contextlib
import json
import logging

import httpx
import pytest

from tests.served import served, spoken
from utils.errors import ConfigError
from utils.http.asgi import answer
from utils.http.gate import CARRIED, MOST_ADDRESS, Gate, Rules

TOKEN = "a-token-of-sixteen-or-more"  # noqa: S105
BEARER = {"authorization": f"Bearer {TOKEN}"}
#: The head of an answer that an app sends more than once.
SHARED = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}


class Small:
    """Answers at once, late, never whole, or not at all."""

    def __init__(self):
        self.asked = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.asked.append(scope["path"])
        if scope["path"] in {"/late", "/stream"}:
            await asyncio.sleep(0.4)
        if scope["path"] == "/shared":
            await send(SHARED)
            await send({"type": "http.response.body", "body": b""})
            return
        if scope["path"] == "/bug":
            raise ValueError(f"a bug with {TOKEN}")
        if scope["path"] == "/half":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise ValueError("half")
        await answer(send, 200, [(b"content-type", b"application/json")], b'"yes"')


class World:
    def __init__(self, url, client, app, seen):
        self.url, self.client, self.app, self.seen = url, client, app, seen

    async def get(self, path="/", **kwargs):
        return await self.client.get(path, **kwargs)


@pytest.fixture
async def world_of():
    """A gate with given rules in front of a small app."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(**rules):
            app, seen = Small(), []
            gate = Gate(
                app,
                lambda: Rules(**rules),
                lambda *request: seen.append(request[:2]),
                opened=frozenset({"/live"}),
                endless=frozenset({"/stream"}),
            )
            url = await stack.enter_async_context(served(gate))
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=20.0))
            return World(url, client, app, seen)

        yield begin


def kind(response):
    """The kind of a problem, which has the one form that there is."""
    problem = response.json()
    assert {"error"} == set(problem)
    assert {"kind", "message", "retry_after_s"} == set(problem["error"])
    assert "\n" not in problem["error"]["message"]
    return problem["error"]["kind"]


async def test_without_a_token_this_machine_may_ask(world_of):
    world = await world_of()
    response = await world.get()
    assert (200, "yes") == (response.status_code, response.json())


async def test_every_answer_carries_what_protects_it(world_of):
    world = await world_of(token=TOKEN.encode())
    for response in (await world.get("/"), await world.get("/", headers=BEARER), await world.get("/live")):
        assert dict(CARRIED).items() <= {k.encode(): v.encode() for k, v in response.headers.items()}.items()


async def test_what_protects_an_answer_is_carried_once_however_often_its_head_is_sent(world_of):
    world = await world_of()
    for _ in range(3):
        response = await world.get("/shared")
    assert ["no-store"] == response.headers.get_list("cache-control")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "0.0.0.0"])  # noqa: S104
async def test_another_name_that_points_here_is_refused_without_a_token(world_of, host):
    world = await world_of(hosts=frozenset({"desk.example"}))
    response = await world.get(headers={"host": host})
    assert (403, "not_local", []) == (response.status_code, kind(response), world.app.asked)
    assert "SCALPER__SECRETS__API_TOKEN" in response.json()["error"]["message"]
    assert 200 == (await world.get(headers={"host": "desk.example"})).status_code


async def test_a_client_behind_a_proxy_is_refused_without_a_token(world_of):
    world = await world_of()
    for header in ({"x-forwarded-for": "203.0.113.9"}, {"x-forwarded-for": "127.0.0.1"}, {"via": "1.1 proxy"}):
        assert 403 == (await world.get(headers=header)).status_code


async def test_the_token_is_asked_for_on_every_path_but_the_open_one(world_of):
    world = await world_of(token=TOKEN.encode())
    assert [401, 401, 200] == [(await world.get(path)).status_code for path in ("/", "/nowhere", "/live")]
    assert 200 == (await world.get(headers=BEARER)).status_code
    assert ["/live", "/"] == world.app.asked


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (None, "token_missing"),
        ("", "token_missing"),
        ("Bearer", "token_missing"),
        ("Bearer another-token-of-16", "token_wrong"),
        (f"Bearer {TOKEN}x", "token_wrong"),
        (f"Bearer {TOKEN[:-1]}", "token_wrong"),
        (f"Basic {TOKEN}", "token_wrong"),
        (f"Bearer {TOKEN.upper()}", "token_wrong"),
        ("Bearer \xff\xfe", "token_wrong"),
    ],
)
async def test_without_the_token_the_answer_says_what_is_expected_and_never_the_token(world_of, given, why):
    world = await world_of(token=TOKEN.encode())
    headers = {} if given is None else {"authorization": given.encode("latin-1")}
    response = await world.get(headers=headers)
    assert (401, why, "Bearer") == (response.status_code, kind(response), response.headers["www-authenticate"])
    assert TOKEN not in response.text


async def test_the_scheme_may_be_written_as_one_likes(world_of):
    world = await world_of(token=TOKEN.encode())
    assert 200 == (await world.get(headers={"authorization": f"bEaReR {TOKEN}"})).status_code


async def test_a_token_in_the_query_is_none(world_of):
    world = await world_of(token=TOKEN.encode())
    for name in ("token", "access_token", "api_token"):
        assert 401 == (await world.get("/", params={name: TOKEN})).status_code


async def test_with_a_token_any_name_and_any_proxy_may_ask(world_of):
    world = await world_of(token=TOKEN.encode())
    assert 200 == (await world.get(headers=BEARER | {"host": "desk.example", "via": "1.1 proxy"})).status_code


async def test_more_than_the_burst_waits(world_of):
    world = await world_of(rate_per_s=2.0, burst=3)
    answers = [await world.get() for _ in range(4)]
    assert [200, 200, 200, 429] == [each.status_code for each in answers]
    assert ("too_many_requests", "1") == (kind(answers[3]), answers[3].headers["retry-after"])
    assert 200 == (await world.get("/live")).status_code
    await asyncio.sleep(answers[3].json()["error"]["retry_after_s"])
    assert (200, 4) == ((await world.get()).status_code, world.app.asked.count("/"))


async def test_who_guesses_tokens_waits_too(world_of):
    world = await world_of(token=TOKEN.encode(), rate_per_s=1.0, burst=2)
    assert [401, 401, 429] == [(await world.get()).status_code for _ in range(3)]


async def test_who_guesses_tokens_waits_whoever_he_says_he_is(world_of):
    world = await world_of(token=TOKEN.encode(), rate_per_s=0.05, burst=5, proxied=True)
    guess = {"authorization": "Bearer guess"}
    answers = [await world.get(headers=guess | {"x-forwarded-for": f"203.0.113.{n}"}) for n in range(20)]
    assert [401] * 5 + [429] * 15 == [each.status_code for each in answers]
    assert "too_many_requests" == kind(answers[-1])


async def test_who_has_the_token_is_not_held_up_by_those_who_guess_it(world_of):
    world = await world_of(token=TOKEN.encode(), rate_per_s=0.05, burst=2)
    assert [401, 401, 429] == [(await world.get()).status_code for _ in range(3)]
    assert [200, 200, 429] == [(await world.get(headers=BEARER)).status_code for _ in range(3)]


@pytest.mark.parametrize(("proxied", "answered"), [(False, 2), (True, 8)])
async def test_a_bucket_is_chosen_by_a_header_only_where_a_proxy_was_told_of(world_of, proxied, answered):
    world = await world_of(token=TOKEN.encode(), rate_per_s=0.05, burst=2, proxied=proxied)
    given = [BEARER | {"x-forwarded-for": f"203.0.113.{n}:{n + 1}"} for n in range(8)]
    assert answered == [(await world.get(headers=each)).status_code for each in given].count(200)


async def test_path_and_query_have_a_longest_length(world_of):
    world = await world_of()
    fits = "/" + "a" * (MOST_ADDRESS - 1)
    assert [200, 414] == [(await world.get(path)).status_code for path in (fits, fits + "b")]
    assert 414 == (await world.get("/", params={"q": "a" * MOST_ADDRESS})).status_code
    assert 414 == (await world.get("/" + "%41" * 700)).status_code


async def test_header_lines_have_a_number_and_a_length(world_of):
    world = await world_of()
    many, long = {f"x-{k}": "1" for k in range(80)}, {"x-long": "a" * 20_000}
    for headers in (many, long):
        response = await world.get(headers=headers)
        assert (431, "headers_too_large") == (response.status_code, kind(response))


@pytest.mark.parametrize(
    ("lines", "status", "why"),
    [
        ([(b"x-long", b"a" * 5_000)] * 4, 431, "headers_too_large"),
        ([(b"x", b"1")] * 65, 431, "headers_too_large"),
        ([(b"host", b"localhost")] * 2, 400, "host_doubled"),
        ([(b"host", b"localhost"), (b"host", b"evil.example")], 400, "host_doubled"),
        ([(b"x-long", b"a" * 5_000)] * 3 + [(b"host", b"localhost")], 200, None),
    ],
)
async def test_lines_of_one_name_count_each_whatever_the_server_lets_through(lines, status, why):
    heard, here = [], {"server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 50_000)}

    async def send(message):
        heard.append(message)

    gate = Gate(Small(), Rules, lambda *_: None)
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": lines, **here}
    await gate(scope, None, send)
    said = json.loads(heard[1]["body"])
    assert (status, why) == (heard[0]["status"], None if why is None else said["error"]["kind"])


async def test_a_body_is_refused_before_it_is_sent(world_of):
    world = await world_of()
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000\r\nexpect: 100-continue\r\n\r\n"
    heard = await spoken(world.url, head, enough=b"}}")
    assert (True, False, []) == (heard.startswith(b"HTTP/1.1 413 "), b"100 Continue" in heard, world.app.asked)
    assert b"connection: close" in heard
    chunked = b"GET / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    assert (await spoken(world.url, chunked)).startswith(b"HTTP/1.1 413 ")


async def test_an_empty_body_is_none(world_of):
    world = await world_of()
    assert 200 == (await world.client.post("/", headers={"content-length": "0"})).status_code


async def test_an_answer_has_a_longest_time_but_a_stream_has_none(world_of):
    world = await world_of(timeout_s=0.1)
    late = await world.get("/late")
    assert (503, "too_slow", "1") == (late.status_code, kind(late), late.headers["retry-after"])
    assert 200 == (await world.get("/stream")).status_code


async def test_a_bug_is_an_answer_of_the_same_form_and_its_text_stays_here(world_of, caplog):
    world = await world_of()
    with caplog.at_level(logging.ERROR, logger="app"):
        response = await world.get("/bug")
    assert (500, "failed") == (response.status_code, kind(response))
    assert (False, True) == (TOKEN in response.text, any(record.exc_info for record in caplog.records))


async def test_an_answer_that_broke_off_is_cut(world_of):
    world = await world_of()
    with pytest.raises(httpx.RemoteProtocolError):
        await world.get("/half")
    assert 200 == (await world.get("/")).status_code


async def test_pages_of_other_origins_read_nothing_unless_they_are_named(world_of):
    page = {"origin": "https://desk.example"}
    closed, opened = await world_of(), await world_of(origins=frozenset({b"https://desk.example"}))
    assert "access-control-allow-origin" not in (await closed.get(headers=page)).headers
    assert "https://desk.example" == (await opened.get(headers=page)).headers["access-control-allow-origin"]
    stranger = await opened.get(headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in stranger.headers


async def test_a_named_page_may_ask_whether_it_may_send_a_token(world_of):
    world = await world_of(token=TOKEN.encode(), origins=frozenset({b"https://desk.example"}))
    asks = {"origin": "https://desk.example", "access-control-request-method": "GET"}
    response = await world.client.options("/", headers=asks)
    assert (200, []) == (response.status_code, world.app.asked)
    assert "authorization" in response.headers["access-control-allow-headers"]
    assert 401 == (await world.client.options("/", headers=asks | {"origin": "https://evil.example"})).status_code


async def test_each_request_is_told_once_with_its_status(world_of):
    world = await world_of(token=TOKEN.encode())
    await world.get("/")
    await world.get("/", headers=BEARER)
    await world.get("/bug", headers=BEARER)
    assert [("refused", 401), ("none", 200), ("none", 500)] == world.seen


async def test_there_are_no_sockets(world_of):
    world = await world_of()
    ask = (
        b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert (await spoken(world.url, ask)).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "desk.example"])  # noqa: S104
def test_other_machines_are_let_in_by_a_token_alone(host):
    with pytest.raises(ConfigError, match="SCALPER__SECRETS__API_TOKEN") as refused:
        Rules().granted(host)
    assert "\n" not in str(refused.value)
    assert "whoever has the token may ask" == Rules(token=TOKEN.encode()).granted(host)


@pytest.mark.parametrize("host", [None, "127.0.0.1", "localhost", "::1"])
def test_what_is_granted_is_said(host):
    assert "only this machine may ask, without a token" == Rules().granted(host)


def test_rules_show_no_token():
    assert TOKEN not in repr(Rules(token=TOKEN.encode())) + Rules().granted(None)
