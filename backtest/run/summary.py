"""All tables of a run, as `--full` prints them, and what not to overlook; one screen of it is `backtest.run.brief`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from backtest.data.market import FEWER
from backtest.run.result import SimulationResult
from backtest.run.verdict import Step, all_steps, verdict
from utils.figures.shown import counted, needed, percent, plain
from utils.kpis import Log
from utils.records.files import TABLES
from utils.rows import NEVER
from utils.shell.console import draws
from utils.summary import FRACTION, PERCENT, SECTIONS, SUMMARY_ROWS, TIME, exit_reasons

#: Width of the summary where there is no terminal to ask, and the most it takes of a wide one.
WIDTH = 100
#: Width from which metrics stand in two columns.
TWO_COLUMNS = 76
#: Days and trades below which annualised numbers and rates are noise.
FEW_DAYS, FEW_TRADES = 30, 100
#: Share of the stop's distance above which a tick is too coarse for candles.
COARSE_TICK = 0.25
#: Share of bars in position that touched both barriers from which candles are too coarse.
AMBIGUOUS = 0.02

#: Longest bar of the money, and the least that is worth drawing, characters.
LONGEST, SHORTEST = 24, 6

#: Metrics that mean nothing over so few days: they are printed as that.
RATIOS = frozenset({"CAGR %", "Sharpe", "Sortino", "Calmar", "PSR", "DSR"})

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
                if name in RATIOS and self.metrics["Sharpe days"] < FEW_DAYS:
                    value = "too few days"
                style = "red" if name in {"Absolute profit", "Total profit %"} and value.startswith("-") else ""
                gap = " " * (width - len(name) - len(value))
                if not gap:  # a value is never parted from its unit
                    gap = "\n" + " " * (width - len(value))
                lines.append(Text.assemble(name, gap, (value, style)))
        return Text("\n").join(lines)


def number(name: str, value: Any) -> str:
    """A metric as a person reads it; `-` where there is nothing to tell."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if name == "Break-even win rate":
        return needed(value)
    kind = SUMMARY_ROWS[name]
    if kind == TIME:
        return str(value)[:16].replace("T", " ")
    if isinstance(value, float):
        if kind in {FRACTION, PERCENT}:
            return percent(value if kind == FRACTION else value / 100, 2)
        return plain(value)
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
    """A table without boxes: first column left and wrapped where it has to be, the rest right."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for k, column in enumerate(columns):
        table.add_column(column, justify="right" if k else "left", no_wrap=bool(k), overflow="fold")
    return table


@dataclass(frozen=True, slots=True)
class Fitting:
    """A table that leaves columns out, one after another, until no number in it would be cut."""

    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    spare: Sequence[str] = ()  # columns that may go, the first first
    least: int = 12  # characters for the first column, whose texts can wrap
    style_last: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield self.table(options.max_width)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self.table(options.max_width))

    def table(self, width: int) -> Table:
        """With the columns that fit a width."""
        kept, spare = list(range(len(self.names))), [self.names.index(name) for name in self.spare]
        while spare and self._needed(kept) > width:
            kept.remove(spare.pop(0))
        table = plain_table(*(self.names[k] for k in kept))
        for i, row in enumerate(self.rows):
            table.add_row(*(row[k] for k in kept), style=self.style_last if i == len(self.rows) - 1 else "")
        return table

    def _needed(self, kept: Sequence[int]) -> int:
        widest = [max(len(text) for text in (self.names[k], *(row[k] for row in self.rows))) for k in kept]
        return min(widest[0], self.least) + sum(widest[1:]) + len(kept) - 1


def exits_table(result: SimulationResult) -> Fitting:
    """Exit reasons: how trades ended, and what that earned."""
    log = Log(dict(result.tables["trades"]), None, None, result.settings.simulation.initial_capital)
    rows = [
        (
            row.reason, *map(str, (row.exits, row.wins, row.draws, row.losses)),
            plain(row.net_pnl), plain(row.avg_net_bps), plain(row.avg_duration_minutes, 0),
        )
        for row in exit_reasons(log)
    ]  # fmt: skip
    names = ("EXIT REASONS", "Exits", "Wins", "Draws", "Losses", "Net", "Avg bps", "Minutes")
    return Fitting(names, rows, ("Draws", "Losses", "Wins", "Minutes", "Avg bps"), least=len("TRAILING_STOP"))


def funnel_table(result: SimulationResult) -> Table:
    """Why bars did not become trades."""
    table = plain_table("FUNNEL", "")
    for name, count in result.funnel.items():
        table.add_row(name, f"{count:,}")
    for gate, count in result.unavailable.items():
        table.add_row(f"passed without {gate}", f"{count:,}")
    return table


def break_even(result: SimulationResult) -> Fitting:
    """The win rate that costs ask for, against the one that was had."""
    had = result.report["barriers"]
    rows = [
        (row["execution"], plain(row["cost_take_bps"]), plain(row["cost_stop_bps"]), needed(row["win_rate"]))
        for row in result.report["break_even"]
    ]
    rows.append(("this run had", "", "", percent(result.report["win_rate"])))
    title = f"BREAK-EVEN take {had['take_bps']:.3g} / stop {had['stop_bps']:.3g} bps"
    return Fitting((title, "Take cost", "Stop cost", "Needed"), rows, ("Take cost", "Stop cost"), style_last="bold")


def drawn_steps(money: Sequence[Step], width: int, brick: str) -> list[Text]:
    """Each step from prices to the result, quote and bps of the notional, with a bar as long as it is large."""
    digits = 0 if max(abs(step.money) for step in money) >= 100 else 2
    names = max(len(step.name) for step in money)
    share = ["" if step.bps is None else f"{plain(step.bps)} bps" for step in money]
    cells = [
        f"{plain(step.money, digits):>10}  {bps:>{max(map(len, share))}} "
        for step, bps in zip(money, share, strict=True)
    ]
    space = min(LONGEST, width - names - len(cells[0]))
    largest = max(abs(step.money) for step in money)
    lines = []
    for step, cell in zip(money, cells, strict=True):
        length = round(space * abs(step.money) / largest) if largest > 0 and space >= SHORTEST else 0
        style = "red" if step.money < 0 else "green"
        lines.append(Text.assemble(step.name.ljust(names), (f"{cell}{brick * length}".rstrip(), style)))
    return lines


@dataclass(frozen=True, slots=True)
class Money:
    """WHERE THE MONEY WENT: from the moves of prices to the net result, which is the sum of the steps."""

    steps: Sequence[Step]
    net: Step

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield Text("WHERE THE MONEY WENT", style="bold")
        yield from drawn_steps([*self.steps, self.net], min(options.max_width, WIDTH), "█" if draws(console) else "#")


def money(result: SimulationResult) -> Money:
    """The steps of a run; its net has bps where no position is open."""
    every, last = all_steps(result), result.report["money"]
    closed = all(step.bps is not None for step in every)
    return Money(every, Step("net", sum(step.money for step in every), last["net_bps"] if closed else None))


def warnings(result: SimulationResult) -> list[str]:
    """What a trader must not overlook, the most important first: the summary shows as many as fit on one screen."""
    report, said = result.report, []
    days, had, asked = result.metrics["Sharpe days"], report["win_rate"], report["break_even_win_rate"]
    if result.market.synthetic:
        said.append("synthetic data: profit or loss here proves nothing about real markets")
    said += report["data_warnings"]
    said += [note for note in result.market.assumptions if FEWER in note]
    if result.answers.get("note"):
        said.append(result.answers["note"])
    if had is not None and (asked is None or had < asked):
        short = f"the win rate, {percent(had)}, is below the {percent(asked)} that barriers and costs need"
        pays = asked is not None and asked <= 1.0
        said.append(f"{short if pays else 'no win rate pays these costs'}: more trades will not help")
    for halt in report["halts"]["holding"]:
        lasts = (
            "until somebody lifts it"
            if halt["until"] == NEVER
            else f"until {np.datetime64(halt['until'], 'ns').astype('M8[m]')} UTC"
        )
        said.append(
            f"entries are blocked {lasts}: {halt['rule']} saw {halt['value']:.3g} of {halt['limit']:g}; exits go on"
        )
    if report["ambiguous_share"] > AMBIGUOUS:
        said.append(
            f"{percent(report['ambiguous_share'])} of bars in position touched stop and take; the stop was taken, "
            "use finer candles"
        )
    for symbol, share in report["tick_per_stop"].items():
        if share is not None and share > COARSE_TICK:
            said.append(
                f"{symbol}: one tick is {percent(share)} of the stop's distance: candles cannot judge this market; "
                "take a wider stop, or a market of finer ticks"
            )
    if report["capped_prices"]:
        said.append(
            f"prices of market orders held at {result.settings.simulation.max_impact_bps:g} bps, "
            f"simulation.max_impact_bps: {report['capped_prices']}; so little traded there that impact has no measure"
        )
    if report["gap_bars"]:
        crossed = int(np.sum(result.tables["trades"]["gap_bars"] > 0))
        said.append(
            f"bars missing from the data: {report['gap_bars']:,}; trades that cross a gap (gap_bars): {crossed:,}"
        )
    if report["trades"] and (days < FEW_DAYS or report["trades"] < FEW_TRADES):
        said.append(
            f"{counted(report['trades'], 'trade')} in {counted(days, 'day')} prove little: rates are noisy under "
            f"{FEW_TRADES} trades, ratios under {FEW_DAYS} days"
        )
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
        (f"{report['net_pnl']:+,.2f}, {percent(profit / 100, 2)}", "red" if report["net_pnl"] < 0 else "green"),
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
    """The verdict and the tables: assumptions, metrics, exits, break-even, funnel, and what not to overlook."""
    report = result.report
    return Group(
        Rule(Text(f"{report['symbol']} {report['timeframe']}  {report['source']}"), style="dim"),
        Text(verdict(result), style="bold"),
        Text(),
        Text("ASSUMPTIONS", style="bold"),
        bullets("-", result.market.assumptions, "dim"),
        Text(),
        Metrics(result.metrics),
        Text(),
        *((money(result), Text()) if report["trades"] else ()),
        Beside(Group(exits_table(result), Text(), break_even(result)), funnel_table(result)),
        Text(),
        bullets("!", warnings(result), "yellow"),
    )
