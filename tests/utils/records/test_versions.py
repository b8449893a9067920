"""A version of a model is whole or not there, killed or full at any step; what was changed is never loaded."""

import json
import os
import random
import resource
import signal
import sys
import time
from functools import partial
from multiprocessing import get_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.errors import DataError, StorageError
from utils.records.versions import CURRENT, MANIFEST, MOST_PART, SERVED, Versions

PARTS = {"long.txt": b"tree\n" * 900, "short.json": b"{}", "empty": b""}
SECOND = 10**9


@pytest.fixture
def versions(tmp_path):
    return Versions(tmp_path / "model" / "artifacts")


def write(versions, number, parts=PARTS):
    return versions.write(parts, {"number": number}, number * SECOND)


def test_a_version_comes_back_as_it_was_written(versions):
    name = versions.write(PARTS, {"trained": {"from": 1, "net": float("nan")}}, 1_800_000_000 * SECOND)
    said, parts = versions.read(name)
    assert PARTS == parts
    assert {"trained": {"from": 1, "net": None}, "schema": 1, "written": "2027-01-15T08:00:00Z"}.items() <= said.items()
    assert {"bytes": 2} == {key: value for key, value in said["parts"]["short.json"].items() if key != "sha256"}
    assert name.startswith("20270115T080000Z-")
    assert {name} == {path.name for path in versions.folder.iterdir()}


def test_the_clock_names_a_version_where_nobody_else_does(versions):
    assert f"{time.strftime('%Y%m', time.gmtime())}" == versions.write(PARTS, {})[:6]


def test_the_same_version_in_the_same_second_is_one(versions):
    assert write(versions, 1) == write(versions, 1)
    assert 1 == len(versions.names())


def test_versions_are_named_in_the_order_in_which_they_were_written(versions):
    assert () == versions.names()
    assert tuple(write(versions, number) for number in (1, 2, 30)) == versions.names()


def test_one_version_is_current_once_it_was_made_so(versions):
    first, second = write(versions, 1), write(versions, 2)
    assert None is versions.current()
    for name in (first, second, second):
        versions.make_current(name)
        assert name == versions.current()
    assert (first, second) == versions.served()


def test_a_rollback_goes_to_what_served_before_and_again_to_what_served_before_that(versions):
    first, second, third = (write(versions, number) for number in (1, 2, 3))
    for name in (first, second, third):
        versions.make_current(name)
    assert [second, first] == [versions.rollback(), versions.rollback()]
    assert first == versions.current()
    with pytest.raises(DataError, match="expected a version that served before, saw none"):
        versions.rollback()
    versions.make_current(third)
    assert (first, third) == versions.served()
    assert first == versions.rollback()


def test_what_served_before_is_that_also_where_an_older_version_was_made_current_again(versions):
    first, second, third = (write(versions, number) for number in (1, 2, 3))
    for name in (first, second, third, first):
        versions.make_current(name)
    assert (first, second, third, first) == versions.served()
    assert [third, second, first] == [versions.rollback() for _ in range(3)]


def test_a_swap_that_was_recorded_and_not_done_is_none(versions):
    first, second, third = (write(versions, number) for number in (1, 2, 3))
    versions.make_current(first)
    before = (versions.folder / CURRENT).read_bytes()
    versions.make_current(second)
    (versions.folder / CURRENT).write_bytes(before)  # as a kill between the two leaves it
    assert (first,) == versions.served()
    versions.make_current(third)
    assert (first, third) == versions.served()
    assert first == versions.rollback()


def test_a_rollback_that_was_recorded_and_not_done_is_none(versions):
    first, second = write(versions, 1), write(versions, 2)
    for name in (first, second):
        versions.make_current(name)
    before = (versions.folder / CURRENT).read_bytes()
    versions.rollback()
    (versions.folder / CURRENT).write_bytes(before)
    assert (first, second) == versions.served()
    assert first == versions.rollback()


