"""A live run that was killed goes on: which one, whether it agrees with what is asked for, and what it was."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from pathlib import Path

from pydantic import ValidationError

from backtest.strategies.identity import Identity
from ingest.history import source_of
from utils.errors import ConfigError, DataError
from utils.market.symbols import normalise_symbol
from utils.market.timeframes import normalise_timeframe
from utils.records.database import JOURNAL, Told, read_told
from utils.records.files import plain
from utils.records.moment import Meta
from utils.records.sqlite import unfinished
from utils.settings.keys import leaves
from utils.settings.tree import Settings

#: Settings that have a flag: where it is not given, those of the run hold.
FLAGGED = frozenset({"market.exchange", "market.market_type", "simulation.initial_capital"})
#: Settings that decide: sections with a dot, single keys without; and those of them that no longer do.
DECIDING = ("market.", "instruments.", "signal.", "risk.", "execution.", "simulation.", "ingest.book_depth")
PAST = frozenset(
    {"market.symbol", "market.timeframe"}  # named by the run itself
    | {f"simulation.{name}" for name in ("seed", "steps", "preset", "warmup_bars")}
)
#: Sections about this machine and its ways to the exchange: the settings of today hold.
TODAY = ("endpoints", "ingest", "logs", "compute", "retrain", "secrets")
DEFAULT_STRATEGY = "the default strategy"
#: Said of whatever contradicts the run.
CURE = "leave that as it was, or begin a new run without --resume"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Going:
    """A run that can go on."""

    home: Path  # its folder
    told: Told

    @property
    def meta(self) -> Meta:
        """What it is."""
        return self.told.meta


def run_to_resume(logs: Path, named: str | Path | None = None) -> Going:
    """The run that is to go on: the one that began last of those that were not finished, or the one that is named.

    Args:
        logs: the logs directory.
        named: its folder, its journal, or its name below `runs/`.

    Raises:
        ConfigError: there is none.
        DataError: it is finished, or its journal is damaged, of another program, or of a newer one.
    """
    if named is None:
        for home in unfinished(logs):
            told = read_told(home / JOURNAL)
            if told.seq:
                return Going(home, told)
        raise ConfigError(f"--resume: expected a run in {logs} that was killed, saw none; begin one without --resume")
    places = [Path(named), logs / "runs" / named]
    for place in places:
        home = place.parent if place.name == JOURNAL else place
        if (home / JOURNAL).is_file():
            told = read_told(home / JOURNAL)
            if told.finished:
                raise DataError(f"{home}: this run is finished, and nothing can follow; begin one without --resume")
            if not told.seq:
                raise ConfigError(f"{home}: this run was killed before its first bar; begin one without --resume")
            return Going(home, told)
    raise ConfigError(
        f"--resume: expected the folder of a live run, saw no journal at {' or '.join(map(str, places))}; "
        "name one of those in runs/"
    )


def agreed(settings: Settings, meta: Meta, named: Collection[str] = FLAGGED) -> Settings:
    """The settings that a run goes on with: its own where they decide, today's about this machine.

    Args:
        settings: of today.
        meta: what the run is.
        named: of those settings that have a flag, the ones that were given.

    Raises:
        ConfigError: one that decides is another than the run's.
        DataError: the run's are of another version of this program.
    """
    try:
        own = Settings.model_validate_json(json.dumps(meta.settings))
    except ValidationError as error:
        raise DataError(
            f"journal: expected settings of this version of the program, saw those of {meta.version} "
            f"({error.error_count()} unknown); go on with that one"
        ) from error
    then, now = dict(leaves(own)), dict(leaves(settings))
    for key in {**then, **now}:
        free = key in PAST or (key in FLAGGED and key not in named)
        if key.startswith(DECIDING) and not free and then.get(key) != now.get(key):
            raise ConfigError(f"{key}: expected {then.get(key)} as the run has it, saw {now.get(key)}; {CURE}")
    whole = own.model_copy(update={name: getattr(settings, name) for name in TODAY})
    if (source := source_of(whole)) != meta.sources[0]:
        raise ConfigError(f"endpoints: expected {meta.sources[0]} as the run has it, saw {source}; {CURE}")
    return whole


def check_agreement(
    meta: Meta, symbols: str | None, tf: str | None, exchange_for_ob: str | None, strategy: Identity | None
) -> None:
    """Refuse what contradicts a run; None = not said.

    Args:
        meta: what the run is.
        symbols: with commas.
        tf: timeframe.
        exchange_for_ob: exchange of the order book.
        strategy: of a user's function that is to answer; None = the default strategy.

    Raises:
        ConfigError: something does.
    """
    names = None if symbols is None else ",".join(sorted({normalise_symbol(name) for name in symbols.split(",")}))
    length = None if tf is None else normalise_timeframe(tf)
    for what, then, now in (
        ("symbol", ",".join(meta.symbols), names),
        ("timeframe", meta.tf, length),
        ("exchange-for-ob", meta.asked["exchange_for_ob"], exchange_for_ob),
    ):
        if now is not None and then != now:
            raise ConfigError(f"--{what}: expected {then} as the run has it, saw {now}; {CURE}")
    then_who = meta.asked.get("identity")  # a run of before it was kept has none
    if (strategy is not None) != meta.asked["strategy"]:
        then = then_who["name"] if then_who else "a strategy of yours" if meta.asked["strategy"] else DEFAULT_STRATEGY
        seen = DEFAULT_STRATEGY if strategy is None else strategy.name
        raise ConfigError(f"strategy: expected {then} as the run has it, saw {seen}; {CURE}")
    if strategy is not None and then_who is not None:
        row = json.loads(json.dumps(plain(strategy.row())))
        for what, then in then_who.items():
            if row[what] != then:
                raise ConfigError(
                    f"strategy: expected its {what} to be {then} as the run has it, saw {row[what]}; {CURE}"
                )
