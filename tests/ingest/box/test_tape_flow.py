"""A recorded tape as the box's market."""

import asyncio
import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from ingest.box.binance import ws as binance_ws
from ingest.box.bybit import ws as bybit_ws
from ingest.box.faults.desk import Desk, Fault
from ingest.box.floor.exchange import Exchange
from ingest.box.tape_flow import Tape
from ingest.box.topics import Topics
from ingest.replay_server import ReplayServer
from ingest.tapes.file import TapeReader
from tests.boxes import MIDNIGHT_NS, ListPeer
from tests.places import RECORDINGS
from utils.errors import DataError
from utils.rows import NS_PER_MS

LINEAR = RECORDINGS / "bybit_v5" / "linear_BTC_ETH_SOL_DOGE_20260809T2127_42s.jsonl.zst"
SUSHI = RECORDINGS / "binance_usdm" / "SUSHI_AKRO_KEEP_CTK_20210722T2225_30s.jsonl.zst"
BITCOIN = RECORDINGS / "binance_usdm" / "BTCUSDT_20240718T2357_480s.jsonl.zst"
MIDNIGHT = MIDNIGHT_NS // NS_PER_MS


def recorded(path: Path) -> Path:
    if not path.is_file():
        pytest.skip("the recordings are not on this machine")
    return path


def written(tmp_path: Path, *lines: tuple[float, Any, dict[str, Any]] | tuple[float, Any]) -> Path:
    """A tape of (ms after midnight, message, other keys of the line)."""
    rows = []
    for ms, message, *more in lines:
        text = json.dumps(message, separators=(",", ":"))
        keys = "".join(f',"{name}":{json.dumps(value)}' for name, value in (more[0] if more else {}).items())
        rows.append(f'{{"recv_ns":{MIDNIGHT_NS + round(ms * NS_PER_MS)}{keys},"msg":{text}}}\n')
    path = tmp_path / "tape.jsonl"
    path.write_text("".join(rows))
    return path


def book(ms: int, kind: str, u: int, bids: Any, asks: Any, depth: int = 200) -> dict[str, Any]:
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": u, "seq": 10 * u}
    stamps = {"ts": MIDNIGHT + ms, "cts": MIDNIGHT + ms - 1}
    return {"topic": f"orderbook.{depth}.BTCUSDT", "type": kind, "ts": stamps["ts"], "data": data, "cts": stamps["cts"]}


