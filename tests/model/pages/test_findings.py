from __future__ import annotations

import math

import pytest

from ml.learning.gate import Outlook
from model.pages.findings import day, days_needed, moment, smallest
from tests.ml.learning.made import DAY

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("outlook", "edge", "days"),
    [
        (
            Outlook(0, 40, NAN, NAN, INF, 2.0, INF),
            "unknown: no trade was worth taking",
            "unknown: no trade was worth taking",
        ),
        (
            Outlook(1, 1, NAN, NAN, 29.0, 2.0, NAN),
            "unknown with 1 trade",
            "29 days more until there is enough to judge; the wealth asked is never reached at 2.0 bps a trade",
        ),
        (
            Outlook(25, 20, 20.0, 10.0, 60.2, 2.0, 300.0),
            "10.0 bps a trade is what 25 trades can show (2.5 x 20.0 bps / sqrt n)",
            "61 days more until there is enough to judge, 300 days until the wealth asked at 2.0 bps a trade",
        ),
        (
            Outlook(400, 40, 20.0, 2.5, 0.0, 5.0, 0.0),
            "2.5 bps a trade is what 400 trades can show (2.5 x 20.0 bps / sqrt n)",
            "there is enough to judge, and the wealth asked is reached",
        ),
        (
            Outlook(900, 40, 20.0, 1.7, 5.0, 2.0, 200.0, supposed=True),
            "1.7 bps a trade is what 900 signals without the model can show (2.5 x 20.0 bps / sqrt n)",
            "5 days more until there is enough to judge, 200 days until the wealth asked at 2.0 bps a trade",
        ),
    ],
)
def test_an_outlook_is_told_in_words(outlook, edge, days):
    assert smallest(outlook) == edge
    assert days_needed(outlook) == days


def test_a_close_at_midnight_belongs_to_the_day_that_ends():
    assert day(DAY) == "1970-01-01"
    assert day(DAY + 1) == "1970-01-02"
    assert day(0) == "-"


def test_a_close_is_told_to_the_minute():
    assert moment(DAY + 90 * 10**9) == "1970-01-02T00:01Z"
