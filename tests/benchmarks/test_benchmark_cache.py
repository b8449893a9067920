"""The cache benchmark in short: what it counts, not how long it takes."""

import pytest

from benchmarks import cache
from tests.ingest.rest.support import rest_box


@pytest.fixture(scope="module")
def box():
    with rest_box() as found:
        yield found


def test_a_poll_every_three_seconds_asks_once_in_six(box):
    seen = cache.poll(box, 0.01, 12)
    assert (12, 2) == (seen.asked_each_time_requests, seen.cached_requests)


def test_fifty_callers_cause_one_request(box):
    box.clear_faults()
    assert 1 == cache.crowd(box)[0]


def test_what_is_saved_is_the_share_of_the_waiting():
    assert 0.75 == cache.Polled(50.0, 4, 2.0, 4, 0.5, 1, 300.0).saved


def test_too_few_polls_are_the_users_mistake(capsys):
    assert 2 == cache.main(["--polls", "2"])
    assert "error: --polls: expected at least 6, one life of the cache, saw 2" in capsys.readouterr().err
