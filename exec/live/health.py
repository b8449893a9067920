"""Whether what is followed can be believed: for `/health`, and as figures for `/metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from pydantic import Field

from exec.advice import Said
from exec.live.desk import Followed
from utils.http.traffic import Figure
from utils.shell.moments import iso

#: States of a market, each a figure of its own.
STATES = ("starting", "streaming", "polling", "failed", "tape")


class MarketHealth(Said):
    """How it stands with a market."""

    symbol: str = Field(description="Exchange id.")
    timeframe: str = Field(description="Length of a candle.")
    state: Literal["starting", "streaming", "polling", "failed", "tape"] = Field(
        description="How it is followed: by streams, by REST, from a recording; or not yet, or not at present."
    )
    reason: str = Field(description="Why it is in no better state; empty = there is no better.")
    fresh: bool = Field(description="Whoever asks for its signal now gets one.")
    closed_at: str | None = Field(description="Close of its last candle, UTC; null = none yet.")
    bar_s: float | None = Field(description="Age of that, s.")
    book_s: float | None = Field(description="Since the last change of its book, s; null = no book is valid.")
    prints_s: float | None = Field(description="Since its last trade, s; null = none is known.")


class Health(Said):
    """Whether all that is followed can be believed."""

    status: Literal["ok", "stale"] = Field(description="stale = some of it cannot; the HTTP status is 503 then.")
    reasons: list[str] = Field(description="Why not, one sentence a market.")
    notes: list[str] = Field(description="What is not as it should be, and stops nothing.")
    markets: list[MarketHealth] = Field(description="All that are followed.")


def health_of(markets: Sequence[Followed], notes: Iterable[str] = ()) -> Health:
    """How it stands with all markets: one that has begun and is not fresh, or whose streams are silent, makes it stale.

    What is followed by REST for want of streams is well, and why it is stands among the notes.

    Args:
        markets: those that are followed.
        notes: what else is to be said.
    """
    reasons = [
        f"{one.symbol} {one.tf}: {one.reason or 'its data are late'}"
        for one in markets
        if (not one.fresh or one.silent) and one.state != "starting"
    ]
    reduced = [
        f"{one.symbol} {one.tf}: {one.reason}" for one in markets if one.state == "polling" and one.fresh and one.reason
    ]
    told = [
        MarketHealth(
            symbol=one.symbol,
            timeframe=one.tf,
            state=one.state,
            reason=one.reason,
            fresh=one.fresh,
            closed_at=iso(one.last) if one.last else None,
            bar_s=one.bar_s,
            book_s=one.book_s,
            prints_s=one.prints_s,
        )
        for one in markets
    ]
    return Health(status="stale" if reasons else "ok", reasons=reasons, notes=[*notes, *reduced], markets=told)


def figures_of(markets: Sequence[Followed]) -> Iterator[Figure]:
    """The same as figures, by symbol and timeframe."""
    labels = ("symbol", "timeframe")
    of = {(one.symbol, one.tf): one for one in markets}
    states = [((*key, state), float(one.state == state)) for key, one in of.items() for state in STATES]
    yield Figure("scalper_market_state", "1 for the state that a market is in.", (*labels, "state"), states)
    for name, meaning, counts in (
        ("fresh", "Whether a market has a signal to tell.", False),
        ("silent", "Whether streams of a market are there, and bring no book.", False),
        ("bar_s", "Age of a market's last candle, s.", False),
        ("book_s", "Age of a market's book, s.", False),
        ("prints_s", "Age of a market's last trade, s.", False),
        ("closes", "Closes of a market that were advised on.", True),
        ("lost", "Times that streams of a market were lost.", True),
    ):
        rows = [(key, getattr(one, name)) for key, one in of.items()]
        unit = name.removesuffix("_s") + "_age_seconds" if name.endswith("_s") else name
        yield Figure(f"scalper_market_{unit}", meaning, labels, rows, counts)
