from __future__ import annotations

from html.parser import HTMLParser

import pytest

from model.pages.document import Document, Folded, Grid, Picture, Section, Words, html, markdown

HOSTILE = '<script>alert("x")</script>|*`_\\\n# <b>'
#: Tags that have no end.
VOID = {"meta", "path", "rect", "circle", "polyline"}


class Checked(HTMLParser):
    """Reads a page as a browser would, and refuses what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, _):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, _):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(text: str) -> Checked:
    """The page, parsed to its end."""
    page = Checked()
    page.feed(text)
    page.close()
    assert page.open == []
    return page


def page_with(text: str) -> Document:
    grid = Grid((text, "number"), ((text, "1.5"), ("second", "20")), caption=text)
    section = Section(text, (Words(text), grid, Folded(text, grid), Picture("<svg></svg>", text)))
    return Document(text, text, False, text, (section,))


def test_a_page_is_closed_and_has_its_parts():
    page = read(html(page_with("plain")))
    assert {"html", "head", "style", "body", "main", "h1", "nav", "section", "table", "details"} <= {*page.tags}
    assert "plain" in page.text


def test_what_users_name_is_text_in_html():
    page = read(html(page_with(HOSTILE)))
    assert not {"script", "b"} & {*page.tags}
    assert '<script>alert("x")</script>|*`_\\ # <b>' in page.text


def test_what_users_name_is_text_in_markdown():
    text = markdown(page_with(HOSTILE))
    assert "<" not in text
    said = '&lt;script>alert("x")&lt;/script>\\|\\*\\`_\\\\ # &lt;b>'
    assert text.startswith(f"# {said}\n\n**{said}**\n")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {3}


def test_a_table_is_aligned_in_its_source():
    text = markdown(page_with("what"))
    assert "| what   | number |\n| ------ | -----: |\n| what   |    1.5 |\n| second |     20 |\n" in text


def test_a_page_asks_nothing_of_a_network_and_runs_nothing():
    text = html(page_with("plain"))
    for word in ("http", "<script", "<link", "@import", "url(", "<img", "src="):
        assert word not in text


def test_a_page_follows_the_theme_and_prints():
    text = html(page_with("plain"))
    assert "prefers-color-scheme:dark" in text
    assert "@media print" in text


def test_heads_that_say_nothing_are_left_out():
    grid = Grid(("", ""), (("a", "b"),), words=True)
    page = Document("t", "v", True, "m", (Section("s", (grid,)),))
    assert "<thead>" not in html(page)
    assert 'class="verdict opens"' in html(page)


@pytest.mark.parametrize("text", ["a_b_c", "5 > 3", "P(net > 0)"])
def test_what_is_harmless_stays_readable(text):
    assert text in markdown(page_with(text))
