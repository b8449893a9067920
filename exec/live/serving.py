"""Which model serves: its version is read once, checked, and handed to whoever decides as a value."""

from __future__ import annotations

from exec.champion import Champion, champion_of
from features.registry import feature_set, fingerprint
from ml.learning.artifact import meta_of
from utils.errors import ConfigError
from utils.records.versions import CURRENT, Versions
from utils.settings.tree import Settings


def served(settings: Settings, version: str | None = None) -> Champion | None:
    """The model of these settings; None where none is enabled.

    Args:
        settings: `meta.enabled`, `meta.dir`, and `meta.version`, or CURRENT where that is empty.
        version: serve this one whatever they say; None = they say it.

    Raises:
        ConfigError: one is enabled, and there is none.
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
    _, parts = versions.read(name)
    return champion_of(name, meta_of(parts), feature_set().names, fingerprint())
