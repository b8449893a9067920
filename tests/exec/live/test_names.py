"""Names of an exchange: asked for once, remembered for a while, and not for ever."""

import asyncio
import threading

import pytest

from exec.live import names as shell
from exec.live.names import Names
from exec.live.standing import Later
from tests.boxes import PATIENCE_S, until
from utils.errors import ConfigError, DataUnavailable


class Listing:
    """An exchange that lists what a test says, when it says so."""

    def __init__(self, **known):
        self.known, self.asked, self.away = known, [], False
        self.answers = threading.Event()
        self.answers.set()

    def listing(self, symbol):
        self.asked.append(symbol)
        assert self.answers.wait(PATIENCE_S)
        if self.away:
            raise DataUnavailable("away")
        if symbol not in self.known:
            raise ConfigError(f"expected another, saw {symbol}")
        return self.known[symbol]


async def test_a_name_is_looked_up_once_however_many_ask():
    listing = Listing(BTCUSDC="BTCPERP")
    names = Names(listing)
    assert "BTCUSDC" == names.of("BTCUSDC")
    assert ["BTCPERP"] * 5 == await asyncio.gather(*(names.look_up("BTCUSDC") for _ in range(5)))
    assert ("BTCPERP", "BTCPERP") == (await names.look_up("BTCUSDC"), names.of("BTCUSDC"))
    assert ["BTCUSDC"] == listing.asked


async def test_a_stranger_is_refused_for_a_while_at_every_timeframe(monkeypatch):
    names = Names(Listing())
    names.check(("X", "1m"))
    with pytest.raises(ConfigError, match="saw X"):
        await names.look_up("X")
    for tf in ("1m", "5m"):
        with pytest.raises(ConfigError, match="saw X"):
            names.check(("X", tf))
    monkeypatch.setattr(shell, "REFUSED_S", -1.0)
    names.refuse(("X", ""), ConfigError("saw X"))
    names.check(("X", "1m"))


async def test_a_timeframe_is_refused_alone():
    names = Names(Listing())
    names.refuse(("X", "8h"), ConfigError("no 8h"))
    names.check(("X", "1m"))
    with pytest.raises(ConfigError, match="no 8h"):
        names.check(("X", "8h"))


async def test_an_exchange_that_does_not_answer_is_left_alone_for_a_while(monkeypatch):
    listing = Listing(X="X1")
    names = Names(listing)
    listing.away = True
    assert ["X", "Y"] == [await names.look_up("X"), await names.look_up("Y")]
    assert ["X"] == listing.asked
    listing.away = False
    names._away_s = 0.0
    assert "X1" == await names.look_up("X")


async def test_few_are_looked_up_at_once_and_one_after_the_other(monkeypatch):
    monkeypatch.setattr(shell, "MOST_LOOKED_UP", 2)
    listing = Listing(A="A", B="B", C="C")
    listing.answers.clear()
    names = Names(listing)
    waiting = [asyncio.create_task(names.look_up(name)) for name in "AB"]
    await until(lambda: listing.asked == ["A"])
    with pytest.raises(Later, match="too many symbols are being looked up"):
        await names.look_up("C")
    listing.answers.set()
    assert (["A", "B"], ["A", "B"]) == (await asyncio.gather(*waiting), listing.asked)
    assert "C" == await names.look_up("C")


async def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(shell, "MOST_NAMES", 3)
    names = Names(Listing())
    for k in range(6):
        names.learn(f"L{k}", "X")
        with pytest.raises(ConfigError):
            await names.look_up(f"N{k}")
    assert (["L3", "L4", "L5"], ["N3", "N4", "N5"]) == (list(names._listed), [name for name, _ in names._refused])


async def test_whoever_leaves_leaves_nothing_behind():
    listing = Listing()
    listing.answers.clear()
    names, before = Names(listing), asyncio.all_tasks()
    waiting = asyncio.create_task(names.look_up("X"))
    await until(lambda: listing.asked == ["X"])
    await names.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert before == asyncio.all_tasks()
    listing.answers.set()
