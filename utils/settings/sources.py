"""Where settings come from: YAML, `.env`, the environment and flags, each read to dotted keys with their origin.

Environment names are `SCALPER__SECTION__KEY` and the few in `PLAIN_NAMES`. SYMBOL, TF, HORIZON, TAKE_BPS, STOP_BPS,
EXCHANGE and LIMIT belong to `scripts/retrain.sh` alone: words so common must not change a simulation because some
other program exported them.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from utils.errors import ConfigError, DataError
from utils.regular import size_of, unreadable
from utils.settings.keys import field_of, is_number, is_section, nearest, spelled
from utils.settings.tree import SecretSettings

#: Promised names that stand without the prefix; `SCALPER__SECTION__KEY` names the same settings.
PLAIN_NAMES = {
    "CRYPTOPANIC_TOKEN": "secrets.cryptopanic_token",
    "COINGECKO_API_KEY": "secrets.coingecko_api_key",
    "AUTO_RETRAIN": "retrain.auto",
    "RETRAIN_DAILY_HOUR": "retrain.daily_hour",
    "RETRAIN_MAX_AGE_HOURS": "retrain.max_age_hours",
    "LOCAL_TZ": "retrain.tz",
}
PREFIX = "SCALPER__"
#: The origin of what a program sets that reads no command line.
CODE = "code"
#: A file with every setting has some 20 KB.
MOST_BYTES = 1 << 20


class Given(NamedTuple):
    """A value somebody set, and where."""

    value: object
    origin: str


class _Yaml(yaml.SafeLoader):
    """YAML 1.2 scalars: `off` and `no` are words, 1e-3 is a number, 010 is ten, dates are text."""


def _whole(_: _Yaml, node: yaml.ScalarNode) -> int | str:
    # Python refuses absurdly long numbers; as text they fail the range check with a sentence
    return int(node.value) if len(node.value) < 100 else str(node.value)


_NUMBER = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
_Yaml.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", "[-+]?[0-9]+", list("-+0123456789")),
    ("float", rf"{_NUMBER}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.0123456789")),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    _Yaml.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)
_Yaml.add_constructor("tag:yaml.org,2002:int", _whole)


def scalar(text: str) -> object:
    """The value a YAML scalar written as `text` has."""
    loader = _Yaml("")
    return loader.construct_object(yaml.ScalarNode(loader.resolve(yaml.ScalarNode, text, (True, False)), text))  # type: ignore[no-untyped-call]


def read_text(path: Path) -> str:
    """The text of a settings file; ConfigError if it cannot be had. The null device is an empty one."""
    if str(path) == os.devnull:
        return ""
    try:
        size = size_of(path)
        if size > MOST_BYTES:
            raise ConfigError(f"{path}: expected a settings file of at most 1 MiB, seen {size:,} bytes; name another")
        return path.read_text(encoding="utf-8-sig")
    except DataError as error:
        raise ConfigError(str(error)) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8 text, saw the byte 0x{error.object[error.start]:02x}") from error
    except OSError as error:
        raise ConfigError(str(unreadable(path, error))) from None


def from_yaml(path: Path) -> dict[str, Given]:
    """The settings of a YAML file, each with its line."""
    return parsed(read_text(path), path.name)[0]


def parsed(text: str, name: str) -> tuple[dict[str, Given], yaml.Node | None]:
    """The settings of YAML text, each with its line, and the tree they stand in; None = there is nothing in it.

    Args:
        text: YAML.
        name: what the file is called in sentences.

    Raises:
        ConfigError: it is no YAML, or holds what is no setting.
    """
    try:
        loader = _Yaml(text)
        root = loader.get_single_node()
        return (dict(walk(loader, root, "", name)) if root is not None else {}), root
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{name}{where}: not valid YAML ({error.problem or error.context})") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{name}: not valid YAML ({' '.join(str(error).split())})") from error
    except RecursionError:
        raise ConfigError(f"{name}: expected `section:` and `key: value` below it, saw far more levels") from None


def walk(loader: _Yaml, node: yaml.Node, prefix: str, name: str) -> Iterator[tuple[str, Given]]:
    """The settings below a YAML node; refuses unknown and repeated keys and secrets."""
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode) and prefix and loader.construct_object(node) is None:
        return
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{name} line {line}: expected `key: value` lines{f' under {prefix}' if prefix else ''}")
    seen: dict[str, int] = {}
    for key_node, value in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(f"{name} line {line}: expected a plain word as key")
        word = key_node.value
        if prefix.startswith("instruments.") and prefix.count(".") == 1 and is_section(prefix):
            word = spelled(word)
        key = f"{prefix}.{word}" if prefix else word
        if word in seen:
            raise ConfigError(f"{name} line {line}: {key} stands in line {seen[word]} already; keep one of them")
        seen[word] = line
        if word.lower() in SecretSettings.model_fields or key == "secrets":
            raise ConfigError(
                f"{name} line {line}: {key} is a secret; remove it here and set it in the environment or in .env"
            )
        if is_section(key):
            yield from walk(loader, value, key, name)
        elif field_of(key):
            yield key, Given(loader.construct_object(value, deep=True), f"{name}:{line}")
        else:
            raise ConfigError(f"{name} line {line}: unknown key {key}{did_you_mean(nearest(key))}")


def did_you_mean(name: str | None) -> str:
    """The end of a sentence about an unknown name."""
    return f"; did you mean {name}?" if name else "; --show-config lists every key"


def environment_name(key: str) -> str:
    """The environment's name of a dotted key."""
    return PREFIX + key.replace(".", "__").upper()


