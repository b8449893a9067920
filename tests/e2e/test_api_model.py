"""What /model answers of a real service while its settings file is changed: what holds now, what needs a restart."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ml.learning.artifact import parts_of
from tests.apis import Api, served
from tests.e2e.support import like_bitcoin, write
from tests.ml.models import judging
from utils.records.versions import Versions
from utils.settings.edit import set_values

pytestmark = pytest.mark.slow
#: When the first version is written, s since 1970: not so long ago that a training were due.
BORN = int(time.time()) - 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tape, and two folders of versions: three in the one, two in the other; of each the last serves."""
    folder = tmp_path_factory.mktemp("model")
    write(like_bitcoin(3_000), folder / "BTCUSDT-5m.parquet")
    for name, seconds in (("models", (1, 2, 3)), ("others", (4, 5))):
        versions = Versions(folder / name)
        for second in seconds:
            said = {"what": f"number {second}"}
            versions.make_current(versions.write(parts_of(judging(float(second))), said, (BORN + second) * 10**9))
    (folder / "config.yaml").write_text(f"meta:\n  enabled: true\n  dir: {folder / 'models'}\n")
    return folder


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[Api]:
    """The service, which looks after its trainings and has none to begin today."""
    far = (datetime.now(UTC).hour + 12) % 24
    names = {"AUTO_RETRAIN": "1", "RETRAIN_DAILY_HOUR": str(far), "LOCAL_TZ": "UTC", "SCALPER__META__DIR": ""}
    with served(folder, SCALPER__API__SOURCE="tape:BTCUSDT-5m.parquet", **names) as api:
        yield api


def told(api: Api, **expected: Any) -> dict[str, Any]:
    """The answer once it says what is expected, which is within seconds."""

    def shown(seen: dict[str, Any]) -> dict[str, Any]:
        return seen | {key: (seen[key] or {}).get("version") for key in ("serving", "newest")}

    answer = api.until("/model", lambda seen: expected.items() <= shown(seen.json()).items(), 15.0).json()
    assert answer["serving"] is None or answer["serving"]["damage"] is None
    return answer


def test_what_holds_now_is_told_of_each_change(api: Api, folder: Path) -> None:
    one, two, three = Versions(folder / "models").names()
    four, five = Versions(folder / "others").names()
    config = folder / "config.yaml"
    told(api, enabled=True, frozen=None, serving=three, newest=None, before=two, problem="")
    set_values(config, {"meta.version": one})
    told(api, enabled=True, frozen=one, serving=one, newest=three, problem="")
    set_values(config, {"meta.enabled": False})
    off = told(api, enabled=False, frozen=one, serving=None, newest=three, problem="")
    assert off["why"].startswith("no version serves: meta.enabled is off")
    set_values(config, {"meta.enabled": True, "meta.version": "", "meta.dir": str(folder / "others")})
    moved = told(api, enabled=True, frozen=None, serving=five, newest=None, before=four)
    assert f"expected {folder}/models, for which this process trains by itself, saw {folder}/others" in moved["problem"]
    assert moved["problem"].endswith("restart it, and trainings follow")
    set_values(config, {"meta.dir": str(folder / "none")})
    none = told(api, enabled=True, serving=five, newest=None, before=None)
    assert f"until then {five} serves" in none["problem"]
    set_values(config, {"meta.dir": str(folder / "models")})
    told(api, enabled=True, serving=three, before=two, problem="")
    config.write_text("")
    empty = api.until("/model", lambda seen: "write meta.enabled: false" in seen.json()["problem"], 15.0).json()
    assert (empty["enabled"], empty["serving"]["version"]) == (True, three)
    assert empty["retrain"]["last"] is None is empty["retrain"]["running"]
