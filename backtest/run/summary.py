"""What a person reads when a run is over: the tables, what not to overlook, the balance, and where the logs are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from backtest.run.report import break_even_table
from backtest.run.result import SimulationResult
from utils.kpis import Log
from utils.records.files import TABLES
from utils.summary import FRACTION, PERCENT, SECTIONS, SUMMARY_ROWS, TIME, exit_reasons

#: Width of the summary where there is no terminal to ask, and the most it takes of a wide one.
WIDTH = 100
#: Width from which metrics stand in two columns.
TWO_COLUMNS = 76
#: Days and trades below which annualised numbers and rates are noise.
FEW_DAYS, FEW_TRADES = 30, 100

#: Where the sections of SUMMARY METRICS stand: two columns.
COLUMNS = (("Run", "Account", "Risk", "Sides and pairs"), ("Trades", "Costs", "Orders"))


@dataclass(frozen=True, slots=True)
class Beside:
    """Two blocks side by side where they fit, else one below the other."""

    left: RenderableType
    right: RenderableType
    gap: int = 3  # characters between them

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        widths = [console.measure(block, options=options).maximum for block in (self.left, self.right)]
        if sum(widths) + self.gap <= options.max_width:
            grid = Table.grid(padding=(0, self.gap, 0, 0))
            grid.add_row(self.left, self.right)
            yield grid
        else:
            yield from (self.left, Text(), self.right)


@dataclass(frozen=True, slots=True)
class Metrics:
    """SUMMARY METRICS: names left, values right, in two columns where they fit."""

    metrics: Mapping[str, Any]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield Text("SUMMARY METRICS", style="bold")
        width = min(options.max_width, WIDTH)
        if width < TWO_COLUMNS:
            yield Group(*(self.column(sections, width) for sections in COLUMNS))
            return
        grid = Table.grid(padding=(0, 4, 0, 0))
        grid.add_row(*(self.column(sections, (width - 4) // 2) for sections in COLUMNS))
        yield grid

    def column(self, sections: Sequence[str], width: int) -> Text:
        """Sections below each other, each line `width` characters wide."""
        lines: list[Text] = []
        for title in sections:
            if lines:
                lines.append(Text())
            lines.append(Text(f"{title} ".ljust(width, "·"), style="dim"))
            for name in SECTIONS[title]:
                value = number(name, self.metrics[name])
                style = "red" if name in {"Absolute profit", "Total profit %"} and value.startswith("-") else ""
                gap = " " * max(1, width - len(name) - len(value))
                lines.append(Text.assemble(name, gap, (value, style)))
        return Text("\n").join(lines)


def number(name: str, value: Any) -> str:
    """A metric as a person reads it; `-` where there is nothing to tell."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    kind = SUMMARY_ROWS[name]
    if kind == TIME:
        return str(value)[:16].replace("T", " ")
    if isinstance(value, float):
        if kind in {FRACTION, PERCENT}:
            return f"{100 * value if kind == FRACTION else value:,.2f} %"
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def one_line(result: SimulationResult) -> str:
    """The run in one line."""
    r = result.report
    return (
        f"{r['source']} {r['symbol']} {r['timeframe']}: {r['trades']} trades on {r['bars']} bars, "
        f"net {r['net_pnl']:+.2f}, equity {r['final_equity']:.2f}, decisions {r['decision_sha256'][:12]}, "
        f"logs {r['logs']['trades']}"
    )


