"""What a run says of its data and of what was assumed."""

import hashlib

import pytest

from backtest.data.manifest import cost_notes, describe, stamp
from ingest.files.candles import load_candles
from tests.backtest.data.test_market import candles, frame
from tests.e2e.support import settings_of


def test_a_time_is_written_to_the_millisecond():
    assert "2025-01-01T00:00:00.001Z" == stamp(1_735_689_600_001_999_999)


def test_a_source_is_told_by_name_hash_period_and_gaps():
    shown = frame(candles(bars=120).rows).drop(index=[50, 51, 52]).reset_index(drop=True)
    loaded = load_candles(shown, symbol="MOCKUSDT", tf="1m")
    told = describe(loaded)
    assert ("MOCKUSDT", "1m", 117) == (told["symbol"], told["timeframe"], told["bars"])
    assert loaded.sha256 == told["sha256"] != hashlib.sha256(b"").hexdigest()
    (gap,) = told["gaps"]
    assert (stamp(loaded.rows["ts"][49]), stamp(loaded.rows["ts"][50]), 3) == (
        gap["after"],
        gap["before"],
        gap["missing"],
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"simulation__spread_bps": 7.5}, "half a 7.5 bps spread"),
        ({"simulation__volume_cap": 0.125}, "capped at 12.5 %"),
        ({"execution__entry": "limit", "execution__limit_bars": 9}, "(limit) for 9 bars"),
    ],
)
def test_what_is_assumed_is_said_with_the_numbers_of_the_settings(change, words):
    assert any(words in note for note in cost_notes(settings_of(**change)))


def test_market_entries_need_no_word_on_resting():
    assert not any("rest" in note for note in cost_notes(settings_of(execution__entry="market")))
