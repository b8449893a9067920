"""What a run prints while it goes: the first line, progress, signals and trades as they happen, then the result."""

from __future__ import annotations

import json
import math
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.text import Text

from backtest.run.brief import Brief
from backtest.run.loop import Watch
from backtest.run.result import SimulationResult
from backtest.run.summary import WIDTH, last_words, one_line, summary
from exec.engine import JournalRows
from exec.market import Market
from utils.codes import ACTION_NAMES, EXIT_NAMES, FLIPPED, HELD, OPENED
from utils.rows import NS_PER_MINUTE
from utils.shell.console import PlainConsole
from utils.shell.meter import PAUSE_S, Meter

if TYPE_CHECKING:
    from backtest.run.resume import Going
    from exec.trader import Instant

#: Signals and trades shown while they happen; the rest is in the log files.
MOST_LINES = 12
#: Bytes of a file whose reading is shown.
LONG_FILE = 32_000_000


class Screen:
    """Everything a run prints: JSON alone, one line, or the whole show. Progress goes to standard error.

    Args:
        as_json: print one JSON object and nothing else.
        quiet: print one line at the end.
        full: print all tables instead of one screen.
        pause_s: least time between two lines of progress where there is no terminal, s.
    """

    def __init__(self, *, as_json: bool, quiet: bool, full: bool = False, pause_s: float = PAUSE_S) -> None:
        self._json = as_json
        self._full = full
        self._shown = not (as_json or quiet)
        self._out = PlainConsole(sys.stdout, WIDTH)
        self._err = PlainConsole(sys.stderr, WIDTH)
        self._pause_s = pause_s
        self._meter: Meter | None = None
        self._lines = 0

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def announce(self, source: str, *, synthetic: bool) -> None:
        """The first line: where the data comes from."""
        if not self._shown:
            return
        self._out.say(first_line(source, synthetic=synthetic))
        # the line must be on screen before the work starts, also when standard output is a pipe
        sys.stdout.flush()

    def announce_exchange(self, source: str, market_type: str, *, live: bool) -> None:
        """The first line of a run on real data."""
        if self._shown:
            exchange, _, address = source.partition("@")
            real = (
                f"NOT the exchange itself but {address}: candles of {exchange}"
                if address
                else f"Real candles from {exchange}"
            )
            how = "bar by bar as they close; Ctrl-C ends it" if live else "the last closed ones"
            self._out.say(Text.assemble((f"{real} {market_type}", "bold yellow" if address else "bold"), f": {how}"))
            sys.stdout.flush()

    def announce_going_on(self, going: Going) -> None:
        """Which run goes on."""
        if self._shown:
            meta = going.meta
            said = f"{', '.join(meta.symbols)} at {meta.tf}, begun {minute(meta.started)}, {going.told.seq} closes kept"
            self._out.say(Text(f"It goes on with {going.home}: {said}"))
            sys.stdout.flush()

    def tell_instant(self, instant: Instant) -> None:
        """One close of a live run: price, book, signal, and what the engine did."""
        if not self._shown:
            return
        for i, bar in enumerate(instant.bars):
            self._out.say(bar_line(instant, i, bar))
        self._tell(instant.market, instant.rows)
        self._lines = 0
        sys.stdout.flush()

    def compiling(self, cold: bool) -> None:
        """Say why the first run on a machine takes its time."""
        if cold and self._shown:
            self._err.print("First run here: compiling the core, once, some 20 seconds ...", style="dim")

    def _start(self, what: str, total: int) -> None:
        self._stop()
        if self._shown:
            self._meter = Meter(what, "bars", self._err, total, pause_s=self._pause_s)

    def _stop(self) -> None:
        if self._meter is not None:
            self._meter.stop()
            self._meter = None

    def reading(self, done: int, total: int) -> None:
        """Progress of a long file: bytes read so far, and in the end."""
        if total < LONG_FILE:
            return
        if self._meter is None and self._shown:
            self._meter = Meter("reading", "MB", self._err, total, size=1e6, pause_s=self._pause_s)
        if self._meter is not None:
            self._meter.reach(done, total)
            if done >= total:
                self._stop()

    def making(self, done: int, total: int) -> None:
        """Progress of the mock market: bars made so far, and in the end."""
        if self._meter is None:
            self._start("making the market", total)
        if self._meter is not None:
            self._meter.reach(done)

    def watching(self, market: Market) -> Watch:
        """A watcher that moves the bar and prints what happens, the first `MOST_LINES` lines of it."""
        self._start("simulating", len(market.bars))

        def watch(done: int, rows: JournalRows) -> None:
            if self._meter is not None:
                self._meter.reach(done)
                self._tell(market, rows)

        return watch

    def _tell(self, market: Market, rows: JournalRows) -> None:
        """Print signals acted upon and trades closed, by time."""
        left = MOST_LINES - self._lines
        if left <= 0:
            return
        acted = rows.decisions[rows.decisions["action"] != HELD]
        said = [(int(row["ts"]), signal_line(market, row)) for row in acted[:left]]
        said += [(int(row["exit_ts"]), trade_line(market, row)) for row in rows.trades[:left]]
        said.sort(key=lambda one: one[0])
        for _, line in said[:left]:
            self._err.say(line)
        self._lines += min(left, len(said))
        if self._lines == MOST_LINES:
            self._err.print(Text("... the others stand in the log files", style="dim"))

    def show(self, result: SimulationResult) -> None:
        """Print the result in the form asked for."""
        self._stop()
        if self._json:
            print(json.dumps(result.report, allow_nan=False))
        elif not self._shown:
            print(one_line(result))
        elif not self._full:
            self._out.print(Brief(result))
        else:
            self._out.print(summary(result))
            for line in last_words(result):
                self._out.say(line)


