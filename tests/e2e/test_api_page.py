"""Each curl line of docs/api.md runs, with the status and the answer that the page has; it names all that there is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

from ml.learning.artifact import parts_of
from tests.apis import TOKEN, Api, served
from tests.e2e.support import like_bitcoin, write
from tests.ml.models import judging
from tests.places import ROOT
from utils.http.problem import Kind
from utils.records.versions import Versions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine"),
]

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
#: Blocks of lines for a shell, each with what follows directly below it.
BLOCKS = re.findall(r"```sh\n(.*?)```\n(?:```(?:json)?\n(.*?)```)?", PAGE, re.DOTALL)
LINES = [line for block, _ in BLOCKS for line in block.splitlines() if line.startswith("curl ")]
ANSWERS = [(block.splitlines()[-1], json.loads(below)) for block, below in BLOCKS if below.startswith("{")]
#: The section about refusals; its table has the status of each kind of error.
REFUSALS = PAGE[PAGE.index("\n## What else may come") :].partition("\n## ")[2].partition("\n## ")[0]
STATUSES = {
    kind: [int(status) for status in numbers.split(",")]
    for numbers, kinds in re.findall(r"^\| ([\d, ]+) \| ([^|]*) \|", REFUSALS, re.MULTILINE)
    for kind in re.findall(r"`(\w+)`", kinds)
}
#: What is said of a model that serves.
(JUDGED,) = [json.loads(text) for text in re.findall(r"```json\n(\{\"model\": \"2.*?)```", PAGE, re.DOTALL)]
#: How curl says that its time is over: a stream has no end.
OVER = 28


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tape that ends with a long signal, and a settings file that switches a version off which takes everything."""
    folder = tmp_path_factory.mktemp("page")
    write(like_bitcoin(3_931), folder / "BTCUSDT-5m.parquet")
    versions = Versions(folder / "models")
    versions.make_current(versions.write(parts_of(judging(-1e9)), {"what": "by hand"}, 1_700_000_000 * 10**9))
    (folder / "config.yaml").write_text("meta:\n  enabled: false\n  dir: models\n")
    return folder


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[Api]:
    """The service on that tape, for this machine alone, once its machine code is there."""
    names = {"SCALPER__API__SOURCE": "tape:BTCUSDT-5m.parquet", "SCALPER_CONFIG": "config.yaml"}
    with served(folder, SCALPER__SECRETS__API_TOKEN="", SCALPER__META__DIR="", **names) as api:
        api.until("/signal/BTCUSDT?tf=5m", lambda answer: answer.status_code == 200)
        yield api


class Ran(NamedTuple):
    """What became of a line."""

    code: int
    out: str
    status: int


def run(line: str, api: Api, *, seconds: int = 30) -> Ran:
    """Exit code, output and HTTP status of a line of the page."""
    flags = f"-sS -m {seconds} -w '\\n%{{http_code}}'"
    command = line.replace("localhost:8000", f"localhost:{api.port}").replace("curl ", f"curl {flags} ", 1)
    env = {**os.environ, "SCALPER__SECRETS__API_TOKEN": TOKEN}
    done = subprocess.run(["/bin/sh", "-c", command], env=env, capture_output=True, text=True, check=False)
    assert not done.stderr or done.returncode == OVER, done.stderr
    out, _, status = done.stdout.rpartition("\n")
    return Ran(done.returncode, out, int(status))


def statuses(line: str, answer: str) -> list[int]:
    """The statuses that the page has for a line: 200, and in the section about refusals what its table says."""
    return STATUSES[json.loads(answer)["error"]["kind"]] if line in REFUSALS else [200]


def told(sample: Any, seen: Any) -> bool:
    """Whether a sample is cut from what was seen; numbers are rounded in it."""
    if isinstance(sample, dict):
        return isinstance(seen, dict) and all(key in seen and told(sample[key], seen[key]) for key in sample)
    if isinstance(sample, list):
        return isinstance(seen, list) and len(sample) == len(seen) and all(map(told, sample, seen))
    if isinstance(sample, float):
        return bool(seen == pytest.approx(sample, abs=0.0005))
    return bool(sample == seen)


@pytest.mark.parametrize("line", [line for line in LINES if " -N " not in line])
def test_a_line_is_answered(api: Api, line: str) -> None:
    ran = run(line, api)
    assert (0, True) == (ran.code, bool(ran.out.strip()))
    assert ran.status in statuses(line, ran.out), ran.out


def test_the_section_about_refusals_has_lines_and_a_status_of_each_kind() -> None:
    assert any(line in REFUSALS for line in LINES)
    assert ([404], [503]) == (STATUSES["unknown"], STATUSES["too_slow"])
    assert not [line for line in LINES if line in REFUSALS and PAGE.count(line) > 1]


@pytest.mark.parametrize(("line", "sample"), ANSWERS, ids=[line for line, _ in ANSWERS])
def test_what_stands_below_a_line_is_cut_from_its_answer(api: Api, line: str, sample: Any) -> None:
    seen = json.loads(run(line, api).out)
    assert told(sample, seen), seen


