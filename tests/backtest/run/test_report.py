"""What is kept of a run: the funnel, the break-even table, its name."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from backtest.data.market import synthetic_market
from backtest.run.report import BarrierSizes, barriers_of, break_even_table, charged, needed_win_rate, run_hash
from backtest.run.summary import warnings
from backtest.sim_loop import run_simulation
from tests.e2e.support import settings_of
from tests.market import wander


@pytest.fixture(scope="module")
def market():
    return synthetic_market(settings_of(), "BTCUSDT,ETHUSDT", "1m", 1_000)


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
    barriers = BarrierSizes(25.0, 18.0, of_trades=False)
    table = {row["execution"]: row for row in break_even_table(market, settings, barriers, 60_000.0)}
    assert 18.0 / 43.0 == table["no costs"]["win_rate"]
    # maker in and out 2 + 2; maker in 2, out through the stop 5 and half a spread of 1 and slippage 1
    needed = (18.0 + 8.5) / ((25.0 - 4.0) + (18.0 + 8.5))
    assert needed == pytest.approx(table["maker entry, maker take, taker stop"]["win_rate"])
    taking = settings_of(execution__entry="market")
    assert table["taker entry, maker take, taker stop"]["win_rate"] == needed_win_rate([*table.values()], taking)


def trades_of(rows):
    """Columns of trades: entry, stop, take, quantity."""
    names = ("entry_price", "stop_price", "take_price", "qty")
    return {name: np.array([row[k] for row in rows], np.float64) for k, name in enumerate(names)}


def test_without_trades_the_barriers_are_those_of_the_settings():
    assert BarrierSizes(25.0, 18.0, of_trades=False) == barriers_of(settings_of(), trades_of([]))
    nowhere = trades_of([(100.0, np.nan, np.nan, 1.0)])
    assert BarrierSizes(25.0, 18.0, of_trades=False) == barriers_of(settings_of(), nowhere)


def test_the_barriers_of_a_run_are_those_of_its_trades_by_their_notional(market):
    # long 200/100 bps on 300 quote, short 100/50 bps on 100 quote
    had = barriers_of(settings_of(), trades_of([(100.0, 99.0, 102.0, 3.0), (50.0, 50.25, 49.5, 2.0)]))
    assert had.of_trades
    assert (175.0, 87.5) == pytest.approx((had.take_bps, had.stop_bps))
    # at that rate the sum over trades is 0: no costs
    p = break_even_table(market, settings_of(), had, 60_000.0)[0]["win_rate"]
    assert 300 * (p * 200 - (1 - p) * 100) + 100 * (p * 100 - (1 - p) * 50) == pytest.approx(0.0, abs=1e-8)


def test_a_run_prints_the_rate_that_the_barriers_of_its_signals_need(tmp_path, market):
    def wide(frame):
        side = np.where(np.arange(len(frame)) % 50 == 10, 1.0, np.nan)
        return frame[["ts"]].assign(side=side, take_bps=300.0, stop_bps=100.0, horizon=5)

    settings = settings_of(execution__entry="market")
    result = run_simulation(data=market, settings=settings, strategy=wide, logs_dir=tmp_path, audit=False)
    assert 10 < len(result.trades)
    # taker in 5, half a spread and slippage 1.5; maker out 2 or taker out 6.5
    needed = (100.0 + 13.0) / ((300.0 - 8.5) + (100.0 + 13.0))
    assert needed == pytest.approx(result.report["break_even_win_rate"], abs=1e-2)
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["barriers"]["of_trades"]
    assert (300.0, 100.0) == pytest.approx((run["barriers"]["take_bps"], run["barriers"]["stop_bps"]), rel=0.05)
    assert run["break_even"][2]["win_rate"] == result.report["break_even_win_rate"]


def test_what_was_charged_is_said_by_symbol(market):
    fees = [(one["symbol"], one["maker_bps"], one["taker_bps"]) for one in charged(market)]
    assert [("BTCUSDT", 2.0, 5.0), ("ETHUSDT", 2.0, 5.0)] == fees


def test_a_tick_that_costs_more_than_spread_and_slippage_counts_in_the_break_even_table(market):
    coarse = market.instruments.copy()
    coarse["tick"] = 60.0
    settings = settings_of(risk__take_bps=25.0, risk__stop_bps=18.0)
    barriers = BarrierSizes(25.0, 18.0, of_trades=False)
    table = break_even_table(dataclasses.replace(market, instruments=coarse), settings, barriers, 60_000.0)
    assert (4.0, pytest.approx(17.0)) == (table[1]["cost_take_bps"], table[1]["cost_stop_bps"])


def test_the_name_of_a_run_is_what_went_in(market):
    assert run_hash(market, settings_of()) == run_hash(market, settings_of(logs__dir="elsewhere"))
    assert run_hash(market, settings_of()) != run_hash(market, settings_of(risk__take_bps=26.0))


def coarse(ticks, tmp_path, *sides, **overrides):
    """A run on candles around 100, a tick of 0.1 or so many of them."""
    rows = wander(120, 5, start=1_000 // ticks, step=2)
    frame = pd.DataFrame({name: rows[name] * ticks for name in ("open", "high", "low", "close")})
    frame = frame.assign(timestamp=np.arange(120) * 300_000 + 1_735_689_600_000, volume=1e6)

    def strategy(market):
        chosen = market[["ts"]].iloc[20 : 20 + 20 * len(sides) : 20]
        return chosen.assign(side=[float(side) for side in sides])

    settings = settings_of(**{"execution__entry": "market", "simulation__warmup_bars": 5, **overrides})
    return run_simulation(data=frame, symbol="XUSDT", tf="5m", strategy=strategy, settings=settings, logs_dir=tmp_path)


def test_a_tick_that_is_more_than_a_quarter_of_the_stop_is_warned_of(tmp_path):
    result = coarse(10, tmp_path, 1, -1, 1, risk__stop_bps=200.0)
    (share,) = result.report["tick_per_stop"].values()
    assert 0.3 < share <= 0.5  # two ticks or a little more, rounded away
    assert any("candles cannot judge this market" in line for line in warnings(result))
    fine = coarse(10, tmp_path, 1, -1, 1, risk__stop_bps=900.0)
    assert not any("candles cannot judge" in line for line in warnings(fine))


def test_without_a_trade_the_stop_that_the_settings_ask_for_is_compared(tmp_path):
    asked = coarse(10, tmp_path, risk__stop_bps=200.0).report["tick_per_stop"]["XUSDT"]
    assert asked == pytest.approx(0.5, rel=0.2)
    assert coarse(10, tmp_path, risk__stop="atr").report["tick_per_stop"]["XUSDT"] is None


def test_a_price_that_the_cap_held_is_counted_and_said(tmp_path):
    result = coarse(1, tmp_path, 1, risk__take_bps=900.0, risk__stop_bps=900.0, simulation__spread_bps=1.0)
    assert 0 == result.report["capped_prices"]
    frame = pd.DataFrame(result.market.bars)
    thin = frame.assign(timestamp=frame["ts"] // 10**6 - 300_000)[
        ["timestamp", "open", "high", "low", "close", "volume"]
    ]
    last = thin.index[-1]
    thin.loc[last, "volume"] = 1e-6
    thin.loc[last, ["high", "low"]] = thin.loc[last, "close"] + 1.0, thin.loc[last, "close"] - 1.0
    thin.loc[last, "high"] = max(thin.loc[last, "high"], thin.loc[last, "open"])
    thin.loc[last, "low"] = min(thin.loc[last, "low"], thin.loc[last, "open"])

    def held(market):
        return market[["ts"]].iloc[60:61].assign(side=1.0, horizon=500.0)

    settings = settings_of(
        execution__entry="market", simulation__warmup_bars=5, risk__take_bps=1000.0, risk__stop_bps=1000.0
    )
    result = run_simulation(
        data=thin, symbol="XUSDT", tf="5m", strategy=held, settings=settings, logs_dir=tmp_path / "thin"
    )
    assert ["END_OF_DATA"] == result.trades["exit_reason"].tolist()
    assert 1 == result.report["capped_prices"]
    assert any("simulation.max_impact_bps: 1" in line for line in warnings(result))
    exit_price = result.trades["exit_price"].iloc[0]
    assert exit_price >= 0.98 * thin.loc[last, "close"]


def test_where_no_win_rate_pays_the_costs_a_run_says_so(tmp_path):
    dear = {f"instruments__default__default__{kind}_bps": fee for kind, fee in (("maker", 100.0), ("taker", -10.0))}
    result = coarse(1, tmp_path, 1, -1, 1, **(dear | {"execution__entry": "limit"}))
    assert result.report["break_even_win_rate"] is None
    assert any("no win rate pays these costs" in line for line in warnings(result))
