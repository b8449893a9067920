"""Inputs that users of this field's tools reported trouble with: each shows what its `expected.txt` says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import ROOT, SHARED

CASES = SHARED / "cases"
#: By case: what its output must show, and what it must not (patterns).
SHOWN: dict[str, tuple[list[str], list[str]]] = {
    "01": (["exact held .* funding 0.4[89]", "late17ms held .* funding 0.4[89]", "late17ms opened .* funding 0.0"], []),
    "02": (["240 bars"], ["rename 'date'"]),
    "04": ([r"(?s)XRPUSDT_64.*tick 0\.0001 .*XRPUSDT_32.*tick 0\.0001 "], ["1e-12"]),
    "06": ["! .*ticks of 0.01.*set instruments"], []),
    "07": (["sharpe nan psr nan", "np.full nan"], []),
    "08": (["ns 30.0 min 20 days, sharpe 6.2079", "ms 30.0 min 20 days", "s 30.0 min 20 days, sharpe 6.2079"], []),
    "09": ([r"(?s)LONG.*10 / 10.*Buy.*10 / 10.*\[1, -1\].*10 / 10"], ["0 / 20"]),
}
