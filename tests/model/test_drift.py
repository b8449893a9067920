"""Drift, asked as a user asks it: calm where nothing moved, what moved is named; a model is turned off, never on."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from backtest.data.market import build_market
from backtest.experiments.data import walk_candles
from features.fold import matrix
from features.registry import feature_set
from ml.learning.drift import Action, Gap, shifts, verdict
from model.drift import build_parser, main
from tests.ml.learning.made import made
from tests.model.journals import run_of
from tests.model.made import data_of, trained, written
from utils.config import load_settings
from utils.records.versions import Versions

#: Rows of the training, and all.
TRAINED, ROWS = 2_400, 3_600
OTHER = "20200101T000000Z-0123456789ab"
TEXT = "# mine\nmeta:\n  enabled: {}   # as it was\n"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with a version that is current."""
    folder = tmp_path_factory.mktemp("models")
    (one,), _ = trained(data_of(made(ROWS).take(slice(0, TRAINED))), folder)
    Versions(folder).make_current(one.version)
    return folder


@pytest.fixture
def house(tmp_path, models, monkeypatch):
    """Settings, a version that serves, and no logs yet."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(models, tmp_path / "models")
    set_up(tmp_path)
    return tmp_path


def set_up(house, enabled="true", more=""):
    text = TEXT.format(enabled) + f"  dir: {house / 'models'}\nlogs:\n  dir: {house / 'logs'}\n{more}"
    (house / "config.yaml").write_text(text)
    return text


@pytest.fixture
def version(house):
    return Versions(house / "models").current()


@pytest.fixture
def ask(house, capsys):
    """What a command line answers: exit code, standard output, standard error."""

    def asked(*words):
        code = main([*map(str, words), "--config", str(house / "config.yaml")])
        return code, *capsys.readouterr()

    return asked


def rows(house, change=None, **other):
    """A data set of the rows of the training and those since, in which `change` may move features."""
    table = made(ROWS)
    x = table.x.copy()
    if change is not None:
        change(x[TRAINED:])
    data = data_of(replace(table, x=x), **other)
    return written(data, house / "features.parquet")


def push(column, by):
    def change(x):
        x[:, column] += by

    return change


def enabled(house):
    return load_settings(house / "config.yaml", env={}).settings.meta.enabled


def last(out):
    return out.splitlines()[-1]


def noise(n=400, mean=0.0, seed=3):
    return np.random.default_rng(seed).normal(mean, 20.0, n)


def test_what_stays_as_it_was_is_ok(house, ask, version):
    net = noise()
    run_of(house / "logs", version, net, p=float(np.mean(net > 0.0)), expected=float(net.mean()))
    code, out, err = ask("--data", rows(house))
    assert (0, "") == (code, err)
    assert f"{version}, trained until 2023-11-" in out
    assert "; it serves" in out
    assert "beside 2,400 of the training" in out
    assert "wins" in out
    assert "over 400 trades" in out
    assert "left out" not in out
    assert last(out) == "drift: ok: features as trained; 400 trades as expected"


def test_a_feature_that_moves_is_named_and_a_training_asked_for(house, ask):
    code, out, _ = ask("--data", rows(house, push(2, 1.5)))
    assert code == 0
    assert last(out).startswith("drift: retrain: f2 moved: PSI ")
    assert last(out).endswith("; ./scripts/retrain.sh")
    assert out.splitlines()[3].split()[0] == "f2"
    assert out.splitlines()[3].rstrip().endswith("retrain")


def test_one_that_moves_a_little_asks_for_smaller_sizes_and_says_where_they_are_set(house, ask):
    data = rows(house, push(2, 0.42))
    code, out, _ = ask("--data", data)
    assert code == 0
    assert last(out).startswith("drift: watch - trade smaller: f2 moved: PSI 0.1")
    assert "size: trade 0.5 of it until then: risk.risk_per_trade: 0.00125 in the settings file (it is 0.0025)" in out
    set_up(house, more="risk:\n  sizing: fixed\n  fixed_notional: 300\n")
    assert "risk.fixed_notional: 150 in the settings file (it is 300)" in ask("--data", data)[1]


def test_a_feature_that_is_gone_or_stands_still_is_seen_and_one_that_always_did_is_not(house, ask):
    def change(x):
        x[:, 1], x[:, 3] = np.nan, 0.25

    table = made(ROWS)
    code, out, _ = ask("--data", rows(house, change), "--json")
    told = json.loads(out)
    assert code == 0
    assert {"f1", "f3"} == {one["name"] for one in told["features"] if one["action"] == "retrain"}
    assert told["features"][[one["name"] for one in told["features"]].index("f1")]["ks"] is None
    table.x[:, 1], table.x[:, 3] = np.nan, 1.0
    code, out, err = ask("--data", written(data_of(table), house / "still.parquet"), "--json")
    assert (0, "") == (code, err)
    told = json.loads(out)
    assert told["action"] == "ok"
    assert [0.0, 0.0] == [one["psi"] for one in told["features"] if one["name"] in ("f1", "f3")]


def test_probabilities_that_promise_too_much_are_named(house, ask, version):
    net = noise()
    run_of(house / "logs", version, net, p=0.7, expected=float(net.mean()))
    code, out, _ = ask()
    assert code == 0
    won = 100 * np.mean(net > 0.0)
    assert f"calibration: says 70 %, wins {won:.0f} % (" in out
    assert last(out).startswith(f"drift: retrain: {won:.1f}% of 400 trades won, expected 70.0%; ./scripts/retrain.sh")


def test_an_edge_that_is_gone_means_to_fall_back_and_says_how(house, ask, version):
    before = (house / "config.yaml").read_bytes()
    run_of(house / "logs", version, noise(mean=-4.0), p=0.42, expected=5.0)
    code, out, _ = ask("--data", rows(house))
    assert code == 0
    assert "edge: expects +5.0 bps, earns -" in out
    assert last(out).startswith("drift: fall back: 400 trades earned -")
    assert last(out).endswith("; set meta.enabled: false or python -m model.registry rollback")
    assert (house / "config.yaml").read_bytes() == before


class TestAct:
    """The least that the verdict asks for."""

    def test_a_model_that_has_to_fall_back_is_turned_off_and_nothing_else_changes(self, house, ask, version):
        before = (house / "config.yaml").read_text()
        run_of(house / "logs", version, noise(mean=-4.0), p=0.42, expected=5.0)
        code, out, err = ask("--act")
        assert (0, "") == (code, err)
        assert last(out).endswith(
            "meta.enabled is false now in config.yaml: no model serves from the next start of a run on"
        )
        assert (house / "config.yaml").read_text() == before.replace("enabled: true", "enabled: false")
        assert Versions(house / "models").current() == version
        assert ask("--act")[1].endswith("; meta.enabled is off already\n")

    @pytest.mark.parametrize("was", ["true", "false"])
    @pytest.mark.parametrize("net", [-4.0, 0.0, 30.0])
    @pytest.mark.parametrize("moved", [0.0, 0.42, 1.5])
    def test_nothing_is_ever_turned_on(self, house, ask, version, was, net, moved):
        before = set_up(house, was)
        run_of(house / "logs", version, noise(mean=net), p=0.5, expected=3.0)
        code, out, err = ask("--act", "--data", rows(house, push(2, moved)))
        assert (0, "") == (code, err)
        after = (house / "config.yaml").read_text()
        off = was == "true" and last(out).startswith("drift: fall back")
        assert after == (before.replace("enabled: true", "enabled: false") if off else before)

    def test_a_version_that_does_not_serve_turns_no_other_off(self, house, ask):
        (other,), _ = trained(data_of(made(2_000, seed=2)), house / "models", now_ns=10**18)
        before = (house / "config.yaml").read_bytes()
        run_of(house / "logs", other.version, noise(mean=-4.0), p=0.42, expected=5.0)
        code, out, _ = ask("--act", "--version", other.version)
        assert code == 0
        assert "; it does not serve" in out
        assert last(out).endswith("; it is not the version that serves, and nothing was changed")
        assert (house / "config.yaml").read_bytes() == before

    def test_a_setting_that_the_environment_holds_is_not_fought_over(self, house, ask, version, monkeypatch):
        run_of(house / "logs", version, noise(mean=-4.0), p=0.42, expected=5.0)
        monkeypatch.setenv("SCALPER__META__ENABLED", "true")
        code, _, err = ask("--act")
        assert code == 2
        assert "meta.enabled: expected it to be set in the settings file alone" in err
        assert enabled(house)


def test_what_other_versions_said_is_left_out_and_counted(house, ask, version):
    net = np.concatenate([np.full(200, -50.0), noise(200)])
    run_of(house / "logs", version, net, p=float(np.mean(net[200:] > 0.0)), expected=float(net[200:].mean()), first=200)
    before = {path.name: path.read_bytes() for path in (house / "logs").iterdir()}
    code, out, _ = ask()
    assert code == 0
    assert "over 200 trades" in out
    assert "left out: 200 signals of other versions, 200 trades of whose signal this version said nothing" in out
    assert last(out) == "drift: ok: features not judged; 200 trades as expected"
    assert {path.name: path.read_bytes() for path in (house / "logs").iterdir()} == before


def test_runs_add_up_and_a_trade_of_two_runs_counts_once(house, ask, version):
    net = noise(150)
    one = run_of(house / "one", version, net[:80], p=0.5)
    two = run_of(house / "two", version, net, p=0.5)
    told = json.loads(ask("--logs-dir", one, two, "--json")[1])
    assert (150, 80) == (told["calibration"]["trades"], told["left_out"]["twice"])


def test_few_trades_are_shown_and_not_judged(house, ask, version):
    run_of(house / "logs", version, noise(60, mean=-30.0), p=0.9, expected=20.0)
    code, out, _ = ask("--data", rows(house))
    assert code == 0
    assert "edge: not judged: 60 of the 100 trades that it takes; so far it expects +20.0 bps, earns -" in out
    assert last(out) == "drift: ok: features as trained; 60 of the 100 trades that a judgement needs"
    assert last(ask()[1]).startswith("drift: not judged: features not judged; 60 of the 100 trades")


def test_logs_without_a_prediction_of_the_version_are_said_and_features_judged_alone(house, ask, version):
    run_of(house / "logs", OTHER, noise())
    code, out, _ = ask("--data", rows(house))
    assert code == 0
    assert (
        f"trades: not judged: {house / 'logs'}: no signal there was judged by {version} (400 by other versions)" in out
    )
    assert last(out) == "drift: ok: features as trained; 0 of the 100 trades that a judgement needs"
    code, _, err = ask()
    assert code == 2
    assert f"no signal there was judged by {version} (400 by other versions); name a data set with --data" in err


def test_too_few_new_rows_are_not_judged_and_that_is_said(house, ask):
    data = written(data_of(made(ROWS).take(slice(0, TRAINED + 60))), house / "features.parquet")
    code, out, _ = ask("--data", data)
    assert code == 0
    assert "features: not judged: " in out
    assert " of the 100 rows that it takes after the training's end, 2023-11-" in out
    assert last(out).startswith("drift: not judged: ")


def test_json_is_one_object_with_every_feature(house, ask, version):
    run_of(house / "logs", version, noise(), p=0.5)
    code, out, _ = ask("--data", rows(house), "--json")
    told = json.loads(out)
    assert code == 0
    assert (version, True, False) == (told["version"], told["serves"], told["acted"])
    assert {"f0", "f1", "f2", "f3"} == {one["name"] for one in told["features"]}
    assert told["rows"]["training"] == TRAINED
    assert told["line"].startswith("drift: ")
    assert told["calibration"]["judged"]


def test_quiet_prints_the_verdict_alone(house, ask):
    code, out, err = ask("--data", rows(house), "--quiet")
    assert (0, 1, "") == (code, out.count("\n"), err)
    assert out.startswith("drift: ok: ")


class TestRefusals:
    """The user's fault is one sentence and exit code 2."""

    @pytest.fixture
    def refused(self, ask):
        def asked(*words):
            code, out, err = ask(*words)
            assert (2, "", 1) == (code, out, err.count("\n"))
            return err

        return asked

    def test_no_version(self, house, refused):
        (house / "models" / "CURRENT").unlink()
        assert "expected a version that serves, saw none; name one with --version" in refused("--data", rows(house))

    def test_a_version_that_is_not_there(self, house, refused):
        assert OTHER in refused("--data", rows(house), "--version", OTHER)

    def test_no_data_and_no_logs(self, house, refused):
        assert f"{house / 'logs'}: no log files of a run there; name a data set with --data" in refused()

    def test_a_folder_of_logs_that_is_not_there(self, house, refused):
        assert "nowhere" in refused("--data", rows(house), "--logs-dir", house / "nowhere")

    def test_a_folder_without_signals(self, house, version, refused):
        run_of(house / "logs", version, noise())
        (house / "logs" / "signals.csv").unlink()
        assert "expected signals.csv beside trades.csv, saw none" in refused()

    def test_a_data_set_of_other_features(self, house, version, refused):
        table = made(ROWS, features=3)
        assert f"expected the features of {version} (f), saw others (f)" in refused(
            "--data", written(data_of(table), house / "three.parquet")
        )

    def test_a_data_set_of_another_market(self, house, version, refused):
        assert f"expected BTCUSDT 5m as {version} was trained on, saw BTCUSDT 1h" in refused(
            "--data", rows(house, timeframe="1h")
        )

    def test_a_data_set_that_is_none(self, house, refused):
        assert "expected a data set, saw nothing" in refused("--data", house / "none.parquet")


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("clustered", "calm"), [(True, 85), (False, 75)])
def test_of_a_hundred_walks_in_which_nothing_changes_few_alarm(clustered, calm):
    """90 of 100 are ok where volatility clusters; 80 where it is constant, as ATR in units of price moves with it."""
    settings = load_settings(env={}, dotenv=None).settings
    none, ok = Gap(0, np.nan, np.nan, np.nan, np.nan), 0
    for seed in range(100):
        market = build_market([walk_candles(13_200, seed, clustered=clustered, tf="5m")], settings)
        x = matrix(feature_set(1).batch(market.bars))[200:]
        ok += verdict(shifts(feature_set().names, x[:12_000], x[12_000:]), none, none).action is Action.OK
    assert ok >= calm


def test_the_help_names_every_flag_with_an_example():
    said = build_parser().format_help()
    assert [] == [
        name for name in ("--data", "--logs-dir", "--version", "--act", "--dir", "--json") if name not in said
    ]
