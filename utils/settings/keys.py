"""What the tree of settings knows about its keys: `risk.take_bps`, `instruments.bybit_linear.BTCUSDT.tick`."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from utils.errors import ConfigError
from utils.market.symbols import normalise_symbol
from utils.settings.tree import INSTRUMENTS, VENUES, InstrumentEntry, Section, Settings


def section_model(name: str) -> type[Section] | None:
    """The class of a top-level section; None for `instruments` and for unknown names."""
    field = Settings.model_fields.get(name)
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def field_of(key: str) -> FieldInfo | None:
    """The field a dotted key names; None = no such key."""
    match key.split("."):
        case ["instruments", venue, symbol, name] if is_section(f"instruments.{venue}.{symbol}"):
            return InstrumentEntry.model_fields.get(name)
        case [section, name]:
            model = section_model(section)
            return model.field(name) if model else None
    return None


def is_section(key: str) -> bool:
    """Whether a dotted key names a group of keys."""
    match key.split("."):
        case [""] | ["instruments"]:
            return True
        case ["instruments", venue]:
            return venue in VENUES
        case ["instruments", venue, symbol]:
            return venue in VENUES and (symbol == "default" or re.fullmatch(r"[A-Z0-9_-]+", symbol) is not None)
        case [section]:
            return section_model(section) is not None
    return False


def spelled(word: str) -> str:
    """A key of `instruments.<venue>` in its one spelling: `default`, or a symbol as an exchange id."""
    try:
        return word if word == "default" else normalise_symbol(word)
    except ConfigError:
        return word  # and is then no key


def leaves(node: BaseModel | Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each dotted key below `node` with its value."""
    for name, value in node.items() if isinstance(node, Mapping) else node:
        if isinstance(value, (BaseModel, Mapping)):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def default_leaves() -> dict[str, object]:
    """Each dotted key with its default; of `instruments` only what is configured."""
    found: dict[str, object] = {}
    for section in Settings.model_fields:
        model = section_model(section)
        fields = model.model_fields if model else {}
        found |= {f"{section}.{name}": field.default for name, field in fields.items()}
        found |= {} if model else dict(leaves(INSTRUMENTS, f"{section}."))
    return found


def nearest(key: str) -> str | None:
    """The known key most like `key`: the same name in another section, else the closest spelling."""
    import difflib

    known = [*default_leaves(), *Settings.model_fields, *(f"instruments.{venue}" for venue in VENUES)]
    same_name = [other for other in known if not other.startswith("instruments.") and other.endswith(f".{key}")]
    close = same_name or difflib.get_close_matches(key, known, 1)
    return close[0] if close else None


def kinds_of(field: FieldInfo) -> tuple[Any, ...]:
    """The types a field accepts, NoneType among them where null is allowed."""
    union = get_origin(field.annotation) in {Union, types.UnionType}
    return get_args(field.annotation) if union else (field.annotation,)


def is_number(field: FieldInfo) -> bool:
    """Whether what a field accepts is a number or a switch, which text has to be read as."""
    kind = kinds_of(field)[0]
    return kind in {bool, int, float} or (
        get_origin(kind) is Literal and all(isinstance(one, int) for one in get_args(kind))
    )


def unit_of(field: FieldInfo) -> str:
    """The unit a field was declared with."""
    extra = field.json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) else ""


def limits_of(field: FieldInfo) -> str:
    """What a field accepts besides null, in words."""
    extra = field.json_schema_extra
    kind = kinds_of(field)[0]
    if isinstance(extra, dict) and extra["range"]:
        return str(extra["range"])
    if kind is bool:
        return "true or false"
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    limits = ((word, getattr(rule, name, None)) for name, word in words.items() for rule in field.metadata)
    return " and ".join(f"{word} {limit:.15g}" for word, limit in limits if limit is not None)


def or_null(field: FieldInfo) -> str:
    """The end of a range that null belongs to."""
    return ", or null" if type(None) in kinds_of(field) else ""


def range_of(field: FieldInfo) -> str:
    """What a field accepts, in words."""
    return limits_of(field) + or_null(field)


def expected(field: FieldInfo) -> str:
    """What a field accepts, as the object of "expected"."""
    kind = kinds_of(field)[0]
    if kind not in {int, float}:
        return ("one of " if get_origin(kind) is Literal else "") + range_of(field)
    noun = "a whole number" if kind is int else "a number"
    unit = {"none": "", "ratio": "", "fraction": " as a fraction"}.get(unit_of(field), f" {unit_of(field)}")
    return f"{noun} {limits_of(field)}{unit}{or_null(field)}"
