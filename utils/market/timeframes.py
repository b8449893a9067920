"""Bar lengths by their ccxt names."""

from __future__ import annotations

from utils.errors import ConfigError
from utils.rows import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE

#: Length in nanoseconds of every known timeframe, shortest first.
TIMEFRAMES = {
    "1m": NS_PER_MINUTE,
    "3m": 3 * NS_PER_MINUTE,
    "5m": 5 * NS_PER_MINUTE,
    "15m": 15 * NS_PER_MINUTE,
    "30m": 30 * NS_PER_MINUTE,
    "1h": NS_PER_HOUR,
    "2h": 2 * NS_PER_HOUR,
    "4h": 4 * NS_PER_HOUR,
    "6h": 6 * NS_PER_HOUR,
    "8h": 8 * NS_PER_HOUR,
    "12h": 12 * NS_PER_HOUR,
    "1d": NS_PER_DAY,
    "1w": 7 * NS_PER_DAY,
}
#: Weeks begin on Monday, all others at midnight UTC; the first Monday was 1970-01-05, ns.
MONDAY = 4 * NS_PER_DAY
#: The known names as one phrase, for messages.
KNOWN = ", ".join(TIMEFRAMES)


def normalise_timeframe(text: str) -> str:
    """The ccxt name of a timeframe; hours, days and weeks may be upper case, as in `1D`.

    `1M` is a month elsewhere, so it is refused, never read as a minute.

    Raises:
        ConfigError: not a known timeframe; the message lists them.
    """
    name = text.strip()
    if not name.endswith("M"):
        name = name.lower()
    if name not in TIMEFRAMES:
        raise ConfigError(f"timeframe: expected one of {KNOWN}, seen {text!r}; choose one of these")
    return name


def parse_timeframe(text: str) -> int:
    """Bar length in nanoseconds.

    Raises:
        ConfigError: not a known timeframe; the message lists them.
    """
    return TIMEFRAMES[normalise_timeframe(text)]


def timeframe_of(length_ns: int) -> str | None:
    """The name of a bar length in nanoseconds; None if there is none."""
    return next((name for name, ns in TIMEFRAMES.items() if ns == length_ns), None)
