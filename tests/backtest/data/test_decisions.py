"""Decisions of a market as a data set: which bars, which columns, and labels by the walk that the engine takes."""

import dataclasses

import numpy as np
import pytest

from backtest.data.dataset import make_dataset
from backtest.data.decisions import Content, Further, Maker
from backtest.data.market import build_market, synthetic_market
from exec.trader import Trader
from features.live import BOOK_AT_CLOSE
from features.registry import feature_set
from ingest.synthetic import SyntheticFeed
from ml.barriers.labels import labels
from ml.learning.table import BESIDE, LONG, SHORT
from utils.codes import END_OF_DATA, NO_BAR
from utils.errors import ConfigError, DataError
from utils.params import params_of
from utils.settings.tree import Settings

SETTINGS = Settings()


def candles(symbol, bars=400, seed=1):
    return SyntheticFeed(symbol, "1m", seed, "large-tick").candles(bars)


def at(bars, table):
    """Rows of the bars that the decisions were made on."""
    return np.searchsorted(bars["ts"] + bars["sym"], table.ts + table.sym)


@pytest.fixture(scope="module")
def market():
    """Two symbols of which one begins 40 bars later."""
    late = candles("BTCUSDT", 440, 2)
    return build_market([candles("ADAUSDT"), dataclasses.replace(late, rows=late.rows[40:].copy())], SETTINGS)


@pytest.fixture(scope="module")
def made(market):
    return make_dataset(market, SETTINGS)


def test_each_bar_after_the_warm_up_is_a_row_unless_nobody_knows_its_end(market, made):
    table = made.table
    decided = market.decided
    assert len(decided) - 60 < len(table) < len(decided)
    kept = at(decided, table)
    assert np.diff(kept).min() == 1
    left_out = np.setdiff1d(np.arange(len(decided)), kept)
    assert decided["ts"][left_out].min() > decided["ts"][-1] - 61 * market.tf_ns
    assert not np.isin(made.reason, (END_OF_DATA, NO_BAR)).all(axis=1).any()


def test_features_and_sides_are_those_that_a_trader_decides_by(market, made):
    rows = at(market.bars, made.table)
    vectors = feature_set(2).batch(market.bars)
    signals = Trader(market, SETTINGS).on_bars(market.bars)
    for k, name in enumerate(made.table.names):
        np.testing.assert_array_equal(made.table.x[:, k], vectors[name][rows])
    np.testing.assert_array_equal(made.table.side, signals["side"][rows])
    assert np.isfinite(made.table.side).any()


def test_labels_are_those_of_each_symbol_alone(market, made):
    for sym in range(2):
        bars = market.bars[market.bars["sym"] == sym]
        alone = labels(bars, market.instruments[sym : sym + 1], params_of(SETTINGS, market.tf_ns))
        rows = made.table.sym == sym
        at = np.searchsorted(bars["ts"], made.table.ts[rows])
        for k, of_side in enumerate(alone):
            np.testing.assert_array_equal(made.table.net[rows, k], of_side["net_bps"][at])
            np.testing.assert_array_equal(made.gross[rows, k], of_side["gross_bps"][at])
            assert made.reason[rows, k].tolist() == of_side["reason"][at].tolist()
            assert made.table.until[rows, k].tolist() == of_side["until"][at].tolist()


def test_gross_labels_bear_no_cost(market):
    entered = SETTINGS.model_copy(update={"execution": SETTINGS.execution.model_copy(update={"entry": "market"})})
    free = make_dataset(market, entered, gross=True)
    np.testing.assert_array_equal(free.table.net, free.gross)
    paid = make_dataset(market, entered)
    assert free.manifest["long"]["mean_net_bps"] - paid.manifest["long"]["mean_net_bps"] > 8.0
    assert free.manifest["configuration"]["gross"]
    assert free.manifest["configuration"]["costs"]["taker_bps"] == [0.0, 0.0]


def test_the_manifest_counts_what_stands_in_the_table(market, made):
    told = made.manifest
    assert told["rows"] == len(made)
    for k, name in ((LONG, "long"), (SHORT, "short")):
        net = made.table.net[:, k]
        labelled = np.isfinite(net)
        assert told[name]["labels"] == labelled.sum()
        assert told[name]["wins"] == (net > 0).sum()
        assert told[name]["base_rate"] == pytest.approx((net[labelled] > 0).mean())
        assert told[name]["mean_uniqueness"] == pytest.approx(made.table.weight[labelled, k].mean())
        assert sum(told[name]["reasons"].values()) == len(made)
    assert told["configuration"]["symbols"] == ["ADAUSDT", "BTCUSDT"]
    assert told["sources"][0]["sha256"] == market.files[0]["sha256"]
    assert "secrets" not in told["settings"]


def test_equal_data_have_equal_hashes_however_they_were_cut(market, made, monkeypatch):
    whole, cut = Content(), Content()
    whole.add(made)
    monkeypatch.setattr("backtest.data.decisions.STRETCH", 37)
    monkeypatch.setattr("backtest.data.decisions.CACHED", 16)
    for part in Maker(market, SETTINGS).parts():
        cut.add(part)
    assert cut.digest == whole.digest
    again = make_dataset(market, SETTINGS)
    assert again.manifest["long"]["reasons"] == made.manifest["long"]["reasons"]
    for name in BESIDE:
        np.testing.assert_array_equal(getattr(again.table, name), getattr(made.table, name))
    fewer = Content()
    fewer.add(made.take(slice(1, None)))
    assert fewer.digest != whole.digest


def test_columns_of_a_user_and_of_a_book_are_features_and_change_the_fingerprint(market, made):
    book = np.full(len(market.bars), np.nan, BOOK_AT_CLOSE)
    book["spread_bps"][500:] = 1.5
    own = np.arange(len(market.bars), dtype=np.float64)[:, None]
    wider = make_dataset(
        dataclasses.replace(market, book=book), SETTINGS, further=(Further(("mine",), own, "of its source"),)
    )
    names = wider.table.names
    assert names[: len(made.table.names)] == made.table.names
    assert names[-1] == "mine"
    spread = wider.table.x[:, names.index("spread_bps")]
    first = int(np.argmax(np.isfinite(spread)))
    assert first > 0
    assert set(spread[first:]) == {1.5}
    assert wider.table.x[:, -1].tolist() == at(market.bars, wider.table).tolist()
    assert len({one.manifest["fingerprint"] for one in (made, wider)}) == 2
    assert wider.manifest["configuration"]["fingerprint"] == wider.manifest["fingerprint"]


def test_an_entry_chosen_signal_by_signal_is_refused(market):
    auto = SETTINGS.model_copy(update={"execution": SETTINGS.execution.model_copy(update={"entry": "auto"})})
    with pytest.raises(ConfigError, match="expected one of market, limit, post_only, saw auto"):
        Maker(market, auto)


def test_a_history_whose_trades_do_not_end_is_refused():
    with pytest.raises(DataError, match="saw 1 bars after the warm-up and none; use a longer history"):
        make_dataset(synthetic_market(SETTINGS, "BTCUSDT", "1m", 1), SETTINGS)
