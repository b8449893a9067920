from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.headlines.headline import TITLE_LENGTH, moment_ns, one_line, parse_coingecko, parse_cryptopanic
from utils.errors import ProtocolError

NOON = "2026-01-24T12:00:00Z"
NOON_NS = int(datetime(2026, 1, 24, 12, tzinfo=UTC).timestamp()) * 10**9
BARE = {"id": 1, "title": "Bitcoin moves", "published_at": NOON}
V1 = {
    **BARE,
    "kind": "news",
    "domain": "example.org",
    "slug": "Bitcoin-moves",
    "created_at": "2026-01-24T12:00:05Z",
    "source": {"title": "Example", "region": "en", "domain": "example.org", "path": None, "type": "feed"},
    "url": "https://cryptopanic.com/news/1/Bitcoin-moves",
    "currencies": [
        {"code": "BTC", "title": "Bitcoin", "slug": "bitcoin", "url": "https://cryptopanic.com/news/bitcoin/"}
    ],
    "votes": {
        "negative": 1,
        "positive": 4,
        "important": 0,
        "liked": 2,
        "disliked": 0,
        "lol": 0,
        "toxic": 0,
        "saved": 3,
        "comments": 0,
    },
}
V2 = {
    **BARE,
    "description": "...",
    "created_at": "2026-01-24T12:00:05.250Z",
    "source": None,
    "original_url": "https://example.org/1",
    "instruments": [{"code": "btc", "market_cap_usd": 1.3e12}, {"code": "ETH"}, {"code": "BTC"}],
    "panic_score": 40,
    "author": None,
    "content": {"original": None, "clean": None},
}
ARTICLE = {
    "title": "Ether moves",
    "url": "https://example.org/2",
    "image": "https://example.org/2.png",
    "author": "A",
    "posted_at": NOON,
    "type": "news",
    "source_name": "Example",
    "related_coin_ids": ["ethereum", "could", "bitcoin"],
}


def test_a_post_of_v1_is_read():
    headline = parse_cryptopanic(V1, NOON_NS + 60 * 10**9)
    assert ("cryptopanic:1", "Bitcoin moves", "Example", ("BTC",), "news") == (
        headline.id,
        headline.title,
        headline.source,
        headline.currencies,
        headline.kind,
    )
    assert (NOON_NS, NOON_NS + 5 * 10**9) == (headline.published_ns, headline.created_ns)
    assert (4, 1, 9) == (headline.votes["positive"], headline.votes["negative"], len(headline.votes))
    assert "https://cryptopanic.com/news/1/Bitcoin-moves" == headline.url


def test_a_post_of_developer_v2_is_read():
    headline = parse_cryptopanic(V2, NOON_NS)
    assert (("BTC", "ETH"), "", "", None) == (headline.currencies, headline.source, headline.kind, headline.votes)
    assert (NOON_NS + 5_250_000_000, "https://example.org/1") == (headline.created_ns, headline.url)


def test_only_id_title_and_time_are_needed():
    headline = parse_cryptopanic(BARE, 7)
    assert ((), None, None, "", "") == (
        headline.currencies,
        headline.votes,
        headline.created_ns,
        headline.source,
        headline.url,
    )


def test_an_article_of_coingecko_is_read_and_its_tags_are_codes():
    headline = parse_coingecko(ARTICLE, 7)
    assert ("coingecko:https://example.org/2", "Ether moves", NOON_NS, "Example", "news", ("ETH", "BTC"), None) == (
        headline.id,
        headline.title,
        headline.published_ns,
        headline.source,
        headline.kind,
        headline.currencies,
        headline.votes,
    )


@pytest.mark.parametrize("field", BARE)
@pytest.mark.parametrize("value", [None, "", [], {}, 1.5])
def test_what_must_be_there_is_refused_when_it_is_not(field, value):
    with pytest.raises(ProtocolError, match=r"^headline: "):
        parse_cryptopanic({**BARE, field: value}, 7)
    with pytest.raises(ProtocolError, match=r"^headline: .*missing required field"):
        parse_cryptopanic({name: kept for name, kept in BARE.items() if name != field}, 7)


@pytest.mark.parametrize("item", [None, "text", 5, [], {"id": {}}])
def test_what_is_no_post_is_refused(item):
    for parse in (parse_cryptopanic, parse_coingecko):
        with pytest.raises(ProtocolError):
            parse(item, 7)


def test_votes_that_are_no_counts_are_left_out():
    votes = {
        "positive": 3,
        "negative": -1,
        "lol": True,
        "liked": 2.5,
        "saved": "4",
        "toxic": 2**60,
        "co\ud800l": 1,
        "comments": None,
    }
    assert {"positive": 3} == parse_cryptopanic({**BARE, "votes": votes}, 7).votes


def test_it_may_be_used_when_published_created_and_seen():
    for published, created, seen in [(9, 5, 1), (5, 9, 1), (1, 5, 9)]:
        times = [datetime.fromtimestamp(s, UTC).isoformat() for s in (published, created)]
        item = {**BARE, "published_at": times[0], "created_at": times[1]}
        assert 9 * 10**9 == parse_cryptopanic(item, seen * 10**9).available_ns


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (NOON, 0),
        ("2026-01-24T12:00:00", 0),
        ("2026-01-24 13:00:00+01:00", 0),
        ("2026-01-24T12:00:00.000001Z", 1e-6),
        ("2026-01-25", 43200),
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise(text, seconds):
    assert NOON_NS + int(seconds * 1e6) * 1000 == moment_ns(text)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "24.01.2026", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00+23:00", "2026-13-01"]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ProtocolError, match="expected an ISO 8601 time, saw"):
        moment_ns(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  a\r\n\tb\x00c\x1b[31m ", "a b c [31m"),
        ("🚀 👨‍👩‍👧 to the moon", "🚀 👨‍👩‍👧 to the moon"),
        ("بيتكوين يرتفع", "بيتكوين يرتفع"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("half \ud83d pair", "half pair"),
        ("x\u2028y", "x y"),
    ],
)
def test_text_becomes_one_safe_line(text, line):
    assert line == one_line(text, 100)


def test_a_title_of_ten_kilobytes_is_cut():
    title = parse_cryptopanic({**BARE, "title": "long " * 2000}, 7).title
    assert (TITLE_LENGTH, "…") == (len(title), title[-1])


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "ftp://x", "https://x\n.org", "https://x.org/" + "a" * 3000, ""]
)
def test_only_web_addresses_are_links(url):
    assert "" == parse_cryptopanic({**BARE, "url": url}, 7).url


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*V1, *V2, *ARTICLE, "code"]), inner, max_size=8)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_a_headline_or_is_refused(item):
    for parse, whole in ((parse_cryptopanic, V1), (parse_coingecko, ARTICLE)):
        for candidate in (item, {**whole, **item} if isinstance(item, dict) else item):
            try:
                headline = parse(candidate, 7)
            except ProtocolError:
                continue
            assert headline.title == one_line(headline.title, TITLE_LENGTH) != ""
            headline.title.encode()
