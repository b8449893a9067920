"""One path, however it is cut, watched or compiled."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from ingest.mock.candles import synthetic_bars
from ingest.mock.events import event_blocks, synthetic_events, synthetic_grid
from ingest.mock.loop import FLOOR_TICKS
from ingest.mock.market import START_NS, open_market
from ingest.mock.rows import EVENT, GRID
from ingest.mock.settings import PRESETS, Preset
from tests.places import ROOT
from utils.errors import ConfigError
from utils.rows import BAR, NS_PER_MINUTE, NS_PER_S


def sha(rows):
    return hashlib.sha256(rows.tobytes()).hexdigest()


def whole_run(cuts):
    """Two minutes with all three outputs at once, advanced to each of `cuts` (ns) in turn."""
    market = open_market(3)
    market.want(START_NS, events=True, grid_ns=NS_PER_S, bar_ns=7 * NS_PER_S)
    m = market.state[0]
    block, grid, bars, events = np.zeros(600, EVENT), np.zeros(120, GRID), np.zeros(17, BAR), []
    for cut in (*cuts, 120 * NS_PER_S):
        done = False
        while not done:
            m.n_events = 0
            done = market.advance(START_NS + cut, block, grid, bars)
            events.append(block[: m.n_events].copy())
    m.n_events = m.n_tape = 0
    return np.concatenate(events), grid, bars, market.state.copy(), market.sides.copy()


def test_a_run_cut_into_blocks_goes_the_same_path():
    cuts = np.sort(np.random.default_rng(1).integers(0, 120 * NS_PER_S, 200))
    for whole, cut in zip(whole_run([]), whole_run(cuts), strict=True):
        assert sha(whole) == sha(cut)


def test_what_is_asked_for_does_not_change_the_path():
    events, grid, _, _, _ = whole_run([])
    opening = next(event_blocks(1, 3))
    assert sha(events) == sha(synthetic_events(120, 3)[len(opening) :])
    assert sha(grid) == sha(synthetic_grid(120, 1, 3))


def test_a_copied_market_goes_on_where_it_was_copied():
    market = open_market(9)
    market.advance(START_NS + NS_PER_MINUTE, np.zeros(0, EVENT), np.zeros(0, GRID), np.zeros(0, BAR))
    twin = replace(market, state=market.state.copy(), sides=market.sides.copy())
    for one in (market, twin):
        one.advance(START_NS + 2 * NS_PER_MINUTE, np.zeros(0, EVENT), np.zeros(0, GRID), np.zeros(0, BAR))
    assert market.state.tobytes() == twin.state.tobytes()
    assert market.sides.tobytes() == twin.sides.tobytes()


PARITY = """
import hashlib
import numpy as np
from ingest.mock.market import START_NS, open_market
from ingest.mock.rows import EVENT, GRID
from utils.rows import BAR, NS_PER_S
market = open_market(7)
market.want(START_NS, events=True, grid_ns=NS_PER_S, bar_ns=3 * NS_PER_S)
outputs = np.zeros(20000, EVENT), np.zeros(15, GRID), np.zeros(5, BAR)
assert market.advance(START_NS + 15 * NS_PER_S, *outputs)
digest = hashlib.sha256()
for rows in (*outputs, market.state, market.sides):
    digest.update(rows.tobytes())
print(market.state[0].n_events, digest.hexdigest())
"""


def test_compiled_and_plain_python_give_the_same_bytes():
    answers = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", PARITY],
            cwd=ROOT,
            env={**os.environ, "NUMBA_DISABLE_JIT": switch},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for switch in ("0", "1")
    ]
    assert answers[0] == answers[1]
    assert int(answers[0].split()[0]) > 300


def test_a_price_that_would_fall_to_zero_stops_the_market_and_says_so(monkeypatch):
    cheap = Preset("cheap", 0.0001, (FLOOR_TICKS + 20) * 0.0001, 1.0, 1.0, 1000)
    monkeypatch.setitem(PRESETS, "cheap", cheap)
    with pytest.raises(ConfigError, match="fell to 160 ticks"):
        synthetic_bars(10_000, NS_PER_MINUTE, 1, "cheap")
