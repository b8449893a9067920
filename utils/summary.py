"""The tables printed at the end of a run: freqtrade's SUMMARY METRICS under their own names, and exits by reason.

A row whose name ends in % or speaks of change is in percent; rates, shares and probabilities are fractions; money is in
quote. None = not known here, NaN = not computable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, TypeAlias, TypedDict, Unpack, get_type_hints

import numpy as np
from numpy.typing import NDArray

from utils import kpis
from utils.figures import arithmetic
from utils.figures.arithmetic import Floats
from utils.figures.shown import percent, plain
from utils.records.reader import Log, Source, column, equity_curve, iso_time, read_log
from utils.rows import BPS, NS_PER_DAY, NS_PER_MINUTE, NS_PER_S
from utils.words import TRADE_SIDES, ours

Value: TypeAlias = float | int | str | None


class Given(TypedDict, total=False):
    """What only the caller knows; shown as it is, in the row that each names."""

    trading_mode: Annotated[str | None, "Trading Mode"]
    bars: Annotated[int | None, "Bars"]
    max_open_trades: Annotated[int | None, "Max open trades"]
    rejected_entry_signals: Annotated[int | None, "Rejected Entry signals"]
    canceled_trade_entries: Annotated[int | None, "Canceled Trade Entries"]
    canceled_entry_orders: Annotated[int | None, "Canceled Entry Orders"]
    replaced_entry_orders: Annotated[int | None, "Replaced Entry Orders"]
    break_even_win_rate: Annotated[float | None, "Break-even win rate"]
    pbo: Annotated[float | None, "PBO"]
    data_gaps: Annotated[int | str | None, "Data gaps"]
    assumptions: Annotated[str | None, "Assumptions profile"]
    decision_hash: Annotated[str | None, "Decision-log sha256"]


#: The row of each keyword of `Given`.
GIVEN_ROWS = {name: hint.__metadata__[0] for name, hint in get_type_hints(Given, include_extras=True).items()}

#: How the value of a row is to be read: as it is; times 100 it is percent; it is in percent; it is a time.
PLAIN, FRACTION, PERCENT, TIME = "plain", "fraction", "percent", "time"

#: Every row of the summary, by section, in the order in which they are shown.
SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Run": {
        "Backtesting from": TIME,
        "Backtesting to": TIME,
        "Trading Mode": PLAIN,
        "Bars": PLAIN,
        "Data gaps": PLAIN,
        "Assumptions profile": PLAIN,
    },
    "Account": {
        "Starting balance": PLAIN,
        "Final balance": PLAIN,
        "Absolute profit": PLAIN,
        "Total profit %": PERCENT,
        "CAGR %": PERCENT,
        "Min balance": PLAIN,
        "Max balance": PLAIN,
        "Market change": PERCENT,
    },
    "Risk": {
        "Max % of account underwater": PERCENT,
        "Absolute Drawdown (Account)": PERCENT,
        "Drawdown": PLAIN,
        "Drawdown high": PLAIN,
        "Drawdown low": PLAIN,
        "Drawdown Start": TIME,
        "Drawdown End": TIME,
        "Sharpe": PLAIN,
        "Sharpe 95 % from": PLAIN,
        "Sharpe 95 % to": PLAIN,
        "Sharpe days": PLAIN,
        "Sortino": PLAIN,
        "Calmar": PLAIN,
        "PSR": FRACTION,
        "DSR": FRACTION,
        "Trials": PLAIN,
        "PBO": PLAIN,
    },
    "Sides and pairs": {
        "Long / Short": PLAIN,
        "Total profit Long %": PERCENT,
        "Total profit Short %": PERCENT,
        "Absolute profit Long": PLAIN,
        "Absolute profit Short": PLAIN,
        "Best Pair": PLAIN,
        "Worst Pair": PLAIN,
    },
    "Trades": {
        "Total/Daily Avg Trades": PLAIN,
        "Win rate": FRACTION,
        "Win rate 95 % from": FRACTION,
        "Win rate 95 % to": FRACTION,
        "Break-even win rate": FRACTION,
        "Profit factor": PLAIN,
        "Expectancy (Ratio)": PLAIN,
        "Expectancy bps": PLAIN,
        "Expectancy bps 95 % from": PLAIN,
        "Expectancy bps 95 % to": PLAIN,
        "ReturnOverTrade bps": PLAIN,
        "Best Trade": PLAIN,
        "Worst Trade": PLAIN,
        "Best day": PLAIN,
        "Worst day": PLAIN,
        "Days win/draw/lose": PLAIN,
        "Avg. Duration Winners": PLAIN,
        "Avg. Duration Loser": PLAIN,
        "Max Consecutive Wins / Loss": PLAIN,
        "Avg. stake amount": PLAIN,
        "Total trade volume": PLAIN,
        "Exposure time": FRACTION,
        "Max open trades": PLAIN,
    },
    "Costs": {
        "Fees paid": PLAIN,
        "Funding paid": PLAIN,
        "Spread+slippage cost": PLAIN,
        "IS bps": PLAIN,
        "Maker %": PERCENT,
    },
    "Orders": {
        "Fill rate": FRACTION,
        "Fill rate by quantity": FRACTION,
        "Reject rate": FRACTION,
        "Rejected Entry signals": PLAIN,
        "Entry/Exit Timeouts": PLAIN,
        "Canceled Trade Entries": PLAIN,
        "Canceled Entry Orders": PLAIN,
        "Replaced Entry Orders": PLAIN,
    },
    "Record": {"Decision-log sha256": PLAIN},
}
#: Every row, and how it is to be read.
SUMMARY_ROWS = {row: kind for rows in SECTIONS.values() for row, kind in rows.items()}


def summarise(
    source: Source,
    *,
    period: tuple[int, int] | None = None,
    market_change: float | None = None,
    entry_timeouts: int | None = None,
    exit_timeouts: int | None = None,
    trials: float | None = 1,
    trial_variance: float = math.nan,
    initial_capital: float | None = None,
    **given: Unpack[Given],
) -> dict[str, Value]:
    """All summary metrics of a run in the order of `SECTIONS`.

    Args:
        source: `Log`, path of trades.csv, or frame of trades.
        period: first and last time of the data the run decided on, ns.
        market_change: close to close over the period, fraction.
        entry_timeouts: entry orders that expired.
        exit_timeouts: exit orders that expired.
        trials: parameter sets looked at, for the deflated Sharpe ratio; None = not known.
        trial_variance: variance of their daily Sharpe ratios; NaN = that of worthless ones, 1 / (days - 1).
        initial_capital: quote, where the run did not record it.
        **given: rows only the caller knows, see `Given`.

    Returns:
        Row name to value; every row is there, None where it is not known.

    Raises:
        DataError: the log lacks a column that a row needs.
        TypeError: a keyword that is no row.
    """
    if unknown := given.keys() - GIVEN_ROWS.keys():
        raise TypeError(f"expected rows among {', '.join(GIVEN_ROWS)}, got {', '.join(sorted(unknown))}")
    log = read_log(source, initial_capital)
    known: dict[str, Any] = {row: given.get(name) for name, row in GIVEN_ROWS.items()}
    known["Backtesting from"], known["Backtesting to"] = map(iso_time, period) if period else (None, None)
    known["Entry/Exit Timeouts"] = _slashed(entry_timeouts, exit_timeouts)
    known["Market change"] = None if market_change is None else 100 * market_change
    known["DSR"] = None if trials is None else _deflated(log, trials, trial_variance)
    known["Trials"] = trials
    known |= _account(log) | _sides(log) | _extremes(log) | _days(log) | _winners(log) | _underwater(log) | _costs(log)
    return {row: known[row] for row in SUMMARY_ROWS}


def _deflated(log: Log, trials: float, variance: float) -> float:
    days = len(kpis.daily_returns(log))
    if math.isnan(variance) and days > 1:
        variance = 1.0 / (days - 1)
    return kpis.deflated_sharpe_ratio(log, trials=trials, trial_variance=variance)


def _slashed(*parts: Value) -> str | None:
    if all(part is None for part in parts):
        return None
    return " / ".join("-" if part is None else str(part) for part in parts)


def _account(log: Log) -> dict[str, Value]:
    returns = kpis.daily_returns(log)
    _, equity, initial, _ = equity_curve(log)
    trades, final = kpis.trade_count(log), kpis.final_balance(log)
    low, high = kpis.win_rate_interval(log)
    least, most = kpis.expectancy_bps_interval(log)
    worst, best = kpis.sharpe_interval(log)
    return {
        "Total/Daily Avg Trades": f"{trades} / {trades / max(len(returns), 1):.2f}",
        "Starting balance": initial,
        "Final balance": final,
        "Absolute profit": kpis.net_profit(log),
        "Total profit %": 100 * arithmetic.ratio_or_nan(final - initial, initial),
        "CAGR %": 100 * kpis.cagr(log),
        "Sortino": kpis.sortino_ratio(log),
        "Sharpe": kpis.sharpe_ratio(log),
        "Sharpe 95 % from": worst,
        "Sharpe 95 % to": best,
        "Sharpe days": len(returns),
        "Calmar": kpis.calmar_ratio(log),
        "PSR": kpis.probabilistic_sharpe_ratio(log),
        "Profit factor": kpis.profit_factor(log),
        "Expectancy (Ratio)": f"{plain(kpis.expectancy(log), 4)} ({plain(kpis.expectancy_ratio(log), 4)})",
        "Expectancy bps": kpis.expectancy_bps(log),
        "Expectancy bps 95 % from": least,
        "Expectancy bps 95 % to": most,
        "ReturnOverTrade bps": kpis.return_over_trade_bps(log),
        "Win rate": kpis.win_rate(log),
        "Win rate 95 % from": low,
        "Win rate 95 % to": high,
        "Exposure time": kpis.exposure_time(log),
        "Min balance": float(np.min(equity, initial=initial)),
        "Max balance": float(np.max(equity, initial=initial)),
    }


def _sides(log: Log) -> dict[str, Value]:
    side, pnl = (column(log.trades, name, log.where) for name in ("side", "net_pnl"))
    is_long = ours(side, TRADE_SIDES, lambda row: f"{log.where}, trade {row + 1}, column side") == "long"
    long, short = float(np.sum(pnl[is_long])), float(np.sum(pnl[~is_long]))
    longs = int(np.count_nonzero(is_long))
    return {
        "Long / Short": f"{longs} / {len(pnl) - longs}",
        "Total profit Long %": 100 * arithmetic.ratio_or_nan(long, log.initial_capital),
        "Total profit Short %": 100 * arithmetic.ratio_or_nan(short, log.initial_capital),
        "Absolute profit Long": long,
        "Absolute profit Short": short,
    }


def _extremes(log: Log) -> dict[str, Value]:
    """Best and worst pair (net, % of the initial capital) and trade (net, % of its notional)."""
    rows = ("Best Pair", "Worst Pair", "Best Trade", "Worst Trade")
    symbol, pnl = (column(log.trades, name, log.where) for name in ("symbol", "net_pnl"))
    if len(pnl) == 0:
        return dict.fromkeys(rows)
    names, code = arithmetic.groups(symbol)
    of_pair = np.bincount(code, weights=pnl, minlength=len(names)) / log.initial_capital
    of_trade = _net_fraction(log)
    pairs = (f"{names[i]} {percent(of_pair[i], 2)}" for i in (np.argmax(of_pair), np.argmin(of_pair)))
    trades = (f"{symbol[i]} {percent(of_trade[i], 2)}" for i in (np.argmax(of_trade), np.argmin(of_trade)))
    return dict(zip(rows, (*pairs, *trades), strict=True))


def _net_fraction(log: Log) -> Floats:
    pnl, qty, price = (column(log.trades, name, log.where) for name in ("net_pnl", "qty", "entry_price"))
    return np.asarray(pnl / (qty * price))


def _days(log: Log) -> dict[str, Value]:
    """Net profit of closed trades by UTC day, over the same days as the Sharpe ratio."""
    times, _, _, start = equity_curve(log)
    out, pnl = (column(log.trades, name, log.where) for name in ("exit_time", "net_pnl"))
    if len(times) == 0:
        return {"Best day": None, "Worst day": None, "Days win/draw/lose": "0 / 0 / 0"}
    first, last = arithmetic.day_span(times, start)
    if len(out):
        trade_first, trade_last = arithmetic.day_span(out)
        first, last = min(first, trade_first), max(last, trade_last)
    by_day = np.bincount((out - 1) // NS_PER_DAY - first, weights=pnl, minlength=last - first + 1)
    return {
        "Best day": float(np.max(by_day)),
        "Worst day": float(np.min(by_day)),
        "Days win/draw/lose": " / ".join(str(np.count_nonzero(np.sign(by_day) == sign)) for sign in (1, 0, -1)),
    }


def _winners(log: Log) -> dict[str, Value]:
    names = ("entry_time", "exit_time", "net_pnl", "qty", "entry_price")
    entry, out, pnl, qty, price = (column(log.trades, name, log.where) for name in names)
    held = out - entry
    return {
        "Avg. stake amount": arithmetic.mean_or_nan(qty * price),
        "Total trade volume": kpis.trade_volume(log),
        "Avg. Duration Winners": _clock(held[pnl > 0]),
        "Avg. Duration Loser": _clock(held[pnl < 0]),
        "Max Consecutive Wins / Loss": _slashed(*arithmetic.longest_runs(pnl)),
    }


def _clock(held_ns: NDArray[Any]) -> str | None:
    """Mean duration as H:MM:SS."""
    return str(timedelta(seconds=round(float(np.mean(held_ns)) / NS_PER_S))) if len(held_ns) else None


def _underwater(log: Log) -> dict[str, Value]:
    """Drawdowns in percent of the account (>= 0) and quote; high and low are the profit at peak and bottom."""
    fall = kpis.drawdown(log)
    return {
        "Max % of account underwater": 100 * abs(fall.max_fraction),
        "Absolute Drawdown (Account)": 100 * fall.account,
        "Drawdown": fall.absolute,
        "Drawdown high": fall.high,
        "Drawdown low": fall.low,
        "Drawdown Start": None if fall.start_ns is None else iso_time(fall.start_ns),
        "Drawdown End": None if fall.end_ns is None else iso_time(fall.end_ns),
    }


def _costs(log: Log) -> dict[str, Value]:
    return {
        "Fees paid": kpis.fees_paid(log),
        "Funding paid": kpis.funding_paid(log),
        "Spread+slippage cost": kpis.slippage_cost(log),
        "IS bps": kpis.implementation_shortfall_bps(log),
        "Maker %": 100 * kpis.maker_share(log),
        "Fill rate": kpis.fill_rate(log),
        "Fill rate by quantity": kpis.fill_rate_by_quantity(log),
        "Reject rate": kpis.reject_rate(log),
    }


@dataclass(frozen=True, slots=True)
class ExitReason:
    """Closed trades that ended for one reason."""

    reason: str
    exits: int
    wins: int
    draws: int
    losses: int
    net_pnl: float  # quote
    avg_net_bps: float  # of entry notional
    avg_duration_minutes: float


def exit_reasons(source: Source) -> tuple[ExitReason, ...]:
    """One row per exit reason, the most frequent first, then by name.

    Raises:
        DataError: the log lacks `exit_reason` or another column of the table.
    """
    log = read_log(source)
    names = ("exit_reason", "entry_time", "exit_time", "net_pnl")
    reason, entry, out, pnl = (column(log.trades, name, log.where) for name in names)
    reasons, code = arithmetic.groups(reason)

    def total(values: NDArray[Any]) -> Floats:
        return np.asarray(np.bincount(code, weights=values, minlength=len(reasons)), dtype=np.float64)

    exits, wins, losses, net = total(np.ones(len(pnl))), total(pnl > 0), total(pnl < 0), total(pnl)
    bps, minutes = total(_net_fraction(log) / BPS), total((out - entry) / NS_PER_MINUTE)
    rows = (
        ExitReason(
            reason=name,
            exits=int(exits[i]),
            wins=int(wins[i]),
            draws=int(exits[i] - wins[i] - losses[i]),
            losses=int(losses[i]),
            net_pnl=float(net[i]),
            avg_net_bps=float(bps[i] / exits[i]),
            avg_duration_minutes=float(minutes[i] / exits[i]),
        )
        for i, name in enumerate(reasons)
    )
    return tuple(sorted(rows, key=lambda row: (-row.exits, row.reason)))
