"""LightGBM's text made trees, without LightGBM: what is not there, or what the walk would not do alike, is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np

from ml.scoring import Direction, Platt, Trees, Whole, form_of
from utils.errors import DataError

T = TypeVar("T", int, float)

#: Most characters and splits of a model: some hundred times what trainings here make, and read within a second or two.
MOST_TEXT, MOST_SPLITS = 50_000_000, 500_000
#: A number as LightGBM writes it; Python alone would read `1_0`, `nan` and digits of other scripts, too.
WHOLE = re.compile(r"-?[0-9]{1,18}")
REAL = re.compile(r"-?[0-9]{1,400}(\.[0-9]{0,400})?([eE][+-]?[0-9]{1,4})?")
#: A threshold may be inf: such a split parts what has a value from what has none.
BOUND = re.compile(f"{REAL.pattern}|-?inf")

#: Lines of the head that mean what this reader does; each must stand there, or it must not.
HEAD = {
    "version": ("v3", "v4"),
    "num_class": ("1",),
    "num_tree_per_iteration": ("1",),
    "objective": ("binary sigmoid:1",),
}


def trees_of(text: str) -> Trees:
    """The trees of a LightGBM text model of a binary objective; `Trees.text` is the text itself.

    Raises:
        DataError: it is cut short, not such a model, or has what the walk does not know: categorical splits, several
            classes, linear leaves, weights of DART, averages of a forest, another sigmoid.
    """
    if len(text) > MOST_TEXT:
        raise wrong(f"at most {MOST_TEXT} characters", str(len(text)))
    body, end, rest = text.partition("\nend of trees\n")
    if not end:
        raise wrong("a last tree and `end of trees`", "neither: it is cut short")
    head, *blocks = re.split(r"\n+Tree=", body)
    features = _features_of(head)
    for line in rest.split("\n"):
        if line.startswith("[boosting: ") and line != "[boosting: gbdt]":
            raise wrong("boosting gbdt", line)
    parts = [_tree(number, block) for number, block in enumerate(blocks)]
    sizes = _fields(head).get("tree_sizes", "").split()
    if not parts or len(sizes) != len(parts):
        raise wrong(f"{len(sizes)} trees, from 1 on", str(len(parts)))
    if sum(len(part.feature) for part in parts) > MOST_SPLITS:
        raise wrong(f"at most {MOST_SPLITS} splits", "more")
    trees = _joined(text, features, parts)
    form_of([Direction(trees, Platt(-1.0, 0.0), 0.0, 0.0)], features=features)  # which checks that a walk ends
    return trees


def wrong(expected: str, saw: str) -> DataError:
    """The one sentence about a text that is refused."""
    return DataError(f"LightGBM model: expected {expected}, saw {saw[:60]!r}; train the model again")


class Part(NamedTuple):
    """One tree, in its own numbering."""

    leaf: list[float]
    feature: list[int]
    threshold: list[float]
    kind: list[int]
    left: list[int]
    right: list[int]


def _fields(block: str) -> dict[str, str]:
    """The lines `key=value` of a block.

    Raises:
        DataError: a key stands there twice.
    """
    fields: dict[str, str] = {}
    for line in block.split("\n"):
        key, _, value = line.partition("=")
        if key and key in fields:
            raise wrong("each line once", key)
        fields[key] = value
    return fields


def _features_of(head: str) -> int:
    """How many features a model reads, where its head is one that this reader knows."""
    if not head.startswith("tree\n"):
        raise wrong("`tree` in the first line", head.partition("\n")[0])
    fields = _fields(head)
    for key, known in HEAD.items():
        if fields.get(key) not in known:
            raise wrong(f"{key}={' or '.join(known)}", f"{key}={fields.get(key, '')}")
    if "average_output" in fields:
        raise wrong("trees that add up", "average_output")
    count = len(fields.get("feature_names", "").split(" "))
    last = fields.get("max_feature_idx", "")
    if not WHOLE.fullmatch(last) or int(last) != count - 1:
        raise wrong(f"max_feature_idx={count - 1}, as there are {count} feature_names", last)
    return count


def _tree(number: int, block: str) -> Part:
    """Leaves, features, thresholds, kinds and children of one tree, in its own numbering."""
    fields = _fields(f"Tree={block}")

    def numbers(key: str, count: int, pattern: re.Pattern[str], kind: Callable[[str], T]) -> list[T]:
        given = fields.get(key, "").split(" ") if fields.get(key) else []
        if len(given) != count:
            raise wrong(f"{count} of {key} in tree {number}", str(len(given)))
        return list(_read(f"{key} in tree {number}", given, pattern, kind))

    if fields["Tree"] != str(number):
        raise wrong(f"tree {number}", fields["Tree"])
    leaves = numbers("num_leaves", 1, WHOLE, int)[0]
    if leaves < 1 or leaves > MOST_SPLITS:
        raise wrong(f"1 to {MOST_SPLITS} leaves in tree {number}", str(leaves))
    for key, name in (("num_cat", "categorical splits"), ("is_linear", "linear leaves")):
        if fields.get(key) != "0":
            raise wrong(f"no {name} ({key}=0)", f"{key}={fields.get(key, '')}")
    splits = leaves - 1
    return Part(
        numbers("leaf_value", leaves, REAL, float),
        numbers("split_feature", splits, WHOLE, int),
        numbers("threshold", splits, BOUND, float),
        numbers("decision_type", splits, WHOLE, int),
        numbers("left_child", splits, WHOLE, int),
        numbers("right_child", splits, WHOLE, int),
    )


def _read(what: str, given: Iterable[str], pattern: re.Pattern[str], kind: Callable[[str], T]) -> Iterable[T]:
    """Texts made numbers.

    Raises:
        DataError: one is none, or not finite.
    """
    for text in given:
        # what is too large for a float is read as inf, and is none that LightGBM wrote
        if not pattern.fullmatch(text) or (math.isinf(value := kind(text)) and not text.endswith("inf")):
            raise wrong(f"a finite number as {what}", text)
        yield value


def _joined(text: str, features: int, parts: list[Part]) -> Trees:
    """Trees one after the other, their nodes and leaves numbered through.

    Raises:
        DataError: a child is none of its tree's.
    """
    splits = np.cumsum([0, *(len(part.feature) for part in parts)]).tolist()
    leaves = np.cumsum([0, *(len(part.leaf) for part in parts)]).tolist()
    moved: dict[str, list[int]] = {"left": [], "right": []}
    for number, part in enumerate(parts):
        for name, column in moved.items():
            for child in getattr(part, name):
                if not -len(part.leaf) <= child < len(part.feature):
                    raise wrong(f"children of tree {number} among its own", str(child))
                column.append(child + splits[number] if child >= 0 else child - leaves[number])
    roots = [splits[k] if part.feature else ~leaves[k] for k, part in enumerate(parts)]

    def whole(numbers: Iterable[int]) -> Whole:
        return np.array(list(numbers), dtype=np.int64)

    return Trees(
        text=text,
        features=features,
        root=whole(roots),
        feature=whole(chain.from_iterable(part.feature for part in parts)),
        threshold=np.array([value for part in parts for value in part.threshold], dtype=np.float64),
        kind=whole(chain.from_iterable(part.kind for part in parts)),
        left=whole(moved["left"]),
        right=whole(moved["right"]),
        leaf=np.array([value for part in parts for value in part.leaf], dtype=np.float64),
    )
