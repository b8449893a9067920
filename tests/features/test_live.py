"""Events to vectors: one at a time or all at once, live or from its tape, the same bits."""

import math
import os
import subprocess
import sys
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from features.checks import problems
from features.fold import matrix
from features.live import EVENT_VECTOR, EventFeatures, parts_of
from features.registry import REGISTERED, feature_set
from features.rows.maker import RowMaker, rows_of
from features.rows.sources import EVENT_SOURCES, Source
from ingest.live.feed import LiveFeed
from ingest.tape import replay
from ingest.tapes.record import Recorder
from ingest.wire.streams import Stream
from tests.boxes import box_in_thread, quick_box
from tests.features.events import MINUTE, S, a_print, delta, snapshot, stream
from tests.features.hearing import Kept, by_hearing, by_nouns, made
from tests.places import ROOT
from tests.wire import play, recording, recordings, tape_protocol
from utils.errors import ConfigError, DataError, InvariantError
from utils.market.book import change, new_books
from utils.ports import Listener
from utils.types import Bar, BookDelta, BookInvalid


def vectors(events, symbols=("X",)):
    """The vector of the event's symbol after each event."""
    features = EventFeatures(symbols)
    found = []
    for event in events:
        features.see(event)
        found.append(features.vector(event.symbol))
    return np.concatenate(found)


def test_an_event_of_an_unknown_symbol_is_refused():
    with pytest.raises(DataError, match="expected one of X, saw Y"):
        EventFeatures(["X"]).see(a_print(1, symbol="Y"))


def test_books_of_an_invalid_book_have_no_features():
    found = vectors([snapshot(1), BookInvalid("X", 2, 2, "gap")])
    assert found["spread_bps"][0] == pytest.approx(200.0)
    assert np.isnan(found["spread_bps"][1])
    assert np.isnan(found["imbalance_1"][1])


def test_live_vectors_are_those_of_the_whole_history_bit_for_bit():
    events = [event for pair in zip(stream(), stream(symbol="Y", seed=2), strict=False) for event in pair]
    maker, live = RowMaker(["X", "Y"]), EventFeatures(["X", "Y"])
    last = {source: [] for source in EVENT_SOURCES}
    for event in events:
        live.see(event)
        for source, _ in maker.rows(event):
            last[source].append(parts_of(live.vector(event.symbol))[source][0])
    for source, rows in rows_of(events, ["X", "Y"]).items():
        whole = feature_set(2, source).batch(rows)
        assert np.array(last[source]).tobytes() == np.ascontiguousarray(matrix(whole)).tobytes()
        assert np.isfinite(matrix(whole)).any(), source


def test_another_symbols_events_change_nothing():
    events = list(stream())
    alone = vectors(events)
    mixed = EventFeatures(["X", "Y"])
    found = []
    for event, other in zip(events, stream(symbol="Y", seed=2), strict=False):
        mixed.see(other)
        mixed.see(event)
        found.append(mixed.vector("X"))
    assert alone[: len(found)].tobytes() == np.concatenate(found).tobytes()


def test_a_vector_is_frozen_before_the_first_event_at_or_after_the_close():
    features = EventFeatures(["X"], [MINUTE], MINUTE)
    features.see(snapshot(MINUTE - 5_000_000))
    features.see(delta(MINUTE, bids=((100.0, 1.0),)))
    age, _, vector = features.at(0, MINUTE)
    assert (5.0, pytest.approx(200.0)) == (age, vector["spread_bps"][0])
    age, _, vector = features.at(0, 2 * MINUTE)
    assert (60_000.0, pytest.approx(1e4 / 100.5)) == (age, vector["spread_bps"][0])


def test_prints_have_an_age_at_the_close_until_some_may_have_been_lost():
    features = EventFeatures(["X"], [MINUTE], MINUTE)
    features.see(snapshot(1))
    assert math.isnan(features.at(0, MINUTE).print_age_ms)
    features.see(a_print(MINUTE - 7_000_000))
    assert features.at(0, MINUTE).print_age_ms == 7.0
    features.see(BookInvalid("X", MINUTE + 1, MINUTE + 1, "gap"))
    assert features.at(0, MINUTE).print_age_ms == 7.0
    assert math.isnan(features.at(0, 2 * MINUTE).print_age_ms)


