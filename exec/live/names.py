"""What an exchange lists, and under which name: remembered, so that asking us again and again does not ask it again."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple, TypeAlias

from exec.live.following import History
from exec.live.standing import Later
from utils.errors import ConfigError, ScalperError
from utils.shell.aside import aside

#: What an exchange does not have is not asked for again for so long, s.
REFUSED_S = 60.0
#: Names that are remembered, of those that it lists, and of those that it does not.
MOST_NAMES = 1_000
#: An exchange that did not answer when it was asked what it lists is not asked that again for so long, s.
AWAY_S = 5.0
#: Symbols whose listing may be waited for at once.
MOST_LOOKED_UP = 32

#: A symbol and a timeframe.
Key: TypeAlias = tuple[str, str]


class Elsewhere(ConfigError):  # noqa: N818 - no error: it is followed under that name
    """An exchange lists a symbol under another name.

    Args:
        name: that one.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"it is listed as {name}")
        self.name = name


class _Refused(NamedTuple):
    """What an exchange does not have."""

    until_s: float  # by the loop's clock
    why: str


class Names:
    """The symbols of an exchange, as far as somebody has asked for them.

    Args:
        history: asks the exchange.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._listed: dict[str, str] = {}  # exchange ids, by the names that were asked for; oldest first
        self._refused: dict[Key, _Refused] = {}  # oldest first
        self._looking: dict[str, asyncio.Task[str]] = {}
        self._one_look = asyncio.Lock()
        self._away_s = 0.0  # until then the exchange is not asked, by the loop's clock

    def of(self, name: str) -> str:
        """The exchange id of a name; the name itself as long as nobody knows another."""
        return self._listed.get(name, name)

    def learn(self, name: str, listed: str) -> None:
        """A name stands for this exchange id."""
        self._listed[name] = listed
        _keep_newest(self._listed)

    def refuse(self, key: Key, error: ConfigError) -> None:
        """There is no such market, and will be none for a while; of no timeframe where that is empty."""
        self._refused[key] = _Refused(asyncio.get_running_loop().time() + REFUSED_S, str(error))
        _keep_newest(self._refused)

    def check(self, key: Key) -> None:
        """Refuse what was refused a moment ago.

        Raises:
            ConfigError: it was.
        """
        for one in ((key[0], ""), key):
            refused = self._refused.get(one)
            if refused is not None and asyncio.get_running_loop().time() < refused.until_s:
                raise ConfigError(refused.why)

    async def look_up(self, name: str) -> str:
        """The exchange id of a name; the name itself where the exchange does not answer.

        Raises:
            ConfigError: it lists none of that name.
            Later: too many wait for an answer.
        """
        if name in self._listed:
            return self._listed[name]
        task = self._looking.get(name)
        if task is None:
            if len(self._looking) >= MOST_LOOKED_UP:
                raise Later(f"{name}: too many symbols are being looked up; ask again", 2.0)
            task = self._looking[name] = asyncio.create_task(self._look_up(name))
            task.add_done_callback(lambda done: self._looked(name, done))
        return await asyncio.shield(task)

    async def aclose(self) -> None:
        """Wait for no more answers."""
        tasks = list(self._looking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _looked(self, name: str, done: asyncio.Task[str]) -> None:
        del self._looking[name]
        if not done.cancelled():
            done.exception()  # seen, though whoever asked may have left

    async def _look_up(self, name: str) -> str:
        loop = asyncio.get_running_loop()
        async with self._one_look:  # an exchange is asked for its list once, however many ask for a symbol of it
            if loop.time() < self._away_s:
                return name
            try:
                found = await aside(self._history.listing, name)
            except ConfigError as error:
                self.refuse((name, ""), error)
                raise
            except ScalperError:
                self._away_s = loop.time() + AWAY_S
                return name
            self.learn(name, found)
            return found


def _keep_newest(names: dict[Any, Any]) -> None:
    """Forget the oldest of too many."""
    while len(names) > MOST_NAMES:
        del names[next(iter(names))]
