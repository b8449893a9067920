"""A terminal, or a pipe, for people."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

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

    @property  # type: ignore[misc]  # nobody here sets it
    def size(self) -> ConsoleDimensions:
        """Columns and lines as the terminal itself tells them: of one that is called dumb, rich asks nothing."""
        if self.is_terminal and self._width is None:
            with contextlib.suppress(OSError, ValueError):
                columns, lines = os.get_terminal_size(self.file.fileno())
                if columns > 0 and lines > 0:
                    return ConsoleDimensions(columns, lines)
        return super().size

    def say(self, text: Text) -> None:
        """Print a line: on a terminal wrapped between words, elsewhere left as long as it is."""
        self.print(text, soft_wrap=not self.is_terminal)

    def on_broken_pipe(self) -> None:
        """Raise what rich would turn into exit code 1."""
        raise BrokenPipeError


def draws(console: Console) -> bool:
    """Whether bars and dots beyond ASCII may be used: on a terminal that knows them, and where NO_COLOR is not set."""
    if not console.is_terminal or console.is_dumb_terminal or console.no_color:
        return False
    try:
        "█·".encode(console.encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def progress_console(*, quiet: bool = False) -> SafeConsole:
    """Standard error, for progress; a quiet one shows nothing."""
    return SafeConsole(sys.stderr, quiet=quiet)
