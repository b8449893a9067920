import os
import socket
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest
from pydantic import SecretStr

from ingest import checkup as look
from ingest.checkup import FAIL, MACHINE, OK, SETTING, WARN, Check
from ingest.rest.clock import ClockReading
from ingest.venues.facts import Listing
from ingest.wire.streams import BookView
from tests.boxes import PATIENCE_S
from tests.places import ROOT
from utils.config import load_settings
from utils.errors import DataUnavailable
from utils.records.versions import Versions
from utils.settings.tree import (
    EndpointSettings,
    IngestSettings,
    MetaSettings,
    RetrainSettings,
    SecretSettings,
    Settings,
)

NOW = datetime(2026, 1, 24, 12, tzinfo=UTC)
MS = 1_000_000
REQUIREMENTS = "# what we import\nnumpy>=2.2,<2.5  # arrays\nPyYAML[all]>=6.0,<7\n-e .\n"


def readings(*offsets_ms, rtt_ms=20.0):
    return [ClockReading(int(ms * MS), int(rtt_ms / 2 * MS), int(rtt_ms * MS), 0, 0.0) for ms in offsets_ms]


def listing(**other):
    known = {"symbol": "BTCUSDT", "id": "BTCUSDT", "unified": "BTC/USDT:USDT", "market": "bybit_linear"}
    rules = {"tick_size": 0.1, "lot_size": 0.001, "min_qty": 0.001, "min_notional": 5.0, "max_leverage": 100.0}
    rest = {"contract_size": 1.0, "status": "Trading", "active": True, "listed_ms": None}
    return Listing(**known | rules | rest | other)


def test_an_error_is_taken_apart_into_what_was_seen_and_what_to_do():
    error = DataUnavailable("x: expected a, saw b; first; wait")
    assert Check("rest", FAIL, "x: expected a, saw b; first", "wait", "exchange") == look.told(
        "rest", FAIL, error, "exchange"
    )
    assert Check("rest", WARN, "all is lost") == look.told("rest", WARN, DataUnavailable("all is lost"))


@pytest.mark.parametrize(
    ("versions", "status", "seen"),
    [
        ({"numpy": "2.4.1", "PyYAML": "6.0.3"}, OK, "2 packages as required"),
        ({"numpy": "2.2", "PyYAML": "6.0rc1"}, OK, "2 packages as required"),
        ({"numpy": "2.5.0", "PyYAML": "6.0"}, WARN, "numpy 2.5.0 (wanted: >=2.2,<2.5)"),
        ({"numpy": "2.1.9", "PyYAML": "6.0"}, WARN, "numpy 2.1.9"),
        ({"numpy": "2.4"}, FAIL, "without PyYAML"),
    ],
)
def test_packages_are_compared_with_the_requirements(versions, status, seen):
    check = look.check_python(REQUIREMENTS, versions.get)
    assert (status, True) == (check.status, seen in check.seen)
    assert (status != OK) == ("pip install -r requirements.txt" in check.fix)


def test_this_installation_is_as_required():
    check = look.check_python((ROOT / "requirements.txt").read_text(), look.installed)
    assert (OK, True) == (check.status, check.seen.startswith(f"3.{sys.version_info.minor}."))
    assert len([line for line in (ROOT / "requirements.txt").read_text().splitlines() if ">=" in line]) == int(
        check.seen.split()[1]
    )


def test_a_folder_need_not_exist_yet_and_none_is_made(tmp_path):
    check = look.check_disk("logs", tmp_path / "a" / "b")
    assert (OK, []) == (check.status, list(tmp_path.iterdir()))
    assert f"b{os.sep} can be written, " in check.seen


def test_a_folder_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    check = look.check_disk("logs", tmp_path / "file" / "logs")
    assert (FAIL, MACHINE, True) == (check.status, check.blame, "cannot be written" in check.seen)


def test_machine_code_of_live_books_is_kept():
    check = look.check_compiled()
    assert (OK, "machine code of live books is kept") == (check.status, check.seen.split(",")[0])


