from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from ingest.headlines.cryptopanic import pages, parse
from ingest.headlines.headline import TITLE_LENGTH, one_line
from ingest.headlines.pages import MOST
from ingest.headlines.web import Key, Service
from tests.scripted import Reply, ScriptedServer
from utils.errors import ProtocolError
from utils.settings.tree import IngestSettings

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


def test_a_post_of_v1_is_read():
    headline = parse(V1, NOON_NS + 60 * 10**9)
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
    headline = parse(V2, NOON_NS)
    assert (("BTC", "ETH"), "", "", None) == (headline.currencies, headline.source, headline.kind, headline.votes)
    assert (NOON_NS + 5_250_000_000, "https://example.org/1") == (headline.created_ns, headline.url)


def test_only_id_title_and_time_are_needed():
    headline = parse(BARE, 7)
    assert ((), None, None, "", "") == (
        headline.currencies,
        headline.votes,
        headline.created_ns,
        headline.source,
        headline.url,
    )


@pytest.mark.parametrize("field", BARE)
@pytest.mark.parametrize("value", [None, "", [], {}, 1.5])
def test_what_must_be_there_is_refused_when_it_is_not(field, value):
    with pytest.raises(ProtocolError, match=r"^headline: "):
        parse({**BARE, field: value}, 7)
    with pytest.raises(ProtocolError, match=r"^headline: .*missing required field"):
        parse({name: kept for name, kept in BARE.items() if name != field}, 7)


@pytest.mark.parametrize("item", [None, "text", 5, [], {"id": {}}])
def test_what_is_no_post_is_refused(item):
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
    assert {"positive": 3} == parse({**BARE, "votes": votes}, 7).votes


def test_it_may_be_used_when_published_created_and_seen():
    for published, created, seen in [(9, 5, 1), (5, 9, 1), (1, 5, 9)]:
        times = [datetime.fromtimestamp(s, UTC).isoformat() for s in (published, created)]
        item = {**BARE, "published_at": times[0], "created_at": times[1]}
        assert 9 * 10**9 == parse(item, seen * 10**9).available_ns


def test_a_title_of_ten_kilobytes_is_cut():
    title = parse({**BARE, "title": "long " * 2000}, 7).title
    assert (TITLE_LENGTH, "…") == (len(title), title[-1])


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "ftp://x", "https://x\n.org", "https://x.org/" + "a" * 3000, ""]
)
def test_only_web_addresses_are_links(url):
    assert "" == parse({**BARE, "url": url}, 7).url


def test_pages_without_end_are_bounded():
    assert 10 == MOST  # seconds, as they are a second apart
    long = IngestSettings(timeout_s=2.0, retries=1)
    with ScriptedServer(lambda r: Reply({"next": f"?page={r.query.get('page', '0')}0", "results": [BARE]})) as server:
        key = Key("CRYPTOPANIC_TOKEN", SecretStr("7e57" * 10), query="auth_token")
        service = Service("CryptoPanic", server.url, long, key, pace_s=0.0)
        assert MOST == len(list(pages(service, "api/v1", ())))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*V1, *V2, "code"]), inner, max_size=8),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_a_post_or_is_refused(item):
    for candidate in (item, {**V1, **item} if isinstance(item, dict) else item):
        try:
            headline = parse(candidate, 7)
        except ProtocolError:
            continue
        assert headline.title == one_line(headline.title, TITLE_LENGTH) != ""
        headline.title.encode()
