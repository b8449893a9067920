"""A retrain: data set, training, gate, settings; whatever fails, or is killed, leaves a state that is whole."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from backtest.data.dataset import read_dataset
from backtest.experiments.data import walk_candles
from exec.live.serving import served
from features.registry import fingerprint
from model.records import RECORDS
from model.retrain import decide, main
from tests.ml.learning.made import made
from tests.ml.learning.test_gate import evidence
from tests.model.made import data_of, trained
from tests.places import ROOT
from utils.config import load_settings
from utils.records.chain import Chain
from utils.records.ledger import Ledger
from utils.records.versions import Versions

BARS = 2_000


def write_candles(folder: Path, bars: int = BARS) -> Path:
    path = folder / "data" / "binance_usdm" / "1m" / "BTCUSDT.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ("open", "high", "low", "close", "volume")
    rows = walk_candles(BARS, 1).rows[:bars]
    lines = (
        ",".join(map(str, (int(row["ts"]) // 10**6 - 60_000, *(float(row[name]) for name in names)))) for row in rows
    )
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *lines]))
    return path


@pytest.fixture
def house(tmp_path):
    """Candles, settings with a comment, and a folder for models."""
    ledger = tmp_path / "models" / "trials.jsonl"
    (tmp_path / "config.yaml").write_text(f"# mine\nmeta:\n  enabled: false   # not yet\n  ledger: {ledger}\n")
    write_candles(tmp_path)
    return tmp_path


def words(house, *more):
    candles = house / "data" / "binance_usdm" / "1m" / "BTCUSDT.csv"
    where = ["--data", candles, "--out", house / "features.parquet", "--outdir", house / "models"]
    return [*map(str, (*where, "--config", house / "config.yaml")), "--family", "logistic", *more]


@pytest.fixture
def ask(house, capsys):
    def asked(*more):
        code = main(words(house, *more))
        return code, *capsys.readouterr()

    return asked


def settings(house):
    return load_settings(house / "config.yaml", env={}).settings


def test_the_usual_end_is_not_enabled_and_no_setting_changes(house, ask):
    before = (house / "config.yaml").read_bytes()
    code, out, err = ask()
    assert code == 0, err
    assert out.splitlines()[-1].startswith("not enabled: ")
    assert "smallest edge" in out
    assert "days needed" in out
    assert "too small a window" in out
    assert (house / "config.yaml").read_bytes() == before
    assert Versions(house / "models").current() is None
    assert len(Versions(house / "models").names()) == 1
    assert len(read_dataset(house / "features.parquet")) > 1_500
    assert (house / "models" / "report.html").is_file()
    assert Ledger(house / "models" / "trials.jsonl").count() == 1


def test_forced_it_serves_and_says_so_loudly(house, ask):
    code, out, _ = ask("--force", "--take-bps", "30")
    assert code == 0
    assert "FORCED: " in out
    assert "risk.take_bps is set to 30.0 (it was 25.0)" in out
    assert "it judges 1m, and market.timeframe is 5m" in out
    version = Versions(house / "models").current()
    assert out.splitlines()[-1] == f"enabled: {version} serves BTCUSDT"
    found = settings(house)
    assert found.meta.enabled
    assert found.meta.dir == house / "models"
    assert f"dir: {house / 'models'}" in (house / "config.yaml").read_text()
    assert found.risk.take_bps == 30.0
    assert (house / "config.yaml").read_text().startswith("# mine\nmeta:\n  enabled: true   # not yet\n")


def test_a_week_begins_no_record_so_that_a_longer_history_still_may(house, ask):
    ask()
    code, out, err = ask()
    assert code == 0, err
    assert not (house / "models" / RECORDS).exists()
    assert Ledger(house / "models" / "trials.jsonl").count() == 1
    assert "threshold 30 (not enough data)" in out


def test_json_is_one_object_with_the_verdict(ask):
    code, out, _ = ask("--json")
    assert code == 0
    told = json.loads(out)
    assert told["enabled"] is False
    assert told["verdict"].startswith("not enabled: ")


def test_a_frozen_version_serves_whatever_is_trained(house, ask):
    ask("--force")
    first = Versions(house / "models").current()
    code, out, _ = ask("--freeze", first)
    assert code == 0
    assert settings(house).meta.version == first
    write_candles(house, BARS - 1)
    code, out, _ = ask()
    assert code == 0
    assert f"not enabled: {first} is frozen" in out
    assert Versions(house / "models").current() == first


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--freeze", "20270115T080000Z-0123456789ab"], "20270115T080000Z-0123456789ab"),
        (["--page-back", "0"], "--page-back: expected at least 1 day"),
        (["--page-back", "3"], "leave one of them out"),
        (["--horizon", "0"], "risk.horizon"),
        (["--gross"], "only what pays its costs"),
        (["--entry", "auto"], "auto"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(house, ask, more, said):
    before = (house / "config.yaml").read_bytes()
    code, _, err = ask(*more)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert (house / "config.yaml").read_bytes() == before


def test_too_few_bars_end_with_a_sentence_and_leave_the_old_model(house, ask):
    ask("--force")
    serving = Versions(house / "models").current()
    write_candles(house, 150)
    code, _, err = ask("--force")
    assert code == 2
    assert "ask for more bars" in err or "use more data" in err
    assert Versions(house / "models").current() == serving
    assert settings(house).meta.enabled


def test_what_a_run_cannot_compute_is_not_enabled(house, ask):
    (house / "mine.py").write_text("def columns(market):\n    return {'mine': market['close'] - market['open']}\n")
    ask("--force")
    serving = Versions(house / "models").current()
    code, out, _ = ask("--force", "--features", f"{house / 'mine.py'}:columns")
    assert code == 0
    assert out.splitlines()[-1].startswith("not enabled: a run computes the registered features alone")
    assert Versions(house / "models").current() == serving


def test_settings_that_cannot_be_changed_leave_what_serves_with_its_own_barriers(house, ask):
    ask("--force")
    serving = Versions(house / "models").current()
    (house / ".config.yaml.swp").write_bytes(b"")
    code, _, err = ask("--force", "--take-bps", "30")
    assert code == 2
    assert err.count("\n") == 1 + err.count("training:") + err.count("judging:") + err.count("building:")
    assert Versions(house / "models").current() == serving
    assert served(settings(house)).name == serving


def test_what_the_environment_would_overrule_is_refused_before_work(house, ask, monkeypatch):
    monkeypatch.setenv("SCALPER__META__ENABLED", "false")
    code, _, err = ask("--force")
    assert code == 2
    assert "meta.enabled: expected it to be set in the settings file alone" in err
    assert not (house / "models").exists()


def test_forced_quietly_it_is_said_all_the_same(ask):
    code, out, err = ask("--force", "--quiet")
    assert code == 0
    assert "FORCED: " in err
    assert out.count("\n") == 1


def test_forced_over_a_frozen_version_it_is_no_longer_frozen(house, ask):
    ask("--force")
    ask("--freeze", Versions(house / "models").current())
    code, out, _ = ask("--force")
    assert code == 0
    assert "was frozen" in out
    assert settings(house).meta.version == ""
    assert served(settings(house)).name == Versions(house / "models").current()


def test_a_settings_file_that_is_a_link_is_left_alone(house, ask):
    real = house / "real.yaml"
    (house / "config.yaml").rename(real)
    (house / "config.yaml").symlink_to(real)
    before = real.read_bytes()
    code, _, err = ask("--force")
    assert code != 0
    assert "link" in err
    assert real.read_bytes() == before


def test_a_second_retrain_at_once_ends_with_a_sentence(house):
    one = subprocess.Popen([sys.executable, "-m", "model.retrain", *words(house)], cwd=ROOT, stdout=subprocess.DEVNULL)
    lock = time.monotonic() + 60
    while not list((house / "models").glob(".*lock*")) and one.poll() is None and time.monotonic() < lock:
        time.sleep(0.02)
    two = subprocess.run(
        [sys.executable, "-m", "model.retrain", *words(house)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert one.wait(120) == 0
    if two.returncode:  # the first may have been done before the second began
        assert two.stderr.count("\n") == 1
        assert "expected no other training at work" in two.stderr


class TestGate:
    """What follows from evidence, without the training that made it."""

    @pytest.fixture
    def made_of(self, tmp_path):
        (tmp_path / "config.yaml").write_text("risk:\n  horizon: 20\n")

        def prepare(mean, **other):
            data = data_of(made(3000), **other)
            data = replace(data, manifest={**data.manifest, "fingerprint": fingerprint()})
            (one,), _ = trained(data, tmp_path / "models")
            return one, data, evidence(days=80, mean=mean)

        return prepare

    def decided(self, tmp_path, one, data, told, *, force=False):
        asked = replace(one, verdict=told)
        return decide(
            asked,
            data,
            tmp_path / "models",
            tmp_path / "config.yaml",
            load_settings(tmp_path / "config.yaml", env={}).settings,
            force,
        )

    def test_evidence_that_passes_enables_and_that_fails_does_not(self, tmp_path, made_of):
        from ml.learning.gate import verdict

        one, data, record = made_of(0.0)
        said, enabled = self.decided(tmp_path, one, data, verdict(record, 1, 60.0, seed=1))
        assert not enabled
        assert said[-1].startswith("not enabled: ")
        assert not load_settings(tmp_path / "config.yaml", env={}).settings.meta.enabled
        said, enabled = self.decided(tmp_path, one, data, verdict(evidence(days=80, mean=6.0), 1, 60.0, seed=1))
        assert enabled
        found = load_settings(tmp_path / "config.yaml", env={}).settings
        assert found.meta.enabled
        assert found.risk.horizon == 6  # what it was tested with
        assert Versions(tmp_path / "models").current() == one.version

    def test_another_configuration_has_to_beat_the_one_that_serves(self, tmp_path, made_of):
        from ml.learning.gate import verdict

        good = verdict(evidence(days=80, mean=6.0), 1, 60.0, seed=1)
        champion, data, _ = made_of(6.0)
        self.decided(tmp_path, champion, data, good)
        challenger, data, _ = made_of(6.0, take_bps=30.0)
        said, enabled = self.decided(tmp_path, challenger, data, good)
        assert not enabled
        assert said[-1].startswith("not enabled: ")
        assert Versions(tmp_path / "models").current() == champion.version


def killed_at(house: Path, delay_s: float, *more: str) -> bool:
    """Start a retrain and kill it; whether it was still at work."""
    one = subprocess.Popen(
        [sys.executable, "-m", "model.retrain", *words(house, *more)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        one.wait(delay_s)
    except subprocess.TimeoutExpired:
        os.killpg(one.pid, signal.SIGKILL)
        one.wait()
        return True
    return False


def whole(house: Path) -> str | None:
    """What serves; everything that is there can be read."""
    versions = Versions(house / "models")
    serving = versions.current()
    assert serving is not None
    versions.read(serving)
    for name in versions.names():
        versions.read(name)
    for path in (house / "models" / RECORDS).glob("*.jsonl"):
        Chain(path).read()
    Ledger(house / "models" / "trials.jsonl").trials()
    assert settings(house).meta.enabled
    read_dataset(house / "features.parquet")
    return served(settings(house)).name


def kills(house: Path, times: int) -> None:
    began = time.monotonic()
    assert main(words(house, "--force")) == 0
    subprocess.run([sys.executable, "-m", "model.retrain", *words(house, "--force")], cwd=ROOT, check=True)
    took = time.monotonic() - began
    dice, serving = random.Random(5), whole(house)
    for _ in range(times):
        seen = set(Versions(house / "models").names()) | {serving}
        # barriers that change make the settings file change with the version
        hit = killed_at(house, dice.uniform(0.0, took), "--force", "--take-bps", str(dice.choice((25, 30))))
        now = whole(house)
        made_now = set(Versions(house / "models").names()) - seen
        assert now == serving or now in made_now
        assert hit or now != serving
        serving = now
    assert not math.isnan(took)


@pytest.mark.slow
def test_killed_at_any_moment_the_old_or_the_new_model_serves(house):
    kills(house, 4)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_killed_at_fifty_moments_the_old_or_the_new_model_serves(house):
    kills(house, 50)
