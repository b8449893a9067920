"""What a person sees of a run: the first line, a progress bar, trades as they close, and the summary."""

from __future__ import annotations

import json
import math
import sys
from types import TracebackType
from typing import Any

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as ProgressTask
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from backtest.market import Market
from backtest.sim_loop import SimulationResult, Watch, break_even_table
from exec.engine import JournalRows
from utils.kpi_summary import exit_reasons
from utils.kpis import Log
from utils.rows import EXIT_NAMES

#: Trades and signals shown while they happen; the rest is in the log files.
MOST_LINES = 12
#: Width of the summary where the terminal does not say.
WIDTH = 100
PERCENT_ROWS = {
    "Win rate",
    "Win rate 95 % from",
    "Win rate 95 % to",
    "Break-even win rate",
    "Exposure time",
    "Fill rate",
    "Fill rate by quantity",
    "Reject rate",
    "PSR",
    "DSR",
}


class Rate(ProgressColumn):
    """Bars a second."""

    def render(self, task: ProgressTask) -> Text:
        """The rate so far, e.g. `12,300 bars/s`."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} bars/s", style="progress.data.speed")


class Screen:
    """Everything a run prints: JSON alone, one line, or the whole show. Progress goes to standard error.

    Args:
        as_json: print one JSON object and nothing else.
        quiet: print one line at the end.
    """

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._json = as_json
        self._quiet = quiet
        self._out = console(sys.stdout)
        self._err = Console(stderr=True, highlight=False)
        self._shown = not (as_json or quiet)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._lines = 0

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def announce(self, source: str, *, synthetic: bool) -> None:
        """The first line: where the data comes from."""
        if not self._shown:
            return
        if synthetic:
            self._out.print(
                f"[bold yellow]SYNTHETIC[/] mock market ({source}): nothing here is real data, and profit on it proves "
                "nothing. Real candles: --data PATH",
                highlight=False,
            )
        else:
            self._out.print(f"[bold]Recorded candles[/]: {source}", highlight=False)
        # the line must be on screen before the work starts, also when standard output is a pipe
        sys.stdout.flush()

    def _start(self, what: str, total: int) -> None:
        self._stop()
        if self._shown and self._err.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                Rate(),
                TimeRemainingColumn(),
                console=self._err,
                transient=True,
            )
            self._progress.start()
            self._task = self._progress.add_task(what, total=total)

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def making(self, bars: int) -> None:
        """Progress of the mock market: bars made so far."""
        if self._progress is None and self._shown and self._err.is_terminal:
            self._start("making the market", 0)
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=bars, total=max(bars, self._progress.tasks[0].total or 0))

    def watching(self, market: Market) -> Watch:
        """A watcher that moves the bar and prints trades as they close, the first `MOST_LINES` of them."""
        self._start("simulating", len(market.bars))

        def watch(done: int, rows: JournalRows) -> None:
            if self._progress is not None and self._task is not None:
                self._progress.update(self._task, completed=done)
            if self._shown:
                self._trades(market, rows)

        return watch

    def _trades(self, market: Market, rows: JournalRows) -> None:
        for trade in rows.trades[: max(0, MOST_LINES - self._lines)]:
            self._lines += 1
            self._err.print(trade_line(market, trade)) if self._progress is None else self._progress.print(
                trade_line(market, trade)
            )

    def show(self, result: SimulationResult) -> None:
        """Print the result in the form asked for."""
        self._stop()
        if self._json:
            print(json.dumps(result.report))
        elif self._quiet:
            print(one_line(result))
        else:
            self._out.print(summary(result))


def console(file: Any) -> Console:
    """A console that is as wide as the terminal, or `WIDTH` where there is none."""
    return Console(file=file, highlight=False, width=None if file.isatty() else WIDTH)


def trade_line(market: Market, trade: Any) -> Text:
    """One closed trade, e.g. `2024-01-01 05:10  BTCUSDT long  0.5012 -> 0.5024  TAKE_PROFIT  +3.21`."""
    when = str(np.datetime64(int(trade["exit_ts"]), "ns"))[:16].replace("T", " ")
    net = float(trade["net_pnl"])
    return Text.assemble(
        (f"{when}  ", "dim"),
        f"{market.symbols[trade['sym']]} {'long ' if trade['side'] > 0 else 'short'}  ",
        f"{trade['entry_price']:g} -> {trade['exit_price']:g}  {EXIT_NAMES[trade['exit_reason']]:<13}  ",
        (f"{net:+.2f}", "green" if net > 0 else "red"),
    )


def one_line(result: SimulationResult) -> str:
    """The run in one line."""
    r = result.report
    return (
        f"{r['source']} {r['symbol']} {r['timeframe']}: {r['trades']} trades on {r['bars']} bars, "
        f"net {r['net_pnl']:+.2f}, equity {r['final_equity']:.2f}, decisions {r['decision_sha256'][:12]}, "
        f"logs {r['logs']['trades']}"
    )


def number(name: str, value: Any) -> str:
    """A metric as a person reads it; `-` where there is nothing to tell."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{100 * value:.2f} %" if name in PERCENT_ROWS else f"{value:,.2f}"
    return str(value)


