"""Volume profile: golden vectors, its ties and edges, and what holds of every profile."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from features.studies.profile import volume_profile
from utils.errors import ConfigError, DataError
from utils.rows import BAR

GOLDEN = {99: 5, 100: 20, 101: 40, 102: 25, 103: 10}
CBOT = {106: 150, 107: 90, 105: 70, 108: 80, 109: 50}


def traded(profile):
    """Trades that make a profile of price and volume."""
    return pd.DataFrame({"ts": 1_700_000_000, "side": 1, "price": list(profile), "qty": list(profile.values())})


def area(profile, **settings):
    found = volume_profile(traded(profile), bin=1.0, **settings)
    return found.poc, found.val, found.vah


def test_the_golden_profile_has_its_value_areas():
    assert (101.0, 100.0, 102.0) == area(GOLDEN, rows=1)
    assert (101.0, 101.0, 103.0) == area(GOLDEN, rows=2)


def test_the_example_of_the_exchange_has_its_value_area():
    # 388 of a longer profile are wanted, 390 found
    assert (106.0, 105.0, 108.0) == area(CBOT, rows=1, value_area=388 / 440)


@pytest.mark.parametrize(
    ("profile", "poc"),
    [
        ({1: 5, 2: 9, 3: 1, 4: 9, 5: 1, 6: 1, 7: 1}, 4.0),
        ({1: 9, 2: 5, 3: 9}, 1.0),
        ({1: 9, 2: 9, 3: 9, 4: 9}, 2.0),
    ],
    ids=["nearest to the middle", "then the lower", "of a flat profile"],
)
def test_of_several_rows_with_the_most_volume_one_is_the_point_of_control(profile, poc):
    assert poc == area(profile)[0]


@pytest.mark.parametrize(
    ("profile", "rows", "expected"),
    [
        ({1: 80, 2: 10, 3: 10}, 2, (1.0, 1.0, 1.0)),
        ({1: 50, 2: 10, 3: 20, 4: 20}, 2, (1.0, 1.0, 3.0)),
        ({1: 50, 2: 10, 3: 20, 4: 20}, 1, (1.0, 1.0, 3.0)),
        ({1: 20, 2: 20, 3: 10, 4: 50}, 2, (4.0, 2.0, 4.0)),
        ({1: 30, 2: 40, 3: 30}, 2, (2.0, 2.0, 3.0)),
        ({1: 15, 2: 25, 3: 40, 4: 20}, 2, (3.0, 1.0, 3.0)),
    ],
    ids=["the first row is enough", "nothing below", "one at a time", "nothing above", "a tie", "one row left above"],
)
def test_the_value_area_at_the_edges(profile, rows, expected):
    assert expected == area(profile, rows=rows)


def test_a_position_is_a_fraction_of_the_value_area():
    found = volume_profile(traded(GOLDEN), bin=1.0, rows=1)
    assert [-0.5, 0.0, 0.5, 1.0, 1.5] == [found.position(price) for price in (99, 100, 101, 102, 103)]
    assert math.isnan(volume_profile(traded({1: 1}), bin=1.0).position(1.0))


def test_rows_are_as_high_as_the_smallest_step_of_prices_where_nothing_is_said():
    found = volume_profile(traded({0.1: 1, 0.3: 2, 0.4: 4}))
    assert 0.1 == found.bin
    assert [0.1, 0.2, 0.3, 0.4] == found.prices.tolist()
    assert [1.0, 0.0, 2.0, 4.0] == found.volumes.tolist()
    assert not found.approximate


def test_bars_are_spread_evenly_over_their_range_and_the_profile_says_so():
    bars = pd.DataFrame({"low": [99.5, 101.0], "high": [101.5, 101.0], "volume": [8.0, 3.0]})
    found = volume_profile(bars, bin=1.0)
    assert [100.0, 101.0] == found.prices[:2].tolist()
    assert [4.0, 7.0] == found.volumes[:2].tolist()
    assert found.approximate


def test_bar_rows_and_their_frame_have_the_same_profile():
    rows = np.zeros(3, BAR)
    rows["low"], rows["high"], rows["volume"] = [10.0, 11.0, 10.5], [12.0, 13.0, 10.5], [5.0, 7.0, 2.0]
    frame = pd.DataFrame({name: rows[name] for name in ("low", "high", "volume")})
    one, other = volume_profile(rows), volume_profile(frame)
    assert one.volumes.tolist() == other.volumes.tolist()
    assert pytest.approx(4.0 / 3.0 / 50.0) == one.bin


def test_nodes_are_where_the_profile_peaks_and_where_it_is_thin():
    rows = np.arange(60)
    volumes = 100 * np.exp(-((rows - 15) ** 2) / 20) + 60 * np.exp(-((rows - 45) ** 2) / 20) + 1
    found = volume_profile(traded(dict(zip((1000 + rows).tolist(), volumes.tolist(), strict=True))), bin=1.0)
    assert [1015.0, 1045.0] == found.hvn.tolist()
    assert 1 == len(found.lvn)
    assert 1025.0 <= found.lvn[0] <= 1037.0


def test_the_last_row_of_a_range_may_be_a_high_volume_node_but_no_low_one():
    found = volume_profile(traded({n: 2.0**n for n in range(1, 12)}), bin=1.0)
    assert [11.0] == found.hvn.tolist()
    assert [] == found.lvn.tolist()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"rows": 3}, "rows"),
        ({"value_area": 0.0}, "value_area"),
        ({"value_area": 70}, "value_area"),
        ({"smooth": -1.0}, "smooth"),
        ({"prominence": math.nan}, "prominence"),
        ({"bin": 0.0}, "bin"),
        ({"bin": math.nan}, "bin"),
        ({"bin": 1e-9}, "choose larger"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        volume_profile(traded(GOLDEN), **settings)


@pytest.mark.parametrize(
    ("given_", "sentence"),
    [
        ([], "saw none"),
        (pd.DataFrame({"low": [1.0], "high": [2.0], "volume": [0.0]}), "saw none"),
        (pd.DataFrame({"low": [1.0, 3.0], "high": [2.0, 2.0], "volume": 1.0}), "bars, row 1"),
        (pd.DataFrame({"low": [1.0, math.nan], "high": [2.0, 2.0], "volume": 1.0}), "bars, row 1"),
        (pd.DataFrame({"low": [1.0], "high": [2.0], "volume": [-1.0]}), "bars, row 0"),
        (pd.DataFrame({"low": ["dear"], "high": [2.0], "volume": [1.0]}), "bars: expected numbers"),
        (pd.DataFrame([[1.0, 2.0, 1.0, 1.0]], columns=["low", "high", "volume", "low"]), "once each"),
        (5, "sequence"),
    ],
)
def test_what_has_no_volume_by_price_is_refused(given_, sentence):
    with pytest.raises(DataError, match=sentence):
        volume_profile(given_)


def test_bars_of_several_symbols_are_refused():
    rows = np.zeros(2, BAR)
    rows["low"], rows["high"], rows["volume"], rows["sym"] = 1.0, 2.0, 1.0, [0, 1]
    with pytest.raises(DataError, match="bars, row 1: sym"):
        volume_profile(rows)


PROFILE = st.dictionaries(st.integers(1, 40), st.integers(1, 1000), min_size=1, max_size=30)


@given(PROFILE, st.sampled_from([1, 2]), st.floats(0.05, 1.0))
def test_the_value_area_holds_its_share_and_the_point_of_control(profile, rows, share):
    found = volume_profile(traded(profile), bin=1.0, rows=rows, value_area=share)
    assert found.volumes.sum() == sum(profile.values())
    assert found.prices[0] <= found.val <= found.poc <= found.vah <= found.prices[-1]
    assert found.volumes.max() == profile[round(found.poc)]
    inside = (found.prices >= found.val) & (found.prices <= found.vah)
    assert found.volumes[inside].sum() >= share * found.volumes.sum() * (1 - 1e-9)


@given(PROFILE, st.sampled_from([0.25, 4.0, 1024.0]))
def test_a_profile_scales_with_price_and_with_volume(profile, scale):
    one = volume_profile(traded(profile), bin=1.0)
    scaled = {price * scale: qty * scale for price, qty in profile.items()}
    other = volume_profile(traded(scaled), bin=scale)
    assert (one.volumes * scale).tolist() == other.volumes.tolist()
    assert (one.poc * scale, one.val * scale, one.vah * scale) == (other.poc, other.val, other.vah)
    assert (one.hvn * scale).tolist() == other.hvn.tolist()


@given(PROFILE)
def test_the_order_of_trades_does_not_matter(profile):
    one = volume_profile(traded(profile), bin=1.0)
    other = volume_profile(traded(dict(reversed(profile.items()))), bin=1.0)
    assert one.volumes.tolist() == other.volumes.tolist()
    assert (one.poc, one.val, one.vah) == (other.poc, other.val, other.vah)


@given(PROFILE)
def test_prices_mirrored_mirror_the_value_area_where_no_tie_decides(profile):
    assume(len(set(profile.values())) == len(profile))
    one = volume_profile(traded(profile), bin=1.0, rows=1)
    other = volume_profile(traded({100 - price: qty for price, qty in profile.items()}), bin=1.0, rows=1)
    gaps = len(one.volumes) > len(profile)
    assert one.poc == 100 - other.poc
    assert gaps or (one.val, one.vah) == (100 - other.vah, 100 - other.val)


@given(st.lists(st.tuples(st.floats(1.0, 100.0), st.floats(0.0, 50.0), st.floats(0.1, 1e4)), min_size=1, max_size=20))
def test_bars_lose_no_volume(bars):
    frame = pd.DataFrame([(low, low + span, qty) for low, span, qty in bars], columns=["low", "high", "volume"])
    found = volume_profile(frame, bin=0.25)
    assert found.volumes.sum() == pytest.approx(frame["volume"].sum(), rel=1e-9)
    assert (found.volumes >= 0.0).all()
