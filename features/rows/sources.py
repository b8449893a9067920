"""The sources of rows that features eat, and how the rows of each come in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from features.rows.bars import BAR_ROW, BAR_SHARED, prepare_bar
from features.rows.book import BOOK_EVENT, BOOK_ROW, BOOK_SHARED, prepare_book
from features.rows.tape import TAPE_EVENT, TAPE_ROW, TAPE_SHARED, prepare_tape
from features.rows.trades import TRADE_EVENT, TRADE_ROW, TRADE_SHARED, prepare_trade
from utils.rows import BAR


@dataclass(frozen=True, slots=True)
class Door:
    """How rows of one source come in: their layout, and what is prepared of each row for all its features."""

    rows: np.dtype[Any]
    prepared: np.dtype[Any]
    shared: np.dtype[Any]
    prepare: Callable[[Any, Any, Any], None]  # compiled (shared, row, prepared)


class Source(Enum):
    """Which rows a feature eats."""

    BAR = Door(BAR, BAR_ROW, BAR_SHARED, prepare_bar)
    BOOK = Door(BOOK_EVENT, BOOK_ROW, BOOK_SHARED, prepare_book)
    TRADE = Door(TRADE_EVENT, TRADE_ROW, TRADE_SHARED, prepare_trade)
    TAPE = Door(TAPE_EVENT, TAPE_ROW, TAPE_SHARED, prepare_tape)


#: Sources of event features, in the order of the vector.
EVENT_SOURCES = (Source.BOOK, Source.TRADE, Source.TAPE)
