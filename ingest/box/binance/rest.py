"""Binance USD-M market data by REST: requests in, replies out, as strict as the venue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingest.box.binance.ws import aggregate_row, aggregated, best_prices
from ingest.box.floor.exchange import Exchange
from ingest.box.floor.market import LENGTHS, Candle, Market, Print, bucket_end
from ingest.box.wire import Asked, Refused, Reply, json_reply, whole_number
from utils.rows import MS_PER_DAY, MS_PER_HOUR, NS_PER_MS

DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
#: Requests a minute, in units of weight.
WEIGHT_LIMIT = 2400
#: Periods of the positioning statistics, ms.
PERIODS = {name: LENGTHS[name] for name in ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")}
_FAR = 2**53


def weight(path: str, limit: str, symbol: str) -> int:
    """What a request costs of the minute's budget; a limit that is no number costs the least."""
    size = whole_number(limit) or 0
    if path.endswith("/klines"):
        return 1 if 0 < size < 100 else 2 if size < 500 else 5 if size <= 1000 else 10
    if path.endswith("/depth"):
        return 2 if 0 < size <= 50 else 5 if 0 < size <= 100 else 10 if size <= 500 else 20
    fixed = {"aggTrades": 20, "trades": 5, "fundingRate": 0, "fundingInfo": 0}
    without_symbol = {"24hr": 40, "bookTicker": 5, "premiumIndex": 10}
    name = path.rpartition("/")[2]
    if path.startswith("/futures/data"):
        return 0
    if name == "bookTicker" and symbol:
        return 2
    return fixed.get(name, 1 if symbol else without_symbol.get(name, 1))


