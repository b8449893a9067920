"""What the messages of one connection go through on their way out: the stream faults, without a socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ingest.box.faults.desk import Desk, Fault
from ingest.box.faults.spoil import MESSAGE, skewed
from ingest.box.floor.exchange import Exchange
from ingest.box.floor.market import Market
from ingest.box.wire import text_of
from utils.rows import NS_PER_S

MIB = 2**20
#: How deep a frame is nested that is to overrun parsers.
NESTED = 50_000
#: Kinds of faults that strike a message on its way out.
WAYS = frozenset(
    {
        *("reset", "reset_after_snapshot", "close", "gap", "reorder", "duplicate", "stall", "dead", "server_ping"),
        *("truncated", "garbage", "oversized", "deep", "confirmed_twice", "never_confirmed"),
        *MESSAGE,
    }
)


@dataclass(frozen=True, slots=True)
class Cut:
    """End without a close frame."""

    reset: bool


@dataclass(frozen=True, slots=True)
class Close:
    """End with a close frame."""

    code: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Ask for a pong, and hang up without one."""

    seconds: float


#: A frame to send, or what happens in its place.
Step = str | Cut | Close | Ping


@dataclass(slots=True)
class _Stall:
    """Messages that do not come."""

    fault: Fault
    until_ns: int
    healed: set[str]  # topics subscribed anew since


@dataclass(slots=True)
class _Held:
    """A message that comes late."""

    frame: str
    left: int  # messages of its topic that go first


class Line:
    """One connection's troubles."""

    def __init__(self, desk: Desk, exchange: Exchange, venue: str, wrapped: Callable[[str, str], str]) -> None:
        self._desk = desk
        self._exchange = exchange
        self._venue = venue
        self._wrapped = wrapped
        self._heard: dict[str, int] = {}
        self._lost: dict[str, int] = {}
        self._held: dict[str, list[_Held]] = {}
        self._stalls: list[_Stall] = []
        self._spoiled = ""
        self.dead = False
        self.no_pong = False

    def subscribed(self, topic: str) -> None:
        """A topic begins, perhaps anew."""
        self._heard[topic] = 0
        self._lost.pop(topic, None)
        self._held.pop(topic, None)
        for stall in self._stalls:
            stall.healed.add(topic)

    def through(self, topic: str, text: str) -> list[Step]:
        """What becomes of a message."""
        if not self._desk.faults:
            return [] if self.dead else [self._wrapped(topic, text), *self._released(topic)]
        now = self._exchange.now
        subject = f"{self._venue} {topic}"
        self._heard[topic] = self._heard.get(topic, 0) + 1
        if self.dead or self._stalled(topic, subject, now):
            return []
        if self._lost.get(topic, 0) > 0:
            self._lost[topic] -= 1
            return []
        skew_ns = self._desk.skew_ns(subject, now)
        if skew_ns:
            text = _changed(text, lambda message: skewed(message, skew_ns))
        fault = self._desk.strike(WAYS, subject, now, lambda fault: self._fits(fault, topic, text))
        steps: list[Step] = self._act(fault, topic, text) if fault else [self._wrapped(topic, text)]
        return steps + self._released(topic) if steps else []

    def pongs(self, topics: str) -> bool:
        """Whether a ping is answered."""
        subject = f"{self._venue} ping {topics}"
        if self._desk.strike(("no_pong",), subject, self._exchange.now):
            self.no_pong = True
        return not (self.no_pong or self.dead)

    # --- one message

    def _market(self, topic: str) -> Market | None:
        name = topic.partition("@")[0] if "@" in topic else topic.rpartition(".")[2]
        symbol = name.upper()
        return self._exchange.market(symbol) if symbol in self._exchange.symbols else None

    def _stalled(self, topic: str, subject: str, now_ns: int) -> bool:
        return any(
            now_ns < stall.until_ns and topic not in stall.healed and stall.fault.concerns(subject)
            for stall in self._stalls
        )

    def _fits(self, fault: Fault, topic: str, text: str) -> bool:
        """Whether this message can suffer so at all."""
        if fault.kind == "reset_after_snapshot":
            return self._heard[topic] == 2
        if fault.kind in {"confirmed_twice", "never_confirmed"}:
            return '"confirm":true' in text or '"x":true' in text
        if fault.kind not in MESSAGE:
            return True
        message = json.loads(text)
        fits = MESSAGE[fault.kind](message, fault, self._market(topic))
        self._spoiled = text_of(message)
        return fits

    def _released(self, topic: str) -> list[Step]:
        """Held messages whose turn has come after one more of their topic."""
        waiting = self._held.get(topic)
        if not waiting:
            return []
        for held in waiting:
            held.left -= 1
        self._held[topic] = [held for held in waiting if held.left > 0]
        return [held.frame for held in waiting if held.left <= 0]

    def _act(self, fault: Fault, topic: str, text: str) -> list[Step]:
        """What a fault makes of a message."""
        frame = self._wrapped(topic, text)
        match fault.kind:
            case "reset" | "reset_after_snapshot":
                return [Cut(reset=True)]
            case "close":
                return [Cut(reset=False) if fault.code == 1006 else Close(fault.code)]
            case "gap":
                self._lost[topic] = fault.count - 1
                return []
            case "reorder":
                self._held.setdefault(topic, []).append(_Held(frame, fault.count))
                return []
            case "duplicate":
                return [frame] * (1 + fault.count)
            case "confirmed_twice":
                return [frame, frame]
            case "never_confirmed":
                return []
            case "stall":
                self._stalls.append(_Stall(fault, self._exchange.now + round(fault.length * NS_PER_S), set()))
                return []
            case "dead":
                self.dead = True
                return []
            case "server_ping":
                return [Ping(fault.length), frame]
            case "truncated":
                return [frame[: len(frame) // 2]]
            case "garbage":
                return [str(fault.value)]
            case "oversized":
                return [f'{frame[:-1]},"padding":"{"x" * (fault.count * MIB)}"}}']
            case "deep":
                return ["[" * NESTED + "]" * NESTED]
            case _:
                return [self._wrapped(topic, self._spoiled)]


def _changed(text: str, change: Callable[[Any], object]) -> str:
    message = json.loads(text)
    change(message)
    return text_of(message)
