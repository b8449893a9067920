"""Bybit v5 market data by REST, category linear: requests in, replies out, as strict as the venue."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ingest.box.bybit.ws import DEPTHS, INTERVALS, DepthTopic, ticker, trade_id
from ingest.box.floor.exchange import Exchange
from ingest.box.floor.market import Market, bucket, trimmed
from ingest.box.topics import Topics
from ingest.box.wire import Asked, Refused, Reply, json_reply, whole_number
from utils.rows import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, NS_PER_MS

CATEGORIES = ("linear", "spot", "inverse", "option")
#: Periods of the positioning statistics, ms.
PERIODS = {
    "5min": 5 * MS_PER_MINUTE,
    "15min": 15 * MS_PER_MINUTE,
    "30min": 30 * MS_PER_MINUTE,
    "1h": MS_PER_HOUR,
    "4h": 4 * MS_PER_HOUR,
    "1d": MS_PER_DAY,
}


class BybitRest:
    """Every path of `/v5/market` that the product and ccxt ask for."""

    def __init__(self, exchange: Exchange, topics: Topics) -> None:
        self._exchange = exchange
        self._topics = topics
        self._paths: dict[str, Callable[[Asked], dict[str, Any]]] = {
            "/v5/market/time": self._time,
            "/v5/market/instruments-info": self._instruments,
            "/v5/market/kline": self._kline,
            "/v5/market/orderbook": self._orderbook,
            "/v5/market/recent-trade": self._trades,
            "/v5/market/tickers": self._tickers,
            "/v5/market/funding/history": self._funding,
            "/v5/market/open-interest": self._interest,
            "/v5/market/account-ratio": self._ratio,
            "/v5/market/risk-limit": self._risk,
        }

    def knows(self, path: str) -> bool:
        """Whether there is such a path."""
        return path in self._paths

    def reply(self, asked: Asked) -> Reply:
        """The answer to a request."""
        try:
            result = self._paths[asked.path](asked)
        except Refused as refused:
            asked.refused()
            return refused.reply
        return json_reply(self._envelope(0, "OK", result))

    def _envelope(self, code: int, message: str, result: object) -> dict[str, Any]:
        ms = self._ms
        return {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": ms}

    def refusal(self, message: str, code: int = 10001, status: int = 200) -> Refused:
        """The venue's no: HTTP 200 with a code."""
        return Refused(json_reply(self._envelope(code, message, {}), status))

    @property
    def _ms(self) -> int:
        return self._exchange.now // NS_PER_MS

    # --- parameters

    def _category(self, asked: Asked) -> str:
        category = asked.text("category")
        if category not in CATEGORIES:
            raise self.refusal("params error: Category is invalid")
        return category

    def _market(self, asked: Asked) -> Market:
        category, symbol = self._category(asked), asked.text("symbol")
        if category != "linear" or symbol not in self._exchange.symbols:
            raise self.refusal("Not supported symbols" if symbol else "params error: symbol is required")
        return self._exchange.market(symbol)

    def _whole(self, asked: Asked, name: str, default: int, least: int, most: int) -> int:
        number = whole_number(asked.text(name, str(default)) or str(default))
        if number is None or not least <= number <= most:
            raise self.refusal(f"params error: {name} invalid")
        return number

    def _clipped(self, asked: Asked, default: int, most: int) -> int:
        """A limit that the venue cuts rather than refuses."""
        return min(self._whole(asked, "limit", default, 1, 10**9), most)

    def _span(self, asked: Asked, start: str, end: str) -> tuple[int, int]:
        """Start and end in ms; 0 and a far future where not given."""
        first, last = self._whole(asked, start, 0, 0, 2**53), self._whole(asked, end, 2**53, 0, 2**53)
        if first > last:
            raise self.refusal(f"params error: {start} is after {end}")
        return first, last

    # --- answers

    def _time(self, _asked: Asked) -> dict[str, Any]:
        return {"timeSecond": str(self._exchange.now // (1000 * NS_PER_MS)), "timeNano": str(self._exchange.now)}

    def _instruments(self, asked: Asked) -> dict[str, Any]:
        category, symbol, status = self._category(asked), asked.text("symbol"), asked.text("status", "Trading")
        asked.text("baseCoin")
        limit, begin = self._clipped(asked, 500, 1000), self._whole(asked, "cursor", 0, 0, 10**9)
        names = list(self._exchange.symbols) if category == "linear" and status == "Trading" else []
        if symbol and symbol not in names:
            if category == "linear":
                raise self.refusal("params error: symbol invalid")
            names = []
        chosen = [symbol] if symbol and names else names
        page = chosen[begin : begin + limit]
        onward = str(begin + limit) if begin + limit < len(chosen) else ""
        rows = [self._instrument(self._exchange.market(name)) for name in page]
        return {"category": category, "list": rows, "nextPageCursor": onward}

    def _instrument(self, market: Market) -> dict[str, Any]:
        grid = market.grid
        base = market.symbol.removesuffix("USDT")
        return {
            "symbol": market.symbol,
            "contractType": "LinearPerpetual",
            "status": "Trading",
            "baseCoin": base,
            "quoteCoin": "USDT",
            "launchTime": str(market.begin_ms),
            "deliveryTime": "0",
            "deliveryFeeRate": "",
            "priceScale": str(grid.price_digits),
            "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
            "priceFilter": {
                "minPrice": grid.price(1),
                "maxPrice": grid.price(20_000_000),
                "tickSize": grid.price(1),
            },
            "lotSizeFilter": {
                "maxOrderQty": grid.qty(10_000_000),
                "minOrderQty": grid.qty(1),
                "qtyStep": grid.qty(1),
                "postOnlyMaxOrderQty": grid.qty(10_000_000),
                "maxMktOrderQty": grid.qty(1_000_000),
                "minNotionalValue": "5",
            },
            "unifiedMarginTrade": True,
            "fundingInterval": 480,
            "settleCoin": "USDT",
            "copyTrading": "both",
            "upperFundingRate": "0.005",
            "lowerFundingRate": "-0.005",
            "isPreListing": False,
            "preListingInfo": None,
            "riskParameters": {"priceLimitRatioX": "0.05", "priceLimitRatioY": "0.1"},
            "displayName": "",
            "symbolType": "",
        }

    def _kline(self, asked: Asked) -> dict[str, Any]:
        market, interval = self._market(asked), asked.text("interval")
        if interval not in INTERVALS:
            raise self.refusal("Invalid period!")
        limit, tf = self._clipped(asked, 200, 1000), INTERVALS[interval]
        start, end = self._span(asked, "start", "end")
        rows = market.candles_of(tf, bucket(start, tf) if start else 0, end)
        rows = rows[:limit] if start and "end" not in asked.query else rows[-limit:]
        grid = market.grid
        found = [
            [
                str(row.open_ms),
                trimmed(grid.price(row.open)),
                trimmed(grid.price(row.high)),
                trimmed(grid.price(row.low)),
                trimmed(grid.price(row.close)),
                trimmed(grid.qty(row.lots)),
                trimmed(grid.value(row.value)),
            ]
            for row in reversed(rows)
        ]
        return {"symbol": market.symbol, "category": "linear", "list": found}

    def _orderbook(self, asked: Asked) -> dict[str, Any]:
        market, limit = self._market(asked), self._whole(asked, "limit", 25, 1, 1000)
        topic = self._topics.topic(f"orderbook.{max(DEPTHS)}.{market.symbol}")
        assert isinstance(topic, DepthTopic)  # noqa: S101 - that is what these names are
        return topic.rest(limit)

    def _trades(self, asked: Asked) -> dict[str, Any]:
        market, limit = self._market(asked), self._clipped(asked, 500, 1000)
        grid = market.grid
        rows = [
            {
                "execId": trade_id(trade),
                "symbol": market.symbol,
                "price": grid.price(trade.tick),
                "size": grid.qty(trade.lots),
                "side": "Buy" if trade.side > 0 else "Sell",
                "time": str(trade.ts // NS_PER_MS),
                "isBlockTrade": False,
                "isRPITrade": False,
                "seq": str(trade.seq),
            }
            for trade in reversed(market.trades[-limit:])
        ]
        return {"category": "linear", "list": rows}

    def _tickers(self, asked: Asked) -> dict[str, Any]:
        category, symbol = self._category(asked), asked.text("symbol")
        asked.text("baseCoin")
        names: Iterable[str] = self._exchange.symbols if category == "linear" else ()
        if symbol:
            names = [self._market(asked).symbol]
        rest = {"predictedDeliveryPrice": "", "basisRate": "", "deliveryFeeRate": "", "deliveryTime": "0", "basis": ""}
        rows = [ticker(self._exchange.market(name), self._exchange.now) | rest for name in names]
        return {"category": category, "list": rows}

    def _funding(self, asked: Asked) -> dict[str, Any]:
        market, limit = self._market(asked), self._clipped(asked, 200, 200)
        start, end = self._span(asked, "startTime", "endTime")
        if start and "endTime" not in asked.query:
            raise self.refusal("params error: endTime is required with startTime")
        stamps = [stamp for stamp in market.settlements(self._ms) if start <= stamp <= end]
        rows = [
            {
                "symbol": market.symbol,
                "fundingRate": trimmed(market.funding_rate(stamp)),
                "fundingRateTimestamp": str(stamp),
            }
            for stamp in reversed(stamps[-limit:])
        ]
        return {"category": "linear", "list": rows}

    def _stamps(self, asked: Asked, market: Market, period_name: str) -> tuple[list[int], str]:
        """Times of a positioning statistic, newest first, and the cursor of the next page."""
        period = asked.text(period_name)
        if period not in PERIODS:
            raise self.refusal(f"params error: {period_name} invalid")
        limit, length = self._clipped(asked, 50, 500 if period_name == "period" else 200), PERIODS[period]
        start, end = self._span(asked, "startTime", "endTime")
        cursor = self._whole(asked, "cursor", 2**53, 0, 2**53)
        newest = min(self._ms, end, cursor) // length * length
        oldest = max(-(-market.begin_ms // length) * length, start)
        stamps = list(range(newest, oldest - 1, -length))
        return stamps[:limit], str(stamps[limit]) if len(stamps) > limit else ""

    def _interest(self, asked: Asked) -> dict[str, Any]:
        market = self._market(asked)
        stamps, onward = self._stamps(asked, market, "intervalTime")
        rows = [
            {"openInterest": market.grid.qty(market.open_interest(stamp)), "timestamp": str(stamp)} for stamp in stamps
        ]
        return {"symbol": market.symbol, "category": "linear", "list": rows, "nextPageCursor": onward}

    def _ratio(self, asked: Asked) -> dict[str, Any]:
        market = self._market(asked)
        stamps, onward = self._stamps(asked, market, "period")
        length = PERIODS[asked.text("period")]
        shares = [(stamp, round(market.long_share(stamp, length), 4)) for stamp in stamps]
        rows = [
            {
                "symbol": market.symbol,
                "buyRatio": f"{share:.4f}",
                "sellRatio": f"{1 - share:.4f}",
                "timestamp": str(stamp),
            }
            for stamp, share in shares
        ]
        return {"list": rows, "nextPageCursor": onward}

    def _risk(self, asked: Asked) -> dict[str, Any]:
        category, symbol = self._category(asked), asked.text("symbol")
        begin = self._whole(asked, "cursor", 0, 0, 10**9)
        names = [self._market(asked).symbol] if symbol else list(self._exchange.symbols)
        rows = [
            {
                "id": 15 * index + step,
                "symbol": name,
                "riskLimitValue": str(2_000_000 * step),
                "maintenanceMargin": f"{0.005 * step:.4f}",
                "initialMargin": f"{0.01 * step:.4f}",
                "isLowestRisk": int(step == 1),
                "maxLeverage": f"{100 / step:.2f}",
                "mmDeduction": "" if step == 1 else str(5_000 * step * (step - 1)),
            }
            for index, name in list(enumerate(names))[begin : begin + 15]
            for step in (1, 2, 3, 4, 5)
        ]
        onward = str(begin + 15) if begin + 15 < len(names) else ""
        return {"category": category, "list": rows, "nextPageCursor": onward}
