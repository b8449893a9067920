"""The benchmark of sizes: whatever positions and matrix come as, the size is the same."""

from benchmarks.sizing import cases


def test_every_way_to_hand_positions_in_gives_one_size():
    _, *found = (call() for call in cases(5).values())
    assert 4 == len(found)
    assert 1 == len(set(found))
    assert float(found[0]) > 0.0
