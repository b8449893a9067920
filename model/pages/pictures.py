"""Pictures of a training, drawn as SVG whose colours are those of the page they stand in.

Written by hand and not by a library: a curve of some hundred points is a line of text, and follows a dark theme.
"""

from __future__ import annotations

import html as escaping
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model.pages.findings import Bins
from utils.figures.shown import plain

#: Width of a picture, and height of its panels, in units that a page scales.
WIDTH, HEIGHT = 860, 270
#: Room around a panel: left, right, above, below.
LEFT, RIGHT, ABOVE, BELOW = 58, 14, 30, 40
#: Ends of the names of the styles of series: the first family, the second, what they are compared with.
SERIES = ("a", "b", "c")
#: Points of a curve; more are thinned.
POINTS = 400

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Panel:
    """A rectangle of a picture, and the values at its edges."""

    left: float
    top: float
    width: float
    height: float
    across: Pair  # least and most
    up: Pair

    def x(self, value: float) -> float:
        """Where a value stands from left to right."""
        low, high = self.across
        return self.left + self.width * (value - low) / (high - low)

    def y(self, value: float) -> float:
        """Where a value stands from top to bottom."""
        low, high = self.up
        return self.top + self.height * (high - value) / (high - low)


def reliability(families: Sequence[tuple[str, Bins]]) -> str:
    """What was said beside what happened, with intervals and counts, a panel a family; "" without a bin."""
    values = [value for _, bins in families for part in (bins.p, bins.low, bins.high) for value in part]
    if not values:
        return ""
    ends = _ends(values)
    width = (WIDTH - len(families) * (LEFT + RIGHT)) / len(families)
    drawn: list[str] = []
    for k, (name, bins) in enumerate(families):
        if not bins.p:
            continue
        panel = Panel(LEFT + k * (width + LEFT + RIGHT), ABOVE, width, HEIGHT, ends, ends)
        title = f"{name}, {_span(bins.weight)} effective labels a point"
        drawn += _frame(panel, title, "win probability said, %", "share that won, %", _percent, _percent)
        drawn.append(_line(panel, [(ends[0], ends[0]), (ends[1], ends[1])], "even"))
        for p, rate, low, high in zip(bins.p, bins.rate, bins.low, bins.high, strict=True):
            drawn.append(_line(panel, [(p, low), (p, high)], f"thin l{SERIES[k % 2]}"))
            drawn.append(_dot(panel.x(p), panel.y(rate), 5.0, SERIES[k % 2]))
    return _picture(drawn, HEIGHT + ABOVE + BELOW, "reliability diagram")


def earnings(
    families: Sequence[tuple[str, Sequence[Pair]]], wealths: Sequence[tuple[str, Sequence[Pair]]], needed: float
) -> str:
    """Net added up over the days, and the wealth of the gate beside what it asks; "" where nothing was traded.

    Args:
        families: of each the points (day, bps).
        wealths: of each the points (day, wealth).
        needed: wealth that is asked.
    """
    if not any(len(points) > 1 for _, points in families):
        return ""
    width = (WIDTH - 2 * (LEFT + RIGHT)) / 2
    days = _ends([x for _, points in families for x, _ in points], 0.0)
    sums = _ends([y for _, points in families for _, y in points] + [0.0])
    left = Panel(LEFT, ABOVE, width, HEIGHT, days, sums)
    drawn = _frame(left, "net of all trades out of sample", "days", "bps, added up", _whole, _whole)
    drawn.append(_line(left, [(days[0], 0.0), (days[1], 0.0)], "even"))
    logs = [(name, [(x, math.log10(min(max(y, 1e-12), 1e12))) for x, y in points]) for name, points in wealths]
    levels = _ends([y for _, points in logs for _, y in points] + [0.0, math.log10(needed)])
    right = Panel(2 * LEFT + RIGHT + width, ABOVE, width, HEIGHT, days, levels)
    drawn += _frame(right, "wealth of the gate", "days", "wealth, began with 1", _whole, _power)
    drawn.append(_line(right, [(days[0], math.log10(needed)), (days[1], math.log10(needed))], "even"))
    drawn.append(
        _label(right.x(days[0]) + 6.0, right.y(math.log10(needed)) - 5.0, f"asked: {plain(needed, 0)}", "start", "dim")
    )
    for panel, lines in ((left, families), (right, logs)):
        for k, (name, points) in enumerate(lines):
            if points:
                drawn.append(_line(panel, _thinned(points), f"line l{SERIES[k % 2]}"))
                drawn.append(_key(panel, k, name))
    return _picture(drawn, HEIGHT + ABOVE + BELOW, "earnings and wealth")


