"""The 30 registered bar features, one bar at a time, in plain Python: floats, deques and nothing compiled.

What somebody writes who wants it fast: one generator whose state is local variables, each common term once, running
sums that add the newest and take off the oldest, monotonic deques for extremes. The sums drift a little, which 2,000
rows do not show.
"""

# ruff: noqa: FURB136 - a call of max() would cost this peer more than the comparison

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from math import log, nan, sqrt

from features.folds.volatility import BUCKET_MINUTES, BUCKETS, GARMAN, PARKINSON
from features.folds.windows import half_life_weight
from utils.rows import NS_PER_MINUTE

#: Close time (ns), open, high, low, close, volume, volume bought by takers.
PlainBar = tuple[int, float, float, float, float, float, float]

N = 20
FAST_VOL, SLOW_VOL = half_life_weight(20), half_life_weight(120)
BUCKET, ALL_DAY = half_life_weight(300), half_life_weight(300 * BUCKETS)


def seeded(average: float, value: float, count: int, seed: int, weight: float) -> float:
    """The next exponential average; a sum until the mean of the first `seed` values begins it."""
    if count > seed:
        return average + weight * (value - average)
    if count == seed:
        return (average + value) / seed
    return average + value


def last_values() -> deque[float]:
    """Room for the last `N` values, 0 before the first."""
    return deque([0.0] * N, N)


