"""Headlines from CryptoPanic, or from CoinGecko with a paid key; kept as snapshots of what was visible when.

A headline fetched today carries today's votes, not those of its hour. So each has the time we first had it, training
may use it from `available_ns` on only, and `record_news` keeps what was visible when: nothing else is history.
"""

from __future__ import annotations

import io
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import count, islice
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, urlsplit

import msgspec
import zstandard
from pydantic import SecretStr

from ingest.headlines import coingecko
from ingest.headlines.coingecko import base_currency
from ingest.headlines.headline import Headline, Snapshot, parse_coingecko, parse_cryptopanic
from ingest.headlines.web import Key, Service
from utils.config import EndpointSettings, IngestSettings, SecretSettings
from utils.errors import ConfigError, DataError, DataUnavailable, ProtocolError, StorageError
from utils.rows import NS_PER_DAY, NS_PER_S
from utils.shell.log import event

MAX_PAGES = 10  # of one fetch, whatever the links say
COINGECKO_PAGE = 20  # headlines, the most it allows
RECORD_EVERY_S = 300.0  # between two snapshots; plans count requests by the month
SUFFIX = ".jsonl.zst"
NO_KEY = (
    "news: expected CRYPTOPANIC_TOKEN, or COINGECKO_API_KEY of a paid plan with ingest.coingecko_plan: pro, saw none;"
    " a CoinGecko demo key has no news, so set CRYPTOPANIC_TOKEN in the environment or in .env"
)
_SNAPSHOT = msgspec.json.Decoder(Snapshot)
_lock = threading.Lock()

logger = logging.getLogger("ingest")


# --- fetching


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
        with _lock:
            service = _cryptopanic(endpoints.cryptopanic, settings, secrets.cryptopanic_token, now_ns)
        source, readings = "cryptopanic", [_cryptopanic_pages(service, settings.cryptopanic_path, coins)]
    elif secrets.coingecko_api_key and settings.coingecko_plan == "pro":
        service = coingecko.service(endpoints, settings, secrets, now_ns)
        ids = [coingecko.coin_id(coin) for coin in coins]
        source, readings = "coingecko", [_coingecko_pages(service, coin) for coin in ids or [""]]
    else:
        raise ConfigError(NO_KEY)
    pages = [page for reading in readings for page in _newest(reading, limit, since)]
    seen_ns = max(page.seen_ns for page in pages)  # one time for all: some were seen a moment earlier, none later
    found = {headline.id: headline for page in reversed(pages) for headline in page.headlines}
    newest = sorted(found.values(), key=lambda headline: (-headline.published_ns, headline.id))
    kept = (replace(headline, seen_ns=seen_ns) for headline in newest if (since or 0) <= headline.published_ns)
    return Snapshot(seen_ns, source, coins, tuple(islice(kept, limit)))


@lru_cache(maxsize=16)
def _cryptopanic(base: str, settings: IngestSettings, token: SecretStr, now_ns: Callable[[], int]) -> Service:
    """CryptoPanic as these settings reach it; the same one for the same settings, so that its pace and cache hold."""
    key = Key("CRYPTOPANIC_TOKEN", token, query="auth_token")
    return Service("CryptoPanic", base, settings, key, _explain_cryptopanic, now_ns=now_ns)


def _explain_cryptopanic(status: int, _body: Any) -> ConfigError | None:
    if status != 404:
        return None
    return ConfigError(
        "ingest.cryptopanic_path: CryptoPanic knows no such path (HTTP 404); set it to the one of your plan, which your"
        " account's API page there shows, such as api/v1 or api/growth/v2"
    )


def _newest(pages: Iterator[_Page], limit: int, since: int | None) -> Iterator[_Page]:
    """Pages until there is enough; what a service that stops answering did give is kept."""
    ids: set[str] = set()
    try:
        for page in pages:
            yield page
            ids |= {headline.id for headline in page.headlines}
            if len(ids) >= limit or (since and page.headlines and page.headlines[-1].published_ns < since):
                return
    except DataUnavailable as error:
        if not ids:
            raise
        event(logger, "news_cut_short", str(error), severity=logging.WARNING, headlines=len(ids))


def _cryptopanic_pages(service: Service, path: str, coins: Sequence[str]) -> Iterator[_Page]:
    """Pages, newest first, as the `next` links lead: by their query only, so that no link takes the token elsewhere."""
    params = {"public": "true"} | ({"currencies": ",".join(coins)} if coins else {})
    asked: list[dict[str, str]] = []
    while len(asked) < MAX_PAGES and params not in asked:
        answer = service.get(f"/{path}/posts/", params)
        asked.append(params)
        posts = answer.body.get("results") if isinstance(answer.body, dict) else None
        yield _page(service.name, posts, parse_cryptopanic, answer.seen_ns)
        further = _query(answer.body.get("next"))
        if not further:
            return
        params = params | further


