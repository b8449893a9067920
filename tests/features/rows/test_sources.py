"""How rows of each source come in."""

import pytest

from features.rows.sources import EVENT_SOURCES, Source


@pytest.mark.parametrize("source", Source)
def test_rows_leave_no_byte_between_their_fields_so_that_equal_rows_are_equal_bytes(source):
    for kind in (source.value.rows, source.value.prepared, source.value.shared):
        assert kind.itemsize == sum(field[0].itemsize for field in kind.fields.values()), kind


def test_every_source_but_the_bars_is_one_of_events():
    assert set(Source) - {Source.BAR} == set(EVENT_SOURCES)
