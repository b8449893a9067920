"""A settings file is changed where it has to be: every other byte stays, and what is not understood is not touched."""

import os
import resource
import signal
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from utils.config import default_yaml, load_settings
from utils.disk import held
from utils.errors import ConfigError, StorageError
from utils.settings.edit import edited, set_values
from utils.settings.sources import from_yaml

ON = {"meta.enabled": True, "meta.dir": "model/artifacts"}
COMMENTED = """# mine
market:   # which
    symbol: "BTCUSDT"   # in quotes
meta: # the model
  # whether
  enabled:   false   # not yet
  version: 'one'  # a name

risk: {take_bps: 25, stop_bps: 18}   # in braces
# the end
"""


@pytest.fixture
def config(tmp_path):
    return tmp_path / "config.yaml"


def loaded(path):
    return load_settings(path, env={}, dotenv=Path(os.devnull)).settings


def test_a_value_is_changed_and_all_else_keeps_its_bytes(config):
    config.write_text(COMMENTED)
    set_values(config, {"meta.enabled": True, "risk.stop_bps": 12.5})
    wanted = COMMENTED.replace("enabled:   false ", "enabled:   true ").replace("stop_bps: 18", "stop_bps: 12.5")
    assert wanted == config.read_text()
    assert (True, 12.5) == (loaded(config).meta.enabled, loaded(config).risk.stop_bps)


def test_a_key_that_is_missing_comes_behind_the_last_of_its_section(config):
    config.write_text(COMMENTED)
    set_values(config, {"meta.dir": Path("other/place")})
    line = "  version: 'one'  # a name\n"
    assert COMMENTED.replace(line, f"{line}  dir: other/place\n") == config.read_text()


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_section_that_is_missing_comes_at_the_end(config, end):
    text = f"risk:{end or chr(10)}   take_bps: 25{end}"
    config.write_bytes(text.encode())
    set_values(config, ON)
    new = end or "\n"
    broken = "" if end else "\n"
    added = f"{broken}meta:{new}  enabled: true{new}  dir: model/artifacts{new}"
    assert f"{text}{added}".encode() == config.read_bytes()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "meta:\n  enabled: true\n"),
        ("# nothing yet\n", "# nothing yet\nmeta:\n  enabled: true\n"),
        ("meta:", "meta:\n  enabled: true\n"),
        ("meta:\n", "meta:\n  enabled: true\n"),
        ("meta:   # c\nrisk:\n", "meta:   # c\n  enabled: true\nrisk:\n"),
        ("meta: ~  # c\n", "meta:  # c\n  enabled: true\n"),
        ("meta: null\nrisk: {}\n", "meta:\n  enabled: true\nrisk: {}\n"),
        ("meta: {}\n", "meta: {enabled: true}\n"),
        ("meta: { }  # c\n", "meta: {enabled: true }  # c\n"),
        ("meta: {dir: x}\n", "meta: {dir: x, enabled: true}\n"),
        ("meta: {dir: x,}\n", "meta: {dir: x, enabled: true,}\n"),
        ("meta: {\n  dir: x  # c\n}\n", "meta: {\n  dir: x, enabled: true  # c\n}\n"),
        ("{}", "{meta: {enabled: true}}"),
        ("{risk: {take_bps: 30}}\n", "{risk: {take_bps: 30}, meta: {enabled: true}}\n"),
        ("meta:\n  enabled:\n", "meta:\n  enabled: true\n"),
        ("meta:\n  enabled: # c\n", "meta:\n  enabled: true # c\n"),
        ("meta: {enabled: }\n", "meta: {enabled: true }\n"),
        ("meta:\n  enabled: ~\n", "meta:\n  enabled: true\n"),
        ("meta:\n  dir: >\n    a\n\n\nrisk:\n", "meta:\n  dir: >\n    a\n  enabled: true\n\n\nrisk:\n"),
        ("meta:\n  dir:\n    a\n    b\n", "meta:\n  dir:\n    a\n    b\n  enabled: true\n"),
        ("meta:\n  version: ''\n  # more\n", "meta:\n  version: ''\n  enabled: true\n  # more\n"),
        ("  meta:\n    dir: x\n", "  meta:\n    dir: x\n    enabled: true\n"),
        ("---\nmeta:\n  enabled: false\n...\n", "---\nmeta:\n  enabled: true\n...\n"),
        ("? meta\n: ? enabled\n  : false\n", "? meta\n: ? enabled\n  : true\n"),
        ("meta:\n  dir: x\n...\n# more\n", "meta:\n  dir: x\n  enabled: true\n...\n# more\n"),
        ('"meta":\n  "enabled": false\n', '"meta":\n  "enabled": true\n'),
        ("meta:\r\n  dir: x\r\n\r\n# end", "meta:\r\n  dir: x\r\n  enabled: true\r\n\r\n# end"),
        ("\ufeffmeta:\n  enabled: false\n", "\ufeffmeta:\n  enabled: true\n"),
        (
            "meta:\n  dir: ü # é\n  enabled: no # ß\n".replace("no", "false"),
            "meta:\n  dir: ü # é\n  enabled: true # ß\n",
        ),
    ],
)
def test_a_switch_is_turned_on_in_whatever_form_it_stands(config, before, after):
    config.write_bytes(before.encode())
    set_values(config, {"meta.enabled": True})
    assert after.encode() == config.read_bytes()
    assert loaded(config).meta.enabled


