"""From recorded events to the sample that is measured."""

import math

import numpy as np
import pytest

from backtest.replication import data as replicate_data
from backtest.replication.data import MOCK, Collector, mock_events, summed, windows
from backtest.replication.studies import (
    CLAIMS,
    UNMEASURED,
    measure,
)
from features.microstructure import multi_level_ofi
from features.rows.maker import rows_of
from features.rows.sources import Source
from ingest.synthetic import PRESETS, START_NS, event_blocks, synthetic_grid
from utils.rows import NS_PER_S
from utils.types import BookDelta, BookInvalid, BookSnapshot, Quote, Trade


def named(one):
    return {finding.name: finding for finding in one.findings}


# --- from events to samples


@pytest.fixture(scope="module")
def events():
    return list(mock_events(event_blocks(300, 7)))


def collected(events, symbol=MOCK):
    collector = Collector("made", symbol)
    for event in events:
        collector.see(event)
    return collector.sample()


def test_windows_of_the_mock_market_are_what_its_simulator_knows(events):
    seen, truth = windows(collected(events), 1), synthetic_grid(300, 1, 7)
    first = START_NS // NS_PER_S
    grid = truth[seen.number - first]
    before = truth[seen.number - first - 1]
    preset = PRESETS["large-tick"]
    assert len(seen.move) >= 297
    assert 1e4 * np.log(grid["mid"] / before["mid"]) == pytest.approx(seen.move, abs=1e-9)
    assert grid["ofi"] * preset.lot == pytest.approx(seen.flow, abs=1e-6)
    assert grid["tfi"] * preset.lot == pytest.approx(seen.traded, abs=1e-6)


def test_order_flow_of_windows_is_that_of_the_one_definition(events):
    sample = collected(events)
    seen = windows(sample, 10)
    theirs = multi_level_ofi(rows_of(events, [MOCK])[Source.BOOK], 10)
    place = seen.number - START_NS // (10 * NS_PER_S)
    assert theirs[place] == pytest.approx(seen.levels)


def test_the_length_of_a_block_changes_nothing(events, monkeypatch):
    whole = collected(events)
    monkeypatch.setattr(replicate_data, "BLOCK", 777)
    cut = collected(events)
    assert whole.quotes.tobytes() == cut.quotes.tobytes()
    assert windows(whole, 1).levels == pytest.approx(windows(cut, 1).levels)
    assert PRESETS["large-tick"].tick == whole.tick == cut.tick


def test_a_window_with_a_reset_is_left_out(events):
    lost = len(events) // 2
    ts = events[lost].ts
    bids, asks = ((0.4, 5.0),), ((0.6, 5.0),)
    broken = [
        *events[:lost],
        BookInvalid(MOCK, ts, ts, "gap"),
        *(event for event in events[lost:] if not isinstance(event, BookDelta) or event.ts > ts + 5 * NS_PER_S),
        BookSnapshot(MOCK, events[-1].ts, events[-1].ts, bids, asks),
    ]
    number = windows(collected(broken), 1).number
    assert ts // NS_PER_S not in number
    assert ts // NS_PER_S - 1 in number
    assert ts // NS_PER_S + 2 not in number


def test_quotes_of_a_ticker_that_knows_more_than_the_book_are_taken():
    start = START_NS
    ticker = [
        Quote("X", start + i * NS_PER_S // 4, start + i * NS_PER_S // 4, 99.99, 1.0 + i % 3, 100.01, 2.0)
        for i in range(200)
    ]
    seen = collected(ticker, "X")
    assert (True, 200) == (seen.ticker, len(seen.quotes))
    flow = windows(seen, 1).flow
    assert 48 == len(flow)
    assert {-2.0, -1.0, 0.0, 1.0} >= set(flow)
    answers = named(measure(seen))
    assert {UNMEASURED} == {answers[name].verdict for name in CLAIMS}


def test_columns_are_added_up_by_place_and_nothing_becomes_a_number():
    seen = summed(np.array([5, 5, 7]), np.array([[1.0], [2.0], [math.nan]]))
    assert [5, 7] == seen.second.tolist()
    assert 3.0 == seen.columns[0, 0]
    assert math.isnan(seen.columns[1, 0])


def test_trades_without_a_book_are_no_sample_and_nothing_is_measured():
    start = START_NS
    seen = collected([Trade("X", start, start, 1.0, 1.0, 1)], "X")
    assert 0 == len(seen.quotes)
    assert 0 == len(windows(seen, 1).move)
