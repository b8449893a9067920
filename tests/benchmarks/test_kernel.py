"""The benchmark's kernel against the same rules in plain Python, written from the contract's text."""

import math
from itertools import pairwise

import numpy as np
import pytest

from benchmarks import inputs
from benchmarks.kernel import TRADE, columns, kernel, run
from utils.codes import END_OF_DATA, FLIP, STOP_LOSS, TAKE_PROFIT, TIME_LIMIT


class Ticks:
    """Prices on a grid."""

    def __init__(self, tick):
        self.tick = tick
        whole = round(1 / tick)
        self.per_tick = whole if math.isclose(whole * tick, 1.0, rel_tol=1e-9) else None

    def price(self, k):
        return k / self.per_tick if self.per_tick else k * self.tick

    def up(self, x):
        return self.price(math.ceil(x / self.tick - 1e-9))

    def down(self, x):
        return self.price(math.floor(x / self.tick + 1e-9))

    def buy(self, x):
        return self.up(x * 1.0001)

    def sell(self, x):
        return self.down(x * 0.9999)


def sides(close, volume):
    """+1, -1 or 0 at each close."""

    def ema(values, span):
        out = [values[0]]
        for value in values[1:]:
            out.append(out[-1] + 2 / (span + 1) * (value - out[-1]))
        return out

    moves = [0.0] + [abs(math.log(b) - math.log(a)) for a, b in pairwise(close)]
    fast, slow = ema(close, 12), ema(close, 48)
    vol = ema(moves, 60)
    calm = ema(vol, 600)
    out = []
    for i in range(len(close)):
        open_gate = i >= 600 and vol[i] > calm[i] and volume[i] > 0
        out.append((fast[i] > slow[i]) - (fast[i] < slow[i]) if open_gate else 0)
    return out


def opened(grid, side, bar, price, qty):
    """A position with its barriers, measured from the fill."""
    fill = grid.buy(price) if side == 1 else grid.sell(price)
    if side == 1:
        take, stop = grid.up(fill * 1.0025), grid.down(fill * 0.9982)
    else:
        take, stop = grid.down(fill * 0.9975), grid.up(fill * 1.0018)
    return {"side": side, "bar": bar, "price": fill, "qty": qty, "take": take, "stop": stop}


def barrier(grid, position, i, o, h, low, c):
    """(reason, price) of the exit in bar i, or None."""
    one = grid.tick * 0.999999
    take, stop = position["take"], position["stop"]
    later = i > position["bar"]
    if position["side"] == 1:
        if later and o - take >= one:
            return TAKE_PROFIT, take
        if low <= stop:
            return STOP_LOSS, grid.sell(min(stop, o))
        if h - take >= one:
            return TAKE_PROFIT, take
        if i - position["bar"] == 19:
            return TIME_LIMIT, grid.sell(c)
    else:
        if later and take - o >= one:
            return TAKE_PROFIT, take
        if h >= stop:
            return STOP_LOSS, grid.buy(max(stop, o))
        if take - low >= one:
            return TAKE_PROFIT, take
        if i - position["bar"] == 19:
            return TIME_LIMIT, grid.buy(c)
    return None


def reference(bars, tick):
    """The trades as tuples, one bar after the other as the contract tells it."""
    grid = Ticks(tick)
    o, h, low, c, v = (column.tolist() for column in columns(bars))
    signals = sides(c, v)
    trades = []
    position = order = leaving = None

    def close(i, price, reason):
        side, qty, paid = position["side"], position["qty"], position["price"]
        fees = 0.0004 * qty * paid + 0.0004 * qty * price
        net = (price - paid) * side * qty - fees
        trades.append((position["bar"], i, side, qty, paid, price, net, reason))

    for i in range(len(c)):
        if v[i] > 0:
            if leaving:
                close(i, grid.sell(o[i]) if position["side"] == 1 else grid.buy(o[i]), leaving)
                position = leaving = None
            if order:
                position = opened(grid, order[0], i, o[i], order[1])
                order = None
            if position:
                hit = barrier(grid, position, i, o[i], h[i], low[i], c[i])
                if hit:
                    close(i, hit[1], hit[0])
                    position = None
        elif position and not leaving and i - position["bar"] >= 19:
            leaving = TIME_LIMIT
        if signals[i] and not (position and position["side"] == signals[i]):
            qty = math.floor(1000 / c[i] / 0.001 + 1e-9) / 1000
            order = (signals[i], qty) if qty > 0 else None
            leaving = FLIP if position else None
    if position:
        close(len(c) - 1, grid.sell(c[-1]) if position["side"] == 1 else grid.buy(c[-1]), END_OF_DATA)
    return trades


