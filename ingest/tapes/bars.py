"""Candles of a recording's trades: only bars during which the recording can be shown to hold every trade."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ingest.tapes.check import Progressed, recordings
from ingest.tapes.file import Line, TapeReader
from ingest.tapes.play import Player, recognise
from ingest.venues.known import recorded
from utils.errors import ConfigError, DataError
from utils.market.timeframes import TIMEFRAMES, parse_timeframe
from utils.rows import NS_PER_MS, NS_PER_S
from utils.types import Trade

#: Silence of a whole recording after which it cannot be shown that nothing happened: pings come every 20 s.
SILENCE_NS = 30 * NS_PER_S
#: A trade may arrive so long after its bar ended.
LATE_NS = 2 * NS_PER_S
#: Volumes are sums of lots of no more decimals than this.
DECIMALS = 8
STEP = 5_000
_NUMBER = re.compile(rb'"e"\s*:\s*"(?:trade|aggTrade)".*?"[ta]"\s*:\s*(\d+)', re.DOTALL)
_SYMBOL = re.compile(rb'"s"\s*:\s*"(\w{1,40})"')


@dataclass(frozen=True, slots=True)
class TapeBars:
    """Whole bars of one symbol; `rows` are open time (ns), open, high, low, close, volume, trades, taker_buy_volume."""

    symbol: str
    tf: str
    market: str
    rows: list[tuple[int, float, float, float, float, float, int, float]]
    missing: int  # bars between the first and the last that the recording does not hold whole
    empty: int  # bars without a trade, shown to be so


class _Bar:
    """A bar being made."""

    def __init__(self, price: float) -> None:
        self.open = self.high = self.low = self.close = price
        self.volume = self.bought = 0.0
        self.trades = 0

    def add(self, trade: Trade) -> None:
        self.high, self.low, self.close = max(self.high, trade.price), min(self.low, trade.price), trade.price
        self.volume += trade.qty
        self.bought += trade.qty if trade.side > 0 else 0.0
        self.trades += 1


class _Tally:
    """The trades of one symbol, put into bars."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.bars: dict[int, _Bar] = {}  # by open time
        self.broken: set[int] = set()  # open times of bars of which a trade may be missing
        self.last_ts = self.last_id = 0
        self.last_price = 0.0
        # since when trades may have gone by unheard, and since when ids say that some have; exchange time, 0 = neither
        self.hole = self.lost = 0

    def open_of(self, ts: int) -> int:
        return ts - ts % self.length

    def deaf(self, ts: int) -> None:
        """From `ts` to the next trade, trades may be missing."""
        self.hole = self.hole or max(ts, self.last_ts)

    def take(self, trade: Trade, number: int) -> None:
        """One more trade; `number` is its id where the exchange counts them by one, else 0."""
        if number and self.last_id:
            # consecutive ids prove that nothing is missing, whatever else happened
            self.hole = self.lost or (0 if number == self.last_id + 1 else self.last_ts)
        if not self.last_ts:
            self.broken.add(self.open_of(trade.ts))
        elif self.hole:
            self.fill(self.hole)
            self.broken.update(range(self.open_of(self.hole), trade.ts + 1, self.length))
        else:
            self.fill(trade.ts)
        self.hole = self.lost = 0
        self.bars.setdefault(self.open_of(trade.ts), _Bar(trade.price)).add(trade)
        self.last_ts, self.last_price, self.last_id = max(trade.ts, self.last_ts), trade.price, number

    def pass_over(self, number: int, *, lost: bool) -> None:
        """A print that made no trade has a number too; a repeated one changes nothing.

        Args:
            number: its id.
            lost: it was one of the market, dropped as it came late.
        """
        if number > self.last_id > 0:
            if lost or number != self.last_id + 1:
                self.lost = self.lost or self.last_ts
            self.last_id = number

    def fill(self, until: int) -> None:
        """Nothing traded from the last trade to `until`."""
        for start in range(self.open_of(self.last_ts) + self.length, self.open_of(until), self.length):
            self.bars.setdefault(start, _Bar(self.last_price))

    def close(self, heard: int) -> dict[int, _Bar]:
        """The bars that are whole, when the recording was last heard of at `heard`, exchange time."""
        if self.last_ts:
            end = self.open_of(self.lost or self.hole or max(heard - LATE_NS, self.last_ts))
            self.fill(end)
            self.broken.add(end)
            self.broken.update(start for start in self.bars if start > end)
        return {start: bar for start, bar in sorted(self.bars.items()) if start not in self.broken}


