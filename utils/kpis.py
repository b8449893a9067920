"""Key figures of a run, from its log files.

Every function takes the path of trades.csv, a pandas frame of trades, or a `Log`, and reads equity.csv, orders.csv and
run.json where they stand beside a file named trades.csv. Figures of the account without equity.csv use realised daily
equity between first entry and last exit and warn once per file and process (`RealisedEquityWarning`). Summary, `--json`
and these functions give the same number, because they are the same functions.

Each raises `DataError` if a file or a column it needs is missing or wrong. `initial_capital` (quote) is used only where
the run did not record it. The formulas and their sources stand in `utils.figures`.

Example:
    >>> from utils.kpis import sharpe_ratio
    >>> sharpe_ratio("logs/trades.csv")  # doctest: +SKIP
    2.1726465
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.errors import ConfigError
from utils.figures import arithmetic
from utils.figures.arithmetic import Drawdown, Floats, sharpe_is_insufficient
from utils.figures.bootstrap import block_length, mean_interval, statistic_interval
from utils.figures.shortfall import NO_SHORTFALL, OrderCosts, Shortfall, order_costs, shortfall
from utils.market.costs import break_even_win_rate
from utils.records.reader import Log, RealisedEquityWarning, Source, column, equity_curve, read_log
from utils.records.schema import Columns
from utils.rows import BPS, NS_PER_MINUTE
from utils.words import KINDS, ORDER_SIDES, expected, ours_or_none, signs

__all__ = [
    "KPIS",
    "Drawdown",
    "Log",
    "MoneyFlow",
    "OrderCosts",
    "RealisedEquityWarning",
    "Shortfall",
    "avg_trade_duration_minutes",
    "break_even_win_rate",
    "cagr",
    "calmar_ratio",
    "daily_returns",
    "deflated_sharpe_ratio",
    "drawdown",
    "evaluate",
    "expectancy",
    "expectancy_bps",
    "expectancy_bps_interval",
    "expectancy_r",
    "expectancy_ratio",
    "exposure_time",
    "fees_paid",
    "fill_rate",
    "fill_rate_by_quantity",
    "final_balance",
    "full_fill_rate",
    "funding_paid",
    "implementation_shortfall",
    "implementation_shortfall_bps",
    "maker_share",
    "max_drawdown",
    "median_trade_duration_minutes",
    "money_flow",
    "net_profit",
    "probabilistic_sharpe_ratio",
    "profit_factor",
    "read_log",
    "reject_rate",
    "return_over_trade_bps",
    "sharpe_interval",
    "sharpe_is_insufficient",
    "sharpe_ratio",
    "shortfall_by_order",
    "slippage_cost",
    "sortino_ratio",
    "trade_count",
    "trade_volume",
    "win_rate",
    "win_rate_interval",
]

#: Trades below which their mean has no interval: resampling so few only repeats them.
FEWEST_TRADES = 10

SHORTFALL_COLUMNS = (
    "side",
    "qty",
    "filled_qty",
    "decision_price",
    "arrival_price",
    "fill_price",
    "end_price",
    "fees",
    "status",
)


def _trades(source: Source, *names: str) -> tuple[Any, ...]:
    log = read_log(source)
    return tuple(column(log.trades, name, log.where) for name in names)


# The account: daily returns of mark-to-market equity.


def daily_returns(source: Source, *, initial_capital: float | None = None) -> Floats:
    """Return of each UTC day, fractions; days without trades are 0, see `arithmetic.daily_returns`."""
    return arithmetic.daily_returns(*equity_curve(read_log(source, initial_capital)))


def sharpe_ratio(source: Source, *, initial_capital: float | None = None) -> float:
    """Annual Sharpe ratio of daily returns: mean / std(ddof=1) * sqrt(365); NaN with under two days or no spread."""
    return arithmetic.sharpe(daily_returns(source, initial_capital=initial_capital))


def sharpe_interval(
    source: Source, *, confidence: float = 0.95, initial_capital: float | None = None
) -> tuple[float, float]:
    """Two-sided interval of the annual Sharpe ratio: a moving-block bootstrap over days, blocks of the cube root of n.

    As wide as few blocks demand, see `statistic_interval`. The same log gives the same interval. NaN with under 20 days
    (`sharpe_is_insufficient`), no spread, or too few days that have any. Source: Kuensch 1989.
    """
    returns = daily_returns(source, initial_capital=initial_capital)
    n = len(returns)
    if sharpe_is_insufficient(n) or math.isnan(arithmetic.sharpe(returns)):
        return math.nan, math.nan
    middle = float(np.mean(returns))
    away = returns - middle  # squares of small differences keep their digits

    def ratios(sums: Floats) -> Floats:
        count, total, squares = sums.T
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.sqrt(np.maximum(0.0, squares - total * total / count) / (count - 1))
            found: Floats = (middle + total / count) / spread * math.sqrt(arithmetic.DAYS_PER_YEAR)
        return found

    columns = np.column_stack([np.ones(n), away, away * away])
    return statistic_interval(columns, ratios, block_length(n), confidence=confidence)


def sortino_ratio(source: Source, *, initial_capital: float | None = None) -> float:
    """Annual Sortino ratio of daily returns against 0; NaN with under two days or no losing day."""
    return arithmetic.sortino(daily_returns(source, initial_capital=initial_capital))


def cagr(source: Source, *, initial_capital: float | None = None) -> float:
    """Compound annual growth over the whole UTC days of the run, fraction; means little under a month; NaN if empty."""
    return arithmetic.annual_growth(daily_returns(source, initial_capital=initial_capital))


def drawdown(source: Source, *, initial_capital: float | None = None) -> Drawdown:
    """The deepest falls of equity, initial capital first, with their times."""
    times, equity, initial, _ = equity_curve(read_log(source, initial_capital))
    return arithmetic.drawdown(times, equity, initial)


def max_drawdown(source: Source, *, initial_capital: float | None = None) -> float:
    """Deepest fall of equity below its peak: min(E / cummax(E) - 1), fraction <= 0; NaN if the capital is unknown."""
    return drawdown(source, initial_capital=initial_capital).max_fraction


def calmar_ratio(source: Source, *, initial_capital: float | None = None) -> float:
    """CAGR / |maximum drawdown|; NaN without a drawdown."""
    log = read_log(source, initial_capital)
    return arithmetic.calmar(cagr(log), max_drawdown(log))


def probabilistic_sharpe_ratio(
    source: Source, *, benchmark: float = 0.0, initial_capital: float | None = None
) -> float:
    """Probability, 0-1, that the true daily Sharpe ratio exceeds `benchmark` (daily too); NaN as `sharpe_ratio`."""
    returns = daily_returns(source, initial_capital=initial_capital)
    ratio, skew, kurtosis = arithmetic.moments(returns)
    return arithmetic.probabilistic_sharpe(ratio, len(returns), skew, kurtosis, benchmark)


def deflated_sharpe_ratio(
    source: Source,
    *,
    trials: float = 1,
    trial_variance: float = math.nan,
    initial_capital: float | None = None,
) -> float:
    """Probability, 0-1, that the daily Sharpe ratio beats what the best of `trials` worthless ones would show.

    Args:
        source: path of trades.csv, frame of trades, or `Log`.
        trials: independent parameter sets that were looked at; 1 gives the probabilistic Sharpe ratio.
        trial_variance: variance of their daily Sharpe ratios; NaN with more than one trial gives NaN.
        initial_capital: quote, where the run did not record it.
    """
    returns = daily_returns(source, initial_capital=initial_capital)
    ratio, skew, kurtosis = arithmetic.moments(returns)
    return arithmetic.deflated_sharpe(ratio, len(returns), skew, kurtosis, trials, trial_variance)


def final_balance(source: Source, *, initial_capital: float | None = None) -> float:
    """Last mark-to-market equity, quote; the initial capital before the first row."""
    _, equity, initial, _ = equity_curve(read_log(source, initial_capital))
    return float(equity[-1]) if len(equity) else initial


# Closed trades.


def trade_count(source: Source) -> int:
    """Number of closed trades."""
    (pnl,) = _trades(source, "net_pnl")
    return len(pnl)


def net_profit(source: Source) -> float:
    """Sum of net_pnl, quote; 0 without trades."""
    (pnl,) = _trades(source, "net_pnl")
    return float(np.sum(pnl))


def win_rate(source: Source) -> float:
    """Wins / (wins + losses) by net_pnl, fraction; break-even trades count in neither; NaN without trades."""
    (pnl,) = _trades(source, "net_pnl")
    return arithmetic.win_share(pnl)


def win_rate_interval(source: Source, *, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided Wilson interval of the win rate, fractions; NaN without trades."""
    (pnl,) = _trades(source, "net_pnl")
    wins, losses = int(np.count_nonzero(pnl > 0)), int(np.count_nonzero(pnl < 0))
    return arithmetic.wilson_interval(wins, wins + losses, confidence)


