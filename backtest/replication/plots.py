"""Pictures of the replications: a sheet a symbol, and one of all results beside the papers'.

Figures are made without pyplot: they need no display, and nothing of matplotlib's global state changes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from backtest.replication.statistics import fitted_line
from backtest.replication.studies import CLAIMS, HORIZONS, LENGTHS, Finding, Measured
from features.microstructure import spaced_lags
from utils.figures.arithmetic import wilson_interval

#: Okabe and Ito's colours, which colour-blind readers tell apart too.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
#: Points of a scatter; more are thinned evenly.
POINTS = 800
#: Classes of imbalance whose share of up moves is drawn.
BINS = 12
STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "replicate",
}


def save_sheet(one: Measured, folder: Path) -> Path:
    """Draw what was measured of one sample; panels of what was not say why."""
    with mpl.rc_context(STYLE):
        page = Figure(figsize=(11.0, 6.6), layout="constrained")
        page.suptitle(f"{one.symbol}, {one.recording}", x=0.01, ha="left", fontsize=11.0)
        panels = page.subplots(2, 3).ravel().tolist()
        for panel, draw in zip(panels, (_flow, _depth, _levels, _imbalance, _micro, _memory), strict=True):
            draw(panel, one)
        return _save(page, folder, f"{one.recording}_{one.symbol}")


def save_forest(measured: Sequence[Measured], folder: Path) -> Path:
    """Draw every result that a paper claims, of every sample, with its interval; the folder, if there is none."""
    names = [name for name, claim in CLAIMS.items() if not math.isnan(claim.least)]
    known = [one for one in measured if any(_known(finding) for finding in one.findings if finding.name in names)]
    names = [name for name in names if any(_known(_finding(one, name)) for one in known)]
    if not names:
        return folder
    rows = math.ceil(len(names) / 3)
    with mpl.rc_context(STYLE):
        page = Figure(figsize=(11.0, rows * (0.75 + 0.2 * len(known)) + 0.6), layout="constrained")
        page.suptitle("Ours with 95 % interval; what the papers say in orange", x=0.01, ha="left", fontsize=11.0)
        panels = page.subplots(rows, 3, sharey=True, squeeze=False)
        for panel, name in zip(panels.ravel(), names, strict=False):
            _forest(panel, name, known)
        for panel in panels.ravel()[len(names) :]:
            panel.set_axis_off()
        return _save(page, folder, "forest")


def _forest(panel: Axes, name: str, known: Sequence[Measured]) -> None:
    claim = CLAIMS[name]
    panel.set_title(name, fontsize=9.0)
    for place, one in enumerate(known):
        finding = _finding(one, name)
        value = finding.estimate
        if not _known(finding):
            continue
        colour = BLUE if finding.alike else GREY
        panel.plot([value.low, value.high], [place, place], color=colour, linewidth=1.6, solid_capstyle="butt")
        panel.plot(value.value, place, "o", color=colour, markersize=4.5)
    if math.isfinite(claim.paper):
        panel.axvline(claim.paper, color=ORANGE, linewidth=1.2)
    ends = [end for end in (claim.least, claim.most) if math.isfinite(end) and end != claim.paper]
    for end in ends:
        panel.axvline(end, color=ORANGE, linewidth=1.0, linestyle=":")
    if claim.least < claim.most:
        left, right = panel.get_xlim()
        panel.axvspan(max(claim.least, left), min(claim.most, right), color=ORANGE, alpha=0.08, linewidth=0.0)
        panel.set_xlim(left, right)
    panel.set_yticks(range(len(known)), [_label(one) for one in known])
    panel.set_ylim(len(known) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)


def _known(finding: Finding) -> bool:
    return math.isfinite(finding.estimate.value) and math.isfinite(finding.estimate.low)


def _finding(one: Measured, name: str) -> Finding:
    return next(finding for finding in one.findings if finding.name == name)


def _label(one: Measured) -> str:
    """Short: market, symbol, day."""
    market = one.recording.split()[0].replace("_", " ")
    day = re.search(r"_(\d{8})", one.recording)
    return f"{market} {one.symbol} {day[1] if day else ''}".strip() if market != "mock" else one.recording


def _flow(panel: Axes, one: Measured) -> None:
    seconds = next((length for length in LENGTHS if f"flow {length}" in one.drawn), LENGTHS[0])
    panel.set_title("Order flow and the move of its window")
    seen = one.drawn.get(f"flow {seconds}")
    if seen is None:
        _absent(panel, one, f"OFI R2, {seconds} s")
        return
    x, y = seen.flow / seen.depth.mean(), seen.move
    kept = slice(None, None, -(-len(x) // POINTS))
    panel.plot(x[kept], y[kept], "o", color=BLUE, alpha=0.5, markersize=3.5, markeredgewidth=0.0)
    intercept, slope = fitted_line(x, y)
    ends = np.array([x.min(), x.max()])
    r2 = _finding(one, f"OFI R2, {seconds} s").estimate.value
    panel.plot(ends, intercept + slope * ends, color=ORANGE, label=f"R2 {r2:.2f}")
    panel.set_xlabel(f"OFI of {seconds} s, multiples of mean best depth")
    panel.set_ylabel("move of the mid, bps")
    panel.legend(loc="upper left")


def _depth(panel: Axes, one: Measured) -> None:
    name = "slope of ln beta on ln depth"
    panel.set_title("Deeper books move less")
    if "depth" not in one.drawn:
        _absent(panel, one, name)
        return
    depths, betas, estimate = one.drawn["depth"]
    panel.loglog(depths, betas, "o", color=BLUE, alpha=0.6, markersize=4, markeredgewidth=0.0)
    ends = np.array([depths.min(), depths.max()])
    centre = np.exp(np.log(betas).mean()), np.exp(np.log(depths).mean())
    for slope, colour, style in ((estimate.value, BLUE, "-"), (-1.0, ORANGE, "--")):
        label = f"slope {slope:.2f}" if style == "-" else "paper: -1"
        panel.plot(ends, centre[0] * (ends / centre[1]) ** slope, style, color=colour, label=label)
    panel.set_xlabel("mean quantity at the best prices, base")
    panel.set_ylabel("beta, bps per base")
    _plain_decades(panel, depths, betas)
    panel.legend()


def _plain_decades(panel: Axes, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Few readable ticks where a logarithmic axis spans less than a decade."""
    from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullFormatter, NullLocator

    for axis, values in ((panel.xaxis, x), (panel.yaxis, y)):
        if values.max() < 30.0 * values.min():
            axis.set_major_locator(
                FixedLocator([float(f"{tick:.2g}") for tick in np.geomspace(values.min(), values.max(), 4)])
            )
            axis.set_major_formatter(FormatStrFormatter("%.4g"))
            axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())


