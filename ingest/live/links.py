"""What is known of each socket to an exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection

from ingest.wire.streams import Stream, WireProtocol
from utils.errors import DataUnavailable
from utils.settings.tree import IngestSettings
from utils.shell.backoff import Backoff

#: Kinds of streams that speak soon after they were asked for; the others may be silent because nothing happens.
PROMPT = {"book", "quote", "mark"}
#: And those that may be silent for hours: where nothing answers either, an open socket is all there is.
RARE = {"liquidations"}


class Link:
    """One socket's place in a feed; the protocol outlives the sockets that fill it."""

    def __init__(self, streams: Sequence[Stream], protocol: WireProtocol, url: str, settings: IngestSettings) -> None:
        self.streams, self.protocol, self.url = streams, protocol, url
        parts = urlsplit(url)
        self.name = parts.netloc + parts.path  # for people: the query may name hundreds of streams
        if parts.fragment:
            self.name += f"#{parts.fragment}"
        self.backoff = Backoff(settings.backoff_s, settings.backoff_max_s)
        self.fetching: set[str] = set()  # symbols whose book is being fetched by REST
        self.wait_s = 0.0  # before the next socket
        self.connects = self.messages = 0
        self.tape_ns = 0  # what a loopback exchange said last of its tape's time
        self.error = ""  # the last thing that went wrong
        self.reason = ""  # why we ended the socket ourselves
        self.successor: ClientConnection | None = None  # a renewed socket, open and not yet used
        self.tasks: set[asyncio.Task[None]] = set()  # that end with the socket

    @property
    def books(self) -> Iterator[str]:
        """Symbols whose book this socket brings."""
        return (stream.symbol for stream in self.streams if stream.kind == "book")

    @property
    def spoken(self) -> bool:
        """Has the exchange sent anything of what was asked for, or at least answered where it may be silent?"""
        prompt = [(stream.symbol, stream.kind) for stream in self.streams if stream.kind in PROMPT]
        counts = self.protocol.counts()
        if prompt:
            return any(key in counts and counts[key].messages for key in prompt)
        return self.messages > 0 or (self.connects > 0 and all(stream.kind in RARE for stream in self.streams))

    def silence(self, exchange: str, waited_s: float) -> DataUnavailable:
        """That nothing came in time, and why."""
        names = list(dict.fromkeys(stream.symbol for stream in self.streams))
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        why = self.error or ("it keeps silent" if self.connects else "its handshake is not answered")
        return DataUnavailable(
            f"{exchange}: expected data of {', '.join(names[:5])}{more} from {self.name} within {waited_s:g} s,"
            f" saw none ({why}); check the connection and the symbols"
        )

    def judge_refusals(self) -> str:
        """Why the socket should be dialled again, as a topic that was once accepted is refused now; "" = none is.

        Raises:
            DataUnavailable: the exchange refuses a symbol of which it has never said anything.
        """
        refused: Mapping[str, str] = getattr(self.protocol, "refused", {})
        for topic, why in refused.items():
            heard = {symbol for (symbol, _), seen in self.protocol.counts().items() if symbol and seen.messages}
            if topic.rpartition(".")[2] not in heard:
                raise DataUnavailable(
                    f"{self.protocol.market}: expected {topic}, and the exchange refused it ({why}); check the symbol"
                )
            return f"{topic} was refused: {why}"
        return ""