def profit_factor(source: Source) -> float:
    """Sum of winning / |sum of losing| net_pnl; inf without losses (null in JSON), NaN without either."""
    (pnl,) = _trades(source, "net_pnl")
    return arithmetic.profit_over_loss(pnl)


def expectancy(source: Source) -> float:
    """Mean net_pnl of a trade, quote; NaN without trades."""
    (pnl,) = _trades(source, "net_pnl")
    return arithmetic.mean_or_nan(pnl)


def expectancy_bps(source: Source) -> float:
    """Mean over trades of net_pnl / entry notional, bps; NaN without trades."""
    pnl, qty, price = _trades(source, "net_pnl", "qty", "entry_price")
    return arithmetic.mean_or_nan(pnl / (qty * price)) / BPS


def expectancy_bps_interval(source: Source) -> tuple[float, float]:
    """95 % interval of `expectancy_bps`, bps: a moving-block bootstrap over trades, blocks of the cube root of n.

    As wide as few blocks demand, see `statistic_interval`. The same log gives the same interval. NaN with under 10
    trades, or where one or two of them make the result. Source: Kuensch 1989.
    """
    pnl, qty, price = _trades(source, "net_pnl", "qty", "entry_price")
    if len(pnl) < FEWEST_TRADES:
        return math.nan, math.nan
    return mean_interval(pnl / (qty * price) / BPS, np.ones(len(pnl)), block_length(len(pnl)))


