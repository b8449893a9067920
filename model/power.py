"""How often the gate errs: on markets where nothing can be earned, and on ones where an edge was planted.

    python -m model.power rotated [--seeds 100] [--bars 20000] [--data FILE] [--json]
    python -m model.power walk    [--seeds 100] [--daily 365]
    python -m model.power planted [--seeds 100] [--edge 12]
    python -m model.power mock    [--seeds 20]

`rotated`: labels of a market turned against its features by a random number of rows, their mean net set to 0. `walk`:
driftless walks. `planted`: rotated labels, and an edge on one signal in ten that a feature tells. `mock`: the mock
market with its costs. All but the last have no costs at all: with them nothing passes, which would prove nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from backtest.data.decisions import Maker
from backtest.data.market import build_market, read_sources, synthetic_market
from backtest.experiments.data import walk_candles
from exec.market import Market
from ml.learning.fit import fit_meta
from ml.learning.gate import FEWEST_DAYS, FEWEST_TRADES, verdict
from ml.learning.table import LONG, SHORT, Table, joined
from ml.learning.walk import Evidence, added, judge, known_at, of_judged, together, walk
from ml.learning.wealth import wealth_needed, wealth_of_open
from model.training import SERVING, worst_loss
from utils.config import load_settings
from utils.errors import ConfigError, DataError
from utils.figures.arithmetic import wilson_interval
from utils.rows import NS_PER_DAY
from utils.settings.tree import InstrumentEntry, Settings
from utils.shell.cli import Parser, amount, command, whole
from utils.shell.console import progress_console
from utils.shell.meter import Meter

ROTATED, WALK, PLANTED, MOCK = "rotated", "walk", "planted", "mock"
KINDS = (ROTATED, WALK, PLANTED, MOCK)
#: Length of a bar of the made markets: at 5m 20,000 bars are 69 days, of which 41 are judged.
TF = "5m"
BARS, SEEDS, MOCK_SEEDS, EDGE_BPS = 20_000, 100, 20, 12.0
#: Share of the signals in each direction that get the edge, and the feature that tells which.
PLANTED_SHARE, TELLS = 0.1, "zscore_20"
#: Bars of the window of a daily retrain, as many as the promised command asks for.
WINDOW = 2_000
#: Half the spread that a free market still has: none.
FREE = {"spread_bps": 0.0, "slippage_bps": 0.0, "impact": 0.0}


@dataclass(frozen=True, slots=True)
class Tried:
    """One seed, by the learner that came furthest."""

    seed: int
    passed: bool
    trades: int
    days: int
    net_bps: float  # mean
    wealth: float
    first_pass: int  # day of the first look that passed; -1 = none


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(
        "python -m model.power",
        "How often the gate errs, and how often it sees an edge: made markets whose truth is known.",
        usage="rotated|walk|planted|mock [flags]",
        examples=(
            ("python -m model.power walk --seeds 100", "driftless walks without costs: at most 5 may pass"),
            ("python -m model.power rotated --daily 365", "a retrain a day for a year, a look after each"),
            ("python -m model.power planted --edge 12", "12 bps on one signal in ten: at least 90 should pass"),
            ("python -m model.power mock --seeds 20", "the mock market with its costs: none may pass"),
        ),
    )
    parser.add_argument("kind", choices=KINDS, metavar="MARKET", help=", ".join(KINDS))
    add = parser.group("what is tried")
    add("--seeds", type=whole, metavar="N", help=f"markets (default: {SEEDS}, of the mock market {MOCK_SEEDS})")
    add("--first-seed", type=whole, default=1, metavar="N", help="the first of them (default: 1)")
    add("--bars", type=whole, default=BARS, metavar="N", help=f"of each (default: {BARS:,})")
    add("--daily", type=whole, default=0, metavar="DAYS", help="retrain each day, look each day, for so many days")
    add("--edge", type=amount, default=EDGE_BPS, metavar="BPS", help=f"planted on a signal (default: {EDGE_BPS:g})")
    add(
        "--family",
        choices=(*SERVING, "both"),
        metavar="NAME",
        help=f"{', '.join(SERVING)} or both, k = 2 (default: both)",
    )
    add("--data", metavar="PATH", help="candles whose labels are rotated (default: walks with clustered volatility)")
    add("--config", type=Path, metavar="PATH", help="settings file (default: config.yaml beside the program)")
    add = parser.group("output")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="with an error, its traceback")
    return parser


def run(flags: argparse.Namespace) -> int:
    """Do what the flags say."""
    seeds = flags.seeds if flags.seeds is not None else (MOCK_SEEDS if flags.kind == MOCK else SEEDS)
    if seeds < 1:
        raise ConfigError(f"--seeds: expected at least 1, saw {seeds}; try more markets")
    if flags.data and flags.kind not in {ROTATED, PLANTED}:
        raise ConfigError(f"--data: it is rotated, and {flags.kind} makes its own market; leave it out")
    settings = load_settings(flags.config).settings
    bars = flags.bars if not flags.daily else max(flags.bars, flags.daily * 288 + WINDOW)
    families = SERVING if flags.family in {None, "both"} else (flags.family,)
    # as the gate would reckon with these settings, whatever a made market costs
    fees = settings.instrument("default", settings.market.symbol)
    crossing = settings.simulation.spread_bps / 2.0 + settings.simulation.slippage_bps
    found: list[Tried] = []
    began = time.perf_counter()
    with Meter(f"{flags.kind} markets", "markets", progress_console(quiet=flags.json), seeds) as meter:
        for seed in range(flags.first_seed, flags.first_seed + seeds):
            table = table_of(flags.kind, seed, bars, flags.edge, settings, flags.data)
            worst = worst_loss(settings.risk.stop_bps, fees.taker_bps, crossing)
            tries = [
                daily(table, seed, family, flags.daily, worst, len(families))
                if flags.daily
                else once(table, seed, family, worst, len(families))
                for family in families
            ]
            found.append(max(tries, key=lambda one: (one.passed, one.wealth)))
            meter.reach(len(found), seeds)
    passed = sum(one.passed for one in found)
    low, high = wilson_interval(passed, len(found))
    if flags.json:
        rows = [{**{name: _plain(getattr(one, name)) for name in Tried.__slots__}} for one in found]
        print(json.dumps({"kind": flags.kind, "daily": flags.daily, "passed": passed, "seeds": rows}, allow_nan=False))
        return 0
    looks = f"within {flags.daily} daily retrains" if flags.daily else "one look"
    edge = (
        f", {flags.edge:g} bps planted on {100 * PLANTED_SHARE:.0f} % of the signals" if flags.kind == PLANTED else ""
    )
    print(
        f"{flags.kind}{edge}: {passed} of {len(found)} markets passed the gate ({looks}; 95 % interval of the share "
        f"{100 * low:.1f} to {100 * high:.1f} %), {bars:,} bars each, {time.perf_counter() - began:.0f} s"
    )
    trades = [one.trades for one in found]
    mean = float(np.mean([one.net_bps for one in found if one.trades] or [math.nan]))
    print(
        f"trades of the learner that came furthest: median {np.median(trades):.0f}; mean net {mean:+.2f} bps; "
        f"wealth above 1: {sum(one.wealth > 1.0 for one in found)}"
    )
    return 0


def free(settings: Settings) -> Settings:
    """These settings without any cost: fees, spread, slippage and impact are 0, entries at the market."""
    nothing_paid = {"default": {"default": InstrumentEntry(maker_bps=0.0, taker_bps=0.0)}}
    return settings.model_copy(
        update={
            "instruments": nothing_paid,
            "simulation": settings.simulation.model_copy(update=FREE),
            "execution": settings.execution.model_copy(update={"entry": "market"}),
        }
    )


def table_of(kind: str, seed: int, bars: int, edge_bps: float, settings: Settings, data: str | None = None) -> Table:
    """The decisions of one market; either direction may be taken at every bar."""
    if kind == MOCK:
        chosen = settings.model_copy(update={"simulation": settings.simulation.model_copy(update={"seed": seed})})
        market = synthetic_market(chosen, settings.market.symbol, "1m", bars)
        return free_sides(decisions(market, chosen))
    chosen = free(settings)
    if data is not None:
        market = build_market(read_sources(data, None, None), chosen, data=data)
    else:
        market = build_market([walk_candles(bars, seed, clustered=kind != WALK, tf=TF)], chosen)
    table = free_sides(decisions(market, chosen))
    if kind == WALK:
        return table
    dice = np.random.default_rng([seed, 12])
    turned = rotated(table, dice)
    return planted(turned, edge_bps, dice) if kind == PLANTED else turned


def decisions(market: Market, settings: Settings) -> Table:
    """The decisions of a market with their labels."""
    return joined([part.table for part in Maker(market, settings).parts()])


def free_sides(table: Table) -> Table:
    """The table where either direction may be taken at every row."""
    return replace(table, side=np.zeros(len(table)))


def rotated(table: Table, dice: np.random.Generator) -> Table:
    """Labels turned against the features by a random number of rows, at least a tenth; their mean net set to 0."""
    n = len(table)
    turn = int(dice.integers(n // 10, n - n // 10))
    life = np.roll(table.until - table.ts[:, None], turn, axis=0)
    net = np.roll(table.net, turn, axis=0)
    return replace(
        table,
        net=net - np.nanmean(net, axis=0),
        until=table.ts[:, None] + life,
        weight=np.roll(table.weight, turn, axis=0),
    )


def planted(table: Table, edge_bps: float, dice: np.random.Generator) -> Table:
    """An edge on a tenth of the signals in each direction: where a feature is lowest for long, highest for short.

    There as many losses, drawn by dice, become the largest gain as raise the mean by the edge. (A few bps more on each
    trade would leave nearly every win and loss what it was, so no win probability could be learned.)
    """
    tells = table.x[:, table.names.index(TELLS)]
    low, high = np.nanquantile(tells, [PLANTED_SHARE, 1.0 - PLANTED_SHARE])
    net = table.net.copy()
    for way, rows in ((LONG, tells <= low), (SHORT, tells >= high)):
        lost = np.flatnonzero(rows & (net[:, way] < 0.0))
        gain = np.nanmax(net[:, way]) - net[lost, way]
        share = edge_bps * np.count_nonzero(rows & np.isfinite(net[:, way])) / gain.sum()
        net[lost[dice.random(len(lost)) < share], way] = np.nanmax(net[:, way])
    return replace(table, net=net)


def once(table: Table, seed: int, family: str, worst_bps: float, tried: int = 1) -> Tried:
    """One walk through the market, one look at the gate."""
    evidence = together([of_judged(one) for one in walk(table, family, "", seed=seed)])
    told = verdict(evidence, tried, worst_bps, seed=seed)
    return _tried(seed, evidence, told.opens, worst_bps, 0 if told.opens else -1)


def daily(
    table: Table, seed: int, family: str, days: int, worst_bps: float, tried: int = 1, window: int = WINDOW
) -> Tried:
    """A retrain each day on the last bars, what came since judged by the model before, and a look at the gate.

    The first training walks forward, as a first retrain does.
    """
    start = table.take(slice(0, window))
    evidence = together([of_judged(one) for one in walk(start, family, "", seed=seed)])
    busy = np.zeros(len(table.symbols), np.int64)
    if len(evidence.net):
        np.maximum.at(busy, evidence.sym, evidence.until)
    now = int(start.ts[-1])
    fitted = fit_meta(known_at(start, now), family, "", seed=seed)
    first_pass, looks = -1, 0
    while looks < days and now + NS_PER_DAY <= int(table.ts[-1]):
        later = now + NS_PER_DAY
        fresh = judge(fitted, table.take((table.ts > now) & (table.ts <= later)), busy)
        evidence = added(evidence, of_judged(fresh))
        now, looks = later, looks + 1
        if first_pass < 0 and _may_open(evidence, worst_bps, tried):
            first_pass = looks if verdict(evidence, tried, worst_bps, seed=seed).opens else -1
        end = int(np.searchsorted(table.ts, now, side="right"))
        try:
            fitted = fit_meta(known_at(table.take(slice(max(0, end - window), end)), now), family, "", seed=seed)
        except DataError:
            continue  # the old model goes on, as in a retrain that fails
    return _tried(seed, evidence, first_pass >= 0, worst_bps, first_pass)


def _may_open(evidence: Evidence, worst_bps: float, tried: int) -> bool:
    """Whether the rules that cost nothing to ask hold."""
    enough = len(evidence.net) >= FEWEST_TRADES and evidence.days >= FEWEST_DAYS
    return enough and _wealth(evidence, worst_bps) >= wealth_needed(tried)


def _wealth(evidence: Evidence, worst_bps: float) -> float:
    return wealth_of_open(evidence.ts, evidence.until, evidence.net, worst_bps)


def _tried(seed: int, evidence: Evidence, passed: bool, worst_bps: float, first: int) -> Tried:
    mean = float(evidence.net.mean()) if len(evidence.net) else math.nan
    return Tried(seed, passed, len(evidence.net), evidence.days, mean, _wealth(evidence, worst_bps), first)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


main = command(build_parser, run)

if __name__ == "__main__":
    sys.exit(main())
