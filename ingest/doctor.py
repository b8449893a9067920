"""Is this machine, and the exchange, fit to trade? `python -m ingest.doctor`.

One line for each thing looked at: OK, WARN or FAIL, what was seen, and what mends it. What is asked over the network is
asked at the same time, and ends with `--timeout`. Exit code 0 = nothing failed, 2 = a setting did, 1 = this machine,
3 = the exchange; of several the first in this order, as that is what to mend first.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.table import Table
from rich.text import Text

from ingest import checkup as look
from ingest.checkup import EXCHANGE, FAIL, MACHINE, OK, SETTING, WARN, Check
from ingest.venues.known import check_names
from utils.config import Loaded, load_settings
from utils.errors import ConfigError
from utils.market.symbols import normalise_symbol
from utils.root import ROOT
from utils.settings.tree import IngestSettings, Settings
from utils.shell.cli import INTERRUPTED, Parser, amount, command
from utils.shell.console import SafeConsole, progress_console
from utils.shell.log import setup_logging
from utils.shell.version import version

TIMEOUT_S = 15.0
#: In the order in which they should be mended.
EXIT_CODES = {SETTING: 2, MACHINE: 1, EXCHANGE: 3}
STYLES = {OK: "green", WARN: "yellow", FAIL: "bold red"}
#: Checks that wait for somebody else, by the job that makes them.
ASKED = (("rest", "clock", "symbol"), ("stream",), ("news",), ("api",))
#: Without these one can trade: of one that is late it is a warning that is due.
SPARE = frozenset({"news", "api"})
API_PORT = 8000


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(
        "python -m ingest.doctor",
        "Is this machine, and the exchange, fit for it? Sends no orders, changes nothing.",
        examples=(
            ("python -m ingest.doctor", "this machine, and the exchange of config.yaml"),
            ("python -m ingest.doctor --exchange binance --symbol ETHUSDT", "another exchange and market"),
            ("python -m ingest.doctor --timeout 60", "on a slow connection"),
            ("python -m ingest.doctor --api-port 8080", "an API that answers at another port"),
            ("python -m ingest.doctor --json", "one JSON object, for scripts"),
        ),
        exits=(
            "0 nothing failed",
            "1 this machine did, or we",
            "2 a setting or flag",
            "3 the exchange",
            f"{INTERRUPTED} Ctrl-C or SIGTERM",
        ),
    )
    add = parser.group("what is looked at")
    add("--exchange", metavar="NAME", help="binance or bybit (default: market.exchange)")
    add("--market-type", metavar="KIND", help="futures or spot (default: market.market_type)")
    add("--symbol", metavar="SYMBOL", help="exchange id (default: market.symbol)")
    add("--api-port", type=int, default=API_PORT, metavar="PORT", help=f"port of the API (default: {API_PORT})")
    add("--timeout", type=amount, default=TIMEOUT_S, metavar="S", help="longest wait for the network (default: 15 s)")
    add("--config", type=Path, metavar="PATH", help="settings file (default: config.yaml beside the program)")
    add = parser.group("output")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    add = parser.add_argument
    add("-v", "--verbose", action="count", default=0, help="log lines of what is tried; with an error, its traceback")
    return parser


def run(flags: argparse.Namespace) -> int:
    """Do what the flags say."""
    if not 1.0 <= flags.timeout <= 300.0:
        raise ConfigError(f"--timeout: expected 1 to 300 s, saw {flags.timeout:g}; choose a length between")
    if not 0 < flags.api_port < 2**16:
        raise ConfigError(f"--api-port: expected 1 to 65535, saw {flags.api_port}; choose the port of the API")
    if flags.verbose:
        setup_logging(flags.verbose)
    else:
        # what goes wrong stands in the table
        logging.getLogger().addHandler(logging.NullHandler())
    loaded, problem = settings_of(flags)
    checks = [] if problem is None else [problem]
    with nullcontext() if flags.json else progress_console().status("looking at this machine, asking the exchange …"):
        checks += examine(loaded, flags.timeout, flags.api_port, ask=problem is None)
    code = exit_code(checks)
    if flags.json:
        print(json.dumps(as_json(loaded.settings, checks, code), ensure_ascii=False))
    else:
        show(loaded.settings, checks, SafeConsole(sys.stdout, highlight=False))
    return code


def settings_of(flags: argparse.Namespace) -> tuple[Loaded, Check | None]:
    """The settings with the flags on top; where they are wrong, the defaults and what is wrong."""
    try:
        given = {
            "market.exchange": flags.exchange,
            "market.market_type": flags.market_type,
            "market.symbol": normalise_symbol(flags.symbol) if flags.symbol else None,
        }
        names = {key: f"--{key.rpartition('.')[2].replace('_', '-')}" for key in given}
        loaded = load_settings(flags.config, flags=given, flag_names=names)
        check_names(loaded)
    except ConfigError as error:
        fix = "correct it there; python run_simulation.py --show-config shows every setting"
        return Loaded(Settings(), {}), Check("settings", FAIL, str(error), fix, SETTING)
    return loaded, None


def examine(
    loaded: Loaded, timeout_s: float, api_port: int = API_PORT, *, ask: bool = True, root: Path = ROOT
) -> list[Check]:
    """All checks, in order; those over the network together take at most `timeout_s`.

    Args:
        loaded: the settings.
        timeout_s: longest wait for the network, s.
        api_port: where the API answers on this machine, if it runs.
        ask: False = look at this machine only, as the settings are wrong.
        root: folder of the program.
    """
    settings, now = loaded.settings, datetime.now(UTC)
    required = root / "requirements.txt"
    listed = required.read_text(encoding="utf-8") if required.is_file() else ""
    checks = [look.check_python(listed, look.installed)]
    if ask:
        checks += [
            look.check_settings(loaded),
            look.check_secrets(settings.secrets, Path(".env")),
            look.check_endpoints(settings.endpoints, loaded.origin),
        ]
    checks += [
        look.check_disk("logs", settings.logs.dir),
        look.check_disk("data", Path("data")),
        look.check_compiled(),
        look.check_time_zone(settings.retrain, now),
        look.check_model(settings.meta, settings.retrain, now),
    ]
    if not ask:
        seen = "not asked, as the settings are wrong"
        return [*checks, Check("exchange", WARN, seen, "mend the settings first, then look again")]
    hurried = in_a_hurry(settings.ingest, timeout_s)
    jobs = [partial(job, settings, hurried) for job in (look.ask_exchange, look.ask_stream, look.ask_news)]
    jobs.append(partial(look.ask_api, settings, hurried, api_port))
    return checks + together(dict(zip(ASKED, jobs, strict=True)), timeout_s)


def in_a_hurry(settings: IngestSettings, timeout_s: float) -> IngestSettings:
    """The settings with the patience of a doctor: two attempts, and an end before the whole examination's."""
    patience = {"timeout_s": min(settings.timeout_s, 0.4 * timeout_s), "retries": 2, "backoff_s": 0.1, "cache_s": 0.0}
    return settings.model_copy(update=patience | {"backoff_max_s": min(settings.backoff_max_s, 0.1 * timeout_s)})


