"""The past of a market, had by a process of its own: a service stays small, and goes on answering meanwhile.

What asks by REST or reads a file brings pandas and ccxt: a hundred MiB, and seconds in which nothing else gets a turn
(measured, like what `backtest.run.warm` does about compiling).
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from backtest.data.market import build_market, warmup_of
from exec.market import Market
from ingest.files.candles import Candles, Gap, load_candles
from ingest.history import fetch_candles, listed
from ingest.instruments import Listing
from utils.errors import ConfigError, DataError, DataUnavailable, InvariantError, StorageError
from utils.rows import BAR
from utils.settings.tree import Settings
from utils.shell.tied import begin

#: A child that has not answered for so long is ended, s: its own patience with an exchange is shorter.
LONGEST_S = 600.0
#: How a recording of raw messages ends.
RAW = ".jsonl.zst"

_ERRORS = {kind.__name__: kind for kind in (ConfigError, DataError, DataUnavailable, StorageError)}


class Question(msgspec.Struct):
    """What a child is asked: `candles` of an exchange with the symbol's listing, its `listing` alone, or a `tape`."""

    what: Literal["candles", "listing", "tape"]
    settings: str  # as JSON, without secrets: market data need none
    symbol: str = ""
    tf: str = ""


class Reply(msgspec.Struct):
    """What it answers."""

    candles: dict[str, Any] | None = None
    gaps: tuple[Gap, ...] = ()
    rows: bytes = b""
    listing: Listing | None = None
    error: str = ""  # name of one, and what it says
    says: str = ""


class Apart:
    """The past of markets, for whoever must not wait for it: each call is a process of its own, and blocks.

    Args:
        settings: where candles come from (`api.source`: an exchange, or a tape), and how many.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._json = settings, settings.model_dump_json(exclude={"secrets"})
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed, self._turn = False, threading.Lock()

    def market(self, symbol: str, tf: str) -> Market:
        """The last `api.history_bars` closed candles that an exchange has of a symbol, as a market.

        Raises:
            ConfigError: the exchange does not list the symbol, or has no such candles; the nearest are named.
            DataUnavailable: it did not answer, answered garbage, or has too few.
        """
        return self._built(self._asked(Question("candles", self._json, symbol, tf)))

    def listing(self, symbol: str) -> str:
        """The exchange id under which an exchange lists a symbol.

        Raises:
            ConfigError: it does not; the nearest are named.
            DataUnavailable: it did not answer, or answered garbage.
        """
        reply = self._asked(Question("listing", self._json, symbol))
        if reply.listing is None:
            raise InvariantError("a listing was asked for and none was answered")
        return reply.listing.symbol

    def tape(self) -> Market:
        """All candles of the file that `api.source` names, as a market.

        Raises:
            ConfigError: it is a recording of raw messages, which an exchange in a box plays.
            DataError: it is missing or wrong, or too short to decide on.
        """
        return self._built(self._asked(Question("tape", self._json)))

    def close(self) -> None:
        """End the processes that are at it: their calls raise StorageError, as all later ones do."""
        with self._turn:
            self._closed = True
            for process in self._running:
                process.kill()

    def _built(self, reply: Reply) -> Market:
        candles = Candles(**(reply.candles or {}), rows=np.frombuffer(reply.rows, BAR).copy(), gaps=reply.gaps)
        listings = {candles.symbol: reply.listing} if reply.listing else {}
        return build_market([candles], self._settings, listings=listings)

    def _asked(self, question: Question) -> Reply:
        try:
            with self._begun() as process:
                try:
                    said, _ = process.communicate(msgspec.msgpack.encode(question), LONGEST_S)
                finally:
                    process.kill()  # of one that has ended this does nothing
                    self._running.discard(process)
            if process.returncode != 0:
                raise subprocess.CalledProcessError(process.returncode, process.args)
            reply = msgspec.msgpack.decode(said, type=Reply)
        except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
            raise StorageError(f"expected the candles of another process, saw it fail: {error}") from None
        if reply.error:
            raise _ERRORS.get(reply.error, InvariantError)(reply.says)
        return reply

    def _begun(self) -> subprocess.Popen[bytes]:
        with self._turn:  # none begins while all are ended
            if self._closed:
                raise StorageError("expected the candles of another process, saw none begun: this one ends")
            process = begin([sys.executable, "-m", "backtest.run.apart"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._running.add(process)
            return process


def answered(question: Question) -> Reply:
    """What a child answers; a source or setting that is wrong is part of it.

    Raises:
        InvariantError: a bug of ours.
    """
    settings = Settings.model_validate_json(question.settings)
    try:
        if question.what == "listing":
            return Reply(listing=listed(question.symbol, settings))
        if question.what == "tape":
            path = settings.api.tape or Path()
            require_candles(path)
            candles, listing = load_candles(path), None
        else:
            listing = listed(question.symbol, settings)
            bars = max(settings.api.history_bars, warmup_of(settings) + 1)
            candles = fetch_candles(listing.symbol, question.tf, bars, settings)
        build_market([candles], settings)  # what is too short is said here, not where it is handed over
    except tuple(_ERRORS.values()) as error:
        kind = type(error).__name__
        if isinstance(error, DataError) and question.what != "tape":
            kind = DataUnavailable.__name__  # nobody named a file: an exchange has too little
        return Reply(error=kind, says=str(error))
    told = {name: getattr(candles, name) for name in candles.__slots__ if name not in ("rows", "gaps")}
    return Reply(told, candles.gaps, candles.rows.tobytes(), listing)


def require_candles(path: Path) -> None:
    """Refuse a recording of raw messages.

    Raises:
        ConfigError: it is one.
    """
    if path.name.endswith(RAW):
        raise ConfigError(
            f"api.source: expected a file of candles, saw {path.name}, a recording of streams; let "
            f"python -m ingest.replay_server --tape {path.name} play it, and set api.source to exchange"
        )


def main() -> None:
    """Answer the question on standard input."""
    question = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Question)
    sys.stdout.buffer.write(msgspec.msgpack.encode(answered(question)))


if __name__ == "__main__":
    main()
