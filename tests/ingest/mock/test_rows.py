import numpy as np

from ingest.mock.rows import EVENT, GRID, LEVELS, MARKET, MASK, MAX_SPREAD, PARAMS, SIDE, TABLE, TAPE, WINDOW


def test_records_have_no_holes_so_that_their_bytes_can_be_compared():
    for layout in (EVENT, GRID, SIDE, PARAMS, MARKET):
        assert layout.itemsize == sum(layout[name].itemsize for name in layout.names)
        assert issubclass(layout.type, np.record)


def test_slots_and_tables_are_chosen_by_bits():
    assert (0, LEVELS - 1, 0) == (LEVELS & MASK, MASK, TABLE & (TABLE - 1))


def test_the_tape_holds_whatever_one_arrival_writes():
    assert TAPE > 2 * WINDOW + MAX_SPREAD + 1
