"""The one decorator for compiled code, and a cache that sees every changed callee.

Numba stamps a cached function with a hash of its own file only: after an edit of a callee in another file the old
machine code would go on running, silently. Here every cached function of this tree carries one stamp over all chapters
that hold compiled code, so an edit in any of them retires them all (why: ``docs/adr/0008-compile-cache.md``).
"""

from __future__ import annotations

import hashlib
import linecache
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numba
from numba.core.caching import NullCache, UserWideCacheLocator, _CacheLocator

from utils.root import ROOT

P = ParamSpec("P")
R = TypeVar("R")

#: The chapters that hold compiled functions, and the ground below them. A change in any of these files retires all the
#: cache, one elsewhere retires nothing. House tests hold the list complete and free of chapters that need not be in it.
SOURCES = (
    "utils/compiled.py",
    "utils/rows.py",
    "utils/codes.py",
    "utils/market/*.py",
    "ingest/mock/*.py",
    "ingest/wire/*.py",
    "ingest/venues/*/fast.py",
    "features/*.py",
    "features/*/*.py",
    "ml/*.py",
    "ml/barriers/*.py",
    "ml/market/*.py",
    "risk/*.py",
    "exec/*.py",
    "exec/step/*.py",
    "exec/matching/*.py",
)


def stamped_files() -> list[Path]:
    """The files below `SOURCES`, in order, each once."""
    return sorted({path for pattern in SOURCES for path in ROOT.glob(pattern)})


def core_stamp() -> str:
    """SHA-256 over the sources of compiled code, the numba version and the switches that change machine code."""
    digest = hashlib.sha256(f"{numba.__version__} boundscheck={numba.config.BOUNDSCHECK}".encode())
    for path in stamped_files():
        digest.update(path.relative_to(ROOT).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


STAMP = core_stamp()


class NowhereError(Exception):
    """There is no place to keep machine code in."""


def is_ours(folder: Path) -> bool:
    """Whether nobody but this user and the machine's own can put anything into a folder, as far as it exists.

    Each folder on the way is the user's or root's; where all may write, as in /tmp, they cannot move what is others'.
    """
    if not hasattr(os, "getuid"):  # on Windows these places are the user's
        return True
    for place in (folder, *folder.parents):
        try:
            seen = place.stat()
        except FileNotFoundError:
            continue
        shared = seen.st_mode & stat.S_IWOTH and not seen.st_mode & stat.S_ISVTX
        if seen.st_uid not in {os.getuid(), 0} or shared or not stat.S_ISDIR(seen.st_mode):
            return False
    return True


def temporary_place() -> list[Path]:
    """A folder among the temporary ones that is this user's alone, made if absent; none where that cannot be."""
    if not hasattr(os, "getuid"):
        return []
    try:
        place = Path(tempfile.gettempdir()) / f"hybrid-scalper-{os.getuid()}"
        place.mkdir(mode=0o700, exist_ok=True)
        seen = place.lstat()
    except OSError:
        return []
    closed = stat.S_ISDIR(seen.st_mode) and not seen.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    return [place] if closed and seen.st_uid == os.getuid() else []


class CoreLocator(_CacheLocator):  # type: ignore[misc]
    """Where the machine code of this tree is kept, and the stamp that says whether it is still true.

    `NUMBA_CACHE_DIR` wins; then `__pycache__` beside the source; then, for a read-only install, the user's cache, and
    where there is no home that can be written, a folder of our own among the temporary ones. What lies in the last two
    is run: so they must be ours, and closed to others.
    """

    def __init__(self, function: Callable[..., Any], file: str, folder: str) -> None:
        self._line = function.__code__.co_firstlineno
        self._folder = folder
        path = Path(file)
        own = path.read_bytes() if path.exists() else "".join(linecache.getlines(file)).encode()
        self._stamp = hashlib.sha256(STAMP.encode() + own).hexdigest()

    def get_cache_path(self) -> str:
        """The directory of this function's machine code."""
        return self._folder

    def get_source_stamp(self) -> str:
        """Hash of all compiled sources and of the function's own file."""
        return self._stamp

    def get_disambiguator(self) -> str:
        """Tells functions of one name apart: the line each begins in."""
        return str(self._line)

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> CoreLocator | None:
        """A locator for a function of this tree; None leaves other libraries to numba's own locators."""
        if not Path(file).is_relative_to(ROOT) or ".venv" in Path(file).parts:
            return None
        in_tree = str(Path(file).parent / "__pycache__")
        subfolder = cls.get_suitable_cache_subpath(file)
        if numba.config.CACHE_DIR:
            folders = [str(Path(numba.config.CACHE_DIR) / subfolder)]
        else:
            user_wide = UserWideCacheLocator(function, file).get_cache_path()
            folders = [in_tree, user_wide, *(str(place / subfolder) for place in temporary_place())]
        for folder in folders:
            locator = cls(function, file, folder)
            try:
                if folder != in_tree and not numba.config.CACHE_DIR and not is_ours(Path(folder)):
                    continue
                locator.ensure_cache_path()
            except OSError:
                continue
            return locator
        raise NowhereError


if not numba.config.CACHE_LOCATOR_CLASSES:
    # numba's defaults stay behind ours, for other libraries in this process
    numba.config.CACHE_LOCATOR_CLASSES = (
        "utils.compiled.CoreLocator,UserProvidedCacheLocator,InTreeCacheLocator,UserWideCacheLocator,"
        "IPythonCacheLocator"
    )

if TYPE_CHECKING:

    def compiled(function: Callable[P, R]) -> Callable[P, R]:
        """Compile `function` to machine code, cached; strict typing sees it unchanged."""
        return function

    def inlined(function: Callable[P, R]) -> Callable[P, R]:
        """Compile `function` into its callers; strict typing sees it unchanged."""
        return function

    def uncached(function: Callable[P, R]) -> Callable[P, R]:
        """Compile `function` in each process anew; strict typing sees it unchanged."""
        return function
else:
    # nobody calls these through a C pointer: that door would cost a tenth of the compilation
    # nothing here owns an array, so nothing counts references: a count costs two locked instructions for every array
    # handed to an inner function, and that was half the time of a trade
    _options = {"nogil": True, "error_model": "numpy", "boundscheck": True, "_nrt": False}
    _kept = numba.njit(cache=True, no_cfunc_wrapper=True, **_options)
    uncached = numba.njit(no_cfunc_wrapper=True, **_options)
    # swallowed by its callers, which alone are cached: some sixty calls a row took a third of the time of thirty
    # features, and the calls of a scanner a fifth of its time
    inlined = numba.njit(forceinline=True, **_options)

    def compiled(function: Any) -> Any:
        """Compile `function` to machine code, cached where there is a place for that."""
        try:
            return _kept(function)
        except NowhereError:
            _say_why_it_is_slow()
            return uncached(function)


@cache
def _say_why_it_is_slow() -> None:
    """Say it; the cache is what makes it once per process."""
    sys.stderr.write(
        "There is no place to keep machine code in, so each start compiles anew, some 20 seconds: neither this "
        "program's folder, the user's cache nor a temporary one can be written safely; NUMBA_CACHE_DIR=DIR names one.\n"
    )


def keeps() -> bool:
    """Whether machine code is kept between processes."""
    return _say_why_it_is_slow.cache_info().currsize == 0


def is_cached(function: Callable[..., Any]) -> bool:
    """True when machine code of `function` as it stands is on disk, or none is wanted (NUMBA_DISABLE_JIT)."""
    kept = getattr(function, "_cache", None)
    if isinstance(kept, NullCache):
        return False
    return kept is None or bool(kept._cache_file._load_index())  # noqa: SLF001 - numba has no public question


def _identity(value: Any) -> str:
    """What tells a callee, or a constant, from others of its name: of a generated function its text, too."""
    code = getattr(getattr(value, "py_func", value), "__code__", None)
    return repr(value) if code is None else f"{Path(code.co_filename).name} {code.co_qualname} {code.co_firstlineno}"


def compile_source(
    name: str, source: str, namespace: dict[str, Any], beside: str, *, cached: bool = True
) -> Callable[..., Any]:
    """Compile a generated function so that it is cached and its lines show in tracebacks.

    Args:
        name: the function that `source` defines.
        source: Python source; its text is part of the cache stamp.
        namespace: globals of the function: the compiled callees, and constants; which they are is part of the stamp,
            too, as one text may be compiled with several.
        beside: the file whose folder keeps the cache (pass `__file__`).
        cached: False where it calls functions of a user: the stamp knows nothing of an edit in them.
    """
    callees = sorted(f"{alias} {_identity(value)}" for alias, value in namespace.items())
    digest = hashlib.sha256("\n".join([source, *callees]).encode()).hexdigest()[:12]
    file = str(Path(beside).with_name(f"generated_{name}_{digest}.py"))
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    # numba rebuilds a cached function inside the module it names
    scope = {"__name__": __name__, **namespace}
    exec(compile(source, file, "exec"), scope)  # noqa: S102 - our own text, built from the registry
    return (compiled if cached else uncached)(scope[name])
