import numpy as np

from ingest.mock.dice import random_bits, spread_seed
from ingest.mock.rows import MARKET


def test_the_dice_are_xoshiro256_plus_plus_seeded_by_splitmix64():
    full = 2**64 - 1
    words, state = [], 5
    for _ in range(4):
        state = (state + 0x9E3779B97F4A7C15) & full
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & full
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & full
        words.append(z ^ (z >> 31))

    def rotate(x, k):
        return ((x << k) | (x >> (64 - k))) & full

    m = np.zeros(1, MARKET)[0]
    spread_seed(m, 5)
    with np.errstate(over="ignore"):
        for _ in range(100):
            expected = (rotate((words[0] + words[3]) & full, 23) + words[0]) & full
            t = (words[1] << 17) & full
            words[2] ^= words[0]
            words[3] ^= words[1]
            words[1] ^= words[2]
            words[0] ^= words[3]
            words[2] ^= t
            words[3] = rotate(words[3], 45)
            assert expected == int(random_bits(m))
