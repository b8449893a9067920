"""Versions are listed, shown, rolled back and frozen by name; what is not known is one sentence and exit code 2."""

import json
import os
from dataclasses import replace

import pytest

from ml.learning.artifact import parts_of
from model.registry import VERBS, age, build_parser, main
from tests.ml.models import judging
from utils.config import load_settings
from utils.records.versions import Versions
from utils.rows import NS_PER_S

TEXT = "# mine\nmeta:\n  enabled: false   # not yet\n"
DAY = 1_767_225_600
PARTS = parts_of(judging(1.0))


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A settings file, three versions that were current one after another, and the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(TEXT)
    versions = Versions(tmp_path / "models")
    for number in range(3):
        said = {
            "data": {"first": DAY * NS_PER_S, "last": (DAY + 86_400) * NS_PER_S},
            "verdict": f"not enabled: {number}",
        }
        versions.make_current(versions.write(PARTS, said, (DAY + number) * NS_PER_S))
    return versions


@pytest.fixture
def ask(house, tmp_path, capsys):
    """What a command line answers: exit code, standard output, standard error."""

    def asked(*words):
        where = ["--dir", str(house.folder), "--config", str(tmp_path / "config.yaml")]
        code = main([*words, *where])
        return code, *capsys.readouterr()

    return asked


def meta(tmp_path):
    return load_settings(tmp_path / "config.yaml", env={}).settings.meta


def test_every_verb_stands_in_the_help_with_an_example():
    said = build_parser().format_help()
    assert [] == [verb for verb in VERBS if f"python -m model.registry {verb}" not in said]


def test_a_list_shows_window_verdict_age_and_what_is_current(ask, house):
    code, out, err = ask("list")
    assert (0, "") == (code, err)
    lines = out.splitlines()
    assert list(house.names()) == [line.split()[0] for line in lines[1:4]]
    assert "2026-01-01 to 2026-01-02" in lines[1]
    assert "not enabled: 0" in lines[1]
    assert [False, False, True] == ["current" in line for line in lines[1:4]]
    assert "no version serves: meta.enabled is off" in lines[4]


def test_a_list_as_json_is_one_object(ask, house, tmp_path):
    (tmp_path / "config.yaml").write_text("meta: {enabled: true}\n")
    told = json.loads(ask("list", "--json")[1])
    assert (str(house.folder), True, None) == (told["dir"], told["enabled"], told["frozen"])
    assert [False, False, True] == [one["serves"] for one in told["versions"]]
    one = told["versions"][0]
    assert ("2026-01-01T00:00:00Z", ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]) == (one["made"], one["trained"])
    assert one["age_s"] > 86_400


def test_a_damaged_version_is_listed_as_that_and_the_others_as_before(ask, house):
    (house.folder / house.names()[1] / "meta.json").write_text("[]")
    told = json.loads(ask("list", "--json")[1])
    assert [True, False, True] == [not one["damage"] for one in told["versions"]]
    assert "meta.json with other bytes" in ask("list")[1].replace("\n", " ")


def test_an_empty_folder_is_said_and_is_no_fault(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text(TEXT)
    assert 0 == main(["list", "--dir", str(tmp_path / "none"), "--config", str(tmp_path / "config.yaml")])
    assert "no versions in" in capsys.readouterr().out


def test_a_version_is_shown_as_it_says_itself(ask, house):
    name = house.names()[0]
    code, out, _ = ask("show", name)
    assert 0 == code
    assert f"{name}\n" in out
    assert "  data:\n    first: 1767225600000000000\n" in out
    assert "not enabled: 0" == json.loads(ask("show", name, "--json")[1])["verdict"]


def test_a_rollback_goes_back_one_version_at_a_time(ask, house):
    first, second, third = house.names()
    assert f"{second} is current again; it was {third}\n" in ask("rollback")[1]
    assert {"current": first, "before": second, "frozen": None} == json.loads(ask("rollback", "--json")[1])
    code, out, err = ask("rollback")
    assert (2, "", 1) == (code, out, err.count("\n"))
    assert "expected a version that served before, saw none" in err
    assert first == house.current()


def test_a_damaged_current_is_mended_by_a_rollback(ask, house):
    (house.folder / "CURRENT").write_bytes(b"\0\0\0")
    assert 0 == ask("list")[0]
    assert f"{house.names()[2]} is current again; it was none" in ask("rollback")[1]


def test_a_current_that_names_no_version_is_called_damaged(ask, house, tmp_path):
    (tmp_path / "config.yaml").write_text("meta: {enabled: true}\n")
    (house.folder / "CURRENT").write_text("../x\n")
    out = " ".join(ask("list")[1].split())
    assert "CURRENT is damaged: " in out
    assert "expected the name of a version, saw '../x'; python -m model.registry rollback names the one that" in out
    assert "no version serves: CURRENT names none" in out
    assert "saw '../x'" in json.loads(ask("list", "--json")[1])["damage"]
    assert 0 == ask("rollback")[0]
    assert "" == json.loads(ask("list", "--json")[1])["damage"]


def test_a_version_that_is_asked_for_and_not_here_is_named(ask, house, tmp_path):
    gone = "20270115T080000Z-0123456789ab"
    (tmp_path / "config.yaml").write_text(f"meta: {{enabled: true, version: {gone}}}\n")
    assert f"no version serves: {gone} is not here, or not whole" in ask("list")[1]
    (house.folder / "CURRENT").unlink()
    (tmp_path / "config.yaml").write_text("meta: {enabled: true}\n")
    assert "no version serves: CURRENT names none" in ask("list")[1]


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_version_that_the_gate_did_not_let_pass_is_frozen_loudly(ask, house, more):
    loud = "FORCED: its verdict was {}; you serve a model that could not be told from luck\n"
    code, _, err = ask("freeze", house.names()[0], *more)
    assert (0, loud.format("not enabled: 0")) == (code, err)
    nameless = house.write(PARTS, {}, (DAY + 8) * NS_PER_S)
    assert loud.format("unknown") == ask("freeze", nameless, *more)[2]
    passed = house.write(PARTS, {"verdict": "enabled"}, (DAY + 9) * NS_PER_S)
    assert (0, "") == (ask("freeze", passed, *more))[::2]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (parts_of(replace(judging(1.0), fingerprint="f" * 64)), "expected one of the features of this version"),
        ({"long.json": b"{}"}, "meta.json"),
    ],
)
def test_what_no_run_could_be_given_is_neither_frozen_nor_rolled_back_to(ask, house, tmp_path, parts, says):
    last = house.names()[2]
    other = house.write(parts, {"verdict": "enabled"}, (DAY + 9) * NS_PER_S)
    house.make_current(other)
    house.make_current(last)
    for words in (("freeze", other), ("rollback",)):
        code, out, err = ask(*words)
        assert (2, "", 1) == (code, out, err.count("\n"))
        assert says in err
        assert (TEXT, last) == ((tmp_path / "config.yaml").read_text(), house.current())