def _levels(panel: Axes, one: Measured) -> None:
    panel.set_title("What deeper levels add")
    if "levels" not in one.drawn:
        _absent(panel, one, "out-of-sample R2, 1 level")
        return
    found = dict(one.drawn["levels"])
    integrated = found.pop("integrated")
    places = [int(name) for name in found]
    panel.plot(places, list(found.values()), "o-", color=BLUE, label="levels one by one")
    panel.axhline(integrated, color=GREEN, linestyle="--", label="integrated OFI")
    panel.set_xticks(places)
    panel.set_xlabel("levels of the book")
    panel.set_ylabel("out-of-sample R2")
    panel.set_ylim(min(0.0, *found.values()), max(1.0, *found.values()))
    panel.legend(loc="lower right")


def _imbalance(panel: Axes, one: Measured) -> None:
    panel.set_title("The heavier side and the next move")
    if "imbalance" not in one.drawn:
        _absent(panel, one, "AUC of imbalance")
        return
    scores, up, (intercept, slope), area = one.drawn["imbalance"]
    edges = np.linspace(-1.0, 1.0, BINS + 1)
    place = np.clip(np.digitize(scores, edges) - 1, 0, BINS - 1)
    n, ups = np.bincount(place, minlength=BINS), np.bincount(place, up, BINS)
    full = n > 0
    share = ups[full] / n[full]
    ends = [wilson_interval(int(up_there), int(there)) for up_there, there in zip(ups[full], n[full], strict=True)]
    middle = 0.5 * (edges[1:] + edges[:-1])[full]
    panel.vlines(middle, *np.transpose(ends), color=BLUE)
    panel.plot(middle, share, "o", color=BLUE, markersize=4, label="observed, 95 % interval")
    x = np.linspace(-1.0, 1.0, 101)
    panel.plot(
        x,
        1.0 / (1.0 + np.exp(-intercept - slope * x)),
        color=ORANGE,
        label=f"logistic, slope {slope:.2f}; AUC {area.value:.3f}",
    )
    panel.axhline(up.mean(), color=GREY, linewidth=0.8, linestyle=":")
    panel.set_xlabel("imbalance at the best prices")
    panel.set_ylabel("share of next moves that go up")
    panel.set_ylim(-0.02, 1.3)
    panel.set_yticks(np.linspace(0.0, 1.0, 6))
    panel.legend(loc="upper left")


