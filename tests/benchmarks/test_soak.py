"""The soak benchmark in short; its full minute is for hand and nightly runs."""

import dataclasses
import json

import pytest

from benchmarks import soak

pytestmark = pytest.mark.slow


async def test_two_thousand_messages_a_second_over_twenty_symbols_lose_nothing():
    held = await soak.hold(seconds=5.0, rate=2000.0, symbols=20)
    assert [] == held.broken
    assert 2000.0 == pytest.approx(held.rate, rel=0.1)


@pytest.mark.long
def test_the_full_minute_holds(capsys):
    assert 0 == soak.main(["--json"])
    assert [] == json.loads(capsys.readouterr().out)["broken"]


def test_a_run_that_lost_something_says_so():
    names = [field.name for field in dataclasses.fields(soak.Held)]
    held = soak.Held(**dict.fromkeys(names, 0) | {"sent": 10, "received": 9, "dropped": 1, "growth_mib": 30.0})
    assert ["0 drops", "memory grows less than 2 MiB", "every message sent is received"] == held.broken


def test_an_unknown_flag_is_one_sentence(capsys):
    assert 2 == soak.main(["--secnds", "1"])
    assert "did you mean --seconds?" in capsys.readouterr().err
