"""The process of a run: begun, its words kept in a file of bounded size, ended when it is told to."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from model.runs.due import Outcome
from model.runs.record import end_session
from utils.records.lock import is_refusal
from utils.settings.tree import Settings
from utils.shell.aside import aside
from utils.shell.cli import INTERRUPTED
from utils.shell.tied import begin

#: Bytes of a log: so many of its beginning, and so many of its end.
MOST_HEAD = MOST_TAIL = 1 << 18
#: Bytes read at once.
PIECE = 1 << 16
#: How long a process that was told to end may take, s.
GRACE_S = 10.0
#: How long the last words of one that has ended are waited for, s.
LAST_WORDS_S = 2.0
#: Begins every line by which a command fails.
ERROR = "error: "
#: Begins the verdict of a training after which its version serves, and after which none does.
ENABLED, NOT_ENABLED = "enabled: ", "not enabled: "
TRAIN = (sys.executable, "-m", "model.retrain")
#: The data set of these runs, beside their records.
DATA = "features.parquet"


def command_of(settings: Settings, config: Path | None, folder: Path, program: Sequence[str] = TRAIN) -> list[str]:
    """The command line of a training by these settings.

    Args:
        settings: what is trained, and on what; of a recording its symbol and timeframe are used.
        config: the settings file; None = the one beside the program.
        folder: where the data set goes.
        program: what trains.
    """
    risk, market = settings.risk, settings.market
    words = [*program, "--take-bps", f"{risk.take_bps!r}", "--stop-bps", f"{risk.stop_bps!r}"]
    words += ["--horizon", str(risk.horizon), "--out", str(folder / DATA)]
    if (tape := settings.api.tape) is not None:
        words += ["--data", str(tape)]
    else:
        words += ["--symbol", market.symbol, "--tf", market.timeframe, "--exchange", market.exchange]
        words += ["--market-type", market.market_type, "--page-back", str(settings.retrain.days)]
    return [*words, "--config", str(config)] if config is not None else words


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended."""

    exit_code: int  # below 0: of the signal
    verdict: str  # its last line, or the one that says what was wrong
    seconds: float

    @property
    def outcome(self) -> Outcome:
        """What that means for a training."""
        if self.exit_code == 0 or (is_ended(self.exit_code) and self.verdict.startswith((ENABLED, NOT_ENABLED))):
            return "enabled" if self.verdict.startswith(ENABLED) else "not_enabled"
        if self.exit_code < 0:
            return "killed"
        if self.exit_code == INTERRUPTED:
            return "stopped"
        return "refused" if is_refusal(self.verdict) else "failed"


def is_ended(exit_code: int) -> bool:
    """Whether a process with this exit code was ended from without: by a signal, or because it was told to end."""
    return exit_code < 0 or exit_code == INTERRUPTED


class Child:
    """A process of low priority in a session of its own, its output in a file.

    The thread that begins it has to live as long as it: on Linux its end ends the process.

    Args:
        words: its command line.
        log: the file of what it says.

    Raises:
        OSError: the machine refuses.
    """

    def __init__(self, words: Sequence[str], log: Path) -> None:
        self._log, self._began = log, time.monotonic()
        # not asyncio's: there the end of a process is not seen while what it began and left holds its output open
        self._process = begin(
            words,
            idle=True,
            env={"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    async def ended(self) -> Ended:
        """Wait for its end; what it says goes to the log meanwhile."""
        words = Words()
        reading = asyncio.create_task(aside(self._read, words))
        try:
            code = await aside(self._process.wait)
            end_session(self.pid)  # what it began and left behind holds its output open
            await asyncio.wait([reading], timeout=LAST_WORDS_S)
        finally:
            reading.cancel()
        return Ended(code, words.verdict(code), time.monotonic() - self._began)

    async def stop(self) -> None:
        """Tell it to end, and see to it that it does, with whatever it began."""
        try:
            with suppress(OSError):
                self._process.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE_S):
                    await aside(self._process.wait)
        finally:
            if self._process.returncode is None:
                end_session(self.pid)
                with suppress(OSError):
                    self._process.kill()

    def _read(self, words: Words) -> None:
        """Hear it out, in a thread."""
        output = self._process.stdout
        assert output is not None  # noqa: S101 - a pipe was asked for
        try:
            file: BinaryIO | None = self._log.open("wb", buffering=0)
        except OSError:
            file = None  # a disk that refuses a log does not end a training
        try:
            while piece := os.read(output.fileno(), PIECE):
                words.hear(piece, file)
        finally:
            output.close()
            if file is not None:
                with file:
                    words.close(file)


class Words:
    """What a process says: the beginning of it goes to a file at once, the end when there is one."""

    def __init__(self) -> None:
        self._room = MOST_HEAD
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._left_out = 0
        self._last = b""

    def hear(self, piece: bytes, file: BinaryIO | None) -> None:
        """More of it."""
        self._last = (self._last + piece)[-PIECE:]
        now, later = piece[: self._room], piece[self._room :]
        self._room -= len(now)
        if now and file is not None:
            with suppress(OSError):
                file.write(now)
        if later:
            self._tail.append(later)
            self._tail_size += len(later)
        while self._tail and self._tail_size - len(self._tail[0]) >= MOST_TAIL:
            gone = len(self._tail.popleft())
            self._tail_size -= gone
            self._left_out += gone

    def close(self, file: BinaryIO) -> None:
        """Nothing more comes."""
        said = f"\n[... {self._left_out:,} bytes left out ...]\n".encode() if self._left_out else b""
        with suppress(OSError):
            file.write(said + b"".join(self._tail))
        self._tail.clear()

    def verdict(self, exit_code: int) -> str:
        """Its last line; of one that failed the last that says why, if one does.

        Of one that was ended in the last moments of a training that was done: what came of the training.
        """
        lines = [line.strip() for line in self._last.decode("utf-8", "replace").splitlines() if line.strip()]
        if is_ended(exit_code):
            # one that was told to end says so in a line more
            last = lines[-2:] if exit_code == INTERRUPTED else lines[-1:]
            why = [line for line in last if line.startswith((ENABLED, NOT_ENABLED))]
        else:
            why = []
        if exit_code != 0 and not why:
            why = [line for line in lines if line.startswith(ERROR)]
        return (why or lines or [""])[-1]