def plain_table(*columns: str) -> Table:
    """A table without boxes: first column left, the rest right."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for k, column in enumerate(columns):
        table.add_column(column, justify="right" if k else "left", no_wrap=True)
    return table


def exits_table(result: SimulationResult) -> Table:
    """Exit reasons: how trades ended, and what that earned."""
    table = plain_table("EXIT REASONS", "Exits", "Wins", "Draws", "Losses", "Net", "Avg bps", "Min")
    log = Log(dict(result.tables["trades"]), None, None, result.settings.simulation.initial_capital)
    for row in exit_reasons(log):
        cells = (row.exits, row.wins, row.draws, row.losses)
        numbers = (f"{row.net_pnl:,.2f}", f"{row.avg_net_bps:,.2f}", f"{row.avg_duration_minutes:,.0f}")
        table.add_row(row.reason, *map(str, cells), *numbers)
    return table


def funnel_table(result: SimulationResult) -> Table:
    """Why bars did not become trades."""
    table = plain_table("FUNNEL", "")
    for name, count in result.funnel.items():
        table.add_row(name, f"{count:,}")
    for gate, count in result.unavailable.items():
        table.add_row(f"passed without {gate}", f"{count:,}")
    return table


def break_even(result: SimulationResult) -> Table:
    """The win rate that costs ask for, against the one that was had."""
    risk = result.settings.risk
    table = plain_table(
        f"BREAK-EVEN take {risk.take_bps:g} / stop {risk.stop_bps:g} bps", "Take cost", "Stop cost", "Needed"
    )
    for row in break_even_table(result.market, result.settings):
        costs = (f"{row['cost_take_bps']:.2f}", f"{row['cost_stop_bps']:.2f}")
        table.add_row(row["execution"], *costs, f"{100 * row['win_rate']:.1f} %")
    had = result.report["win_rate"]
    table.add_row("this run had", "", "", "-" if had is None else f"{100 * had:.1f} %", style="bold")
    return table


def warnings(result: SimulationResult) -> list[str]:
    """What a trader must not overlook, the worst last, where the eye rests."""
    report = result.report
    said = list(report["data_warnings"])
    days, had, needed = result.metrics["Sharpe days"], report["win_rate"], report["break_even_win_rate"]
    if report["gap_bars"]:
        crossed = int(np.sum(result.tables["trades"]["gap_bars"] > 0))
        said.append(f"bars missing from the data: {report['gap_bars']}; trades that cross a gap (gap_bars): {crossed}")
    if report["ambiguous_share"] > 0.02:
        said.append(
            f"{100 * report['ambiguous_share']:.1f} % of bars in position touched stop and take; the stop was taken, "
            "use finer candles"
        )
    if report["trades"] == 0:
        said.append("no trades: the funnel says where the bars ended")
    elif days < FEW_DAYS or report["trades"] < FEW_TRADES:
        said.append(
            f"{report['trades']} trades in {days} days prove little: Sharpe, Sortino, Calmar, CAGR and rates are noisy"
        )
    if had is not None and had < needed:
        said.append(f"the win rate, {100 * had:.1f} %, is below the {100 * needed:.1f} % that barriers and costs need")
    if report["trades"] and report["net_pnl"] <= 0:
        said.append("after costs this strategy lost money on this data")
    if result.answers.get("note"):
        said.append(result.answers["note"])
    if result.market.synthetic:
        said.append("synthetic data: profit or loss here proves nothing about real markets")
    return said


def bullets(mark: str, lines: Sequence[str], style: str) -> Table:
    """Lines behind a mark, wrapped with a hanging indent."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    for line in lines:
        grid.add_row(Text(mark, style), Text(line, style))
    return grid


def balance(result: SimulationResult) -> Text:
    """The last word: the balance, what was won or lost, and how long it took."""
    report, profit = result.report, result.metrics["Total profit %"]
    return Text.assemble(
        (f"Final balance  {report['final_equity']:,.2f}", "bold"),
        "  ",
        (f"{report['net_pnl']:+,.2f}, {profit:+.2f} %", "red" if report["net_pnl"] < 0 else "green"),
        f"  {report['trades']:,} trades, {report['elapsed_s']:.2f} s",
    )


def last_words(result: SimulationResult) -> list[Text]:
    """The balance, the decision hash, and where the log files are: lines to copy from, never cropped."""
    report, logs = result.report, result.report["logs"]
    others = ", ".join(Path(logs[name]).name for name in (*TABLES[1:], "run"))
    return [
        balance(result),
        Text(f"Decision-log sha256  {report['decision_sha256']}"),
        Text(f"Logs  {logs[TABLES[0]]}, {others}"),
        *(Text(f"Kept  {logs[name]}") for name in ("kept",) if name in logs),
    ]


def summary(result: SimulationResult) -> RenderableType:
    """The tables: assumptions, metrics, exits, break-even, funnel, and what not to overlook."""
    report = result.report
    return Group(
        Rule(Text(f"{report['symbol']} {report['timeframe']}  {report['source']}"), style="dim"),
        Text("ASSUMPTIONS", style="bold"),
        bullets("-", result.market.assumptions, "dim"),
        Text(),
        Metrics(result.metrics),
        Text(),
        Beside(Group(exits_table(result), Text(), break_even(result)), funnel_table(result)),
        Text(),
        bullets("!", warnings(result), "yellow"),
    )