def trade(ms: int, side: str, price: str, size: str) -> dict[str, Any]:
    row = {"T": MIDNIGHT + ms, "s": "BTCUSDT", "S": side, "v": size, "p": price, "L": "PlusTick", "i": "x", "BT": False}
    return {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": MIDNIGHT + ms, "data": [row]}


BYBIT = (
    (50, book(10, "snapshot", 7, [["100.10", "1.5"], ["99.90", "2"]], [["100.30", "1"]])),
    (61, trade(40, "Buy", "100.30", "0.5")),
    (90, book(60, "delta", 8, [["100.10", "0"]], [["100.30", "0.5"]])),
    (95, {"success": True, "op": "subscribe"}),
    (150, book(120, "delta", 9, [["100.00", "3"]], [])),
)


class Played:
    """A tape behind both venues' streams, without a socket."""

    def __init__(self, path: Path, symbols: tuple[str, ...] | None = None) -> None:
        self.tape = Tape(path, symbols)
        self.exchange = Exchange(self.tape.symbols, self.tape.flow, self.tape.begin_ns, self.tape.lag_ns)
        self.desk = Desk(1)
        views = {"bybit": bybit_ws.build, "binance": binance_ws.build}
        self.topics = {
            venue: Topics(self.exchange, venue, self.desk, lambda name, view=view: view(self.exchange, name))
            for venue, view in views.items()
        }
        for topics in self.topics.values():
            topics.recorded = lambda name: self.tape.topic(self.exchange, name)
            self.exchange.listeners.append(topics)

    def hear(self, name: str) -> ListPeer:
        peer = ListPeer()
        self.topics["binance" if "@" in name else "bybit"].subscribe(peer, name)
        return peer

    def until(self, recv_ms: float) -> None:
        """Play the lines received until then."""
        while not self.exchange.advance(MIDNIGHT_NS + round(recv_ms * NS_PER_MS) - self.tape.lag_ns):
            pass


def test_the_clock_is_the_receive_time_less_the_smallest_lag(tmp_path):
    tape = Tape(written(tmp_path, *BYBIT), None)
    assert (("BTCUSDT",), 21 * NS_PER_MS) == (tape.symbols, tape.lag_ns)


def test_ticks_and_lots_are_what_divides_everything_on_the_tape(tmp_path):
    grid = Tape(written(tmp_path, *BYBIT), None).flow("BTCUSDT").market.grid
    assert (0.1, 0.5, "100.10", "1.5") == (float(grid.tick), float(grid.lot), grid.price(1001), grid.qty(3))


def test_the_tapes_own_topics_are_sent_as_they_were_recorded_and_when(tmp_path):
    played = Played(written(tmp_path, *BYBIT))
    heard = played.hear("orderbook.200.BTCUSDT")
    played.until(200)
    assert [BYBIT[0][1], BYBIT[2][1], BYBIT[4][1]] == heard.heard
    assert [50, 90, 150] == [(at - MIDNIGHT_NS) // NS_PER_MS for at in heard.times]


def test_who_comes_late_is_sent_the_book_so_far(tmp_path):
    played = Played(written(tmp_path, *BYBIT))
    played.until(100)
    heard = played.hear("orderbook.200.BTCUSDT")
    played.until(200)
    snapshot, delta = heard.heard
    data = {"s": "BTCUSDT", "b": [["99.90", "2"]], "a": [["100.30", "0.5"]], "u": 8, "seq": 80}
    assert ("snapshot", data, BYBIT[4][1]) == (snapshot["type"], snapshot["data"], delta)


def test_a_restart_of_a_recorded_stream_is_its_whole_book_with_u_1(tmp_path):
    played = Played(written(tmp_path, *BYBIT))
    played.desk.inject(Fault("restart", after=1), MIDNIGHT_NS)
    heard = played.hear("orderbook.200.BTCUSDT")
    played.until(200)
    data = {"s": "BTCUSDT", "b": [["99.90", "2"]], "a": [["100.30", "0.5"]], "u": 1, "seq": 80}
    assert [BYBIT[0][1]["data"], data, BYBIT[4][1]["data"]] == [message["data"] for message in heard.heard]


def test_topics_that_the_tape_does_not_hold_are_made_of_its_book_and_trades(tmp_path):
    played = Played(written(tmp_path, *BYBIT))
    fifty, candles = played.hear("orderbook.50.BTCUSDT"), played.hear("kline.1.BTCUSDT")
    depth, trades = played.hear("btcusdt@depth@100ms"), played.hear("btcusdt@trade")
    played.until(2_000)
    assert ["snapshot", "delta", "delta"] == [message["type"] for message in fifty.heard]
    assert [["100.00", "3.0"]] == fifty.heard[-1]["data"]["b"]
    assert ("100.3", "0.5") == tuple(candles.heard[-1]["data"][0][name] for name in ("close", "volume"))
    assert [["100.00", "3.0"]] == depth.heard[-1]["b"]
    assert [("100.30", "0.5", False)] == [tuple(event[key] for key in "pqm") for event in trades.heard]


def diff(ms: int, first: int, last: int, before: int, bids: Any) -> dict[str, Any]:
    event = {"e": "depthUpdate", "E": MIDNIGHT + ms, "T": MIDNIGHT + ms, "s": "BTCUSDT", "U": first, "u": last}
    return {"stream": "btcusdt@depth@0ms", "data": event | {"pu": before, "b": bids, "a": []}}


def print_of(ms: int, price: str, kind: str = "MARKET") -> dict[str, Any]:
    event = {"e": "trade", "E": MIDNIGHT + ms, "T": MIDNIGHT + ms, "s": "BTCUSDT", "t": ms, "p": price, "q": "1"}
    return {"stream": "btcusdt@trade", "data": event | {"X": kind, "m": True}}


BINANCE = (
    (10, diff(9, 90, 95, 89, [["100.0", "1"]])),
    (20, diff(19, 99, 105, 95, [["99.0", "2"]])),
    (
        25,
        {
            "lastUpdateId": 103,
            "E": MIDNIGHT + 22,
            "T": MIDNIGHT + 22,
            "bids": [["100.0", "5"]],
            "asks": [["101.0", "4"]],
        },
    ),
    (30, diff(29, 110, 112, 105, [["100.0", "0"]])),
    (40, print_of(39, "99.0")),
    (50, print_of(49, "90.0", "INSURANCE_FUND")),
)


def test_the_first_whole_book_is_there_from_the_start(tmp_path):
    played = Played(written(tmp_path, *BINANCE))
    market = played.exchange.market("BTCUSDT")
    assert (103, ["100.0", "101.0"]) == (
        market.update_id,
        [market.grid.price(side.best) for side in (market.bids, market.asks)],
    )


def test_only_what_comes_after_the_book_changes_it(tmp_path):
    played = Played(written(tmp_path, *BINANCE))
    market = played.exchange.market("BTCUSDT")
    sizes = []
    for ms in (15, 22, 27, 35):
        played.until(ms)
        sizes.append(({market.grid.price(k): v for k, v in market.bids.top(9).items()}, market.update_id))
    first, second = {"100.0": 5}, {"100.0": 5, "99.0": 2}
    assert [(first, 103), (second, 105), (second, 105), ({"99.0": 2}, 112)] == sizes


def test_update_ids_are_the_tapes_in_topics_it_does_not_hold(tmp_path):
    played = Played(written(tmp_path, *BINANCE))
    heard = played.hear("btcusdt@depth@100ms")
    played.until(300)
    (event,) = heard.heard
    assert (103, 99, 112) == (event["pu"], event["U"], event["u"])


def test_what_the_insurance_fund_does_is_no_trade(tmp_path):
    played = Played(written(tmp_path, *BINANCE))
    heard, made = played.hear("btcusdt@trade"), played.hear("publicTrade.BTCUSDT")
    played.until(100)
    assert (2, 1) == (len(heard.heard), len(made.heard))


def test_the_tape_has_an_end(tmp_path):
    played = Played(written(tmp_path, *BYBIT))
    played.hear("orderbook.200.BTCUSDT")
    seen = []
    for ms in (100, 200):
        played.until(ms)
        seen.append(played.tape.ended)
    assert [False, True] == seen


@pytest.mark.parametrize(("symbols", "message"), [(("ETHUSDT",), "expected the book of ETHUSDT, saw BTCUSDT")])
def test_a_symbol_that_is_not_on_the_tape_is_refused(tmp_path, symbols, message):
    with pytest.raises(DataError, match=message):
        Tape(written(tmp_path, *BYBIT), symbols)


def test_a_tape_without_a_book_is_refused(tmp_path):
    with pytest.raises(DataError, match="expected the book of some symbol, saw none"):
        Tape(written(tmp_path, BYBIT[1]), None)


def rebuilt(path: Path, symbol: str) -> tuple[dict[float, float], dict[float, float]]:
    """The last book of a symbol on a tape, put together in the plainest way."""
    sides: tuple[dict[float, float], dict[float, float]] = ({}, {})
    last_id, waiting = -1, []
    for line in TapeReader(path):
        if line.event not in {"", "http"}:
            continue
        message = json.loads(line.wire)
        data = message.get("data", message)
        if message.get("topic", "").startswith("orderbook") and data["s"] == symbol:
            if message["type"] == "snapshot":
                sides = ({}, {})
            _apply(sides, data["b"], data["a"])
        elif "lastUpdateId" in message and (f"symbol={symbol}" in line.url or not line.url):
            _apply(sides, message["bids"], message["asks"])
            last_id = message["lastUpdateId"]
            for event in waiting:
                if event["u"] >= last_id:
                    _apply(sides, event["b"], event["a"])
        elif isinstance(data, dict) and data.get("e") == "depthUpdate" and data["s"] == symbol:
            if last_id < 0:
                waiting.append(data)
            elif data["u"] >= last_id:
                _apply(sides, data["b"], data["a"])
    bids, asks = ({price: size for price, size in side.items() if size > 0} for side in sides)
    return bids, asks


def _apply(sides: tuple[dict[float, float], dict[float, float]], *changes: list[list[str]]) -> None:
    for side, levels in zip(sides, changes, strict=True):
        side.update({float(price): float(size) for price, size in levels})


@pytest.mark.parametrize(
    ("path", "symbol"),
    [(LINEAR, "BTCUSDT"), (LINEAR, "DOGEUSDT"), (SUSHI, "SUSHIUSDT"), (SUSHI, "CTKUSDT")],
    ids=lambda value: value if isinstance(value, str) else value.parent.name,
)
def test_a_recordings_book_is_the_markets(path, symbol):
    played = Played(recorded(path))
    market = played.exchange.market(symbol)
    while not played.tape.ended:
        played.exchange._pass(played.exchange.now + 10_000 * NS_PER_MS)
    bids, asks = rebuilt(path, symbol)
    assert bids == {
        float(market.grid.price(tick)): float(market.grid.qty(lots)) for tick, lots in market.bids.lots.items()
    }
    assert asks == {
        float(market.grid.price(-tick)): float(market.grid.qty(lots)) for tick, lots in market.asks.lots.items()
    }


def lines_of(path: Path, topic: str) -> Iterator[tuple[int, bytes]]:
    for line in TapeReader(path):
        if not line.event and f'"{topic}"'.encode() in line.wire[:200]:
            yield line.recv_ns, line.wire


async def test_a_live_run_on_a_recording_hears_what_was_recorded_stamped_as_it_was():
    path = recorded(LINEAR)
    topics = ["orderbook.200.BTCUSDT", "publicTrade.BTCUSDT", "tickers.BTCUSDT"]
    async with (
        ReplayServer(tape=path, speed=math.inf) as box,
        websockets.connect(f"{box.ws}/v5/public/linear?clock=tape", max_size=2**23) as ws,
    ):
        await ws.send(json.dumps({"op": "subscribe", "args": topics}))
        assert json.loads(await ws.recv())["success"]
        heard = []
        wanted = sorted(pair for topic in topics for pair in lines_of(path, topic))
        while len(heard) < len(wanted):
            clock = json.loads(await ws.recv())["clock"]
            heard.append((clock, (await ws.recv()).encode()))
    assert wanted == sorted(heard)
    assert [at for at, _ in heard] == sorted(at for at, _ in heard)


async def test_a_recording_of_binance_can_be_asked_for_as_bybit():
    path = recorded(SUSHI)
    async with ReplayServer(tape=path, symbols=("SUSHIUSDT",), speed=math.inf) as box, httpx.AsyncClient() as client:
        address = f"{box.http}/v5/market/orderbook?category=linear&symbol=SUSHIUSDT&limit=1"
        before = (await client.get(address)).json()["result"]
        assert ["7.6110", "6"] == before["b"][0]
        async with websockets.connect(f"{box.ws}/v5/public/linear", max_size=2**23) as ws:
            await ws.send('{"op":"subscribe","args":["orderbook.50.SUSHIUSDT"]}')
            while not box.ended:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ws.recv(), 0.1)
        bids, asks = rebuilt(path, "SUSHIUSDT")
        assert (max(bids), min(asks)) == tuple(side[0][0] for side in box.truth("SUSHIUSDT", 1))
