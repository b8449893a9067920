"""Columns of a user beside the features: taken as they are, asked again on bars cut off, refused if they know more."""

import dataclasses

import numpy as np
import pytest

from backtest.data import columns
from backtest.data.columns import audit_registered, of_user
from backtest.data.dataset import make_dataset
from backtest.data.market import synthetic_market
from utils.errors import DataError, InvariantError
from utils.settings.tree import Settings

SETTINGS = Settings()


@pytest.fixture(scope="module")
def market():
    return synthetic_market(SETTINGS, "BTCUSDT,ETHUSDT", "1m", 300)


def honest(frame):
    return frame[["ts"]].assign(slope=frame["close"].diff(3), wide=frame["high"] - frame["low"])


def test_columns_of_a_user_are_of_each_symbol_by_itself(market):
    found = of_user(honest, market)
    assert found.names == ("slope", "wide")
    for sym in range(2):
        own = market.bars["sym"] == sym
        close = market.bars["close"][own]
        np.testing.assert_array_equal(found.values[own, 0][3:], close[3:] - close[:-3])
        assert np.isnan(found.values[own, 0][:3]).all()


def test_they_stand_after_the_features_and_have_a_fingerprint_of_their_source(market):
    made = make_dataset(market, SETTINGS, further=(of_user(honest, market),))
    assert made.table.names[-2:] == ("slope", "wide")
    assert made.manifest["fingerprint"] != make_dataset(market, SETTINGS).manifest["fingerprint"]

    def other(frame):
        return frame[["ts"]].assign(slope=frame["close"].diff(4), wide=frame["high"] - frame["low"])

    assert of_user(other, market).fingerprint != of_user(honest, market).fingerprint
    assert of_user(honest, market).fingerprint == of_user(honest, market).fingerprint


@pytest.mark.parametrize(
    "leak",
    [
        lambda frame: frame["close"].shift(-1),
        lambda frame: frame["close"] - frame["close"].mean(),
        lambda frame: frame["close"].rank(),
        lambda frame: frame["close"].rolling(3, center=True).mean(),
        lambda frame: frame["close"].bfill().iloc[::-1].cummax().iloc[::-1],
    ],
)
def test_a_planted_leak_is_caught_and_named(market, leak):
    with pytest.raises(DataError, match="--features: column later knows later bars: at row") as caught:
        of_user(lambda frame: frame[["ts"]].assign(fine=frame["close"], later=leak(frame)), market)
    assert caught.value.exit_code == 2


def test_a_leak_of_one_bar_in_a_registered_column_is_a_bug_of_ours(market, monkeypatch):
    audit_registered(market, SETTINGS)

    class Ahead:
        """A signaller that answers one bar too early."""

        def __init__(self, *given):
            self._true = columns_signaller(*given)

        def batch(self, rows, features):
            signals = self._true.batch(rows, features).copy()
            signals["side"][:-1] = np.sign(np.diff(rows["close"]))
            return signals

    columns_signaller = columns.Signaller
    monkeypatch.setattr(columns, "Signaller", Ahead)
    with pytest.raises(InvariantError, match="side: knew bars after row"):
        audit_registered(market, SETTINGS)


def fails(frame):
    raise KeyError("no_such_column")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (fails, r"expected columns, saw KeyError\('no_such_column'\); mend the function"),
        (lambda _: None, "expected a value for each of 360 rows, saw 0"),
        (lambda _: 5, "expected columns, saw ValueError"),
        (lambda frame: frame, "expected columns besides those of the market, saw none"),
        (lambda frame: {"one": frame["close"][1:]}, "expected a value for each of"),
        (lambda frame: {"label_win": frame["close"]}, "names of columns that are free, saw 'label_win'"),
        (lambda frame: {"a b": frame["close"]}, "names of columns that are free, saw 'a b'"),
        (lambda frame: {"one": frame["symbol"]}, "column one: expected numbers"),
        (lambda frame: {"one": frame["close"] / 0.0}, "column one: row 0: expected a finite number or NaN, saw inf"),
        (
            lambda frame: {frame["symbol"][0]: frame["close"]},
            "expected the columns BTCUSDT of each symbol, saw ETHUSDT",
        ),
    ],
)
def test_what_is_no_columns_is_refused(market, function, said):
    with pytest.raises(DataError, match=said):
        of_user(function, market)


def test_one_bar_is_nothing_to_audit(market):
    one = dataclasses.replace(market, symbols=("BTCUSDT",), bars=market.bars[:1])
    audit_registered(one, SETTINGS)
    assert of_user(lambda frame: {"one": frame["close"]}, one).values.shape == (1, 1)
