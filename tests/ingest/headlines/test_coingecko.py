import math
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from ingest.headlines.coingecko import base_currency, coin_id, error_code, fetch_global, fetch_prices, parse
from tests.scripted import Reply, ScriptedServer
from utils.errors import ConfigError, DataUnavailable, ProtocolError
from utils.settings.tree import EndpointSettings, IngestSettings, SecretSettings

KEYLESS = SecretSettings()
WITH_KEY = SecretSettings(coingecko_api_key=SecretStr("CG-" + "5c" * 12))
DEMO = IngestSettings(timeout_s=1.0, retries=1)
PRO = DEMO.model_copy(update={"coingecko_plan": "pro"})
PRICES = {
    "bitcoin": {"usd": 65000.5, "usd_24h_vol": 3.1e10, "usd_24h_change": -2.5, "last_updated_at": 1795327094},
    "ethereum": {"usd": 3500},
}
GLOBAL = {
    "data": {
        "total_market_cap": {"usd": 2.5e12},
        "total_volume": {"usd": 9e10},
        "market_cap_percentage": {"btc": 52.5},
        "market_cap_change_percentage_24h_usd": 1.25,
        "updated_at": 1795327094,
    }
}

NOON = "2026-01-24T12:00:00Z"
NOON_NS = int(datetime(2026, 1, 24, 12, tzinfo=UTC).timestamp()) * 10**9
ARTICLE = {
    "title": "Ether moves",
    "url": "https://example.org/2",
    "image": "https://example.org/2.png",
    "author": "A",
    "posted_at": NOON,
    "type": "news",
    "source_name": "Example",
    "related_coin_ids": ["ethereum", "could", "bitcoin"],
}


def at(server, *, plan="demo"):
    """Endpoints of which only the plan's own leads anywhere."""
    return EndpointSettings(**{"coingecko" if plan == "demo" else "coingecko_pro": server.url})


def prices(body, coins=("BTC",), settings=DEMO, secrets=KEYLESS, status=200):
    with ScriptedServer(lambda _request: Reply(body, status)) as server:
        found = fetch_prices(coins, at(server, plan=settings.coingecko_plan), settings, secrets, now_ns=lambda: 7)
    return found, server.requests


@pytest.mark.parametrize(
    ("symbol", "coin"),
    [
        ("BTCUSDT", "BTC"),
        ("btc/usdt:usdt", "BTC"),
        ("BTC-USDT-SWAP", "BTC"),
        ("BTC", "BTC"),
        ("1000PEPEUSDT", "PEPE"),
        ("1000000MOGUSDT", "MOG"),
        ("1INCHUSDC", "1INCH"),
        ("OP", "OP"),
        ("WBTC", "WBTC"),
        ("USDC", "USDC"),
        ("FDUSDUSDT", "FDUSD"),
    ],
)
def test_a_symbol_has_a_coin(symbol, coin):
    assert coin == base_currency(symbol)


@pytest.mark.parametrize("symbol", ["", "/USDT", "B T C", "BTCUSDT_260626", "BTC&x=1"])
def test_what_is_no_symbol_has_none(symbol):
    with pytest.raises(ConfigError, match="symbol: expected"):
        base_currency(symbol)


@pytest.mark.parametrize(
    ("name", "coin"),
    [
        ("BTCUSDT", "bitcoin"),
        ("eth", "ethereum"),
        ("bitcoin", "bitcoin"),
        ("avalanche-2", "avalanche-2"),
        ("pepe", "pepe"),
    ],
)
def test_a_coin_has_a_name_at_coingecko(name, coin):
    assert coin == coin_id(name)


def test_an_unknown_symbol_is_never_guessed():
    with pytest.raises(ConfigError, match="or CoinGecko's own name such as bitcoin, saw 'PEPEUSDT'"):
        coin_id("PEPEUSDT")


