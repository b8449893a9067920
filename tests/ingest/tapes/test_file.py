"""Tape files: every byte of a message comes back, and a file cut anywhere gives what is whole."""

import json
import random
import re
import resource
import subprocess
import sys
import threading
import time
import tracemalloc
from functools import partial

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ingest.tapes.file import CHUNK, Record, TapeReader, TapeWriter, file_name
from ingest.wire.streams import Stream
from tests.places import ROOT
from utils.errors import DataError, StorageError

START = 1_769_233_902_000_000_000  # 2026-01-24T05:51:42Z
NAME = partial(file_name, "bybit_linear", ["BTCUSDT"])


def written(folder, records):
    """The files of these records."""
    writer = TapeWriter(folder, NAME, queue_bytes=1 << 30)
    for record in records:
        assert writer.put(record)
    writer.close()
    return writer.paths


def messages(count, size=40):
    """Stream messages a millisecond apart that do not compress well."""
    dice = random.Random(7)
    for i in range(count):
        yield Record(START + i * 1_000_000, json.dumps({"topic": "t", "n": i, "x": dice.randbytes(size).hex()}))


def unpacked(path):
    return zstandard.ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True).read()


def packed(path, text):
    packer = zstandard.ZstdCompressor().compressobj()
    path.write_bytes(packer.compress(text) + packer.flush())
    return path


WIRE = [
    '{"topic":"publicTrade.BTCUSDT","data":[{"p":"1.10","v":"1e-3"}]}',
    '{ "spaced" : [1, 2.50,\t-0] }',
    '{"a":1,"a":2,"snow":"\\u2603 ☃"}',
    '"pong"',
    "17",
    "pong",
    "",
    '{"cut": [1, 2',
    '{"two": 1,\n "lines": 2}\r\n',
    ' {"outer": "blanks"} ',
    '{"bad": NaN}',
    '{"alone": "\\ud800"}',
    "[" * 100_000,
    b'{"not": "utf-8 \xff"}',
    b'{"bytes": 1}',
]


@pytest.mark.parametrize("message", WIRE, ids=range(len(WIRE)))
def test_a_message_comes_back_byte_for_byte(tmp_path, message):
    (path,) = written(tmp_path, [Record(START, message)])
    (line,) = TapeReader(path)
    assert message if isinstance(message, bytes) else message.encode() == line.wire
    assert (START, "") == (line.recv_ns, line.event)


@given(st.one_of(st.text(), st.binary()))
def test_any_message_comes_back_byte_for_byte_in_one_line_of_json(message):
    line = Record(START, message).line()
    assert (1, b"\n") == (line.count(b"\n"), line[-1:])
    read = json.loads(line)
    assert START == read["recv_ns"]
    if "text" in read:
        assert message in {read["text"], read["text"].encode()}


def test_json_stands_in_its_line_as_it_was_sent(tmp_path):
    text = '{"u":1,  "b":[["64999.90","1.204"]], "n":1.50}'
    (path,) = written(tmp_path, [Record(START, text)])
    assert b'{"recv_ns":%d,"msg":%s}\n' % (START, text.encode()) == unpacked(path)


def test_events_keep_what_they_say(tmp_path):
    asked = (Stream("book", "BTCUSDT"), Stream("bars", "BTCUSDT", tf="1m"))
    records = [
        Record(START, event="connect", url="wss://x/v5", market="bybit_linear", streams=asked),
        Record(START + 1, '{"op":"subscribe"}', event="send", url="wss://x/v5"),
        Record(START + 2, '{"lastUpdateId":1}', event="http", url="https://x/depth?symbol=BTCUSDT"),
        Record(START + 3, event="disconnect", url="wss://x/v5", reason='he said "bye"\n'),
    ]
    (path,) = written(tmp_path, records)
    lines = list(TapeReader(path))
    assert ["connect", "send", "http", "disconnect"] == [line.event for line in lines]
    assert (asked, "bybit_linear") == (lines[0].asked, lines[0].market)
    assert (b'{"op":"subscribe"}', "wss://x/v5") == (lines[1].wire, lines[1].url)
    assert 'he said "bye"\n' == lines[3].reason
    assert {
        "recv_ns": START + 3,
        "event": "disconnect",
        "url": "wss://x/v5",
        "reason": 'he said "bye"\n',
    } == json.loads(unpacked(path).splitlines()[3])


