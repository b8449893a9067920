"""Sources become a market: rows of all symbols on one clock, their instruments and funding, and what was assumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backtest.data.manifest import cost_notes, describe
from exec.market import Built, Market, Terms
from features.registry import feature_set
from ingest.files.candles import Candles, load_candles
from ingest.files.columns import show
from ingest.files.funding import load_funding, sibling_funding, uncovered
from ingest.files.tables import Progressed
from ingest.instruments import Listing, instrument_of
from ingest.synthetic import SyntheticFeed
from utils.errors import ConfigError, DataError
from utils.market.symbols import normalise_symbol, quote_of, symbol_of_file
from utils.market.timeframes import TIMEFRAMES, normalise_timeframe
from utils.rows import FUNDING, INSTRUMENT, NS_PER_HOUR, Rows
from utils.settings.tree import Settings

#: Hours of mock market that a run may ask for: some twenty minutes of work.
MOST_HOURS = 50_000
#: Stands in what is said of a history that is shorter than was asked for.
FEWER = "steps were asked for"


class Decided(NamedTuple):
    """On which bars decisions may be made."""

    starts: tuple[int, ...]  # by source, the close from which on, ns
    notes: tuple[str, ...]  # what has to be said of that
    doubts: tuple[str, ...]  # and warned of


class Funded(NamedTuple):
    """The funding of one symbol."""

    rows: Rows
    note: str  # where it is from
    doubts: tuple[str, ...]  # what it does not cover


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
    """Sources in order of symbol, each symbol once, in one currency, of one timeframe, with instants in common.

    Raises:
        ConfigError: they are not.
    """
    ordered = sorted(candles, key=lambda one: one.symbol)
    names = [one.symbol for one in ordered]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(
            f"--data: expected each symbol once, saw {', '.join(sorted(twice))} twice; join the files first"
        )
    one_currency(names)
    frames = {one.tf for one in ordered}
    if len(frames) > 1:
        raise ConfigError(
            f"--data: expected one timeframe on one clock, saw {', '.join(sorted(frames))}; name files of one"
        )
    for one in ordered[1:]:
        _share_a_clock(ordered[0], one)
    common = ordered[0].rows["ts"]
    for one in ordered[1:]:
        common = common[np.isin(common, one.rows["ts"])]
    if not len(common):
        pairs = ((a, b) for k, a in enumerate(ordered) for b in ordered[k + 1 :])
        apart = next((pair for pair in pairs if not np.isin(pair[0].rows["ts"], pair[1].rows["ts"]).any()), ordered)
        told = "; ".join(f"{one.symbol} {' to '.join(show(one.rows['ts'][k])[:10] for k in (0, -1))}" for one in apart)
        raise ConfigError(
            f"--data: expected symbols of one time, and {' and '.join(one.symbol for one in apart)} have no instant in "
            f"common ({told}); simulate them apart, or name files that overlap"
        )
    return tuple(ordered)


def one_currency(symbols: Sequence[str]) -> None:
    """Refuse symbols that are quoted in different currencies: their profits cannot be added.

    Raises:
        ConfigError: they are; a symbol whose end is no currency known to us is taken as it is.
    """
    quotes = {quote_of(symbol): symbol for symbol in reversed(symbols) if quote_of(symbol)}
    if len(quotes) > 1:
        (quote, symbol), *others = sorted(quotes.items(), key=lambda pair: pair[1])
        rest = ", ".join(f"{other} in {its}" for its, other in others)
        raise ConfigError(f"{symbol} is quoted in {quote}, {rest}: one account has one currency; simulate them apart")


def _share_a_clock(one: Candles, other: Candles) -> None:
    phases = [int(each.rows["ts"][0]) % each.tf_ns for each in (one, other)]
    if phases[0] != phases[1]:
        closes = " and ".join(f"{each.symbol} at {show(each.rows['ts'][-1])}" for each in (one, other))
        raise ConfigError(
            f"--data: expected {one.tf} bars that close at the same times, saw {closes}; make the bars of one of them "
            "from finer candles, by the other's clock"
        )


def warmup_of(settings: Settings) -> int:
    """Bars of each symbol before its first decision."""
    own = settings.simulation.warmup_bars
    return feature_set().warmup if own is None else own


def decided_from(ordered: Sequence[Candles], steps: int | None, warmup: int) -> Decided:
    """On which bars of each source decisions may be made.

    A bar is decided on after the warm-up of its symbol, and at one of the last `steps` instants of the clock that all
    symbols share. Where fewer are there than were asked for, all are used, and never silently.

    Raises:
        DataError: a source ends with its warm-up.
    """
    for one in ordered:
        if len(one.rows) <= warmup:
            raise DataError(
                f"{one.source}: expected more than {warmup} bars (the warm-up) to decide on, saw {len(one.rows)}; "
                "use a longer file or set simulation.warmup_bars"
            )
    starts = [int(one.rows["ts"][warmup]) for one in ordered]
    notes: list[str] = []
    doubts: list[str] = []
    if steps is None:
        return Decided(tuple(starts), (), ())
    clock = np.unique(np.concatenate([one.rows["ts"] for one in ordered]))
    since = int(clock[-min(steps, len(clock))])
    for k, one in enumerate(ordered):
        if int(one.rows["ts"][-1]) < since:
            doubts.append(
                f"{one.symbol}: not decided on: its bars end at {show(one.rows['ts'][-1])}, and the last {steps} steps "
                f"of the clock begin at {show(since)}; ask for more"
            )
        if steps > len(clock) or starts[k] > since:
            notes.append(
                f"{one.source}: {steps} {FEWER}, and {len(one.rows) - warmup} bars come after the "
                f"{warmup} of the warm-up: all are used"
            )
        starts[k] = max(starts[k], since)
    return Decided(tuple(starts), tuple(notes), tuple(doubts))


def funding_of(candles: Candles, sym: int, data: Any, named: Mapping[str, Path], start: int) -> Funded:
    """Settlements of one symbol: the file named for it, else the sibling of its candles, else none; and what it was.

    Args:
        candles: of the symbol.
        sym: its number.
        data: where the candles came from.
        named: funding files by symbol.
        start: close of the first bar that is decided on, ns.
    """
    path = named.get(candles.symbol)
    if path is None and isinstance(data, (str, Path)):
        path = sibling_funding(Path(data), candles.market, candles.symbol)
    if path is None:
        return Funded(np.zeros(0, FUNDING), f"{candles.symbol}: funding not modelled", ())
    rows = load_funding(path, candles.symbol)
    rows["sym"] = sym
    period = "no settlements"
    if len(rows):
        first, last = (show(ts)[:10] for ts in (rows["ts"][0], rows["ts"][-1]))
        period = f"{len(rows)} settlements, {first} to {last}; none is paid outside"
    spans = [" to ".join(show(ts)[:16] for ts in span) for span in uncovered(rows, start, int(candles.rows["ts"][-1]))]
    return Funded(
        rows,
        f"{candles.symbol}: funding from {path.name} ({period}), on the last close as stand-in for the mark price",
        (f"{candles.symbol}: funding not modelled {', '.join(spans)}: {path.name} does not cover it",) if spans else (),
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
    decided: Callable[[int], Decided],
    listings: Mapping[str, Listing],
    paid: Sequence[str],
    settings: Settings,
) -> Terms:
    """What these settings make of the candles of each symbol.

    Args:
        candles: of each.
        decided: of a warm-up in bars, on which of them decisions may be made.
        listings: what the exchange allows, by symbol.
        paid: what is known of the funding of each.
        settings: warm-up, instruments, costs.
    """
    warmup = warmup_of(settings)
    starts, notes, _ = decided(warmup)
    instruments, said = [], list(notes)
    for one, funding in zip(candles, paid, strict=True):
        instrument, assumed = instrument_of(one, settings, max(1, warmup), listings.get(one.symbol))
        instruments.append(instrument.row())
        said += [*assumed, funding]
    return Terms(starts, np.array(instruments, dtype=INSTRUMENT), (*cost_notes(settings), *said))


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
        ConfigError: symbols repeated, currencies or timeframes mixed, no instant in common, `steps` below 1, a
            funding file for a symbol that is not simulated.
        DataError: too few bars, a funding file that is missing or wrong.
    """
    ordered = one_clock(candles)
    paths = data if isinstance(data, (list, tuple)) else [data]
    where = dict(zip((one.symbol for one in candles), paths, strict=False))
    named = named_funding(funding, [one.symbol for one in ordered])
    if steps is not None and steps < 1:
        raise ConfigError(f"steps: expected at least 1 bar to decide on, saw {steps}; leave it out to use all bars")
    decided = cache(partial(decided_from, ordered, steps))  # a sweep asks for each of its settings
    starts, _, doubted = decided(warmup_of(settings))
    fundings, paid, parts, doubts = [], [], [], list(doubted)
    for sym, one in enumerate(ordered):
        funded = funding_of(one, sym, where.get(one.symbol), named, starts[sym])
        part = one.rows.copy() if len(ordered) > 1 else one.rows
        part["sym"] = sym
        fundings.append(funded.rows)
        paid.append(funded.note)
        parts.append(part)
        doubts += funded.doubts
    anew = partial(terms_of, ordered, decided, listings or {}, paid)
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
        doubts=tuple(doubts),
        built=Built(settings, terms, anew),
    )


def synthetic_market(
    settings: Settings, symbols: str, tf: str, steps: int, progress: Callable[[int, int], None] | None = None
) -> Market:
    """The mock market for `steps` decidable bars of each symbol; several symbols have seeds of their own, by name.

    `progress` is told the bars made so far and how many there will be.
    """
    bars = steps + warmup_of(settings)
    names = sorted({normalise_symbol(name) for name in symbols.split(",")})
    one_currency(names)
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
