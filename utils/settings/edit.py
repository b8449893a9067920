"""Values of a settings file changed in place: what else stands there, comments and all, keeps every byte.

The parser says between which characters a value stands; those are replaced, missing lines are put in, and the result is
read again before it takes the file's place: it must say what was asked for, and of all else what the file said before.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

from utils.disk import PLAIN, is_same, lock, not_plain, put, written
from utils.errors import ConfigError
from utils.regular import unreadable
from utils.settings.checked import checked
from utils.settings.keys import field_of, is_section, nearest, spelled
from utils.settings.sources import MOST_BYTES, Given, did_you_mean, parsed

#: Files that editors put beside one that they have open.
_EDITED = (".{}.swp", ".{}.swo", ".#{}", "#{}#", ".{}.kate-swp", ".~lock.{}#")
_BOM = "\ufeff"


def set_values(path: Path, values: Mapping[str, object]) -> None:
    """Change settings in a YAML file: comments, order, quotes, line ends and permissions stay as they are.

    A key or section that is not there is added, and so is the file. Where all values stand there, nothing is written.

    Args:
        path: the file.
        values: by dotted key; None = null.

    Raises:
        ConfigError: an unknown key or a wrong value; a file that is no valid one, a link, read-only, or open elsewhere.
        StorageError: the disk refuses. The file is as it was, whatever is raised.
    """
    path = Path(path)
    asked = {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}
    for key, value in asked.items():
        if value is not None and type(value) not in {bool, int, float, str}:
            raise ConfigError(
                f"{key}: expected a switch, a number, text or null, saw {type(value).__name__}; correct it"
            )
        if field_of(key) is None or key.startswith("secrets."):
            near = "; secrets stand in the environment or in .env" if field_of(key) else did_you_mean(nearest(key))
            raise ConfigError(f"{path.name}: {key} names no setting of a file{near}")
    with _alone(path):
        before = _read(path)
        text = before.decode("utf-8-sig") if before is not None else ""
        new = edited(text, asked, path.name)
        if new != text or before is None:
            data = new.encode()
            if before is not None and before.startswith(_BOM.encode()):
                data = _BOM.encode() + data
            _replace(path, before, data)


def edited(text: str, values: Mapping[str, object], name: str) -> str:
    """A settings file's text with other values, checked.

    Args:
        text: YAML.
        values: by dotted key.
        name: what the file is called in sentences.

    Raises:
        ConfigError: the text is no valid settings file, before or with these values, or has a form that is not edited.
    """
    given, root = parsed(text, name)
    new, told = text, given
    for key, value in values.items():
        if key in told and repr(told[key].value) == repr(value):
            continue
        wanted = {other: repr(item.value) for other, item in told.items()} | {key: repr(value)}
        new = _with(new, root, key, value, name)
        try:
            told, root = parsed(new, name)
        except ConfigError:
            told = {}
        if {other: repr(item.value) for other, item in told.items()} != wanted:  # a NaN is not equal to itself
            raise ConfigError(
                f"{name}: expected `section:` and plain `key: value` lines below it, saw a form in which {key} cannot "
                "be set; change it by hand"
            )
    if new != text:
        checked({key: Given(item.value, name) for key, item in told.items()}, lambda _: "another")
    return new


def _with(text: str, root: yaml.Node | None, key: str, value: object, name: str) -> str:
    """The text with one value changed or added."""
    node, rest, above = root, key.split("."), ""
    entry: tuple[yaml.Node, yaml.Node] | None = None
    while rest and isinstance(node, yaml.MappingNode) and (found := _entry(node, rest[0], above)):
        entry, above = found, f"{above}.{rest.pop(0)}".lstrip(".")
        node = found[1]
    if entry is not None and not _stands_behind(entry):
        raise ConfigError(
            f"{name} line {entry[0].start_mark.line + 1}: expected the value of {above} behind it, saw one that stands "
            "elsewhere; write it out by hand"
        )
    end = _line_end(text)
    if isinstance(node, yaml.ScalarNode):
        if node.style in {"|", ">"}:
            raise ConfigError(
                f"{name} line {node.start_mark.line + 1}: expected {above} in one line; change it by hand"
            )
        start, stop = node.start_mark.index, node.end_mark.index
        if not rest:
            gap = "" if start == stop == 0 or text[start - 1].isspace() else " "
            return f"{text[:start]}{gap}{_scalar(value)}{text[stop:]}"
        text = text[:start].rstrip(" ") + text[stop:] if start < stop else text
        at = _after_line(text, entry[0].end_mark.index if entry else 0)
        column = entry[0].start_mark.column + 2 if entry else 0
        return _inserted(text, at, _lines(rest, value, column, end), end)
    if not isinstance(node, yaml.MappingNode):
        return _inserted(text, len(text), _lines(rest, value, 0, end), end)
    if node.flow_style:
        return _into_braces(text, node, rest, value)
    column = node.value[0][0].start_mark.column
    if node is root:
        return _inserted(text, len(text), _lines(rest, value, column, end), end)
    return _inserted(text, _after_line(text, _last(node, text)), _lines(rest, value, column, end), end)


def _entry(node: yaml.MappingNode, word: str, above: str) -> tuple[yaml.Node, yaml.Node] | None:
    """A key of a mapping and its value."""
    venue = above.startswith("instruments.") and above.count(".") == 1 and is_section(above)
    for key, value in node.value:
        if word == (spelled(str(key.value)) if venue else key.value):
            return key, value
    return None


def _stands_behind(entry: tuple[yaml.Node, yaml.Node]) -> bool:
    """Whether a value is written where its key is: that of an alias stands at its anchor."""
    key, value = entry
    return bool(value.start_mark.index >= key.end_mark.index)


def _last(node: yaml.Node, text: str) -> int:
    """Where the last thing that is written in a value ends."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        key, value = node.value[-1]
        return max(int(key.end_mark.index), _last(value, text) if _stands_behind((key, value)) else 0)
    if isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}:
        return len(text[: node.end_mark.index].rstrip())
    return int(node.end_mark.index)


