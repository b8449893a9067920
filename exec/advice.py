"""What the trader would do now, had it nothing open: the decision that simulation and bot take, with orders left out.

The market half is the trader's own. The account half is asked of an engine that stands where the trader's stands and is
flat: it answers the signal as at any close, and what it would have sent is read from its slot and never sent.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from exec.champion import Champion
from exec.engine import Engine
from exec.market import Market
from exec.step.answer import worths_of
from exec.trader import Instant, Trader, chunks
from features.live import EventFeatures
from ml.market.favourability import favourability, rank_window
from ml.market.inputs import ScalpMarket
from ml.market.regime import NAMES
from ml.signal import GATES, flow_of, score
from risk.sizing import crossing
from utils.codes import AUTO, BOUND_NAMES, FREE, LIMIT, MARKET, OPENED, POST_ONLY, REFUSED
from utils.market.barriers import levels
from utils.records.names import reasons_of
from utils.rows import BAR, BPS, NS_PER_MINUTE, Rows
from utils.settings.tree import Settings
from utils.shell.moments import iso

Kind: TypeAlias = Literal["MARKET", "LIMIT", "POST_ONLY"]
Action: TypeAlias = Literal["OPENED", "REFUSED", "NONE"]
KINDS: dict[int, Kind] = {MARKET: "MARKET", LIMIT: "LIMIT", POST_ONLY: "POST_ONLY"}
#: Of a flat account nothing is held, flipped or closed.
ACTIONS: dict[int, Action] = {0: "NONE", OPENED: "OPENED", REFUSED: "REFUSED"}


class Said(BaseModel):
    """A value of an answer: nothing in it is NaN, what is not known is null."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def told(default: Any, meaning: str, unit: str, **limits: Any) -> Any:
    """A field of an answer: what it means and in what unit."""
    return Field(default, description=f"{meaning} Unit: {unit}.", json_schema_extra={"unit": unit}, **limits)


class OrderAdvice(Said):
    """The entry that would be sent."""

    kind: Kind = told(..., "Kind of order.", "name")
    chosen_by: Literal["execution.entry", "expected_bps"] = told(
        ..., "Whether the setting names the kind, or it is the one of the three that is expected to earn most.", "name"
    )
    expected_bps: dict[Kind, float | None] = told(
        ...,
        "What each kind is expected to earn by the rule of execution.entry auto: unlike the answer's expected_bps, "
        "which is of trades that came about, with entries that do not fill, and with what a fill says against them.",
        "bps",
    )
    limit_price: float | None = told(..., "Where a resting order stands.", "quote")
    wait_bars: float | None = told(..., "How long it waits.", "bars")
    stop_bps: float | None = told(..., "Distance of its stop from the fill.", "bps")
    take_bps: float | None = told(..., "Distance of its take from the fill.", "bps")
    horizon_bars: float | None = told(..., "Longest holding time.", "bars")
    stop_price: float | None = told(..., "Stop, if it fills where it is expected to.", "quote")
    take_price: float | None = told(..., "Take, likewise.", "quote")


class SizeAdvice(Said):
    """How much, and which control held it there."""

    qty: float = told(0.0, "Quantity of the entry; 0 = none.", "base", ge=0)
    notional: float = told(0.0, "Its value at the close.", "quote", ge=0)
    bound: str | None = told(None, "The control that allows least.", "name")


class Advice(Said):
    """What the trader would do at a close, flat."""

    symbol: str = told(..., "Exchange id.", "name")
    timeframe: str = told(..., "Length of a candle.", "name")
    closed_at: str = told(..., "Close of the candle that was decided on, UTC.", "ISO 8601")
    close: float = told(..., "Its last price.", "quote")
    side: Literal["long", "short", "none"] = told(..., "What the strategy wants.", "name")
    strength: float | None = told(..., "Conviction of the strategy.", "points", ge=0, le=100)
    threshold: float | None = told(..., "Strength that is asked for at this close.", "points")
    gate: str = told(..., "Where the candle ended in the funnel; signal = it went through.", "name")
    action: Action = told(..., "What the engine would do with it.", "name")
    reasons: list[str] = told(..., "Why, as rule=value<limit.", "text")
    model: str | None = told(..., "Version of the model that was asked.", "name")
    p_win: float | None = told(..., "Calibrated probability that the take comes first.", "probability", ge=0, le=1)
    expected_bps: float | None = told(
        ...,
        "What the model expects of a trade after all costs; net_bps in signals.csv, whose own is before costs.",
        "bps",
    )
    least_bps: float | None = told(..., "From where on it takes a trade; null = none at all.", "bps")
    order: OrderAdvice | None = told(..., "The entry; null = none is advised.", "order")
    size: SizeAdvice = told(..., "How much.", "size")
    regime: str = told(..., "Volatility among that of the last 7 days: low, normal, high, extreme, unknown.", "name")
    favourability: float | None = told(..., "How the market looks to a scalper.", "points", ge=0, le=100)
    spread_bps: float | None = told(..., "Spread of the book as it stood at the close.", "bps")


