"""The API as a user starts it: what it answers, to whom, how it begins and how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from exec.advice import Answer
from exec.live.health import Health
from model.status import ModelStatus
from tests.apis import TOKEN, UVICORN, box, free_port, served
from tests.e2e.support import frame_of, write
from tests.places import ROOT
from utils.http.problem import Problem

BARS = 600
PATHS = ("/", "/signal/MOCKUSDT?tf=1m", "/signals/stream", "/health", "/model", "/metrics", "/docs", "/openapi.json")


def tape_in(folder):
    """Where markets come from: a file of the mock market."""
    return f"tape:{write(frame_of(BARS), folder / 'MOCKUSDT-1m.csv')}"


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """It serves a recording; its folder has a `.env`."""
    folder = tmp_path_factory.mktemp("api")
    (folder / ".env").write_text("SCALPER__MARKET__TIMEFRAME=1m\n")
    with served(folder, SCALPER__API__SOURCE=tape_in(folder), SCALPER__API__HEARTBEAT_S="0.5") as one:
        one.until("/signal/MOCKUSDT?tf=1m", lambda seen: seen.status_code == 200)
        yield one


def problem(response):
    """Kind of a refusal, whose form is that of the schema."""
    assert "application/json" == response.headers["content-type"]
    return Problem.model_validate_json(response.text).error.kind


def events_of(api, path, enough, **headers):
    """Fields of the first events of a stream, until there are enough."""
    found, fields = [], {}
    given = {"Authorization": f"Bearer {TOKEN}"} | headers
    with httpx.stream("GET", api.url + path, headers=given, timeout=60.0) as response:
        assert 200 == response.status_code, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        for line in response.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                found.append(fields)
                fields = {}
            if len(found) == enough:
                return found
    raise AssertionError(found)


# --- answers


def test_a_signal_is_an_answer_and_says_that_there_is_no_model(api):
    response = api.get("/signal/MOCKUSDT?tf=1m")
    answer = Answer.model_validate_json(response.text)
    assert ("MOCKUSDT", "1m", None, None, 0.0) == (
        answer.symbol, answer.timeframe, answer.p_win, answer.expected_bps, answer.size.qty,
    )  # fmt: skip
    assert "model=none" in answer.reasons
    assert "tape:MOCKUSDT-1m.csv" == answer.source
    assert ("application/json", "no-store") == (response.headers["content-type"], response.headers["cache-control"])


@pytest.mark.parametrize(
    "path",
    [
        "MOCK/USDT:USDT?tf=1m",
        "MOCK%2FUSDT%3AUSDT?tf=1m",
        "MOCK/USDT?tf=1m",
        "mock-usdt?tf=1m",
        "MOCK-USDT-SWAP?tf=1m",
        "MOCKUSDT",
        "MOCKUSDT?tf=",
        "%20mockusdt%20?tf=%201m",
    ],
)
def test_a_symbol_may_be_spelled_as_users_spell_it_and_the_timeframe_has_a_default(api, path):
    assert api.get(f"/signal/{path}").content == api.get("/signal/MOCKUSDT?tf=1m").content


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/signal/ETHUSDT?tf=1m", 404, "unknown"),
        ("/signal/MOCKUSDT?tf=7m", 404, "unknown"),
        ("/signal/MOCKUSDT?tf=1M", 404, "unknown"),
        ("/signal/BTCUSDT_240329", 404, "unknown"),
        ("/signal/", 404, "unknown"),
        ("/signal/..%2f..%2fetc%2fpasswd", 404, "unknown"),
        ("/signal/%00%1b%5b31m", 404, "unknown"),
        ("/signal/" + "A" * 65, 422, "invalid"),
        ("/signal/MOCKUSDT?tf=123456789", 422, "invalid"),
        ("/signals/stream?symbol=ETHUSDT", 404, "unknown"),
        ("/signals/stream?" + "symbol=MOCKUSDT&" * 33, 422, "invalid"),
        ("/signal/MOCKUSDT?timeframe=1h", 422, "invalid"),
        ("/signal/MOCKUSDT?tf=1m&tf=5m", 422, "invalid"),
        ("/signal/MOCKUSDT?tf=1m&first=1", 422, "invalid"),
        ("/signals/stream?tf=9x", 422, "invalid"),
        ("/signals/stream?tf=1m", 422, "invalid"),
        ("/signals/stream?symbols=MOCKUSDT", 422, "invalid"),
        ("/health/", 404, "no_such_path"),
        ("/nowhere", 404, "no_such_path"),
        ("/signal/MOCKUSDT?q=" + "a" * 3_000, 414, "address_too_long"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_reason(api, path, status, kind):
    response = api.get(path)
    assert (status, kind) == (response.status_code, problem(response))
    assert response.text.isprintable()


def test_an_unknown_parameter_is_named_with_those_that_are_known(api):
    for _ in range(2):  # also beside an answer that is at hand
        assert 200 == api.get("/signal/MOCKUSDT?tf=1m").status_code
        said = api.get("/signal/MOCKUSDT?timeframe=1h").json()["error"]["message"]
        assert "query: expected tf, once, saw 'timeframe'" == said


def test_an_unknown_symbol_names_what_is_known(api):
    assert "MOCKUSDT at 1m" in api.get("/signal/ETHUSDT").json()["error"]["message"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_only_get_is_known(api, method):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    response = httpx.request(method, f"{api.url}/signal/MOCKUSDT", headers=headers)
    assert (405, "GET") == (response.status_code, response.headers["allow"])


def test_a_body_is_refused(api):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    response = httpx.request("GET", f"{api.url}/health", headers=headers, content=b"{}")
    assert (413, "body_refused") == (response.status_code, problem(response))


def test_health_tells_of_every_market(api):
    found = Health.model_validate_json(api.get("/health").text)
    assert ("ok", [], [("MOCKUSDT", "1m", "tape", True)]) == (
        found.status, found.reasons, [(one.symbol, one.timeframe, one.state, one.fresh) for one in found.markets],
    )  # fmt: skip


def test_the_model_that_serves_is_told(api):
    found = ModelStatus.model_validate_json(api.get("/model").text)
    assert (None, False, False) == (found.serving, found.enabled, found.retrain.enabled)


def test_the_first_page_names_the_routes(api):
    page = api.get("/")
    assert page.headers["content-type"].startswith("text/plain")
    for path in ("/signal/", "/signals/stream", "/health", "/health/live", "/model", "/metrics", "/docs"):
        assert path in page.text


# --- figures and the schema


def figures(api):
    """Every figure by name and labels."""
    families = text_string_to_metric_families(api.get("/metrics").text)
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples
    }


def test_figures_are_read_by_prometheus_and_count_requests_by_route(api):
    route, ok = ("route", "/signal/{symbol}"), ("status", "200")
    before = figures(api)["scalper_http_requests_total", route, ok]
    for _ in range(3):
        api.get("/signal/MOCKUSDT?tf=1m")
    found, market = figures(api), [("symbol", "MOCKUSDT"), ("timeframe", "1m")]
    assert before + 3 == found["scalper_http_requests_total", route, ok]
    assert 1.0 == found["scalper_market_state", ("state", "tape"), *market]
    assert (1.0, 0.0) == (found["scalper_market_fresh", *market], found["scalper_market_bar_age_seconds", *market])
    assert ("scalper_market_book_age_seconds", *market) not in found
    assert found[("process_resident_memory_bytes",)] > 1e7
    assert 0.0 == found[("scalper_retrain_running",)]


def test_no_path_of_a_client_is_a_label(api):
    api.get("/nowhere/at/all")
    assert {"none", "refused"} | set(schema(api)["paths"]) >= {
        dict(labels).get("route", "none") for _, *labels in figures(api)
    } - {"/docs", "/openapi.json"}


def schema(api):
    return api.get("/openapi.json").json()


def test_what_was_answered_before_is_answered_from_what_is_at_hand_to_the_same_bytes(api):
    first, *others = [api.get("/signal/MOCK-USDT?tf=1m").content for _ in range(3)]
    assert [first, first] == others
    assert [422, 404] == [api.get(f"/signal/MOCK-USDT?tf={tf}").status_code for tf in ("1m" * 9, "1m2")]


def test_the_schema_names_every_route_every_status_and_only_what_is_there(api):
    found = schema(api)
    assert {"/", "/signal/{symbol}", "/signals/stream", "/health", "/health/live", "/model", "/metrics"} == set(
        found["paths"]
    )
    text = json.dumps(found)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in found["components"]["schemas"]
    for path, methods in found["paths"].items():
        assert ["get"] == list(methods)
        assert {"200", "401", "403", "405", "413", "414", "429", "431", "500", "503"} <= set(
            methods["get"]["responses"]
        ), path
    assert {"404", "422"} <= set(found["paths"]["/signal/{symbol}"]["get"]["responses"])
    assert ["text/event-stream"] == list(found["paths"]["/signals/stream"]["get"]["responses"]["200"]["content"])
    assert ([{"token": []}], []) == (found["security"], found["paths"]["/health/live"]["get"]["security"])


# --- who may ask


@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_nothing_but_life_is_told(api, path):
    response = httpx.get(api.url + path)
    assert (401, "token_missing", "Bearer") == (
        response.status_code, problem(response), response.headers["www-authenticate"],
    )  # fmt: skip
    assert {"status": "alive"} == httpx.get(api.url + "/health/live").json()


def test_the_token_stands_in_no_answer_and_in_no_log(api):
    for path in (*PATHS[:2], *PATHS[3:], "/nowhere", f"/signal/{TOKEN}", "/signal/ETHUSDT"):
        assert TOKEN not in api.get(path).text
    httpx.get(api.url + "/", headers={"Authorization": f"Bearer {TOKEN}x"})
    assert TOKEN not in api.log.read_text()


def test_at_start_it_is_said_who_may_ask(api):
    assert "granted: whoever has the token may ask" in api.log.read_text()


@pytest.mark.slow
def test_without_a_token_this_machine_may_ask_by_its_own_name_alone(tmp_path):
    environment = {
        "SCALPER__API__SOURCE": tape_in(tmp_path),
        "SCALPER__API__RATE_PER_S": "2",
        "SCALPER__API__BURST": "3",
    }
    with served(tmp_path, **environment, SCALPER__SECRETS__API_TOKEN="") as api:
        url = api.url
        assert 200 == httpx.get(url + "/").status_code
        evil = httpx.get(url + "/", headers={"host": "evil.example"})
        assert (403, "not_local") == (evil.status_code, problem(evil))
        answers = [httpx.get(url + "/health") for _ in range(3)]
        assert (429, "too_many_requests") == (answers[2].status_code, problem(answers[2]))
        assert int(answers[2].headers["retry-after"]) >= 1
    assert "granted: only this machine may ask, without a token" in (tmp_path / "served.log").read_text()


# --- how it begins


@pytest.mark.parametrize(
    ("flags", "environment", "said"),
    [
        (["--host", "0.0.0.0"], {}, "served at 0.0.0.0: expected a token"),  # noqa: S104
        pytest.param(["--host", ""], {}, "served at all addresses: expected a token", marks=pytest.mark.slow),
        pytest.param(["--host=::"], {}, "served at ::: expected a token", marks=pytest.mark.slow),
        pytest.param([], {"UVICORN_HOST": "::"}, "served at ::: expected a token", marks=pytest.mark.slow),
        ([], {"SCALPER__SECRETS__API_TOKEN": "sh0rt"}, "SCALPER__SECRETS__API_TOKEN"),
        pytest.param(
            [],
            {"AUTO_RETRAIN": "1", "SCALPER__META__DIR": "models"},
            "meta.dir: expected it to be set in the settings file alone, saw it in environment SCALPER__META__DIR",
            marks=pytest.mark.slow,
        ),
        pytest.param([], {"SCALPER__API__BURST": "none"}, "SCALPER__API__BURST", marks=pytest.mark.slow),
        pytest.param([], {"SCALPER_CONFIG": "nowhere.yaml"}, "nowhere.yaml", marks=pytest.mark.slow),
        pytest.param([], {"SCALPER__API__SOURCE": "tape:nowhere.csv"}, "nowhere.csv", marks=pytest.mark.slow),
    ],
)
def test_a_start_that_cannot_be_is_one_sentence_and_an_exit_code(flags, environment, said, tmp_path):
    done = subprocess.run(
        [*UVICORN, str(free_port()), *flags],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=100.0,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    assert (3, 2) == (done.returncode, len(lines)), done.stderr
    assert said in lines[0]
    assert "Traceback" not in done.stderr
    assert "sh0rt" not in done.stderr


@pytest.mark.slow
def test_an_address_for_others_is_served_with_a_token(tmp_path):
    with served(tmp_path, UVICORN_HOST="0.0.0.0", SCALPER__API__SOURCE=tape_in(tmp_path)) as api:  # noqa: S104
        assert [401, 200] == [httpx.get(api.url + "/").status_code, api.get("/").status_code]


# --- the stream, and how all of it ends


def test_a_reader_hears_what_stands_and_comes_back_to_what_was_missed(api):
    _, event = events_of(api, "/signals/stream?symbol=MOCK/USDT&tf=1m", 2)
    assert ("signal", api.get("/signal/MOCKUSDT?tf=1m").json()) == (event["event"], json.loads(event["data"]))
    known, strange = event["id"], "e0-7"
    reset = events_of(api, "/signals/stream", 3, **{"Last-Event-ID": strange})[1]
    assert "reset" == reset["event"]
    assert [{"retry": "2000"}] == events_of(api, "/signals/stream", 1, **{"Last-Event-ID": known})


@pytest.mark.parametrize("path", ["/health", "/signals/stream"])
def test_a_request_behind_a_stream_whose_client_leaves_is_no_mistake(api, path):
    heads = [f"GET {each} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\r\n" for each in
             ("/signals/stream", path)]  # fmt: skip
    with socket.create_connection(("127.0.0.1", api.port)) as client:
        client.sendall("".join(heads).encode())
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert 1.0 <= figures(api)[("scalper_stream_readers",)]
    api.until("/metrics", lambda seen: "scalper_stream_readers 0.0" in seen.text)
    said = api.log.read_text()
    assert ("failed" in said, "Traceback" in said) == (False, False), said


def test_readers_have_a_number_and_the_end_does_not_wait_for_them(tmp_path):
    (tmp_path / "own.yaml").write_text("api: {max_streams: 4}\n")
    with served(tmp_path, SCALPER_CONFIG="own.yaml", SCALPER__API__SOURCE=tape_in(tmp_path)) as api:
        host, port = api.url.removeprefix("http://").split(":")
        readers = []
        for _ in range(4):
            reader = socket.create_connection((host, int(port)))
            head = f"GET /signals/stream HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
            reader.sendall(head.encode())
            readers.append(reader)
            assert b"200 OK" in reader.recv(65_536)
        full = api.get("/signals/stream")
        assert (503, "too_many_streams") == (full.status_code, problem(full))
        began = time.monotonic()
        api.process.terminate()
        api.process.wait(20.0)
        assert time.monotonic() - began < 2.0
        assert {True} == {reader.recv(65_536).endswith(b"0\r\n\r\n") for reader in readers}
        for reader in readers:
            reader.close()
    said = api.log.read_text()
    assert "Application shutdown complete" in said, said
    assert "Traceback" not in said


@pytest.mark.slow
def test_the_end_does_not_wait_for_who_waits_for_an_exchange_that_does_not_answer(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections, and says nothing
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        given = {"SCALPER__ENDPOINTS__BYBIT_REST": address, "SCALPER__MARKET__EXCHANGE": "bybit"}
        with served(tmp_path, SCALPER__API__SOURCE="rest", SCALPER__API__TIMEOUT_S="30", **given) as api:
            asking = ThreadPoolExecutor(1).submit(api.get, "/signal/BTCUSDT?tf=1m")
            api.until("/health", lambda seen: seen.json()["markets"] != [])
            began = time.monotonic()
            api.process.terminate()
            answer = asking.result(20.0)
            assert (503, "unavailable") == (answer.status_code, problem(answer))
            api.process.wait(20.0)
            assert time.monotonic() - began < 5.0
    assert "Traceback" not in api.log.read_text()


@pytest.mark.slow
def test_several_workers_serve_and_end(tmp_path):
    with served(tmp_path, UVICORN_WORKERS="2", SCALPER__API__SOURCE=tape_in(tmp_path)) as api:
        for _ in range(20):
            api.until("/signal/MOCKUSDT?tf=1m", lambda seen: seen.status_code == 200)
        began = time.monotonic()
        api.process.terminate()
        assert 0 == api.process.wait(20.0)
        assert time.monotonic() - began < 5.0


@pytest.mark.slow
def test_several_workers_are_refused_for_others_without_a_token_and_said_so_once_each(tmp_path):
    done = subprocess.run(
        [*UVICORN, str(free_port()), "--workers", "2", "--host", "0.0.0.0"],  # noqa: S104
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=100.0,
        check=False,
    )  # fmt: skip
    assert "expected a token" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_signals_come_from_an_exchange_as_its_candles_close(tmp_path):
    with (
        box("--speed", "60") as exchange,
        served(tmp_path, **exchange.environment, SCALPER__API__HEARTBEAT_S="0.5") as api,
    ):
        api.until("/signal/BTCUSDT?tf=1m", lambda seen: seen.status_code == 200)
        found = [one for one in events_of(api, "/signals/stream?symbol=BTCUSDT&tf=1m", 8) if "data" in one]
        closes = [json.loads(one["data"])["closed_at"] for one in found]
        assert (sorted(set(closes)), True) == (closes, len(closes) >= 3)


@pytest.mark.slow
def test_readers_are_told_of_an_outage_and_of_its_end(tmp_path):
    given = {"SCALPER__INGEST__STALE_S": "2", "SCALPER__INGEST__TIMEOUT_S": "2", "SCALPER__INGEST__RETRIES": "1"}
    with box() as exchange, served(tmp_path, **exchange.environment, **given) as api:
        api.until("/health", lambda seen: [] == seen.json()["markets"])
        api.until("/signal/BTCUSDT?tf=1m", lambda seen: seen.status_code == 200)
        found = []
        given = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.stream("GET", f"{api.url}/signals/stream", headers=given, timeout=120.0) as response:
            exchange.process.send_signal(signal.SIGSTOP)
            for line in response.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    found.append(value)
                if name == "data" and found[-1] == "stale":
                    told = json.loads(value)
                    assert "stale" == events_of(api, "/signals/stream", 2)[1]["event"]
                    exchange.process.send_signal(signal.SIGCONT)
                if found[-2:] == ["stale", "signal"]:
                    break
    assert (("BTCUSDT", "1m"), True) == ((told["symbol"], told["timeframe"]), told["reason"].startswith("BTCUSDT 1m: "))
    assert (["signal", "stale", "signal"]) == [
        each for each, after in zip(found, [*found[1:], ""], strict=True) if each != after
    ]


def test_the_process_starts_without_what_only_requests_need():
    heavy = ("pandas", "ccxt", "sklearn", "lightgbm", "matplotlib", "pyarrow", "aiohttp")
    told = f"import sys, app; print(sorted(set({heavy!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout
