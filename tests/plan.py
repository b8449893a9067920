"""The plan of the house, read from its imports: which modules there are, and which room leans on which."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from tests.places import ROOT

Arrows = dict[str, set[str]]


@cache
def modules(tree: Path = ROOT) -> Mapping[str, Path]:
    """Every module of the product by its dotted name; packages are not among them."""
    packages = [place.parent for place in tree.glob("*/__init__.py")]
    paths = [path for package in packages for path in sorted(package.rglob("*.py")) if path.name != "__init__.py"]
    return {".".join(path.relative_to(tree).with_suffix("").parts): path for path in paths}


def imported(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The modules of `known` that the module at `path` imports anywhere, functions and type hints included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names} | {f"{node.module}"}
            yield from names & known.keys()


@cache
def imports(tree: Path = ROOT) -> Mapping[str, frozenset[str]]:
    """The modules that each module imports."""
    known = modules(tree)
    return {name: frozenset(imported(path, known)) - {name} for name, path in known.items()}


def arrows(package: str, tree: Path = ROOT) -> Arrows:
    """Which room of a package leans on which: a room is a chapter or a file directly below it."""
    depth = package.count(".") + 2

    def room(name: str) -> str:
        return ".".join(name.split(".")[:depth])

    found: Arrows = {}
    for name, others in imports(tree).items():
        if name.startswith(f"{package}."):
            inside = {room(other) for other in others if other.startswith(f"{package}.")}
            found.setdefault(room(name), set()).update(inside - {room(name)})
    return found


def chapters(tree: Path = ROOT) -> Mapping[str, list[Path]]:
    """Every package and chapter by its dotted name, with the files directly in it."""
    places = sorted(
        {path.parent for package in tree.glob("*/__init__.py") for path in package.parent.rglob("__init__.py")}
    )
    return {
        ".".join(place.relative_to(tree).parts): [path for path in place.glob("*.py") if path.name != "__init__.py"]
        for place in places
    }
