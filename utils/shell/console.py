"""A terminal, or a pipe, for people."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console


class PlainConsole(Console):
    """A console that prints texts as they are, and leaves a closed pipe to the entry point.

    Args:
        file: where to.
        width: columns where there is no terminal; else as wide as that.
    """

    def __init__(self, file: TextIO, width: int) -> None:
        super().__init__(file=file, highlight=False, markup=False, emoji=False, width=None if file.isatty() else width)

    def on_broken_pipe(self) -> None:
        """Raise what rich would turn into exit code 1."""
        raise BrokenPipeError