def test_a_file_is_named_by_market_symbols_and_start(tmp_path):
    (path,) = written(tmp_path, messages(1))
    assert "bybit_linear_BTCUSDT_20260124T055142Z.jsonl.zst" == path.name
    assert "m_A-B_20260124T055142Z.jsonl.zst" == file_name("m", ["A", "B"], START)
    assert "m_7symbols_20260124T055142Z.jsonl.zst" == file_name("m", list("ABCDEFG"), START)


def test_a_file_that_exists_is_never_written_to(tmp_path):
    (first,) = written(tmp_path, messages(1))
    before = first.read_bytes()
    (second,) = written(tmp_path, messages(2))
    assert "bybit_linear_BTCUSDT_20260124T055142Z_2.jsonl.zst" == second.name
    assert before == first.read_bytes()


def test_a_turned_file_is_closed_and_the_next_begins_with_what_was_given(tmp_path):
    asked = (Stream("book", "BTCUSDT"),)
    going_on = Record(START + 10**9, event="continue", url="wss://a", market="m", streams=asked, stale_s=10.0)
    writer = TapeWriter(tmp_path, NAME)
    for record in messages(2500):
        if record.recv_ns == going_on.recv_ns:
            writer.turn([going_on])
        writer.put(record)
    writer.close()
    first, second = ([*TapeReader(path)] for path in writer.paths)
    assert (1000, 1501) == (len(first), len(second))
    assert ("continue", "wss://a", asked, 10.0) == (
        second[0].event,
        second[0].url,
        second[0].asked,
        second[0].stale_s,
    )
    assert list(range(2500)) == [json.loads(line.wire)["n"] for line in first + second if not line.event]
    assert sum(path.stat().st_size for path in writer.paths) == writer.size


@pytest.mark.parametrize("part", [0.999, 0.7, 0.31, 0.0])
def test_a_file_cut_anywhere_gives_what_is_whole_and_says_what_is_not(tmp_path, part):
    (path,) = written(tmp_path, messages(3000))
    lines = [line.wire for line in TapeReader(path)]
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    reader = TapeReader(path)
    read = [line.wire for line in reader]
    assert lines[: len(read)] == read
    assert part < 0.5 or len(read) > 0.3 * part * len(lines)
    assert reader.cut


def test_a_whole_file_says_nothing_is_missing(tmp_path):
    (path,) = written(tmp_path, messages(3000))
    reader = TapeReader(path)
    assert (3000, "", path.stat().st_size) == (len(list(reader)), reader.cut, reader.position)


@pytest.mark.parametrize("depth", [100, 499, 600, 900, 980, 5000])
def test_a_deep_message_is_read_from_deep_in_a_program(tmp_path, depth):
    message = b'{"topic":' + b"[" * depth + b"]" * depth + b"}"
    [path] = written(tmp_path, [Record(START, message)])

    def lines(calls):
        return lines(calls - 1) if calls else list(TapeReader(path))

    assert [message] == [line.wire for line in lines(300)]


def test_a_last_line_without_its_end_is_cut_and_not_an_error(tmp_path):
    reader = TapeReader(packed(tmp_path / "x.jsonl.zst", b'{"recv_ns":1,"msg":{}}\n{"recv_ns":2,"ms'))
    assert [1] == [line.recv_ns for line in reader]
    assert "the last line is cut short after 16 bytes: its message is lost" == reader.cut


