"""The page of what was found: each experiment owns a marked part of it, and rewrites nothing else."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backtest.experiments.data import Series
from utils.errors import ConfigError

#: What a page begins with that did not exist.
HEAD = "# Claims, put to the test\n"


@dataclass(frozen=True, slots=True)
class Part:
    """What one run found on one kind of data."""

    key: str  # names the part, on the page and in it
    title: str
    command: str  # as it can be typed again
    data: Sequence[str]  # what it was found on, a line each
    rows: Sequence[Mapping[str, str]]  # of the table, by column
    said: Sequence[str]  # sentences

    def text(self) -> str:
        """The part in Markdown, its marks around it."""
        heads = list(self.rows[0]) if self.rows else []
        table = [heads, ["---"] * len(heads), *([row[head] for head in heads] for row in self.rows)]
        lines = [
            f"<!-- {self.key}: begin -->",
            f"## {self.title}",
            "",
            f"    {self.command}",
            "",
            *(f"| {' | '.join(cells)} |" for cells in table if cells),
            "",
            *(f"* {sentence[0].upper()}{sentence[1:]}." for sentence in self.said),
            "",
            f"Measured on: {'; '.join(self.data)}.",
            f"<!-- {self.key}: end -->",
        ]
        return "\n".join(lines)


def listed(series: Iterable[Series]) -> list[str]:
    """What series there are, in words: those of one market and timeframe in one line."""
    places: dict[str, list[str]] = {}
    for one in series:
        places.setdefault(one.place or one.group, []).append(one.name)
    counted = {place: Counter(names) for place, names in places.items()}
    return [
        f"{place}: {', '.join(f'{n} of {name}' if n > 1 else name for name, n in names.items())}"
        for place, names in counted.items()
    ]


def require_page(path: Path) -> None:
    """Refuse a place where no page can be.

    Raises:
        ConfigError: it is a folder, or its own is none.
    """
    if path.is_dir() or not path.parent.is_dir():
        seen = f"the folder {path}" if path.is_dir() else f"no folder {path.parent}"
        raise ConfigError(f"--out: expected a file in a folder that exists, saw {seen}; name another")


def write(path: Path, parts: Sequence[Part]) -> None:
    """Put the parts into the page, each in the place of its former self or at the end; the rest stays as it is.

    The page is replaced as a whole, so that nobody reads half of one.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else HEAD
    for part in parts:
        key = re.escape(part.key)
        former = re.compile(rf"<!-- {key}: begin -->.*?<!-- {key}: end -->", re.DOTALL)
        fresh = part.text()
        found = former.search(text)
        around = (text[: found.start()], text[found.end() :]) if found else (f"{text.rstrip()}\n\n", "\n")
        text = fresh.join(around)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
