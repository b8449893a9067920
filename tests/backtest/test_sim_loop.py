"""The replay driver: chunks, settings into records, the funnel, and the result."""

import math

import numpy as np
import pytest

from backtest.data.market import synthetic_market
from backtest.sim_loop import (
    break_even_table,
    chunks,
    needed_win_rate,
    params_of,
    run_hash,
    run_simulation,
    simulate,
)
from ingest.synthetic import SyntheticFeed
from ml.signal import strategy_params
from tests.e2e.support import settings_of
from utils.rows import BAR, LIMIT, MARKET, NS_PER_S, POST_ONLY


@pytest.fixture(scope="module")
def market():
    return synthetic_market(settings_of(), "BTCUSDT,ETHUSDT", "1m", 1_000)


def tables(outcome):
    return [getattr(outcome.rows, name).tobytes() for name in ("trades", "orders", "decisions", "equity")]


@pytest.mark.parametrize("chunk", [1, 7, 500, 2_119, 10**6])
def test_the_size_of_a_chunk_changes_nothing(market, chunk):
    assert tables(simulate(market, settings_of())) == tables(simulate(market, settings_of(), chunk=chunk))


def test_chunks_never_part_the_bars_of_one_instant():
    bars = np.zeros(10, BAR)
    bars["ts"] = [1, 1, 2, 2, 2, 2, 3, 4, 4, 5]
    assert [(0, 6), (6, 9), (9, 10)] == chunks(bars, 3)
    assert [] == chunks(bars[:0], 3)


def test_a_watcher_sees_every_bar_and_every_trade_once(market):
    told = []
    whole = simulate(market, settings_of(), watch=lambda done, rows: told.append((done, len(rows.trades))), chunk=300)
    assert len(market.bars) == told[-1][0]
    assert len(whole.rows.trades) == sum(trades for _, trades in told) > 0


@pytest.mark.parametrize(("entry", "kind"), [("market", MARKET), ("limit", LIMIT), ("post_only", POST_ONLY)])
def test_settings_become_the_record_of_the_engine(entry, kind):
    settings = settings_of(execution__entry=entry, simulation__spread_bps=3.0, risk__trail="atr", risk__stop="atr")
    row = params_of(settings, 60 * NS_PER_S)[0]
    assert (kind, 1.5, 0.0, 2.0, 1) == (
        row.entry_kind,
        row.half_spread_bps,
        row.trail_bps,
        row.trail_atr,
        row.stop_in_atr,
    )
    assert (0.0, 0) == (row.fixed_notional, row.nan_refuses)
    assert 1 == params_of(settings, 1, live=True)[0].nan_refuses


def test_the_halflife_of_the_threshold_is_one():
    step = strategy_params(settings_of(signal__adapt_halflife=10.0))[0].adapt_step / 100.0
    assert 0.5 == pytest.approx((1.0 - step) ** 10)


def test_the_funnel_adds_up(tmp_path, market):
    result = run_simulation(data=market, settings=settings_of(), logs_dir=tmp_path)
    count = result.funnel
    stopped = sum(number for name, number in count.items() if name.startswith("stopped by"))
    assert len(market.bars) == count["bars"] == stopped + count["signals"]
    assert count["signals"] == sum(count[name] for name in ("held", "refused", "closed only", "entry orders"))
    lost = sum(count[f"entries {name}"] for name in ("expired", "cancelled", "rejected"))
    assert count["entry orders"] == count["trades"] + lost
    assert len(result.signals) == count["signals"]


def test_break_even_is_the_formula_of_costs(market):
    settings = settings_of(risk__take_bps=25.0, risk__stop_bps=18.0)
    table = {row["execution"]: row for row in break_even_table(market, settings)}
    assert 18.0 / 43.0 == table["no costs"]["win_rate"]
    # maker in and out 2 + 2; maker in 2, out through the stop 5 and half a spread of 1 and slippage 1
    needed = (18.0 + 8.5) / ((25.0 - 4.0) + (18.0 + 8.5))
    assert needed == pytest.approx(table["maker entry, maker take, taker stop"]["win_rate"])
    assert table["taker entry, maker take, taker stop"]["win_rate"] == needed_win_rate(
        market, settings_of(execution__entry="market")
    )


def test_the_name_of_a_run_is_what_went_in(market):
    assert run_hash(market, settings_of()) == run_hash(market, settings_of(logs__dir="elsewhere"))
    assert run_hash(market, settings_of()) != run_hash(market, settings_of(risk__take_bps=26.0))


def test_settings_do_not_come_from_the_environment_where_they_are_given(tmp_path, monkeypatch):
    monkeypatch.setenv("SCALPER__SIMULATION__INITIAL_CAPITAL", "5")
    candles = SyntheticFeed("BTCUSDT", "1m", 1, "large-tick").candles(100)
    assert 1e4 == run_simulation(data=candles, settings=settings_of(), logs_dir=tmp_path).report["initial_capital"]
    assert 5.0 == run_simulation(data=candles, logs_dir=tmp_path).report["initial_capital"]


def test_a_result_says_nothing_that_is_not_a_number(tmp_path, market):
    report = run_simulation(data=market, settings=settings_of(signal__min_strength=100.0), logs_dir=tmp_path).report
    assert 0 == report["trades"]
    assert [] == [name for name, value in report.items() if isinstance(value, float) and not math.isfinite(value)]
