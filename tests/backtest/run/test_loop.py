"""Chunks of a run, and settings that become the record of the signal."""

import pytest

from backtest.data.market import synthetic_market
from backtest.run.loop import simulate
from ml.signal import strategy_params
from tests.e2e.support import settings_of


@pytest.fixture(scope="module")
def market():
    return synthetic_market(settings_of(), "BTCUSDT,ETHUSDT", "1m", 1_000)


def tables(outcome):
    return [getattr(outcome.rows, name).tobytes() for name in ("trades", "orders", "decisions", "equity")]


@pytest.mark.parametrize("chunk", [1, 7, 500, 2_119, 10**6])
def test_the_size_of_a_chunk_changes_nothing(market, chunk):
    assert tables(simulate(market, settings_of())) == tables(simulate(market, settings_of(), chunk=chunk))


def test_a_watcher_sees_every_bar_and_every_trade_once(market):
    told = []
    whole = simulate(market, settings_of(), watch=lambda done, rows: told.append((done, len(rows.trades))), chunk=300)
    assert len(market.bars) == told[-1][0]
    assert len(whole.rows.trades) == sum(trades for _, trades in told) > 0


def test_the_halflife_of_the_threshold_is_one():
    step = strategy_params(settings_of(signal__adapt_halflife=10.0))[0].adapt_step / 100.0
    assert 0.5 == pytest.approx((1.0 - step) ** 10)