def _micro(panel: Axes, one: Measured) -> None:
    panel.set_title("Which price is nearer to the mid that comes")
    there = [horizon for horizon in HORIZONS if f"micro {horizon}" in one.drawn]
    if not there:
        _absent(panel, one, f"MSE of micro-price / mid, {HORIZONS[0]} s")
        return
    kinds = (("mid", GREY), ("weighted mid", ORANGE), ("micro-price", BLUE))
    tallest = 1.0
    for place, horizon in enumerate(there):
        mse, _ = one.drawn[f"micro {horizon}"]
        for shift, (kind, colour) in enumerate(kinds):
            height = mse[shift] / mse[0]
            tallest = max(tallest, height)
            x = place + 0.27 * (shift - 1)
            panel.bar(x, height, 0.25, color=colour, label=kind if place == 0 else None)
            panel.text(x, height + 0.01, f"{height:.3f}", ha="center", va="bottom", fontsize=8.0)
    panel.set_xticks(range(len(there)), [f"{horizon} s ahead" for horizon in there])
    panel.set_ylim(0.0, 1.3 * tallest)
    panel.set_ylabel("mean squared error, mid = 1")
    panel.legend(loc="upper center", ncols=3, columnspacing=0.8, handlelength=1.0)


def _memory(panel: Axes, one: Measured) -> None:
    panel.set_title("Buyers follow buyers")
    if "memory" not in one.drawn:
        _absent(panel, one, "autocorrelation of signs, lag 1")
        return
    memory, slow = one.drawn["memory"]
    curve = memory.autocorrelation
    lags = spaced_lags(len(curve))
    level = 2.0 / math.sqrt(memory.orders)
    kept = lags[curve[lags - 1] > 0.0]
    panel.loglog(kept, curve[kept - 1], "o", color=BLUE, markersize=4)
    panel.axhline(level, color=GREY, linestyle=":", linewidth=0.9, label="2 s.e. of no memory")
    if math.isfinite(slow.value):
        fit = kept[curve[kept - 1] > level]
        height = np.log(curve[fit - 1]).mean() + slow.value * np.log(fit).mean()
        panel.plot(fit, np.exp(height) * fit**-slow.value, color=ORANGE, label=f"gamma {slow.value:.2f}")
    panel.set_ylim(bottom=0.2 * level)
    panel.set_xlabel("lag, market orders")
    panel.set_ylabel("autocorrelation of signs")
    panel.legend(loc="lower left")


def _absent(panel: Axes, one: Measured, name: str) -> None:
    words = re.sub(r"(.{1,38})(?:\s|$)", r"\1\n", f"not measured: {_finding(one, name).note}")
    panel.text(0.5, 0.5, words.strip(), ha="center", va="center", color=GREY, transform=panel.transAxes)
    panel.set_xticks([])
    panel.set_yticks([])


def _save(page: Any, folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{re.sub(r'[^A-Za-z0-9]+', '_', name)}.svg"
    page.savefig(path, metadata={"Date": None})
    return path
