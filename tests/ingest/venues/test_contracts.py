"""Coin-margined markets count contracts: what comes of their messages is base currency, at every door."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ingest.box.tape_flow import Tape
from ingest.orderbook_ccxt import _fetch_book, _fetch_trades
from ingest.rest.listing import listing_of
from ingest.rest.venue import STRANGER
from ingest.tape import replay
from ingest.tapes.file import Record, TapeWriter
from ingest.venues.binance.protocol import BinanceProtocol
from ingest.venues.bybit.protocol import BybitProtocol
from ingest.wire.streams import Stream
from tests.wire import (
    MS,
    R0,
    T0,
    binance_protocol,
    bybit,
    bybit_book,
    bybit_protocol,
    bybit_trade,
    diff,
    rest_book,
    text,
)
from utils.errors import DataError
from utils.settings.tree import IngestSettings
from utils.types import Bar, Liquidation, Quote, Trade

MINUTE = T0 // 60_000 * 60_000


@pytest.mark.parametrize(
    ("symbol", "worth"), [("BTCUSD", 100.0), ("ETHUSD", 10.0), ("BTCUSD_261225", 100.0), ("XRPUSD_261225", 10.0)]
)
def test_a_coin_margined_book_of_binance_is_in_base_currency(symbol, worth):
    wire = symbol if "_" in symbol else f"{symbol}_PERP"
    protocol = BinanceProtocol([], market="binance_coinm", anything=True)
    protocol.receive(diff(91, 100, 90, symbol=wire), R0)
    [begin] = protocol.snapshot(wire, rest_book(95, "50000 617, 49999 3", "50001 2"), R0)
    assert ((50_000.0, 617 * worth / 50_000.0), (49_999.0, 3 * worth / 49_999.0)) == begin.bids
    [change] = protocol.receive(diff(101, 110, 100, b="50000 0, 49998 5", symbol=wire), R0)
    assert ((50_000.0, 0.0), (49_998.0, 5 * worth / 49_998.0)) == change.bids


def test_every_other_stream_of_coin_margined_contracts_of_binance_is_in_base_currency():
    kinds = [Stream(kind, "BTCUSD") for kind in ("trades", "quote", "liquidations")]
    protocol = binance_protocol(*kinds, Stream("bars", "BTCUSD", tf="1m"), market="binance_coinm")
    name = "BTCUSD_PERP"
    trade = {"e": "aggTrade", "E": T0, "T": T0, "s": name, "a": 1, "p": "50000", "q": "25", "m": False}
    assert [Trade("BTCUSD", T0 * MS, R0, 50_000.0, 0.05, 1)] == protocol.receive(text(trade), R0)
    quote = {"e": "bookTicker", "u": 1, "s": name, "b": "50000", "B": "25", "a": "100000", "A": "25", "T": T0, "E": T0}
    assert [Quote("BTCUSD", T0 * MS, R0, 50_000.0, 0.05, 100_000.0, 0.025)] == protocol.receive(text(quote), R0)
    order = {"s": name, "S": "SELL", "q": "25", "p": "50000", "T": T0}
    forced = text({"e": "forceOrder", "E": T0, "o": order})
    assert [Liquidation("BTCUSD", T0 * MS, R0, 50_000.0, 0.05, -1)] == protocol.receive(forced, R0)
    k = {"t": MINUTE - 60_000, "i": "1m", "o": "50000", "h": "50000", "l": "50000", "c": "50000", "x": True}
    bar = text({"e": "kline", "E": T0, "s": name, "k": k | {"v": "25", "q": "0.05", "V": "5", "Q": "0.01"}})
    assert [Bar("BTCUSD", "1m", MINUTE * MS, R0, 5e4, 5e4, 5e4, 5e4, 0.05, 0.01)] == protocol.receive(bar, R0)


def test_a_coin_margined_bar_that_does_not_tell_its_base_volume_is_refused():
    protocol = binance_protocol(Stream("bars", "BTCUSD", tf="1m"), market="binance_coinm")
    k = {"t": MINUTE - 60_000, "i": "1m", "o": "1", "h": "1", "l": "1", "c": "1", "x": True, "v": "25", "V": "5"}
    assert [] == protocol.receive(text({"e": "kline", "E": T0, "s": "BTCUSD_PERP", "k": k}), R0)
    assert 1 == protocol.counts()["BTCUSD", "bars"].bad_messages


@pytest.mark.parametrize("settings", [{"market": "bybit_inverse"}, {"market": "bybit_linear", "anything": True}])
def test_every_stream_of_inverse_contracts_of_bybit_is_in_base_currency(settings):
    kinds = [] if "anything" in settings else [Stream(kind, "BTCUSD") for kind in ("book", "trades", "quote", "mark")]
    more = [] if "anything" in settings else [Stream("bars", "BTCUSD", tf="1m"), Stream("liquidations", "BTCUSD")]
    protocol = BybitProtocol([*kinds, *more], **settings)
    protocol.connected(R0)
    book = bybit_book(100, "50000 2500", "50001 50001", "snapshot", "BTCUSD")
    [begin] = protocol.receive(book, R0)
    assert (((50_000.0, 0.05),), ((50_001.0, 1.0),)) == (begin.bids, begin.asks)
    change = bybit_book(101, "50000 5000", symbol="BTCUSD")
    assert settings.get("anything") or not protocol.advance(change, R0)
    [delta] = protocol.receive(change, R0)
    assert ((50_000.0, 0.1),) == delta.bids
    [trade] = protocol.receive(bybit("publicTrade", [bybit_trade("a", "50000", "2500", symbol="BTCUSD")], "BTCUSD"), R0)
    assert 0.05 == trade.qty
    fields = {"symbol": "BTCUSD", "bid1Price": "50000", "bid1Size": "2500", "ask1Price": "100000", "ask1Size": "2500"}
    [quote] = protocol.receive(bybit("tickers", fields, "BTCUSD"), R0)
    assert (0.05, 0.025) == (quote.bid_qty, quote.ask_qty)
    row = {"start": MINUTE - 60_000, "interval": "1", "open": "50000", "close": "50000", "high": "50000"}
    row |= {"low": "50000", "volume": "2500", "turnover": "0.05", "confirm": True}
    [bar] = protocol.receive(bybit("kline.1", [row], "BTCUSD"), R0)
    assert 0.05 == bar.volume
    forced = [{"T": T0, "s": "BTCUSD", "S": "Buy", "v": "2500", "p": "50000"}]
    [liquidation] = protocol.receive(bybit("allLiquidation", forced, "BTCUSD"), R0)
    assert 0.05 == liquidation.qty


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTCPERP", "BTCUSDC", "ETHUSDT"])
def test_linear_and_spot_quantities_are_as_they_came(symbol):
    protocol = bybit_protocol(Stream("book", symbol))
    [begin] = protocol.receive(bybit_book(100, "50000 2500", "50001 1", "snapshot", symbol), R0)
    assert ((50_000.0, 2_500.0),) == begin.bids
    spot = bybit_protocol(Stream("book", "BTCUSD"), market="bybit_spot")
    [begin] = spot.receive(bybit_book(100, "50000 2500", "50001 1", "snapshot", "BTCUSD"), R0)
    assert ((50_000.0, 2_500.0),) == begin.bids


def coin_tape(tmp_path, *messages):
    writer = TapeWriter(tmp_path, lambda _: "coin.jsonl.zst")
    writer.put(Record(R0, event="connect", url="wss://dstream.binance.com/stream?streams=btcusd_perp@aggTrade"))
    for message in messages:
        writer.put(Record(R0, message))
    writer.close()
    return writer.paths[0]


def test_a_coin_margined_tape_plays_in_base_currency(tmp_path):
    trade = {"e": "aggTrade", "E": T0, "T": T0, "s": "BTCUSD_PERP", "a": 1, "p": "61700", "q": "617", "m": False}
    assert [1.0] == [noun.qty for noun in replay(coin_tape(tmp_path, text(trade)))]


def test_the_box_serves_no_coin_margined_tape(tmp_path):
    path = coin_tape(tmp_path, diff(1, 2, 0, symbol="BTCUSD_PERP"))
    with pytest.raises(DataError, match=r"expected a recording of a linear or spot market, saw binance_coinm"):
        Tape(path, None)


def listed():
    """An instrument of an exchange that only ccxt knows: contracts of 0.01 BTC."""
    rules = {"precision": {"amount": 1.0, "price": 0.1}, "contractSize": 0.01, "active": True, "created": None}
    limits = {"amount": {"min": 3.0}, "cost": {"min": None}, "leverage": {"max": None}}
    market = {"id": "BTC-USDT-SWAP", "base": "BTC", "quote": "USDT", "symbol": "BTC/USDT:USDT", "info": {}}
    return listing_of(market | rules | {"limits": limits}, "okx_linear", 4, by_id=False)


def test_lot_and_least_quantity_of_a_linear_market_of_contracts_are_base_currency():
    found = listed()
    assert (0.01, 0.03, 0.01) == (found.lot_size, found.min_qty, found.contract_size)


class Stranger:
    """A venue that answers with contracts, as ccxt has them."""

    ours, rest = None, STRANGER

    def listing(self, *_: object) -> Any:
        return listed()

    def reading(self, *_: object) -> None:
        pass

    def at_present(self, _: Any, look: Any) -> None:
        look(T0)

    def call(self, _: str, ask: Any, *__: object) -> Any:
        trade = {"symbol": "BTC/USDT:USDT", "side": "buy", "price": 5e4, "amount": 200.0, "timestamp": T0, "id": "1"}
        book = {"bids": [[49_999.0, 300.0]], "asks": [[50_000.0, 7.0]], "timestamp": T0, "nonce": None}
        return ask(SimpleNamespace(fetch_order_book=lambda *_: book, fetch_trades=lambda *_: [trade | {"info": {}}]))


def test_books_and_trades_by_rest_are_base_currency():
    settings: Any = IngestSettings()
    book = _fetch_book(Stranger(), "BTCUSDT", 50, settings)  # type: ignore[arg-type]
    assert ([[49_999.0, 3.0]], [[50_000.0, 0.07]]) == (book["bids"], book["asks"])
    [trade] = _fetch_trades(Stranger(), "BTCUSDT", 50, settings)  # type: ignore[arg-type]
    assert 2.0 == trade["amount"]