@pytest.mark.parametrize("text", [b"", b"\0" * 20, b"../../etc\n", b"x" * 300, b"20270115T080000Z-0123456789\n"])
def test_a_damaged_current_is_a_sentence_and_a_rollback_mends_it(versions, text):
    name = write(versions, 1)
    versions.make_current(name)
    (versions.folder / CURRENT).write_bytes(text)
    with pytest.raises(DataError, match=r"CURRENT: expected the name of a version, saw .* rollback names the one"):
        versions.current()
    assert name == versions.rollback()
    assert name == versions.current()


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to("long.txt"), os.mkfifo])
def test_a_current_that_is_no_file_is_a_sentence_and_is_left_alone(versions, make):
    name = write(versions, 1)
    make(versions.folder / CURRENT)
    for ask in (versions.current, partial(versions.make_current, name), versions.rollback):
        with pytest.raises(DataError, match="CURRENT: expected a file, saw a "):
            ask()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../artifacts", "/etc", "nothing", "20270115T080000Z-0123456789ab", "\0"]
)
def test_a_name_of_no_version_is_a_sentence_and_no_way_out_of_the_folder(versions, name):
    last = write(versions, 1)
    for ask in (versions.read, versions.make_current):
        with pytest.raises(DataError, match=rf"expected the name of a version \(the last ones: {last}\), saw "):
            ask(name)


def _spoil(place, how):
    said = json.loads((place / MANIFEST).read_text())
    if callable(how):
        how(place)
    else:
        (place / MANIFEST).write_text(json.dumps(said | how, indent=1) + "\n")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (lambda place: (place / "long.txt").unlink(), "saw no long.txt"),
        (lambda place: (place / MANIFEST).unlink(), "saw no manifest.json"),
        (
            lambda place: (place / "long.txt").write_bytes(b"tree\n" * 899),
            r"saw long.txt with other bytes, 4,495 of 4,5",
        ),
        (lambda place: (place / "long.txt").write_bytes(b"tree\n" * 899 + b"leaf\n"), "saw long.txt with other bytes"),
        (lambda place: (place / MANIFEST).write_bytes(b"\0" * 9), "saw a manifest.json that is none of ours"),
        (lambda place: (place / MANIFEST).write_bytes(b"[" * 99_999), "saw a manifest.json that is none of ours"),
        (lambda place: (place / MANIFEST).write_bytes(b"[]"), "saw a manifest of another form than 1"),
        (lambda place: (place / MANIFEST).write_bytes(b" " * 2_000_000), "saw manifest.json of 2,000,000 bytes"),
        ({"schema": 2}, "saw a manifest of another form than 1"),
        ({"number": 9}, "saw a manifest that was changed, or another name"),
        ({"written": 7}, "saw a manifest.json that is none of ours"),
        (lambda place: _linked(place / "long.txt"), "saw long.txt: "),
        (lambda place: _linked(place / MANIFEST), "saw manifest.json: "),
    ],
)
def test_a_version_that_is_not_as_it_was_written_is_never_loaded(versions, how, says):
    first, second = write(versions, 1), write(versions, 2)
    versions.make_current(first)
    _spoil(versions.folder / second, how)
    for ask in (versions.read, versions.make_current):
        with pytest.raises(DataError, match=f"{second}: expected a version as it was written, {says}"):
            ask(second)
    assert first == versions.current()


def _linked(path):
    path.rename(path.with_name("other"))
    path.symlink_to("other")


def test_a_folder_of_another_is_never_loaded(versions):
    name = write(versions, 1)
    (versions.folder / name).rename(versions.folder / "20270115T080000Z-0123456789ab")
    with pytest.raises(DataError, match="saw a manifest that was changed, or another name"):
        versions.read("20270115T080000Z-0123456789ab")
    (versions.folder / "20270116T080000Z-0123456789ab").symlink_to(versions.folder)
    with pytest.raises(DataError, match="expected the name of a version"):
        versions.read("20270116T080000Z-0123456789ab")


@given(data=st.binary(max_size=400))
def test_no_manifest_of_another_is_loaded_or_ends_in_anything_but_a_sentence(tmp_path_factory, data):
    versions = Versions(tmp_path_factory.mktemp("foreign"))
    (versions.folder / "20270115T080000Z-0123456789ab").mkdir()
    (versions.folder / "20270115T080000Z-0123456789ab" / MANIFEST).write_bytes(data)
    with pytest.raises(DataError, match="expected a version as it was written"):
        versions.read("20270115T080000Z-0123456789ab")


