"""The table of exchanges: what settings say of them agrees with it, and a third one is a folder and one line."""

import ast
import re
import time

import pytest

from ingest import checkup
from ingest.live.dial import SOCKETS_SHARE, Dialler
from ingest.live.feed import LiveFeed
from ingest.live.market import MarketFeed
from ingest.orderbook_ccxt import get_orderbook
from ingest.prices import get_ohlcv
from ingest.rest.venue import close_venues
from ingest.tape import replay
from ingest.tapes.record import Recorder
from ingest.venues.known import (
    VENUES,
    address,
    check_names,
    folder_of,
    name_of,
    own_addresses,
    place_of,
    places,
    recorded,
    streamed,
)
from ingest.wire.streams import Stream
from tests.boxes import box_in_thread
from tests.ingest.rest.support import QUICK
from tests.places import ROOT
from tests.test_house import PACKAGES
from tests.toy import TOY, toy_server
from utils.config import load_settings
from utils.errors import ConfigError, DataError
from utils.settings.keys import field_of, range_of
from utils.settings.tree import INSTRUMENTS, EndpointSettings, IngestSettings, Settings

BOOK = Stream("book", "BTCUSDT")
MS = time.time_ns() // 1_000_000
MESSAGES = [["BTCUSDT", 1 + i, MS + i, f"{100 + i}", f"{101 + i}"] for i in range(3)]


@pytest.fixture
def toy(monkeypatch):
    """The table with one more line."""
    monkeypatch.setitem(VENUES, TOY.name, TOY)
    yield TOY
    close_venues()


def loaded(tmp_path, **env):
    (tmp_path / "config.yaml").touch()
    (tmp_path / ".env").touch()
    return load_settings(tmp_path / "config.yaml", dotenv=tmp_path / ".env", env=env)


# --- what is known


def test_settings_and_table_name_the_same_exchanges_markets_and_addresses():
    assert sorted(VENUES) == range_of(field_of("market.exchange")).split(", ")
    markets = {place.market.name for place in places() if place.market.kind}
    assert markets == set(INSTRUMENTS) - {"default"}
    told = {name for _, market in places() if market.kind for name in (market.ws, market.rest.at)}
    assert told <= set(own_addresses())
    assert told == set(EndpointSettings.model_fields) - {"cryptopanic", "coingecko", "coingecko_pro"}


def test_a_markets_folder_is_named_by_the_table_and_by_a_rule_where_the_exchange_is_not_known():
    pairs = [(exchange, kind) for exchange in ("binance", "bybit", "okx") for kind in ("futures", "spot")]
    folders = ["binance_usdm", "binance_spot", "bybit_linear", "bybit_spot", "okx_linear", "okx_spot"]
    assert folders == [folder_of(*pair) for pair in pairs]


@pytest.mark.parametrize("name", ["binanceusdm", " Binance_USDM", "binance"])
def test_an_exchange_goes_by_other_names_too(name):
    assert "binance" == name_of(name)


def test_what_is_not_in_the_table_is_refused_by_a_sentence_that_names_what_is(tmp_path):
    with pytest.raises(ConfigError, match="bybit futures, bybit spot, binance futures, binance spot, saw okx spot"):
        streamed("okx", "spot")
    with pytest.raises(DataError, match=r"bybit_inverse, .* saw 'okx_linear'"):
        recorded("okx_linear")
    named = loaded(tmp_path, SCALPER__MARKET__EXCHANGE="okx")
    with pytest.raises(ConfigError, match=r"market.exchange: expected one of binance, bybit, saw 'okx' \(from env"):
        check_names(named)
    stray = loaded(tmp_path, SCALPER__ENDPOINTS__BIBYT_WS="wss://x.test")
    with pytest.raises(ConfigError, match=r"unknown key endpoints.bibyt_ws; did you mean endpoints.bybit_ws\?"):
        check_names(stray)


@pytest.mark.parametrize("name", ["BYBITT_REST", "BYBIT_LINEAR_WS", "BINANCE_FUTURES_REST"])
def test_a_slip_in_an_address_of_a_known_exchange_is_no_other_exchange(tmp_path, name):
    with pytest.raises(
        ConfigError, match=rf"SCALPER__ENDPOINTS__{name} names no setting; did you mean SCALPER__ENDPOI"
    ):
        loaded(tmp_path, **{f"SCALPER__ENDPOINTS__{name}": "https://x.test"})


#: Where an exchange may be named outside its folder and the box, and why.
NAMED = {
    "ingest/venues/known.py": "the table",
    "ingest/ws_bybit.py": "a promised name",
    "utils/settings/tree.py": "what users configure: the default exchange, addresses, fees",
    "backtest/run/simulation.py": "a promised default",
    "ingest/orderbook_ccxt.py": "a promised default",
    "ingest/prices.py": "a promised default",
    "ingest/smart_money.py": "a promised default",
    "ingest/headlines/coingecko.py": "CoinGecko's name of a coin",
}


