"""How long to wait before another attempt."""

from utils.shell.backoff import Backoff


def test_waits_stay_below_a_bound_that_doubles_up_to_the_longest():
    backoff = Backoff(1.0, 10.0)
    waits = [backoff.wait_s() for _ in range(200)]
    assert [True] * 4 == [0.0 <= wait <= bound for wait, bound in zip(waits, (1.0, 2.0, 4.0, 8.0), strict=False)]
    assert 8.0 < max(waits) <= 10.0


def test_waits_are_drawn_from_the_whole_range_so_that_clients_do_not_march_in_step():
    waits = [Backoff(1.0, 10.0).wait_s() for _ in range(1000)]
    assert (True, True) == (min(waits) < 0.1, max(waits) > 0.9)


def test_a_backoff_that_was_reset_begins_with_its_first_wait():
    backoff = Backoff(1.0, 1e6)
    for _ in range(30):
        backoff.wait_s()
    backoff.reset()
    assert backoff.wait_s() <= 1.0