def test_a_book_that_came_after_the_close_is_not_joined_to_it():
    features = EventFeatures(["X"], [MINUTE], MINUTE)
    features.see(snapshot(MINUTE + 1))
    age, _, vector = features.at(0, MINUTE)
    assert math.isnan(age)
    assert np.isnan(matrix(vector)).all()


def test_an_invalid_book_has_neither_age_nor_features():
    features = EventFeatures(["X"], [MINUTE], MINUTE)
    features.see(snapshot(1))
    features.see(BookInvalid("X", 2, 2, "gap"))
    age, _, vector = features.at(0, MINUTE)
    assert math.isnan(age)
    assert np.isnan(parts_of(vector)[Source.BOOK]).all()


def test_what_was_heard_last_of_book_and_prints_is_told_as_it_stands():
    features = EventFeatures(["X", "Y"])
    assert (0, 0) == features.stamps("X")
    features.see(snapshot(3))
    features.see(a_print(5))
    assert ((3, 5), (0, 0)) == (features.stamps("X"), features.stamps("Y"))
    features.see(BookInvalid("X", 7, 7, "gap"))
    assert (0, 0) == features.stamps("X")
    with pytest.raises(DataError, match="expected one of X, Y, saw Z"):
        features.stamps("Z")


def test_a_book_of_one_side_has_an_age_and_one_of_none_has_not():
    features = EventFeatures(["X"], [MINUTE], MINUTE)
    features.see(snapshot(MINUTE - 3 * S))
    features.see(delta(MINUTE - 2 * S, bids=((99.0, 0.0), (98.0, 0.0))))
    assert features.at(0, MINUTE).book_age_ms == 2e3
    features.see(delta(MINUTE - S, asks=((101.0, 0.0),)))
    assert math.isnan(features.at(0, MINUTE).book_age_ms)


def test_prints_of_before_a_loss_are_not_the_market_after_it():
    features = EventFeatures(["X"], [MINUTE], MINUTE)
    features.see(snapshot(1))
    for second in range(20):
        features.see(a_print(second * S + 1))
    assert features.vector("X")["trade_rate_10s"][0] == 1.0
    features.see(BookInvalid("X", 20 * S, 20 * S, "connection lost"))
    assert np.isnan(matrix(features.at(0, MINUTE).vector)).all()


def test_closes_that_nothing_happened_between_are_kept_as_one():
    features = EventFeatures(["X"], [MINUTE], MINUTE)
    features.see(snapshot(MINUTE - S))
    features.see(delta(2**62, bids=((100.0, 1.0),)))  # a clock that jumps by a hundred years
    ages = [features.at(0, close)[0] for close in (MINUTE, MINUTE, 10**6 * MINUTE)]
    assert ages == [1e3, 1e3, (10**6 - 1) * 60e3 + 1e3]
    assert features.at(0, 10**6 * MINUTE).vector["spread_bps"] == pytest.approx(200.0)


def test_a_bar_that_is_heard_freezes_its_close_whatever_is_told_late():
    features = EventFeatures(["X"], [MINUTE], MINUTE)
    features.see(snapshot(MINUTE - 9 * S))
    features.see(Bar("X", "1m", MINUTE, MINUTE + 1, 100.0, 100.0, 100.0, 100.0, 1.0))
    features.see(delta(MINUTE - S, bids=((100.0, 1.0),)))
    stood = features.at(0, MINUTE)
    assert (9e3, pytest.approx(200.0)) == (stood.book_age_ms, stood.vector["spread_bps"][0])
    assert features.at(0, 2 * MINUTE).vector["spread_bps"] == pytest.approx(1e4 / 100.5)


def a_book(bid=99.0, ask=101.0):
    books = new_books(1)
    change(books, 0, np.array([[bid, 1.0]]), np.array([[ask, 1.0]]), True)
    return books