def test_an_instrument_is_changed_where_it_stands_and_added_where_it_does_not(config):
    config.write_text("instruments:\n  bybit_linear:\n    btc/usdt: {tick: 0.1, lot: 0.001}\nrisk:\n")
    set_values(config, {"instruments.bybit_linear.BTCUSDT.tick": 0.5, "instruments.bybit_linear.ETHUSDT.lot": 0.01})
    assert (
        "instruments:\n  bybit_linear:\n    btc/usdt: {tick: 0.5, lot: 0.001}\n    ETHUSDT:\n      lot: 0.01\nrisk:\n"
        == config.read_text()
    )


def test_what_stands_there_already_is_not_written_again(config):
    config.write_text("meta: {enabled: TRUE, dir: 'model/artifacts'}")
    before = config.stat()
    set_values(config, ON)
    assert before == config.stat()


def test_a_file_that_is_not_there_is_made(config):
    set_values(config, ON)
    assert "meta:\n  enabled: true\n  dir: model/artifacts\n" == config.read_text()
    set_values(config.with_name("empty.yaml"), {})
    assert "" == config.with_name("empty.yaml").read_text()


def test_every_default_can_be_written_over_and_back(config):
    config.write_text(default_yaml())
    set_values(config, {"meta.enabled": True, "risk.horizon": 12, "simulation.warmup_bars": 7, "meta.version": "on"})
    changed = loaded(config)
    assert (True, 12, 7, "on") == (
        changed.meta.enabled, changed.risk.horizon, changed.simulation.warmup_bars, changed.meta.version,
    )  # fmt: skip
    back = {key: item.value for key, item in from_yaml(Path(config)).items()}
    config.write_text(default_yaml())
    set_values(config, back)
    assert changed == loaded(config)


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_permissions_stay(config, mode):
    config.write_text("risk:\n")
    config.chmod(mode)
    set_values(config, ON)
    assert mode == config.stat().st_mode & 0o777
    assert ["config.yaml"] == [path.name for path in config.parent.iterdir()]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("meta: [", r"config.yaml line 1: not valid YAML"),
        ("meta:\n  enabeld: true\n", "config.yaml line 2: unknown key meta.enabeld; did you mean meta.enabled"),
        ("a: 1\n", "config.yaml line 1: unknown key a"),
        ("risk: {take_bps: -3}\n", "risk.take_bps: expected a number .*, saw another"),
        ("meta: &m {enabled: false}\n...\n---\n", "not valid YAML"),
        ("meta:\n  enabled: |\n    false\n", "line 2: expected meta.enabled in one line; change it by hand"),
        ("retrain: {auto: &a false}\nmeta:\n  enabled: *a\n", "line 3: expected the value of meta.enabled behind it"),
        ("retrain:\n  auto: false\n...\n", "saw a form in which meta.enabled cannot be set; change it by hand"),
    ],
)
def test_a_file_that_is_not_understood_is_not_touched(config, text, says):
    config.write_text(text)
    with pytest.raises(ConfigError, match=says):
        set_values(config, {"meta.enabled": True})
    assert text == config.read_text()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"meta.enabeld": True}, "config.yaml: meta.enabeld names no setting of a file; did you mean meta.enabled"),
        ({"secrets.cryptopanic_token": "x"}, "names no setting of a file; secrets stand in the environment or in .env"),
        ({"meta.enabled": "perhaps"}, "meta.enabled: expected true or false, saw another"),
        ({"meta.version": "../x"}, "meta.version: expected a version, or empty, saw another"),
        ({"meta.enabled": []}, "meta.enabled: expected a switch, a number, text or null, saw list; correct it"),
        ({"risk.take_bps": float("nan")}, "risk.take_bps: expected a number"),
    ],
)
def test_a_value_that_is_none_is_not_written(config, values, says):
    config.write_text(COMMENTED)
    with pytest.raises(ConfigError) as caught:
        set_values(config, {"meta.dir": "x", **values})
    assert says in str(caught.value)
    assert COMMENTED == config.read_text()


