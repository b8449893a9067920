"""What was recorded replays to the events that were live, whatever happened meanwhile."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from ingest.box.news import CRYPTOPANIC_TOKEN
from ingest.live.feed import LiveFeed
from ingest.news import read_snapshots
from ingest.replay_server import Fault
from ingest.tape import Recorder, TapeFeed, replay
from ingest.tapes.check import check, report_of
from ingest.tapes.file import TapeReader
from ingest.tapes.record import record
from ingest.venues.bybit import protocol as bybit_protocol
from ingest.wire.streams import Stream
from tests.boxes import PATIENCE_S, box_in_thread, quick_box, until
from tests.places import ROOT
from utils.errors import DataUnavailable, StorageError
from utils.ports import Feed
from utils.settings.tree import IngestSettings
from utils.types import Bar, BookDelta, BookInvalid, BookSnapshot, MarkPrice, Quote, Trade

pytestmark = pytest.mark.slow

SYMBOLS = ("BTCUSDT", "ETHUSDT")
QUICK = IngestSettings(timeout_s=20.0, backoff_s=0.05, backoff_max_s=0.2, heartbeat_s=2.0, stale_s=1.5)
CALM = QUICK.model_copy(update={"heartbeat_s": 20.0, "stale_s": 10.0})
BRIEF = {"preset": "btc-like", "history_hours": 0.1}
VENUES = ("bybit", "binance")
START = 1_700_000_000_000_000_000
STREAMS = [
    Stream(kind, symbol, tf="1m" if kind == "bars" else "")
    for kind in ("book", "trades", "bars", "quote", "mark", "liquidations")
    for symbol in SYMBOLS
]
#: The same in the box's seconds, where its clock runs fast.
SPEED = 60.0
FAST = QUICK.model_copy(update={"heartbeat_s": 30.0, "stale_s": 60.0})


@contextlib.asynccontextmanager
async def recorded(folder, exchange, endpoints, streams=STREAMS, *, settings=QUICK, clock_query=False):
    """A live feed that is recorded; yields the feed, its events so far, and in the end the files."""
    recorder = Recorder(folder, streams, stale_s=settings.stale_s)
    feed = LiveFeed(exchange, streams, endpoints=endpoints, settings=settings, clock_query=clock_query, on_raw=recorder)
    recorder.follow(feed)
    nouns, paths = [], []
    async with feed:

        async def read():
            async for noun in feed:
                nouns.append(noun)

        task = asyncio.create_task(read())
        try:
            yield feed, nouns, paths
        finally:
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    with contextlib.suppress(StopAsyncIteration):
        nouns += await feed.batch()
    paths += recorder.close().paths


def box_of(**options):
    """A lively market with little history."""
    return quick_box(symbols=SYMBOLS, **{**BRIEF, **options})


def kinds(nouns):
    return {type(noun) for noun in nouns}


async def live_books(feed, streams=STREAMS):
    books = [stream.symbol for stream in streams if stream.kind == "book"]
    await until(lambda: all(feed.book(symbol, 1).state == "live" for symbol in books))


async def turned_over(feed, folder, count, rotate_ns=500_000_000):
    """From here on a file is full after so long; wait until that many have begun."""
    feed._tap._rotate_ns = rotate_ns  # not from the start: a busy machine may need longer for its first book
    await until(lambda: len(list(folder.glob("*.zst"))) >= count)


@pytest.mark.parametrize("exchange", VENUES)
@pytest.mark.parametrize("clock_query", [False, True])
async def test_a_tape_replays_to_the_events_that_were_live(tmp_path, exchange, clock_query):
    options = {"speed": SPEED, "start_ns": START, "preset": "large-tick"} if clock_query else {}
    async with box_of(**options) as box:
        async with recorded(
            tmp_path, exchange, box.endpoints, settings=FAST if clock_query else QUICK, clock_query=clock_query
        ) as (feed, nouns, paths):
            await live_books(feed)
            # candles close only where the box's clock runs fast
            wanted = {BookSnapshot, BookDelta, Trade, Quote, MarkPrice, *([Bar] if clock_query else [])}
            await until(lambda: wanted <= kinds(nouns))
        assert nouns == list(replay(paths))


async def test_streams_that_are_spread_over_several_sockets_replay_too(tmp_path, monkeypatch):
    monkeypatch.setattr(bybit_protocol, "MOST_STREAMS", 6)
    async with box_of() as box:
        async with recorded(tmp_path, "bybit", box.endpoints) as (feed, nouns, paths):
            await live_books(feed)
            assert [] == box.unknown
            for connection in tuple(box._open)[:1]:
                connection.cut(reset=True)
            await until(lambda: feed.stats().reconnects == 1)
            await live_books(feed)
            seen = len(nouns)
            wanted = {(noun, symbol) for noun in (BookDelta, Trade) for symbol in SYMBOLS}
            await until(lambda: wanted <= {(type(noun), noun.symbol) for noun in nouns[seen:]})
        assert nouns == list(replay(paths))


FAULTS = ("reset", "gap", "stall")
#: What need not end a book.
HARMLESS = {"duplicate", "garbage", "deep", "truncated"}
MORE_FAULTS = (
    "wrong_symbol",
    "close",
    "reorder",
    "duplicate",
    "crossed",
    "locked",
    "bad_number",
    "truncated",
    "garbage",
    "deep",
)


@pytest.mark.parametrize("exchange", VENUES)
@pytest.mark.parametrize("kind", [*FAULTS, *(pytest.param(kind, marks=pytest.mark.long) for kind in MORE_FAULTS)])
async def test_what_went_wrong_live_goes_wrong_the_same_way_again(tmp_path, exchange, kind):
    topic = {"bybit": "orderbook.50.BTCUSDT", "binance": "btcusdt@depth"}[exchange]
    async with box_of() as box:
        async with recorded(tmp_path, exchange, box.endpoints) as (feed, nouns, paths):
            await live_books(feed)
            box.inject(Fault(kind, match=topic, after=2, **({"seconds": 2.5} if kind == "stall" else {})))
            await until(lambda: box.struck and (kind in HARMLESS or BookInvalid in kinds(nouns)))
            await live_books(feed)
            await asyncio.sleep(0.2)
        assert nouns == list(replay(paths))


async def test_a_restart_and_a_refused_snapshot_replay_too(tmp_path):
    async with box_of() as box:
        box.inject(Fault("truncated_json", match="/depth?symbol=BTCUSDT"))
        async with recorded(tmp_path / "a", "binance", box.endpoints) as (feed, nouns, paths):
            await live_books(feed)
        assert nouns == list(replay(paths))
        async with recorded(tmp_path / "b", "bybit", box.endpoints) as (feed, nouns, paths):
            await live_books(feed)
            box.inject(Fault("restart", match="orderbook.50.ETHUSDT"))
            await until(lambda: box.struck)
            await asyncio.sleep(0.2)
        assert nouns == list(replay(paths))


@pytest.mark.parametrize("exchange", VENUES)
async def test_files_that_were_turned_over_replay_as_one_and_each_alone(tmp_path, exchange):
    async with box_of() as box:
        async with recorded(tmp_path, exchange, box.endpoints, settings=CALM) as (feed, nouns, paths):
            await live_books(feed)
            await turned_over(feed, tmp_path, 3)
            seen = len(nouns)
            await until(lambda: BookDelta in kinds(nouns[seen:]))
        assert 3 <= len(paths)
        assert nouns == list(replay(paths))
        alone = [list(replay(path)) for path in paths[1:]]
        assert all(BookSnapshot in kinds(each) for each in alone)
        assert all(BookInvalid not in kinds(each) for each in alone)
        deltas = [noun for noun in itertools.chain(*alone) if isinstance(noun, BookDelta)]
        assert deltas
        assert deltas == [noun for noun in nouns if noun in deltas]
        whole = report_of(check(paths))
        assert 1 == len(whole["recordings"])
        parts = [report_of(check([path]))["totals"] for path in paths]
        for name in ("sequence_breaks", "crossed", "bad_messages", "duplicates", "invalid", "books_without_snapshot"):
            assert 0 == whole["totals"][name] == sum(part[name] for part in parts)
        assert whole["totals"]["messages"] == sum(part["messages"] for part in parts)


@pytest.mark.parametrize("exchange", VENUES)
async def test_a_file_begun_by_rotation_holds_the_book_that_was_live(tmp_path, exchange):
    books = [Stream("book", symbol) for symbol in SYMBOLS]
    async with box_of() as box:
        async with recorded(tmp_path, exchange, box.endpoints, books, settings=CALM) as (feed, _, paths):
            await live_books(feed, books)
            await turned_over(feed, tmp_path, 3)
        end = {}
        for noun in replay(paths):
            keep(end, noun)
        alone = {}
        for noun in replay(paths[-1]):
            keep(alone, noun)
        assert end == alone
        assert all(bids and asks for bids, asks in end.values())


def keep(books, noun):
    """Follow a book by its events."""
    if isinstance(noun, BookSnapshot):
        books[noun.symbol] = (dict(noun.bids), dict(noun.asks))
    elif isinstance(noun, BookDelta):
        for side, levels in zip(books[noun.symbol], (noun.bids, noun.asks), strict=True):
            for price, qty in levels:
                side.pop(price, None)
                if qty:
                    side[price] = qty


def test_files_turn_over_by_size_and_lose_nothing(tmp_path):
    recorder = Recorder(tmp_path, [Stream("book", "BTCUSDT")], rotate_bytes=20_000)
    count = 3000
    for i in range(count):
        recorder(START + i, "wss://x", json.dumps({"n": i, "x": os.urandom(40).hex()}))
        if i % 1000 == 999:
            on_the_disk(recorder, 30 * i)  # a file's size is known when it is flushed
    paths = recorder.close().paths
    assert 3 <= len(paths)
    assert list(range(count)) == [json.loads(line.wire)["n"] for path in paths for line in TapeReader(path)]


def on_the_disk(recorder, size, timeout_s=PATIENCE_S):
    """Wait until the files together have that many bytes."""
    deadline = time.monotonic() + timeout_s
    while recorder.writer.size < size:
        assert time.monotonic() < deadline, "not written"
        time.sleep(0.01)


def test_files_turn_over_by_receive_time(tmp_path):
    recorder = Recorder(tmp_path, [Stream("book", "BTCUSDT")], rotate_ns=1_000_000_000)
    for i in range(5):
        recorder(START + i * 500_000_000, "wss://x", json.dumps({"n": i}))
    paths = recorder.close().paths
    assert [[0, 1], [2, 3], [4]] == [[json.loads(line.wire)["n"] for line in TapeReader(path)] for path in paths]


async def test_a_tape_feed_is_a_feed_and_can_be_iterated_again(tmp_path):
    async with box_of() as box:
        async with recorded(tmp_path, "bybit", box.endpoints) as (feed, nouns, paths):
            await live_books(feed)
            await asyncio.sleep(0.3)
        tape = TapeFeed(tuple(paths))
        assert isinstance(tape, Feed)
        assert isinstance(feed, Feed)
        assert nouns == [noun async for noun in tape] == [noun async for noun in tape]
        only = [noun async for noun in TapeFeed(tuple(paths), symbols=("ETH/USDT",), kinds=("book", "quote"))]
        assert [noun for noun in nouns if noun.symbol == "ETHUSDT" and kind_is(noun, ("book", "quote"))] == only


def kind_is(noun, wanted):
    names = {BookSnapshot: "book", BookDelta: "book", BookInvalid: "book", Quote: "quote"}
    return names.get(type(noun)) in wanted


@pytest.mark.parametrize("exchange", VENUES)
async def test_messages_on_the_tape_are_those_that_were_sent_byte_for_byte(tmp_path, exchange):
    books = [Stream("book", "BTCUSDT")]
    heard = []
    async with box_of() as box:
        recorder = Recorder(tmp_path, books)

        def both(recv_ns, url, text, event="", /):
            heard.append((recv_ns, text if isinstance(text, bytes) else text.encode(), event))
            recorder(recv_ns, url, text, event)

        feed = LiveFeed(exchange, books, endpoints=box.endpoints, on_raw=both)
        recorder.follow(feed)
        async with feed:
            await live_books(feed, books)
            await asyncio.sleep(0.3)
        (path,) = recorder.close().paths
    assert heard == [(line.recv_ns, line.wire or line.reason.encode(), line.event) for line in TapeReader(path)]


def test_a_recording_says_how_it_goes_and_what_it_came_to(tmp_path):
    said = []
    with box_in_thread(symbols=SYMBOLS, **BRIEF) as box:
        box.candles("BTCUSDT", "1m")  # its market is made now, not within the seconds of the recording
        done = record(
            "bybit",
            STREAMS[:4],
            out=tmp_path,
            endpoints=box.endpoints,
            seconds=5.0,
            say=said.append,
            say_every_s=2.4,
        )
    assert f"recording book, trades of BTCUSDT, ETHUSDT to {tmp_path}" == said[0]
    assert 2 <= len(said) <= 3
    assert " UTC, " in said[-1]
    assert "books live 2/2, gaps 0" in said[-1]
    assert (1, 0) == (len(done.paths), done.dropped)
    assert done.messages == sum(not line.event for line in TapeReader(done.paths[0]))
    assert done.paths[0].stat().st_size == done.size


def test_an_exchange_that_does_not_answer_is_an_error(tmp_path):
    with box_in_thread(symbols=SYMBOLS, **BRIEF) as box:
        gone = box.endpoints
    with pytest.raises(DataUnavailable, match="bybit: expected data"):
        record("bybit", STREAMS[:2], out=tmp_path, endpoints=gone, settings=QUICK.model_copy(update={"timeout_s": 0.5}))


def test_a_recording_in_which_nothing_came_is_an_error_however_short_it_was(tmp_path):
    with box_in_thread(symbols=SYMBOLS, **BRIEF) as box:
        gone = box.endpoints
    with pytest.raises(DataUnavailable, match=r"bybit: expected data within 0\.3 s, saw none \(.*[Cc]onnect"):
        record("bybit", STREAMS[:2], out=tmp_path, endpoints=gone, settings=QUICK, seconds=0.3)


def test_a_folder_that_cannot_be_made_ends_the_recording(tmp_path):
    (tmp_path / "x").write_text("")
    with (
        box_in_thread(symbols=SYMBOLS, **BRIEF) as box,
        pytest.raises(StorageError, match="expected to be able to write"),
    ):
        record("bybit", STREAMS[:2], out=tmp_path / "x", endpoints=box.endpoints, seconds=20)


def start(box, folder, *more, ignored="", **variables):
    """`scripts/record.py` on the box, in a process of its own; a shell in the background has it ignore a signal."""
    addresses = {f"SCALPER__ENDPOINTS__{name.upper()}": at for name, at in box.endpoints.model_dump().items()}
    environment = os.environ | addresses | variables
    command = [sys.executable, ROOT / "scripts" / "record.py", "--exchange", "bybit", "--symbols", "BTCUSDT,ETHUSDT"]
    shell = ["sh", "-c", f"trap '' {ignored}; exec \"$@\"", "sh"] if ignored else []
    return subprocess.Popen(
        [*shell, *command, "--out", folder, *more],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def grown(folder, count=1, size=3000, timeout_s=PATIENCE_S):
    """Wait until the newest of `count` tapes has that many bytes."""
    deadline = time.monotonic() + timeout_s
    while len(tapes := sorted(folder.glob("*.zst"))) < count or tapes[-1].stat().st_size < size:
        assert time.monotonic() < deadline, "no tape"
        time.sleep(0.02)


def test_a_killed_recorder_leaves_what_can_be_read_and_starts_again_in_a_new_file(tmp_path):
    with box_in_thread(symbols=SYMBOLS, **BRIEF) as box:
        for count in (1, 2):
            with start(box, tmp_path) as process:
                grown(tmp_path, count)
                time.sleep(0.8)
                killed = time.time_ns()
                process.kill()
            before = sorted(tmp_path.glob("*.zst"))
            reader = TapeReader(before[-1])
            lines = list(reader)
            assert "not closed" in reader.cut
            # a busy machine may have sent it nothing for a while
            assert 0 <= killed - lines[-1].recv_ns < 10_000_000_000
            totals = report_of(check(before[-1:]))["totals"]
            assert (0, 0, 0) == (totals["sequence_breaks"], totals["bad_messages"], totals["crossed"])
        assert 2 == len(before)


def test_ctrl_c_ends_a_recording_with_its_file_whole(tmp_path):
    with box_in_thread(symbols=SYMBOLS, **BRIEF) as box, start(box, tmp_path) as process:
        grown(tmp_path)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert 130 == process.returncode
    reader = TapeReader(next(tmp_path.glob("*.zst")))
    assert (True, "") == (len(list(reader)) > 5, reader.cut)
    assert "stopped by Ctrl-C" in err


@pytest.mark.parametrize("ignored", ["", "INT"])
def test_sigterm_ends_a_recording_with_its_file_whole(tmp_path, ignored):
    with box_in_thread(symbols=SYMBOLS, **BRIEF) as box, start(box, tmp_path, ignored=ignored) as process:
        grown(tmp_path)
        process.terminate()
        _, err = process.communicate(timeout=PATIENCE_S)
    assert (130, "stopped by SIGTERM; no file is half-written") == (process.returncode, err.splitlines()[-1])
    reader = TapeReader(next(tmp_path.glob("*.zst")))
    assert (True, "") == (len(list(reader)) > 5, reader.cut)


def test_a_recording_of_some_seconds_ends_by_itself(tmp_path):
    with box_in_thread(symbols=SYMBOLS, **BRIEF) as box:
        flags = ["--seconds", "1", "--streams", "book,trades,bars", "--tf", "5m", "--depth", "200"]
        with start(box, tmp_path, *flags) as process:
            out, err = process.communicate(timeout=PATIENCE_S)
    assert (0, "recording book, trades, bars of BTCUSDT, ETHUSDT") == (process.returncode, err.partition(" to ")[0])
    (path,) = tmp_path.glob("*.zst")
    assert path.name.startswith("bybit_linear_BTCUSDT-ETHUSDT_")
    assert path.name in out
    sent = [json.loads(line.wire) for line in TapeReader(path) if line.event == "send"]
    topics = set(itertools.chain.from_iterable(frame.get("args", ()) for frame in sent))
    assert {"orderbook.200.BTCUSDT", "publicTrade.ETHUSDT", "kline.5.BTCUSDT"} <= topics


def test_an_exchange_that_does_not_answer_is_exit_code_3(tmp_path):
    with box_in_thread(symbols=SYMBOLS, **BRIEF) as box:
        pass
    with start(box, tmp_path, SCALPER__INGEST__TIMEOUT_S="0.5") as process:
        _, err = process.communicate(timeout=PATIENCE_S)
    assert 3 == process.returncode
    assert err.splitlines()[-1].startswith("error: bybit: expected data")


def test_headlines_are_kept_beside_the_tape(tmp_path):
    with box_in_thread(symbols=SYMBOLS, **BRIEF) as box:
        flags = ["--seconds", "4", "--news", "--news-minutes", "1"]
        with start(box, tmp_path, *flags, CRYPTOPANIC_TOKEN=CRYPTOPANIC_TOKEN) as process:
            _, err = process.communicate(timeout=PATIENCE_S)
    assert (0, 1) == (process.returncode, err.count("\n"))
    (snapshot,) = read_snapshots(tmp_path)
    assert (("BTC", "ETH"), True) == (snapshot.currencies, len(snapshot.headlines) > 0)
    assert 1 == len(list(tmp_path.glob("bybit_linear_*.zst")))


def test_headlines_without_a_key_are_refused_before_anything_is_recorded(tmp_path):
    with (
        box_in_thread(symbols=SYMBOLS, **BRIEF) as box,
        start(box, tmp_path, "--news", CRYPTOPANIC_TOKEN="") as process,
    ):
        _, err = process.communicate(timeout=PATIENCE_S)
    assert 2 == process.returncode
    assert "CRYPTOPANIC_TOKEN" in err
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--streams", "book,trade"], 2, "'trade'"),
        (["--symbols", ""], 2, "empty"),
        (["--exchange", "kraken"], 2, "kraken"),
        (["--dept", "50"], 2, "did you mean --depth?"),
        (["--depth", "51"], 2, "51"),
        (["--seconds", "-1"], 2, "--seconds"),
    ],
)
def test_a_wrong_flag_is_one_sentence(tmp_path, flags, code, words):
    command = [sys.executable, ROOT / "scripts" / "record.py", *flags]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (code, 1) == (ran.returncode, ran.stderr.count("\n"))
    assert words in ran.stderr