@pytest.mark.parametrize("line", [line for line in LINES if " -N " in line])
def test_a_stream_tells_what_stands_and_goes_on(api: Api, line: str) -> None:
    code, out, status = run(line, api, seconds=3)
    events = [block.splitlines() for block in out.split("\n\n")]
    names = [line for block in events for line in block if line.startswith("event: ")]
    assert (OVER, 200, "event: signal") == (code, status, names[-1])
    assert ("event: reset" in names) == ("Last-Event-ID" in line)  # its number is of another process
    data = next(line for block in events for line in block if line.startswith('data: {"symbol"'))
    shown = re.search(r"^data: (.*), \.\.\.$", PAGE, re.MULTILINE)
    assert shown is not None
    assert data.removeprefix("data: ").startswith(shown[1])


def test_a_reader_who_comes_back_is_not_told_again_what_it_had(api: Api) -> None:
    _, out, _ = run("curl -N 'http://localhost:8000/signals/stream?symbol=BTCUSDT&tf=5m'", api, seconds=2)
    (last,) = set(re.findall(r"^id: (.*)$", out, re.MULTILINE))
    again = f"curl -N -H 'Last-Event-ID: {last}' 'http://localhost:8000/signals/stream?symbol=BTCUSDT&tf=5m'"
    assert "event:" not in run(again, api, seconds=2).out


def test_the_page_names_every_figure(api: Api) -> None:
    out = run("curl 'http://localhost:8000/metrics'", api).out
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", out, re.MULTILINE))
    there = {name for name in kinds if name.startswith("scalper_") and not name.endswith("_created")}
    assert there == set(re.findall(r"`(scalper_\w+)`", PAGE))


def test_the_page_names_every_path_and_every_kind_of_error(api: Api) -> None:
    paths = json.loads(run("curl 'http://localhost:8000/openapi.json'", api).out)["paths"]
    named = set(re.findall(r"http://localhost:8000(/[\w/]*)", PAGE))
    for path in paths:
        assert path == "/" or any(one.startswith(path.partition("{")[0].rstrip("/")) for one in named), path
    assert set(get_args(Kind)) == STATUSES.keys()


def test_a_model_that_is_switched_on_is_told_within_seconds(api: Api, folder: Path) -> None:
    """From here on the service has a model."""
    (folder / "config.yaml").write_text("meta:\n  enabled: true\n  dir: models\n")
    end = time.monotonic() + 30.0
    while not (seen := json.loads(run(LINES[0], api).out))["model"] and time.monotonic() < end:
        time.sleep(0.1)
    assert re.fullmatch(r"20231114T221320Z-[0-9a-f]{12}", seen["model"])
    assert told(JUDGED | {"model": seen["model"]}, seen), seen
    assert f'version="{seen["model"]}"' in run("curl 'http://localhost:8000/metrics'", api).out


def test_a_model_that_is_to_serve_and_is_not_there_is_told(api: Api, folder: Path) -> None:
    """The one that serves goes on serving; both are said."""
    before = json.loads(run("curl 'http://localhost:8000/model'", api).out)["serving"]["version"]
    (folder / "config.yaml").write_text(
        "meta:\n  enabled: true\n  dir: models\n  version: 20200101T000000Z-000000000000\n"
    )
    seen = api.until("/model", lambda answer: answer.json()["problem"]).json()
    assert (True, "20200101T000000Z-000000000000", before) == tuple(
        seen["serving"]["version"] if key == "serving" else seen[key] for key in ("enabled", "frozen", "serving")
    )
    health = api.get("/health").json()
    assert ("ok", True) == (health["status"], f"until then {before} serves" in str(health["notes"]))


def test_a_service_with_a_token_answers_its_bearer_alone(folder: Path) -> None:
    (line,) = [line for line in LINES if "Bearer" in line]
    with served(folder, SCALPER__API__SOURCE="tape:BTCUSDT-5m.parquet") as api:
        api.until("/signal/BTCUSDT?tf=5m", lambda answer: answer.status_code == 200)
        assert (200, "BTCUSDT") == ((ran := run(line, api)).status, json.loads(ran.out)["symbol"])
        without = run(LINES[0], api)
        assert "token_missing" == json.loads(without.out)["error"]["kind"]
        assert [without.status] == STATUSES["token_missing"]
        assert TOKEN not in api.log.read_text()


def test_others_are_not_served_without_a_token(folder: Path) -> None:
    (line,) = [line for block, _ in BLOCKS for line in block.splitlines() if "--host 0.0.0.0" in line]
    command = line.partition(" ")[2].split()  # without its token
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SCALPER__API__SOURCE": "tape:BTCUSDT-5m.parquet"}
    env |= {"PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    assert "uvicorn" == command[command.index("uvicorn")]
    done = subprocess.run(
        command[command.index("uvicorn") :], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "expected a token where others than this machine can ask" in done.stderr
    assert "Traceback" not in done.stderr
