"""The benchmark of scoring: what is timed gives one answer, and every family is trained."""

from benchmarks.scoring import FEATURES, model_of, peer, rows, trainings, work_of
from ml.learning.learners import FAMILIES, fit
from ml.scoring import Trees, scored


def test_each_piece_of_work_says_how_long_a_row_took():
    x, y, w = rows(3000)
    trees = fit("lightgbm", x, y, w)
    assert isinstance(trees, Trees)
    spent = {name: work() for name, work in work_of(x, y, trees).items()}
    assert ["ours, one row", "ours, in a loop", "LightGBM predict", "scikit-learn, calibrated"] == list(spent)
    assert all(seconds > 0.0 for seconds in spent.values())
    assert (1, 2) == peer(x, y)(x[:1]).shape


def test_every_family_is_trained_on_the_same_rows():
    x, y, w = rows(3000)
    assert FEATURES == x.shape[1]
    assert list(FAMILIES) == list(trainings(x, y, w))
    assert scored(model_of(fit("lightgbm", x, y, w)), x).p.shape == (3000, 2)
