"""Every registered feature passes the conformance check, and the registry is what models may rely on."""

import numpy as np
import pytest

from features.checks import check_feature, hard_inputs
from features.registry import FEATURES, feature_set, fingerprint


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_registered_feature_conforms(feature):
    check_feature(feature, among=FEATURES)


@pytest.mark.parametrize(
    ("name", "bars"), list(hard_inputs()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_features_are_undefined_exactly_where_their_rule_says(name, bars):
    out = feature_set().batch(bars)
    for feature in FEATURES:
        expected = feature.undefined.allowed(bars)
        expected[: feature.warmup] = True
        assert np.flatnonzero(expected).tolist() == np.flatnonzero(np.isnan(out[feature.name])).tolist(), feature.name


def test_thirty_bar_features_are_registered():
    assert len(FEATURES) == 30
    assert len({feature.name for feature in FEATURES}) == 30


def test_longest_warm_up_leaves_room_for_small_runs():
    assert feature_set().warmup == max(feature.warmup for feature in FEATURES)
    assert feature_set().warmup <= 100


def test_fingerprint_is_that_of_the_registered_set():
    assert feature_set().fingerprint() == fingerprint()
