"""A recording that is whole is found whole; a line that is missing, doubled or in the wrong place is found."""

import io
import json
import random

import pytest
from rich.console import Console

from ingest.tape import main
from ingest.tapes.check import Lags, check, recordings, report_of, show
from ingest.tapes.file import Record, TapeReader
from tests.ingest.tapes.test_play import START, body, bybit_book, diff, trade
from tests.places import RECORDINGS
from utils.errors import DataError

#: Lines of each recording, as the page beside them says, and the receive clock's offset in ms.
RECORDED = {
    "binance_spot/BTCUSDT_20240808T2354_651s": (99_574, -1270),
    "binance_usdm/BTCUSDT_20240718T2357_480s": (71_984, -1521),
    "binance_usdm/BTCUSDT_20240808T2354_346s": (93_954, -1270),
    "binance_usdm/ETHUSDT_20240718T2357_480s": (69_913, -1521),
    "binance_usdm/ETHUSDT_20240808T2354_346s": (74_655, -1270),
    "binance_usdm/SUSHI_AKRO_KEEP_CTK_20210722T2225_30s": (1_540, None),
    "bybit_v5/linear_BTC_ETH_SOL_DOGE_20260809T2127_42s": (2_564, 108),
    "bybit_v5/spot_BTC_ETH_20260809T2127_42s": (689, 108),
}
SMALL = list(RECORDED)[5:]
FAULTS = ("sequence_breaks", "duplicates", "crossed", "bad_messages", "invalid", "dropped", "books_without_snapshot")


def recording(name):
    path = RECORDINGS / f"{name}.jsonl.zst"
    if not path.is_file():
        pytest.skip("the recordings are not beside this tree")
    return path


def tape(folder, messages, name="x.jsonl"):
    """A tape of these messages, 10 ms apart; records stand as they are."""
    records = [
        each if isinstance(each, Record) else Record(START + i * 10_000_000, json.dumps(each))
        for i, each in enumerate(messages)
    ]
    path = folder / name
    path.write_bytes(b"".join(record.line() for record in records))
    return path


def totals(path):
    return report_of(check([path]))["totals"]


@pytest.mark.parametrize("name", [*SMALL, pytest.param("binance_usdm/BTCUSDT_20240718T2357_480s")])
def test_a_recording_is_whole(name):
    report = report_of(check([recording(name)]))
    assert dict.fromkeys(FAULTS, 0) == {fault: report["totals"][fault] for fault in FAULTS}
    rows, offset = RECORDED[name]
    assert rows == report["totals"]["lines"]
    events = sum(bool(line.event) for line in TapeReader(recording(name)))
    assert rows - events == report["totals"]["messages"]
    if offset is not None:
        assert offset == pytest.approx(report["recordings"][0]["clock"]["offset_median_ms"], abs=15)


@pytest.mark.long
@pytest.mark.parametrize("name", RECORDED)
def test_every_recording_is_whole(name):
    test_a_recording_is_whole(name)


def test_what_the_streams_hold_adds_up_to_the_totals():
    report = report_of(check([recording(SMALL[1])]))
    streams = [kind for symbol in report["streams"].values() for kind in symbol.values()]
    for name in ("events", "snapshots", "sequence_breaks", "duplicates", "crossed", "bad_messages"):
        assert report["totals"][name] == sum(stream[name] for stream in streams)
    assert report["totals"]["messages"] == sum(s["messages"] for s in streams) + report["totals"]["control"]
    assert {"book", "trades", "quote", "mark", "bars"} == set(report["streams"]["BTCUSDT"])
    assert {"BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT"} == set(report["streams"])


def stream_of(line):
    """(symbol, kind) of an order-book line or a numbered trade line; () for others."""
    if line.event:
        return ()
    message = json.loads(line.wire)
    data = message.get("data", message)
    if message.get("topic", "").startswith("orderbook.") and message["type"] == "delta":
        return (data["s"], "book")
    if isinstance(data, dict) and data.get("e") in {"depthUpdate", "trade", "aggTrade"}:
        return (data["s"], "book" if data["e"] == "depthUpdate" else "trades")
    return ()


def first_books(lines):
    """By symbol: where its first book stands."""
    found = {}
    for i, line in enumerate(lines):
        if line.event == "http" and "/depth" in line.url:
            found.setdefault(line.url.split("symbol=")[1].split("&")[0], i)
        elif not line.event:
            message = json.loads(line.wire)
            if message.get("topic", "").startswith("orderbook.") and message["type"] == "snapshot":
                found.setdefault(message["data"]["s"], i)
            elif "lastUpdateId" in message:
                found.setdefault("BTCUSDT", i)
    return found