def test_a_book_that_is_given_freezes_closes_like_a_noun():
    features = EventFeatures(["X"], [MINUTE], MINUTE)
    assert isinstance(features, Listener)
    features.moved("X", MINUTE - S, MINUTE, a_book())
    features.moved("X", MINUTE, MINUTE, a_book(bid=100.0))
    stood = [features.at(0, close) for close in (MINUTE, 2 * MINUTE)]
    assert [1e3, 60e3] == [one.book_age_ms for one in stood]
    assert [pytest.approx(200.0), pytest.approx(1e4 / 100.5)] == [one.vector["spread_bps"][0] for one in stood]


def test_a_delta_by_itself_is_refused_where_the_book_came_as_a_record():
    features = EventFeatures(["X"])
    features.see(snapshot(1))
    features.moved("X", 2, 2, a_book())
    with pytest.raises(InvariantError, match="expected its book's record"):
        features.see(delta(3, bids=((99.0, 2.0),)))
    features.see(snapshot(4))
    features.see(delta(5, bids=((100.0, 2.0),)))
    assert features.vector("X")["spread_bps"] == pytest.approx(1e4 / 100.5)


def test_a_book_of_an_unknown_symbol_is_refused():
    with pytest.raises(DataError, match="expected one of X, saw Y"):
        EventFeatures(["X"]).moved("Y", 1, 1, a_book())


@pytest.mark.parametrize("seed", range(4))
def test_what_a_listener_hears_gives_the_bits_of_the_nouns_after_every_event_and_at_every_close(seed):
    messages = list(made(seed, 1500))
    nouns, heard = by_nouns(messages), by_hearing(messages)
    assert nouns.found == heard.found
    assert (0, True) == (nouns.given, heard.given > 1000)


PLAIN_PYTHON = """
import hashlib
from tests.features.hearing import by_hearing, by_nouns, made
messages = list(made(7, 250))
for kept in (by_nouns(messages), by_hearing(messages)):
    print(len(kept.found), hashlib.sha256(repr(kept.found).encode()).hexdigest())
"""


