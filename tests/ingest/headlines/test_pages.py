import pytest

from ingest.headlines.headline import Headline
from ingest.headlines.pages import Page, page_of, until_enough
from utils.errors import DataUnavailable, ProtocolError


def read(item, seen_ns):
    if item < 0:
        raise ProtocolError(f"headline: saw {item}")
    return Headline(f"x:{item}", "t", item, seen_ns)


def published(pages):
    return [[headline.published_ns for headline in page.headlines] for page in pages]


def test_what_cannot_be_read_is_left_out_unless_it_is_all():
    assert [[3, 1]] == published([page_of("News", [3, -2, 1], read, 9)])
    assert Page(9, ()) == page_of("News", [], read, 9)
    with pytest.raises(DataUnavailable, match=r"News: expected headlines, saw 2 that cannot be read; the last: .* -1"):
        page_of("News", [-2, -1], read, 9)


def test_pages_are_read_until_there_are_enough_or_they_are_too_old():
    pages = [page_of("News", items, read, 9) for items in ([9, 8], [7, 6], [5])]
    assert [[9, 8], [7, 6]] == published(until_enough(iter(pages), 3, None))
    assert [[9, 8], [7, 6]] == published(until_enough(iter(pages), 50, 7))


def test_what_came_before_the_service_stopped_is_kept():
    def stopping(first):
        yield from first
        raise DataUnavailable("gone")

    assert [[2]] == published(until_enough(stopping([page_of("News", [2], read, 9)]), 50, None))
    with pytest.raises(DataUnavailable, match="gone"):
        list(until_enough(stopping([]), 50, None))