def _after_line(text: str, index: int) -> int:
    """Where the line after that of a character begins."""
    ends = re.compile(r"\r\n|\n|\r").search(text, index)
    return ends.end() if ends else len(text)


def _line_end(text: str) -> str:
    found = re.search(r"\r\n|\n|\r", text)
    return found.group() if found else "\n"


def _lines(rest: list[str], value: object, column: int, end: str) -> str:
    """The lines of what is missing of a dotted key, from its first missing part on."""
    parts = [f"{' ' * (column + 2 * depth)}{word}:" for depth, word in enumerate(rest)]
    return end.join([*parts[:-1], f"{parts[-1]} {_scalar(value)}"]) + end


def _inserted(text: str, at: int, lines: str, end: str) -> str:
    """Lines put in at the start of a line, or behind a last one, which may lack its end."""
    broken = "" if at == 0 or text[at - 1] in "\r\n" else end
    return f"{text[:at]}{broken}{lines}{text[at:]}"


def _into_braces(text: str, node: yaml.MappingNode, rest: list[str], value: object) -> str:
    """An entry more in `{a: 1}`."""
    said = _scalar(value)
    for word in reversed(rest[1:]):
        said = f"{{{word}: {said}}}"
    said = f"{rest[0]}: {said}"
    if node.value:
        at = int(node.value[-1][1].end_mark.index)
        return f"{text[:at]}, {said}{text[at:]}"
    at = text.index("{", node.start_mark.index) + 1
    return f"{text[:at]}{said}{text[at:]}"


def _scalar(value: object) -> str:
    """A value as it is written in any place of a YAML file."""
    plain = yaml.safe_dump([value], default_flow_style=True, width=float("inf"), allow_unicode=True).strip()[1:-1]
    with suppress(ConfigError):
        same = repr(parsed(f"meta: {{version: {plain}}}", "")[0]["meta.version"].value) == repr(value)
        if same and plain.isprintable():
            return plain
    quoted = json.dumps(value, ensure_ascii=False)
    return re.sub(r"[^ -~]", lambda one: f"\\U{ord(one.group()):08x}", quoted)


def _read(path: Path) -> bytes | None:
    """What a file holds; None = there is none."""
    if not path.exists():
        return None
    try:
        opened = os.open(path, os.O_RDONLY | PLAIN)
        with os.fdopen(opened, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(str(unreadable(path, error))) from None
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{path}: expected a settings file of at most 1 MiB, seen a larger one; name another")
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8 text, saw the byte 0x{data[error.start]:02x}") from None
    return data


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Be the only one of us that changes a file, if it may be changed at all."""
    if seen := not_plain(path):
        raise ConfigError(f"{path}: expected a settings file, saw {seen}; put a file there, or change it by hand")
    for name in (pattern.format(path.name) for pattern in _EDITED):
        if os.path.lexists(path.with_name(name)):
            raise ConfigError(
                f"{path}: expected a file that nobody edits, saw {name} beside it; close the editor, or remove that, "
                "and do this again"
            )
    if not path.exists():
        yield
        return
    seen_now = path.stat()
    if not seen_now.st_mode & 0o222 or not os.access(path, os.W_OK):
        raise ConfigError(f"{path}: expected a file that may be changed, saw a read-only one; chmod u+w it")
    if seen_now.st_nlink > 1:
        raise ConfigError(
            f"{path}: expected a settings file, saw one of {seen_now.st_nlink} names of the same file (a hard link); "
            "put a file of its own there, or change it by hand"
        )
    try:
        opened = os.open(path, os.O_RDONLY | PLAIN)
    except OSError as error:
        raise ConfigError(str(unreadable(path, error))) from None
    try:
        try:
            lock(opened)
        except BlockingIOError:
            raise _changed(path) from None
        if not is_same(path, opened):
            raise _changed(path)
        yield
    finally:
        os.close(opened)


def _changed(path: Path) -> ConfigError:
    return ConfigError(
        f"{path}: expected a file that stays as it is, saw it changed meanwhile; nothing was written, do this again"
    )


def _replace(path: Path, before: bytes | None, data: bytes) -> None:
    """The file gets other bytes, at once, if it still has those that were read."""

    def last(staged: Path) -> None:
        if before is not None:
            seen = path.stat()
            with suppress(OSError, AttributeError):  # the owner as far as this user may
                os.chown(staged, seen.st_uid, seen.st_gid)
            staged.chmod(stat.S_IMODE(seen.st_mode))
        if _read(path) != before:
            raise _changed(path)

    with written(path.parent, "a folder", f"{path.name} is as it was", f"change {path.name} by hand"):
        put(path, data, last)
