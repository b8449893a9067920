"""Headlines from CryptoPanic, or from CoinGecko with a paid key; kept as snapshots of what was visible when.

A headline fetched today carries today's votes, not those of its hour. So each has the time we first had it, training
may use it from `available_ns` on only, and `record_news` keeps what was visible when: nothing else is history.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from ingest.headlines import coingecko, cryptopanic
from ingest.headlines.coingecko import base_currency
from ingest.headlines.headline import Headline, Snapshot
from ingest.headlines.pages import until_enough
from ingest.headlines.snapshots import SnapshotFile, read_snapshots
from utils.errors import ConfigError, DataUnavailable
from utils.settings.tree import EndpointSettings, IngestSettings, SecretSettings
from utils.shell.log import event

__all__ = ["Headline", "Snapshot", "base_currency", "fetch_headlines", "read_snapshots", "record_news", "take_snapshot"]

RECORD_EVERY_S = 300.0  # between two snapshots; plans count requests by the month
NO_KEY = (
    "news: expected CRYPTOPANIC_TOKEN, or COINGECKO_API_KEY of a paid plan with ingest.coingecko_plan: pro, saw none;"
    " a CoinGecko demo key has no news, so set CRYPTOPANIC_TOKEN in the environment or in .env"
)

logger = logging.getLogger("ingest")


def fetch_headlines(
    currencies: str | Sequence[str],
    *,
    endpoints: EndpointSettings,
    settings: IngestSettings,
    secrets: SecretSettings,
    limit: int = 50,
    since: int | None = None,
    now_ns: Callable[[], int] = time.time_ns,
) -> tuple[Headline, ...]:
    """The newest headlines, newest first, each once; from CryptoPanic if its token is set, else CoinGecko (paid key).

    Asked at most once a second, and an answer is kept for a minute. When the service stops answering after the first
    page, what came is returned: it is the newest. Blocking; from a coroutine call it by `asyncio.to_thread`.

    Args:
        currencies: symbols (`BTCUSDT`) or coins (`BTC`), none = all; several in a sequence or with commas.
        endpoints: where the services are.
        settings: timeouts, retries, and your plans with the services.
        secrets: the keys.
        limit: most headlines.
        since: leave out what was published before, ns UTC; None = nothing.
        now_ns: the clock that stamps what is seen, ns.

    Raises:
        ConfigError: no key, a wrong one, or one whose plan has no news.
        DataUnavailable: no answer, or garbage; after the retries of the settings.
    """
    return take_snapshot(
        currencies, endpoints=endpoints, settings=settings, secrets=secrets, limit=limit, since=since, now_ns=now_ns
    ).headlines


def take_snapshot(
    currencies: str | Sequence[str],
    *,
    endpoints: EndpointSettings,
    settings: IngestSettings,
    secrets: SecretSettings,
    limit: int = 50,
    since: int | None = None,
    now_ns: Callable[[], int] = time.time_ns,
) -> Snapshot:
    """`fetch_headlines`, with what was asked, where and when; the same arguments, the same errors."""
    if limit < 1:
        raise ConfigError(f"limit: expected at least 1 headline, saw {limit}; ask for more, or not at all")
    names = currencies.split(",") if isinstance(currencies, str) else currencies
    coins = tuple(sorted({base_currency(name) for name in names if name.strip()}))
    if secrets.cryptopanic_token:
        service = cryptopanic.service(endpoints.cryptopanic, settings, secrets.cryptopanic_token, now_ns)
        source, readings = "cryptopanic", [cryptopanic.pages(service, settings.cryptopanic_path, coins)]
    elif secrets.coingecko_api_key and settings.coingecko_plan == "pro":
        service = coingecko.service(endpoints, settings, secrets, now_ns)
        ids = [coingecko.coin_id(coin) for coin in coins]
        source, readings = "coingecko", [coingecko.pages(service, coin) for coin in ids or [""]]
    else:
        raise ConfigError(NO_KEY)
    pages = [page for reading in readings for page in until_enough(reading, limit, since)]
    seen_ns = max(page.seen_ns for page in pages)  # one time for all: some were seen a moment earlier, none later
    found = {headline.id: headline for page in reversed(pages) for headline in page.headlines}
    newest = sorted(found.values(), key=lambda headline: (-headline.published_ns, headline.id))
    kept = (replace(headline, seen_ns=seen_ns) for headline in newest if (since or 0) <= headline.published_ns)
    return Snapshot(seen_ns, source, coins, tuple(islice(kept, limit)))


def record_news(
    folder: str | Path,
    currencies: str | Sequence[str],
    *,
    endpoints: EndpointSettings,
    settings: IngestSettings,
    secrets: SecretSettings,
    stop: threading.Event,
    every_s: float = RECORD_EVERY_S,
    limit: int = 50,
    now_ns: Callable[[], int] = time.time_ns,
) -> int:
    """Keep a snapshot of the headlines every `every_s` seconds until `stop` is set; returns how many were written.

    Blocking: give it a daemon thread, as nothing is lost when a request under way is cut off. A service that does not
    answer is logged, and asked again when the next snapshot is due.

    Args:
        folder: where the files go; made if it is not there.
        currencies: as for `fetch_headlines`.
        endpoints: where the services are.
        settings: timeouts, retries, and your plans with the services.
        secrets: the keys.
        stop: ends the recording.
        every_s: time between snapshots, s; answers are kept for a minute, so less gives no more.
        limit: most headlines of a snapshot.
        now_ns: the clock that stamps what is seen, ns.

    Raises:
        ConfigError: no key, a wrong one, or one whose plan has no news.
        StorageError: a snapshot cannot be kept.
    """
    file = SnapshotFile(folder)
    written = last_ns = 0
    while True:
        try:
            snapshot = take_snapshot(
                currencies, endpoints=endpoints, settings=settings, secrets=secrets, limit=limit, now_ns=now_ns
            )
        except DataUnavailable as error:
            event(logger, "news_unavailable", str(error), severity=logging.WARNING)
        else:
            if snapshot.seen_ns != last_ns:
                file.write(snapshot)
                written += 1
                last_ns = snapshot.seen_ns
        if stop.wait(every_s):
            return written
