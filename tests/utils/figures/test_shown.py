"""One way to write a number."""

import math

import pytest

from utils.figures.shown import amount, counted, needed, percent, plain


@pytest.mark.parametrize(
    ("fraction", "digits", "text"),
    [
        (-0.0706, 2, "-7.06 %"),
        (0.558, 1, "55.8 %"),
        (12.345, 0, "1,234 %"),
        (-1e-9, 1, "0.0 %"),
        (math.nan, 1, "-"),
        (None, 2, "-"),
    ],
)
def test_a_percentage_has_a_space_and_no_sign_of_nothing(fraction, digits, text):
    assert text == percent(fraction, digits)


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(1.959, "none pays"), (1.0, "100.0 %"), (0.558, "55.8 %"), (0.0, "0.0 %"), (-0.011, "any"), (math.nan, "-")],
)
def test_a_win_rate_that_nobody_can_have_or_miss_is_said_in_words(fraction, text):
    assert text == needed(fraction)


@pytest.mark.parametrize(("value", "text"), [(-9757.444, "-9,757.44"), (-0.001, "0.00"), (0.0, "0.00"), (None, "-")])
def test_a_number_has_commas(value, text):
    assert text == plain(value)


def test_money_in_passing_has_cents_where_it_is_not_whole():
    assert ["10,000", "777.50"] == [amount(10_000.0), amount(777.5)]


def test_one_is_not_many():
    assert ["1 trade", "0 trades", "3,508 trades"] == [counted(n, "trade") for n in (1, 0, 3508)]