def test_prices_come_in_the_order_asked_and_nan_where_nothing_is_said():
    (ether, bitcoin, again), requests = prices(PRICES, ["ETHUSDT", "bitcoin", "BTC"])
    assert ("bitcoin", 65000.5, 3.1e10, -0.025) == (bitcoin.coin, bitcoin.price, bitcoin.volume_24h, bitcoin.change_24h)
    assert (1795327094 * 10**9, 7) == (bitcoin.updated_ns, bitcoin.seen_ns)
    assert bitcoin == again
    assert ("ethereum", 3500.0, 0) == (ether.coin, ether.price, ether.updated_ns)
    assert math.isnan(ether.volume_24h + ether.change_24h)
    assert ["bitcoin,ethereum"] == [request.query["ids"] for request in requests]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"bitcoin": None},
        {"bitcoin": {}},
        {"bitcoin": {"usd": "65000"}},
        {"bitcoin": {"usd": 0}},
        {"bitcoin": {"usd": True}},
        {"bitcoin": {"usd": 10**400}},
    ],
)
def test_a_coin_left_out_or_without_a_price_is_an_error(body):
    with pytest.raises(DataUnavailable, match="CoinGecko: expected "):
        prices(body)


def test_the_whole_market_is_told_in_fractions():
    with ScriptedServer(lambda _request: Reply(GLOBAL)) as server:
        seen = fetch_global(at(server), DEMO, KEYLESS, now_ns=lambda: 7)
    assert (2.5e12, 9e10, 0.0125, 0.525) == (seen.market_cap, seen.volume_24h, seen.change_24h, seen.bitcoin_share)
    assert (1795327094 * 10**9, 7) == (seen.updated_ns, seen.seen_ns)
    assert ["/api/v3/global"] == [request.path for request in server.requests]


def test_a_market_without_a_volume_is_an_error():
    for body in ({}, {"data": {}}, {"data": {"total_volume": {"usd": None}}}, []):
        with ScriptedServer(lambda _request, body=body: Reply(body)) as server:
            endpoints = at(server)
            with pytest.raises(DataUnavailable, match="CoinGecko: expected "):
                fetch_global(endpoints, DEMO, KEYLESS)


@pytest.mark.parametrize(
    ("settings", "secrets", "header"),
    [(DEMO, KEYLESS, None), (DEMO, WITH_KEY, "x-cg-demo-api-key"), (PRO, WITH_KEY, "x-cg-pro-api-key")],
)
def test_the_key_travels_in_the_header_of_its_plan_and_never_in_an_address(settings, secrets, header):
    _, (request,) = prices(PRICES, settings=settings, secrets=secrets)
    sent = {name: value for name, value in request.headers.items() if name.startswith("x-cg")}
    assert ({header: WITH_KEY.coingecko_api_key.get_secret_value()} if header else {}) == sent
    assert not any("key" in name for name in request.query)


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (10002, ConfigError, "^COINGECKO_API_KEY: .*set it in the environment"),
        (10010, ConfigError, "set ingest.coingecko_plan: pro$"),
        (10011, ConfigError, "set ingest.coingecko_plan: demo$"),
        (10005, DataUnavailable, "your plan does not hold this .*set CRYPTOPANIC_TOKEN"),
        (10999, DataUnavailable, "HTTP 400"),
    ],
)
def test_an_error_code_says_which_setting_is_wrong(code, kind, says):
    with pytest.raises(kind, match=says):
        prices({"status": {"error_code": code, "error_message": "..."}}, status=400)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error_code": 1}, 1),
        ({"status": {"error_code": 2}}, 2),
        ({"error": {"status": {"error_code": 3}}}, 3),
        ({"error": "no"}, None),
        ({"status": {"status": {"status": {"error_code": 4}}}}, None),
        (None, None),
    ],
)
def test_an_error_code_is_found_where_it_stands(body, code):
    assert code == error_code(body)


def test_an_article_of_coingecko_is_read_and_its_tags_are_codes():
    headline = parse(ARTICLE, 7)
    assert (
        "coingecko:https://example.org/2",
        "Ether moves",
        int(datetime(2026, 1, 24, 12, tzinfo=UTC).timestamp()) * 10**9,
        "Example",
        "news",
        ("ETH", "BTC"),
        None,
    ) == (
        headline.id,
        headline.title,
        headline.published_ns,
        headline.source,
        headline.kind,
        headline.currencies,
        headline.votes,
    )


@pytest.mark.parametrize(
    "item", [None, "text", 5, [], {"id": {}}, *({**ARTICLE, name: None} for name in ("title", "url"))]
)
def test_what_is_no_article_is_refused(item):
    with pytest.raises(ProtocolError, match=r"^headline: "):
        parse(item, 7)