def first_line(source: str, *, synthetic: bool) -> Text:
    """Where the data comes from, and whether it is real."""
    if not synthetic:
        return Text.assemble(("Recorded candles", "bold"), f": {source}")
    return Text.assemble(
        ("SYNTHETIC", "bold yellow"), f" mock market ({source}): no real data. Real candles: --data PATH"
    )


def minute(ts: int) -> str:
    """A time in ns as people read it: `2024-01-01 05:10`, UTC."""
    return str(np.datetime64(ts // NS_PER_MINUTE, "m")).replace("T", " ")


def price(market: Market, row: Any, name: str) -> str:
    """A price of a row with the decimals of its symbol's tick."""
    tick = float(market.instruments["tick"][row["sym"]])
    return f"{row[name]:.{max(0, -math.floor(math.log10(tick) + 1e-9))}f}"


def bar_line(instant: Instant, i: int, bar: Any) -> Text:
    """One bar of a live run, e.g. `2024-01-01 05:10  BTCUSDT  close 65140.5  spread 0.15 bps  imbalance +0.32`."""
    top = instant.book[i]
    book = "no valid book"
    if not np.isnan(top["spread_bps"]):
        book = f"spread {top['spread_bps']:.2f} bps  imbalance {top['imbalance_1']:+.2f}"
    late = "  (came late: not decided on)" if instant.late else ""
    return Text.assemble(
        (f"{minute(int(bar['ts']))}  ", "dim"),
        f"{instant.market.symbols[bar['sym']]}  close {price(instant.market, bar, 'close')}  {book}{late}",
    )


def signal_line(market: Market, row: Any) -> Text:
    """One signal that was acted upon, e.g. `2024-01-01 05:00  BTCUSDT long   signal  strength 34  OPENED`."""
    side = ("close", "long ", "short")[int(row["side"])]
    entry = int(row["action"]) in {OPENED, FLIPPED}
    strength = "" if np.isnan(row["strength"]) else f" of strength {row['strength']:.0f}"
    return Text.assemble(
        (f"{minute(int(row['ts']))}  ", "dim"),
        f"{market.symbols[row['sym']]} {side}  signal{strength}: "
        f"{'entry order' if entry else ACTION_NAMES[row['action']].lower()}",
    )


def trade_line(market: Market, trade: Any) -> Text:
    """One closed trade, e.g. `2024-01-01 05:10  BTCUSDT long   0.5012 -> 0.5024  TAKE_PROFIT  +3.21`."""
    net = float(trade["net_pnl"])
    entry, out = (price(market, trade, f"{end}_price") for end in ("entry", "exit"))
    return Text.assemble(
        (f"{minute(int(trade['exit_ts']))}  ", "dim"),
        f"{market.symbols[trade['sym']]} {'long ' if trade['side'] > 0 else 'short'}  "
        f"{entry} -> {out}  {EXIT_NAMES[trade['exit_reason']]}  ",
        (f"{net:+.2f}", "green" if net > 0 else "red"),
    )
