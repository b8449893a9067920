import numpy as np
import pytest

from ingest.files.columns import Table, listed, numbers, pick, require_ascending, show, times
from utils.errors import DataError

T0 = 1_735_689_600  # 2025, s


def table(**columns):
    arrays = {name: np.array(cells) for name, cells in columns.items()}
    return Table("x.csv", None, "", arrays, min(map(len, arrays.values())))


def test_the_first_name_that_is_there_is_picked_and_the_nearest_suggested():
    assert "time" == pick(table(date=[1], time=[1]), ("timestamp", "time", "date"))
    with pytest.raises(DataError, match=r"a column named volume.*; rename 'volumes' to 'volume'"):
        pick(table(volumes=[1]), ("volume",))


def test_text_becomes_numbers_and_an_empty_cell_none():
    seen = numbers(table(price=np.array(["1.5", None, 3], dtype=object)), "price")
    np.testing.assert_array_equal([1.5, np.nan, 3.0], seen)
    with pytest.raises(DataError, match=r"x\.csv: row 2, column 'price': expected a number, seen True"):
        numbers(table(price=np.array([1, True], dtype=object)), "price")


@pytest.mark.parametrize("per_second", [1, 10**3, 10**6, 10**9])
def test_the_unit_of_times_is_told_by_their_size(per_second):
    assert [T0 * 10**9, (T0 + 60) * 10**9] == times(table(t=[T0 * per_second, (T0 + 60) * per_second]), "t").tolist()


def test_times_ascend():
    good = np.array([1, 2, 3]) * 10**18
    require_ascending(table(t=good), "t", good)
    for stamps, says in (([1, 3, 2], "sort the file"), ([1, 1, 2], "duplicates")):
        with pytest.raises(DataError, match=says):
            require_ascending(table(t=good), "t", np.array(stamps) * 10**18)


def test_a_time_is_shown_without_the_zeros_it_ends_in():
    assert ["2025-01-01T00:00:00Z", "2025-01-01T00:00:00.5Z"] == [show(T0 * 10**9 + ns) for ns in (0, 5 * 10**8)]


def test_of_very_many_names_a_message_lists_the_first():
    assert "['a', 'b']" == listed(["a", "b"])
    assert listed(["c"] * 12_000).endswith("'c', and 11,975 more]")
