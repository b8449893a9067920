"""The mock market's dice: xoshiro256++ in the market's record, so that a seed means one market, compiled or not.

Source: Blackman, Vigna 2019.
"""

from __future__ import annotations

import math

import numpy as np

from ingest.mock.rows import TABLE, MarketRow
from utils.compiled import compiled

U10, U11, U17, U19, U23, U41, U45, U54 = (np.uint64(n) for n in (10, 11, 17, 19, 23, 41, 45, 54))
LOW_TEN_BITS = np.uint64(TABLE - 1)
UNIT = 2.0**-53


@compiled
def random_bits(m: MarketRow) -> np.uint64:
    """The next 64 bits of xoshiro256++."""
    s0, s1, s2, s3 = m.s0, m.s1, m.s2, m.s3
    total = s0 + s3
    s2 ^= s0
    s3 ^= s1
    m.s1 = s1 ^ s2
    m.s0 = s0 ^ s3
    m.s2 = s2 ^ (s1 << U17)
    m.s3 = (s3 << U45) | (s3 >> U19)
    return ((total << U23) | (total >> U41)) + s0


@compiled
def uniform(m: MarketRow) -> float:
    """A number in (0, 1]: its logarithm is finite."""
    return (np.int64(random_bits(m) >> U11) + 1) * UNIT


@compiled
def exponential(m: MarketRow) -> float:
    """A waiting time of mean 1."""
    return -math.log(uniform(m))


@compiled
def normal(m: MarketRow) -> float:
    """A standard normal number, by the polar method: only log and sqrt, equal in compiled and plain Python."""
    while True:
        x = 2.0 * uniform(m) - 1.0
        y = 2.0 * uniform(m) - 1.0
        r = x * x + y * y
        if 0.0 < r < 1.0:
            return x * math.sqrt(-2.0 * math.log(r) / r)


@compiled
def coin(m: MarketRow) -> int:
    """+1 or -1."""
    return 1 if uniform(m) <= 0.5 else -1


def spread_seed(m: MarketRow, seed: int) -> None:
    """Four well-mixed words from one number: splitmix64, as the authors of xoshiro advise."""
    state, full = seed, 2**64 - 1
    for name in ("s0", "s1", "s2", "s3"):
        state = (state + 0x9E3779B97F4A7C15) & full
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & full
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & full
        setattr(m, name, np.uint64(z ^ (z >> 31)))
