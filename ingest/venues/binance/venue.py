"""Binance, as `ingest.venues.known` lists it."""

from __future__ import annotations

from ingest.venues.facts import CandleCall, Language, Market, Refusals, Rest, Tapes, Venue

#: Time, open, high, low, close, volume, and the ninth: what takers bought.
_CANDLE = (0, 1, 2, 3, 4, 5, 9)
_DEPTHS = (5, 10, 20, 50, 100, 500, 1000)


def _language() -> Language:
    from ingest.venues.binance import protocol

    return Language(protocol.BinanceProtocol, protocol.connections, protocol.snapshot_message)


_COINM = Market(
    name="binance_coinm",
    address=r"//dstream\d?\.|/dapi/",
    message=r'"s":"[A-Z0-9]+USD_(?:PERP|\d{6})"',
    in_coin=True,
)
_USDM = Market(
    name="binance_usdm",
    kind="futures",
    ws="binance_ws",
    rest=Rest(
        ccxt="binanceusdm",
        types=("linear",),
        host="https://fapi.binance.com",
        at="binance_rest",
        candles=CandleCall(call="fapiPublicGetKlines", since="startTime", until="endTime", columns=_CANDLE),
        depths=_DEPTHS,
        numbers_books=True,
        weight=2400.0,
    ),
    address=r"//fstream\d?\.|/fapi/|/(?:public|market)/(?:ws|stream)",
    message=r'"e":"(?:depthUpdate".*"pu":\d|trade".*"X":"|bookTicker"|markPriceUpdate"|forceOrder")',
)
_SPOT = Market(
    name="binance_spot",
    kind="spot",
    ws="binance_spot_ws",
    rest=Rest(
        ccxt="binance",
        types=("spot",),
        host="https://api.binance.com",
        at="binance_spot_rest",
        candles=CandleCall(call="publicGetKlines", since="startTime", until="endTime", columns=_CANDLE),
        depths=(*_DEPTHS, 5000),
        numbers_books=True,
        stamps_books=False,
        outages=((1_679_662_800_000, 1_679_666_400_000),),  # 2023-03-24 13:00 to 14:00, seen in recordings
        weight=6000.0,
    ),
    address=r"//(?:stream|data-stream)\d?\.binance|/api/v3/",
    message=r'"e":"depthUpdate"|"e":"(?:trade|aggTrade)".*"M":',
    stamps_quotes=False,
)

BINANCE = Venue(
    name="binance",
    title="Binance",
    markets=(_COINM, _USDM, _SPOT),
    usual="binance_usdm",
    language=_language,
    tapes=Tapes(
        message=r'"stream"\s*:\s*"|"e"\s*:\s*"|"lastUpdateId"\s*:|"u"\s*:\s*\d+.*"A"\s*:|"result"\s*:',
        book=r'^(?!.*"stream").*"lastUpdateId"',
        stamp=r'"E"\s*:\s*(\d{13,19})',
        change=r'"e"\s*:\s*"depthUpdate".*"s"\s*:\s*"([^"]{1,40})"',
    ),
    aliases=("binanceusdm", "binance_usdm"),
    sockets=300,
    refusals=Refusals(unknown_symbol="-1121"),
    funding_page=1000,
    archive=(
        *("open_time", "open", "high", "low", "close", "volume", "close_time"),
        *("quote_volume", "count", "taker_buy_volume", "taker_quote", "ignore"),
    ),
)