def strips(rows: Sequence[tuple[str, Sequence[float], Sequence[float]]]) -> str:
    """Skill and net of each path, a row a family; "" without a path.

    Args:
        rows: name, skills (fractions), nets (bps; NaN = no trade).
    """
    if not any(skills for _, skills, _ in rows):
        return ""
    width = (WIDTH - 110 - 2 * (LEFT + RIGHT)) / 2
    height = 46.0 * len(rows)
    drawn: list[str] = []
    skills, nets = [row[1] for row in rows], [row[2] for row in rows]
    kinds = (("Brier skill", "%", _percent, skills), ("net of a trade", "bps", _tenth, nets))
    for k, (title, unit, shown, values) in enumerate(kinds):
        ends = _ends([value for row in values for value in row] + [0.0])
        panel = Panel(110 + LEFT + k * (width + LEFT + RIGHT), ABOVE, width, height, ends, (0.0, float(len(rows))))
        drawn += _frame(panel, f"{title} of each path", unit, "", shown, None)
        drawn.append(_line(panel, [(0.0, 0.0), (0.0, float(len(rows)))], "even"))
        for place, row in enumerate(values):
            middle = panel.y(len(rows) - place - 0.5)
            known = [value for value in row if math.isfinite(value)]
            if k == 0:
                drawn.append(_label(panel.left - 10.0, middle + 4.0, rows[place][0], "end"))
            drawn += [_dot(panel.x(value), middle, 5.0, SERIES[place % 2]) for value in known]
            if not known:
                said = "no trade" if row else "not computed"
                drawn.append(_label(panel.left + 0.5 * width, middle + 4.0, said, "middle", "dim"))
    return _picture(drawn, height + ABOVE + BELOW, "paths of cross-validation")


def bars(title: str, rows: Sequence[tuple[str, float, float]], series: int) -> str:
    """Values with their errors, a bar each, the first on top; "" without a row.

    Args:
        title: what they are, with the unit.
        rows: name, value, error.
        series: place of the family, for the colour.
    """
    if not rows:
        return ""
    room, pitch = 330.0, 20.0
    height = pitch * len(rows)
    across = _ends([end for _, value, error in rows for end in (value - error, value + error)] + [0.0])
    panel = Panel(room, ABOVE, WIDTH - room - RIGHT, height, across, (0.0, float(len(rows))))
    drawn = _frame(panel, title, "", "", _short, None)
    zero = panel.x(0.0)
    for place, (name, value, error) in enumerate(rows):
        y = panel.top + pitch * (place + 0.5)
        end = panel.x(value)
        drawn.append(
            f'<rect class="f{SERIES[series % 2]}" x="{min(zero, end):.1f}" y="{y - 6:.1f}" '
            f'width="{abs(end - zero):.1f}" height="12"/>'
        )
        drawn.append(f'<path class="axis" d="M{panel.x(value - error):.1f} {y:.1f}H{panel.x(value + error):.1f}"/>')
        drawn.append(_label(room - 10.0, y + 4.0, _cut(name), "end"))
    drawn.append(_line(panel, [(0.0, 0.0), (0.0, float(len(rows)))], "axis"))
    return _picture(drawn, height + ABOVE + 0.5 * BELOW, title)