def compared(bars, tick):
    """Kernel and reference trades: exact fields, and net PnL apart (its sums are ordered differently)."""
    ours, theirs = run(bars, tick), reference(bars, tick)
    exact = [name for name in TRADE.names if name != "net_pnl"]
    kernel_rows = [tuple(row[name] for name in exact) for row in ours]
    reference_rows = [row[:6] + row[7:] for row in theirs]
    return kernel_rows, reference_rows, ours["net_pnl"], np.array([row[6] for row in theirs])


@pytest.mark.parametrize(
    ("seed", "empty", "gaps", "tick"),
    [(1, 0.0, 0.0, 0.01), (2, 0.05, 0.02, 0.01), (3, 0.5, 0.05, 0.01), (4, 0.02, 0.02, 0.05), (5, 0.02, 0.02, 0.03)],
)
def test_kernel_equals_the_plain_rules_trade_for_trade(seed, empty, gaps, tick):
    bars = inputs.bars(50_000, seed, empty=empty, gaps=gaps)
    if tick != inputs.TICK:
        for name in ("open", "high", "low", "close"):
            bars[name] = np.rint(bars[name] / tick) * tick
    ours, theirs, ours_net, theirs_net = compared(bars, tick)
    assert theirs == ours
    np.testing.assert_allclose(ours_net, theirs_net, rtol=0, atol=1e-9)


def test_the_inputs_reach_every_exit():
    reasons = set(run(inputs.bars(50_000, 2, empty=0.05, gaps=0.02), inputs.TICK)["reason"].tolist())
    assert {TAKE_PROFIT, STOP_LOSS, TIME_LIMIT, FLIP} == reasons - {END_OF_DATA}


def test_the_inputs_open_beyond_take_and_stop():
    bars = inputs.bars(50_000, 2, gaps=0.02)
    trades = run(bars, inputs.TICK)
    beyond = trades["side"] * (bars["open"][trades["exit"]] - trades["exit_price"]) > 0.5 * inputs.TICK
    assert (beyond & (trades["exit"] > trades["entry"]) & (trades["reason"] == TAKE_PROFIT)).sum() > 20
    loss_bps = 1e4 * (1.0 - trades["exit_price"] / trades["entry_price"]) * trades["side"]
    assert (loss_bps[trades["reason"] == STOP_LOSS] > 25.0).sum() > 20


def test_a_time_limit_on_a_bar_without_volume_waits_for_the_next_open():
    trades = run(inputs.bars(50_000, 3, empty=0.5), inputs.TICK)
    held = (trades["exit"] - trades["entry"])[trades["reason"] == TIME_LIMIT]
    assert held.min() == 19
    assert held.max() > 19


def test_a_position_open_at_the_end_closes_there():
    bars = inputs.bars(5_000, 1)
    whole = run(bars, inputs.TICK)
    longest = whole[np.argmax(whole["exit"] - whole["entry"])]
    last = int(longest["entry"]) + 1
    closing = run(bars[: last + 1], inputs.TICK)[-1]
    assert (int(longest["entry"]), last, END_OF_DATA) == (closing["entry"], closing["exit"], closing["reason"])


def test_too_few_bars_make_no_trades():
    for n in (0, 1, 2, 600):
        assert len(run(inputs.bars(n, 1), inputs.TICK)) == 0


def test_rows_bars_are_not_written():
    bars = inputs.bars(2_000, 1)
    before = bars.tobytes()
    trades = np.zeros(len(bars), TRADE)
    kernel(*columns(bars), inputs.TICK, trades)
    assert before == bars.tobytes()


def test_one_seed_gives_the_same_legal_bars():
    bars = inputs.bars(3_000, 9, empty=0.1, gaps=0.1)
    assert inputs.bars(3_000, 9, empty=0.1, gaps=0.1).tobytes() == bars.tobytes()
    assert (bars["high"] >= np.maximum(bars["open"], bars["close"])).all()
    assert (bars["low"] <= np.minimum(bars["open"], bars["close"])).all()
    assert (0.02 * bars["volume"][bars["volume"] > 0] * bars["low"][bars["volume"] > 0] > 1000).all()
