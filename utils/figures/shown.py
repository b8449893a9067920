"""How numbers are written for people: one way each, wherever the product prints."""

from __future__ import annotations

import math

#: Shown where there is no number to tell.
NOTHING = "-"


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction as people read it, `-7.06 %`: times 100, thousands by comma, a space before the sign; `-` where none.

    What would round to nothing has no sign: `0.0 %`.
    """
    return NOTHING if fraction is None or math.isnan(fraction) else f"{plain(100.0 * fraction, digits)} %"


def needed(fraction: float | None) -> str:
    """A win rate that is needed, `55.8 %`; no rate pays costs above the gain, and `any` does where they are paid.

    None is infinity as JSON has it.
    """
    if fraction is None or fraction > 1.0:
        return "none pays"
    return "any" if fraction < 0.0 else percent(fraction)


def plain(value: float | None, digits: int = 2) -> str:
    """A number with thousands by comma, `-1,234.50`, without a sign where it rounds to nothing; `-` where none."""
    if value is None or math.isnan(value):
        return NOTHING
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text


def amount(value: float) -> str:
    """Money as it is named in passing: `10,000`, and `777.50` where it is not whole."""
    return plain(value, 0 if value == round(value) else 2)


def counted(number: int, noun: str) -> str:
    """A count and its noun, in the plural where it is not one: `1 trade`, `3,508 trades`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