def plain_vector() -> Generator[list[float], PlainBar, None]:
    """Send it a bar, get its 30 features in the registry's order; `next` it once before the first."""
    logs, closes, aways, paths = last_values(), last_values(), last_values(), last_values()
    parks, garmans, volumes, signs = last_values(), last_values(), last_values(), last_values()
    tolds, boughts, illiquids = last_values(), last_values(), last_values()
    returns, squares, products = last_values(), last_values(), last_values()
    away_sum = away_square = path = park = garman = volume = signed = told = bought = illiquid = 0.0
    return_sum = square_sum = product_sum = 0.0
    falling: deque[tuple[int, float]] = deque()  # candidates for the highest high, newest last
    rising: deque[tuple[int, float]] = deque()
    fast_square = slow_square = fast = slow = atr = gain = loss = 0.0
    days_seen, days_mean, usual_all = [0] * BUCKETS, [0.0] * BUCKETS, 0.0
    count = still = frozen = trades = idle = silent = run = 0
    last = last_log = last_r = top = bottom = anchor = nan
    answer: list[float] = []
    while True:
        ts, o, h, low, c, v, b = yield answer
        count += 1
        log_close, log_body, log_range = log(c), log(c / o), log(h / low)
        minute = ts // NS_PER_MINUTE % 1440
        width = h - low
        if count == 1:
            anchor = c
        value = log_range * log_range
        park += value - parks[0]
        parks.append(value)
        value = 0.5 * value - GARMAN * log_body * log_body
        garman += value - garmans[0]
        garmans.append(value)
        before_fast = fast
        fast = seeded(fast, c, count, 12, 2.0 / 13.0)
        slow = seeded(slow, c, count, 48, 2.0 / 49.0)
        away, value = c - anchor, aways[0]
        away_sum += away - value
        away_square += away * away - value * value
        aways.append(away)
        last_top, last_bottom, old = top, bottom, count - N
        while falling and falling[-1][1] <= h:
            falling.pop()
        falling.append((count, h))
        if falling[0][0] <= old:
            falling.popleft()
        while rising and rising[-1][1] >= low:
            rising.pop()
        rising.append((count, low))
        if rising[0][0] <= old:
            rising.popleft()
        top, bottom = falling[0][1], rising[0][1]
        traded = v > 0.0
        trades += traded - (volumes[0] > 0.0)
        volume += v - volumes[0]
        volumes.append(v)
        value = v if c > o else -v if c < o else 0.0
        signed += value - signs[0]
        signs.append(value)
        tells = traded and b >= 0.0
        idle = 0 if traded else idle + 1
        silent = 0 if tells else silent + 1
        value = v if tells else 0.0
        told += value - tolds[0]
        tolds.append(value)
        value = b if tells else 0.0
        bought += value - boughts[0]
        boughts.append(value)
        log_5, log_20, close_20 = logs[-5], logs[0], closes[0]
        logs.append(log_close)
        closes.append(c)
        answer = [nan] * 30
        if width > 0.0:
            answer[17] = (c - o) / width
            answer[18] = ((c - low) - (h - c)) / width
            answer[19] = (h - (o if o > c else c)) / width
        if tells:
            answer[23] = 2.0 * b / v - 1.0
        answer[28] = 480.0 - minute % 480
        if count > 1:
            n = count - 1
            change, r = c - last, log_close - last_log
            size, square = abs(r), r * r
            true_range = (h if h > last else last) - (low if low < last else last)
            still = still + 1 if r == 0.0 else 0
            frozen = frozen + 1 if true_range == 0.0 else 0
            fast_square = seeded(fast_square, square, n, 20, FAST_VOL)
            slow_square = seeded(slow_square, square, n, 60, SLOW_VOL)
            atr = seeded(atr, true_range, n, 14, 1.0 / 14.0)
            gain = seeded(gain, change if change > 0.0 else 0.0, n, 14, 1.0 / 14.0)
            loss = seeded(loss, -change if change < 0.0 else 0.0, n, 14, 1.0 / 14.0)
            value = abs(change)
            path += value - paths[0]
            paths.append(value)
            if change > 0.0:
                run = run + 1 if run > 0 else 1
            elif change < 0.0:
                run = run - 1 if run < 0 else -1
            else:
                run = 0
            value = size / (c * v) if traded else 0.0
            illiquid += value - illiquids[0]
            illiquids.append(value)
            before_sum, before_square = return_sum, square_sum
            return_sum += r - returns[0]
            returns.append(r)
            square_sum += square - squares[0]
            squares.append(square)
            value = r * last_r if n > 1 else 0.0
            product_sum += value - products[0]
            products.append(value)
            last_r = r
            bucket = minute // BUCKET_MINUTES
            days_seen[bucket] = seen = days_seen[bucket] + 1
            weight = 1.0 / seen
            days_mean[bucket] += (weight if weight > BUCKET else BUCKET) * (size - days_mean[bucket])
            weight = 1.0 / n
            usual_all += (weight if weight > ALL_DAY else ALL_DAY) * (size - usual_all)
            answer[0] = 1e4 * r
            answer[9] = 1e4 * log(o / last)
            answer[20] = run
            if count > 5:
                answer[1] = 1e4 * (log_close - log_5)
            if count > 12:
                answer[11] = 1e4 * (fast - before_fast) / c
            if count > 14:
                answer[8] = atr
                if still < 14:
                    answer[14] = 100.0 * gain / (gain + loss)
        if count >= N:
            answer[6] = 1e4 * sqrt(PARKINSON / N * park) if park > 0.0 else 0.0
            answer[7] = 1e4 * sqrt(garman / N) if garman > 0.0 else 0.0
            if still < N - 1:
                spread = (away_square - away_sum * away_sum / N) / (N - 1)
                answer[12] = (away - away_sum / N) / sqrt(spread)
            if top > bottom:
                answer[15] = (c - bottom) / (top - bottom)
            if idle < N:
                answer[21] = v * N / volume
                answer[22] = signed / volume
            if silent < N:
                answer[24] = 2.0 * bought / told - 1.0
        if count > N:
            vol = sqrt(fast_square)
            answer[2] = 1e4 * (log_close - log_20)
            answer[3] = 1e4 * vol
            if still < N:
                answer[13] = abs(c - close_20) / path
                if count >= 48:
                    answer[10] = (fast - slow) / (c * vol)
            if frozen < 14:
                outside = c - last_top if c > last_top else c - last_bottom if c < last_bottom else 0.0
                answer[16] = outside / atr
            if idle < N:
                answer[25] = 1e10 * illiquid / trades
            if days_seen[bucket] >= 20 and days_mean[bucket] > 0.0:
                answer[29] = 1e4 * vol / (days_mean[bucket] / usual_all)
            if count > N + 1:
                covariance = (product_sum - return_sum * before_sum / N) / (N - 1)
                answer[26] = 2e4 * sqrt(-covariance) if covariance < 0.0 else 0.0
                if still < N and before_square > 0.0:
                    answer[27] = product_sum / sqrt(square_sum * before_square)
            if count > 60:
                answer[4] = 1e4 * sqrt(slow_square)
                if still < 60:
                    answer[5] = sqrt(fast_square / slow_square)
        last, last_log = c, log_close
