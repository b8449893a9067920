"""What is kept of a run: the funnel, the break-even table, its name."""

import numpy as np
import pytest

from backtest.data.market import synthetic_market
from backtest.run.report import break_even_table, needed_win_rate, run_hash
from backtest.sim_loop import run_simulation
from tests.e2e.support import settings_of


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
    table = {row["execution"]: row for row in break_even_table(market, settings)}
    assert 18.0 / 43.0 == table["no costs"]["win_rate"]
    # maker in and out 2 + 2; maker in 2, out through the stop 5 and a tick, more than half a spread and slippage
    first = market.decided[market.decided["sym"] == 0]
    tick = 1e4 * market.instruments["tick"][0] / np.median(first["close"])
    assert tick > 1.5
    needed = (18.0 + 7.0 + tick) / ((25.0 - 4.0) + (18.0 + 7.0 + tick))
    assert needed == pytest.approx(table["maker entry, maker take, taker stop"]["win_rate"])
    assert table["taker entry, maker take, taker stop"]["win_rate"] == needed_win_rate(
        market, settings_of(execution__entry="market")
    )


def test_the_name_of_a_run_is_what_went_in(market):
    assert run_hash(market, settings_of()) == run_hash(market, settings_of(logs__dir="elsewhere"))
    assert run_hash(market, settings_of()) != run_hash(market, settings_of(risk__take_bps=26.0))
