"""The benchmark of a user's strategy live: what it times answers alike, and it says what is wrong with a flag."""

from benchmarks.live_strategy import NAMES, main, measured


def test_every_way_is_timed_after_its_answers_were_compared():
    found = measured((600, 700), count=6, rounds=1)
    assert {600: {*NAMES, "best"}, 700: {*NAMES, "best"}} == {
        history: set(seconds) for history, seconds in found.items()
    }
    assert all(value > 0.0 for seconds in found.values() for values in seconds.values() for value in values)


def test_a_wrong_flag_is_one_sentence(capsys):
    assert 2 == main(["--bars", "2"])
    assert "error: --bars: expected at least 5, saw 2" == capsys.readouterr().err.strip()
