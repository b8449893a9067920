"""The project's version, which stands once, in pyproject.toml."""

from __future__ import annotations

import tomllib
from functools import cache

from utils.root import ROOT


@cache
def version() -> str:
    """Version as released; of an installed copy, which has no pyproject.toml, as it was installed."""
    try:
        text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    except FileNotFoundError:
        from importlib import metadata

        return metadata.version("hybrid-scalper")
    return str(tomllib.loads(text)["project"]["version"])
