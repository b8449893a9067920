import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from utils.market.times import NoTime, is_number, nanoseconds, unit_of

S = 1_704_067_200  # 2024, s
NS = S * 10**9
WHEN = pd.Series(pd.to_datetime(["2024-01-01 00:00:00", "2024-01-01 00:01:00"]))
FORMS = {
    "s": [S, S + 60],
    "ms": np.array([S, S + 60]) * 10**3,
    "us": pd.Series([S, S + 60]) * 10**6,
    "ns": pa.array([NS, NS + 60 * 10**9]),
    "floats of seconds": np.array([S, S + 60], dtype=float),
    "text": [str(S), f"{S + 60}"],
    "ISO dates": ["2024-01-01", "2024-01-01T00:01:00Z"],
    "dates of a zone": ["2024-01-01T01:00:00+01:00", "2024-01-01T00:01:00+00:00"],
    **{f"pandas by {unit}": WHEN.dt.as_unit(unit) for unit in ("s", "ms", "us", "ns")},
    "pandas of a zone": WHEN.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
    "pandas objects": pd.Series([*WHEN], dtype=object),
    "pandas of Arrow": WHEN.astype("timestamp[us][pyarrow]"),
    "Arrow by s": pa.array(WHEN.dt.as_unit("s")),
    "Arrow by name": pa.array(["2024-01-01 00:00", "2024-01-01 00:01"]).dictionary_encode(),
    "NumPy by minutes": np.array(["2024-01-01T00:00", "2024-01-01T00:01"], dtype="datetime64[m]"),
    "Python": [dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 1, 0, 1)],  # noqa: DTZ001 - UTC is meant
}


@pytest.mark.parametrize("values", FORMS.values(), ids=FORMS)
def test_every_form_of_two_times_is_the_same_nanoseconds(values):
    assert [NS, NS + 60 * 10**9] == nanoseconds(values).tolist()


def test_a_fraction_of_a_second_is_kept_to_the_microsecond():
    assert [NS + 123_400_000] == nanoseconds([S + 0.1234]).tolist()
    assert [NS + 500_000] == nanoseconds([S * 1000 + 0.5]).tolist()


@pytest.mark.parametrize("empty", [None, float("nan"), "", pd.NaT, pd.NA])
def test_an_empty_value_is_refused_or_what_the_caller_says(empty):
    assert [NS, -1] == nanoseconds(pd.Series([S, empty], dtype=object), empty=-1).tolist()
    with pytest.raises(NoTime, match="row 1: expected a time, saw an empty cell"):
        nanoseconds(pd.Series([S, empty], dtype=object))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([S, S * 1000], "row 1: expected a time in the years 2000-2100, in s since 1970, saw 1704067200000"),
        ([0, 1], "row 0: expected a time as date or as s, ms, us or ns since 1970, in 2000-2100, saw 0"),
        ([20240101, 20240102], "row 0: .* saw 20240101"),
        (["noon", "night"], "row 0: .*; no row of this column is a time"),
        (["2024-01-01", "noon"], "row 1: expected a time, saw 'noon'; correct the cell"),
        ([S, True], "row 1: expected a time, saw True"),
        (np.array(["1969-01-01"], dtype="datetime64[D]"), "row 0: expected a time in the years 2000-2100, saw 1969"),
        (np.array(["3000-01-01"], dtype="datetime64[s]"), "row 0: .* saw 3000-01-01"),
        ([float("inf")], "row 0: .* saw inf"),
    ],
)
def test_what_is_no_time_of_this_century_is_refused_with_its_row(values, says):
    with pytest.raises(NoTime, match=says):
        nanoseconds(values)


def test_no_values_are_no_times():
    assert 0 == len(nanoseconds([]))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_size_of_a_number_tells_its_unit(unit):
    assert unit == unit_of(S * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit])
    assert unit_of(5) is None


@pytest.mark.parametrize(("cell", "number"), [("1e3", True), (2.5, True), ("", False), ("open", False), (None, False)])
def test_what_reads_as_a_number_is_one(cell, number):
    assert number == is_number(cell)
