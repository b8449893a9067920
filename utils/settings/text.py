"""What can stand in a setting, a flag or a name."""

from __future__ import annotations


def is_text(words: str) -> bool:
    """Whether a file, a symbol or an address could be called so: no NUL is in it, and it can be written as UTF-8.

    Bytes of a file's name that are no UTF-8 reach us as low surrogates, and go back as they came: those are allowed.
    """
    return "\0" not in words and not any("\ud800" <= letter <= "\udbff" for letter in words)
