from datetime import UTC, datetime

import pytest

from ingest.headlines.headline import Headline, moment_ns, one_line
from utils.errors import ProtocolError

NOON = "2026-01-24T12:00:00Z"
NOON_NS = int(datetime(2026, 1, 24, 12, tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (NOON, 0),
        ("2026-01-24T12:00:00", 0),
        ("2026-01-24 13:00:00+01:00", 0),
        ("2026-01-24T12:00:00.000001Z", 1e-6),
        ("2026-01-25", 43200),
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise(text, seconds):
    assert NOON_NS + int(seconds * 1e6) * 1000 == moment_ns(text)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "24.01.2026", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00+23:00", "2026-13-01"]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ProtocolError, match="expected an ISO 8601 time, saw"):
        moment_ns(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  a\r\n\tb\x00c\x1b[31m ", "a b c [31m"),
        ("🚀 👨‍👩‍👧 to the moon", "🚀 👨‍👩‍👧 to the moon"),
        ("بيتكوين يرتفع", "بيتكوين يرتفع"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("half \ud83d pair", "half pair"),
        ("x\u2028y", "x y"),
    ],
)
def test_text_becomes_one_safe_line(text, line):
    assert line == one_line(text, 100)


def test_it_may_be_used_when_published_created_and_seen():
    for published, created, seen in [(9, 5, 1), (5, 9, 1), (1, 5, 9)]:
        assert 9 == Headline("x", "t", published, seen, created).available_ns
    assert 5 == Headline("x", "t", 5, 1).available_ns