def test_the_time_zone_is_said_with_its_present_offset():
    check = look.check_time_zone(RetrainSettings(tz="Europe/Vienna"), NOW)
    assert (OK, "Europe/Vienna, now 13:00 (UTC+01:00); data and logs are UTC") == (check.status, check.seen)


def test_a_machine_without_time_zones_is_told_the_package():
    check = look.check_time_zone(RetrainSettings.model_construct(tz="Nowhere/Land"), NOW)
    assert (FAIL, MACHINE, "pip install tzdata") == (check.status, check.blame, check.fix)


def version(folder, age_h):
    """A version that was written some hours before NOW; its name."""
    return Versions(folder).write({"part.txt": b"x"}, {}, int((NOW.timestamp() - 3600 * age_h) * 1000) * MS)


def model(folder, *, enabled=True, auto=False, version=""):
    return look.check_model(
        MetaSettings(enabled=enabled, dir=folder, version=version), RetrainSettings(auto=auto, max_age_hours=24), NOW
    )


def test_a_model_that_serves_has_an_age(tmp_path):
    Versions(tmp_path).make_current(name := version(tmp_path, 2))
    assert Check("model", OK, f"{name} serves; it is 2.0 h old") == model(tmp_path)
    newer = version(tmp_path, 0.5)
    assert f"{name} serves; the newest, {newer}, is 0.5 h old" == model(tmp_path).seen
    assert f"{newer} serves, frozen; it is 0.5 h old" == model(tmp_path, version=newer).seen


def test_an_old_model_is_a_warning_where_one_serves_or_is_trained_daily(tmp_path):
    Versions(tmp_path).make_current(name := version(tmp_path, 25))
    check = model(tmp_path)
    assert (WARN, f"{name} serves; it is 25.0 h old") == (check.status, check.seen)
    assert "train again with ./scripts/retrain.sh, or raise retrain.max_age_hours (24)" == check.fix
    check = model(tmp_path, enabled=False, auto=True)
    assert (WARN, True) == (check.status, check.fix.startswith("start the API"))
    check = model(tmp_path, enabled=False)
    assert (OK, f"none serves (meta.enabled is off); the newest, {name}, is 25.0 h old") == (check.status, check.seen)


def test_a_machine_without_a_model_is_fit_unless_one_is_to_serve(tmp_path):
    check = model(tmp_path / "nowhere", enabled=False)
    assert (OK, "none serves (meta.enabled is off), none was trained yet") == (check.status, check.seen)
    version(tmp_path, 1)
    check = model(tmp_path)
    assert (FAIL, SETTING, True) == (check.status, check.blame, "no CURRENT in" in check.seen)


def test_a_damaged_version_fails_only_where_it_is_to_serve(tmp_path):
    Versions(tmp_path).make_current(name := version(tmp_path, 1))
    (tmp_path / name / "part.txt").write_text("y")
    check = model(tmp_path)
    assert (FAIL, MACHINE, True) == (check.status, check.blame, "part.txt with other bytes" in check.seen)
    assert OK == model(tmp_path, enabled=False).status
    (tmp_path / "CURRENT").write_text("v9")
    assert (FAIL, True) == (model(tmp_path).status, "saw 'v9'" in model(tmp_path).seen)


ASKED_FOR = "a-word-that-the-api-knows"


class Api(BaseHTTPRequestHandler):
    """Answers as the API does: by path and token."""

    answers: ClassVar[dict[str, tuple[int, str]]] = {}
    token: ClassVar[str] = ""

    def do_GET(self):
        status, body = self.answers.get(self.path, (404, "no"))
        if self.token and self.path == "/health" and self.headers["Authorization"] != f"Bearer {self.token}":
            status, body = 401, '{"error": {"message": "send a token"}}'
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def asked(answers, *, token="", ours=""):
    """What is said of an API that gives these answers."""
    kind = type("Kind", (Api,), {"answers": answers, "token": token})
    with HTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = Settings(secrets=SecretSettings(api_token=SecretStr(ours) if ours else None))
        (check,) = look.ask_api(settings, IngestSettings(timeout_s=PATIENCE_S), server.server_port)
        server.shutdown()
    assert "api" == check.name
    return check.status, check.seen.replace(str(server.server_port), "PORT"), check.fix


