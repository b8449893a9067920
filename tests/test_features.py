"""Every feature passes the conformance check, and the registry is what models may rely on."""

import numpy as np
import pytest

from features import technical, volatility, volume
from features.check_inputs import hard_inputs
from features.checks import check_feature
from features.fold import FeatureSet, Source
from features.registry import FEATURES, REGISTERED, feature_set, fingerprint

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
