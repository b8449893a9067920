"""Times as people read them: ISO 8601, UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def at_ms(ms: float) -> str:
    """A time in ms as ISO 8601 UTC, for messages."""
    try:
        text = datetime.fromtimestamp(ms / 1000.0, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"
    return text.removesuffix("+00:00").removesuffix(".000").removesuffix(":00") + "Z"


def iso(ns: int) -> str:
    """A time in ns as ISO 8601 UTC with milliseconds, for programs."""
    when = datetime.fromtimestamp(int(ns) // 1_000_000 / 1000.0, UTC)
    return f"{when.isoformat(timespec='milliseconds').removesuffix('+00:00')}Z"
