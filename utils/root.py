"""Where this program stands."""

from __future__ import annotations

from pathlib import Path

#: The folder of pyproject.toml, config.yaml and every package.
ROOT = Path(__file__).resolve().parent.parent
