"""One side of the mock market's book: levels that grow, shrink, come nearer and fall back."""

from __future__ import annotations

from ingest.mock.rows import BOOK, LEVELS, MASK, MAX_SPREAD, WINDOW, MarketRow, SideRow
from utils.compiled import compiled


@compiled
def tape(m: MarketRow, kind: int, side: int, tick: int, lots: int) -> None:
    """Note an event row of this arrival, if events are wanted."""
    if m.taping:
        i = m.n_tape
        m.tape_kind[i] = kind
        m.tape_side[i] = side
        m.tape_tick[i] = tick
        m.tape_lots[i] = lots
        m.n_tape = i + 1


@compiled
def change(m: MarketRow, own: SideRow, level: int, lots: int) -> None:
    """Add `lots` (less than 0: take away) at a level among the WINDOW nearest."""
    slot = level & MASK
    own.lots[slot] += lots
    own.depth += lots
    tape(m, BOOK, own.sign, own.sign * level, own.lots[slot])


@compiled
def improve(m: MarketRow, own: SideRow, level: int) -> None:
    """Move the best up to `level`; what rested LEVELS ticks behind is forgotten, and taped as gone."""
    for k in range(own.best + 1, level + 1):
        slot = k & MASK
        if own.lots[slot] > 0:
            own.lots[slot] = 0
            tape(m, BOOK, own.sign, own.sign * (k - LEVELS), own.lots[slot])
        own.depth -= own.lots[(k - WINDOW) & MASK]
    own.best = level


@compiled
def fall_back(m: MarketRow, own: SideRow, other: SideRow, unit: int) -> None:
    """Move the best down to the next level with lots; a side with nothing near is quoted anew, where it is."""
    while own.lots[own.best & MASK] == 0:
        if own.depth == 0 or -other.best - own.best >= MAX_SPREAD:
            change(m, own, own.best, unit)
        else:
            own.depth += own.lots[(own.best - WINDOW) & MASK]
            own.best -= 1


@compiled
def balance(bid: SideRow, ask: SideRow) -> float:
    """Imbalance of the best queues, -1 to 1."""
    b = bid.lots[bid.best & MASK]
    a = ask.lots[ask.best & MASK]
    return (b - a) / (b + a)  # type: ignore[no-any-return]
