"""The box's command line: start it, print where it is, serve until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
from pathlib import Path

from ingest.box.faults.desk import REST_FAULTS, WS_FAULTS, Fault, read_script
from ingest.box.news import COINGECKO_DEMO_KEY, COINGECKO_PRO_KEY, CRYPTOPANIC_TOKEN
from ingest.box.served.server import ReplayServer
from ingest.mock.settings import PRESETS
from utils.errors import ConfigError
from utils.market.symbols import normalise_symbol
from utils.settings.sources import environment_name
from utils.shell.cli import Parser, amount, command, whole


def speed(text: str) -> float:
    """`max`, or a number."""
    return math.inf if text == "max" else amount(text)


def build_parser() -> Parser:
    """The flags of `python -m ingest.replay_server`."""
    parser = Parser(
        "python -m ingest.replay_server",
        "An exchange in a box on loopback: Binance USD-M and Bybit v5, REST and streams, from one market.",
        examples=(
            ("python -m ingest.replay_server --synthetic", "the mock market at the pace of the world"),
            ("python -m ingest.replay_server --symbols BTCUSDT --speed 60", "a minute of the exchange a second"),
            ("python -m ingest.replay_server --tape FILE.jsonl.zst", "play a recording"),
            ("python -m ingest.replay_server --list-faults", "what can go wrong, for --faults"),
        ),
    )
    add = parser.group("what it serves")
    add("--tape", type=Path, metavar="FILE", help="play a recording (.jsonl.zst)")
    add("--synthetic", action="store_true", help="the mock market (default)")
    add("--symbols", metavar="SYMBOLS", help="exchange ids, with commas (default: BTCUSDT,ETHUSDT, or all of the tape)")
    add("--seed", type=whole, metavar="N", help="seed of the mock market and of the faults (default: 7)")
    add("--preset", metavar="NAME", help=f"of the mock market: {', '.join(PRESETS)} (default: large-tick)")
    add("--history-hours", type=amount, metavar="H", help="candles before the start (default: 24)")
    add = parser.group("how it serves it")
    add(
        "--speed",
        type=speed,
        default=1.0,
        metavar="X",
        help="exchange seconds a second, 1 to 1000, or max (default: 1)",
    )
    add("--faults", type=Path, metavar="SCRIPT", help="JSON or YAML list of faults")
    add("--port", type=whole, default=0, metavar="N", help="port on 127.0.0.1 (default: any free one)")
    add = parser.group("output")
    add("--json", action="store_true", help="print the addresses as one JSON object")
    add("--list-faults", action="store_true", help="print what can go wrong, and exit")
    parser.add_argument("-v", "--verbose", action="store_true", help="with an error, its traceback")
    return parser


def run(flags: argparse.Namespace) -> int:
    """Do what the flags say."""
    if flags.list_faults:
        print(json.dumps({"ws": dict(WS_FAULTS), "rest": dict(REST_FAULTS)}) if flags.json else _fault_list())
        return 0
    if flags.tape and flags.synthetic:
        raise ConfigError("--tape: expected a recording or the mock market, saw both; leave one of them out")
    mock = {"--seed": flags.seed, "--preset": flags.preset, "--history-hours": flags.history_hours}
    given = [name for name, value in mock.items() if value is not None and name != "--seed"]
    if flags.tape and given:
        raise ConfigError(f"{given[0]}: it belongs to the mock market, and --tape names a recording; leave it out")
    if not (math.isinf(flags.speed) or 1 <= flags.speed <= 1000):
        raise ConfigError(f"--speed: expected 1 to 1000, or max, saw {flags.speed:g}; 1 is the pace of the world")
    if not 0 <= flags.port <= 65_535:
        raise ConfigError(f"--port: expected 0 to 65535, saw {flags.port}; 0 takes any free one")
    faults = read_script(flags.faults) if flags.faults else []
    asyncio.run(_serve(flags, faults))
    return 0


def _fault_list() -> str:
    groups = (("On streams", WS_FAULTS), ("On requests", REST_FAULTS))
    lines = [
        f"{title}:\n" + "\n".join(f"  {kind:22} {text}" for kind, text in group.items()) for title, group in groups
    ]
    return "\n".join(lines)


async def _serve(flags: argparse.Namespace, faults: list[Fault]) -> None:
    symbols = [normalise_symbol(name) for name in flags.symbols.split(",")] if flags.symbols else None
    box = ReplayServer(
        symbols,
        tape=flags.tape,
        seed=7 if flags.seed is None else flags.seed,
        preset=flags.preset or "large-tick",
        speed=flags.speed,
        faults=faults,
        port=flags.port,
        history_hours=24.0 if flags.history_hours is None else flags.history_hours,
    )
    try:
        await box.start()
    except OSError as error:
        raise ConfigError(f"--port: expected a free port, saw {flags.port} ({error.strerror}); name another") from None
    try:
        await box.ready()
        print(_as_json(box) if flags.json else _greeting(box, flags), flush=True)
        await box.serve()
    finally:
        await box.stop()


def _environment(box: ReplayServer) -> dict[str, str]:
    """Environment lines that point the product here."""
    addresses = box.endpoints.model_dump()
    return {environment_name(f"endpoints.{name}"): str(value) for name, value in addresses.items()}


def _as_json(box: ReplayServer) -> str:
    found = {
        "http": box.http,
        "ws": box.ws,
        "port": box.port,
        "symbols": list(box.exchange.symbols),
        "environment": _environment(box),
    }
    return json.dumps(found)


def _greeting(box: ReplayServer, flags: argparse.Namespace) -> str:
    source = f"the recording {flags.tape.name}" if flags.tape else "the mock market"
    pace = "as fast as it is read" if math.isinf(flags.speed) else f"{flags.speed:g} times real time"
    head = [
        f"An exchange in a box: {', '.join(box.exchange.symbols)} from {source}, {pace}. Ctrl-C ends it.",
        f"  Binance USD-M  {box.http}/fapi/v1/...   {box.ws}/public/ws, /market/ws, /stream?streams=...",
        f"  Bybit v5       {box.http}/v5/market/...  {box.ws}/v5/public/linear",
        f"  News           {box.http}/api/developer/v2/posts/, /api/v1/posts/, /api/v3/...",
        f"  Placeholder keys: {CRYPTOPANIC_TOKEN}, {COINGECKO_DEMO_KEY}, {COINGECKO_PRO_KEY}",
        "",
    ]
    return "\n".join(head + [f"export {name}={value}" for name, value in _environment(box).items()])


main = command(build_parser, run)
