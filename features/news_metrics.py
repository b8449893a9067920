"""Headlines to numbers: how many, how fresh, how unusual, and how their readers voted.

No sentiment is read out of titles: the only opinion here is that of CryptoPanic's readers, who vote a post bullish
(`positive`) or bearish (`negative`). Votes change after publication, so only rows that were fetched by then count.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from utils.errors import ConfigError
from utils.rows import NS_PER_S, S_PER_DAY, S_PER_HOUR


class HeadlineRow(Protocol):
    """What is read of a headline: as it was at one time of fetching; times ns UTC."""

    @property
    def id(self) -> str:
        """Names the headline, the same in every row of it."""

    @property
    def published_ns(self) -> int:
        """When it was published, as its service says."""

    @property
    def seen_ns(self) -> int:
        """When this row was fetched."""

    @property
    def available_ns(self) -> int:
        """From when on this row may be used: not before it was published, nor before it was fetched."""

    @property
    def currencies(self) -> Sequence[str]:
        """The coins it is about: BTC, ETH."""

    @property
    def kind(self) -> str:
        """news, media, ...; "" = not said."""

    @property
    def votes(self) -> Mapping[str, int] | None:
        """Votes as they stood when it was fetched; None = its service has none."""


@dataclass(frozen=True, slots=True)
class NewsMetrics:
    """What was known of the news at one moment; NaN = it could not be known."""

    counts: tuple[float, ...]  # headlines published within each window
    since_last_s: float  # s since the newest was published
    burst: float  # rate in the shortest window over the rate before it, within the longest
    sentiment: float  # -1 = all bearish, +1 = all bullish
    votes: int  # bullish and bearish votes that sentiment rests on
    kinds: Mapping[str, int]  # headlines of each kind within the longest window
    view_age_s: float  # s since headlines were last fetched


def news_metrics(
    headlines: Sequence[HeadlineRow],
    now_ns: int,
    *,
    currency: str | None = None,
    windows_s: Sequence[float] = (S_PER_HOUR / 4, S_PER_HOUR, S_PER_DAY),
    half_life_s: float = 4 * S_PER_HOUR,
    min_votes: int = 5,
) -> NewsMetrics:
    """The news as it was known at `now_ns`; rows that became available later change nothing.

    A headline may stand in many rows, one for each time it was fetched: the latest row known at `now_ns` speaks for it.
    With w windows, W the longest, s the shortest, a_i the age of headline i and p_i, n_i its bullish and bearish votes:

        counts[w]  = number with a_i < w
        burst      = (counts[s] / s) / ((counts[W] - counts[s]) / (W - s))
        sentiment  = sum(h_i (p_i - n_i)) / sum(h_i (p_i + n_i)),  h_i = 2^(-a_i / half_life), over a_i < W

    NaN: a count whose window reaches further back than was seen without a hole (what was not seen is not counted as
    nothing), and with it burst; burst when nothing came before the shortest window; since_last without a headline;
    sentiment below `min_votes` votes; view_age before the first fetch. A service that is down looks like silence:
    view_age tells the two apart.

    Args:
        headlines: rows of one recording, in any order.
        now_ns: the moment, ns UTC.
        currency: only headlines tagged with it (`BTC`); None = all.
        windows_s: lengths, s, shortest first.
        half_life_s: age at which a headline's votes weigh half, s.
        min_votes: fewest votes that make an opinion.

    Raises:
        ConfigError: windows not ascending and positive, or a half-life or least number of votes not above 0.

    Source: none published; counts, a ratio of rates and a decayed mean of votes. CryptoPanic, API: posts, `votes`.
    """
    if not windows_s or not all(a < b for a, b in zip((0.0, *windows_s), windows_s, strict=False)):
        raise ConfigError(f"windows_s: expected lengths above 0, shortest first, saw {tuple(windows_s)}; sort them")
    if not (half_life_s > 0 and min_votes > 0):
        raise ConfigError(f"half_life_s and min_votes: expected both above 0, saw {half_life_s} and {min_votes}")
    known = [row for row in headlines if row.available_ns <= now_ns]
    about = [row for row in known if currency is None or currency in row.currencies]
    latest = {row.id: row for row in sorted(about, key=lambda row: row.seen_ns)}.values()
    aged = [((now_ns - row.published_ns) / NS_PER_S, row) for row in latest]
    seen_s = (now_ns - _seen_from_ns(known, now_ns)) / NS_PER_S
    short, long = windows_s[0], windows_s[-1]
    counts = tuple(float(sum(age < w for age, _ in aged)) if w <= seen_s else math.nan for w in windows_s)
    before = counts[-1] - counts[0]
    recent = [(0.5 ** (age / half_life_s), row) for age, row in aged if age < long]
    bulls = [(weight, (row.votes or {}).get("positive", 0)) for weight, row in recent]
    bears = [(weight, (row.votes or {}).get("negative", 0)) for weight, row in recent]
    votes = sum(n for _, n in bulls + bears)
    mass = sum(weight * n for weight, n in bulls + bears)
    lean = sum(weight * n for weight, n in bulls) - sum(weight * n for weight, n in bears)
    return NewsMetrics(
        counts=counts,
        since_last_s=min((age for age, _ in aged), default=math.nan),
        burst=counts[0] / short * (long - short) / before if before > 0 else math.nan,
        sentiment=min(max(lean / mass, -1.0), 1.0) if votes >= min_votes and mass > 0 else math.nan,
        votes=votes,
        kinds=Counter(row.kind for _, row in recent),
        view_age_s=(now_ns - max(row.seen_ns for row in known)) / NS_PER_S if known else math.nan,
    )


def _seen_from_ns(known: Sequence[HeadlineRow], now_ns: int) -> int:
    """From when on all headlines were seen: each fetch shows what was published since its oldest.

    Fetches join as long as one reaches back to the one before it; behind a hole, what is older proves nothing.
    """
    reach: dict[int, int] = {}
    for row in known:
        reach[row.seen_ns] = min(row.published_ns, reach.get(row.seen_ns, row.published_ns))
    start = now_ns
    for seen in sorted(reach, reverse=True):
        if start != now_ns and seen < start:
            break
        start = min(start, reach[seen])
    return start
