"""A page whose parts are rewritten, and nothing else."""

import pytest

from backtest.experiments.page import HEAD, Part, require_page, write
from utils.errors import ConfigError


def part(key="stops, made", value="1"):
    return Part(key, "A title", "python -m it", ["one", "other"], [{"a": value, "b": "x"}], ["it was found"])


def test_a_part_has_its_command_its_table_and_what_was_found():
    lines = part().text().splitlines()
    assert "    python -m it" in lines
    assert ["| a | b |", "| --- | --- |", "| 1 | x |"] == [line for line in lines if line.startswith("|")]
    assert "* It was found." in lines
    assert "Measured on: one; other." in lines


def test_writing_twice_changes_nothing(tmp_path):
    page = tmp_path / "claims.md"
    write(page, [part()])
    once = page.read_text()
    write(page, [part()])
    assert once == page.read_text()
    assert once.startswith(HEAD)
    assert [page] == list(tmp_path.iterdir())


def test_only_the_part_itself_is_replaced(tmp_path):
    page = tmp_path / "claims.md"
    write(page, [part(), part("kelly, made")])
    page.write_text(page.read_text().replace(HEAD, HEAD + "\nWords of mine.\n") + "\nMore.\n")
    write(page, [part(value="2")])
    text = page.read_text()
    assert 1 == text.count("| 2 | x |") == text.count("| 1 | x |")
    assert "Words of mine." in text
    assert text.endswith("More.\n")
    assert text.index("| 2 | x |") < text.index("| 1 | x |")


def test_what_stands_in_a_part_is_text_and_no_pattern(tmp_path):
    page = tmp_path / "claims.md"
    write(page, [part()])
    write(page, [part(value=r"\1 \g<0>")])
    assert r"| \1 \g<0> | x |" in page.read_text()


def test_a_place_where_no_page_can_be_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--out: expected a file in a folder that exists, saw the folder"):
        require_page(tmp_path)
    with pytest.raises(ConfigError, match="saw no folder"):
        require_page(tmp_path / "none" / "page.md")
    require_page(tmp_path / "page.md")
