"""A strategy is told from another by its name, its source, and what it was made with."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backtest.data.market import synthetic_market
from backtest.run.report import run_hash
from backtest.sim_loop import run_simulation
from backtest.strategies.identity import identity_of, plain_value
from examples import breakout as example
from tests.e2e.support import settings_of
from tests.places import ROOT

BARS = 20


def helped(frame):
    return helper(frame)


def helper(frame):
    return frame[["ts"]].assign(side=1.0, horizon=BARS)


def of(n):
    return lambda frame: frame[["ts"]].iloc[::n].assign(side=1.0)


@dataclasses.dataclass
class Crossing:
    n: int
    levels: tuple = (1.0, 2.0)

    def __call__(self, frame):
        return frame[["ts"]].assign(side=1.0)

    def other(self, frame):
        return frame


def file_of(folder: Path, text: str):
    """The function `mine` of a file with this text."""
    path = folder / "own.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("own", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["own"] = module
    spec.loader.exec_module(module)
    return module.mine


def test_the_name_says_where_a_function_stands():
    assert "examples.breakout:breakout" == identity_of(example.breakout).name
    assert identity_of(functools.partial(helped)).name.endswith("test_identity:helped")
    assert identity_of(Crossing(3)).name.endswith("test_identity:Crossing")


def test_parameters_are_what_a_strategy_was_made_with():
    assert {"n": 5} == identity_of(of(5)).parameters
    assert {"n": 3, "levels": [1.0, 2.0]} == identity_of(Crossing(3)).parameters
    assert {"n": 3, "levels": [1.0, 2.0]} == identity_of(Crossing(3).other).parameters
    assert 9 == identity_of(functools.partial(lambda frame, n: frame.head(n), n=9)).parameters["n"]
    assert 7 == identity_of(lambda frame, n=7: frame.head(n)).parameters["n"]
    assert BARS in identity_of(helped).parameters.values()
    table = pd.DataFrame({"a": [1.0]})
    kept = identity_of(lambda frame: table.join(frame[1:])).parameters["table"]
    assert kept.startswith("pandas")
    assert "sha256" in kept


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda frame: frame, lambda frame: frame[1:]),
        (of(5), of(6)),
        (Crossing(3), Crossing(4)),
        (Crossing(3).other, Crossing(3).__call__),
        (functools.partial(helped), helper),
        (example.breakout, helped),
    ],
)
def test_different_strategies_are_different(one, other):
    assert identity_of(one) == identity_of(one)
    assert identity_of(one) != identity_of(other)


def test_lambdas_of_one_line_are_different():
    one, other = lambda frame: frame.head(1), lambda frame: frame.head(2)  # fmt: skip
    assert identity_of(one).source_sha256 != identity_of(other).source_sha256


def test_code_without_a_file_is_told_by_what_it_was_compiled_to():
    made = []
    for text in ("def mine(frame): return frame", "def mine(frame): return frame[1:]"):
        scope = {}
        exec(text, scope)  # noqa: S102 - our own text
        made.append(identity_of(scope["mine"]))
    assert made[0] != made[1]


MINE = """
LIMIT = 5
UNUSED = 1
def inner(frame): return frame{cut}
def mine(frame): return inner(frame).head(LIMIT)
def beside(frame): return {beside}
"""


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (("LIMIT = 5", "LIMIT = 6"), False),
        (("frame[0:]", "frame[1:]"), False),
        (("UNUSED = 1", "UNUSED = 2"), True),
        (("return 0", "return 1"), True),
    ],
)
def test_what_a_function_uses_of_its_file_belongs_to_it_and_the_rest_does_not(tmp_path, change, same):
    text = MINE.format(cut="[0:]", beside=0)
    before = identity_of(file_of(tmp_path, text))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert before == identity_of(file_of(elsewhere, text))
    third = tmp_path / "third"
    third.mkdir()
    assert same == (before == identity_of(file_of(third, text.replace(*change))))
    del sys.modules["own"]


def test_it_is_the_same_in_every_process():
    code = (
        "import json; from backtest.strategies.identity import identity_of;"
        "from tests.backtest.strategies.test_identity import Crossing, of, helped;"
        "print(json.dumps([identity_of(one).row() for one in (Crossing(3), of(5), helped)], sort_keys=True))"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rows = [identity_of(one).row() for one in (Crossing(3), of(5), helped)]
    assert json.loads(said) == json.loads(json.dumps(rows))


def test_nothing_that_hangs_on_the_machine_is_kept():
    assert "object" == plain_value(object()).split(".")[-1]
    assert [1.0, "nan", None, True] == plain_value([np.float64(1.0), np.nan, None, True])
    assert plain_value(np.arange(3)) == plain_value(np.arange(3)) != plain_value(np.arange(4))
    assert plain_value({2, 1}) == [1, 2]


def test_runs_of_different_strategies_have_different_names_and_say_whose_they_are(tmp_path):
    market, settings = synthetic_market(settings_of(), "BTCUSDT", "1m", 60), settings_of()
    hashes = {
        run_hash(market, settings, None if one is None else identity_of(one)) for one in (None, of(5), of(6), helped)
    }
    assert 4 == len(hashes)
    assert run_hash(market, settings) in hashes
    result = run_simulation(data=market, settings=settings, strategy=of(5), logs_dir=tmp_path)
    said = json.loads((tmp_path / "run.json").read_text())["strategy"]
    assert identity_of(of(5)).row() == said
    assert said["name"] == result.report["strategy"]
    assert "default" == run_simulation(data=market, settings=settings, logs_dir=tmp_path).report["strategy"]
