"""When a feature has no value after warm-up, each rule in NumPy: a second opinion the checks hold steps against."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from features.fold import Rule
from features.folds.windows import BUCKETS
from features.rows.bars import MINUTES_PER_DAY
from features.rows.tape import PRINT, QUOTE, QUOTES
from utils.rows import NS_PER_DAY, NS_PER_MINUTE, NS_PER_S, Rows

Mask = NDArray[np.bool_]
#: Buckets by which sums of thousands of floats may differ.
BUCKET_SLACK = 1e-6


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


# --- events: rows of one symbol's book or tape


def _clock(rows: Rows) -> NDArray[np.int64]:
    """Time as the folds see it: never before that of an earlier row, ns."""
    return np.maximum.accumulate(rows["ts"])


def _reset(rows: Rows) -> Mask:
    reset = rows["fresh"] != 0
    reset[:1] = True
    if "bid" in (rows.dtype.names or ()):
        reset |= (rows["kind"] == QUOTE) & np.isnan(rows["bid"] + rows["ask"])
    mask: Mask = reset
    return mask


def _last_reset(rows: Rows) -> NDArray[np.int64]:
    return np.maximum.accumulate(np.where(_reset(rows), np.arange(len(rows)), 0))


def _one_sided(rows: Rows) -> Mask:
    mask: Mask = np.isnan(rows["prices"][:, :, 0]).any(axis=1)
    return mask


def _since(rows: Rows, broken: Mask) -> NDArray[np.int64]:
    """Time since the last broken row, ns."""
    clock = _clock(rows)
    last = np.maximum.accumulate(np.where(broken, np.arange(len(rows)), 0))
    return clock - clock[last]


ONE_SIDED = Rule("a side is empty", _one_sided)
NOTHING_NEAR = Rule("a side is empty, or nothing is near the mid", lambda rows: rows["near"].sum(axis=1) == 0.0)


def whole_for(seconds: float) -> Rule:
    """A side is empty, or it is less than so long since one was, or since a reset."""

    def allowed(rows: Rows) -> Mask:
        empty = _one_sided(rows)
        broken = _reset(rows) | empty
        broken[1:] |= empty[:-1]
        mask: Mask = empty | (_since(rows, broken) < round(seconds * NS_PER_S))
        return mask

    return Rule(f"book not whole for {seconds:g} s", allowed)


def _lately(rows: Rows, counts: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
    """Sum of `counts` over the buckets of the last `seconds`, none from before the last reset."""
    bucket = _clock(rows) // round(seconds * NS_PER_S / BUCKETS)
    first = np.maximum(np.searchsorted(bucket, bucket - BUCKETS + 1), _last_reset(rows))
    total = np.concatenate(([0.0], np.cumsum(counts)))
    return total[1:] - total[first]


def traded_for(seconds: float, *, signed: bool) -> Rule:
    """Less than so long since a reset, or no print (`signed`: none whose side is known) in that time."""

    def allowed(rows: Rows) -> Mask:
        known = (rows["side"] != 0).astype(np.float64) if signed else np.ones(len(rows))
        early = _since(rows, _reset(rows)) < round(seconds * NS_PER_S)
        mask: Mask = early | (_lately(rows, known, seconds) == 0.0)
        return mask

    return Rule(f"no {'signed ' if signed else ''}print in {seconds:g} s, or a reset", allowed)


def signed_since(seconds: float) -> Rule:
    """Less than so long since a reset, or no print of known side since then."""

    def allowed(rows: Rows) -> Mask:
        known = np.concatenate(([0], np.cumsum(rows["side"] != 0)))
        early = _since(rows, _reset(rows)) < round(seconds * NS_PER_S)
        mask: Mask = early | (known[1:] == known[_last_reset(rows)])
        return mask

    return Rule(f"no signed print since a reset, or one less than {seconds:g} s ago", allowed)


def few_orders(n: int) -> Rule:
    """Fewer than n pairs of market orders have ended since the last reset; prints of one time and side are one."""

    def allowed(rows: Rows) -> Mask:
        mask = np.ones(len(rows), np.bool_)
        orders: list[tuple[int, int]] = []
        for i, (anew, ts, side) in enumerate(zip(_reset(rows), _clock(rows), rows["side"], strict=True)):
            if anew:
                orders = []
            if side and (not orders or orders[-1] != (ts, side)):
                orders.append((ts, side))
            mask[i] = len(orders) - 2 < n  # the last one may go on, and the first has none before it
        return mask

    return Rule(f"fewer than {n} pairs of orders since a reset", allowed)


def few_buckets(n: int, prints: float, calibration: int, capacity: float = 0.0) -> Rule:
    """Fewer than n buckets of volume have been filled since the last reset."""

    def allowed(rows: Rows) -> Mask:
        mask = np.ones(len(rows), np.bool_)
        day, size = -1, capacity
        sizes: list[float] = []
        buckets = 0.0
        for i, (anew, ts, side, qty) in enumerate(
            zip(_reset(rows), _clock(rows), rows["side"], rows["qty"], strict=True)
        ):
            buckets = 0.0 if anew else buckets
            if ts // NS_PER_DAY != day:
                size = prints * sum(sizes) / len(sizes) if len(sizes) >= calibration and prints else size
                day, sizes = ts // NS_PER_DAY, []
            sizes.append(qty)
            if size:
                buckets += min(abs(side) * qty, (n + 1) * size) / size
            elif len(sizes) >= calibration:
                size = prints * sum(sizes) / len(sizes)
            mask[i] = buckets < n + BUCKET_SLACK
        return mask

    return Rule(f"fewer than {n} buckets of volume since a reset", allowed)


def _measured(rows: Rows) -> NDArray[np.bool_]:
    """Prints of known side before which a quote stands that is stamped earlier."""
    mask = np.zeros(len(rows), np.bool_)
    times: list[int] = []
    for i, (anew, row) in enumerate(zip(_reset(rows), rows, strict=True)):
        if anew:
            times = []
        if row["kind"] == QUOTE and not math.isnan(row["bid"] + row["ask"]):
            times.append(int(row["ts"]))
        mask[i] = row["kind"] == PRINT and row["side"] != 0 and any(t < row["ts"] for t in times[-QUOTES:])
    return mask


def measured_for(seconds: float) -> Rule:
    """Less than so long since a reset, or no print in that time that could be held against a quote before it."""

    def allowed(rows: Rows) -> Mask:
        early = _since(rows, _reset(rows)) < round(seconds * NS_PER_S)
        mask: Mask = early | (_lately(rows, _measured(rows).astype(np.float64), seconds) == 0.0)
        return mask

    return Rule(f"no print beside a quote in {seconds:g} s, or a reset", allowed)


def settled_for(seconds: float, horizon: float) -> Rule:
    """Less than so long since a reset, or no print whose horizon ended in that time."""

    def allowed(rows: Rows) -> Mask:
        clock, last_reset, width = _clock(rows), _last_reset(rows), round(seconds * NS_PER_S / BUCKETS)
        ended = np.zeros(len(rows), np.int64)  # the last horizon that a row saw the end of
        for i in np.flatnonzero(_measured(rows)):
            end = clock[i] + round(horizon * NS_PER_S)
            j = int(np.searchsorted(clock, end, side="right"))
            if j < len(rows) and last_reset[j] == last_reset[i]:
                ended[j] = end
        early = _since(rows, _reset(rows)) < round((seconds + horizon) * NS_PER_S)
        mask: Mask = early | (np.maximum.accumulate(ended) // width <= clock // width - BUCKETS)
        return mask

    return Rule(f"no print {horizon:g} s old in {seconds:g} s, or a reset", allowed)


def unregressed(seconds: float) -> Rule:
    """Less than so long, and one bucket more, since a reset; or the buckets' signed volumes are equal."""

    def allowed(rows: Rows) -> Mask:
        width = round(seconds * NS_PER_S / BUCKETS)
        bucket, last_reset = _clock(rows) // width, _last_reset(rows)
        signed = np.where(rows["kind"] == PRINT, rows["side"] * np.nan_to_num(rows["price"] * rows["qty"]), 0.0)
        mask = _since(rows, _reset(rows)) < round(seconds * NS_PER_S) + width
        for i in np.flatnonzero(~mask):
            here = slice(int(last_reset[i]), i + 1)
            age = bucket[i] - bucket[here]
            volumes = np.bincount(age, weights=signed[here], minlength=BUCKETS + 1)[1 : BUCKETS + 1]
            mask[i] = bool(np.ptp(volumes) == 0.0)
        return mask

    return Rule(f"signed volume without variance in {seconds:g} s, or a reset", allowed)
