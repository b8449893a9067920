"""The peers of the feature benchmark compute what we compute, or the comparison of speeds would say nothing."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import feature_peers, inputs
from benchmarks.features import compare, main
from benchmarks.plain_vector import plain_vector
from features.registry import FEATURES, feature_set
from utils.errors import InvariantError


@pytest.fixture(scope="module")
def bars():
    bars = inputs.bars(3_000, 7, empty=0.05, gaps=0.05)
    bars["taker_buy"] = bars["volume"] * np.random.default_rng(8).random(len(bars))
    return bars


@pytest.fixture(scope="module")
def ours(bars):
    return feature_set().batch(bars)


def test_pandas_gives_our_values(bars, ours):
    theirs = feature_peers.by_pandas(pd.DataFrame(feature_peers.columns(bars)), inputs.TICK)
    assert {feature.name for feature in FEATURES} == set(theirs)
    compare(ours, theirs, "pandas", room=1e-9)


def test_plain_python_gives_our_values_and_our_absences(bars, ours):
    vector = plain_vector()
    next(vector)
    rows = zip(*(bars[name].tolist() for name in ("ts", *feature_peers.PRICES)), strict=True)
    theirs = np.array([vector.send(row) for row in rows])
    assert np.array_equal(np.isnan(theirs), np.isnan(ours.view(np.float64).reshape(theirs.shape)))
    compare(ours, dict(zip(ours.dtype.names, theirs.T, strict=True)), "plain Python", room=1e-9)


def test_a_peer_that_is_off_stops_the_benchmark(ours):
    with pytest.raises(InvariantError, match="atr_14: pandas is off by"):
        compare(ours, {"atr_14": ours["atr_14"] * (1.0 + 1e-8)}, "pandas", room=1e-9)


def test_no_rounds_is_one_clear_sentence(capsys):
    assert main(["live", "--rounds", "0"]) == 2
    assert "--rounds: expected at least 1, saw 0" in capsys.readouterr().err


def test_the_help_names_the_parts_and_nothing_else(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert "PART" in shown
    assert "[]}" not in shown
