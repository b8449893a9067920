import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.files.candles import load_candles
from ingest.files.ticks import between_ticks, infer_tick
from utils.errors import DataError
from utils.rows import BAR

MINUTE_MS = 60_000
T0_MS = 1_735_689_600_000  # 2025


def bars(*prices):
    rows = np.zeros(len(prices), dtype=BAR)
    for field in ("open", "high", "low", "close"):
        rows[field] = prices
    return rows


def frame(prices, kind=np.float64):
    """One-minute candles whose four prices are one."""
    names = ("open", "high", "low", "close")
    stamps = T0_MS + MINUTE_MS * np.arange(len(prices))
    return pd.DataFrame({"timestamp": stamps, **{name: prices.astype(kind) for name in names}, "volume": 1.0})


def walk(start, decimals, n=100):
    return np.round(start * (1 + np.random.default_rng(7).normal(0, 1e-3, n).cumsum()), decimals)


@pytest.mark.parametrize(
    ("prices", "tick"),
    [
        ((65000.0, 65001.0), 1.0),
        ((65000.1, 65001.0), 0.1),
        ((0.3, 0.1, 1.15), 0.01),
        ((1e-05, 2e-05), 1e-05),
        ((1.234e-05,), 1e-08),
        ((0.00000001,), 1e-08),
        ((123456.789,), 0.001),
        ((65000.12345678,), 1e-08),  # a mark price
    ],
)
def test_the_tick_has_the_most_decimals_seen(prices, tick):
    assert tick == infer_tick(bars(*prices), len(prices))


@pytest.mark.parametrize(
    ("prices", "tick"),
    [
        ((0.1 + 0.2,), 0.1),
        ((100.10000000000001, 99.89999999999999), 0.1),
        ((65000.1 * 1.1 / 1.1, 7e-6 / 3 * 3), 1e-6),
        ((*[0.25] * 8, 1 / 3), 0.01),  # one bar of an average among those of an exchange
    ],
)
def test_the_last_bits_of_arithmetic_are_no_decimals(prices, tick):
    assert tick == infer_tick(bars(*prices), len(prices))


@pytest.mark.parametrize("prices", [(1 / 3,), tuple(100 + np.random.default_rng(1).random(50)), (np.pi, np.e, 2.5)])
def test_prices_of_arithmetic_tell_no_tick(prices):
    with pytest.raises(DataError, match=r"round them to the tick, or set instruments\.default\.<SYMBOL>\.tick"):
        infer_tick(bars(*prices), len(prices))


@pytest.mark.parametrize(("start", "decimals"), [(2.1924, 4), (65000.1, 1), (0.0000123, 9), (0.5, 3), (1800.25, 2)])
@pytest.mark.parametrize("kind", ["float32", "widened"])
def test_a_price_that_was_a_float32_is_the_decimal_it_stood_for(tmp_path, start, decimals, kind):
    exact = walk(start, decimals)
    narrow = exact.astype(np.float32)
    table = frame(
        narrow if kind == "float32" else narrow.astype(np.float64), narrow.dtype if kind == "float32" else float
    )
    table.to_parquet(tmp_path / "x.parquet")
    table.to_csv(tmp_path / "x.csv", index=False)
    for source in (table, tmp_path / "x.parquet", tmp_path / "x.csv"):
        rows = load_candles(source, symbol="XRPUSDT").rows
        assert exact.tolist() == rows["close"].tolist() == rows["high"].tolist()
        assert pytest.approx(10.0**-decimals) == infer_tick(rows, 100)


def test_a_half_float_is_the_decimal_it_stood_for():
    table = frame(np.array([0.1, 0.25, 1.5]), np.float16)
    assert [0.1, 0.25, 1.5] == load_candles(table, symbol="XRPUSDT").rows["close"].tolist()


@pytest.mark.parametrize("step", [1.0, 0.5, 1 / 32, 1 / 4096])
def test_a_binary_grid_is_no_noise(step):
    exact = 100.0 + step * np.arange(200)
    assert exact.tolist() == load_candles(frame(exact), symbol="XUSDT").rows["close"].tolist()


def test_later_bars_do_not_move_the_tick():
    rows = bars(1.5, 2.5, 2.123)
    assert 0.1 == infer_tick(rows, 2)
    assert 0.001 == infer_tick(rows, 3) == infer_tick(rows, 5000)


def test_a_tick_needs_a_bar():
    for rows, n in [(bars(1.0), 0), (bars(), 5)]:
        with pytest.raises(ValueError, match=r"at least one warm-up bar"):
            infer_tick(rows, n)


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 8)), min_size=1, max_size=30))
def test_the_tick_agrees_with_the_shortest_decimal_of_every_price(pairs):
    prices = [float(f"{k}e-{d}") for k, d in pairs]
    shown = [np.format_float_positional(price, trim="-") for price in prices]
    most = max(len(s.partition(".")[2]) for s in shown)
    assert float(f"1e-{most}") == infer_tick(bars(*prices), len(prices))


@given(st.integers(1, 10**9), st.integers(0, 8), st.integers(1, 9))
def test_a_price_lies_between_ticks_exactly_if_it_is_no_multiple(k, d, rest):
    tick = float(f"1e-{d}")
    on, off = float(f"{k}e-{d}"), float(f"{k}{rest}e-{d + 1}")
    assert [False, True] == between_ticks(np.array([on, off]), tick).tolist()