@pytest.mark.parametrize(
    ("parts", "manifest"),
    [
        ({}, {}),
        ({"../x": b""}, {}),
        ({"manifest.json": b""}, {}),
        ({f"p{n}": b"" for n in range(65)}, {}),
        ({"a": b""}, {"parts": 1}),
        ({"a": b""}, {"x": "y" * (1 << 20)}),
        ({"a": bytes(MOST_PART + 1)}, {}),
    ],
)
def test_what_could_not_be_read_back_is_not_written(versions, parts, manifest):
    with pytest.raises(DataError, match="expected "):
        versions.write(parts, manifest)
    assert not versions.folder.exists()


def test_a_file_in_the_place_of_the_folder_is_a_sentence(tmp_path):
    (tmp_path / "artifacts").touch()
    with pytest.raises(StorageError, match="artifacts: expected a folder that this user may write to, saw 'a file in"):
        write(Versions(tmp_path / "artifacts"), 1)


def swap(folder, number):
    versions = Versions(folder)
    versions.make_current(write(versions, number))


def whole(folder):
    """The number of the version that serves, read whole."""
    said, parts = Versions(folder).read(Versions(folder).current())
    assert PARTS == parts
    return said["number"]


def in_a_child(work, left):
    """Do `work` in a process that is killed before its move number `left`; whether it was."""
    if not (child := os.fork()):  # audit hooks see each move, and stay: hence a process of its own

        def deadly(what, _):
            nonlocal left
            if what in {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(deadly)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


@pytest.mark.slow
def test_killed_before_any_move_what_served_serves_or_the_new_one_does_and_nothing_is_left_behind(tmp_path):
    killed, seen = 0, []
    while True:
        folder = tmp_path / str(killed)
        swap(folder, 1)
        if not in_a_child(partial(swap, folder, 2), killed):
            break
        seen.append(whole(folder))
        swap(folder, 3)
        assert 3 == whole(folder)
        assert [] == [path.name for path in folder.iterdir() if path.name.startswith(".")]
        killed += 1
    assert {1, 2} == set(seen)
    assert sorted(seen) == seen
    assert killed > 15


@pytest.mark.slow
def test_killed_at_50_random_moments_what_serves_is_whole(tmp_path):
    dice, last = random.Random(1), 3
    began = time.monotonic()
    for number in (1, 2, 3):
        swap(tmp_path, number)
    each = (time.monotonic() - began) / 3
    for _ in range(50):
        if not (pid := os.fork()):
            for number in range(last + 1, last + 10_000):
                swap(tmp_path, number)
            os._exit(0)
        time.sleep(dice.random() * 3 * each)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        now = whole(tmp_path)
        assert now >= last
        last = now
        for name in Versions(tmp_path).names():
            Versions(tmp_path).read(name)
    swap(tmp_path, last + 1)
    assert last > 3
    assert [] == [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def _with_little_room(folder, limit):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        swap(folder, 2)
    except StorageError as error:
        os._exit(7 if "the disk is full" in str(error) else 8)


@pytest.mark.parametrize("limit", [0, 1, 20, 300, 800, 4_499, 4_500])
def test_a_full_disk_at_any_step_leaves_what_served(tmp_path, limit):
    swap(tmp_path, 1)
    job = get_context("fork").Process(target=_with_little_room, args=(tmp_path, limit))
    job.start()
    job.join()
    assert {4_500: (0, 2)}.get(limit, (7, 1)) == (job.exitcode, whole(tmp_path))
    assert [] == [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    swap(tmp_path, 3)
    assert 3 == whole(tmp_path)


def test_a_record_of_swaps_that_is_full_leaves_what_served(tmp_path):
    swap(tmp_path, 1)
    size = (tmp_path / SERVED).stat().st_size
    versions = Versions(tmp_path)
    name = versions.write({"a": b"1"}, {}, 2 * SECOND)

    def narrow():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 9, size + 9))
        try:
            versions.make_current(name)
        except StorageError:
            os._exit(7)

    job = get_context("fork").Process(target=narrow)
    job.start()
    job.join()
    assert (7, 1) == (job.exitcode, whole(tmp_path))


def test_two_that_swap_at_once_take_turns(tmp_path):
    def many(start):
        for number in range(start, start + 20):
            swap(tmp_path, number)

    jobs = [get_context("fork").Process(target=many, args=(start,)) for start in (1, 100)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [0, 0] == [job.exitcode for job in jobs]
    assert whole(tmp_path) in {20, 119}
    assert 40 == len(Versions(tmp_path).names())