def curves(title: str, below: str, beside: str, lines: Sequence[tuple[str, Sequence[Pair]]], level: float) -> str:
    """Lines over shares of a history, each doubled from mark to mark, and a level beside them; "" without a line.

    Args:
        title: what is drawn.
        below: name of the axis from left to right.
        beside: name of the axis from bottom to top.
        lines: name, points (share, value).
        level: of what they are compared with; NaN = none.
    """
    lines = [(name, [(math.log2(x), y) for x, y in points if math.isfinite(y)]) for name, points in lines]
    values = [y for _, points in lines for _, y in points]
    if not values:
        return ""
    values += [level] if math.isfinite(level) else []
    panel = Panel(LEFT + 12, ABOVE, WIDTH * 0.62, HEIGHT * 0.8, (-3.25, 0.25), _ends(values))
    marks = [(float(k), name) for k, name in ((-3, "1/8"), (-2, "1/4"), (-1, "1/2"), (0, "all"))]
    drawn = _frame(panel, title, below, beside, None, _fourth)
    for place, name in marks:
        drawn.append(_label(panel.x(place), panel.top + panel.height + 15.0, name, "middle", "dim"))
    if math.isfinite(level):
        drawn.append(_line(panel, [(-3.25, level), (0.25, level)], "even"))
        drawn.append(_label(panel.left + panel.width + 8.0, panel.y(level) + 4.0, "base rate", "start", "dim"))
    ends: list[float] = [panel.y(level)] if math.isfinite(level) else []
    for k, (name, points) in enumerate(lines):
        if not points:
            continue
        drawn.append(_line(panel, points, f"line l{SERIES[k % 2]}"))
        drawn += [_dot(panel.x(x), panel.y(y), 3.5, SERIES[k % 2]) for x, y in points]
        at = panel.y(points[-1][1])
        while any(abs(at - end) < 12.0 for end in ends):
            at += 3.0
        ends.append(at)
        drawn.append(_label(panel.left + panel.width + 8.0, at + 4.0, name, "start", f"f{SERIES[k % 2]}"))
    return _picture(drawn, panel.height + ABOVE + BELOW, title)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers within an interval: steps of 1, 2 or 5 times a power of ten, at most so many."""
    raw = (high - low) / most
    size = 10.0 ** math.floor(math.log10(raw))
    step = size * next(factor for factor in (1.0, 2.0, 5.0, 10.0) if factor * size >= raw * (1.0 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def _ends(values: Sequence[float], room: float = 0.06) -> Pair:
    """Least and most with some room beside them; a unit around one value, or around nothing."""
    known = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(known), max(known)
    if not high - low > 1e-9 * (1.0 + abs(high)):
        half = 0.5 * abs(high) or 0.5
        return low - half, high + half
    return low - room * (high - low), high + room * (high - low)


def _frame(
    panel: Panel,
    title: str,
    below: str,
    beside: str,
    shown_across: Callable[[float], str] | None,
    shown_up: Callable[[float], str] | None,
) -> list[str]:
    """Title, grid, numbers and names of the axes; without a way to show its numbers an axis has none."""
    bottom, right = panel.top + panel.height, panel.left + panel.width
    drawn = [_label(panel.left, panel.top - 12.0, title, "start", "title")]
    if shown_up is not None:
        for value in ticks(*panel.up):
            y = panel.y(value)
            drawn.append(f'<path class="grid" d="M{panel.left:.1f} {y:.1f}H{right:.1f}"/>')
            drawn.append(_label(panel.left - 6.0, y + 4.0, shown_up(value), "end", "dim"))
    if shown_across is not None:
        for value in ticks(*panel.across, most=max(2, int(panel.width // 60))):
            x = panel.x(value)
            drawn.append(f'<path class="grid" d="M{x:.1f} {panel.top:.1f}V{bottom:.1f}"/>')
            drawn.append(_label(x, bottom + 15.0, shown_across(value), "middle", "dim"))
    drawn.append(f'<path class="axis" d="M{panel.left:.1f} {bottom:.1f}H{right:.1f}"/>')
    if below:
        drawn.append(_label(panel.left + 0.5 * panel.width, bottom + 32.0, below, "middle", "dim"))
    if beside:
        x, y = panel.left - LEFT + 12.0, panel.top + 0.5 * panel.height
        drawn.append(
            f'<text class="dim" text-anchor="middle" transform="translate({x:.1f} {y:.1f}) rotate(-90)">'
            f"{escaping.escape(beside)}</text>"
        )
    return drawn


def _line(panel: Panel, points: Sequence[Pair], style: str) -> str:
    way = " ".join(f"{panel.x(x):.1f},{panel.y(y):.1f}" for x, y in points)
    return f'<polyline class="{style}" points="{way}"/>'


def _dot(x: float, y: float, size: float, series: str) -> str:
    return f'<circle class="f{series}" cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}"/>'


def _label(x: float, y: float, text: str, anchor: str, style: str = "") -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escaping.escape(text)}</text>'


def _key(panel: Panel, place: int, name: str) -> str:
    """The name of a line in its colour, at the right above a panel."""
    return _label(panel.left + panel.width - 70.0 * place, panel.top - 12.0, name, "end", f"f{SERIES[place % 2]}")


def _picture(drawn: Sequence[str], height: float, words: str) -> str:
    said = escaping.escape(words)
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{said}">{"".join(drawn)}</svg>'


def _thinned(points: Sequence[Pair]) -> list[Pair]:
    """At most so many points, the last among them."""
    step = -(-len(points) // POINTS)
    return [*points[:-1][::step], points[-1]]


def _cut(name: str, most: int = 52) -> str:
    return name if len(name) <= most else f"{name[: most - 3]}..."


def _percent(value: float) -> str:
    return f"{100.0 * value:.4g}"


def _whole(value: float) -> str:
    return plain(value, 0)


def _tenth(value: float) -> str:
    return f"{value:.4g}"


def _fourth(value: float) -> str:
    return f"{value:.4f}"


def _short(value: float) -> str:
    return f"{value:.2g}"


def _power(value: float) -> str:
    """A power of ten as a number."""
    return f"1e{value:.0f}" if abs(value) > 5.0 else f"{10.0**value:.2g}" if value < 1.0 else plain(10.0**value, 0)


def _span(values: Sequence[float]) -> str:
    """Least and most of numbers, or the one that they all are."""
    low, high = plain(min(values), 0), plain(max(values), 0)
    return low if low == high else f"{low} to {high}"
