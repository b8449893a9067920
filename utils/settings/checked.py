"""What was given made settings, each value within its range; of a wrong one it is said where it came from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from utils.errors import ConfigError
from utils.settings.keys import default_leaves, expected, field_of
from utils.settings.sources import Given
from utils.settings.text import is_text
from utils.settings.tree import Settings


def checked(given: Mapping[str, Given], masked: Callable[[str], str]) -> tuple[Settings, dict[str, str]]:
    """The settings by what was given, and for each dotted key where its value came from.

    Args:
        given: values by dotted key; what is not given has its default.
        masked: makes a text one that may be shown: a value may hold a password, which is why it was refused.

    Raises:
        ConfigError: a value is wrong.
    """
    for key, item in given.items():
        if isinstance(item.value, str) and not is_text(item.value):
            raise ConfigError(f"{key}: expected text, saw a character that is none (from {place(item.origin)})")

    defaults = default_leaves()
    # other defaults are left to pydantic, which does not check them: a machine without time zones can still simulate
    values = {key: value for key, value in defaults.items() if key.startswith("instruments.")}
    values |= {key: item.value for key, item in given.items()}
    origin = dict.fromkeys(defaults, "default") | {key: item.origin for key, item in given.items()}
    try:
        return Settings.model_validate(nested(values)), origin
    except ValidationError as error:
        raise ConfigError("; ".join(complaint(item, origin, masked) for item in error.errors())) from None


def nested(values: Mapping[str, object]) -> dict[str, Any]:
    """Dotted keys as nested mappings."""
    root: dict[str, Any] = {}
    for key, value in values.items():
        *path, name = key.split(".")
        node = root
        for part in path:
            node = node.setdefault(part, {})
        node[name] = value
    return root


def complaint(item: Mapping[str, Any], origin: Mapping[str, str], masked: Callable[[str], str]) -> str:
    """One sentence about a wrong value: expected, seen, where from, what to do."""
    key = ".".join(map(str, item["loc"]))
    field = field_of(key)
    if field is None:
        seen = masked(item["msg"].removeprefix("Value error, "))
        spoken = set(re.findall(r"\w+", seen))
        sources = {k: place(o) for k, o in origin.items() if k.startswith(f"{key}.") and k.rpartition(".")[2] in spoken}
        where = ", ".join(f"{k.rpartition('.')[2]} from {source}" for k, source in sources.items())
        return f"{key}: {seen} ({where}); change one of them"
    seen = "another" if key.startswith("secrets.") else masked(repr(item["input"]))[:80]
    default = default_leaves().get(key)
    cure = f"; the default is {default}" if default is not None else ""
    return f"{key}: expected {expected(field)}, saw {seen} (from {place(origin[key])}){cure}"


def place(origin: str) -> str:
    """An origin as it is said in a sentence."""
    return re.sub(r":(\d+)$", r" line \1", origin)
