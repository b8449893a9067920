"""Pages of headlines: read one by one until there is enough; what cannot be read is left out and said."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ingest.headlines.headline import Headline
from utils.errors import DataUnavailable, ProtocolError
from utils.shell.log import event

MOST = 10  # of one fetch, whatever the links say

logger = logging.getLogger("ingest")


@dataclass(frozen=True, slots=True)
class Page:
    """Headlines that came together."""

    seen_ns: int
    headlines: tuple[Headline, ...]


def page_of(name: str, items: Any, parse: Callable[[Any, int], Headline], seen_ns: int) -> Page:
    """The headlines among a page's items. One that cannot be read is left out and logged; all of them, an error."""
    if not isinstance(items, list):
        raise DataUnavailable(f"{name}: expected a list of headlines, saw none; check that its address is right")
    headlines, wrong = [], ""
    for item in items:
        try:
            headlines.append(parse(item, seen_ns))
        except ProtocolError as error:
            wrong = str(error)
    if wrong and not headlines:
        raise DataUnavailable(f"{name}: expected headlines, saw {len(items)} that cannot be read; the last: {wrong}")
    if wrong:
        left_out = len(items) - len(headlines)
        event(logger, "headlines_left_out", wrong, severity=logging.WARNING, service=name, headlines=left_out)
    return Page(seen_ns, tuple(headlines))


def until_enough(pages: Iterator[Page], limit: int, since: int | None) -> Iterator[Page]:
    """Pages until there is enough; what a service that stops answering did give is kept."""
    ids: set[str] = set()
    try:
        for page in pages:
            yield page
            ids |= {headline.id for headline in page.headlines}
            if len(ids) >= limit or (since and page.headlines and page.headlines[-1].published_ns < since):
                return
    except DataUnavailable as error:
        if not ids:
            raise
        event(logger, "news_cut_short", str(error), severity=logging.WARNING, headlines=len(ids))
