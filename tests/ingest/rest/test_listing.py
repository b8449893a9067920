import json

import ccxt
import pytest
import zstandard

from ingest.prices import get_ohlcv
from ingest.rest.listing import listing_of
from ingest.rest.retry import BadVenueData
from ingest.rest.venue import close_venues, instrument
from tests.ingest.rest.support import QUICK, VENUES
from tests.places import DATA
from tests.scripted import Reply, ScriptedServer
from utils.errors import ConfigError, DataUnavailable
from utils.settings.tree import EndpointSettings

RECORDED = DATA / "rest"
both = pytest.mark.parametrize("exchange", VENUES)


@both
@pytest.mark.parametrize(
    "symbol",
    [
        "BTCUSDT",
        "btcusdt",
        "BTC/USDT",
        "BTC/USDT:USDT",
        "BTC-USDT",
        "btc_usdt",
        "BTC-USDT-SWAP",
        "BTCUSDT-LINEAR.BYBIT",
    ],
)
def test_every_spelling_is_the_same_perpetual(box, exchange, symbol):
    found = instrument(symbol, exchange, endpoints=box.endpoints, settings=QUICK)
    assert ("BTCUSDT", "BTC/USDT:USDT", True) == (found.symbol, found.unified, found.active)


@both
def test_a_base_that_begins_with_digits_is_found(box, exchange):
    found = instrument("1000PEPE/USDT:USDT", exchange, endpoints=box.endpoints, settings=QUICK)
    assert ("1000PEPEUSDT", "1000PEPEUSDT") == (found.symbol, found.id)


@both
@pytest.mark.parametrize("symbol", ["PEPEUSDT", "BTCUSDX"])
def test_an_unknown_symbol_is_the_users_mistake_and_the_nearest_is_named(box, exchange, symbol):
    with pytest.raises(ConfigError, match=f"perpetual contract of {exchange}, saw '{symbol}'; did you mean .*USDT"):
        instrument(symbol, exchange, endpoints=box.endpoints, settings=QUICK)


@both
def test_each_near_symbol_is_named_once(box, exchange):
    with pytest.raises(ConfigError, match=r"did you mean ([A-Z0-9]+)( or (?!\1\b)[A-Z0-9]+)*\?$"):
        instrument("BTC-PERP", exchange, endpoints=box.endpoints, settings=QUICK)


@pytest.mark.parametrize("symbol", ["BTCUSDT_260626", "BTC/USDT:USDT-260626", "BTCUSDT-26JUN26"])
def test_a_dated_contract_is_refused(box, symbol):
    with pytest.raises(ConfigError, match="perpetual contract"):
        instrument(symbol, "binance", endpoints=box.endpoints, settings=QUICK)


@both
def test_the_filters_are_those_the_exchange_gives(box, exchange):
    found = instrument("BTCUSDT", exchange, endpoints=box.endpoints, settings=QUICK)
    folder, status = {"binance": ("binance_usdm", "TRADING"), "bybit": ("bybit_linear", "Trading")}[exchange]
    begin = box.candles("BTCUSDT", "1m")[0].open_ms
    assert (folder, status, 5.0, begin) == (found.market, found.status, found.min_notional, found.listed_ms)
    assert (0.1, 0.001, 0.001) == (found.tick_size, found.lot_size, found.min_qty)


def recorded(name: str, part: str) -> bytes:
    """A REST body of the recordings, as it came."""
    path = RECORDED / name
    if not path.exists():
        pytest.skip(f"no recording {name}")
    with zstandard.open(path, "rt", encoding="utf-8") as lines:
        found = next(line for line in lines if part in line)
    return json.dumps(json.loads(found)["body"]).encode()


EMPTY = b'{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[],"nextPageCursor":""},"time":1786310817601}'


def test_bybits_real_listings_are_read_and_every_kind_of_contract_told_apart():
    linear = recorded("bybit_http.jsonl.zst", "category=linear")
    with ScriptedServer(lambda asked: Reply(EMPTY if "PreLaunch" in asked.query.values() else linear)) as server:
        endpoints = EndpointSettings(bybit_rest=server.url)

        def named(symbol):
            return instrument(symbol, "bybit", endpoints=endpoints, settings=QUICK)

        seen = [named(name).id for name in ("BTCPERP", "BTC/USDC:USDC", "BTCUSDC", "BTC-USDT", "1000PEPEUSDT")]
        bitcoin = named("BTCUSDT")
        with pytest.raises(ConfigError, match="did you mean 1000PEPEUSDT"):
            named("PEPEUSDT")
        close_venues()
    assert ["BTCPERP", "BTCPERP", "BTCPERP", "BTCUSDT", "1000PEPEUSDT"] == seen
    assert (0.1, 0.001, 5.0, 100.0) == (
        bitcoin.tick_size,
        bitcoin.lot_size,
        bitcoin.min_notional,
        bitcoin.max_leverage,
    )


def test_binances_real_listings_are_read_and_what_does_not_trade_is_refused():
    info = json.loads(recorded("binance_futures_http.jsonl.zst", "exchangeInfo"))
    halted = "SUSHIUSDT"
    next(row for row in info["symbols"] if row["symbol"] == halted)["status"] = "SETTLING"
    with ScriptedServer(lambda _: Reply(info)) as server:
        endpoints = EndpointSettings(binance_rest=server.url)
        bitcoin = instrument("BTCUSDT", "binance", endpoints=endpoints, settings=QUICK)
        gone = instrument(halted, "binance", endpoints=endpoints, settings=QUICK)
        with pytest.raises(DataUnavailable, match=rf"{halted} does not trade \(status SETTLING\)"):
            get_ohlcv(halted, "1m", endpoints=endpoints, settings=QUICK)
        close_venues()
    assert (0.01, 0.001, 5.0, "TRADING") == (
        bitcoin.tick_size,
        bitcoin.lot_size,
        bitcoin.min_notional,
        bitcoin.status,
    )
    assert (halted, False) == (gone.symbol, gone.active)


def market(**precision):
    """A market as ccxt has it."""
    return {
        "id": "BTCUSDT", "base": "BTC", "quote": "USDT", "symbol": "BTC/USDT:USDT", "active": True, "info": {},
        "contractSize": 1.0, "created": None, "precision": precision,
        "limits": {"amount": {"min": None}, "cost": {"min": None}, "leverage": {"max": None}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("place", "name", "value", "says"),
    [
        ("precision", "price", -0.1, "tick: expected a number above 0, saw -0.1"),
        ("precision", "price", 0.0, "tick: expected a number above 0, saw 0.0"),
        ("precision", "amount", "-1", "lot: expected a number above 0"),
        ("precision", "amount", "nan", "lot: expected a plain decimal"),
    ],
)
def test_a_step_that_cannot_be_is_the_exchanges_fault(place, name, value, says):
    found = market(price=0.1, amount=0.001)
    assert 0.1 == listing_of(found, "bybit_linear", ccxt.TICK_SIZE, by_id=True).tick_size
    found[place][name] = value
    with pytest.raises(BadVenueData, match=says):
        listing_of(found, "bybit_linear", ccxt.TICK_SIZE, by_id=True)


@pytest.mark.parametrize("decimals", [400, 1e5])
def test_decimals_that_no_price_has_are_the_exchanges_fault(decimals):
    found = market(price=decimals, amount=3)
    with pytest.raises(BadVenueData, match="tick: expected a number above 0"):
        listing_of(found, "somewhere", ccxt.DECIMAL_PLACES, by_id=True)