def _coingecko_pages(service: Service, coin: str) -> Iterator[_Page]:
    """Pages of one coin's news, newest first; "" = of all."""
    for number in range(1, MAX_PAGES + 1):
        params = {"page": str(number), "per_page": str(COINGECKO_PAGE), "type": "news"}
        answer = service.get(f"{coingecko.ROOT}/news", params | ({"coin_id": coin} if coin else {}))
        yield _page(service.name, answer.body, parse_coingecko, answer.seen_ns)
        if len(answer.body) < COINGECKO_PAGE:
            return


def _query(link: object) -> dict[str, str]:
    """The query of a link, without keys; empty if it is none."""
    try:
        query = urlsplit(link).query if isinstance(link, str) else ""
    except ValueError:
        return {}
    return {name: value for name, value in parse_qsl(query) if not re.search("token|key", name, re.IGNORECASE)}


@dataclass(frozen=True, slots=True)
class _Page:
    seen_ns: int
    headlines: tuple[Headline, ...]


def _page(name: str, items: Any, parse: Callable[[Any, int], Headline], seen_ns: int) -> _Page:
    """The headlines among a page's items. One that cannot be read is left out and logged; all of them, an error."""
    if not isinstance(items, list):
        raise DataUnavailable(f"{name}: expected a list of headlines, saw none; check that its address is right")
    headlines, wrong = [], ""
    for item in items:
        try:
            headlines.append(parse(item, seen_ns))
        except ProtocolError as error:
            wrong = str(error)
    if wrong and not headlines:
        raise DataUnavailable(f"{name}: expected headlines, saw {len(items)} that cannot be read; the last: {wrong}")
    if wrong:
        left_out = len(items) - len(headlines)
        event(logger, "headlines_left_out", wrong, severity=logging.WARNING, service=name, headlines=left_out)
    return _Page(seen_ns, tuple(headlines))


# --- snapshots


class SnapshotFile:
    """Appends snapshots to a new file of a folder, one zstd frame each, on the disk before `write` returns.

    Whatever happens to the program or the machine, all but the snapshot being written can be read. A day has a file of
    its own (UTC); a file that exists is never written to.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._day = -1
        self._packer = zstandard.ZstdCompressor(write_checksum=True)
        self.path: Path | None = None

    def write(self, snapshot: Snapshot) -> None:
        """Append one snapshot.

        Raises:
            StorageError: it cannot be kept.
        """
        frame = self._packer.compress(msgspec.json.encode(snapshot) + b"\n")
        day = snapshot.seen_ns // NS_PER_DAY
        try:
            if self.path is None or day != self._day:
                self.path, self._day = self._next(snapshot.seen_ns), day
            with self.path.open("ab") as handle:
                handle.write(frame)
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            place, self.path = self.path or self._folder, None  # half a snapshot may stand there: never written after
            raise StorageError(
                f"news: expected to be able to write {place}, saw '{error.strerror or error}'; free some space or name"
                " another place"
            ) from None

    def _next(self, now_ns: int) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        stem = f"news_{datetime.fromtimestamp(now_ns // NS_PER_S, UTC):%Y%m%dT%H%M%SZ}"
        names = (stem + (f"_{number}" if number > 1 else "") + SUFFIX for number in count(1))
        path = next(path for path in map(self._folder.joinpath, names) if not path.exists())
        path.touch(exist_ok=False)
        return path


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


def read_snapshots(path: str | Path) -> Iterator[Snapshot]:
    """The snapshots of a file, or of all `news_*.jsonl.zst` of a folder, in order of time.

    A snapshot that a crash cut short is left out and logged.

    Raises:
        DataError: nothing there, or a file damaged before its end; names the line.
    """
    place = Path(path)
    files = sorted(place.glob(f"news_*{SUFFIX}")) if place.is_dir() else [place]
    if not files or not all(file.is_file() for file in files):
        raise DataError(f"news: expected {SUFFIX} files at {place}, saw none; name what was recorded")
    for file in files:
        with file.open("rb") as handle:
            yield from _snapshots(file.name, handle)


def _snapshots(name: str, handle: BinaryIO) -> Iterator[Snapshot]:
    unpacked = zstandard.ZstdDecompressor().stream_reader(handle, read_across_frames=True)
    number = 0
    try:
        for number, line in enumerate(io.BufferedReader(unpacked), 1):
            if not line.endswith(b"\n"):
                event(logger, "snapshot_cut_short", severity=logging.WARNING, file=name, line=number)
                return
            yield _SNAPSHOT.decode(line)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        advice = "what stands before it is whole; move the file away, or cut it there"
        raise DataError(f"{name}: line {number}: expected a snapshot of headlines, saw '{error}'; {advice}") from None