def head(path, count):
    lines = []
    for line in TapeReader(path):
        lines.append(line)
        if len(lines) == count:
            break
    return lines


@pytest.mark.parametrize("kind", ["deleted", "doubled", "swapped"])
@pytest.mark.parametrize("name", [SMALL[0], SMALL[1], SMALL[2], *list(RECORDED)[:2]])
def test_a_line_deleted_doubled_or_swapped_is_found_every_time(tmp_path, name, kind):
    lines = head(recording(name), 1600)
    books = first_books(lines)
    streams = [stream_of(line) for line in lines]
    spots = {}
    for i, stream in enumerate(streams):
        if stream and i > books.get(stream[0], len(lines)):
            spots.setdefault(stream, []).append(i)
    # the first of its stream has none before it, and the last none after it
    spots = {stream: places[1:-1] for stream, places in spots.items() if len(places) > 2}
    assert {"book"} <= {what for _, what in spots}
    assert "trades" in {what for _, what in spots} or name in SMALL[1:]
    dice = random.Random(f"{name} {kind}")
    for _ in range(6):
        places = spots[dice.choice(sorted(spots))]
        at = dice.choice(places)
        changed = list(lines)
        if kind == "deleted":
            del changed[at]
        elif kind == "doubled":
            changed.insert(at + 1, lines[at])
        else:
            after = next(i for i in range(at + 1, len(lines)) if streams[i] == streams[at])
            changed[at], changed[after] = (
                Record(lines[at].recv_ns, lines[after].wire),
                Record(lines[after].recv_ns, lines[at].wire),
            )
        written = [
            line if isinstance(line, Record) else Record(line.recv_ns, line.wire or None, line.event, line.url)
            for line in changed
        ]
        found = totals(tape(tmp_path, written))
        assert found["sequence_breaks"] + found["duplicates"] > 0, (name, kind, at, streams[at])


@pytest.fixture
def clean():
    """A book and its changes."""
    return [diff("BTCUSDT", 10, 12, 9), body(11), *(diff("BTCUSDT", u, u, u - 1, ms=10 * u) for u in range(13, 20))]


def test_what_is_wrong_is_counted_where_it_is(tmp_path, clean):
    crossed = diff("BTCUSDT", 20, 20, 19, ms=200) | {"b": [["150.0", "1"]]}
    bad = diff("ETHUSDT", 5, 6, 4) | {"b": [["NaN", "1"]]}
    trades = [trade("BTCUSDT", number, number) for number in (1, 2, 4, 4, 5)]
    report = report_of(check([tape(tmp_path, [*clean, *trades, crossed, bad, "nonsense"])]))
    assert (1, 0) == (
        report["streams"]["BTCUSDT"]["book"]["crossed"],
        report["streams"]["BTCUSDT"]["book"]["sequence_breaks"],
    )
    assert (1, 1) == (
        report["streams"]["BTCUSDT"]["trades"]["sequence_breaks"],
        report["streams"]["BTCUSDT"]["trades"]["duplicates"],
    )
    assert 1 == report["streams"]["ETHUSDT"]["book"]["bad_messages"]
    wanted = {"sequence_breaks": 1, "duplicates": 1, "crossed": 1, "bad_messages": 2, "trade_id_gaps": 1}
    assert wanted == {name: report["totals"][name] for name in wanted}
    assert 1 == report["totals"]["books_without_snapshot"]


