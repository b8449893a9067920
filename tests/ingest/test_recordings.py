"""Every recording through the whole core: whole as it is, and caught wherever a line is lost, doubled or swapped."""

import random

import pytest

from tests.wire import play, recording, recordings, tape_protocol, total

pytestmark = pytest.mark.slow

#: Lines of one stream after its first book that are looked at, and how many of them are hurt.
WINDOW = 40
SAMPLES = 4


def numbered(path, line):
    """Is the line of a stream in which a missing line shows: a book, or Binance's trades?"""
    kinds = ("@depth", "@trade", "@aggTrade") if path.parent.name.startswith("binance") else ("orderbook.",)
    return any(kind in line.stream for kind in kinds)


@pytest.mark.parametrize("path", recordings())
def test_a_recording_has_no_break_no_crossed_book_and_every_book_lives(path):
    lines = list(recording(path))
    protocol = tape_protocol(path, lines[0].recv_ns)
    events = play(protocol, lines)
    problems = ("sequence_breaks", "duplicates", "crossed", "bad_messages", "invalid")
    assert [0] * len(problems) == [total(protocol, name) for name in problems]
    counts = protocol.counts()
    books = [symbol for symbol, kind in counts if kind == "book"]
    assert {"live"} == {protocol.book(symbol).state for symbol in books}
    assert len(books) == total(protocol, "snapshots")
    assert len(events) == total(protocol, "events")
    assert all(event.ts <= getattr(event, "ts_recv", event.ts) for event in events)


def test_every_market_of_the_recordings_is_among_them():
    if recordings()[0].values[0] is None:
        pytest.skip("no recordings beside this tree")
    found = {parameter.values[0].parent.name for parameter in recordings()}
    assert {"binance_spot", "binance_usdm", "bybit_v5"} == found


def excerpt(path, length):
    """The beginning of a recording, and places in it by stream: lines behind its first book, at most `length`."""
    kept, begun, places, seen = [], set(), {}, set()
    for line in recording(path):
        symbol = line.stream.split("@")[0].upper() if "@" in line.stream else line.stream
        if line.is_snapshot:
            # a REST book without a name belongs to the only symbol of its file
            asked = line.url.partition("symbol=")[2].partition("&")[0]
            begun.add(asked or symbol or "any")
        elif numbered(path, line):
            own = places.setdefault(line.stream, [])
            # of a stream's very first line nothing tells that it was there
            if line.stream in seen and begun & {symbol, "any"} and len(own) < length:
                own.append(len(kept))
            seen.add(line.stream)
        kept.append(line)
        if len(kept) >= 40 * length or (places and all(len(own) >= length for own in places.values())):
            break
    return kept, {stream: own for stream, own in places.items() if len(own) > 3}


def hurt(lines, own, at, how):
    """The lines with the one of place `own[at]` deleted, doubled, or swapped with the next of its stream."""
    hurt = list(lines)
    if how == "deleted":
        del hurt[own[at]]
    elif how == "doubled":
        hurt.insert(own[at] + 1, lines[own[at]])
    else:
        hurt[own[at]], hurt[own[at + 1]] = lines[own[at + 1]], lines[own[at]]
    return hurt


def noticed(path, lines):
    """What the core counts of lost, late and doubled lines."""
    protocol = tape_protocol(path, lines[0].recv_ns)
    play(protocol, lines)
    return total(protocol, "sequence_breaks") + total(protocol, "duplicates")


def unnoticed(path, length, samples):
    """Every way in which a line can be hurt without being caught, among `samples` lines of each stream."""
    dice = random.Random(path.name)
    lines, places = excerpt(path, length)
    assert places
    missed = []
    for stream, own in places.items():
        last = own[-1]
        # the first lines behind the book, where a change may be older than the snapshot, and some of the others
        chosen = {0, 1, *dice.sample(range(len(own) - 2), min(samples, len(own) - 2))}
        for at in sorted(chosen):
            for how in ("deleted", "doubled", "swapped"):
                # whole streams up to a little behind the place: what comes later cannot take a count back
                window = hurt(lines, own, at, how)[: min(own[min(at + 3, len(own) - 1)], last) + 2]
                if noticed(path, window) == 0:
                    missed.append((stream, at, how))
    return missed


@pytest.mark.parametrize("path", recordings())
def test_a_line_lost_doubled_or_swapped_is_caught(path):
    assert [] == unnoticed(path, WINDOW, SAMPLES)


@pytest.mark.long
@pytest.mark.parametrize("path", recordings())
def test_any_line_lost_doubled_or_swapped_is_caught(path):
    assert [] == unnoticed(path, 200, 40)
