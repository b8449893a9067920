"""Which strategy ran: its name, a hash of its source, and the values it was made with."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import json
import math
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exec.strategy import ATTRIBUTES, Strategy
from utils.root import ROOT

#: Where code lies that is no user's.
_OTHERS = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib"))
_OURS = ("utils", "ingest", "features", "ml", "risk", "exec", "backtest", "model", "dashboards")


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one strategy from another; `run.json` has it."""

    name: str  # module:function
    source_sha256: str  # of the function, and of what it uses in the user's own files
    parameters: Mapping[str, Any]  # values it was made with, by name; arrays and tables by their hash

    def row(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return dataclasses.asdict(self)


def identity_of(strategy: Strategy) -> Identity:
    """Name, source and parameters of a strategy.

    Source is that of the function, of functions and classes it names in its own file and other files of the user, and
    of the lambdas and functions it closes over. Parameters are defaults, closures, arguments of a `partial`, fields of
    an object, global values that it names, and `lookback` and `together`. Nothing of it depends on the machine or on
    where a file lies; what has no source (a console) is told by its compiled code, which another Python compiles anew.
    """
    seen = _Seen()
    seen.look(strategy, "")
    for name in ATTRIBUTES:
        if hasattr(strategy, name):
            seen.parameters[name] = plain_value(getattr(strategy, name))
    text = "\0".join(sorted(set(seen.sources)))
    return Identity(name_of(strategy), hashlib.sha256(text.encode()).hexdigest(), seen.parameters)


def name_of(strategy: Strategy) -> str:
    """`module:function` of a strategy, the module by its file where it is the program itself."""
    if isinstance(strategy, functools.partial):
        return name_of(strategy.func)
    thing = strategy if hasattr(strategy, "__qualname__") else type(strategy)
    module = getattr(thing, "__module__", None) or "unknown"
    if module == "__main__":
        module = Path(getattr(sys.modules.get(module), "__file__", None) or "console").stem
    return f"{module}:{thing.__qualname__}"


class _Seen:
    """What was found on the way through a strategy."""

    def __init__(self) -> None:
        self.sources: list[str] = []
        self.parameters: dict[str, Any] = {}
        self._done: set[int] = set()
        self._kept: list[Any] = []  # an id means something as long as the thing lives

    def look(self, thing: Any, name: str) -> None:
        """At a value: code that is the user's is followed, others' is named, the rest is a parameter."""
        thing = getattr(thing, "py_func", thing)  # compiled by numba
        if callable(thing) or is_users(type(thing).__module__):
            if id(thing) in self._done:
                return
            self._done.add(id(thing))
            self._kept.append(thing)
        below = f"{name}." if name else ""
        if isinstance(thing, functools.partial):
            self.look(thing.func, name)
            self._each(below, {str(k): value for k, value in enumerate(thing.args)} | thing.keywords)
        elif isinstance(thing, types.MethodType):
            self.look(thing.__func__, name)
            self.look(thing.__self__, name)
        elif isinstance(thing, types.FunctionType):
            self._function(thing, below)
        elif isinstance(thing, types.ModuleType):
            file = getattr(thing, "__file__", None)
            named = f"module {thing.__name__}"
            mine = file is not None and is_users(thing.__name__)
            self.sources.append(Path(file).read_text(encoding="utf-8") if file is not None and mine else named)
        elif isinstance(thing, type):
            self._source(thing, f"class {thing.__module__}.{thing.__qualname__}")
        elif isinstance(thing, types.BuiltinFunctionType | np.ufunc):
            self.sources.append(f"{getattr(thing, '__module__', '')}.{thing.__name__}")
        elif is_users(type(thing).__module__) and not dataclasses.is_dataclass(thing) and hasattr(thing, "__dict__"):
            self.look(type(thing), name)
            self._each(below, vars(thing))
        elif is_users(type(thing).__module__) and dataclasses.is_dataclass(thing):
            self.look(type(thing), name)
            self._each(below, {one.name: getattr(thing, one.name) for one in dataclasses.fields(thing)})
        else:
            self.parameters[name] = plain_value(thing)

    def _each(self, below: str, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            self.look(value, f"{below}{name}")

    def _function(self, function: types.FunctionType, below: str) -> None:
        code = function.__code__
        mine = is_users_file(code.co_filename)
        if not mine:
            self.sources.append(f"{function.__module__}.{function.__qualname__}")
            if function.__closure__ is None:
                return
        self._source(function, code_text(code), exact=code.co_name == "<lambda>")
        arguments = inspect.signature(function, follow_wrapped=False).parameters.values()
        self._each(below, {one.name: one.default for one in arguments if one.default is not inspect.Parameter.empty})
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # not bound yet
                self.look(cell.cell_contents, f"{below}{name}")
        named = set(names_in(code))
        if mine:
            self._each(
                below, {name: function.__globals__[name] for name in sorted(named & function.__globals__.keys())}
            )

    def _source(self, thing: Any, otherwise: str, *, exact: bool = False) -> None:
        """The text of a function or class; `exact` says that its lines may hold others like it."""
        try:
            text = inspect.getsource(thing)
        except (OSError, TypeError):
            text, exact = "", True
        self.sources.append(text + (otherwise if exact else ""))


def is_users(module: str | None) -> bool:
    """Whether a module is the user's own: neither of Python, nor installed, nor of this project."""
    if module is None:
        return True
    top = module.partition(".")[0]
    if top in _OURS or top in sys.stdlib_module_names - {"__main__"}:
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    return is_users_file(file) if file is not None else module == "__main__" or module not in sys.modules


def is_users_file(file: str) -> bool:
    """The same of the file that code stands in; a console has none."""
    if file.startswith("<"):
        return not file.startswith("<frozen")
    path = Path(file).resolve()
    if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in _OURS:
        return False
    return not any(path.is_relative_to(place) for place in _OTHERS)


def names_in(code: types.CodeType) -> Iterator[str]:
    """Every global or attribute that some code names, functions inside it included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_in(constant)


def code_text(code: types.CodeType) -> str:
    """Compiled code as a text that says nothing of where it stands."""
    constants = [
        code_text(one)
        if isinstance(one, types.CodeType)
        else repr(sorted(one, key=repr) if isinstance(one, frozenset) else one)
        for one in code.co_consts
    ]
    return repr((code.co_code.hex(), constants, code.co_names, code.co_varnames, code.co_freevars))


def plain_value(value: Any) -> Any:
    """A value as JSON can hold it: arrays and tables by their hash, what is nothing of these by its type."""
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.generic):
        return plain_value(value.item())
    if isinstance(value, Mapping):
        return {str(key): plain_value(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(one) for one in value]
    if isinstance(value, set | frozenset):
        return sorted((plain_value(one) for one in value), key=repr)
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    content: bytes | None = None
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        content = repr((value.dtype.descr, value.shape)).encode() + value.tobytes()
    elif hasattr(value, "to_json") and hasattr(value, "index"):  # a frame or a column
        content = value.to_json(double_precision=15).encode()
    elif isinstance(value, np.ndarray):
        content = json.dumps(plain_value(value.tolist())).encode()
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if content is not None:
        return f"{kind} sha256 {hashlib.sha256(content).hexdigest()}"
    text = repr(value)
    return kind if " at 0x" in text or len(text) > 500 else text
