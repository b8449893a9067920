"""Every feature passes the conformance check, and the registry is what models may rely on."""

import numpy as np
import pytest

from features.check_inputs import hard_inputs
from features.checks import check_feature, problems
from features.fold import FeatureSet
from features.folds import technical, volatility, volume
from features.registry import FEATURES, REGISTERED, feature_set, fingerprint
from features.rows.sources import Source
from ingest.files.candles import load_candles
from tests.e2e.support import CANDLES

#: Every bar feature that can be made, as its defaults make it.
MADE = tuple(
    make()
    for module in (technical, volatility, volume)
    for make in vars(module).values()
    if getattr(make, "__annotations__", {}).get("return") == "Feature"
)
#: Those the default vector does without: too dear for what they add, but there for a strategy of one's own.
SPARE = tuple(feature for feature in MADE if feature.name not in {registered.name for registered in FEATURES})


def test_features_outside_the_default_vector():
    names = {"rogers_satchell_20_bps", "yang_zhang_20_bps", "volume_zscore_20", "atr_14_bps", "time_of_day_vol"}
    assert names == {feature.name for feature in SPARE}
    assert len(names) == len(SPARE)


@pytest.mark.parametrize(
    "feature", [feature for features in REGISTERED.values() for feature in features], ids=lambda feature: feature.name
)
def test_registered_feature_conforms(feature):
    check_feature(feature, among=REGISTERED[feature.source])


#: With takers' volume and halts, and without.
RECORDED = ("binance_usdm_flow/1m/NEARUSDT_202506.parquet", "bybit_linear/5m/SOLUSDT_20250403_20250810.parquet")


@pytest.mark.skipif(not CANDLES.exists(), reason="the recorded candles are not beside this tree")
def test_every_registered_bar_feature_conforms_on_recorded_candles():
    # the whole files are turned elsewhere; a day of minutes and five of five minutes hold what is hard about them
    inputs = [(name, load_candles(CANDLES / name).rows[:1500]) for name in RECORDED]
    found = {feature.name: problems(feature, FEATURES, inputs) for feature in FEATURES}
    assert {} == {name: problem for name, problem in found.items() if problem}


@pytest.mark.parametrize("feature", SPARE, ids=lambda feature: feature.name)
def test_feature_outside_the_default_vector_conforms(feature):
    check_feature(feature, among=SPARE)


@pytest.mark.parametrize(
    ("features", "rows"),
    [
        pytest.param(features, rows, id=f"{kind} {name}")
        for kind, features in [("spare", SPARE), *((source.name, REGISTERED[source]) for source in Source)]
        for name, rows in hard_inputs(features[0].source)
    ],
)
def test_features_are_undefined_exactly_where_their_rule_says(features, rows):
    out = FeatureSet(features).batch(rows)
    for feature in features:
        expected = feature.undefined.allowed(rows)
        expected[: feature.warmup] = True
        assert np.flatnonzero(expected).tolist() == np.flatnonzero(np.isnan(out[feature.name])).tolist(), feature.name


def test_thirty_bar_features_are_registered():
    assert len(FEATURES) == 30
    assert len({feature.name for feature in FEATURES}) == 30


def test_longest_warm_up_leaves_room_for_small_runs():
    assert feature_set().warmup == max(feature.warmup for feature in FEATURES)
    assert feature_set().warmup <= 100


@pytest.mark.parametrize("source", list(Source))
def test_fingerprint_is_that_of_the_registered_set(source):
    assert feature_set(source=source).fingerprint() == fingerprint(source)
