"""A strategy by its name: `package.module:name`, or `file.py:name`. It is the user's own code, and runs as such."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from exec.strategy import FRAMES, Strategy
from utils.errors import ConfigError

FORM = "package.module:name or file.py:name"


def load_strategy(said: str, flag: str = "--strategy") -> Strategy:
    """The function that a name means.

    A file is run as an import of it would run it, with its own folder behind all other places that are searched, so
    that it finds what lies beside it; a package is searched from the working directory, too. What either prints
    meanwhile goes to standard error.

    Args:
        said: `package.module:name` or `file.py:name`.
        flag: where it was said, for messages.

    Raises:
        ConfigError: there is none of that name, it is not callable, or its file does not run; names what was seen.
    """
    place, colon, name = said.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise ConfigError(f"{flag}: expected {FORM}, saw {said!r}; name the function after a colon")
    module = _from_file(Path(place), flag) if place.endswith(".py") else _from_package(place, flag)
    if not hasattr(module, name):
        known = [one for one, value in vars(module).items() if callable(value) and not one.startswith("_")]
        near = difflib.get_close_matches(name, known, 1)
        cure = f"did you mean {near[0]}?" if near else "name one that is there"
        raise ConfigError(f"{flag}: {place} holds no {name}; {cure}")
    found = getattr(module, name)
    if not callable(found):
        raise ConfigError(
            f"{flag}: expected a function from market rows to signal rows, saw {name} = {found!r:.60}; name another"
        )
    return found  # type: ignore[no-any-return]


def _from_file(path: Path, flag: str) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"{flag}: expected a file of Python, saw nothing at {path}; check the path")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{flag}: expected a file of Python, saw {path}; name another")
    module = importlib.util.module_from_spec(spec)
    _search(path.resolve().parent)
    before = sys.modules.get(path.stem)
    if before is None:
        sys.modules[path.stem] = module  # what it defines is looked up there
    try:
        with contextlib.redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except BaseException as error:
        if before is None:
            del sys.modules[path.stem]
        raise _broken(error, str(path), flag) from error
    return module


def _from_package(place: str, flag: str) -> ModuleType:
    _search(Path.cwd())
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is not None and (place == error.name or place.startswith(f"{error.name}.")):
            raise ConfigError(f"{flag}: there is no module {error.name}; expected {FORM}") from None
        raise _broken(error, place, flag) from error
    except BaseException as error:
        raise _broken(error, place, flag) from error


def _search(folder: Path) -> None:
    """Look there too, behind what is found already: a user's `random.py` must not be taken for Python's."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _broken(error: BaseException, place: str, flag: str) -> BaseException:
    """That a file does not run, with the last lines of it that were reached; Ctrl-C stays what it is."""
    if isinstance(error, KeyboardInterrupt | MemoryError):
        return error
    if isinstance(error, SyntaxError):
        return ConfigError(f"{flag}: {error.filename} line {error.lineno}: {error.msg}; mend it")
    machinery = ("<frozen", str(Path(__file__)), str(Path(importlib.__file__).parent))
    lines = [
        f"\n  {line.filename}, line {line.lineno}, in {line.name}: {line.line}"
        for line in traceback.extract_tb(error.__traceback__)
        if not line.filename.startswith(machinery)
    ]
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return ConfigError(f"{flag}: {place} does not run: {what:.200}; mend it{''.join(lines[-FRAMES:])}")
