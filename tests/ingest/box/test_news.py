"""Headlines and reference data in the services' shapes."""

import json
from typing import Any

import pytest

from ingest.box.news import (
    COINGECKO_DEMO_KEY,
    COINGECKO_PRO_KEY,
    CRYPTOPANIC_TOKEN,
    CoinGecko,
    CryptoPanic,
    iso,
)
from ingest.box.wire import Asked
from tests.boxes import MIDNIGHT_NS, scripted

DEMO, PRO = {"x-cg-demo-api-key": COINGECKO_DEMO_KEY}, {"x-cg-pro-api-key": COINGECKO_PRO_KEY}


def posts(path: str = "/api/developer/v2/posts/", **query: str) -> tuple[int, Any]:
    service = CryptoPanic(scripted(symbols=("BTCUSDT", "ETHUSDT")), seed=3)
    reply = service.reply(Asked(path, {"auth_token": CRYPTOPANIC_TOKEN} | query), "http://box")
    return reply.status, json.loads(reply.body)


def gecko(name: str, headers: dict[str, str] | None = None, *, paid: bool = False, **query: str) -> tuple[int, Any]:
    service = CoinGecko(scripted(symbols=("BTCUSDT", "ETHUSDT")))
    reply = service.reply(Asked(f"/api/v3/{name}", query, headers), paid=paid)
    return reply.status, json.loads(reply.body)


def test_posts_come_newest_first_and_none_from_the_future():
    status, body = posts()
    times = [post["published_at"] for post in body["results"]]
    assert (200, 20, sorted(times, reverse=True)) == (status, len(times), times)
    assert max(times) <= iso(MIDNIGHT_NS)


def test_the_plans_differ_in_shape():
    assert {"next", "previous", "results"} == set(posts()[1])
    assert {"count", "next", "previous", "results"} == set(posts("/api/v1/posts/")[1])
    assert "instruments" in posts()[1]["results"][0]
    assert "currencies" in posts("/api/v1/posts/")[1]["results"][0]


def test_the_next_page_goes_on_where_this_one_ends():
    first, second = posts()[1], posts(page="2")[1]
    assert f"http://box/api/developer/v2/posts/?auth_token={CRYPTOPANIC_TOKEN}&page=2" == first["next"]
    assert first["previous"] is None
    assert not {post["id"] for post in first["results"]} & {post["id"] for post in second["results"]}
    assert first["results"][-1]["id"] > second["results"][0]["id"]


def test_posts_are_chosen_by_currency():
    codes = {one["code"] for post in posts(currencies="ETH")[1]["results"] for one in post["instruments"]}
    assert {"ETH"} == codes


def test_a_post_is_the_same_whenever_it_is_asked_for():
    assert posts()[1]["results"] == posts()[1]["results"]


@pytest.mark.parametrize(
    ("query", "status"),
    [({"auth_token": "no"}, 401), ({"filter": "best"}, 400), ({"kind": "x"}, 400), ({"page": "99"}, 404)],
)
def test_cryptopanic_refuses(query, status):
    seen, body = posts(**query)
    assert (status, "api_error") == (seen, body["status"])


@pytest.mark.parametrize(
    ("headers", "paid", "code"),
    [
        ({}, True, 10002),
        (DEMO, True, 10011),
        (PRO, False, 10010),
        ({"x-cg-demo-api-key": "wrong"}, False, 10002),
        ({"x-cg-pro-api-key": "wrong"}, True, 10011),
    ],
)
def test_a_key_that_does_not_fit_the_root_is_refused(headers, paid, code):
    _, body = gecko("ping", headers, paid=paid)
    assert code == body["status"]["error_code"]


@pytest.mark.parametrize(("headers", "paid"), [({}, False), (DEMO, False), (PRO, True)])
def test_a_key_that_fits_is_let_in(headers, paid):
    assert (200, {"gecko_says": "(V3) To the Moon!"}) == gecko("ping", headers, paid=paid)


def test_news_are_for_paid_keys():
    assert 10005 == gecko("news", DEMO)[1]["status"]["error_code"]
    status, rows = gecko("news", PRO, paid=True, per_page="3")
    assert (200, 3) == (status, len(rows))


def test_prices_are_those_of_the_market_and_unknown_coins_are_absent():
    status, body = gecko("simple/price", ids="bitcoin,nocoin", vs_currencies="usd", include_last_updated_at="true")
    assert (200, {"bitcoin": {"usd": 10.0, "last_updated_at": MIDNIGHT_NS // 10**9}}) == (status, body)


@pytest.mark.parametrize(
    ("name", "query", "status"),
    [
        ("simple/price", {"vs_currencies": "usd"}, 422),
        ("simple/price", {"ids": "bitcoin"}, 422),
        ("coins/markets", {"vs_currency": "xyz"}, 400),
        ("coins/bitcoin/market_chart", {"vs_currency": "usd"}, 422),
        ("coins/nocoin/market_chart", {"vs_currency": "usd", "days": "1"}, 404),
    ],
)
def test_coingecko_refuses(name, query, status):
    assert status == gecko(name, **query)[0]


def test_a_symbol_is_not_unique_in_the_list():
    rows = gecko("coins/list")[1]
    assert 2 == len([row for row in rows if row["symbol"] == "btc"])


@pytest.mark.parametrize("name", ["global", "coins/markets", "coins/bitcoin/market_chart"])
def test_the_other_answers_have_their_shape(name):
    query = {} if name == "global" else {"vs_currency": "usd"} | ({"days": "1"} if "chart" in name else {})
    status, body = gecko(name, **query)
    expected = {"global": "data", "coins/markets": "current_price", "coins/bitcoin/market_chart": "prices"}[name]
    assert (200, True) == (status, expected in (body[0] if isinstance(body, list) else body))