def expectancy_r(source: Source) -> float:
    """Mean over trades of net_pnl / (qty * |entry_price - stop_price|), in risks taken; NaN if one had no stop."""
    pnl, qty, price, stop = _trades(source, "net_pnl", "qty", "entry_price", "stop_price")
    risk = np.abs(price - stop)
    risk = np.where(risk > arithmetic.RETURN_NOISE * price, risk, np.nan)  # a stop at the entry is none
    return arithmetic.mean_or_nan(pnl / (qty * risk))


def expectancy_ratio(source: Source) -> float:
    """Expectancy ratio as freqtrade has it: (1 + mean win / mean loss) * wins / trades - 1; NaN without win or loss."""
    (pnl,) = _trades(source, "net_pnl")
    reward = arithmetic.mean_or_nan(pnl[pnl > 0]) / -arithmetic.mean_or_nan(pnl[pnl < 0])
    return (1 + reward) * arithmetic.mean_or_nan(pnl > 0) - 1


def _minutes(source: Source) -> Floats:
    entry, out = _trades(source, "entry_time", "exit_time")
    return np.asarray((out - entry) / NS_PER_MINUTE)


def avg_trade_duration_minutes(source: Source) -> float:
    """Mean of exit_time - entry_time over closed trades, minutes; NaN without trades."""
    return arithmetic.mean_or_nan(_minutes(source))


def median_trade_duration_minutes(source: Source) -> float:
    """Median of exit_time - entry_time over closed trades, minutes; NaN without trades."""
    minutes = _minutes(source)
    return float(np.median(minutes)) if len(minutes) else math.nan


