"""The summary on one screen: verdict, figures with their doubt, where the money went, why not more trades, warnings."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console, ConsoleOptions
from rich.text import Text

from backtest.run.result import SimulationResult
from backtest.run.summary import FEW_DAYS, WIDTH, drawn_steps, warnings
from backtest.run.verdict import Step, exits, model_says, net_result, steps, verdict, why_not_more
from utils.figures.shown import NOTHING, amount, counted, needed, percent, plain
from utils.records.files import TABLES
from utils.shell.console import draws

#: Lines of the whole where it has its full width.
SCREEN = 24
#: Warnings that are shown however long the rest is.
LEAST_WARNINGS = 3
#: Least width of the left column of figures, and between the two, characters.
LEFT, GAP = 38, 3
#: Width of the names of figures and of blocks, characters.
NAME, BLOCK = 16, 23
#: Name of the block of the money.
TITLE = "where the money went"
#: Symbols and warnings named before the rest is only counted.
MOST_SYMBOLS = 3
#: Word for a market that is none.
MADE_UP = "SYNTHETIC"
#: Where each line is explained.
EXPLAINED = "docs/first-run.md"


class Figure(NamedTuple):
    """A number of the summary: its name, itself, and what belongs to it: interval, demand."""

    name: str
    value: str
    beside: tuple[str, ...] = ()
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Brief:
    """A finished run on one screen; wraps where the terminal is narrow, and cuts nothing."""

    result: SimulationResult

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield from brief(self.result, min(options.max_width, WIDTH), drawn=draws(console))


def brief(result: SimulationResult, width: int, *, drawn: bool) -> list[Text]:
    """The lines, top to bottom.

    Args:
        result: of the run.
        width: characters a line may take; single words that are longer stay whole.
        drawn: bars and dots beyond ASCII may be used.
    """
    dot = " · " if drawn else " | "
    head = wrapped(dot.join(origin(result)), width)
    lines = [*map(marked, head), *(Text(line, "bold") for line in wrapped(verdict(result), width))]
    lines += [Text(), *figure_lines(figures(result), width), Text()]
    if result.report["trades"]:
        lines += money_lines(steps(result), width, "█" if drawn else "#")
    lines += block("why not more trades", why_not_more(result), width)
    if said := model_says(result):
        lines += block("model", said, width)
    if result.report["trades"]:
        lines += block("exits", exits(result), width)
    foot = foot_lines(result, width)
    room = SCREEN - len(lines) - len(foot) - 1
    return [*lines, Text(), *warning_lines(warnings(result), width, room), *foot]


def marked(line: str) -> Text:
    """A line of the head; what says that the data are made up stands out."""
    text = Text(line, "dim")
    text.highlight_words([MADE_UP], "not dim bold yellow")
    return text


def origin(result: SimulationResult) -> list[str]:
    """Market, source, period, and how fills were made."""
    report, names = result.report, result.market.symbols
    more = len(names) - MOST_SYMBOLS
    listed = ", ".join(names[:MOST_SYMBOLS]) + (f" and {more} more" if more > 0 else "")
    first, last = (str(result.metrics[f"Backtesting {end}"])[:10] for end in ("from", "to"))
    period = first if first == last else f"{first} to {last}"
    fills = f"fills: {result.metrics['Assumptions profile']}"
    return [f"{listed} {report['timeframe']}", source(result), period, fills]


def source(result: SimulationResult) -> str:
    """Where the data came from; what is made up is called so."""
    if result.market.synthetic:
        return f"{MADE_UP}, seed {result.settings.simulation.seed}"
    names = tuple(dict.fromkeys(result.market.sources))
    return names[0] if len(names) == 1 else f"{len(names)} files"


def figures(result: SimulationResult) -> list[Figure]:
    """The numbers, in the order in which they are read: left column, then right."""
    report, known = result.report, result.metrics
    days, trades, net = known["Sharpe days"], report["trades"], net_result(result)
    asked = f"needed {needed(report['break_even_win_rate'])}"
    each = f"{plain(known['Expectancy bps'])} bps" if trades else NOTHING
    a_day = f", {trades / days:.1f} a day" if trades and days else ""
    sharpe = Figure("Sharpe, yearly", f"too few days ({days} of {FEW_DAYS})")
    if days >= FEW_DAYS:
        sharpe = Figure("Sharpe, yearly", plain(known["Sharpe"], 1), between(known, "Sharpe", 1))
    return [
        Figure("net result", f"{plain(net)} of {amount(report['initial_capital'])}", bad=net < 0),
        Figure("trades", f"{trades:,}{a_day}"),
        Figure("profit factor", factor(known["Profit factor"])),
        Figure("drawdown", percent(report["max_drawdown"])),
        Figure("net per trade", each, between(known, "Expectancy bps", 2)),
        Figure("win rate", percent(report["win_rate"]), (*between(known, "Win rate", 1, 100.0), asked)),
        sharpe,
        Figure("time in market", percent(known["Exposure time"])),
    ]


def between(known: Any, row: str, digits: int, times: float = 1.0) -> tuple[str, ...]:
    """The 95 % interval of a row, `(-8.69 to -6.97)`; nothing where there is too little to know it."""
    low, high = (known[f"{row} 95 % {end}"] for end in ("from", "to"))
    if low is None or math.isnan(low):
        return ()
    return (f"({plain(times * low, digits)} to {plain(times * high, digits)})",)


def factor(value: float | None) -> str:
    """The profit factor; without a loss there is none."""
    return "no loss" if value is not None and math.isinf(value) else plain(value)


def figure_lines(all_figures: Sequence[Figure], width: int) -> list[Text]:
    """Figures in two columns where they fit, else below each other."""
    half = len(all_figures) // 2
    lefts = [figure_text(figure, WIDTH)[0] for figure in all_figures[:half]]
    rights = [figure_text(figure, WIDTH)[0] for figure in all_figures[half:]]
    start = max(LEFT, GAP + max(map(len, lefts)))
    if start + max(map(len, rights)) <= width:
        return [
            Text.assemble(left, " " * (start - len(left)), right) for left, right in zip(lefts, rights, strict=True)
        ]
    return [line for figure in all_figures for line in figure_text(figure, width)]


def figure_text(figure: Figure, width: int) -> list[Text]:
    """One figure, what stands beside it below it where the line would be too long."""
    lines, name = [], figure.name.ljust(NAME)
    line = f"{name}{figure.value}"
    for part in figure.beside:
        if len(line) + 2 + len(part) > width:
            lines.append(line)
            line = " " * (NAME - 2)
        line += f"  {part}"
    lines.append(line)
    said = [Text(one) for one in lines]
    if figure.bad:
        said[0].stylize("red", NAME, NAME + len(figure.value))
    return said


def money_lines(money: Sequence[Step], width: int, brick: str) -> list[Text]:
    """Each step from prices to the result, beside the name of the block, or below it where there is no room beside."""
    lines = drawn_steps(money, width - BLOCK, brick)
    if not any(brick in line.plain for line in lines):  # no room beside
        return [Text(TITLE), *(Text.assemble("  ", line) for line in drawn_steps(money, width - 2, brick))]
    starts = [TITLE if k == 0 else "" for k in range(len(lines))]
    return [Text.assemble(start.ljust(BLOCK), line) for start, line in zip(starts, lines, strict=True)]


def block(name: str, text: str, width: int) -> list[Text]:
    """A named text, wrapped beside its name, or below it where there is no room beside."""
    indent = BLOCK if width >= 2 * BLOCK + 10 else 2
    if indent == BLOCK:
        return [Text(line) for line in wrapped(name.ljust(BLOCK) + text, width, BLOCK)]
    return [Text(name), *(Text(line) for line in wrapped("  " + text, width, 2))]


def warning_lines(said: Sequence[str], width: int, room: int) -> list[Text]:
    """Warnings, the most important first, each a line of its own; those for which there is no room are counted."""
    folded = [wrapped(f"! {sentence}", width, 2) for sentence in said]
    shown, used = 0, 0
    for k, one in enumerate(folded):
        rest = 1 if k < len(folded) - 1 else 0  # the line that counts them
        if shown >= LEAST_WARNINGS and used + len(one) + rest > room:
            break
        shown, used = k + 1, used + len(one)
    lines = [Text(line, "yellow") for one in folded[:shown] for line in one]
    if shown < len(folded):
        lines.append(Text(f"! and {counted(len(folded) - shown, 'more warning')}: --full", "yellow"))
    return lines


def foot_lines(result: SimulationResult, width: int) -> list[Text]:
    """How much was assumed, the decision hash, where the files are, and where this is explained."""
    report, logs = result.report, result.report["logs"]
    others = [Path(logs[name]).name for name in (*TABLES[1:], "run") if name in logs]
    lines = [
        f"assumptions: {len(result.market.assumptions)}, in run.json (--full prints them)",
        f"decisions {report['decision_sha256'][:8]}",
        f"files: {', '.join([logs[TABLES[0]], *others])}",
        *(f"kept: {logs[name]}" for name in ("kept",) if name in logs),
        f"each line explained: {EXPLAINED}",
    ]
    joined = joined_up(lines, width)
    return [Text(line, "dim") for one in joined for line in wrapped(one, width, 2)]


def joined_up(parts: Sequence[str], width: int, gap: str = "      ") -> list[str]:
    """Parts on as few lines as hold them, in their order."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(gap) + len(part) <= width:
            lines[-1] += gap + part
        else:
            lines.append(part)
    return lines


def wrapped(text: str, width: int, indent: int = 0) -> list[str]:
    """A text in lines of at most `width`, the later ones indented; a word that is longer stays whole, to be copied."""
    indented = " " * indent
    return textwrap.wrap(text, width, subsequent_indent=indented, break_long_words=False, break_on_hyphens=False)
