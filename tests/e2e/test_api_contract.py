"""The API does what its schema says, whatever it is asked: schemathesis against a real server, all checks on."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.apis import TOKEN, served
from tests.e2e.support import frame_of, write

pytestmark = pytest.mark.slow

#: The stream has no end: whoever asks for it is told what came until then, s.
LONGEST_S = 1.5
#: That `tf` asks for a `symbol` beside it is a 422 which no schema of parameters can say.
KNOWN = """\
[parameters]
"path.symbol" = "BTCUSDT"
[[operations]]
include-path = "/signals/stream"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "422", "5xx"]
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    tape = write(frame_of(900, "5m"), folder / "BTCUSDT_5m.csv")
    with served(folder, SCALPER__API__SOURCE=f"tape:{tape}") as api:
        api.until("/signal/BTCUSDT?tf=5m", lambda seen: seen.status_code == 200)
        yield api


@pytest.mark.parametrize(
    ("config", "flags", "operations"),
    [(KNOWN, [], 7), ("", ["--include-path", "/signal/{symbol}"], 1)],
    ids=["known symbols", "any symbol"],
)
def test_schemathesis_finds_nothing(api, tmp_path, config, flags, operations):
    (tmp_path / "schemathesis.toml").write_text(config)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run"),
        *(f"{api.url}/openapi.json", "--header", f"Authorization: Bearer {TOKEN}", "--checks", "all"),
        *("--seed", "1", "--max-examples", "20", "--request-timeout", f"{LONGEST_S:g}", "--continue-on-failure"),
        *flags,
    ]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert re.search(rf"Tested: +{operations}\b", ran.stdout), ran.stdout
    passed = int(re.search(r"generated, (\d+) passed", ran.stdout)[1])
    assert passed >= 15 * operations
    assert api.get("/signal/BTCUSDT?tf=5m").status_code == 200


def test_all_that_can_be_asked_is_in_the_schema(api):
    schema = api.get("/openapi.json").json()
    assert {"/", "/signal/{symbol}", "/signals/stream", "/health", "/health/live", "/model", "/metrics"} == set(
        schema["paths"]
    )
    answer = schema["paths"]["/signal/{symbol}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["$ref"].endswith("/Answer")