def exposure_time(source: Source) -> float:
    """Share of the run in which a position was open: union of [entry, exit] / span of entries, exits and equity rows.

    Fraction; NaN without trades.
    """
    log = read_log(source)
    entry, out = _trades(log, "entry_time", "exit_time")
    if len(entry) == 0:
        return math.nan
    first, last = int(np.min(entry)), int(out[-1])
    if log.equity is not None and len(log.equity["time"]):
        first, last = min(first, int(log.equity["time"][0])), max(last, int(log.equity["time"][-1]))
    return arithmetic.ratio_or_nan(arithmetic.covered_time(entry, out), last - first)


# Costs.


def trade_volume(source: Source) -> float:
    """Notional traded, both legs: sum of qty * (entry_price + exit_price), quote; 0 without trades."""
    qty, entry, out = _trades(source, "qty", "entry_price", "exit_price")
    return float(np.sum(qty * (entry + out)))


def return_over_trade_bps(source: Source) -> float:
    """Net profit / notional traded (both legs), bps; NaN without trades."""
    return arithmetic.ratio_or_nan(net_profit(source) / BPS, trade_volume(source))


def fees_paid(source: Source) -> float:
    """Sum of fees, quote; rebates count against them; 0 without trades."""
    (fees,) = _trades(source, "fees")
    return float(np.sum(fees))


def funding_paid(source: Source) -> float:
    """Sum of funding, quote, positive = paid; 0 without trades."""
    (funding,) = _trades(source, "funding")
    return float(np.sum(funding))


def slippage_cost(source: Source) -> float:
    """Spread and slippage of both legs: sum of slippage_bps * 1e-4 * decision_price * qty, quote; part of gross_pnl."""
    slippage, price, qty = _trades(source, "slippage_bps", "decision_price", "qty")
    return float(np.sum(slippage * BPS * price * qty))


def maker_share(source: Source) -> float:
    """Notional filled as maker / notional traded, both legs, fraction; NaN without trades, or if a leg says neither."""
    names = ("qty", "entry_price", "exit_price", "entry_liquidity", "exit_liquidity")
    qty, entry, out, entry_as, exit_as = _trades(source, *names)
    if np.any(entry_as == "") or np.any(exit_as == ""):
        return math.nan
    made = float(np.sum(qty * (entry * (entry_as == "maker") + out * (exit_as == "maker"))))
    return arithmetic.ratio_or_nan(made, trade_volume(source))


# Orders.


def _market_orders(log: Log, *names: str, kind: str | None = None) -> dict[str, Any] | None:
    """Columns of the orders that were not rejected; None where orders.csv or one of its columns is not there."""
    if log.orders is None or not {*names, "status", "kind"} <= log.orders.keys():
        return None
    keep = log.orders["status"] != "REJECTED"
    if kind is not None:
        if (name := ours_or_none(kind, KINDS)) is None:
            raise ConfigError(f"kind: expected {expected(KINDS)}, saw {kind!r}; name one of them")
        keep = keep & (log.orders["kind"] == name)
    return {name: log.orders[name][keep] for name in names}


def _order_signs(sides: Any, where: str) -> Floats:
    return signs(sides, ORDER_SIDES, lambda row: f"orders.csv of {where}, order {row + 1}, column side")


def shortfall_by_order(source: Source) -> OrderCosts | None:
    """The implementation shortfall of each order by parts, quote, in the order of orders.csv; see `order_costs`.

    Rejected orders never reached the market and are left out; None where orders.csv, or a column of it, is not there.
    The price at arrival is `arrival_mid`, and `arrival_price` where an order, or the file, has none: which one moves
    cost from delay to trading, not the total. Without `spread_cost` spread and impact are NaN.
    """
    log = read_log(source)
    orders = _market_orders(log, *SHORTFALL_COLUMNS)
    if orders is None:
        return None
    side = _order_signs(orders.pop("side"), log.where)
    del orders["status"]
    if (at := _market_orders(log, "arrival_mid")) is not None:
        mid = at["arrival_mid"]
        orders["arrival_price"] = np.where(np.isnan(mid), orders["arrival_price"], mid)
    return order_costs(side, **orders, **(_market_orders(log, "spread_cost") or {}))


