from __future__ import annotations

import math

import numpy as np

from ml.scoring import Constant, Direction, Meta, Platt


def test_a_meta_model_is_a_value_of_numbers() -> None:
    way = Direction(Constant(0.0), Platt(-1.0, 0.0), intercept=-1.0, slope=0.0)
    one = Meta(("a",), "f", "base", way, way, threshold_bps=math.inf)
    assert np.isinf(one.threshold_bps)
    assert one.long is one.short
