import pytest

from utils.settings.text import is_text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("BTCUSDT", True),
        ("", True),
        ("größe/日本", True),
        ("a\tb", True),
        ("a\udcffb", True),
        ("a\0b", False),
        ("\ud800", False),
    ],
)
def test_what_no_name_can_hold_is_no_text(words, text):
    assert text == is_text(words)
