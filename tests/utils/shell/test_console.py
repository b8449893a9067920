"""Terminals of every kind: how wide they are, and what may be drawn there."""

import io
import os

import pytest

from utils.shell.console import PlainConsole, draws

pty = pytest.importorskip("pty")


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 60 columns, of a kind."""
    fcntl, struct, termios = (pytest.importorskip(name) for name in ("fcntl", "struct", "termios"))
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    lead, follow = pty.openpty()
    fcntl.ioctl(follow, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 60, 0, 0))
    file = os.fdopen(follow, "w", encoding="utf-8")
    yield file
    file.close()
    os.close(lead)


@pytest.mark.parametrize(
    ("names", "drawn"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({}, True),  # TERM unset
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
    ],
)
def test_a_terminal_is_as_wide_as_it_is_and_draws_what_it_can(terminal, monkeypatch, names, drawn):
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    console = PlainConsole(terminal, 100)
    assert (60, drawn) == (console.width, draws(console))


def test_a_file_has_the_width_it_is_given_and_plain_characters():
    console = PlainConsole(io.StringIO(), 100)
    assert (100, False) == (console.width, draws(console))


def test_a_terminal_whose_letters_are_few_is_drawn_on_with_them():
    class Narrow(io.StringIO):
        encoding = "cp1251"

        def isatty(self):
            return True

    assert not draws(PlainConsole(Narrow(), 100))


def test_a_line_is_wrapped_between_words_on_a_terminal_alone():
    text = "expected " * 20
    assert 1 == _said(io.StringIO(), text)
    assert 1 < _said(_Terminal(), text)


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def _said(file, text):
    from rich.text import Text

    PlainConsole(file, 100).say(Text(text.strip()))
    return file.getvalue().count("\n")