def implementation_shortfall(source: Source) -> Shortfall:
    """What execution cost against the prices of the decisions, by parts, with funding beside; see `Shortfall`.

    Entry and exit orders alike, from orders.csv only: all NaN where it, or a column it needs, is not there. What it
    sums is `shortfall_by_order`.
    """
    log = read_log(source)
    costs = shortfall_by_order(log)
    return NO_SHORTFALL if costs is None else shortfall(costs, float(np.sum(log.trades.get("funding", math.nan))))


def implementation_shortfall_bps(source: Source) -> float:
    """Implementation shortfall, bps of decision notional, positive = cost; NaN without orders.csv."""
    return implementation_shortfall(source).total_bps


def fill_rate(source: Source, *, kind: str | None = None) -> float:
    """Share of orders, rejected ones left out, that filled at least in part; NaN without orders.csv.

    `kind` looks at one kind only: MARKET, LIMIT, POST_ONLY or STOP_MARKET.
    """
    orders = _market_orders(read_log(source), "filled_qty", kind=kind)
    return math.nan if orders is None else arithmetic.mean_or_nan(orders["filled_qty"] > 0)


def full_fill_rate(source: Source, *, kind: str | None = None) -> float:
    """Share of orders, rejected ones left out, that filled whole; NaN without orders.csv."""
    orders = _market_orders(read_log(source), "qty", "filled_qty", kind=kind)
    if orders is None:
        return math.nan
    return arithmetic.mean_or_nan(orders["filled_qty"] >= orders["qty"] * (1 - arithmetic.QTY_NOISE))


def fill_rate_by_quantity(source: Source, *, kind: str | None = None) -> float:
    """Notional filled / notional ordered, both at the decision price, rejected orders left out; NaN without orders.csv.

    For one symbol and a steady price that is filled quantity / ordered quantity; symbols have no common quantity.
    """
    orders = _market_orders(read_log(source), "qty", "filled_qty", "decision_price", kind=kind)
    if orders is None:
        return math.nan
    price = orders["decision_price"]
    return arithmetic.ratio_or_nan(float(np.sum(orders["filled_qty"] * price)), float(np.sum(orders["qty"] * price)))


def reject_rate(source: Source) -> float:
    """Rejected orders / all orders, fraction; NaN without orders.csv."""
    log = read_log(source)
    if log.orders is None or "status" not in log.orders:
        return math.nan
    return arithmetic.mean_or_nan(log.orders["status"] == "REJECTED")


# Where the money went.


@dataclass(frozen=True, slots=True)
class MoneyFlow:
    """From the moves of prices to the net of the closed trades, quote; costs are positive where they were paid.

    edge - spread - slippage - fees - funding = net, where `crossing` is spread and slippage and `fees` those of makers
    and takers. NaN in one of these halves = the log does not tell them apart.
    """

    edge: float  # what the trades had made at prices without spread and slippage, before fees and funding
    crossing: float
    spread: float  # half of it, on what took
    slippage: float  # and market impact: what takers paid beyond that
    fees: float
    maker_fees: float
    taker_fees: float
    funding: float
    net: float
    traded: float  # notional, both legs

    def bps(self, money: float) -> float:
        """An amount (quote) in bps of the notional traded; NaN without trades."""
        return arithmetic.ratio_or_nan(money / BPS, self.traded)

    def steps(self) -> tuple[tuple[str, float], ...]:
        """Name and amount (quote, what was paid negative) of each step; halves that are not known are one step.

        They sum to `net`.
        """
        split = not math.isnan(self.spread)
        crossing = (
            (("spread", self.spread), ("slippage", self.slippage)) if split else (("spread, slip", self.crossing),)
        )
        apart = not math.isnan(self.maker_fees)
        fees = (("maker fees", self.maker_fees), ("taker fees", self.taker_fees)) if apart else (("fees", self.fees),)
        paid = (*crossing, *fees, ("funding", self.funding))
        return (("price moves", self.edge), *((name, 0.0 - money) for name, money in paid))


