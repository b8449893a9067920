"""A terminal, or a pipe, for people."""

from __future__ import annotations

import contextlib
import os
from typing import TextIO

from rich.console import Console, ConsoleDimensions
from rich.text import Text


class PlainConsole(Console):
    """A console that prints texts as they are, and leaves a closed pipe to the entry point.

    Args:
        file: where to.
        width: columns where there is no terminal; else as wide as that.
    """

    def __init__(self, file: TextIO, width: int) -> None:
        super().__init__(file=file, highlight=False, markup=False, emoji=False, width=None if file.isatty() else width)

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