def test_a_frozen_version_serves_until_it_is_thawed_and_comments_stay(ask, house, tmp_path):
    first, _, third = house.names()
    assert 0 == ask("freeze", first)[0]
    assert (True, first, house.folder) == (meta(tmp_path).enabled, meta(tmp_path).version, meta(tmp_path).dir)
    assert TEXT.replace("false", "true") in (tmp_path / "config.yaml").read_text()
    told = json.loads(ask("list", "--json")[1])
    assert [True, False, False] == [one["serves"] for one in told["versions"]]
    assert f"frozen: meta.version names {first}" in ask("list")[1]
    assert f"{first} is frozen and serves on" in ask("rollback")[1]
    house.make_current(third)
    assert f"; {third} serves" in ask("thaw")[1]
    assert (True, "") == (meta(tmp_path).enabled, meta(tmp_path).version)
    assert "nothing was frozen" in ask("thaw")[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("show", "nothing"), "expected the name of a version (the last ones: 2026"),
        (("freeze", "../models"), "expected the name of a version"),
        (("show",), "show: expected a version behind it, saw none; --help shows each form"),
        (("thaw", "now"), "thaw: expected no version behind it, saw now"),
        (("delete",), "delete"),
        ((), "the following arguments are required: VERB"),
        (("list", "--jsn"), "unknown flag --jsn; did you mean --json?"),
    ],
)
def test_what_is_not_known_is_one_sentence_and_exit_code_2(ask, house, tmp_path, words, says):
    code, out, err = ask(*words)
    assert (2, "", 1) == (code, out, err.count("\n"))
    assert says in err
    assert (TEXT, house.names()[2]) == ((tmp_path / "config.yaml").read_text(), house.current())


def test_barriers_that_a_version_was_not_tested_with_are_said(ask, house, tmp_path):
    barriers = {"take_bps": 40, "stop_bps": 18, "horizon": 20, "entry": "market"}
    last = house.names()[2]
    tested = house.write(PARTS, {"configuration": barriers}, (DAY + 9) * NS_PER_S)
    settings = load_settings(tmp_path / "config.yaml", env={}).settings
    assert (18.0, 20, "post_only") == (settings.risk.stop_bps, settings.risk.horizon, settings.execution.entry)
    wanted = [
        "risk.take_bps is 25.0, and the version was tested with 40: set it so in the settings file",
        "execution.entry is post_only, and the version was tested with market: set it so in the settings file",
    ]
    assert wanted == ask("freeze", tested)[1].splitlines()[1:]
    house.make_current(tested)
    house.make_current(last)
    assert wanted == ask("rollback")[1].splitlines()[-2:]


def test_a_damaged_version_is_never_frozen(ask, house, tmp_path):
    (house.folder / house.names()[0] / "manifest.json").unlink()
    code, _, err = ask("freeze", house.names()[0])
    assert 2 == code
    assert "saw no manifest.json; train again, or serve another" in err
    assert TEXT == (tmp_path / "config.yaml").read_text()


def test_a_settings_file_that_is_a_link_stays_as_it_is(ask, house, tmp_path):
    (tmp_path / "config.yaml").rename(tmp_path / "other.yaml")
    (tmp_path / "config.yaml").symlink_to("other.yaml")
    code, _, err = ask("freeze", house.names()[0])
    assert 2 == code
    assert "expected a settings file, saw a link" in err
    assert TEXT == (tmp_path / "other.yaml").read_text()


def test_what_the_environment_sets_cannot_be_frozen_in_a_file(ask, house, monkeypatch):
    monkeypatch.setitem(os.environ, "SCALPER__META__VERSION", "other")
    code, _, err = ask("freeze", house.names()[0])
    assert 2 == code
    assert "expected it to be set in the settings file alone, saw it in environment SCALPER__META__VERSION" in err


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, "0 min"), (65.0, "1 min"), (7200.0, "2 h"), (1e6, "11 d"), (None, "-")]
)
def test_an_age_is_said_in_its_largest_unit(seconds, said):
    assert said == age(seconds)
