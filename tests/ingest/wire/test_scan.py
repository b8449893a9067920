"""Plain JSON text read by compiled code: exact numbers, and nothing that is not plain."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.wire import scan
from utils.compiled import compiled


@compiled
def read_decimal(message, at):
    """A door to what its callers swallow."""
    return scan.decimal(message, at)


DIGITS = st.text("0123456789", min_size=1, max_size=17)


@settings(max_examples=500)
@given(whole=DIGITS, rest=st.none() | DIGITS)
def test_a_decimal_is_the_float_that_python_reads(whole, rest):
    number = whole if rest is None else f"{whole}.{rest}"
    end, value = read_decimal(f'"{number}"'.encode(), 0)
    if end < 0:
        assert len(whole) + len(rest or "") > 15
    else:
        assert (len(number) + 2, float(number)) == (end, value)


@pytest.mark.parametrize(
    "odd", ['""', '"."', '"1."', '".5"', '"1.2.3"', '"-1"', '"1e5"', '" 1"', '"1', "1", '"NaN"', '"1\\u0030"']
)
def test_what_is_no_plain_decimal_is_not_read(odd):
    assert -1 == read_decimal(odd.encode(), 0)[0]
