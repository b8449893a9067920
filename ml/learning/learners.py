"""What turns features and outcomes into raw scores: the base rate, logistic regression, boosted trees.

Each is deterministic: the same rows, seed and versions give the same bytes, from any number of threads. The libraries
are loaded by a training alone; what serves walks the numbers that they left.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from ml.learning.boosted import trees_of
from ml.scoring import Constant, Learner, Linear
from utils.errors import DataError, StorageError
from utils.figures.arithmetic import Floats

#: From the simplest on.
FAMILIES = ("base", "logistic", "lightgbm")

#: Rows with a weight, and of either class, below which nothing is fitted.
FEWEST_ROWS, FEWEST_OF_A_CLASS = 50, 10
#: L2 penalty of logistic regression: weight of the squared coefficients, in rows of mean weight.
RIDGE = 10.0
#: Boosted trees: how many, how much of each counts, leaves and depth, and rows that a leaf needs.
TREES, SHRINKAGE, LEAVES, DEPTH, LEAF_ROWS = 60, 0.05, 15, 4, 200
#: Of few rows a leaf needs this part.
LEAF_PART = 20


def fit(family: str, x: Floats, y: Floats, w: Floats | None = None, *, seed: int = 0, threads: int = 1) -> Learner:
    """A learner of win labels.

    Args:
        family: one of `FAMILIES`.
        x: features, n x f; NaN = not computable.
        y: 1 = won, 0 = lost.
        w: weight of each row, from 0 on; None = 1 each. Their scale does not matter.
        seed: of LightGBM.
        threads: of LightGBM; the result does not depend on it.

    Raises:
        DataError: lengths differ, a number is infinite, too few rows, one class only, no weight.
        StorageError: LightGBM cannot be loaded.
    """
    if family not in FAMILIES:
        raise DataError(f"learner: expected one of {', '.join(FAMILIES)}, saw {family!r}; name one of them")
    rows, won, weight = _sound(x, y, np.ones(len(y)) if w is None else w)
    if family == "lightgbm":
        return _boosted(rows, won, weight, seed, threads)
    return _logistic(rows, won, weight) if family == "logistic" else Constant(_log_odds(won, weight))


def _sound(x: Floats, y: Floats, w: Floats) -> tuple[Floats, Floats, Floats]:
    """The rows that count, with weights of mean 1.

    Raises:
        DataError: what cannot be learned from.
    """
    if x.ndim != 2 or y.shape != (len(x),) or w.shape != (len(x),):
        raise DataError(f"expected a label and a weight for each of {len(x)} rows, saw {y.shape} and {w.shape}")
    if np.isinf(x).any():
        raise DataError("expected features that are finite or NaN, saw infinite ones; look at the data set")
    if not np.isin(y, (0.0, 1.0)).all():
        raise DataError("expected labels 0 and 1, saw others; leave out rows without a label")
    if not (np.isfinite(w).all() and (w >= 0.0).all()):
        raise DataError("expected finite weights from 0 on, saw others; look at the data set")
    counts = w > 0.0
    won = int(y[counts].sum())
    lost = int(counts.sum()) - won
    if won + lost < FEWEST_ROWS:
        raise DataError(
            f"expected at least {FEWEST_ROWS} rows with a weight, saw {won + lost}; train on a longer history"
        )
    if min(won, lost) < FEWEST_OF_A_CLASS:
        raise DataError(
            f"expected at least {FEWEST_OF_A_CLASS} won and lost trades, saw {won} and {lost}; "
            "train on a longer history or other barriers"
        )
    weight = w[counts] / float(np.mean(w[counts]))
    return np.ascontiguousarray(x[counts], dtype=np.float64), y[counts].astype(np.float64), weight


def _log_odds(y: Floats, w: Floats) -> float:
    """Log odds of the weighted share of wins."""
    return math.log(float((w * y).sum()) / float((w * (1.0 - y)).sum()))


def _logistic(x: Floats, y: Floats, w: Floats) -> Linear:
    """Logistic regression with an L2 penalty on features of mean 0 and spread 1; one that is constant has weight 0."""
    from sklearn.linear_model import LogisticRegression

    known = np.isfinite(x)
    weights = w[:, None] * known
    total = np.maximum(weights.sum(axis=0), np.finfo(np.float64).tiny)
    filled = np.where(known, x, 0.0)
    mean = (weights * filled).sum(axis=0) / total
    away = np.where(known, x - mean, 0.0)
    scale = np.sqrt((weights * away * away).sum(axis=0) / total)
    # what float arithmetic leaves of no spread is none
    varies = scale > 1e-12 * (1.0 + np.abs(mean))
    scale = np.where(varies, scale, 1.0)
    weight = np.zeros(x.shape[1])
    if not varies.any():
        return Linear(mean, scale, weight, _log_odds(y, w))
    model = LogisticRegression(C=1.0 / RIDGE, solver="newton-cholesky", tol=1e-8, max_iter=100)
    with _pools().limit(limits=1):
        model.fit((away / scale)[:, varies], y, sample_weight=w)
    weight[varies] = model.coef_[0]
    return Linear(mean, scale, weight, float(model.intercept_[0]))


@cache
def _pools() -> Any:
    """The thread pools of linear algebra: one thread gives one answer, and is faster where columns are few."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _boosted(x: Floats, y: Floats, w: Floats, seed: int, threads: int) -> Learner:
    """Gradient-boosted trees, shallow and few."""
    lightgbm = library()
    settings = {
        "objective": "binary",
        "learning_rate": SHRINKAGE,
        "num_leaves": LEAVES,
        "max_depth": DEPTH,
        "min_data_in_leaf": max(1, min(LEAF_ROWS, len(x) // LEAF_PART)),
        "min_sum_hessian_in_leaf": 1e-3,
        "lambda_l2": 1.0,
        "seed": seed,
        "num_threads": threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(x, y, weight=w, params={"verbosity": -1}, free_raw_data=True)
    text = lightgbm.train(settings, data, num_boost_round=TREES).model_to_string()
    # behind the trees stand the settings, the number of threads among them
    return trees_of(text[: text.index("\nparameters:\n")])


def library() -> Any:
    """LightGBM, loaded when a training needs it.

    Raises:
        StorageError: it is not installed, or the machine lacks its OpenMP library.
    """
    try:
        import lightgbm
    except ImportError as error:
        raise StorageError("LightGBM: expected it installed, saw no such package; pip install lightgbm") from error
    except OSError as error:
        raise StorageError(
            f"LightGBM: expected the OpenMP library libgomp1, saw {error}; apt-get install libgomp1 "
            "(macOS: brew install libomp)"
        ) from error
    return lightgbm