def together(jobs: Mapping[tuple[str, ...], Callable[[], Iterator[Check]]], timeout_s: float) -> list[Check]:
    """Run jobs at the same time; of one that is not through by then, the checks it owes are `late`.

    Args:
        jobs: by the names of the checks each of them makes.
        timeout_s: longest wait for all of them, s.
    """
    found: dict[str, Check] = {}
    errors: list[BaseException] = []

    def work(job: Callable[[], Iterator[Check]]) -> None:
        try:
            found.update((check.name, check) for check in job())
        except BaseException as error:  # noqa: BLE001 - raised again below, in the thread that can say so
            errors.append(error)

    # daemons: one that hangs in a system call must not keep the program from ending
    threads = [threading.Thread(target=work, args=(job,), daemon=True) for job in jobs.values()]
    for thread in threads:
        thread.start()
    end = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    if errors:
        raise errors[0]
    return [found.get(name) or late(name, timeout_s) for names in jobs for name in names]


def late(name: str, timeout_s: float) -> Check:
    """A check that was not there in time; news and the API are no condition of trading."""
    fix = "check the connection, and whether a firewall or proxy stands between; or give it longer with --timeout"
    seen = f"no answer within {timeout_s:g} s"
    return Check(name, WARN, seen, fix) if name in SPARE else Check(name, FAIL, seen, fix, EXCHANGE)


def exit_code(checks: Sequence[Check]) -> int:
    """0 when nothing failed, else that of what to mend first."""
    failed = {check.blame for check in checks if check.status == FAIL}
    return next((code for blame, code in EXIT_CODES.items() if blame in failed), 0)


def as_json(settings: Settings, checks: Sequence[Check], code: int) -> dict[str, object]:
    """What `--json` prints."""
    market = settings.market
    return {
        "version": version(),
        "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "exchange": market.exchange,
        "market_type": market.market_type,
        "symbol": market.symbol,
        "exit_code": code,
        "checks": [asdict(check) for check in checks],
    }


def show(settings: Settings, checks: Sequence[Check], console: SafeConsole) -> None:
    """The table for people."""
    market = settings.market
    console.print(
        Text(f"hybrid-scalper {version()}: {market.symbol} on {market.exchange} {market.market_type}", "bold")
    )
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        seen = Text(check.seen)
        if check.fix:
            seen.append(f"\n→ {check.fix}", "cyan")
        table.add_row(Text(check.status, STYLES[check.status]), check.name, seen)
    console.print(table)
    console.print(Text(verdict(checks), STYLES[max((check.status for check in checks), key=[*STYLES].index)]))


def verdict(checks: Sequence[Check]) -> str:
    """The last line."""
    counts = {status: sum(check.status == status for check in checks) for status in STYLES}
    warned = f"{counts[WARN]} warning{'s' * (counts[WARN] != 1)}"
    if counts[FAIL]:
        whose = {SETTING: "a setting", MACHINE: "this machine", EXCHANGE: "the exchange"}
        first = next(check for check in checks if check.status == FAIL and EXIT_CODES[check.blame] == exit_code(checks))
        others = f", {warned}" if counts[WARN] else ""
        return f"Not fit: {counts[FAIL]} failed{others}. Begin with {whose[first.blame]}: {first.name}."
    return f"Fit, with {warned}." if counts[WARN] else "Fit."


main = command(build_parser, run)


if __name__ == "__main__":
    sys.exit(main())
