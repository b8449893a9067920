"""Bybit, as `ingest.venues.known` lists it."""

from __future__ import annotations

from ingest.venues.facts import CandleCall, Language, Market, Refusals, Rest, Tapes, Venue


def _language() -> Language:
    from ingest.venues.bybit import fast, protocol

    return Language(protocol.BybitProtocol, protocol.connections, protocol.snapshot_message, fast.advance)


def _rest(category: str, depths: tuple[int, ...]) -> Rest:
    return Rest(
        ccxt="bybit",
        types=(category,),
        host="https://api.{hostname}",
        at="bybit_rest",
        candles=CandleCall(
            call="publicGetV5MarketKline",
            since="start",
            until="end",
            more={"category": category},
            rows_at=("result", "list"),
            newest_first=True,
            columns=(0, 1, 2, 3, 4, 5),
        ),
        depths=depths,
        sides=(("result", "b"), ("result", "a")),
    )


_INVERSE = Market(
    name="bybit_inverse",
    address=r"/v5/public/inverse|category=inverse",
    message=r'"topic":"[^"]*\.[A-Z0-9]+USD(?:[HMUZ]\d\d)?"',
    in_coin=True,
)
_LINEAR = Market(
    name="bybit_linear",
    kind="futures",
    ws="bybit_ws",
    rest=_rest("linear", (1, 25, 50, 100, 200, 500, 1000)),
    address=r"/v5/public/linear|category=linear",
    message=r'"topic":"tickers\..*"(?:markPrice|openInterest)":|"topic":"publicTrade\..*"L":"',
)
_SPOT = Market(
    name="bybit_spot",
    kind="spot",
    ws="bybit_ws",
    rest=_rest("spot", (1, 25, 50, 100, 200)),
    address=r"/v5/public/spot|category=spot",
    message=r'"topic":"tickers\..*"usdIndexPrice":|"topic":"publicTrade\..*"BT":',
)

BYBIT = Venue(
    name="bybit",
    title="Bybit v5",
    markets=(_INVERSE, _LINEAR, _SPOT),
    usual="bybit_linear",
    language=_language,
    tapes=Tapes(message=r'"topic"\s*:\s*"|"op"\s*:\s*"|"ret_msg"\s*:|^pong$', stamp=r'"ts"\s*:\s*(\d{13,19})'),
    aliases=("bybit_linear",),
    sockets=500,
    # timeout and server error are plain ExchangeErrors to ccxt
    refusals=Refusals(passing=frozenset({"10000", "10016"}), limited="10006", reset="X-Bapi-Limit-Reset-Timestamp"),
    funding_page=200,
    ratio_period="5min",
    archive=("start", "open", "high", "low", "close", "volume", "turnover"),
)