@pytest.mark.parametrize(
    ("text", "row"),
    [
        (b'{"recv_ns":1,"msg":{}}\nnonsense\n{"recv_ns":2,"msg":{}}\n', 2),
        (b'{"recv_ns":1,"msg":{}}\n{"recv_ns":2}\n', 2),
        (b'{"msg":{}}\n', 1),
        (b'{"recv_ns":"soon","msg":{}}\n', 1),
        (b'{"recv_ns":-1,"msg":{}}\n', 1),
        (b'{"recv_ns":1,"base64":"*"}\n', 1),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, row):
    with pytest.raises(DataError, match=rf"^x\.jsonl\.zst: line {row}: expected"):
        list(TapeReader(packed(tmp_path / "x.jsonl.zst", text)))


def test_damage_in_the_middle_names_a_line_and_gives_what_came_before(tmp_path):
    (path,) = written(tmp_path, messages(20_000))
    data = bytearray(path.read_bytes())
    assert len(data) > 4 * CHUNK
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    path.write_bytes(data)
    read = []
    with pytest.raises(DataError, match=r"line \d+: expected"):
        read.extend(TapeReader(path))
    assert list(range(len(read))) == [json.loads(line.wire)["n"] for line in read]


def test_one_flipped_bit_is_noticed(tmp_path):
    (path,) = written(tmp_path, messages(2000))
    data = path.read_bytes()
    dice = random.Random(3)
    for _ in range(20):
        flipped = bytearray(data)
        flipped[dice.randrange(200, len(data))] ^= 1 << dice.randrange(8)
        path.write_bytes(flipped)
        reader = TapeReader(path)
        try:
            noticed = len(list(reader)) < 2000 or bool(reader.cut)
        except DataError:
            noticed = True
        assert noticed


def test_plain_json_lines_are_a_tape_too(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"recv_ns":1,"msg":{"a":1}}\n\n{"recv_ns":2,"msg":7}')
    assert [b'{"a":1}', b"7"] == [line.wire for line in TapeReader(path)]


@pytest.mark.parametrize("content", [b"timestamp,open\n1,2\n", b"PAR1....", b"\x1f\x8b\x08\x00"])
def test_another_kind_of_file_is_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match="expected a zstd-compressed tape, saw another kind of file"):
        list(TapeReader(tmp_path / "x"))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"^tape: expected a file at .*, saw none"):
        TapeReader(tmp_path / "x")


def test_memory_stays_flat_while_a_tape_is_read(tmp_path):
    (path,) = written(tmp_path, messages(60_000, size=500))
    question = (
        "import resource, sys; from ingest.tapes.file import TapeReader; r = iter(TapeReader(sys.argv[1]))\n"
        "next(r); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; n = sum(1 for _ in r)\n"
        "print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    ran = subprocess.run([sys.executable, "-c", question, path], cwd=ROOT, capture_output=True, text=True, check=True)
    count, grown_kib = map(int, ran.stdout.split())
    assert 59_999 == count
    assert path.stat().st_size > 20 << 20
    assert grown_kib < 10 << 10


def test_what_finds_the_queue_full_is_dropped_counted_and_said_in_the_tape(tmp_path):
    writer = TapeWriter(tmp_path, NAME, queue_bytes=3000)
    took = [writer.put(Record(START + i, '"' + "x" * 98 + '"')) for i in range(15)]
    time.sleep(0.4)
    writer.put(Record(START + 15, '"there is room again"'))
    writer.close()
    lines = [(line.event, line.missing) for line in TapeReader(writer.paths[0])]
    assert 10 * [True] + 5 * [False] == took
    assert 10 * [("", 0)] + [("dropped", 5), ("", 0)] == lines
    assert 5 == writer.dropped


def test_an_event_is_never_dropped(tmp_path):
    writer = TapeWriter(tmp_path, NAME, queue_bytes=10)
    assert not writer.put(Record(START, '"x"'))
    assert writer.put(Record(START, event="connect", url="wss://x"))
    writer.close()
    assert ["dropped", "connect"] == [line.event for line in TapeReader(writer.paths[0])]


def test_what_was_dropped_last_is_said_too(tmp_path):
    writer = TapeWriter(tmp_path, NAME, queue_bytes=600)
    for i in range(3):
        writer.put(Record(START + i, '"' + "x" * 98 + '"'))
    writer.close()
    assert [("", 0), ("", 0), ("dropped", 1)] == [(line.event, line.missing) for line in TapeReader(writer.paths[0])]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    writer = TapeWriter(tmp_path / "file" / "tapes", NAME)
    writer.put(Record(START, "1"))
    with pytest.raises(StorageError, match=r"^tape: expected to be able to write .*, saw '.*'; what was recorded"):
        writer.close()
    assert not writer.put(Record(START, "2"))


def test_a_full_disk_is_one_sentence_and_what_was_flushed_can_be_read(tmp_path):
    question = (
        "import sys, time; from tests.ingest.tapes.test_file import *\n"
        "writer = TapeWriter(sys.argv[1], NAME)\n"
        "try:\n"
        "    for record in messages(40_000):\n"
        "        writer.put(record); writer.check(); record.recv_ns % 10**9 or time.sleep(0.15)\n"
        "    writer.close()\n"
        "except StorageError as error: print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", question, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000)),
    )
    assert "saw 'File too large'" in ran.stdout
    reader = TapeReader(next(tmp_path.iterdir()))
    read = [json.loads(line.wire)["n"] for line in reader]
    assert list(range(len(read))) == read
    assert 1000 < len(read) < 40_000
    assert reader.cut


