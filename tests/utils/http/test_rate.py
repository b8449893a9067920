"""Token buckets: what passes at once and in the long run, and a table that does not grow."""

import math

import pytest

from utils.http.rate import Buckets, client_of


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_burst_passes_at_once_and_then_one_request_a_period(clock):
    buckets = Buckets(4.0, 3, clock)
    assert [buckets.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, pytest.approx(0.25)]
    clock.now += 0.25
    assert [buckets.take("a"), buckets.take("a")] == [0.0, pytest.approx(0.25)]


@pytest.mark.parametrize(("rate", "burst"), [(1.0, 1), (3.0, 5), (50.0, 100)])
def test_in_the_long_run_as_many_pass_as_the_rate_says(clock, rate, burst):
    buckets, passed = Buckets(rate, burst, clock), 0
    for _ in range(20_000):
        clock.now += 0.001
        passed += buckets.take("a") == 0.0
    assert passed == pytest.approx(burst + 20.0 * rate, abs=2.0)


def test_whoever_waits_as_long_as_told_passes(clock):
    buckets = Buckets(7.0, 2, clock)
    while not (wait := buckets.take("a")):
        pass
    clock.now += wait
    assert 0.0 == buckets.take("a")


def test_what_is_refused_costs_nothing(clock):
    buckets = Buckets(1.0, 1, clock)
    waits = [buckets.take("a") for _ in range(10)]
    assert waits == [0.0] + [pytest.approx(1.0)] * 9


def test_clients_have_buckets_of_their_own(clock):
    buckets = Buckets(1.0, 1, clock)
    assert [buckets.take("a"), buckets.take("b")] == [0.0, 0.0]


def test_a_rate_of_nothing_holds_nobody_up(clock):
    buckets = Buckets(0.0, 1, clock)
    assert {0.0} == {buckets.take("a") for _ in range(1_000)}
    assert 0 == len(buckets)


def test_many_clients_leave_a_bounded_table_that_knows_the_busy_ones(clock):
    buckets = Buckets(1.0, 1, clock, most=100)
    for number in range(10_000):
        clock.now += 0.02
        buckets.take(str(number))
        assert len(buckets) <= 100
    assert buckets.take("9999") > 0.0


def test_a_flood_of_clients_at_once_forgets_the_oldest(clock):
    buckets = Buckets(1.0, 1, clock, most=100)
    for number in range(1_000):
        buckets.take(str(number))
    assert len(buckets) <= 100
    assert (buckets.take("999") > 0.0, buckets.take("0")) == (True, 0.0)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9%eth0", "2001:db8:1:2::"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("::1", "::"),
        ("no:address", "no:address"),
    ],
)
def test_one_user_of_ipv6_is_one_client(address, client):
    assert client == client_of(address)


def test_a_wait_is_a_number_of_seconds(clock):
    buckets = Buckets(1e-6, 1, clock)
    buckets.take("a")
    assert math.isfinite(buckets.take("a"))
