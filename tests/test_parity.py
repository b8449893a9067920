"""One answer however it is asked for: whole or bar by bar, compiled or not, resumed or not, engine or label."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from backtest.data.market import build_market
from backtest.run.loop import simulate
from exec.engine import Engine, JournalRows
from features.registry import feature_set
from ingest.files.candles import load_candles
from ml.signal import Signaller, strategy_params
from tests.exec.step.test_quoting import MEMORY, both_sides
from tests.exec.test_conservation import SYMBOLS, Account
from tests.market import NAN, TF, chatter, dice, instrument, one_clock, params, settlements, signals, wander
from tests.places import DATA, ROOT
from utils.codes import END_OF_DATA, LIMIT, POST_ONLY, STOP_LOSS, TAKE_PROFIT, TIME_LIMIT
from utils.market.barriers import first_touch, levels
from utils.params import params_of
from utils.rows import FUNDING, TRADE, Rows
from utils.settings.tree import Settings

MINUTES = DATA / "ohlcv" / "binance_usdm" / "1m"
FILES = [MINUTES / "BTCUSDT_20250706_20250717.parquet", MINUTES / "ETHUSDT_20250706_20250717.parquet"]
KINDS = JournalRows.__slots__

SETTINGS = {
    "market": {"impact": 0.5, "half_spread_bps": 0.5},
    "trailing": {"trail_atr": 1.5, "max_positions": 2, "slippage_bps": 1.0},
    "limit": {"entry_kind": LIMIT, "limit_offset_bps": 3.0, "stop_in_atr": 1, "stop_atr": 1.0},
    "post only": {"entry_kind": POST_ONLY, "limit_offset_bps": 3.0, "fixed_notional": 0.0, "risk_fraction": 0.002},
}


def clock_of(n: int) -> tuple[Rows, Rows, Rows]:
    """Bars of three symbols (`n` each, some missing, some without volume), signals, and funding."""
    clock = one_clock(*(wander(n, 7 + s, s, holes=4 * s) for s in range(3)))
    due = [settlements(*((k / 3.0, 1e-4) for k in range(5 + s, 3 * n, 31)), sym=s) for s in range(3)]
    return clock, chatter(len(clock), 11), np.concatenate(due, dtype=FUNDING)


def fresh(settings: str, funding: Rows) -> Engine:
    """An engine of three symbols with fees."""
    venue = instrument(maker_bps=2.0, taker_bps=5.0, min_notional=5.0).repeat(3)
    return Engine(venue, params(horizon=12.0, **SETTINGS[settings]), 10_000.0, funding)


def instants(clock: Rows, *, every: int = 1) -> list[tuple[int, int]]:
    """Row ranges of `every` instants each."""
    starts = np.flatnonzero(np.diff(clock["ts"], prepend=-1))[::every].tolist()
    return list(zip(starts, [*starts[1:], len(clock)], strict=True))


def fed(one: Engine, clock: Rows, said: Rows, ranges: list[tuple[int, int]]) -> list[bytes]:
    """The bytes of every journal table after feeding these ranges."""
    for lo, hi in ranges:
        one.run(clock[lo:hi], said[lo:hi])
    rows = one.drain()
    return [getattr(rows, kind).tobytes() for kind in KINDS]


@pytest.mark.parametrize("settings", SETTINGS)
def test_bar_by_bar_equals_odd_chunks_equals_the_whole(settings):
    clock, said, funding = clock_of(700)
    whole = fed(fresh(settings, funding), clock, said, [(0, len(clock))])
    assert len(whole[0]) > 50 * TRADE.itemsize
    for every in (1, 7, 61):
        assert whole == fed(fresh(settings, funding), clock, said, instants(clock, every=every))


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_restored_engine_goes_on_as_if_nothing_had_happened(settings):
    clock, said, funding = clock_of(700)
    ranges = instants(clock)
    whole = fed(fresh(settings, funding), clock, said, ranges)
    for cut in (1, 333, len(ranges) - 1):
        before, after = fresh(settings, funding), fresh(settings, funding)
        head = fed(before, clock, said, ranges[:cut])
        after.restore(before.snapshot())
        tail = fed(after, clock, said, ranges[cut:])
        assert whole == [one + other for one, other in zip(head, tail, strict=True)]


def test_a_snapshot_holds_no_journal_rows():
    clock, said, funding = clock_of(200)
    before, after = fresh("market", funding), fresh("market", funding)
    before.run(clock[:300], said[:300])
    after.restore(before.snapshot())
    assert [0] * len(KINDS) == [len(getattr(after.drain(), kind)) for kind in KINDS]
    assert 0 < len(before.drain().trades)


@pytest.mark.skipif(not all(file.exists() for file in FILES), reason="the recorded candles are not here")
def test_features_signal_and_engine_one_bar_at_a_time_equal_the_batch():
    settings = Settings()
    market = build_market([load_candles(file) for file in FILES], settings, data=FILES, steps=3000)
    whole = simulate(market, settings).rows
    one = Engine(
        market.instruments, params_of(settings, market.tf_ns), settings.simulation.initial_capital, market.funding
    )
    signaller = Signaller(strategy_params(settings), market.starts)
    features = feature_set(len(market.symbols))
    for lo, hi in instants(market.bars):
        said = [signaller.batch(market.bars[k : k + 1], features.step(market.bars[k : k + 1])) for k in range(lo, hi)]
        one.run(market.bars[lo:hi], np.concatenate(said))
    live = one.drain()
    assert len(whole.trades) > 30
    assert np.any(whole.trades["funding"] != 0.0)
    for kind in KINDS:
        assert getattr(whole, kind).tobytes() == getattr(live, kind).tobytes()


@pytest.mark.skipif(not all(file.exists() for file in FILES), reason="the recorded candles are not here")
def test_permuting_the_input_files_changes_nothing():
    settings = Settings()
    candles = [load_candles(file) for file in FILES]
    forth = build_market(candles, settings, data=FILES, steps=1000)
    back = build_market(candles[::-1], settings, data=FILES[::-1], steps=1000)
    assert forth.symbols == back.symbols == ("BTCUSDT", "ETHUSDT")
    for name in ("bars", "instruments", "funding"):
        rows, others = getattr(forth, name), getattr(back, name)
        assert all(rows[field].tobytes() == others[field].tobytes() for field in rows.dtype.names)
    assert (forth.starts, forth.assumptions, forth.files) == (back.starts, back.assumptions, back.files)
    one, other = simulate(forth, settings).rows, simulate(back, settings).rows
    assert len(one.trades) > 5
    for kind in KINDS:
        assert getattr(one, kind).tobytes() == getattr(other, kind).tobytes()


def digest() -> str:
    """SHA-256 over all journal rows of about 3,000 bars, through features and signal too."""
    sha = hashlib.sha256()
    clock, said, funding = clock_of(350)
    for settings in ("trailing", "limit"):
        for table in fed(fresh(settings, funding), clock, said, [(0, len(clock))]):
            sha.update(table)
    bars = wander(1000, 5)
    chosen = Settings()
    vectors = feature_set().batch(bars)
    signaller = Signaller(strategy_params(chosen), [int(bars["ts"][feature_set().warmup])])
    own = signaller.batch(bars, vectors)
    sha.update(vectors.tobytes() + own.tobytes())
    for table in fed(Engine(instrument(), params_of(chosen, TF), 10_000.0), bars, own, [(0, len(bars))]):
        sha.update(table)
    for table in between_bars(400):
        sha.update(table)
    memory = np.zeros(1, MEMORY).view(np.recarray)
    quotes = Engine(instrument(), params(), 10_000.0, standing=4, quoting=both_sides, memory=memory)
    for table in fed(quotes, bars[:300], signals(300, {7: 1.0, 90: -1.0}), [(0, 300)]):
        sha.update(table)
    return f"{int(np.isfinite(own['side']).sum())} {sha.hexdigest()}"


def between_bars(n: int) -> list[bytes]:
    """Journal rows of `n` things that happen to a paper broker, or are asked of it: orders, prints, books, bars."""
    rolled, account = dice(23), Account()

    def of(*choices):
        return choices[next(rolled) % len(choices)]

    def tenths():
        return 960 + next(rolled) % 80

    def lots():
        return 10 + next(rolled) % 4_000

    def order():
        kind = of("MARKET", "LIMIT", "POST_ONLY", "STOP_MARKET")
        return of(*SYMBOLS), of(1, -1), lots(), kind, tenths(), of(False, False, True)

    deeds = {
        "bar": lambda: (tenths(), next(rolled) % 12, next(rolled)),
        "print": lambda: (of(*SYMBOLS), tenths(), lots(), of(1, -1)),
        "book": lambda: (of(*SYMBOLS), tenths(), 1 + next(rolled) % 3),
        "mark": lambda: (of(*SYMBOLS), tenths()),
        "open": lambda: (of(*SYMBOLS), of(1, -1), lots(), of("MARKET", "LIMIT", "POST_ONLY")),
        "close": lambda: (of(*SYMBOLS), of(None, 0.25, 1.5)),
        "apply": lambda: ([order() for _ in range(next(rolled) % 3)], next(rolled) % 6),
        "replace": lambda: (next(rolled) % 6, lots(), tenths()),
    }
    tables = []
    for _ in range(n):
        name = of(*deeds)
        account.do((name, *deeds[name]()))
        rows = account.broker.drain()
        tables += [getattr(rows, kind).tobytes() for kind in KINDS]
    assert account.filled
    return tables


@pytest.mark.slow
def test_uncompiled_equals_compiled_bit_for_bit():
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    script = "from tests.test_parity import digest; print(digest())"
    seen = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert 0 == seen.returncode, seen.stderr
    compiled = digest()
    assert int(compiled.split()[0]) > 10
    assert compiled == seen.stdout.strip()


PATHS, LENGTH, HORIZON = 10_000, 9, 5


def label(path: Rows, side: int, take: float, stop: float) -> tuple[int, float, int]:
    """How a market entry at the first open that trades after bar 0 ends: (reason, price, ts), without any costs."""
    entry = next((k for k in range(1, len(path)) if path[k].volume > 0.0), None)
    if entry is None:
        return 0, NAN, 0
    take_price, stop_price = levels(side, path[entry].open, take, stop, 0.1, 10.0)
    late = False
    for k in range(entry, len(path)):
        bar = path[k]
        if bar.volume > 0.0:
            if late:
                return TIME_LIMIT, bar.open, bar.ts - TF
            ohlc = bar.open, bar.high, bar.low, bar.close
            price, reason, _ = first_touch(side, stop_price, take_price, *ohlc, 0.1, k == entry, False)
            if reason:
                return reason, price, bar.ts
        if k - entry + 1 >= HORIZON:
            if bar.volume > 0.0:
                return TIME_LIMIT, bar.close, bar.ts
            late = True
    return END_OF_DATA, path[-1].close, path[-1].ts


def test_labels_of_ten_thousand_paths_equal_the_exits_of_the_engine():
    rows = wander(PATHS * LENGTH, 21, start=10_000, step=12)
    rows["last"] = 0
    rows["last"][LENGTH - 1 :: LENGTH] = 1
    rolled = dice(5)
    said = [(k * LENGTH, 1.0 - 2.0 * (next(rolled) % 2), 10.0 + next(rolled) % 50) for k in range(PATHS)]
    asked = signals(len(rows), {at: {"side": side, "take_bps": take, "stop_bps": 15.0} for at, side, take in said})
    one = Engine(instrument(), params(horizon=float(HORIZON), volume_cap=1.0, leverage=1e6), 1e9)
    one.run(rows, asked)
    trades = one.drain().trades
    expected = [label(rows[at : at + LENGTH], int(side), take * 1e-4, 15.0 * 1e-4) for at, side, take in said]
    expected = [ending for ending in expected if ending[0]]
    assert {TAKE_PROFIT, STOP_LOSS, TIME_LIMIT, END_OF_DATA} == {reason for reason, _, _ in expected}
    assert PATHS * 0.99 < len(trades)
    assert expected == list(
        zip(trades["exit_reason"].tolist(), trades["exit_price"].tolist(), trades["exit_ts"].tolist(), strict=True)
    )
