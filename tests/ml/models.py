"""Small meta-models: trees as LightGBM writes them, and one of each family."""

import math

import numpy as np

from exec.champion import Champion, champion_of
from features.registry import feature_set, fingerprint
from ml.learning.boosted import trees_of
from ml.scoring import Constant, Direction, Knots, Linear, Meta, Platt

HEAD = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx={last}
objective=binary sigmoid:1
feature_names={names}
feature_infos={infos}
tree_sizes={sizes}

"""
TREE = """Tree={number}
num_leaves=4
num_cat=0
split_feature=0 1 1
split_gain=3 2 1
threshold=0.5 -0.25 1.0000000180025095e-35
decision_type={kinds}
left_child=1 -1 -2
right_child=2 -3 -4
leaf_value=0.1 0.02 -0.3 0.4
leaf_weight=1 1 1 1
leaf_count=1 1 1 1
internal_value=0 0 0
internal_weight=0 0 0
internal_count=4 2 2
is_linear=0
shrinkage=1


"""
STUMP = """Tree={number}
num_leaves=1
num_cat=0
split_feature=
split_gain=
threshold=
decision_type=
left_child=
right_child=
leaf_value=-0.7
leaf_weight=
leaf_count=
internal_value=
internal_weight=
internal_count=
is_linear=0
shrinkage=1


"""
END = "end of trees\n\nfeature_importances:\na=1\n"

#: Every way to treat what is missing: none, zero, NaN; default right (0, 4, 8) and left (2, 6, 10).
KINDS = ("0 4 8", "2 6 10", "10 0 6", "8 2 4")


def text(kinds=KINDS, names=("a", "b")) -> str:
    """A text model: a tree for each of `kinds` on the first two features, then one without a split."""
    trees = [TREE.format(number=k, kinds=kind) for k, kind in enumerate(kinds)]
    trees.append(STUMP.format(number=len(trees)))
    infos = " ".join(["[-1:1]"] * len(names))
    sizes = " ".join(str(len(tree)) for tree in trees)
    return HEAD.format(sizes=sizes, last=len(names) - 1, names=" ".join(names), infos=infos) + "".join(trees) + END


def metas() -> dict[str, Meta]:
    """One of each family over features `a` and `b`."""
    platt, knots = Platt(-1.1, 0.2), Knots(np.array([-1.0, 0.0, 0.5]), np.array([0.1, 0.4, 0.9]))
    ways = {
        "base": Constant(-0.3),
        "logistic": Linear(np.array([0.1, 0.0]), np.array([2.0, 1.0]), np.array([0.3, -1.2]), -0.5),
        "lightgbm": trees_of(text()),
    }
    return {
        family: Meta(
            ("a", "b"), "prints", family, Direction(one, platt, -1.5, 7.0), Direction(one, knots, 0.3, 0.0),
            math.inf if family == "base" else 1.25,
        )
        for family, one in ways.items()
    }  # fmt: skip


#: Values that a split may see: around its thresholds, around zero, none at all.
VALUES = (0.0, -0.0, 1e-36, -1e-36, 2e-35, 0.5, np.nextafter(0.5, 1.0), -0.25, -0.26, 3.0, -4.0, 1e300, math.nan)


def grid():
    """All pairs of `VALUES`."""
    return np.array([[a, b] for a in VALUES for b in VALUES])


def judging(threshold_bps: float) -> Meta:
    """A model of the features of this version: trees for longs, a line for shorts."""
    names = feature_set().names
    drawn = np.random.default_rng(11)
    line = Linear(np.zeros(len(names)), np.full(len(names), 30.0), drawn.normal(size=len(names)), -0.2)
    knots = Knots(np.array([-1.0, 0.0, 0.5]), np.array([0.1, 0.4, 0.9]))
    long = Direction(trees_of(text(names=names)), Platt(-1.1, 0.2), 4.0, 7.0)
    return Meta(names, fingerprint(), "lightgbm", long, Direction(line, knots, 0.3, 3.0), threshold_bps)


def champion(threshold_bps: float = 0.0, name: str = "one") -> Champion:
    """`judging`, ready to be asked."""
    return champion_of(name, judging(threshold_bps), feature_set().names, fingerprint())
