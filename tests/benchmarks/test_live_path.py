"""The live path's benchmark: what it times gives the same vectors and books, whatever the messages come from."""

import asyncio

import pytest

from benchmarks.live_path import Hearing, Nouns, Part, main, measured
from benchmarks.wire import SYMBOLS, made
from utils.types import BookDelta


def test_every_path_gives_the_same_vectors_and_books_by_symbol_and_together():
    found = asyncio.run(measured(made(30), rounds=1))  # it stops where they differ
    assert {**dict.fromkeys(SYMBOLS, 29), "together": 116} == {name: row["deltas"] for name, row in found.items()}
    assert all(row["ratio"] > 0.0 for row in found.values())


@pytest.mark.parametrize("path", [Hearing, Nouns])
def test_a_vector_of_the_benchmark_has_the_features_of_its_book(path):
    part = Part({"BTCUSDT": made(30)["BTCUSDT"]})
    one = path(part)
    hear = one.start()
    for message in part.deltas:
        hear(message)
    assert one.vector("BTCUSDT")["spread_bps"][0] > 0.0
    assert [50, 50] == [len(side) for side in one.books()["BTCUSDT"]]


def test_no_delta_of_the_benchmark_becomes_a_noun_on_our_path():
    part = Part(made(30))
    one = Hearing(part)
    hear = one.start()
    for message in part.deltas:
        hear(message)
    waiting = [one.feed._backlog.take() for _ in range(one.feed.stats().queued)]
    assert (4, False) == (len(waiting), any(isinstance(event, BookDelta) for event in waiting))


def test_a_wrong_flag_is_one_sentence(capsys):
    assert 2 == main(["--rounds", "0"])
    assert "error: --rounds: expected at least 1, saw 0" == capsys.readouterr().err.strip()
