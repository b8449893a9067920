"""Settings that are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from utils.config import Loaded
from utils.errors import ConfigError


def refusal(load: Callable[..., Loaded], *args: Any, **kwargs: Any) -> str:
    """The one sentence by which the settings are refused."""
    with pytest.raises(ConfigError) as caught:
        load(*args, **kwargs)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)
