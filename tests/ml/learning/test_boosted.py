from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.learning.boosted import trees_of
from ml.scoring import raw_scores
from tests.ml.models import grid, text
from utils.errors import DataError

TEXT = text()


def test_a_text_is_kept_as_it_came_beside_its_numbers() -> None:
    trees = trees_of(TEXT)
    assert (TEXT, 2) == (trees.text, trees.features)
    assert [0, 3, 6, 9, ~16] == trees.root.tolist()
    assert [1, ~0, ~1] == trees.left[:3].tolist()
    assert [5, ~6, ~7] == trees.right[3:6].tolist()
    assert 0.5 == trees.threshold[0]
    assert -0.7 == trees.leaf[-1]


def test_a_threshold_without_end_parts_what_has_a_value_from_what_has_none() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    changed = text(("8 2 4",)).replace("threshold=0.5", "threshold=inf")
    raw = raw_scores(trees_of(changed), grid())
    assert lightgbm.Booster(model_str=changed).predict(grid(), raw_score=True).tobytes() == raw.tobytes()


HOSTILE = {
    "at most": ("tree\n", "tree\n" + "x" * 50_000_000),
    "cut short": (TEXT[-60:], ""),
    "`tree` in the first line": ("tree\n", "trees\n"),
    "version": ("version=v4", "version=v9"),
    "num_class": ("num_class=1", "num_class=3"),
    "num_tree_per_iteration": ("num_tree_per_iteration=1", "num_tree_per_iteration=3"),
    "objective": ("binary sigmoid:1", "binary sigmoid:2"),
    "objective=": ("objective=binary sigmoid:1", "objective=regression"),
    "trees that add up": ("label_index=0", "average_output"),
    "max_feature_idx=1": ("max_feature_idx=1", "max_feature_idx=999999999"),
    "boosting gbdt": ("a=1\n", "a=1\n\nparameters:\n[boosting: dart]\n"),
    "each line once": ("version=v4", "version=v4\nversion=v4"),
    "5 trees, from 1 on": (TEXT[TEXT.index("Tree=4") : TEXT.index("end of")], ""),
    "tree 3": ("Tree=3", "Tree=7"),
    "leaves in tree 0": ("num_leaves=4", "num_leaves=99999999999"),
    "of leaf_value in tree 0": ("num_leaves=4", "num_leaves=3"),
    "1 of num_leaves in tree 0": ("num_leaves=4\n", ""),
    "finite number as num_leaves": ("num_leaves=4", "num_leaves=four"),
    "no categorical splits": ("num_cat=0", "num_cat=1"),
    "no linear leaves": ("is_linear=0", "is_linear=1"),
    "finite number as leaf_value": ("leaf_value=0.1", "leaf_value=nan"),
    "finite number as leaf_value in tree 0": ("leaf_value=0.1", "leaf_value=1e999"),
    "finite number as threshold": ("threshold=0.5", "threshold=0_5"),
    "a finite number as threshold in tree 0": ("threshold=0.5", "threshold=1e999"),
    "finite number as threshold in": ("threshold=0.5", "threshold=nan"),
    "3 of threshold": ("threshold=0.5", "thresholds=0.5"),
    "splits by features 0 to 1": ("split_feature=0", "split_feature=2"),
    "splits by thresholds": ("decision_type=0", "decision_type=1"),
    "splits by thresholds, saw": ("decision_type=0", "decision_type=12"),
    "children of tree 0": ("left_child=1", "left_child=3"),
    "children of tree 0 among": ("right_child=2 -3 -4", "right_child=2 -3 -5"),
    "branches never meet or return": ("left_child=1", "left_child=0"),
    "branches never meet": ("right_child=2", "right_child=1"),
}


@pytest.mark.parametrize("saw", HOSTILE)
def test_a_text_that_is_no_such_model_is_refused_in_one_sentence(saw) -> None:
    old, new = HOSTILE[saw]
    assert old in TEXT
    with pytest.raises(DataError, match=f"expected .*{saw}.*; train") as refused:
        trees_of(TEXT.replace(old, new, 1))
    assert len(str(refused.value)) < 250


@given(st.integers(0, len(TEXT)), st.integers(0, 60), st.text(alphabet="0123456789-.e= \n~a", max_size=12))
def test_a_text_with_anything_in_it_is_read_or_refused_and_a_walk_ends(at, cut, put) -> None:
    changed = TEXT[:at] + put + TEXT[at + cut :]
    try:
        trees = trees_of(changed)
    except DataError:
        return
    assert np.isfinite(raw_scores(trees, np.resize(grid(), (50, trees.features)))).all()
