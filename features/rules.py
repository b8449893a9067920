"""When a bar feature has no value after warm-up, each rule in NumPy: a second opinion the checks hold steps against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.bars import MINUTES_PER_DAY
from features.fold import Rule
from utils.rows import NS_PER_MINUTE, Rows

Mask = NDArray[np.bool_]


def run_length(mask: Mask) -> NDArray[np.int64]:
    """How many True in a row end at each place."""
    count = np.arange(1, len(mask) + 1)
    last_false = np.maximum.accumulate(np.where(mask, 0, count))
    return np.where(mask, count - last_false, 0)


def _unmoved(bars: Rows) -> Mask:
    moved = np.ones(len(bars), np.bool_)
    moved[1:] = bars["close"][1:] != bars["close"][:-1]
    return np.logical_not(moved)


def _rangeless(bars: Rows) -> Mask:
    mask: Mask = _unmoved(bars) & (bars["high"] == bars["low"])
    return mask


def still(n: int) -> Rule:
    """The last n log returns are 0."""
    return Rule(f"close unmoved in {n} bars", lambda bars: run_length(_unmoved(bars)) >= n)


def still_before(n: int) -> Rule:
    """The last n log returns are 0, or the n before the newest are."""

    def allowed(bars: Rows) -> Mask:
        run = run_length(_unmoved(bars)) >= n
        return run | np.concatenate(([False], run[:-1]))

    return Rule(f"close unmoved in {n} bars, now or one bar ago", allowed)


def frozen(n: int) -> Rule:
    """The last n true ranges are 0."""
    return Rule(f"true range 0 in {n} bars", lambda bars: run_length(_rangeless(bars)) >= n)


def level(n: int) -> Rule:
    """Highest high and lowest low of the last n bars are equal."""

    def allowed(bars: Rows) -> Mask:
        dot = bars["high"] == bars["low"]
        before = np.concatenate((np.zeros(min(n - 1, len(bars)), np.bool_), dot))[: len(bars)]
        mask: Mask = (run_length(_rangeless(bars)) >= n - 1) & before
        return mask

    return Rule(f"no range in {n} bars", allowed)


NO_RANGE = Rule("high equals low", lambda bars: bars["high"] == bars["low"])


def idle(n: int) -> Rule:
    """The last n bars have no volume."""
    return Rule(f"no volume in {n} bars", lambda bars: run_length(bars["volume"] == 0.0) >= n)


def silent(n: int) -> Rule:
    """None of the last n bars has volume of which the takers' part is known."""

    def allowed(bars: Rows) -> Mask:
        return run_length((bars["volume"] == 0.0) | np.isnan(bars["taker_buy"])) >= n

    return Rule(f"no taker flow in {n} bars", allowed)


def few_volumes(n: int) -> Rule:
    """This bar has no volume, fewer than n bars had so far, or the last n that had are equal."""

    def allowed(bars: Rows) -> Mask:
        traded = bars["volume"] > 0.0
        volumes = bars["volume"][traded]
        same = np.zeros(len(volumes), np.bool_)
        same[1:] = volumes[1:] == volumes[:-1]
        undefined = (np.arange(len(volumes)) < n - 1) | (run_length(same) >= n - 1)
        mask = np.ones(len(bars), np.bool_)
        mask[traded] = undefined
        return mask

    return Rule(f"no volume, fewer than {n} volumes, or {n} equal ones", allowed)


def unseen(n: int, minutes: int, pace: bool = False) -> Rule:
    """This time of day was seen in fewer than n returns, or the price never moved (`pace`: never at this time)."""

    def allowed(bars: Rows) -> Mask:
        bucket = bars["ts"] // NS_PER_MINUTE % MINUTES_PER_DAY // minutes
        moved = ~_unmoved(bars)
        moved[:1] = False
        mask: Mask = np.cumsum(moved) == 0
        mask[:1] = True
        for each in np.unique(bucket):
            here = np.flatnonzero(bucket == each)
            returns = here[here > 0]
            mask[returns] |= np.arange(1, len(returns) + 1) < n
            if pace:
                mask[returns] |= np.cumsum(moved[returns]) == 0
        return mask

    return Rule(f"time of day seen less than {n} times, or without a move", allowed)