def words(tree):
    """Every name and text of a module that is no documentation and no help for a flag."""
    bodies = (node.body for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list))
    dull = {id(part.value) for body in bodies for part in body if isinstance(part, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            said = [keyword.value for keyword in node.keywords if keyword.arg in {"help", "metavar", "examples"}]
            dull |= {id(part) for value in said for part in ast.walk(value)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in dull:
            yield str(node.value)
        yield from (str(getattr(node, name, "")) for name in ("id", "attr", "name", "module", "arg"))


def test_no_other_module_knows_an_exchange_by_name():
    naming = re.compile("|".join(VENUES), re.IGNORECASE)
    own = re.compile(rf"ingest/(?:venues/(?:{'|'.join(VENUES)})/|box/|replay_server\.py)")
    paths = [path for package in {name.split(".")[0] for name in PACKAGES} for path in (ROOT / package).rglob("*.py")]
    found = {
        path.relative_to(ROOT).as_posix()
        for path in [*paths, ROOT / "run_simulation.py", *(ROOT / "scripts").glob("*.py")]
        if any(naming.search(word) for word in words(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert set(NAMED) == {path for path in found if not own.match(path)}


# --- one more line


async def test_a_third_exchange_streams_and_a_tape_of_it_plays_back_what_was_live(toy, tmp_path):
    recorder = Recorder(tmp_path, [BOOK])
    with toy_server(MESSAGES) as at:
        feed = LiveFeed("toy", [BOOK], endpoints=EndpointSettings(toy_ws=at), on_raw=recorder)
        recorder.follow(feed)
        async with feed:
            live = [await anext(feed) for _ in MESSAGES]
    paths = recorder.close().paths
    assert [((100.0 + i, 1.0),) for i in range(3)] == [noun.bids for noun in live]
    assert live == list(replay(paths))[:3]
    assert ["toy_perpetual_BTCUSDT"] == [path.name.rsplit("_", 1)[0] for path in paths]


async def test_a_third_exchanges_book_stands_beside_the_bars_of_a_live_run(toy):
    with toy_server(MESSAGES) as at:
        settings = Settings(market={"exchange": "toy"}, endpoints={"toy_ws": at})
        async with MarketFeed(["BTCUSDT"], "1m", "toy", settings) as feed:
            events = aiter(feed)
            assert [100.0, 101.0, 102.0] == [(await anext(events)).bids[0][0] for _ in MESSAGES]


def test_a_third_exchanges_candles_come_from_the_address_in_the_settings(toy):
    with box_in_thread(symbols=("BTCUSDT",), history_hours=3.0) as box:
        patient = QUICK.model_copy(update={"timeout_s": 120.0})
        frame = get_ohlcv(
            "BTCUSDT", "1m", "toy_perpetual", limit=5, endpoints=EndpointSettings(toy_rest=box.http), settings=patient
        )
        own = {candle.open_ms: candle.close for candle in box.candles("BTCUSDT", "1m")}
    assert ("toy", "toy_perpetual") == (frame.attrs["exchange"], frame.attrs["market"])
    assert 5 == len(frame)
    assert set(frame["close"]) <= set(own.values())
    assert {"/v5/market/kline"} == {one.path.partition("?")[0] for one in box.requests if "kline" in one.path}


def test_a_market_that_is_not_asked_by_rest_says_so(toy):
    with pytest.raises(
        ConfigError, match="toy spot: expected a market that is asked by REST, saw one of streams alone"
    ):
        get_orderbook("BTCUSDT", "toy", "spot", endpoints=EndpointSettings(), settings=QUICK)


async def test_a_third_exchanges_limits_hold_for_its_sockets(toy):
    dialler = Dialler(streamed("toy", "futures"), IngestSettings())
    assert int(SOCKETS_SHARE * TOY.sockets) == dialler.opened.maxlen


def test_the_doctor_looks_at_a_third_exchange(toy, tmp_path):
    with toy_server(MESSAGES) as at:
        found = loaded(tmp_path, SCALPER__MARKET__EXCHANGE="toy", SCALPER__ENDPOINTS__TOY_WS=at)
        check_names(found)
        moved = checkup.check_endpoints(found.settings.endpoints, found.origin)
        (stream,) = checkup.ask_stream(found.settings, found.settings.ingest)
    assert f"toy_ws at {at.removeprefix('ws://')}" in moved.seen
    assert ("stream", checkup.OK) == (stream.name, stream.status)
    assert checkup.OK == checkup.check_endpoints(EndpointSettings(), {}).status


def test_a_third_exchange_is_charged_as_the_default_until_the_settings_say_otherwise(toy):
    place = place_of("toy", "futures")
    assert "wss://stream.toy.test" == address(EndpointSettings(), place.market.ws)
    assert (2.0, 5.0) == tuple(Settings().instrument(place.market.name, "BTCUSDT").model_dump()[fee] for fee in FEES)


FEES = ("maker_bps", "taker_bps")