TEXTS = (
    "on",
    "1e-3",
    "0o7",
    "1_000",
    "2026-01-01",
    "~",
    "null",
    "true",
    "a: b",
    "#c",
    "'",
    '"',
    "{x}",
    "a, b",
    " ",
    "ü",
)
CONTROLS = ("\u2028", "\U0001f600", "a\nb", "\t", "-", "!x", "*a", "a #b")


@pytest.mark.parametrize("text", [*TEXTS, *CONTROLS])
@pytest.mark.parametrize("form", ["meta:\n  dir: old # c\n", "meta: {dir: old, enabled: false}\n"])
def test_any_text_comes_back_as_it_was_given(config, text, form):
    config.write_text(form)
    set_values(config, {"meta.dir": text})
    assert text == from_yaml(config)["meta.dir"].value
    assert form.count("\n") == config.read_text().count("\n")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.symlink_to("other.yaml"), "expected a settings file, saw a link; put a file there"),
        (lambda path: path.mkdir(), "expected a settings file, saw a directory"),
        (os.mkfifo, "expected a settings file, saw a pipe"),
        (lambda path: (path.touch(), path.chmod(0o444)), "saw a read-only one; chmod u+w it"),
        (lambda path: (path.touch(), path.with_name("b").hardlink_to(path)), "saw one of 2 names of the same file"),
        (
            lambda path: (path.touch(), path.with_name(".config.yaml.swp").touch()),
            "saw .config.yaml.swp beside it; close",
        ),
        (
            lambda path: path.with_name(".#config.yaml").symlink_to("me@here.12"),
            "saw .#config.yaml beside it; close the",
        ),
        (lambda path: path.write_bytes(b"\xff"), "expected UTF-8 text, saw the byte 0xff"),
        (lambda path: path.write_bytes(b"#" * 1_100_000), "expected a settings file of at most 1 MiB"),
    ],
)
def test_a_file_that_is_not_to_be_changed_is_a_sentence(config, make, says):
    make(config)
    before = {path.name: path.lstat() for path in config.parent.iterdir()}
    with pytest.raises(ConfigError) as caught:
        set_values(config, ON)
    assert says in str(caught.value)
    assert {name: seen.st_mtime_ns for name, seen in before.items()} == {
        path.name: path.lstat().st_mtime_ns for path in config.parent.iterdir()
    }


def test_the_target_of_a_link_is_left_alone(config):
    config.with_name("other.yaml").write_text("risk:\n")
    config.symlink_to("other.yaml")
    with pytest.raises(ConfigError, match="saw a link"):
        set_values(config, ON)
    assert "risk:\n" == config.with_name("other.yaml").read_text()


def _with_an_editor_beside(path):
    """Changes the file while somebody else does, between our reading and our writing."""

    def edit(what, about):
        if what == "open" and str(about[0]).endswith(".partial"):
            path.write_text("risk: {take_bps: 30}\n")

    sys.addaudithook(edit)
    try:
        set_values(path, ON)
    except ConfigError as error:
        os._exit(7 if "expected a file that stays as it is, saw it changed meanwhile" in str(error) else 8)


def test_a_file_that_changed_between_reading_and_writing_is_not_written(config):
    config.write_text("risk:\n")
    job = get_context("fork").Process(target=_with_an_editor_beside, args=(config,))
    job.start()
    job.join()
    assert (7, "risk: {take_bps: 30}\n") == (job.exitcode, config.read_text())
    assert ["config.yaml"] == [path.name for path in config.parent.iterdir()]


def test_a_file_that_another_of_us_changes_is_not_written(config):
    config.write_text("risk:\n")
    opened = held(config)
    try:
        with pytest.raises(ConfigError, match="saw it changed meanwhile; nothing was written, do this again"):
            set_values(config, ON)
    finally:
        os.close(opened)
    set_values(config, ON)


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(StorageError, match="expected a folder that this user may write to, saw 'No such file"):
        set_values(tmp_path / "none" / "config.yaml", ON)


def _with_little_room(path):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, 30))
    try:
        set_values(path, ON)
    except StorageError as error:
        os._exit(7 if "the disk is full, config.yaml is as it was" in str(error) else 8)


