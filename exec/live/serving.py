"""Which model serves: its version is read once, checked, and handed to whoever decides as a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from exec.champion import Champion, champion_of
from features.registry import feature_set, fingerprint
from ml.learning.artifact import meta_of
from ml.signal import strategy_key
from utils.errors import ConfigError
from utils.records.versions import CURRENT, Versions
from utils.settings.tree import Settings


def served(
    settings: Settings, version: str | None = None, *, symbols: Sequence[str] = (), tf: str = ""
) -> Champion | None:
    """The model of these settings; None where none is enabled.

    Args:
        settings: `meta.enabled`, `meta.dir`, and `meta.version`, or CURRENT where that is empty.
        version: serve this one whatever they say; None = they say it.
        symbols: whose signals it will judge; it must have been tested on each of them. Empty = not known yet.
        tf: length of a candle, likewise.

    Raises:
        ConfigError: one is enabled, and there is none, or it was tested on something else than it would judge.
        DataError: it is not as it was written, or was trained on other features.
    """
    chosen = settings.meta
    if not chosen.enabled and version is None:
        return None
    versions = Versions(chosen.dir)
    name = version or chosen.version or versions.current()
    if name is None:
        raise ConfigError(
            f"meta.enabled: expected a version that {chosen.dir / CURRENT} names, saw none; train one with "
            "./scripts/retrain.sh, or set meta.enabled: false"
        )
    manifest, parts = versions.read(name)
    require_tested(name, manifest.get("configuration"), settings, symbols, tf)
    champion = champion_of(name, meta_of(parts), feature_set().names, fingerprint())
    return replace(champion, tested=manifest.get("configuration"), home=versions.folder)


def require_tested(name: str, tested: Any, settings: Settings, symbols: Sequence[str], tf: str) -> None:
    """Refuse to let a model judge what its record is not of: `strange_to` says what that is.

    Raises:
        ConfigError: with what it was tested on, and what it would judge.
    """
    if other := strange_to(tested, settings, symbols, tf):
        raise ConfigError(
            f"meta.enabled: model {name} was tested on {'; '.join(other)}; ask for what it was tested on, or set "
            "meta.enabled: false"
        )


def strange_to(tested: Any, settings: Settings, symbols: Sequence[str], tf: str) -> list[str]:
    """What a model would judge that its record is not of, each "what it was tested on, saw what it would judge".

    That is other symbols, candles, barriers, entries or signals, or costs above those that its trades paid.

    Args:
        tested: the configuration of its record; no mapping = made by hand, and nobody's evidence: it judges all.
        settings: barriers, entries, signals and costs under which it would judge.
        symbols: whose signals it would judge; empty = not known yet.
        tf: length of a candle, likewise.
    """
    if not isinstance(tested, Mapping):
        return []
    strange = sorted(set(symbols) - set(tested.get("symbols", symbols)))
    asked: dict[str, Any] = {"timeframe": tf or tested.get("timeframe"), "entry": settings.execution.entry}
    asked |= {key: getattr(settings.risk, key) for key in ("take_bps", "stop_bps", "horizon")}
    asked |= {key: getattr(settings.execution, key) for key in ("limit_offset_bps", "limit_bars")}
    other = [f"{key} {tested[key]}, saw {value}" for key, value in asked.items() if tested.get(key, value) != value]
    if tested.get("signal", strategy_key(settings)) != strategy_key(settings):
        other.append("other signals: a setting of the section signal is not as it was")
    if tested.get("gross"):
        other.append("trades before all costs")
    if strange:
        other.insert(0, f"{' '.join(tested['symbols'])}, saw {' '.join(strange)}")
    return [*other, *_dearer(tested, settings)]


def _dearer(tested: Mapping[str, Any], settings: Settings) -> list[str]:
    """Costs that are above those of the tested trades."""
    costs, markets = tested.get("costs"), tested.get("market", ())
    if not isinstance(costs, Mapping):
        return []
    now = {"half_spread_bps": settings.simulation.spread_bps / 2.0, "slippage_bps": settings.simulation.slippage_bps}
    found = [f"{key} {costs[key]:g}, saw {value:g}" for key, value in now.items() if value > costs.get(key, value)]
    for k, symbol in enumerate(tested.get("symbols", ()) if len(markets) == 1 else ()):
        fees = settings.instrument(markets[0], symbol)
        found += [
            f"{key} {costs[key][k]:g} of {symbol}, saw {getattr(fees, key):g}"
            for key in ("maker_bps", "taker_bps")
            if getattr(fees, key) > costs[key][k]
        ]
    return found