def bars_of(
    paths: Sequence[str | Path], tf: str, symbols: Sequence[str] = (), progressed: Progressed = lambda _: None
) -> list[TapeBars]:
    """Bars of the trades in these files, one answer a symbol that has any whole bar.

    A bar is whole if the recording heard the symbol's trades before it began and after it ended, and no trade of it
    can be missing: their ids are consecutive, or, where the exchange does not count them, the connection was never lost
    and never silent for 30 s. A whole bar without a trade has volume 0 and the last price; others are left out.

    Formula: taker_buy_volume = sum of the quantities that the aggressor bought. Units: ns, quote, base.

    Args:
        paths: tape files, in order of time.
        tf: the bars' timeframe.
        symbols: only these; none = all.
        progressed: told how many bytes of all files are behind us.

    Raises:
        ConfigError: `tf` is not a timeframe of at most a day.
        DataError: a file is no tape or damaged, its market is coin-margined, or it holds no whole bar.
    """
    length = parse_timeframe(tf)
    if length > TIMEFRAMES["1d"]:
        raise ConfigError(
            f"timeframe: expected at most 1d, saw {tf}; a week's bars come from an exchange's own candles"
        )
    tallies: dict[str, _Tally] = {}
    markets: set[str] = set()
    heard = done = seen = 0
    for together in recordings([Path(path) for path in paths]):
        player = Player(recognise(TapeReader(together[0])))
        markets |= {*player.markets.values()}
        if len(markets) > 1 or any(recorded(name).market.in_coin for name in markets):
            raise DataError(
                f"tape: expected one market whose profits are in quote currency, saw {', '.join(sorted(markets))};"
                " name recordings of one linear or spot market"
            )
        for tally in tallies.values():
            tally.deaf(heard)
        for path in together:
            reader = TapeReader(path)
            for line in reader:
                seen += 1
                heard = _take(line, player, tallies, length, symbols, heard)
                if seen % STEP == 0:
                    progressed(done + reader.position)
            done += reader.size
    progressed(done)
    market = next(iter(markets), "")
    found = [_finished(symbol, tf, market, tally.close(heard), length) for symbol, tally in sorted(tallies.items())]
    whole = [bars for bars in found if bars.rows]
    if not whole:
        asked = f" of {', '.join(symbols)}" if symbols else ""
        raise DataError(
            f"tape: expected trades{asked} over at least one whole {tf} bar, saw none; record longer or choose a"
            " shorter timeframe"
        )
    return whole


def _take(
    line: Line, player: Player, tallies: dict[str, _Tally], length: int, symbols: Sequence[str], heard: int
) -> int:
    """Tally one line; returns the exchange's time when it was heard."""
    line = player.timed(line)
    events = player.play(line)
    now = player.clock.now(line.recv_ns)
    lost = line.event in {"connect", "disconnect", "dropped"}
    if heard and (lost or now - heard > SILENCE_NS):
        for tally in tallies.values():
            tally.deaf(heard)
    trades = [noun for noun in events if isinstance(noun, Trade) and (not symbols or noun.symbol in symbols)]
    if trades or not (events or line.event):
        message = line.wire
        counted = _NUMBER.search(message)
        number = int(counted[1]) if counted else 0
        for trade in trades:
            tallies.setdefault(trade.symbol, _Tally(length)).take(trade, number)
        named = _SYMBOL.search(message) if number and not trades else None
        if named and (symbol := named[1].decode()) in tallies:
            tallies[symbol].pass_over(number, lost=b'"X"' not in message or b'"MARKET"' in message)
    return now


def _finished(symbol: str, tf: str, market: str, bars: dict[int, _Bar], length: int) -> TapeBars:
    rows = [
        (
            *(start, bar.open, bar.high, bar.low, bar.close),
            *(round(bar.volume, DECIMALS), bar.trades, round(bar.bought, DECIMALS)),
        )
        for start, bar in bars.items()
    ]
    span = (rows[-1][0] - rows[0][0]) // length + 1 if rows else 0
    return TapeBars(symbol, tf, market, rows, span - len(rows), sum(row[6] == 0 for row in rows))


def save_bars(bars: TapeBars, out: Path) -> Path:
    """Write bars as Parquet in the form of recorded candles: to `out` if it ends in .parquet, else below it.

    Raises:
        ConfigError: the file exists.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = out
    if out.suffix != ".parquet":
        first, last = (f"{datetime.fromtimestamp(bars.rows[i][0] // NS_PER_S, UTC):%Y%m%dT%H%M}" for i in (0, -1))
        path = out / bars.market / bars.tf / f"{bars.symbol}_{first}_{last}.parquet"
    if path.exists():
        raise ConfigError(f"--out: expected a new file, saw {path}; delete it or name another")
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ("open", "high", "low", "close", "volume", "trades", "taker_buy_volume")
    starts = pa.array([row[0] // NS_PER_MS for row in bars.rows], pa.timestamp("ms"))
    columns = {name: pa.array([row[i] for row in bars.rows]) for i, name in enumerate(names, 1)}
    half = path.with_suffix(".half")
    pq.write_table(pa.table({"timestamp": starts, **columns}), half, compression="zstd")
    half.replace(path)
    return path
