"""Record what passes a live feed's sockets, in files that turn over and each can be read alone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ingest.tapes.file import Record, TapeWriter, file_name
from ingest.venues.known import recorded
from ingest.wire.streams import Stream
from utils.errors import DataUnavailable
from utils.rows import NS_PER_MINUTE
from utils.settings.tree import EndpointSettings, IngestSettings

if TYPE_CHECKING:
    from ssl import SSLContext

    from ingest.live.feed import LiveFeed

#: Time between two looks at the disk and the watch, s.
LOOK_S = 0.5
#: More levels than any book has.
ALL_LEVELS = 1_000_000


class Recorded(NamedTuple):
    """What a recording came to."""

    paths: tuple[Path, ...]
    messages: int  # of streams
    size: int  # bytes on the disk
    dropped: int  # records for which the disk was too slow


class Recorder:
    """The tap of a live feed (`on_raw`): writes everything down, and turns to a new file in time.

    A new file begins with the connections that are open and the books as they stand, so that it can be played alone;
    played after the file before, it goes on from there. Call `follow` before the feed is entered.

    Args:
        folder: where the files go.
        streams: what the feed asks for.
        stale_s: when the feed takes a book for stale, s.
        rotate_ns: length of a file, receive time; 0 = no limit.
        rotate_bytes: size of a file, compressed; 0 = no limit.
        queue_bytes: most that may wait for the disk.
    """

    def __init__(
        self,
        folder: str | Path,
        streams: Sequence[Stream],
        *,
        stale_s: float = 10.0,
        rotate_ns: int = 0,
        rotate_bytes: int = 0,
        queue_bytes: int = 64 << 20,
    ) -> None:
        self._about = Record(0, streams=tuple(streams), stale_s=stale_s)
        self._rotate_ns, self._rotate_bytes = rotate_ns, rotate_bytes
        self.writer = TapeWriter(folder, self._file_name, queue_bytes=queue_bytes)
        self._feed: LiveFeed | None = None
        self.messages = 0
        self._open: dict[str, Record] = {}  # connections, by address
        self._began = 0  # receive time of the file's first line, ns

    def follow(self, feed: LiveFeed) -> None:
        """The feed whose tap this is."""
        self._feed = feed
        self._about = self._about._replace(market=feed.market)

    def __call__(self, recv_ns: int, url: str, text: str | bytes, event: str = "", /) -> None:
        """Keep what passed; never waits."""
        self._began = self._began or recv_ns
        if (self._rotate_ns and recv_ns - self._began >= self._rotate_ns) or (
            self._rotate_bytes and self.writer.file_size >= self._rotate_bytes
        ):
            self._began = recv_ns
            self.writer.turn(self._opening(recv_ns))
        if event == "connect":
            self._open[url] = self._about._replace(recv_ns=recv_ns, event=event, url=url)
            self.writer.put(self._open[url])
        elif event == "disconnect":
            self._open.pop(url, None)
            reason = text if isinstance(text, str) else text.decode(errors="replace")
            self.writer.put(Record(recv_ns, event=event, url=url, reason=reason))
        elif event:
            self.writer.put(Record(recv_ns, None if event == "tick" else text, event, url))
        else:
            self.messages += self.writer.put(Record(recv_ns, text))

    def close(self) -> Recorded:
        """Write what waits and close the file.

        Raises:
            StorageError: the disk is full or the folder cannot be written to.
        """
        self.writer.close()
        return Recorded(tuple(self.writer.paths), self.messages, self.writer.size, self.writer.dropped)

    def _opening(self, now_ns: int) -> list[Record]:
        """How a file begins that is not the first."""
        records = [record._replace(recv_ns=now_ns, event="continue") for record in self._open.values()]
        for stream in self._about.streams:
            if self._feed and stream.kind == "book":
                with contextlib.suppress(DataUnavailable):  # the feed is at its end, and so are its books
                    view = self._feed.book(stream.symbol, ALL_LEVELS)
                    if view.state == "live":
                        message = recorded(self._about.market).venue.language().snapshot(view, stream.depth)
                        records.append(Record(now_ns, message, "book", f"tape:depth?symbol={stream.symbol}"))
        return records

    def _file_name(self, start_ns: int) -> str:
        symbols = list(dict.fromkeys(stream.symbol for stream in self._about.streams))
        return file_name(self._about.market, symbols, start_ns)


def record(
    exchange: str,
    streams: Sequence[Stream],
    *,
    out: str | Path,
    market_type: str = "futures",
    endpoints: EndpointSettings | None = None,
    settings: IngestSettings | None = None,
    seconds: float | None = None,
    rotate_minutes: float = 60.0,
    rotate_mib: float = 0.0,
    say: Callable[[str], None] = lambda _: None,
    say_every_s: float = 60.0,
    watch: Callable[[], None] = lambda: None,
    clock_query: bool = False,
    ssl: SSLContext | None = None,
) -> Recorded:
    """Record live streams to files in `out` until `seconds` have passed, or for ever.

    Files are `<market>_<symbols>_<UTC start>.jsonl.zst`; one that exists is never written to. Ending it by an exception
    (Ctrl-C) leaves them whole.

    Args:
        exchange: one of `ingest.venues.known`.
        streams: what to subscribe to.
        out: the folder; made if it is not there.
        market_type: futures (linear perpetuals) or spot.
        endpoints: where the exchange lives.
        settings: timeouts, backoff, heartbeat, staleness.
        seconds: how long; None = until it is interrupted.
        rotate_minutes: a new file begins after so long, min; 0 = never.
        rotate_mib: a new file begins at this size, MiB; 0 = never.
        say: is told, in one line, how it goes.
        say_every_s: how often, s.
        watch: is called twice a second; what it raises ends the recording.
        clock_query: stamp by the tape's time of a loopback exchange.
        ssl: trust for wss and https; None = the system's.

    Raises:
        DataUnavailable: the exchange does not answer, or refuses for good.
        StorageError: the disk is full or the folder cannot be written to.
    """
    from ingest.live.feed import LiveFeed

    settings = settings or IngestSettings()
    recorder = Recorder(
        out,
        streams,
        stale_s=settings.stale_s,
        rotate_ns=round(rotate_minutes * NS_PER_MINUTE),
        rotate_bytes=round(rotate_mib * 2**20),
    )
    try:
        feed = LiveFeed(
            exchange,
            streams,
            market_type=market_type,
            endpoints=endpoints,
            settings=settings,
            clock_query=clock_query,
            on_raw=recorder,
            ssl=ssl,
            events=False,
        )
        recorder.follow(feed)
        symbols = ", ".join(dict.fromkeys(stream.symbol for stream in streams))
        say(f"recording {', '.join(dict.fromkeys(stream.kind for stream in streams))} of {symbols} to {out}")
        asyncio.run(_run(feed, recorder, seconds, say, say_every_s, watch))
    except BaseException:
        recorder.close()
        raise
    return recorder.close()


async def _run(
    feed: LiveFeed,
    recorder: Recorder,
    seconds: float | None,
    say: Callable[[str], None],
    say_every_s: float,
    watch: Callable[[], None],
) -> None:
    """Keep the feed flowing."""
    began = said = time.monotonic()
    async with feed:
        while seconds is None or time.monotonic() - began < seconds:
            recorder.writer.check()
            watch()
            left = LOOK_S if seconds is None else min(LOOK_S, max(began + seconds - time.monotonic(), 0.0))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await feed.batch()
            if time.monotonic() - said >= say_every_s:
                said = time.monotonic()
                say(_beat(feed, recorder))
        stats = feed.stats()
        if not stats.messages:  # a recording shorter than the feed's own patience
            why = "it keeps silent" if stats.connects else "its handshake is not answered"
            why = "; ".join(stats.errors.values()) or why
            raise DataUnavailable(
                f"{feed.exchange}: expected data within {seconds:g} s, saw none ({why}); check the connection and the"
                " symbols, or record for longer"
            )


def _beat(feed: LiveFeed, recorder: Recorder) -> str:
    """How it goes, in one line."""
    counts, stats = feed.counts(), feed.stats()
    symbols = [symbol for symbol, kind in counts if kind == "book"]
    live = sum(feed.book(symbol, 1).state == "live" for symbol in symbols)
    gaps = sum(each.sequence_breaks for each in counts.values())
    bad = sum(each.bad_messages for each in counts.values())
    words = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        f"{recorder.messages:,} messages",
        f"{recorder.writer.size / 1e6:,.1f} MB",
        f"books live {live}/{len(symbols)}",
        f"gaps {gaps}",
    ]
    more = {"bad messages": bad, "reconnects": stats.reconnects, "dropped": recorder.writer.dropped}
    return ", ".join([*words, *(f"{name} {count:,}" for name, count in more.items() if count)])