ALIVE = {"/health/live": (200, '{"status": "alive"}')}
WHERE = "alive at http://127.0.0.1:PORT, asks for"


@pytest.mark.parametrize(
    ("health", "status", "seen"),
    [
        ((200, "{}"), OK, "its data are fresh"),
        ((503, '{"reasons": ["BTCUSDT 5m: no bar for 7 min", "x"]}'), WARN, "BTCUSDT 5m: no bar for 7 min; x"),
        ((503, '{"error": {"message": "too slow"}}'), WARN, "status 503: too slow"),
        ((500, "<html>"), WARN, "status 500: no reason"),
        ((503, '{"reasons": ["\\u001b[31m red"]}'), WARN, "red"),
    ],
)
def test_the_api_says_how_its_data_are(health, status, seen):
    found = asked(ALIVE | {"/health": health})
    assert (status, True) == (found[0], seen in found[1])
    assert found[1].startswith(f"{WHERE} no token; ")
    assert "\x1b" not in found[1]


def test_an_api_with_a_token_is_asked_with_ours_and_shows_it_to_nobody():
    answers = ALIVE | {"/health": (200, "{}")}
    assert (OK, f"{WHERE} a token; none is set here, so that no more is known", "") == asked(answers, token=ASKED_FOR)
    assert (OK, f"{WHERE} a token; its data are fresh", "") == asked(answers, token=ASKED_FOR, ours=ASKED_FOR)
    status, seen, fix = asked(answers, token=ASKED_FOR, ours=ASKED_FOR[::-1])
    assert (WARN, False) == (status, ASKED_FOR in seen + fix or ASKED_FOR[::-1] in seen + fix)


@pytest.mark.parametrize("answers", [{}, {"/health/live": (200, "[]")}, {"/health/live": (200, "[" * 60_000)}])
def test_something_else_at_the_port_is_not_taken_for_the_api(answers):
    status, seen, fix = asked(answers)
    assert (WARN, True, True) == (status, seen.startswith("something else answers at"), "--api-port" in fix)


def test_an_api_that_does_not_run_is_no_fault():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    (check,) = look.ask_api(Settings(), IngestSettings(), port)
    assert (OK, True) == (check.status, f"uvicorn app:app --port {port} starts it" in check.seen)


def test_an_api_that_hangs_is_a_warning():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (check,) = look.ask_api(Settings(), IngestSettings(timeout_s=0.2), silent.getsockname()[1])
    assert (WARN, True) == (check.status, "expected an answer within 0.2 s" in check.seen)


