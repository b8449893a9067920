"""What a run says for itself: the verdict, the money between prices and result, and why there were not more trades."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from backtest.run.result import SimulationResult
from utils.codes import ACTION_NAMES, REFUSED, RULE_NAMES
from utils.figures.shown import counted, percent, plain

#: Money under this much is rounding of floats, quote.
CENT = 0.005
#: Gates named in a line, and the least share of bars that is worth a name.
MOST_GATES, LEAST_SHARE = 3, 0.005


class Step(NamedTuple):
    """One step from prices to the result; they add up to it."""

    name: str
    money: float  # quote
    bps: float | None = None  # of the notional traded, both legs; None = not of trades that were closed


def words(code: str) -> str:
    """A code of the log files in words: `STOP_LOSS` is a stop loss."""
    return code.lower().replace("_", " ")


def net_result(result: SimulationResult) -> float:
    """What the account gained, quote, positions that are still open at their last close."""
    return float(result.report["final_equity"] - result.report["initial_capital"])


def all_steps(result: SimulationResult) -> list[Step]:
    """From price moves by spread, slippage, fees, funding, and what is still open, to the net: their sum."""
    money = [Step(one["name"], one["quote"], one["bps"]) for one in result.report["money"]["steps"]]
    unrealised = net_result(result) - result.report["net_pnl"]
    return [*money, *([Step("still open", unrealised)] if abs(unrealised) > CENT else [])]


def steps(result: SimulationResult) -> list[Step]:
    """The same in fewer lines: fees of makers and takers are one step, and funding is none where there was none."""
    every = [step for step in all_steps(result) if step.name != "funding" or step.money]
    parts = [step for step in every if step.name.endswith(" fees")]
    if not parts:
        return every
    fees = Step("fees", sum(part.money for part in parts), sum(part.bps or 0.0 for part in parts))
    first = every.index(parts[0])
    return [*every[:first], fees, *every[first + len(parts) :]]


def verdict(result: SimulationResult) -> str:
    """The one sentence: what the run left after costs, and before."""
    capital, net = result.report["initial_capital"], net_result(result)
    if not result.report["trades"]:
        if abs(net) > CENT:
            return f"No trade has been closed. With what is still open the account {outcome(net / capital)}."
        return no_trade(result)
    before = outcome(steps(result)[0].money / capital)
    return f"After costs this run {outcome(net / capital)}. Before costs the same trades {before}."


def outcome(share: float) -> str:
    """`lost 7.1 %`, `gained 0.35 %`, `came out even`: of the initial capital."""
    digits = 1 if abs(share) >= 0.01 else 2
    size = percent(abs(share), digits)
    if size == percent(0.0, digits):
        return "came out even"
    return f"{'lost' if share < 0 else 'gained'} {size}"


def no_trade(result: SimulationResult) -> str:
    """The verdict of a run without trades: how far it came."""
    bars, funnel = result.report["bars"], result.funnel
    said = f"This run made no trade. {counted(funnel['signals'], 'signal')} on {counted(bars, 'bar')}"
    stopped = gates(result)
    if not funnel["signals"]:
        return f"{said}; most bars stopped at {stopped[0][0]}." if stopped else f"{said}."
    return f"{said}, {counted(funnel['entry orders'], 'entry order')}, none filled."


def gates(result: SimulationResult) -> list[tuple[str, float]]:
    """Gates at which bars stopped, in words, with their share of the bars decided on, the largest first."""
    prefix, bars = "stopped by ", max(1, result.report["bars"])
    counts = {name.removeprefix(prefix): n for name, n in result.funnel.items() if name.startswith(prefix)}
    counts.pop("warmup", None)
    return [(words(gate), n / bars) for gate, n in sorted(counts.items(), key=lambda one: -one[1])]


def why_not_more(result: SimulationResult) -> str:
    """Where bars and signals ended that became no trade, in the order asked."""
    funnel, signals = result.funnel, result.funnel["signals"]
    stopped = [f"{gate} {percent(share, 0)}" for gate, share in gates(result)[:MOST_GATES] if share >= LEAST_SHARE]
    parts = [f"{', '.join(stopped)} of bars"] if stopped else []
    if not stopped:
        parts.append(f"no signal at {percent(1.0 - signals / max(1, result.report['bars']), 0)} of bars")
    ends = [
        (funnel["held"], "came while in a position"),
        (funnel["refused"], f"refused{refusals(result)}"),
        (funnel["entries expired"], "expired unfilled"),
        (funnel["entries cancelled"], "cancelled"),
        (funnel["entries rejected"], "rejected"),
    ]
    told = [f"{n:,} {what}" for n, what in ends if n]
    if told:
        parts.append(f"of {counted(signals, 'signal')} {', '.join(told)}")
    passed = [f"{words(gate)} at {counted(n, 'bar')}" for gate, n in result.unavailable.items() if n]
    if passed:
        parts.append(f"not known: {', '.join(passed)}")
    return "; ".join(parts)


def model_says(result: SimulationResult) -> str:
    """Which model judged the signals, and how many it refused; "" where none did."""
    model = result.report.get("model")
    if model is None:
        return ""
    least = model["threshold_bps"]  # JSON has no inf
    asked = "takes no trade" if least is None else f"threshold {plain(least, 1)} bps"
    return f"{model['version']}: {model['refused']:,} of {counted(model['signals'], 'signal')} refused, {asked}"


def refusals(result: SimulationResult) -> str:
    """Rules that refused signals, in brackets, the most frequent first."""
    table = result.tables["signals"]
    refused = [reasons for action, reasons in zip(table["action"], table["reasons"], strict=True)
               if action == ACTION_NAMES[REFUSED]]  # fmt: skip
    named = (reason.split("=", 1)[0] for reasons in refused for reason in str(reasons).split(";"))
    rules = Counter(words(name) for name in named if name in RULE_NAMES)
    return f" ({', '.join(rule for rule, _ in rules.most_common(2))})" if rules else ""


def exits(result: SimulationResult) -> str:
    """How trades ended, the most frequent first."""
    ends = Counter(str(reason) for reason in result.tables["trades"]["exit_reason"])
    return ", ".join(f"{words(reason)} {n:,}" for reason, n in sorted(ends.items(), key=lambda one: (-one[1], one[0])))
