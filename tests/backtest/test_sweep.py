"""A sweep is many simulations: each score is what `simulate` finds, in any number of threads."""

from __future__ import annotations

import pytest

from backtest.data.market import synthetic_market
from backtest.run.loop import simulate
from backtest.sweep import sweep
from utils.errors import ConfigError
from utils.settings.tree import InstrumentEntry, Settings


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


def test_sets_that_differ_in_fees_or_capital_differ_in_score(market):
    base = Settings()
    dear = {"synthetic": {"default": InstrumentEntry(maker_bps=6.0, taker_bps=9.0)}}
    settings = [
        base,
        base.model_copy(update={"instruments": {**base.instruments, **dear}}),
        base.model_copy(update={"simulation": base.simulation.model_copy(update={"initial_capital": 50_000.0})}),
    ]
    scores = sweep(market, settings)
    for one, score in zip(settings, scores, strict=True):
        outcome = simulate(market, one)
        assert (len(outcome.rows.trades), outcome.equity) == (score.trades, score.equity)
    assert scores[0].trades > 0
    assert scores[1].net_pnl < scores[0].net_pnl
    assert scores[2].equity > 40_000.0


def test_a_set_that_would_need_another_market_is_refused(market):
    base = Settings()
    other = base.model_copy(update={"simulation": base.simulation.model_copy(update={"warmup_bars": 500})})
    with pytest.raises(ConfigError, match=r"simulation\.warmup_bars: the market was built with None, saw 500"):
        sweep(market, [base, other])
