"""A terminal, or a pipe, for people."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from utils.shell.rim import behind, safe


class SafeConsole(Console):
    """A console whose texts are safe, wherever they come from; only what rich itself means to control is obeyed."""

    def __init__(self, file: TextIO, **options: Any) -> None:
        super().__init__(file=behind(file), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """The pieces of text that something is made of."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control or (plain := safe(text)) == text else Segment(plain, style)


class PlainConsole(SafeConsole):
    """A console that prints texts as they are, and leaves a closed pipe to the entry point.

    Args:
        file: where to.
        width: columns where there is no terminal; else as wide as that.
    """

    def __init__(self, file: TextIO, width: int) -> None:
        super().__init__(file, highlight=False, markup=False, emoji=False, width=None if file.isatty() else width)

    def on_broken_pipe(self) -> None:
        """Raise what rich would turn into exit code 1."""
        raise BrokenPipeError


def progress_console(*, quiet: bool = False) -> SafeConsole:
    """Standard error, for progress; a quiet one shows nothing."""
    return SafeConsole(sys.stderr, quiet=quiet)
