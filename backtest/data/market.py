"""Sources become a market: rows of all symbols on one clock, their instruments and funding, and what was assumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from backtest.data.manifest import cost_notes, describe
from exec.market import Built, Market, Terms
from features.registry import feature_set
from ingest.files.candles import Candles, load_candles
from ingest.files.funding import load_funding, sibling_funding
from ingest.files.tables import Progressed
from ingest.instruments import Listing, instrument_of
from ingest.synthetic import SyntheticFeed
from utils.errors import ConfigError, DataError
from utils.market.symbols import normalise_symbol, symbol_of_file
from utils.market.timeframes import TIMEFRAMES, normalise_timeframe
from utils.rows import FUNDING, INSTRUMENT, NS_PER_HOUR, Rows
from utils.settings.tree import Settings

#: Hours of mock market that a run may ask for: some twenty minutes of work.
MOST_HOURS = 50_000
#: Stands in what is said of a history that is shorter than was asked for.
FEWER = "steps were asked for"


def read_sources(data: Any, symbol: str | None, tf: str | None, progressed: Progressed | None = None) -> list[Candles]:
    """Candles of every source named: paths, frames, `Candles`; a contradicting symbol or timeframe is refused.

    Several frames take their symbols from `symbol`, in the order of its commas, where they do not name their own.
    `progressed` is told how many bytes of a file are read, and how many it has.
    """
    if isinstance(data, Candles):
        if symbol is not None and normalise_symbol(symbol) != data.symbol:
            raise ConfigError(f"symbol: expected {data.symbol} as the candles are, saw {symbol}; leave symbol out")
        if tf is not None and normalise_timeframe(tf) != data.tf:
            raise ConfigError(f"timeframe: expected {data.tf} as the candles are, saw {tf}; leave the timeframe out")
        return [data]
    if isinstance(data, (list, tuple)) and data and all(map(is_source, data)):
        names = [] if symbol is None else [normalise_symbol(name) for name in symbol.split(",")]
        told = names if len(names) == len(data) else [None] * len(data)
        several = [
            candles
            for source, name in zip(data, told, strict=True)
            for candles in read_sources(
                source, None if isinstance(source, (str, Path, Candles)) else name, tf, progressed
            )
        ]
        named = set(names)
        if named and named != {candles.symbol for candles in several}:
            found = ", ".join(candles.symbol for candles in several)
            raise ConfigError(f"--symbol: expected the symbols of --data ({found}), saw {symbol}; leave --symbol out")
        return several
    return [load_candles(data, symbol=symbol, tf=tf, progressed=progressed)]


def is_source(one: Any) -> bool:
    """Whether this is a whole source, and no row of one."""
    return isinstance(one, (str, Path, Candles)) or hasattr(one, "columns")


def one_clock(candles: Sequence[Candles]) -> tuple[Candles, ...]:
    """Sources in order of symbol, of one timeframe, each symbol once."""
    ordered = sorted(candles, key=lambda one: one.symbol)
    names = [one.symbol for one in ordered]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(
            f"--data: expected each symbol once, saw {', '.join(sorted(twice))} twice; join the files first"
        )
    frames = {one.tf for one in ordered}
    if len(frames) > 1:
        raise ConfigError(
            f"--data: expected one timeframe on one clock, saw {', '.join(sorted(frames))}; name files of one"
        )
    return tuple(ordered)


def first_decision(rows: Rows, warmup: int, steps: int | None, source: str) -> tuple[int, list[str]]:
    """Close of the first bar that may be decided on, ns: after warm-up, and among the last `steps` bars.

    Also what has to be said about it: fewer bars than asked for are used, all of them, and never silently.
    """
    if len(rows) <= warmup:
        raise DataError(
            f"{source}: expected more than {warmup} bars (the warm-up) to decide on, saw {len(rows)}; "
            "use a longer file or set simulation.warmup_bars"
        )
    there = len(rows) - warmup
    if steps is None or steps <= there:
        return int(rows["ts"][len(rows) - (steps or there)]), []
    note = f"{source}: {steps} {FEWER}, and {there} bars come after the {warmup} of the warm-up: all are used"
    return int(rows["ts"][warmup]), [note]


def funding_of(candles: Candles, sym: int, data: Any, named: Mapping[str, Path]) -> tuple[Rows, str]:
    """Settlements of one symbol: the file named for it, else the sibling of its candles, else none; and what it was."""
    path = named.get(candles.symbol)
    if path is None and isinstance(data, (str, Path)):
        path = sibling_funding(Path(data), candles.market, candles.symbol)
    if path is None:
        return np.zeros(0, FUNDING), f"{candles.symbol}: funding not modelled"
    rows = load_funding(path, candles.symbol)
    rows["sym"] = sym
    period = "no settlements"
    if len(rows):
        first, last = (str(np.datetime64(int(ts), "ns"))[:10] for ts in (rows["ts"][0], rows["ts"][-1]))
        period = f"{len(rows)} settlements, {first} to {last}; none is paid outside"
    return (
        rows,
        f"{candles.symbol}: funding from {path.name} ({period}), on the last close as stand-in for the mark price",
    )


def named_funding(paths: Sequence[Path], symbols: Sequence[str]) -> dict[str, Path]:
    """The funding files named by the user, by symbol; a file that does not say its symbol serves a single one."""
    named: dict[str, Path] = {}
    for path in paths:
        symbol = symbol_of_file(path.name) or (symbols[0] if len(symbols) == 1 else "")
        if symbol not in symbols:
            raise ConfigError(
                f"--funding: expected a file of {', '.join(symbols)}, saw {path.name} of {symbol or 'unknown symbol'}; "
                "name a file that begins with the symbol, SYMBOL_..."
            )
        if symbol in named:
            raise ConfigError(
                f"--funding: expected one file for {symbol}, saw {named[symbol].name} and {path.name}; name one of them"
            )
        named[symbol] = path
    return named


def terms_of(
    candles: Sequence[Candles],
    steps: int | None,
    listings: Mapping[str, Listing],
    paid: Sequence[str],
    settings: Settings,
) -> Terms:
    """What these settings make of the candles of each symbol; `paid` says what is known of their funding."""
    warmup = settings.simulation.warmup_bars
    warmup = feature_set().warmup if warmup is None else warmup
    starts, instruments, notes = [], [], []
    for one, funding in zip(candles, paid, strict=True):
        start, shortage = first_decision(one.rows, warmup, steps, one.source)
        instrument, assumed = instrument_of(one, settings, max(1, warmup), listings.get(one.symbol))
        starts.append(start)
        instruments.append(instrument.row())
        notes += [*shortage, *assumed, funding]
    return Terms(tuple(starts), np.array(instruments, dtype=INSTRUMENT), (*cost_notes(settings), *notes))


def under(market: Market, settings: Settings) -> Market:
    """The market as these settings make it: fees, tick, lot, margin, and what is assumed, are theirs.

    A market that was made by hand is its own. What would need other bars, or would decide on others, is refused.

    Raises:
        ConfigError: a setting that the bars or the decided period were made by is another now; or fees and the like
            are other ones in these settings, and the market's were replaced by hand.
        DataError: too few bars.
    """
    built = market.built
    if built is None or built.settings == settings:
        return market
    then, now = built.settings.simulation, settings.simulation
    anew = "build the market anew under these settings"
    for name in ("seed", "preset") if market.synthetic else ():
        made, asked = getattr(then, name), getattr(now, name)
        if made != asked:
            raise ConfigError(f"simulation.{name}: the mock market was made with {made}, saw {asked}; {anew}")
    terms = built.anew(settings)
    if terms.starts != built.terms.starts:
        raise ConfigError(
            f"simulation.warmup_bars: the market was built with {then.warmup_bars}, saw {now.warmup_bars}; {anew}"
        )
    instruments, assumptions = terms.instruments, terms.assumptions
    if instruments.tobytes() == built.terms.instruments.tobytes():
        instruments = market.instruments
    elif market.instruments.tobytes() != built.terms.instruments.tobytes():
        raise ConfigError(
            f"instruments: these settings name others than the market was built with, and its own were replaced; {anew}"
        )
    if market.assumptions != built.terms.assumptions:  # somebody has more to say
        assumptions = market.assumptions
    return dataclasses.replace(
        market, instruments=instruments, assumptions=assumptions, built=Built(settings, terms, built.anew)
    )


def build_market(
    candles: Sequence[Candles],
    settings: Settings,
    *,
    steps: int | None = None,
    data: Any = None,
    funding: Sequence[Path] = (),
    listings: Mapping[str, Listing] | None = None,
) -> Market:
    """Put sources on one clock.

    Args:
        candles: one a symbol, any order: permuting them changes nothing.
        settings: instruments, warm-up, costs.
        steps: bars that may be decided on, the last ones; None = all after the warm-up.
        data: where the candles came from, one entry each, to find funding beside it.
        funding: funding files named by the user, each called <SYMBOL>_... .
        listings: what the exchange allows for each symbol, where it was asked.

    Raises:
        ConfigError: symbols repeated, timeframes mixed, `steps` below 1, a funding file for a symbol that is not
            simulated.
        DataError: too few bars, a funding file that is missing or wrong.
    """
    ordered = one_clock(candles)
    paths = data if isinstance(data, (list, tuple)) else [data]
    where = dict(zip((one.symbol for one in candles), paths, strict=False))
    named = named_funding(funding, [one.symbol for one in ordered])
    if steps is not None and steps < 1:
        raise ConfigError(f"steps: expected at least 1 bar to decide on, saw {steps}; leave it out to use all bars")
    fundings, paid, parts = [], [], []
    for sym, one in enumerate(ordered):
        rows, known = funding_of(one, sym, where.get(one.symbol), named)
        part = one.rows.copy() if len(ordered) > 1 else one.rows
        part["sym"] = sym
        fundings.append(rows)
        paid.append(known)
        parts.append(part)
    anew = partial(terms_of, ordered, steps, listings or {}, paid)
    terms = anew(settings)
    bars = parts[0]
    if len(parts) > 1:
        bars = np.concatenate(parts)
        bars = bars[np.lexsort((bars["sym"], bars["ts"]))]
    return Market(
        symbols=tuple(one.symbol for one in ordered),
        sources=tuple(one.source for one in ordered),
        tf=ordered[0].tf,
        tf_ns=ordered[0].tf_ns,
        bars=bars,
        instruments=terms.instruments,
        funding=np.concatenate(fundings),
        starts=terms.starts,
        files=tuple(describe(one) for one in ordered),
        assumptions=terms.assumptions,
        built=Built(settings, terms, anew),
    )


def synthetic_market(
    settings: Settings, symbols: str, tf: str, steps: int, progress: Callable[[int, int], None] | None = None
) -> Market:
    """The mock market for `steps` decidable bars of each symbol; several symbols have seeds of their own, by name.

    `progress` is told the bars made so far and how many there will be.
    """
    warmup = settings.simulation.warmup_bars
    bars = steps + (feature_set().warmup if warmup is None else warmup)
    names = sorted({normalise_symbol(name) for name in symbols.split(",")})
    hours = bars * TIMEFRAMES[normalise_timeframe(tf)] / NS_PER_HOUR
    if hours > MOST_HOURS:
        raise ConfigError(
            f"the mock market simulates every order: expected at most {MOST_HOURS:,} hours of it, and {bars:,} bars of "
            f"{tf} (warm-up included) are {hours:,.0f}; ask for fewer --steps or a shorter --timeframe"
        )
    feeds = [
        SyntheticFeed(name, normalise_timeframe(tf), settings.simulation.seed + k, settings.simulation.preset)
        for k, name in enumerate(names)
    ]

    def told(earlier: int) -> Callable[[int], None] | None:
        return None if progress is None else lambda done: progress(earlier + done, bars * len(feeds))

    return build_market([feed.candles(bars, told(k * bars)) for k, feed in enumerate(feeds)], settings, steps=steps)
