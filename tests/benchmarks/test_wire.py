"""The live book's benchmark: its paths end with the same book, whatever the messages come from."""

import asyncio

from benchmarks.wire import Floor, Ours, made, main, measured


def test_our_path_ccxts_and_the_floor_end_with_the_same_book():
    messages = {symbol: sequence[:30] for symbol, sequence in made(30).items()}
    found = asyncio.run(measured(messages, rounds=1))  # it stops where they differ
    assert [(29, True)] * 4 == [(row["messages"], row["ratio"] > 0.0) for row in found.values()]


def test_a_book_of_the_benchmark_has_50_levels_a_side_at_its_end():
    sequence = made(30)["BTCUSDT"]
    for path in (Ours("BTCUSDT"), Floor()):
        path.run(sequence)
        assert [50, 50] == [len(side) for side in path.book()]


def test_a_wrong_flag_is_one_sentence(capsys):
    assert 2 == main(["--rounds", "0"])
    assert "error: --rounds: expected at least 1, saw 0" == capsys.readouterr().err.strip()
