import logging
import threading
import time
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from features.news_metrics import news_metrics
from ingest.box.news import COINGECKO_DEMO_KEY, COINGECKO_PRO_KEY, CRYPTOPANIC_TOKEN
from ingest.headlines.coingecko import fetch_global, fetch_prices
from ingest.news import fetch_headlines, read_snapshots, record_news, take_snapshot
from tests.boxes import PATIENCE_S, box_in_thread
from tests.scripted import Reply, ScriptedServer
from utils.errors import ConfigError, DataUnavailable
from utils.settings.tree import EndpointSettings, IngestSettings, SecretSettings

S = 10**9
NOW = int(datetime(2026, 1, 24, 12, tzinfo=UTC).timestamp()) * S
TOKEN = "7e57" * 10
SECRETS = SecretSettings(cryptopanic_token=SecretStr(TOKEN))
PAID = SecretSettings(coingecko_api_key=SecretStr("CG-" + "5c" * 12))
QUICK = IngestSettings(timeout_s=5.0, retries=1)
PRO = QUICK.model_copy(update={"coingecko_plan": "pro"})


def post(number, age_s=None, **more):
    at = datetime.fromtimestamp(NOW // S - (60 * number if age_s is None else age_s), UTC)
    return {"id": number, "title": f"Headline {number}", "published_at": at.isoformat(), **more}


def pages(*lists, last=None):
    """A CryptoPanic of these pages; the last one's `next` is `last`."""

    def answer(request):
        number = int(request.query.get("page", "1"))
        here = f"http://{request.headers['host']}{request.path}"
        further = f"{here}?auth_token={TOKEN}&public=true&page={number + 1}" if number < len(lists) else last
        return Reply({"next": further, "previous": None, "results": lists[number - 1]})

    return answer


def at(server):
    return EndpointSettings(cryptopanic=server.url, coingecko=server.url, coingecko_pro=server.url)


def fetch(answer, currencies="BTC", settings=QUICK, secrets=SECRETS, **more):
    with ScriptedServer(answer) as server:
        asked = {"endpoints": at(server), "settings": settings, "secrets": secrets, "now_ns": lambda: NOW, **more}
        return take_snapshot(currencies, **asked), server.requests


def numbers(snapshot):
    return [int(headline.id.rpartition(":")[2]) for headline in snapshot.headlines]


def test_headlines_come_newest_first_stamped_when_seen():
    snapshot, (request,) = fetch(pages([post(2), post(1), post(3)]), "BTCUSDT,eth/usdt:usdt")
    assert [1, 2, 3] == numbers(snapshot)
    assert (NOW, "cryptopanic", ("BTC", "ETH")) == (snapshot.seen_ns, snapshot.source, snapshot.currencies)
    assert {NOW} == {headline.seen_ns for headline in snapshot.headlines}
    assert "/api/developer/v2/posts/" == request.path
    assert {"auth_token": TOKEN, "public": "true", "currencies": "BTC,ETH"} == request.query


def test_the_path_of_the_plan_is_asked_and_no_currency_means_all():
    settings = QUICK.model_copy(update={"cryptopanic_path": "api/v1"})
    _, (request,) = fetch(pages([]), (), settings)
    assert "/api/v1/posts/" == request.path
    assert "currencies" not in request.query


def test_no_news_is_no_error():
    snapshot, _ = fetch(pages([]))
    assert ((), NOW) == (snapshot.headlines, snapshot.seen_ns)


def test_pages_are_followed_and_a_headline_on_two_stands_once():
    snapshot, requests = fetch(pages([post(1), post(2)], [post(2, title="later"), post(3)]))
    assert [1, 2, 3] == numbers(snapshot)
    assert "Headline 2" == snapshot.headlines[1].title
    assert [None, "2"] == [request.query.get("page") for request in requests]


def test_paging_ends_when_there_is_enough():
    first = [post(1), post(2)]
    assert 1 == len(fetch(pages(first, [post(3)]), limit=2)[1])
    assert [1] == numbers(fetch(pages(first, [post(3)]), limit=1)[0])
    snapshot, requests = fetch(pages(first, [post(3)]), since=NOW - 90 * S)
    assert ([1], 1) == (numbers(snapshot), len(requests))


def test_a_next_link_that_leads_in_circles_is_left():
    circle = {"next": "/posts/?page=1", "results": [post(1)]}
    snapshot, requests = fetch(lambda _request: Reply(circle))
    assert ([1], [None, "1"]) == (numbers(snapshot), [request.query.get("page") for request in requests])


def test_a_next_link_never_takes_the_token_to_another_host():
    with ScriptedServer(pages([])) as other:
        away = f"{other.url}/api/developer/v2/posts/?auth_token={TOKEN}&page=2"
        _, requests = fetch(pages([post(1)], [post(2)], last=away))
    assert [] == other.requests
    assert [None, "2"] == [request.query.get("page") for request in requests]


@pytest.mark.parametrize("link", [5, ["x"], "", "http://[", "no query", {"page": 2}])
def test_a_next_that_is_no_link_ends_the_pages(link):
    assert 1 == len(fetch(pages([post(1)], last=link))[1])


def test_the_first_pages_are_kept_when_the_service_stops(caplog):
    second = Reply(b"", 429, {"Retry-After": "100"})
    first = pages([post(1)], [])
    snapshot, _ = fetch(lambda r: second if "page" in r.query else first(r))
    assert [1] == numbers(snapshot)
    assert "too many requests (HTTP 429); ask again in 100 s" in caplog.text


def test_a_post_that_cannot_be_read_is_left_out_and_said(caplog):
    snapshot, _ = fetch(pages([post(1), {"id": 2}, "junk", post(3, published_at="soon")]))
    assert [1] == numbers(snapshot)
    (record,) = [record for record in caplog.records if getattr(record, "event", "") == "headlines_left_out"]
    assert 3 == record.fields["headlines"]


@pytest.mark.parametrize(
    "body",
    [{}, [], {"results": None}, {"detail": "Not found."}, {"results": [{"id": 2}]}, "text", 5],
)
def test_an_answer_without_headlines_is_an_error(body):
    with pytest.raises(DataUnavailable, match=r"^CryptoPanic: expected (a list of )?headlines, saw"):
        fetch(lambda _request: Reply(body))


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (401, ConfigError, "^CRYPTOPANIC_TOKEN: CryptoPanic does not know this key"),
        (403, DataUnavailable, "your plan does not hold /api/developer/v2/posts/"),
        (404, ConfigError, "^ingest.cryptopanic_path: .*set it to the one of your plan"),
        (429, DataUnavailable, "too many requests"),
        (500, DataUnavailable, "saw HTTP 500"),
    ],
)
def test_a_refusal_says_what_to_do_and_never_the_token(status, kind, says, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(kind, match=says) as raised:
        fetch(lambda request: Reply({"asked": request.query}, status, {"Link": f"</?auth_token={TOKEN}>"}))
    assert TOKEN not in str(raised.value) + caplog.text


@pytest.mark.parametrize("secrets", [SecretSettings(), PAID])
def test_without_a_key_that_has_news_nothing_is_asked(secrets):
    says = "a CoinGecko demo key has no news, so set CRYPTOPANIC_TOKEN"
    with ScriptedServer(pages([])) as server, pytest.raises(ConfigError, match=says):
        fetch_headlines("BTC", endpoints=at(server), settings=QUICK, secrets=secrets)
    assert [] == server.requests


def test_less_than_one_headline_is_refused():
    with pytest.raises(ConfigError, match="limit: expected at least 1 headline, saw 0"):
        fetch(pages([]), limit=0)


def test_a_paid_coingecko_key_has_news_coin_by_coin():
    def answer(request):
        article = {"title": request.query["coin_id"], "posted_at": "2026-01-24T11:00:00Z", "source_name": "Example"}
        return Reply([{**article, "url": f"https://example.org/{request.query['coin_id']}"}])

    snapshot, requests = fetch(answer, ["ETHUSDT", "BTCUSDT"], PRO, PAID)
    assert {"bitcoin", "ethereum"} == {headline.title for headline in snapshot.headlines}
    assert ("coingecko", ("BTC", "ETH")) == (snapshot.source, snapshot.currencies)
    assert ["/api/v3/news"] * 2 == [request.path for request in requests]


def test_a_full_page_of_coingecko_is_followed_by_the_next():
    def answer(request):
        sizes = {"1": 20, "2": 3}
        page = request.query["page"]
        article = {"title": "t", "posted_at": "2026-01-24T11:00:00Z"}
        return Reply([{**article, "url": f"https://example.org/{page}/{i}"} for i in range(sizes[page])])

    assert 23 == len(fetch(answer, (), PRO, PAID)[0].headlines)


def test_the_same_question_within_a_minute_is_not_asked_again():
    with ScriptedServer(pages([post(1)])) as server:
        asked = {"endpoints": at(server), "settings": QUICK, "secrets": SECRETS}
        first = fetch_headlines(["BTC", "ETH"], **asked)
        assert first == fetch_headlines("ETHUSDT,BTCUSDT", **asked)
    assert 1 == len(server.requests)


# --- recording


def recording(folder, server, **more):
    asked = {"endpoints": at(server), "settings": QUICK, "secrets": SECRETS, **more}
    stop = threading.Event()
    result = []
    thread = threading.Thread(target=lambda: result.append(record_news(folder, "BTC", stop=stop, **asked)))
    return thread, stop, result


def until(condition, longest_s=PATIENCE_S):
    end = time.monotonic() + longest_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def test_a_recording_keeps_what_was_visible_and_goes_on_through_trouble(tmp_path, caplog):
    clock = iter(range(NOW, NOW + 10**6))
    replies = iter([Reply(b"", 500), pages([post(1, votes={"positive": 1})])])

    def answer(request):
        reply = next(replies)
        return reply if isinstance(reply, Reply) else reply(request)

    with ScriptedServer(answer) as server:
        thread, stop, written = recording(tmp_path, server, every_s=0.01, now_ns=lambda: next(clock))
        thread.start()
        until(lambda: [*tmp_path.glob("*.zst")] and [*read_snapshots(tmp_path)])
        time.sleep(0.1)  # answers are kept for a minute, so the same is not written again
        stop.set()
        thread.join()
    (snapshot,) = read_snapshots(tmp_path)
    assert ([1], [1]) == (written, numbers(snapshot))
    assert "news_unavailable" in {getattr(record, "event", "") for record in caplog.records}
    assert TOKEN.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_a_recording_with_a_wrong_token_ends_at_once(tmp_path):
    with (
        ScriptedServer(lambda _request: Reply(b"", 401)) as server,
        pytest.raises(ConfigError, match="CRYPTOPANIC_TOKEN"),
    ):
        record_news(
            tmp_path,
            "BTC",
            endpoints=at(server),
            settings=QUICK,
            secrets=SECRETS,
            stop=threading.Event(),
        )
    assert [] == list(tmp_path.iterdir())


# --- the box


@pytest.fixture(scope="module")
def box():
    with box_in_thread(symbols=("BTCUSDT", "ETHUSDT")) as running:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            running.candles(symbol, "1m")  # the markets are made before a clock runs
        yield running
        assert [] == running.unknown


def keys(cryptopanic=None, coingecko=None):
    given = {"cryptopanic_token": cryptopanic, "coingecko_api_key": coingecko}
    return SecretSettings(**{name: SecretStr(key) for name, key in given.items() if key})


@pytest.mark.parametrize("path", ["api/v1", "api/developer/v2", "api/growth/v2"])
def test_the_box_has_headlines_in_every_shape(box, path):
    settings = QUICK.model_copy(update={"cryptopanic_path": path})
    asked = {"endpoints": box.endpoints, "settings": settings, "secrets": keys(CRYPTOPANIC_TOKEN), "limit": 30}
    found = fetch_headlines("BTCUSDT", **asked)
    assert (30, 30) == (len(found), len({headline.id for headline in found}))
    assert {("BTC",)} == {headline.currencies for headline in found}
    assert sorted((headline.published_ns for headline in found), reverse=True) == [h.published_ns for h in found]
    assert all(headline.available_ns >= headline.published_ns and headline.votes for headline in found)
    seen = news_metrics(found, max(headline.available_ns for headline in found), currency="BTC")
    assert -1 <= seen.sentiment <= 1


def test_the_box_knows_keys_and_plans(box):
    at_box = {"endpoints": box.endpoints, "limit": 1}
    assert 1 == len(fetch_headlines("ETH", settings=PRO, secrets=keys(coingecko=COINGECKO_PRO_KEY), **at_box))
    for settings, secrets, says in [
        (QUICK, keys(CRYPTOPANIC_TOKEN[::-1]), "^CRYPTOPANIC_TOKEN: CryptoPanic does not know this key"),
        (PRO, keys(coingecko=COINGECKO_DEMO_KEY), "set ingest.coingecko_plan: demo$"),
        (QUICK, keys(coingecko=COINGECKO_DEMO_KEY), "a CoinGecko demo key has no news"),
    ]:
        with pytest.raises(ConfigError, match=says):
            fetch_headlines("ETH", settings=settings, secrets=secrets, **at_box)


def test_the_box_has_prices_of_its_own_market(box):
    for settings, key in [(QUICK, None), (QUICK, COINGECKO_DEMO_KEY), (PRO, COINGECKO_PRO_KEY)]:
        bitcoin, ether = fetch_prices(["BTCUSDT", "ethereum"], box.endpoints, settings, keys(coingecko=key))
        assert ("bitcoin", "ethereum") == (bitcoin.coin, ether.coin)
        assert pytest.approx(box.candles("BTCUSDT", "1m")[-1].close, rel=0.01) == bitcoin.price
        assert fetch_global(box.endpoints, settings, keys(coingecko=key)).volume_24h > 0
