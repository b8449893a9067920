"""What independent code says of small inputs, where ../shared is there."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.places import SHARED

LEARNING = SHARED / "golden" / "learning"


def golden(name):
    """A part of golden.json, or a file of its own: tables as frames."""
    if not LEARNING.exists():
        pytest.skip("the goldens of the learning loop are not there: ../shared/golden/learning")
    if name.endswith(".parquet"):
        return pd.read_parquet(LEARNING / name)
    if name.endswith(".json"):
        return json.loads((LEARNING / name).read_text(encoding="utf-8"))
    return json.loads((LEARNING / "golden.json").read_text(encoding="utf-8"))[name]


def column(name, of="x"):
    """A column of a golden table."""
    return golden(name)[of].to_numpy(np.float64)
