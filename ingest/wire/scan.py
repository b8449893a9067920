"""Plain JSON text read by compiled code: quoted texts, whole numbers, decimals and lists of levels.

Plain means: no white space, ASCII without escapes, decimals of at most 15 digits. Whatever else stands there is no
error here: it ends at -1, and the caller leaves the message to a door that reads all of JSON.

Numbers are exact: digits without point below 2^53 and powers of ten to 10^22 are float64 without error, and one
division rounds once, as reading the text does (W. D. Clinger, How to read floating point numbers accurately, 1990).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from utils.compiled import inlined

QUOTE, COMMA, POINT, COLON = 34, 44, 46, 58
ZERO, NINE, OPEN_LIST, BACKSLASH, CLOSE_LIST, OPEN, CLOSE = 48, 57, 91, 92, 93, 123, 125
POWERS = np.array([float(f"1e{i}") for i in range(16)])


@inlined
def text_end(text: bytes, at: int) -> int:
    """Where the text that begins at `at`, behind its quote, has its closing quote; -1 = it is not plain."""
    for i in range(at, len(text)):
        byte = text[i]
        if byte == QUOTE:
            return i
        if byte < 32 or byte > 126 or byte == BACKSLASH:
            return -1
    return -1


@inlined
def whole(text: bytes, at: int) -> tuple[int, int]:
    """(end, value) of the whole number at `at`, at most 18 digits; end -1 = it is none."""
    value = 0
    i = at
    while i < len(text) and ZERO <= text[i] <= NINE:
        value = value * 10 + (text[i] - ZERO)
        i += 1
        if i - at > 18:
            return -1, 0
    if i == at or (text[at] == ZERO and i - at > 1):
        return -1, 0
    return i, value


@inlined
def decimal(text: bytes, at: int) -> tuple[int, float]:
    """(end, value) of the quoted decimal whose quote is at `at`, at most 15 digits; end -1 = it is none."""
    if at >= len(text) or text[at] != QUOTE:
        return -1, 0.0
    mantissa, digits, point = 0, 0, -1
    for i in range(at + 1, len(text)):
        byte = text[i]
        if ZERO <= byte <= NINE:
            mantissa = mantissa * 10 + (byte - ZERO)
            digits += 1
        elif byte == POINT and point < 0 and digits > 0:
            point = digits
        elif byte == QUOTE and 0 < digits <= 15 and digits != point:
            return i + 1, float(mantissa) if point < 0 else mantissa / POWERS[digits - point]
        else:
            break
    return -1, 0.0


@inlined
def level_list(text: bytes, at: int, rows: NDArray[np.float64], side: int) -> tuple[int, int]:
    """(end, count) of the list of levels at `at`, written to `rows`; end -1 = it is none, or one is not legal."""
    if at + 1 < len(text) and text[at] == OPEN_LIST and text[at + 1] == CLOSE_LIST:
        return at + 2, 0
    count = 0
    while at + 1 < len(text) and count < rows.shape[1]:
        if text[at] != (COMMA if count else OPEN_LIST) or text[at + 1] != OPEN_LIST:
            return -1, 0
        at, price = decimal(text, at + 2)
        if at < 0 or at >= len(text) or text[at] != COMMA or price <= 0.0:
            return -1, 0
        at, qty = decimal(text, at + 1)
        if at < 0 or at + 1 >= len(text) or text[at] != CLOSE_LIST:
            return -1, 0
        rows[side, count, 0] = price
        rows[side, count, 1] = qty
        count += 1
        at += 1
        if text[at] == CLOSE_LIST:
            return at + 1, count
    return -1, 0


@inlined
def word(text: bytes, at: int) -> tuple[int, int]:
    """(end, number) of the quoted text whose quote is at `at`: its bytes as one number, 0 beyond seven of them."""
    if at >= len(text) or text[at] != QUOTE:
        return -1, 0
    number = 0
    for i in range(at + 1, min(at + 9, len(text))):
        byte = text[i]
        if byte == QUOTE:
            return i + 1, number
        if byte < 32 or byte > 126 or byte == BACKSLASH:
            return -1, 0
        number = number * 256 + byte
    end = text_end(text, at + 1)
    return end + 1 if end >= 0 else -1, 0


@inlined
def quoted(text: bytes, at: int) -> tuple[int, int]:
    """(start, end) of what stands between quotes at `at`; end -1 = it is not plain, or nothing."""
    if at >= len(text) or text[at] != QUOTE:
        return -1, -1
    end = text_end(text, at + 1)
    return (at + 1, end) if end > at + 1 else (-1, -1)


@inlined
def skip(text: bytes, at: int) -> int:
    """Where a text or whole number that is not looked at ends; -1 = it is neither."""
    if at < len(text) and text[at] == QUOTE:
        end = text_end(text, at + 1)
        return end + 1 if end >= 0 else -1
    end, _ = whole(text, at)
    return end
