"""Which model serves while a process runs: looked at again and again, swapped by one assignment, and never lost.

A look reads no more than what is not as it was: CURRENT, a version, the settings file. Of that the section `meta` alone
is taken; barriers, entries, signals and costs stay those of the start, and a version that was tested with others is
refused. What cannot be loaded is said until it is mended, and the version that serves goes on serving. So it does
where the settings file says nothing of `meta` any more, as an empty one.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from exec.champion import Champion
from exec.live.serving import served, strange_to
from utils.config import Loaded, load_settings
from utils.errors import ConfigError, DataError
from utils.records.versions import CURRENT, Versions
from utils.root import ROOT
from utils.settings.tree import MetaSettings, Settings

#: Why there is no model: none is enabled; one is, and none that could be loaded was named so far.
NONE, NOT_LOADED = "none", "not loaded"

#: What tells a file that was replaced or written to from what it was: inode, time in ns, bytes; None = no file.
Mark = tuple[int, int, int] | None
_NO_FILE: Mark = None


@dataclass(frozen=True, slots=True)
class _Serving:
    """What serves, all of it in one value: others ask for it while a look goes on."""

    champion: Champion | None
    why: str  # there is no champion


class ModelWatch:
    """The model that serves now. A first look is taken at once; a thread may look while others ask.

    Args:
        settings: those of the start, just loaded.
        config: the settings file they are from; None = `config.yaml` beside the program, if there is one.
    """

    def __init__(self, settings: Settings, config: Path | None = None) -> None:
        self._start, self._meta = settings, settings.meta
        self._config, self._file = config, config or ROOT / "config.yaml"
        self._taken, self._doubted = _mark(self._file), _NO_FILE  # the settings file as read, and as not yet believed
        self._followed: tuple[Path, str, Mark] | None = None  # what named the version that serves
        self._serving, self._wrong = _Serving(None, NONE), ("", "")
        self._looking = threading.Lock()
        self.look()

    @property
    def problem(self) -> str:
        """What is wrong with the settings file or a version, until it is mended; empty = nothing."""
        return "; and ".join(filter(None, self._wrong))

    @property
    def meta(self) -> MetaSettings:
        """The section `meta` as it holds now."""
        return self._meta

    @property
    def serving(self) -> tuple[Champion | None, str]:
        """The version that serves, whatever it was tested on, and an empty text; or None, and why in a few words."""
        serving = self._serving
        return serving.champion, serving.why

    def of(self, symbol: str, tf: str) -> tuple[Champion | None, str]:
        """The model that judges a market's signals, and an empty text; or None, and why in a few words.

        Args:
            symbol: exchange id.
            tf: length of a candle, by its ccxt name.
        """
        serving = self._serving
        if serving.champion is None:
            return None, serving.why
        if strange_to(serving.champion.tested, self._start, (symbol,), tf):
            return None, f"not tested on {symbol} {tf}"
        return serving.champion, ""

    def look(self) -> bool:
        """Take what the disk says now; whether another model serves than before, or none where one did.

        Where two look at once, one of them looks.
        """
        if not self._looking.acquire(blocking=False):
            return False
        try:
            before = self._serving
            self._wrong = (self._look_at_settings(), self._look_at_version())
            return self._serving is not before
        finally:
            self._looking.release()

    def _look_at_settings(self) -> str:
        """Take the section `meta` of a settings file that is not as it was; what is wrong with it."""
        mark = _mark(self._file)
        if mark == self._taken:
            return ""
        if mark is None:
            return f"{self._file}: expected the settings file that was read before, saw none; put it back"
        try:
            loaded = load_settings(self._config)
        except (ConfigError, OSError) as error:
            return str(error)
        meta, old = loaded.settings.meta, dict(self._meta)
        silent = [key for key, value in meta if value != old[key] and loaded.origin[f"meta.{key}"] == "default"]
        if _mark(self._file) != mark or (silent and mark != self._doubted):
            # cut off after any line it is a settings file still, one that says less: it has to stay so for a look
            self._doubted = mark
            return f"{self._file}: expected a whole settings file, saw one that is being written; let it be finished"
        if self._meta.enabled and ("enabled" in silent or (silent and not self._speaks(loaded))):
            # a full disk leaves an empty file, and that is to end no model, however long it stays so
            return (
                f"{self._file}: expected what it said of meta, saw nothing of it; until then all serves on as it "
                "did: put it back, or write meta.enabled: false"
            )
        self._meta, self._taken = meta, mark
        return ""

    def _speaks(self, loaded: Loaded) -> bool:
        """Whether the settings file says anything of the section `meta`."""
        said = (loaded.origin[f"meta.{key}"] for key, _ in loaded.settings.meta)
        return any(origin.startswith(f"{self._file.name}:") for origin in said)

    def _look_at_version(self) -> str:
        """Load the version that is to serve, where it is another; what is wrong with it."""
        meta, now = self._meta, self._serving
        if not meta.enabled:
            self._followed = None
            self._serving = now if now.champion is None and now.why == NONE else _Serving(None, NONE)
            return ""
        named = (meta.dir, meta.version, None if meta.version else _mark(meta.dir / CURRENT))
        if named == self._followed:
            return ""
        try:
            name = meta.version or Versions(meta.dir).current()
            if now.champion is None or (now.champion.name, now.champion.home) != (name, meta.dir):
                champion = served(self._start.model_copy(update={"meta": meta}), name)
                if champion is not None:
                    champion.prepare()  # here, and not where signals wait
                self._serving = _Serving(champion, "")
        except (ConfigError, DataError, OSError) as error:
            if now.champion is not None:
                return f"{error}; until then {now.champion.name} serves"
            self._serving = now if now.why == NOT_LOADED else _Serving(None, NOT_LOADED)
            return str(error)
        self._followed = named
        return ""


def _mark(path: Path) -> Mark:
    """The mark of a file; None also where it may not be looked at, which whoever reads it will say."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_size
