import numpy as np
import pytest

from utils.market.settlements import nominal
from utils.rows import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_MS, NS_PER_S

DUE = 480_000 * NS_PER_HOUR


@pytest.mark.parametrize("off", [0, 1, -1, 17 * NS_PER_MS, -17 * NS_PER_MS, 2 * NS_PER_S, -2 * NS_PER_S])
def test_a_stamp_within_two_seconds_of_a_minute_is_that_minute(off):
    assert [DUE, DUE + NS_PER_MINUTE] == nominal(np.array([DUE, DUE + NS_PER_MINUTE]) + off).tolist()


@pytest.mark.parametrize("off", [2 * NS_PER_S + 1, -2 * NS_PER_S - 1, 30 * NS_PER_S])
def test_another_time_is_what_it_says(off):
    assert [DUE + off] == nominal(np.array([DUE + off])).tolist()
