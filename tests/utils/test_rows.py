"""The record layouts: small, without holes, and readable as attributes everywhere."""

import numpy as np
import pytest

from utils import rows

LAYOUTS = {name: value for name, value in vars(rows).items() if isinstance(value, np.dtype)}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_row_leaves_no_byte_between_its_fields(name):
    kind = LAYOUTS[name]
    assert sum(kind[field].itemsize for field in kind.names) == kind.itemsize


def test_a_bar_is_one_cache_line():
    assert 64 == rows.BAR.itemsize
    assert [0, 8, 10, 12, 16] == [rows.BAR.fields[name][1] for name in ("ts", "sym", "last", "gap", "open")]


def test_fields_are_attributes_of_a_row():
    bar = np.zeros(1, rows.BAR)[0]
    bar.last, bar.close = 1, 2.5
    assert (1, 2.5) == (bar["last"], bar["close"])


def test_a_field_that_numpy_would_hide_is_refused():
    with pytest.raises(ValueError, match=r"field names hidden by numpy: \['take'\]; choose others"):
        rows.layout(("take", np.float64), ("price", np.float64))