class Ages(Said):
    """How old what was decided on is, by the time of the answer."""

    bar_s: float = told(..., "Since the close of the candle.", "s")
    book_s: float | None = told(..., "Since the latest change of the book.", "s")
    prints_s: float | None = told(..., "Since the latest trade.", "s")


class Answer(Advice):
    """The signal of a market as it is told."""

    source: str = told(..., "Where the data come from.", "text")
    as_of: str = told(..., "When this was answered, UTC.", "ISO 8601")
    ages: Ages = told(..., "Age of what it was made of.", "s")


def cautious(settings: Settings) -> Settings:
    """These settings with the vetoes and limits on that simulations leave off to show what costs do."""
    return settings.model_copy(
        update={
            "signal": settings.signal.model_copy(update={"veto_below_break_even": True}),
            "risk": settings.risk.model_copy(update={"limits": True}),
        }
    )


def known(value: float) -> float | None:
    """A number as it is told: None where it is none."""
    return float(value) if math.isfinite(value) else None


#: What is sent, how much, what that is called, and why.
Entry: TypeAlias = tuple[OrderAdvice | None, SizeAdvice, Action, list[str]]


class Adviser(Trader):
    """A trader of one symbol that decides each close and sends nothing; what it would have sent, `advise` tells.

    Args:
        market: the symbol, with the history that it begins with.
        settings: parameters; vetoes and limits are on whatever they say (`cautious`).
        live: gates without input refuse, that of the book too; False = a recording of candles.
        events: the folds of books and prints, if they began to listen before there was a market.
    """

    def __init__(self, market: Market, settings: Settings, *, live: bool, events: EventFeatures | None = None) -> None:
        settings = cautious(settings)
        super().__init__(market, settings, (), live=live, events=events)
        self._settings = settings
        self._flat = Engine(
            market.instruments, self.engine.params, settings.simulation.initial_capital, keep=("decisions",)
        )
        self._kept = rank_window(market.tf_ns / NS_PER_MINUTE) + self.features.warmup
        self._recent = np.zeros(0, BAR)

    def begin(self) -> Instant:
        """The history, and its last close decided; how the book stood then nobody knows."""
        bars = self.market.bars.copy()
        bars["last"] = 0  # the history goes on
        lo, _ = chunks(bars, 1)[-1]
        self.on_bars(bars[:lo])
        return self.on_close(bars[lo:])

    def act(self, bars: Rows, signals: Rows) -> None:  # noqa: ARG002 - what is wanted is asked of the flat engine
        """Let the engine see bars, and send nothing."""
        self.engine.run(bars, self.engine.blank.repeat(len(bars)))
        self._recent = np.concatenate([self._recent, bars])[-self._kept :]

    def advise(self, instant: Instant, model: Champion | None, why: str = "none") -> Advice:
        """What is advised at the close that was decided last; ask before the next one.

        Args:
            instant: as `begin` or `on_close` answered.
            model: judges the signal; None = nobody does, and no size is advised.
            why: there is no model.
        """
        bars, signals = instant.bars, instant.signals.copy()
        if model is not None:
            model.judge(bars, self.vectors, signals, self.engine.instruments, self.engine.params)
        wanted = not math.isnan(signals[0]["side"])
        entry: Entry = (None, SizeAdvice(), ACTIONS[REFUSED if wanted else 0], [self._way(instant, signals[0])])
        if model is None:
            entry[3].append(f"model={why}")
        elif wanted:
            entry = self._answered(bars, signals)
        order, size, action, reasons = entry
        return Advice(
            **self._market_said(instant, signals[0]),
            **judged(signals[0], asked=wanted and model is not None),
            model=None if model is None else model.name,
            action=action,
            reasons=reasons,
            order=order,
            size=size,
        )

    def _market_said(self, instant: Instant, signal: Any) -> dict[str, Any]:
        """What depends on the market alone."""
        market, bar = self.market, instant.bars[0]
        seen = ScalpMarket(
            market.symbols[0], market.tf_ns, self._recent, self.engine.instruments, self.engine.params, {}, True,
            self._settings,
        )  # fmt: skip
        found = favourability(seen)
        gate = "late" if instant.late else self.signaller.last_gate(0)
        state = self.signaller.states[0]
        warm = gate not in ("warmup", "flat_market", "late")
        side = float(signal["side"])
        return {
            "symbol": market.symbols[0],
            "timeframe": market.tf,
            "closed_at": iso(int(bar["ts"])),
            "close": float(bar["close"]),
            "side": "none" if math.isnan(side) else "long" if side > 0.0 else "short",
            "strength": self._strength() if warm else None,
            "threshold": float(state["asked"]) if warm else None,
            "gate": gate,
            "regime": NAMES[int(found.regime[-1])],
            "favourability": known(found.score[-1]),
            "spread_bps": known(instant.book[0]["spread_bps"]),
        }

    def _strength(self) -> float:
        """Conviction at the close, points: of a candle that went through, what its signal has."""
        return 100.0 * abs(score(self.signaller.params[0], self.vectors[0]))

    def _way(self, instant: Instant, signal: Any) -> str:
        """How far a candle came on its way to a signal: where it ended, what was seen there, and what is asked for."""
        if instant.late:
            return "late"
        gate, asked, vector = self.signaller.last_gate(0), self._settings.signal, self.vectors[0]
        if gate in GATES:
            seen, fails, limit = float(vector[GATES[gate].feature]), GATES[gate].fails, GATES[gate].setting
            return refused(gate, seen, fails, getattr(asked, limit))
        if gate == "wide_book":
            return refused(gate, float(instant.book[0]["spread_bps"]), ">", asked.max_book_spread_bps)
        if gate == "strength":
            return f"strength={self._strength():.1f}<{self.signaller.states[0]['asked']:.1f}"
        if gate == "signal":
            return f"strength={signal['strength']:.1f}>={signal['threshold']:.1f}"
        if gate == "flow_against":
            side = math.copysign(1.0, score(self.signaller.params[0], vector))
            return refused(gate, side * flow_of(vector), "<", -asked.max_flow_against)
        return gate

    def _answered(self, bars: Rows, signals: Rows) -> Entry:
        """What an engine that stands here, flat, does with the signal."""
        flat = self._flat
        flat.restore(self.engine.snapshot())
        flat.answer(flat.params, bars, signals)
        row, slot = flat.drain().decisions, flat.slots[0]
        bound = BOUND_NAMES[int(row[0]["bound"])] or None
        action, reasons = ACTIONS[int(row[0]["action"])], reasons_of(row)[0].split(";")
        if slot["state"] == FREE:
            return None, SizeAdvice(bound=bound), action, reasons
        close, resting, stop = float(bars[0]["close"]), float(slot["limit"]), float(slot["stop"])
        instrument, params, side = flat.instruments[0], flat.params[0], int(slot["side"])
        at = crossing(close, side, instrument, params) if math.isnan(resting) else resting
        take_at, stop_at = levels(
            side, at, float(slot["take_bps"]) * BPS, stop, instrument["tick"], instrument["per_tick"]
        )
        worths = worths_of(signals[0], close, stop, instrument, params)
        order = OrderAdvice(
            kind=KINDS[int(slot["kind"])],
            chosen_by="expected_bps" if params["entry_kind"] == AUTO else "execution.entry",
            expected_bps=dict(zip(KINDS.values(), map(known, worths), strict=True)),
            limit_price=known(resting),
            wait_bars=known(slot["patience"]),
            stop_bps=known(stop / BPS),
            take_bps=known(slot["take_bps"]),
            horizon_bars=known(slot["horizon"]),
            stop_price=known(stop_at),
            take_price=known(take_at),
        )
        qty = float(slot["qty"])
        return order, SizeAdvice(qty=qty, notional=qty * close, bound=bound), action, reasons


def judged(signal: Any, *, asked: bool) -> dict[str, Any]:
    """What a model said of a signal; nothing where none was asked."""
    fields = {"p_win": "p_win", "expected_bps": "net_bps", "least_bps": "least_bps"}
    return {name: known(signal[field]) if asked else None for name, field in fields.items()}


def refused(gate: str, seen: float, fails: str, limit: float) -> str:
    """`gate=value<limit`, as the log files have it; a gate that had nothing to look at is unavailable."""
    return f"{gate}=unavailable" if math.isnan(seen) else f"{gate}={seen:.6g}{fails}{limit:.6g}"
