"""The project's version, which stands once, in pyproject.toml."""

from __future__ import annotations

import tomllib
from functools import cache

from utils.root import ROOT


@cache
def version() -> str:
    """Version as released."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["version"])