def test_a_full_disk_leaves_the_file_as_it_was(config):
    config.write_text(COMMENTED)
    job = get_context("fork").Process(target=_with_little_room, args=(config,))
    job.start()
    job.join()
    assert (7, COMMENTED) == (job.exitcode, config.read_text())
    assert ["config.yaml"] == [path.name for path in config.parent.iterdir()]


@pytest.mark.slow
def test_killed_at_any_moment_the_file_is_the_old_one_or_the_new(config):
    config.write_text(COMMENTED)
    texts = {edited(COMMENTED, {"meta.enabled": on}, "") for on in (True, False)}
    for number in range(30):
        if not (pid := os.fork()):
            while True:
                for on in (True, False):
                    set_values(config, {"meta.enabled": on})
        time.sleep(0.01 + number * 0.002)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert config.read_text() in texts
    set_values(config, {"meta.dir": "new"})
    assert ["config.yaml"] == [path.name for path in config.parent.iterdir()]


_SPACE = st.sampled_from(["", " ", "   "])
_COMMENT = st.sampled_from(["", " # c", "   # : {}", " #"])
_BETWEEN = st.sampled_from(["", "# lone\n", "\n", "   \n", "    # deep\n"])
_VALUES = {
    "meta": {"enabled": ["true", "false"], "dir": ["a/b", "'q: e'", '"d\\n"', "x  y"], "version": ["''", "v1"]},
    "risk": {"take_bps": ["25", "2.5e1", "30.0"], "stop_bps": ["18", "20"], "horizon": ["20", "010"]},
    "retrain": {"auto": ["true", "False"], "tz": ["UTC", '"Europe/Vienna"'], "daily_hour": ["3"]},
}


@st.composite
def files(draw):
    """Settings files of many forms, with comments everywhere."""
    out = [draw(_BETWEEN)]
    for section in draw(st.permutations(sorted(_VALUES)))[: draw(st.integers(0, 3))]:
        names = draw(st.lists(st.sampled_from(sorted(_VALUES[section])), unique=True, max_size=3))
        pairs = [f"{name}:{draw(_SPACE)} {draw(st.sampled_from(_VALUES[section][name]))}" for name in names]
        if draw(st.booleans()):
            out += [f"{section}: {{{(',' + ' ' * draw(st.integers(0, 2))).join(pairs)}}}{draw(_COMMENT)}\n"]
        else:
            out += [f"{section}:{draw(_COMMENT)}\n"]
            column = draw(st.integers(1, 5))
            for pair in pairs:
                out += [draw(_BETWEEN), f"{' ' * column}{pair}{draw(_COMMENT)}\n"]
        out += [draw(_BETWEEN)]
    text = "".join(out)
    if draw(st.booleans()):
        text = text.rstrip("\n")
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


ASKED = st.fixed_dictionaries(
    {},
    optional={
        "meta.enabled": st.booleans(),
        "meta.dir": st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=8),
        "meta.version": st.sampled_from(["", "20270115T080000Z-0123456789ab", "1e3", "on"]),
        "risk.take_bps": st.floats(5, 50),
        "risk.horizon": st.integers(2, 99),
        "retrain.auto": st.booleans(),
    },
)


@given(text=files(), values=ASKED)
@example(text="meta: {enabled: true}\n    # deep\n", values={"meta.dir": "x"})
def test_of_any_file_only_what_was_asked_changes_and_every_comment_stays(tmp_path_factory, text, values):
    config = tmp_path_factory.mktemp("any") / "config.yaml"
    config.write_bytes(text.encode())
    before = {key: item.value for key, item in from_yaml(config).items()}
    set_values(config, values)
    after = {key: item.value for key, item in from_yaml(config).items()}
    assert {**before, **values} == after
    assert {key: value for key, value in values.items() if key != "meta.dir"}.items() <= {
        f"{section}.{name}": value for section, group in loaded(config) for name, value in dict(group).items()
    }.items()
    new = config.read_bytes().decode()
    if before == after:
        assert text == new
    names = [key.split(".")[1] for key in values]
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    there = iter(new.replace("\r\n", "\n").split("\n"))
    untouched = [line for line in lines if "{" not in line and not any(f"{name}:" in line for name in names)]
    assert all(line in there for line in untouched), "lines are gone, or in another order"
    assert [mark for mark in ("# lone", "# c", "# : {}") if new.count(mark) < text.count(mark)] == []
    assert new.count("\r") in {0, new.count("\n")}
