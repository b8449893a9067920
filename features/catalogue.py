"""Every registered feature in a table, from its own words: `python -m features.catalogue` prints it as Markdown."""

from __future__ import annotations

import re

from features.fold import Feature
from features.registry import REGISTERED
from features.rows.sources import Source

#: What each source's rows are.
TITLES = {
    Source.BAR: "Closed bars",
    Source.BOOK: "Events of the order book",
    Source.TRADE: "Prints",
    Source.TAPE: "Quotes and prints together",
}
HEAD = "| feature | unit | formula | NaN after warm-up | source |\n|---|---|---|---|---|"


def formula_of(feature: Feature) -> str:
    """The formula of a feature's step, as its docstring has it, in one line."""
    found = re.search(r"Formula: (.*?)\n\s*[A-Z]\w+:", feature.step.__doc__ or "", re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def line_of(feature: Feature) -> str:
    """One row of the table; bars of absolute values would end its cells."""
    cells = (f"`{feature.name}`", feature.unit, formula_of(feature), feature.undefined.name, feature.reference)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def catalogue() -> str:
    """The tables of all sources, in the order of their vectors."""
    parts = [
        f"### {TITLES[source]}\n\n{HEAD}\n" + "\n".join(map(line_of, features))
        for source, features in REGISTERED.items()
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    print(catalogue())