def test_settings_say_where_they_came_from(tmp_path):
    (tmp_path / "own.yaml").write_text("market:\n  symbol: ETHUSDT\n")
    env = {"SCALPER__RISK__TAKE_BPS": "30", "SCALPER__RISK__STOP_BPS": "20"}
    (tmp_path / "dot").write_text("")
    loaded = load_settings(
        tmp_path / "own.yaml",
        env=env,
        dotenv=tmp_path / "dot",
        flags={"market.exchange": "binance"},
        flag_names={"market.exchange": "--exchange"},
    )
    check = look.check_settings(loaded)
    assert (OK, True) == (check.status, check.seen.endswith("known, 1 from own.yaml, 2 from environment"))
    (tmp_path / "empty.yaml").write_text("")
    assert look.check_settings(load_settings(tmp_path / "empty.yaml", env={}, dotenv=tmp_path / "dot")).seen.endswith(
        "known, all defaults"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_secrets_are_told_of_and_never_shown(tmp_path):
    secrets, dotenv = SecretSettings(cryptopanic_token=SecretStr("s3cr3t-value")), tmp_path / ".env"
    assert (OK, "CRYPTOPANIC_TOKEN set, COINGECKO_API_KEY not set, SCALPER__SECRETS__API_TOKEN not set") == (
        look.check_secrets(secrets, dotenv).status,
        look.check_secrets(secrets, dotenv).seen,
    )
    dotenv.touch(0o644)
    check = look.check_secrets(secrets, dotenv)
    assert (WARN, f"chmod 600 {dotenv}", False) == (check.status, check.fix, "s3cr3t" in check.seen)
    assert OK == look.check_secrets(SecretSettings(), dotenv).status
    dotenv.chmod(0o600)
    assert OK == look.check_secrets(secrets, dotenv).status


def test_an_address_that_is_not_the_services_own_is_told():
    assert OK == look.check_endpoints(EndpointSettings(), {}).status
    here = "http://127.0.0.1:8000"
    moved = EndpointSettings(bybit_rest=here, binance_rest=here, cryptopanic="https://proxy.example")
    origin = {"endpoints.bybit_rest": "environment A", "endpoints.binance_rest": ".env"}
    check = look.check_endpoints(moved, origin | {"endpoints.cryptopanic": "a.yaml:3"})
    seen = "not the services themselves: binance_rest, bybit_rest at 127.0.0.1:8000; cryptopanic at proxy.example"
    fix = "for real data, take these endpoints out of .env and the environment and a.yaml"
    assert (WARN, seen, fix) == (check.status, check.seen, check.fix)


def test_a_round_trip_is_held_against_the_delay_that_simulations_assume():
    fast = look.check_round_trip(readings(0, 0, 0), 50.0)
    assert (OK, "round trip 20 ms, 20 to 20 ms in 3 requests") == (fast.status, fast.seen)
    slow = look.check_round_trip(readings(0, rtt_ms=240.0), 50.0)
    assert (WARN, True) == (slow.status, slow.fix.startswith("set execution.entry_latency_ms to 120 or more"))


@pytest.mark.parametrize(
    ("offsets", "status", "seen"),
    [
        ((3, -2, 4, 1, 2), OK, "2 ms behind bybit, ± 10 ms, median of 5"),
        ((-249, -250, -251), OK, "250 ms ahead of bybit, ± 10 ms, median of 3"),
        ((251, 250, 300, 9000, 251), WARN, "251 ms behind bybit, ± 10 ms, median of 5; more than 250 ms"),
        ((-90_000,), WARN, "90000 ms ahead of bybit, ± 10 ms, median of 1; more than 250 ms"),
    ],
)
def test_a_clock_is_compared_by_the_median(offsets, status, seen):
    check = look.check_clock(readings(*offsets), 250.0, "bybit")
    assert (status, seen, status == WARN) == (check.status, check.seen, "NTP" in check.fix)


def test_a_listing_is_held_against_the_settings():
    ours = Settings().instrument("bybit_linear", "BTCUSDT")
    check = look.check_listing(listing(), ours)
    assert (OK, "BTCUSDT Trading: tick 0.1, lot 0.001, min_notional 5; fees maker 2, taker 5.5 bps") == (
        check.status,
        check.seen,
    )
    check = look.check_listing(listing(tick_size=0.5, min_notional=None, max_leverage=50.0), ours)
    assert (WARN, "under instruments.bybit_linear.BTCUSDT set tick: 0.5, max_leverage: 50") == (check.status, check.fix)
    unknown = Settings().instrument("bybit_linear", "DOGEUSDT")
    assert "set tick: 0.1, lot: 0.001, min_notional: 5" in look.check_listing(listing(symbol="DOGEUSDT"), unknown).fix
    assert FAIL == look.check_listing(listing(active=False, status="Closed"), ours).status


def view(bids, asks):
    return BookView("BTCUSDT", "live", "", 1, 1, 1, bids, asks)


def test_a_first_book_shows_its_spread():
    check = look.check_book(view(((99.0, 1.0),), ((101.0, 1.0), (102.0, 1.0))), 0.35)
    assert (OK, "first book after 0.3 s: 99 / 101 (200.00 bps), 1 and 2 levels") == (check.status, check.seen)
    assert WARN == look.check_book(view((), ((101.0, 1.0),)), 0.35).status
