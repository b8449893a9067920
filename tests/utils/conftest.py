"""What tests of the ground share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from utils.config import Loaded, load_settings
from utils.records import reader


@pytest.fixture(autouse=True)
def forget_what_was_warned() -> Iterator[None]:
    reader._warn_once.cache_clear()
    yield
    reader._warn_once.cache_clear()


@pytest.fixture
def load(tmp_path: Path):
    """Loads the text of a config.yaml and a .env, away from the files of this machine."""

    def load(config: str = "", dotenv: str = "", env=None, flags=None, **more) -> Loaded:
        (tmp_path / "config.yaml").write_text(config, encoding="utf-8")
        (tmp_path / ".env").write_text(dotenv, encoding="utf-8")
        return load_settings(
            tmp_path / "config.yaml", env=env or {}, dotenv=tmp_path / ".env", flags=flags or {}, **more
        )

    return load
