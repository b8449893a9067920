"""Which run goes on, and what has to agree with it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from backtest.run.resume import TODAY, agreed, check_agreement, run_to_resume
from backtest.strategies.identity import Identity
from tests.journal import META, moment
from tests.live import before, begun_with, sources
from utils.errors import ConfigError, DataError
from utils.records.database import JOURNAL
from utils.records.sqlite import SqliteJournal
from utils.settings.tree import Settings

SETTINGS = Settings()


@pytest.fixture(scope="module")
def meta():
    return begun_with(SETTINGS, before(sources())[1])


def left(logs, name, started=0, moments=1, *, finished=False):
    """A run that ended so."""
    with SqliteJournal.begin(logs, name, dataclasses.replace(META, started=started)) as journal:
        for number in range(1, moments + 1):
            journal.commit(moment(number))
        if finished:
            journal.finish({})
    return journal.home


def only_begun(logs, name, started):
    """A run whose process was gone before its first close."""
    home = left(logs, name, started)
    (home / JOURNAL).unlink()
    journal = SqliteJournal.begin(home, None, dataclasses.replace(META, started=started))
    journal._db.close()
    journal._lock.close()
    return home


def changed(section, **values):
    part = getattr(SETTINGS, section)
    return SETTINGS.model_copy(update={section: part.model_copy(update=values)})


def test_the_run_that_began_last_goes_on(tmp_path):
    left(tmp_path, "a", 1)
    later = left(tmp_path, "b", 2, 3)
    left(tmp_path, "c", 3, finished=True)
    only_begun(tmp_path, "d", 4)
    going = run_to_resume(tmp_path)
    assert (later, 3, META.symbols) == (going.home, going.told.seq, going.meta.symbols)


@pytest.mark.parametrize("name", ["a", "runs/a", f"runs/a/{JOURNAL}"])
def test_a_run_is_named_by_its_folder_its_journal_or_its_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    left(tmp_path, "a", 1)
    left(tmp_path, "b", 2)
    assert "a" == run_to_resume(tmp_path, name).home.name


def test_where_nothing_was_killed_nothing_goes_on(tmp_path):
    for logs in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match=r"expected a run in .* that was killed, saw none; begin one"):
            run_to_resume(logs)
    left(tmp_path, "a", finished=True)
    with pytest.raises(ConfigError, match="saw none"):
        run_to_resume(tmp_path)


def test_a_named_run_that_cannot_go_on_is_refused_with_the_reason(tmp_path):
    left(tmp_path, "a", finished=True)
    with pytest.raises(DataError, match="this run is finished, and nothing can follow; begin one without --resume"):
        run_to_resume(tmp_path, "a")
    only_begun(tmp_path, "b", 1)
    with pytest.raises(ConfigError, match="killed before its first bar"):
        run_to_resume(tmp_path, "b")
    with pytest.raises(ConfigError, match=r"saw no journal at nowhere or .*runs/nowhere; name one of those in runs/"):
        run_to_resume(tmp_path, "nowhere")


def test_equal_settings_agree_and_todays_ways_to_the_exchange_hold(meta):
    today = changed("ingest", timeout_s=7.5)
    assert today == agreed(today, meta)
    assert 7.5 == agreed(today, meta).ingest.timeout_s


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("risk", {"take_bps": 26.0}),
        ("signal", {"min_strength": 1.0}),
        ("execution", {"entry": "market"}),
        ("simulation", {"initial_capital": 5.0}),
        ("market", {"exchange": "binance"}),
        ("ingest", {"book_depth": 200}),
        ("instruments", {}),
    ],
)
def test_a_setting_that_decides_must_be_that_of_the_run(meta, section, values):
    today = SETTINGS.model_copy(update={"instruments": {}}) if section == "instruments" else changed(section, **values)
    key = "instruments.default" if section == "instruments" else f"{section}.{next(iter(values))}"
    with pytest.raises(ConfigError, match=rf"^{key}.*: expected .* as the run has it, saw .*; leave that as it was"):
        agreed(today, meta)


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("simulation", {"steps": 7, "seed": 1, "warmup_bars": 3, "preset": "small-tick"}),
        ("market", {"symbol": "XRPUSDT", "timeframe": "1h"}),
        ("logs", {"dir": "elsewhere"}),
        ("retrain", {"daily_hour": 7}),
    ],
)
def test_a_setting_that_decides_nothing_any_more_may_be_any(meta, section, values):
    whole = agreed(changed(section, **values), meta)
    own = SETTINGS if section not in TODAY else changed(section, **values)
    assert own == whole


def test_a_setting_with_a_flag_is_the_runs_own_where_the_flag_is_not_given(meta):
    today = changed("simulation", initial_capital=5.0)
    assert SETTINGS == agreed(today, meta, named=())
    with pytest.raises(ConfigError, match=r"initial_capital: expected 10000\.0 as the run has it, saw 5\.0"):
        agreed(today, meta, named={"simulation.initial_capital"})


def test_data_from_another_address_is_refused(meta):
    today = changed("endpoints", bybit_rest="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"endpoints: expected bybit as the run has it, saw bybit@127\.0\.0\.1:9"):
        agreed(today, meta)


def test_settings_of_another_version_are_refused(meta):
    newer = dataclasses.replace(meta, settings=meta.settings | {"wishes": {}})
    with pytest.raises(DataError, match=r"saw those of .* \(1 unknown\); go on with that one"):
        agreed(SETTINGS, newer)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            ("BTCUSDT", None, None),
            "--symbol: expected BTCUSDT,ETHUSDT as the run has it, saw BTCUSDT; leave that",
        ),
        ((None, "5m", None), "--timeframe: expected 1m as the run has it, saw 5m; leave that"),
        ((None, None, "binance"), "--exchange-for-ob: expected bybit as the run has it, saw binance"),
    ],
)
def test_what_contradicts_a_run_is_one_sentence(meta, said, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_agreement(meta, *said, None)


def test_what_agrees_in_any_spelling_passes(meta):
    check_agreement(meta, None, None, None, None)
    check_agreement(meta, "eth/usdt:usdt,BTCUSDT", "1m", "bybit", None)


@pytest.mark.parametrize("own", [True, False])
def test_who_answers_must_be_as_it_was(meta, own):
    then = dataclasses.replace(meta, asked=meta.asked | {"strategy": own})
    mine = Identity("mine:cross", "f00", {"n": 20})
    with pytest.raises(ConfigError, match=r"strategy: expected .* strategy.* as the run has it, saw"):
        check_agreement(then, None, None, None, None if own else mine)


def test_a_run_goes_on_with_the_strategy_it_was_begun_with(meta):
    mine = Identity("mine:cross", "f00", {"n": 20, "take": (1.0, 2.0)})
    kept = {"name": "mine:cross", "source_sha256": "f00", "parameters": {"n": 20, "take": [1.0, 2.0]}}
    then = dataclasses.replace(meta, asked=meta.asked | {"strategy": True, "identity": kept})
    check_agreement(then, None, None, None, mine)
    for other, what in (
        (dataclasses.replace(mine, name="mine:other"), "name to be mine:cross as the run has it, saw mine:other"),
        (dataclasses.replace(mine, source_sha256="bad"), "source_sha256 to be f00 as the run has it, saw bad"),
        (dataclasses.replace(mine, parameters={"n": 21}), "parameters to be .*20.* as the run has it, saw .*21"),
    ):
        with pytest.raises(ConfigError, match=f"strategy: expected its {what}"):
            check_agreement(then, None, None, None, other)
    with pytest.raises(ConfigError, match="strategy: expected mine:cross as the run has it, saw the default strategy"):
        check_agreement(then, None, None, None, None)


def test_what_a_run_says_of_itself_comes_back(tmp_path, meta):
    with SqliteJournal.begin(tmp_path, "a", meta) as journal:
        journal.commit(moment(1))
    found = run_to_resume(tmp_path).meta
    for field in dataclasses.fields(meta):
        one, other = (getattr(each, field.name) for each in (meta, found))
        assert np.array_equal(one, other) if field.name == "instruments" else one == other
