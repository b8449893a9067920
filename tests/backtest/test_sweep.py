"""A sweep is many simulations: each score is what `simulate` finds, in any number of threads."""

from __future__ import annotations

import pytest

from backtest.data.market import synthetic_market
from backtest.run.loop import simulate
from backtest.sweep import sweep
from utils.settings.tree import Settings


def variants() -> list[Settings]:
    base = Settings()
    return [
        base.model_copy(
            update={
                "risk": base.risk.model_copy(update={"take_bps": take}),
                "signal": base.signal.model_copy(update={"adapt_quantile": quantile}),
            }
        )
        for take in (15.0, 25.0, 40.0)
        for quantile in (0.8, 0.9)
    ]


@pytest.fixture(scope="module")
def market():
    return synthetic_market(Settings(), "AAAUSDT,BBBUSDT", "1m", 3000, None)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_each_score_is_what_a_single_simulation_finds(market, workers):
    settings = variants()
    scores = sweep(market, settings, workers=workers)
    for one, score in zip(settings, scores, strict=True):
        outcome = simulate(market, one)
        assert outcome.equity == score.equity
        assert len(outcome.rows.trades) == score.trades
    assert len({score.net_pnl for score in scores}) > 1
