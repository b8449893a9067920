"""The table of features says what the code says."""

import pytest

from features.catalogue import catalogue, formula_of
from features.registry import REGISTERED
from tests.places import ROOT

PAGE = ROOT / "docs" / "features.md"


def test_the_page_of_features_ends_with_the_catalogue_as_it_is():
    assert PAGE.read_text(encoding="utf-8").endswith(catalogue() + "\n"), (
        "docs/features.md is old; replace its tables by what `python -m features.catalogue` prints"
    )


@pytest.mark.parametrize("feature", [f for features in REGISTERED.values() for f in features], ids=lambda f: f.name)
def test_every_feature_has_a_formula_in_the_table(feature):
    assert formula_of(feature).endswith((".", "clipped after averaging.")), feature.name