def money_flow(source: Source) -> MoneyFlow:
    """Where the money went between the moves of prices and the net of the closed trades; see `MoneyFlow`.

    Spread and slippage are `spread_cost` and `impact_cost` of orders.csv; where it does not know them they are told
    together, as `slippage_cost` has them. Fees are parted by fills.csv; without it, where all legs are of one kind.
    Orders and fills of trades that are still open are left out; an order that turned a position round counts with the
    trade that it opened.
    """
    log = read_log(source)
    spread, slippage = (_of_closed(log, log.orders, name) for name in ("spread_cost", "impact_cost"))
    crossing = spread + slippage
    if math.isnan(crossing):
        spread, slippage, crossing = math.nan, math.nan, slippage_cost(log)
    fees, funding, net = fees_paid(log), funding_paid(log), net_profit(log)
    made = _maker_fees(log, fees)
    edge = net + funding + fees + crossing
    return MoneyFlow(edge, crossing, spread, slippage, fees, made, fees - made, funding, net, trade_volume(log))


def _closed_rows(log: Log, table: Columns) -> Any:
    """Which rows belong to closed trades: those that name one; all where the log has no names."""
    if "trade_id" not in table or "trade_id" not in log.trades:
        return slice(None)
    return np.isin(table["trade_id"], log.trades["trade_id"])


def _of_closed(log: Log, table: Columns | None, name: str) -> float:
    """Sum of a column over the rows of closed trades; NaN where it is not there."""
    if table is None or name not in table:
        return math.nan
    return float(np.sum(table[name][_closed_rows(log, table)]))


def _maker_fees(log: Log, fees: float) -> float:
    """Of the fees (quote) those of makers; NaN where the log does not tell."""
    if log.fills is not None and {"fee", "liquidity"} <= log.fills.keys():
        made = log.fills["fee"] * (log.fills["liquidity"] == "maker")
        return float(np.sum(made[_closed_rows(log, log.fills)]))
    share = maker_share(log)
    return share * fees if share in (0.0, 1.0) else math.nan


#: Every figure of a run that is one number, in the order in which it is shown; a new one takes one line here.
KPIS: dict[str, Callable[[Log], float]] = {
    "trades": trade_count,
    "net_profit": net_profit,
    "final_balance": final_balance,
    "sharpe_ratio": sharpe_ratio,
    "sortino_ratio": sortino_ratio,
    "calmar_ratio": calmar_ratio,
    "cagr": cagr,
    "max_drawdown": max_drawdown,
    "probabilistic_sharpe_ratio": probabilistic_sharpe_ratio,
    "deflated_sharpe_ratio": deflated_sharpe_ratio,
    "win_rate": win_rate,
    "profit_factor": profit_factor,
    "expectancy": expectancy,
    "expectancy_bps": expectancy_bps,
    "expectancy_ratio": expectancy_ratio,
    "avg_trade_duration_minutes": avg_trade_duration_minutes,
    "median_trade_duration_minutes": median_trade_duration_minutes,
    "exposure_time": exposure_time,
    "trade_volume": trade_volume,
    "return_over_trade_bps": return_over_trade_bps,
    "fees_paid": fees_paid,
    "funding_paid": funding_paid,
    "slippage_cost": slippage_cost,
    "maker_share": maker_share,
    "implementation_shortfall_bps": implementation_shortfall_bps,
    "fill_rate": fill_rate,
    "full_fill_rate": full_fill_rate,
    "fill_rate_by_quantity": fill_rate_by_quantity,
    "reject_rate": reject_rate,
}


def evaluate(source: Source, *, initial_capital: float | None = None) -> dict[str, float]:
    """All of `KPIS` for one run, reading its files once; NaN and inf are null in JSON."""
    log = read_log(source, initial_capital)
    return {name: kpi(log) for name, kpi in KPIS.items()}