def from_names(names: Mapping[str, str], source: str) -> dict[str, Given]:
    """The settings among environment variables; empty ones count as not set."""
    found: dict[str, Given] = {}
    named: dict[str, str] = {}
    for name, text in names.items():
        if name in PLAIN_NAMES:
            key = PLAIN_NAMES[name]
        elif name.upper().startswith(PREFIX):
            parts = name[len(PREFIX) :].lower().split("__")
            if len(parts) == 4 and parts[2] != "default":
                parts[2] = spelled(parts[2].upper())
            key = ".".join(parts)
        else:
            continue
        field = field_of(key)
        if field is None:
            close = nearest(key)
            advice = did_you_mean(environment_name(close) if close else None)
            raise ConfigError(f"{source}: {name} names no setting{advice}")
        if not text.strip():
            continue
        if key in named and names[named[key]] != text:
            raise ConfigError(f"{source}: {named[key]} and {name} both set {key}; keep one of them")
        named[key] = name
        # a symbol, a path or a key made of digits is still text
        value = scalar(text.strip()) if is_number(field) else text.strip()
        found[key] = Given(value, source if source == ".env" else f"{source} {name}")
    return found


def from_dotenv(path: Path) -> dict[str, Given]:
    """The settings of a `.env` file; variables inside values are not expanded."""
    from dotenv.parser import parse_stream

    names: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(read_text(path))):
        if binding.error:
            raise ConfigError(f"{path.name} line {binding.original.line}: expected NAME=value")
        if binding.key is not None:
            names[binding.key] = binding.value or ""
    return from_names(names, ".env")


def from_flags(flags: Mapping[str, object], flag_names: Mapping[str, str]) -> dict[str, Given]:
    """The settings of the command line, by dotted key; None = the flag was not given. One without a name is code's."""
    given: dict[str, Given] = {}
    for key, value in flags.items():
        flag = flag_names.get(key, CODE)
        if field_of(key) is None:
            raise ConfigError(f"{flag}: {key} names no setting{did_you_mean(nearest(key))}")
        if key.startswith("secrets."):
            raise ConfigError(f"{flag}: {key} is a secret; set it in the environment or in .env")
        if value is not None:
            given[key] = Given(value, flag)
    return given
