"""Candles whose truth is known: a random walk, with volatility that comes and goes or a signal that knows something."""

import numpy as np
import pandas as pd


def walk(n, *, sigma_bps=15.0, seed=1, moody=False, minutes=5, push_bps=None, steps=12):
    """A frame of `n` candles of a driftless walk on a grid of 0.1; volume everywhere.

    Args:
        n: bars.
        sigma_bps: volatility of a bar.
        seed: of the dice.
        moody: volatility is the exponential of a slow Ornstein-Uhlenbeck process.
        minutes: bar length.
        push_bps: drift of each bar, n numbers.
        steps: of the price within a bar. A step that jumps over a stop is filled at the stop, which flatters tight
            stops by half a step; many small steps hardly do.
    """
    dice = np.random.default_rng(seed)
    sigma = np.full(n, sigma_bps)
    if moody:
        mood = np.zeros(n)
        shocks = dice.normal(0.0, 0.08, n)
        for i in range(1, n):
            mood[i] = 0.99 * mood[i - 1] + shocks[i]
        sigma = sigma_bps * np.exp(mood)
    moves = dice.normal(0.0, 1.0, (n, steps)) * (sigma / np.sqrt(steps))[:, None]
    if push_bps is not None:
        moves += (np.asarray(push_bps) / steps)[:, None]
    path = 50_000.0 * np.exp(1e-4 * np.cumsum(moves.ravel())).reshape(n, steps)
    opens = np.concatenate([[50_000.0], path[:-1, -1]])
    whole = np.round(np.column_stack([opens, path]), 1)
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("2025-01-06", periods=n, freq=f"{minutes}min", unit="ms"),
            "open": whole[:, 0],
            "high": whole.max(axis=1),
            "low": whole.min(axis=1),
            "close": whole[:, -1],
            "volume": 100.0,
        }
    )


def known_ahead(n, seed, *, bars=10, push_bps=6.0, every=25):
    """A signal and the drift that follows each of its entries for `bars` bars."""
    dice = np.random.default_rng(seed)
    sides, push = np.zeros(n), np.zeros(n)
    for t in range(0, n - bars - 1, every):
        sides[t] = 1.0 if dice.random() < 0.5 else -1.0
        push[t + 1 : t + 1 + bars] += sides[t] * push_bps
    return sides, push
