"""The table of features says what the code says."""

import fnmatch
import re

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


#: Weights of the newest value that docs/features.md names: feature, parameter, value as it stands there.
WEIGHTS = [
    ("ewma_vol_20_bps", 0, "0.0341"),
    ("ewma_vol_120_bps", 0, "0.00576"),
    ("vol_ratio_20_120", 0, "0.0341"),
    ("vol_ratio_20_120", 2, "0.00576"),
    ("trend_12_48", 1, "0.154"),
    ("trend_12_48", 3, "0.0408"),
    ("trend_12_48", 4, "0.0341"),
    ("ema_slope_12_bps", 1, "0.154"),
    ("atr_14", 1, "0.0714"),
    ("rsi_14", 1, "0.0714"),
    ("adjusted_vol_20_bps", 1, "0.00231"),
    ("adjusted_vol_20_bps", 2, "0.0000481"),
    ("adjusted_vol_20_bps", 3, "0.0341"),
]
BY_NAME = {feature.name: feature for features in REGISTERED.values() for feature in features}


@pytest.mark.parametrize(("name", "place", "text"), WEIGHTS)
def test_the_weights_of_averages_on_the_page_are_those_of_the_code(name, place, text):
    assert float(text) == pytest.approx(BY_NAME[name].params[place], rel=0.005)
    (row,) = [line for line in section("Exponential averages").splitlines() if f"`{name}`" in line and text in line][:1]
    assert row.startswith("|")


def test_every_feature_named_where_formulas_leave_something_open_exists():
    names = re.findall(r"`([a-z]+_[a-z0-9_*]+)`", section("Exponential averages", "## The registered features"))
    assert len(names) > 30
    assert [] == [name for name in names if not fnmatch.filter(BY_NAME, name)]


def section(begin, end=None):
    text = PAGE.read_text(encoding="utf-8")
    text = text[text.index(f"**{begin}") :]
    return text[: text.index(end)] if end else text[: text.index("\n\n**", 1)]