def plain_table(*columns: str, title: str = "") -> Table:
    """A table without boxes: first column left, the rest right."""
    table = Table(box=None, pad_edge=False, title=title or None, title_justify="left", title_style="bold")
    for k, column in enumerate(columns):
        table.add_column(column, justify="right" if k else "left")
    return table


def metrics_table(result: SimulationResult) -> Table:
    """Freqtrade's SUMMARY METRICS and ours."""
    table = plain_table("SUMMARY METRICS", "")
    for name, value in result.metrics.items():
        if name != "Decision-log sha256":
            table.add_row(name, number(name, value))
    return table


def exits_table(result: SimulationResult) -> Table:
    """Exit reasons: how trades ended, and what that earned."""
    table = plain_table("EXIT REASONS", "Exits", "Wins", "Draws", "Losses", "Net", "Avg bps", "Avg min")
    log = Log(dict(result.tables["trades"]), None, None, result.settings.simulation.initial_capital)
    for row in exit_reasons(log):
        cells = (row.exits, row.wins, row.draws, row.losses)
        numbers = (row.net_pnl, row.avg_net_bps, row.avg_duration_minutes)
        table.add_row(row.reason, *map(str, cells), *(f"{value:,.2f}" for value in numbers))
    return table


def funnel_table(result: SimulationResult) -> Table:
    """Why bars did not become trades."""
    table = plain_table("FUNNEL", "")
    for name, count in result.funnel.items():
        table.add_row(name, f"{count:,}")
    for gate, count in result.unavailable.items():
        table.add_row(f"gate without input: {gate} (passed)", f"{count:,}")
    return table


def break_even(result: SimulationResult) -> Table:
    """The win rate that costs ask for, against the one that was had."""
    risk = result.settings.risk
    title = f"BREAK-EVEN take {risk.take_bps:g} / stop {risk.stop_bps:g} bps"
    table = plain_table(title, "Cost at take", "Cost at stop", "Win rate needed")
    for row in break_even_table(result.market, result.settings):
        costs = (f"{row['cost_take_bps']:.2f} bps", f"{row['cost_stop_bps']:.2f} bps")
        table.add_row(row["execution"], *costs, f"{100 * row['win_rate']:.1f} %")
    had = result.metrics["Win rate"]
    table.add_row("this run had", "", "", number("Win rate", had), style="bold")
    return table


def warnings(result: SimulationResult) -> list[Text]:
    """What a trader must not overlook."""
    report, said = result.report, []
    if result.market.synthetic:
        said.append("synthetic data: profit here proves nothing")
    if report["ambiguous_share"] > 0.02:
        said.append(
            f"{100 * report['ambiguous_share']:.1f} % of bars in position touched stop and take; the stop was taken, "
            "use finer candles"
        )
    if report["gap_bars"]:
        crossed = int(np.sum(result.tables["trades"]["gap_bars"] > 0))
        said.append(f"{report['gap_bars']} bars are missing from the data, and {crossed} trades cross a gap (gap_bars)")
    if not result.market.synthetic and report["net_pnl"] <= 0:
        said.append("after costs this strategy lost money on this data")
    return [Text(f"! {text}", style="yellow") for text in said]


def summary(result: SimulationResult) -> RenderableType:
    """The whole summary: assumptions, metrics, exits, funnel, break-even, hash and paths."""
    report, logs = result.report, result.report["logs"]
    parts: list[RenderableType] = [
        Rule(f"{report['symbol']} {report['timeframe']}  {report['source']}", style="dim"),
        Text("ASSUMPTIONS", style="bold"),
        *(Text(f"  {note}", style="dim") for note in result.market.assumptions),
        Text(),
        metrics_table(result),
        Text(),
        exits_table(result),
        Text(),
        funnel_table(result),
        Text(),
        break_even(result),
        Text(),
        *warnings(result),
        Text(f"Decision-log sha256  {report['decision_sha256']}", no_wrap=True, overflow="ignore"),
        Text(f"Final balance  {report['final_equity']:,.2f}  ({report['elapsed_s']:.2f} s)", style="bold"),
        *(Text(f"{name:>8}  {path}", no_wrap=True, overflow="ignore") for name, path in logs.items()),
    ]
    return Group(*parts)