def test_compiled_or_in_plain_python_the_vectors_are_the_same():
    digests = [
        subprocess.run(
            [sys.executable, "-c", PLAIN_PYTHON],
            cwd=ROOT,
            env=os.environ | {"NUMBA_DISABLE_JIT": switch},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for switch in ("0", "1")
    ]
    assert {digests[0][0]} == {*digests[0], *digests[1]}


@pytest.mark.parametrize("path", recordings())
def test_what_a_listener_hears_of_a_recording_gives_the_bits_of_its_nouns(path):
    lines = list(islice(recording(path), 4000))
    plain, spoken = (tape_protocol(path, lines[0].recv_ns) for _ in range(2))
    events = [event for line in lines for event in play(plain, [line])]
    symbols = sorted({event.symbol for event in events})
    begin = min(event.ts for event in events) // (5 * S) * (5 * S)
    nouns, heard = (Kept(symbols, [begin] * len(symbols), 5 * S) for _ in range(2))
    for event in events:
        nouns.see(event)
    now = [0]
    feed = LiveFeed(path.parent.name.split("_")[0], [Stream("book", "BTCUSDT")], stamp=lambda: now[0], listener=heard)
    link = feed._links[0]
    link.protocol = spoken
    for line in lines:
        now[0] = line.recv_ns
        if line.event == "http":
            feed._deliver(link, play(spoken, [line]), 0)
        elif not line.event:
            feed._hear(link, line.message)
        while feed._backlog:
            assert not isinstance(feed._backlog.take(), BookDelta)
    assert nouns.found == heard.found
    assert heard.given == sum(isinstance(event, BookDelta) for event in events) > 100


@pytest.mark.parametrize(("closes", "tf_ns"), [([MINUTE], 0), ([], MINUTE), ([MINUTE, MINUTE], MINUTE)])
def test_closes_without_a_time_between_them_or_for_other_symbols_are_refused(closes, tf_ns):
    with pytest.raises(ConfigError, match="a close for each of 1 symbols"):
        EventFeatures(["X"], closes, tf_ns)


def test_the_vector_holds_every_registered_event_feature_once():
    names = [feature.name for source in EVENT_SOURCES for feature in REGISTERED[source]]
    assert names == list(EVENT_VECTOR.names)


@pytest.mark.parametrize("exchange", ["bybit", "binance"])
async def test_a_live_vector_and_that_of_its_tape_are_the_same_bits(exchange, tmp_path):
    symbols = ("BTCUSDT", "ETHUSDT")
    streams = [Stream(kind, symbol) for kind in ("book", "trades") for symbol in symbols]
    live, seen, recorder = EventFeatures(symbols), [], Recorder(tmp_path, streams)
    with box_in_thread(symbols=symbols, history_hours=0.1) as box:  # nothing is compiled while a feed waits
        box.truth("BTCUSDT")
    async with quick_box(symbols=symbols, preset="btc-like", history_hours=0.1) as box:
        feed = LiveFeed(exchange, streams, endpoints=box.endpoints, on_raw=recorder)
        recorder.follow(feed)
        async with feed:
            async for event in feed:
                live.see(event)
                seen.append(live.vector(event.symbol))
                if len(seen) == 400:
                    break
    replayed = vectors(replay(recorder.close().paths), symbols)
    assert np.concatenate(seen).tobytes() == replayed[: len(seen)].tobytes()
    assert np.isfinite(matrix(replayed)).any(axis=0).sum() >= 8


@pytest.mark.parametrize("exchange", ["bybit", "binance"])
async def test_what_a_live_listener_heard_is_what_a_replay_of_the_tape_gives(exchange, tmp_path):
    symbols = ("BTCUSDT", "ETHUSDT")
    streams = [Stream(kind, symbol) for kind in ("book", "trades") for symbol in symbols]
    heard, recorder, yielded = Kept(symbols, None, 0), Recorder(tmp_path, streams), []
    async with quick_box(symbols=symbols, preset="btc-like", history_hours=0.1) as box:
        feed = LiveFeed(exchange, streams, endpoints=box.endpoints, on_raw=recorder, listener=heard)
        recorder.follow(feed)
        async with feed:
            async for event in feed:
                yielded.append(event)
                if len(heard.found) > 400:
                    break
    replayed = Kept(symbols, None, 0)
    for event in replay(recorder.close().paths):
        replayed.see(event)
    assert heard.found == replayed.found[: len(heard.found)]
    assert heard.given > 100
    assert BookDelta not in map(type, yielded)


@pytest.mark.parametrize("path", recordings())
def test_vectors_of_a_recording_are_those_of_its_history(path):
    events = list(islice(replay(path, kinds=("book", "trades")), 3000))
    symbols = sorted({event.symbol for event in events})
    live, maker = EventFeatures(symbols), RowMaker(symbols)
    last = {source: [] for source in EVENT_SOURCES}
    for event in events:
        live.see(event)
        for source, _ in maker.rows(event):
            last[source].append(parts_of(live.vector(event.symbol))[source][0])
    for source, rows in rows_of(events, symbols).items():
        whole = matrix(feature_set(len(symbols), source).batch(rows))
        assert np.array(last[source]).tobytes() == np.ascontiguousarray(whole).tobytes()


@pytest.mark.parametrize("most", [4000, pytest.param(40_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("path", recordings())
def test_every_registered_feature_conforms_on_recorded_events(path, most):
    events = list(islice(replay(path, kinds=("book", "trades")), most))
    busiest = Counter(event.symbol for event in events).most_common(1)[0][0]
    for source, rows in rows_of((event for event in events if event.symbol == busiest), [busiest]).items():
        found = {
            feature.name: problems(feature, REGISTERED[source], [(path.stem, rows)]) for feature in REGISTERED[source]
        }
        # a short recording does not fill the longest windows
        allowed = [[], ["it has no value on any of the inputs"]]
        assert {} == {name: problem for name, problem in found.items() if problem not in allowed}


@pytest.mark.long
@pytest.mark.parametrize("path", [one for one in recordings() if "480s" in (one.id or "")])
def test_on_a_recording_of_minutes_every_event_feature_has_values(path):
    symbol = path.stem.split("_")[0]
    for source, rows in rows_of(replay(path, kinds=("book", "trades")), [symbol]).items():
        values = matrix(feature_set(source=source).batch(rows))
        shares = np.isfinite(values).mean(axis=0)
        assert (shares > 0.3).all(), dict(zip(feature_set(source=source).names, shares, strict=True))