def test_a_writer_that_is_killed_loses_less_than_a_second(tmp_path):
    question = (
        "import sys, time; from tests.ingest.tapes.test_file import *\n"
        "writer = TapeWriter(sys.argv[1], NAME)\n"
        "while True:\n"
        "    now = time.time_ns(); writer.put(Record(now, f'\"{now}\"')); print(now, flush=True); time.sleep(0.001)\n"
    )
    command = [sys.executable, "-c", question, tmp_path]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        written = [int(process.stdout.readline())]
        while written[-1] - written[0] < 2_500_000_000:
            written.append(int(process.stdout.readline()))
        process.kill()
        rest, _ = process.communicate()
    written += [int(text) for text in rest.splitlines(keepends=True) if text.endswith("\n")]
    reader = TapeReader(next(tmp_path.iterdir()))
    read = [line.recv_ns for line in reader]
    assert written[: len(read)] == read
    assert 0 < written[-1] - read[-1] < 1_000_000_000
    assert reader.cut


def test_a_writer_that_is_closed_leaves_no_thread(tmp_path):
    written(tmp_path, messages(10))
    assert "tape" not in {thread.name for thread in threading.enumerate()}


# what unpacks to more than it is


def bomb(path, mark, mebibytes=300):
    """A tape of some kilobytes that unpacks to so much of one byte."""
    with path.open("wb") as file:
        packer = zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False)
        for _ in range(mebibytes):
            packer.write(mark * (1 << 20))
        packer.flush(zstandard.FLUSH_FRAME)
    return path


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        (b" ", "line 1: expected a line, saw more than 64 MiB without an end"),
        (b"x", "line 1: expected a line, saw more than 64 MiB without an end"),
        (b"\n", "line 1001: expected a line with a message, saw 1,001 empty ones in a row"),
        (b" \n\r\n", "expected a line with a message, saw 1,001 empty ones in a row"),
        (b"[", "line 1: expected a line, saw more than 64 MiB without an end"),
    ],
)
def test_a_tape_that_unpacks_to_nothing_but_bulk_is_refused_in_bounded_memory(tmp_path, mark, said):
    path = bomb(tmp_path / "bomb.jsonl.zst", mark, 100)
    tracemalloc.start()
    with pytest.raises(DataError, match=re.escape(said)):
        list(TapeReader(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 << 20


def test_a_tape_that_asks_for_a_window_of_a_gibibyte_is_refused(tmp_path):
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=False)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path = tmp_path / "wide.jsonl.zst"
    path.write_bytes(packer.compress(b'{"recv_ns":1,"msg":1}\n') + packer.flush())
    with pytest.raises(DataError, match="expected a whole recording, saw a damaged one"):
        list(TapeReader(path))


def test_some_empty_lines_are_no_harm(tmp_path):
    line = b'{"recv_ns":1,"msg":1}\n'
    path = packed(tmp_path / "x.jsonl.zst", line + b"\n \n" * 400 + line + b"\n" * 900 + line)
    assert 3 == len(list(TapeReader(path)))


@pytest.mark.parametrize("value", ["1e308", "-1", "3601", "1e999", '"x"'])
def test_a_staleness_that_cannot_be_is_refused(tmp_path, value):
    path = packed(tmp_path / "x.jsonl.zst", b'{"recv_ns":1,"event":"connect","stale_s":%s}\n{}\n' % value.encode())
    with pytest.raises(DataError, match="line 1: expected a JSON line with recv_ns and msg"):
        list(TapeReader(path))