class BinanceRest:
    """Every path of `/fapi/v1` and `/futures/data` that the product and ccxt ask for."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._paths: dict[str, Callable[[Asked], object]] = {
            "/fapi/v1/ping": lambda _: {},
            "/fapi/v1/time": lambda _: {"serverTime": self._ms},
            "/fapi/v1/exchangeInfo": self._info,
            "/fapi/v1/klines": self._klines,
            "/fapi/v1/depth": self._depth,
            "/fapi/v1/aggTrades": self._aggregates,
            "/fapi/v1/trades": self._trades,
            "/fapi/v1/ticker/24hr": self._day,
            "/fapi/v1/ticker/bookTicker": self._best,
            "/fapi/v1/premiumIndex": self._premium,
            "/fapi/v1/fundingRate": self._funding,
            "/fapi/v1/fundingInfo": self._funding_info,
            "/fapi/v1/openInterest": self._interest,
            "/futures/data/openInterestHist": self._interests,
            "/futures/data/globalLongShortAccountRatio": self._ratios,
        }

    def knows(self, path: str) -> bool:
        """Whether there is such a path."""
        return path in self._paths

    def reply(self, asked: Asked) -> Reply:
        """The answer to a request."""
        try:
            return json_reply(self._paths[asked.path](asked))
        except Refused as refused:
            asked.refused()
            return refused.reply

    @property
    def _ms(self) -> int:
        return self._exchange.now // NS_PER_MS

    # --- parameters

    def _market(self, asked: Asked) -> Market:
        symbol = asked.text("symbol")
        if not symbol:
            raise refusal(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        if symbol not in self._exchange.symbols:
            raise refusal(-1121, "Invalid symbol.")
        return self._exchange.market(symbol)

    def _markets(self, asked: Asked) -> list[Market]:
        """The named market, or all of them."""
        if asked.text("symbol"):
            return [self._market(asked)]
        return [self._exchange.market(name) for name in self._exchange.symbols]

    # --- answers

    def _info(self, _asked: Asked) -> dict[str, Any]:
        return {
            "timezone": "UTC",
            "serverTime": self._ms,
            "futuresType": "U_MARGINED",
            "rateLimits": [
                {
                    "rateLimitType": "REQUEST_WEIGHT",
                    "interval": "MINUTE",
                    "intervalNum": 1,
                    "limit": WEIGHT_LIMIT,
                },
                {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
            ],
            "exchangeFilters": [],
            "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
            "symbols": [self._symbol(self._exchange.market(name)) for name in self._exchange.symbols],
        }

    def _symbol(self, market: Market) -> dict[str, Any]:
        grid = market.grid
        step = {"minQty": grid.qty(1), "stepSize": grid.qty(1)}
        return {
            "symbol": market.symbol,
            "pair": market.symbol,
            "contractType": "PERPETUAL",
            "deliveryDate": 4133404800000,
            "onboardDate": market.begin_ms,
            "status": "TRADING",
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "baseAsset": market.symbol.removesuffix("USDT"),
            "quoteAsset": "USDT",
            "marginAsset": "USDT",
            "pricePrecision": grid.price_digits,
            "quantityPrecision": grid.qty_digits,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": "COIN",
            "underlyingSubType": [],
            "triggerProtect": "0.0500",
            "liquidationFee": "0.012500",
            "marketTakeBound": "0.05",
            "filters": [
                {
                    "filterType": "PRICE_FILTER",
                    "minPrice": grid.price(1),
                    "maxPrice": grid.price(20_000_000),
                    "tickSize": grid.price(1),
                },
                {"filterType": "LOT_SIZE", "maxQty": grid.qty(10_000_000)} | step,
                {"filterType": "MARKET_LOT_SIZE", "maxQty": grid.qty(1_000_000)} | step,
                {"filterType": "MAX_NUM_ORDERS", "limit": 200},
                {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
                {"filterType": "MIN_NOTIONAL", "notional": "5"},
                {
                    "filterType": "PERCENT_PRICE",
                    "multiplierUp": "1.0500",
                    "multiplierDown": "0.9500",
                    "multiplierDecimal": "4",
                },
            ],
            "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
            "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        }

    def _klines(self, asked: Asked) -> list[list[Any]]:
        market, tf = self._market(asked), asked.text("interval")
        if not tf:
            raise refusal(-1102, "Mandatory parameter 'interval' was not sent, was empty/null, or malformed.")
        if tf not in LENGTHS:
            raise refusal(-1120, "Invalid interval.")
        limit = whole(asked, "limit", 500, 1, 1500)
        start, end = span(asked)
        rows = market.candles_of(tf, start, end)
        rows = rows[:limit] if start else rows[-limit:]
        return [kline_row(market, row, tf) for row in rows]

    def _depth(self, asked: Asked) -> dict[str, Any]:
        market, limit = self._market(asked), asked.text("limit", "500")
        if limit not in map(str, DEPTH_LIMITS):
            raise refusal(-4021, f"'{limit}' is not valid depth limit.")
        grid = market.grid
        return {
            "lastUpdateId": market.update_id,
            "E": self._ms,
            "T": market.ts // NS_PER_MS,
            "bids": grid.levels(market.bids.top(int(limit)), 1),
            "asks": grid.levels(market.asks.top(int(limit)), -1),
        }

    def _aggregates(self, asked: Asked) -> list[dict[str, Any]]:
        market, limit = self._market(asked), whole(asked, "limit", 500, 1, 1000)
        start, end = span(asked)
        first_id = whole(asked, "fromId", 0, 0, _FAR)
        if start and end < _FAR and end - start > MS_PER_HOUR:
            raise refusal(-1127, "More than 1 hours between startTime and endTime.")
        if start < self._ms - 48 * MS_PER_HOUR and start:
            start = self._ms - 48 * MS_PER_HOUR
        trades = [t for t in market.trades if t.aggregate >= first_id and start <= t.ts // NS_PER_MS <= end]
        groups = aggregated(trades)
        groups = groups[:limit] if start or first_id else groups[-limit:]
        return [aggregate_row(market, group) for group in groups]

    def _trades(self, asked: Asked) -> list[dict[str, Any]]:
        market, limit = self._market(asked), whole(asked, "limit", 500, 1, 1000)
        grid = market.grid
        return [
            {
                "id": trade.id,
                "price": grid.price(trade.tick),
                "qty": grid.qty(trade.lots),
                "quoteQty": grid.value(trade.tick * trade.lots),
                "time": trade.ts // NS_PER_MS,
                "isBuyerMaker": trade.side < 0,
            }
            for trade in market.trades[-limit:]
        ]

    def _day(self, asked: Asked) -> object:
        rows = [self._day_row(market) for market in self._markets(asked)]
        return rows[0] if asked.text("symbol") else rows

    def _day_row(self, market: Market) -> dict[str, Any]:
        grid, day, last = market.grid, market.day(), market.last_tick
        trade: Print | None = market.trades[-1] if market.trades else None
        mean = day.value // day.lots if day.lots else last
        return {
            "symbol": market.symbol,
            "priceChange": grid.price(last - day.open),
            "priceChangePercent": f"{100 * (last - day.open) / day.open:.3f}",
            "weightedAvgPrice": grid.price(mean),
            "lastPrice": grid.price(last),
            "lastQty": grid.qty(trade.lots if trade else 0),
            "openPrice": grid.price(day.open),
            "highPrice": grid.price(day.high),
            "lowPrice": grid.price(day.low),
            "volume": grid.qty(day.lots),
            "quoteVolume": grid.value(day.value),
            "openTime": day.open_ms,
            "closeTime": trade.ts // NS_PER_MS if trade else self._ms,
            "firstId": day.first_id,
            "lastId": market.last_trade_id,
            "count": day.trades,
        }

    def _best(self, asked: Asked) -> object:
        rows = []
        for market in self._markets(asked):
            best = best_prices(market)
            rows.append(
                {
                    "symbol": market.symbol,
                    "bidPrice": best["b"],
                    "bidQty": best["B"],
                    "askPrice": best["a"],
                    "askQty": best["A"],
                    "time": market.ts // NS_PER_MS,
                    "lastUpdateId": market.update_id,
                }
            )
        return rows[0] if asked.text("symbol") else rows

    def _premium(self, asked: Asked) -> object:
        rows = [
            {
                "symbol": market.symbol,
                "markPrice": market.mark(),
                "indexPrice": market.index(),
                "estimatedSettlePrice": market.mark(),
                "lastFundingRate": market.funding_rate(market.next_funding_ms(self._ms)),
                "interestRate": "0.00010000",
                "nextFundingTime": market.next_funding_ms(self._ms),
                "time": self._ms,
            }
            for market in self._markets(asked)
        ]
        return rows[0] if asked.text("symbol") else rows

    def _funding(self, asked: Asked) -> list[dict[str, Any]]:
        limit = whole(asked, "limit", 100, 1, 1000)
        start, end = span(asked)
        rows: list[dict[str, Any]] = [
            {
                "symbol": market.symbol,
                "fundingTime": stamp,
                "fundingRate": market.funding_rate(stamp),
                "markPrice": market.grid.price(market.price_at(stamp)),
            }
            for market in self._markets(asked)
            for stamp in market.settlements(self._ms)
            if start <= stamp <= end
        ]
        rows.sort(key=lambda row: row["fundingTime"])
        return rows[:limit] if start else rows[-limit:]

    def _funding_info(self, _asked: Asked) -> list[dict[str, Any]]:
        limits = {"adjustedFundingRateCap": "0.00500000", "adjustedFundingRateFloor": "-0.00500000"}
        rest = {"fundingIntervalHours": 8, "disclaimer": False}
        return [{"symbol": name} | limits | rest for name in self._exchange.symbols]

    def _interest(self, asked: Asked) -> dict[str, Any]:
        market = self._market(asked)
        interest = market.open_interest(self._ms)
        return {"openInterest": market.grid.qty(interest), "symbol": market.symbol, "time": self._ms}

    def _stamps(self, asked: Asked, market: Market) -> Sequence[int]:
        """Times of a positioning statistic, oldest first; a month back at most."""
        period = asked.text("period")
        if period not in PERIODS:
            raise refusal(-1130, "Data sent for parameter 'period' is not valid.")
        limit, length = whole(asked, "limit", 30, 1, 500), PERIODS[period]
        start, end = span(asked)
        oldest = max(-(-max(market.begin_ms, start) // length) * length, self._ms - 30 * MS_PER_DAY)
        stamps = range(oldest, min(self._ms, end) + 1, length)
        return stamps[:limit] if start else stamps[-limit:]

    def _interests(self, asked: Asked) -> list[dict[str, Any]]:
        market = self._market(asked)
        rows = []
        for stamp in self._stamps(asked, market):
            interest = market.open_interest(stamp)
            rows.append(
                {
                    "symbol": market.symbol,
                    "sumOpenInterest": market.grid.qty(interest),
                    "sumOpenInterestValue": market.grid.value(interest * market.price_at(stamp)),
                    "timestamp": stamp,
                }
            )
        return rows

    def _ratios(self, asked: Asked) -> list[dict[str, Any]]:
        market = self._market(asked)
        rows = []
        for stamp in self._stamps(asked, market):
            share = round(market.long_share(stamp, PERIODS[asked.text("period")]), 4)
            rows.append(
                {
                    "symbol": market.symbol,
                    "longShortRatio": f"{share / (1 - share):.4f}",
                    "longAccount": f"{share:.4f}",
                    "shortAccount": f"{1 - share:.4f}",
                    "timestamp": stamp,
                }
            )
        return rows


def refusal(code: int, message: str, status: int = 400) -> Refused:
    """The venue's no."""
    return Refused(json_reply({"code": code, "msg": message}, status))


def whole(asked: Asked, name: str, default: int, least: int, most: int) -> int:
    """A whole number among the parameters, within its bounds."""
    number = whole_number(asked.text(name, str(default)))
    if number is None or not least <= number <= most:
        raise refusal(-1130, f"Data sent for parameter '{name}' is not valid.")
    return number


def span(asked: Asked) -> tuple[int, int]:
    """StartTime and endTime in ms; 0 and a far future where not given."""
    start, end = whole(asked, "startTime", 0, 0, _FAR), whole(asked, "endTime", _FAR, 0, _FAR)
    if start > end:
        raise refusal(-1023, "Start time is greater than end time.")
    return start, end


def kline_row(market: Market, candle: Candle, tf: str) -> list[Any]:
    """The twelve columns of a candle."""
    grid = market.grid
    return [
        candle.open_ms,
        grid.price(candle.open),
        grid.price(candle.high),
        grid.price(candle.low),
        grid.price(candle.close),
        grid.qty(candle.lots),
        bucket_end(candle.open_ms, tf) - 1,
        grid.value(candle.value),
        candle.trades,
        grid.qty(candle.bought),
        grid.value(candle.bought_value),
        "0",
    ]
