from __future__ import annotations

import math
import re

import pytest

from model.pages.findings import Bins
from model.pages.pictures import HEIGHT, WIDTH, bars, curves, earnings, reliability, strips, ticks
from tests.model.pages.test_document import read

NONE = Bins((), (), (), (), ())
SOME = Bins((0.3, 0.5), (0.35, 0.45), (120.0, 130.0), (0.3, 0.4), (0.4, 0.5))


def numbers(svg: str) -> list[float]:
    """All places in a picture."""
    found = re.findall(r'(?:x|y|cx|cy|points|d|r|width|height)="([^"]*)"', svg)
    return [float(one) for text in found for one in re.findall(r"-?\d+\.?\d*", text)]


@pytest.mark.parametrize(
    "svg",
    [
        reliability([("logistic", SOME), ("lightgbm", NONE)]),
        earnings([("a", [(0.0, 1.0), (2.0, -5.0)])], [("a", [(0.0, 1.1), (2.0, 1e300)])], 40.0),
        earnings([("a", [(0.0, 1.0), (2.0, -5.0)])], [("a", [(0.0, 0.0), (2.0, math.inf)])], 20.0),
        strips([("a", (0.1, 0.2), (1.0, math.nan)), ("b", (), ())]),
        strips([("a", (0.1, 0.1), (math.nan, math.nan))]),
        bars("rise", [("f0", 2.0, 0.5), ("a very long name " * 9, -0.1, 0.0)], 1),
        bars("rise", [("f0", 0.0, 0.0)], 0),
        curves("loss", "share", "nats", [("a", [(0.125, math.nan), (1.0, 0.69)]), ("b", [])], 0.7),
        curves("loss", "share", "nats", [("a", [(0.5, 0.7), (1.0, 0.69)]), ("b", [(1.0, 0.69)])], math.nan),
    ],
)
def test_a_picture_is_closed_and_finite_and_stays_in_its_frame(svg):
    read(svg)
    assert "nan" not in svg
    assert "inf" not in svg
    assert all(-1.0 <= one <= max(WIDTH, HEIGHT) + 200.0 for one in numbers(svg))


@pytest.mark.parametrize(
    "svg",
    [
        reliability([("logistic", NONE)]),
        reliability([]),
        earnings([("a", [])], [("a", [])], 20.0),
        strips([("a", (), ())]),
        bars("rise", [], 0),
        curves("loss", "share", "nats", [("a", [(1.0, math.nan)])], 0.7),
    ],
)
def test_of_nothing_there_is_no_picture(svg):
    assert svg == ""


def test_a_family_keeps_its_colour_where_another_has_nothing():
    svg = earnings([("a", []), ("b", [(0.0, 1.0), (1.0, 2.0)])], [("a", []), ("b", [(0.0, 1.0), (1.0, 2.0)])], 20.0)
    assert 'class="line lb"' in svg
    assert 'class="line la"' not in svg


def test_names_are_text():
    svg = bars("<b>", [("<script>", 1.0, 0.1)], 0)
    assert not {"b", "script"} & {*read(svg).tags}


def test_a_long_curve_is_thinned_and_keeps_its_end():
    points = [(float(k), float(k)) for k in range(100_000)]
    svg = earnings([("a", points)], [("a", points)], 20.0)
    assert len(svg) < 50_000


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-3.0, 7.0, [-2.0, 0.0, 2.0, 4.0, 6.0]),
        (0.41, 0.53, [0.42, 0.44, 0.46, 0.48, 0.5, 0.52]),
    ],
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)