def test_an_invalid_interval_lasts_until_the_next_book(tmp_path):
    messages = [
        bybit_book("snapshot", 7),
        bybit_book("delta", 9) | {"cts": START // 10**6 + 100, "ts": START // 10**6 + 100},
        bybit_book("snapshot", 1) | {"cts": START // 10**6 + 600, "ts": START // 10**6 + 600},
    ]
    report = report_of(check([tape(tmp_path, messages)]))
    book = report["streams"]["BTCUSDT"]["book"]
    assert (1, 1, 0.5) == (book["sequence_breaks"], book["invalid"], book["invalid_s"])


@pytest.mark.parametrize(
    ("shift_ms", "words"),
    [
        (-1270, "receive clock 1,270 ms behind the exchange: times are corrected by that"),
        (40, "receive clock not behind the exchange: the fastest message took 40 ms"),
        (90_000, "receive clock 90.0 s ahead of the exchange, or messages are as late as that"),
    ],
)
def test_the_receive_clock_is_judged(tmp_path, shift_ms, words):
    messages = [
        Record(START + ms * 10**6 + shift_ms * 10**6, json.dumps(trade("BTCUSDT", number, ms)))
        for number, ms in enumerate((0, 10, 20), 1)
    ]
    (found,) = check([tape(tmp_path, messages)])
    assert (words, shift_ms, shift_ms) == (found.clock, found.all_lags.min_ms, found.all_lags.median_ms)


def test_a_median_is_that_of_the_middle_message():
    lags = Lags()
    assert (None, None) == (lags.min_ms, lags.median_ms)
    for ms in (5, 1, 900, 7, 6):
        lags.add(ms * 10**6)
    assert (1.0, 6) == (lags.min_ms, lags.median_ms)


def test_files_that_go_on_are_one_recording_and_others_are_not(tmp_path, clean):
    going_on = Record(START, event="continue", url="wss://fstream.binance.com/stream", market="binance_usdm")
    paths = [tape(tmp_path, clean[:4], "a"), tape(tmp_path, [going_on, *clean[4:]], "b"), tape(tmp_path, clean, "c")]
    assert [paths[:2], paths[2:]] == list(recordings(paths))
    report = report_of(check(paths))
    assert (2, 0) == (len(report["recordings"]), report["totals"]["sequence_breaks"])
    assert ["a", "b", "c"] == report["files"]
    assert report["totals"]["messages"] == sum(part["totals"]["messages"] for part in report["recordings"])
    assert report["streams"]["BTCUSDT"]["book"]["messages"] == 2 * len(clean)


def shown(paths):
    console = Console(file=io.StringIO(), width=160, highlight=False)
    show(check(paths), console)
    return console.file.getvalue()


def test_a_whole_recording_is_called_whole(tmp_path, clean):
    text = shown([tape(tmp_path, clean)])
    assert "whole: nothing is missing, repeated, crossed or unreadable" in text
    assert "BTCUSDT" in text


def test_what_was_found_is_said_in_words(tmp_path, clean):
    lost = Record(START, event="dropped", missing=3)
    text = shown([tape(tmp_path, [*clean[:5], lost, *clean[6:]])])
    assert "found: 1 sequence breaks, 1 intervals without a valid book, 3 messages the recorder dropped" in text


def test_a_recording_without_messages_is_not_called_whole(tmp_path):
    path = tmp_path / "x.jsonl.zst"
    path.touch()
    text = shown([path])
    assert (True, True, False) == ("not closed" in text, "empty: no message" in text, "whole: nothing" in text)


def test_a_recording_that_was_cut_says_so(tmp_path, clean):
    path = tape(tmp_path, clean)
    path.write_bytes(path.read_bytes()[:-20])
    assert "not whole: x.jsonl: the last line is cut short" in shown([path])
    assert "up to there: nothing is missing, repeated, crossed or unreadable" in shown([path])
    assert 1 == len(report_of(check([path]))["recordings"][0]["cut"])


def test_progress_reaches_the_size_of_all_files(tmp_path, clean):
    reached = []
    paths = [tape(tmp_path, clean, name) for name in "ab"]
    check(paths, reached.append)
    assert sum(path.stat().st_size for path in paths) == reached[-1]
    assert sorted(reached) == reached


def test_json_is_one_object_and_findings_are_no_failure(tmp_path, clean, capsys):
    del clean[5]
    assert 0 == main(["check", str(tape(tmp_path, clean)), "--json"])
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert ("", 1) == (err, report["totals"]["sequence_breaks"])
    assert {"messages", "events", "snapshots", "sequence_breaks", "crossed", "bad_messages"} <= set(report["totals"])
    assert ["BTCUSDT"] == list(report["streams"])


def test_a_table_is_printed_for_people(tmp_path, clean, capsys):
    assert 0 == main(["check", str(tape(tmp_path, clean))])
    assert "BTCUSDT  book" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "nowhere.jsonl.zst"], "expected a file at nowhere.jsonl.zst, saw none"),
        (["check", __file__], "saw another kind of file"),
        (["chek", "x"], "did you mean check?"),
        (["check", "x", "--jsn"], "did you mean --json?"),
        (["check"], "FILE"),
        ([], "expected a command"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(capsys, arguments, words):
    assert 2 == main(arguments)
    out, err = capsys.readouterr()
    assert ("", 1) == (out, err.count("\n"))
    assert words in err


def test_a_damaged_file_names_its_line(tmp_path, clean):
    path = tape(tmp_path, clean)
    data = path.read_bytes().splitlines(keepends=True)
    data[3] = b'{"recv_ns": 1, "msg": {]}\n'
    path.write_bytes(b"".join(data))
    with pytest.raises(DataError, match=r"x\.jsonl: line 4: expected"):
        check([path])
