"""What a row costs that a model scores, and what a training takes: `python -m benchmarks.scoring`, or `... scoring`.

One row through trees, calibration and expected bps by our compiled walk, beside scikit-learn's calibrated boosting and
LightGBM's own predict, on the same rows in the same process. Before anything is timed the walk has LightGBM's bits.
Exit code 1 = a bar is missed.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.timing import interleaved, line, ratio
from ml.learning.learners import FAMILIES, fit, library
from ml.scoring import Direction, Knots, Learner, Meta, Trees, meta_form, raw_scores, row_score, scored
from utils.figures.arithmetic import Floats

ROWS, FEATURES = 55_000, 30
#: Calls of ours, and of the others, in a round.
CALLS, THEIRS = 2_000, 10
ROUNDS = 11
#: Times as fast as scikit-learn a row has to be at least, us it may take, and s a training.
LEAST, MOST_US, MOST_S = 300.0, 10.0, 60.0


def rows(count: int = ROWS) -> tuple[Floats, Floats, Floats]:
    """Features of which some tell a little and a few are missing, wins, weights."""
    drawn = np.random.default_rng(7)
    x = drawn.normal(size=(count, FEATURES)) * 10.0
    odds = 0.03 * x[:, 0] - 0.02 * np.abs(x[:, 1]) - 0.3
    y = (drawn.random(count) < 1.0 / (1.0 + np.exp(-odds))).astype(np.float64)
    x[drawn.random(x.shape) < 0.005] = np.nan
    return x, y, drawn.random(count)


def model_of(trees: Learner) -> Meta:
    """A meta-model of these trees, calibrated by knots."""
    way = Direction(trees, Knots(np.linspace(-2.0, 1.0, 40), np.linspace(0.05, 0.7, 40)), -1.0, 5.0)
    return Meta(tuple(f"f{k}" for k in range(FEATURES)), "bench", "lightgbm", way, way, 0.0)


def peer(x: Floats, y: Floats) -> Callable[[Floats], object]:
    """scikit-learn's calibrated boosting: rows -> probabilities."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import ThreadpoolController

    boosting = HistGradientBoostingClassifier(max_iter=60, max_depth=4, min_samples_leaf=200, random_state=7)
    fitted = CalibratedClassifierCV(boosting, method="isotonic", cv=3).fit(x, y)

    pools = ThreadpoolController()

    def asked(rows: Floats) -> object:
        with pools.limit(limits=1):  # two threads that wait for each other over one row would be no peer
            return fitted.predict_proba(rows)

    return asked


def work_of(x: Floats, y: Floats, trees: Trees) -> dict[str, Callable[[], object]]:
    """What is timed, by name: each returns the seconds of one row."""
    booster = library().Booster(model_str=trees.text)
    form, theirs, meta = meta_form(model_of(trees)), peer(x, y), model_of(trees)

    def each(call: Callable[[int], object], calls: int) -> Callable[[], float]:
        def spent() -> float:
            began = time.thread_time()
            for i in range(calls):
                call(i)
            return (time.thread_time() - began) / calls

        return spent

    def looped() -> float:
        began = time.thread_time()
        scored(meta, x)
        return (time.thread_time() - began) / (2 * len(x))  # both directions

    return {
        "ours, one row": each(lambda i: row_score(form, 0, x, i), CALLS),
        "ours, in a loop": looped,
        "LightGBM predict": each(lambda i: booster.predict(x[i : i + 1], num_threads=1), 20 * THEIRS),
        "scikit-learn, calibrated": each(lambda i: theirs(x[i : i + 1]), THEIRS),
    }


def trainings(x: Floats, y: Floats, w: Floats) -> dict[str, float]:
    """Seconds of processor time that each family takes on one thread."""
    spent = {}
    for family in FAMILIES:
        fit(family, x[:2000], y[:2000], w[:2000])
        began = time.process_time()
        fit(family, x, y, w, seed=7, threads=1)
        spent[family] = time.process_time() - began
    return spent


def main() -> int:
    """Time rows and trainings, show them, and answer whether the bars hold."""
    x, y, w = rows()
    trees = fit("lightgbm", x, y, w, seed=7, threads=1)
    if not isinstance(trees, Trees):
        raise SystemExit("a training of lightgbm gave no trees")
    sample = x[:5000]
    if (
        library().Booster(model_str=trees.text).predict(sample, raw_score=True).tobytes()
        != raw_scores(trees, sample).tobytes()
    ):
        raise SystemExit("the walk differs from LightGBM: no speed is worth that")
    spent = interleaved(work_of(x, y, trees), ROUNDS)
    middle = {name: 1e6 * statistics.median(seconds) for name, seconds in spent.items()}
    print(f"\nA row of {FEATURES} features scored by {len(trees.root)} trees, calibrated; medians of {ROUNDS} rounds")
    for name, us in middle.items():
        line(name, f"{us:.2f} us", f"goal: at most {MOST_US:g}" if name == "ours, one row" else "")
    times = middle["scikit-learn, calibrated"] / middle["ours, one row"]
    line(
        "scikit-learn / ours, one row",
        ratio(spent, "scikit-learn, calibrated", "ours, one row"),
        f"goal: at least {LEAST:g}",
    )
    line("LightGBM predict / ours, one row", ratio(spent, "LightGBM predict", "ours, one row"))
    took = trainings(x, y, w)
    print(f"\nA training on {ROWS:,} x {FEATURES}, one thread")
    for family, seconds in took.items():
        line(family, f"{seconds:.2f} s", f"goal: at most {MOST_S:g}" if family == "lightgbm" else "")
    return 0 if times >= LEAST and middle["ours, one row"] <= MOST_US and max(took.values()) <= MOST_S else 1


if __name__ == "__main__":
    sys.exit(main())
