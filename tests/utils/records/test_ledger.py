"""What was tried stays written down, each configuration once."""

import math
import time
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.errors import ConfigError, DataError
from utils.records.chain import Chain
from utils.records.ledger import Ledger, Trial, canonical, daily, daily_sharpes
from utils.rows import NS_PER_DAY, NS_PER_HOUR


def trial(configuration, data="a" * 64, **more):
    given_ = {"time": 1, "kind": "search", "trades": 2, "net_bps": 1.5, "sharpe": 0.1, **more}
    return Trial(configuration=configuration, data=data, **given_)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "trials.jsonl")


def test_a_ledger_that_is_not_there_holds_nothing(ledger):
    assert (0, (), 0) == (ledger.count(), ledger.trials(), len(ledger.sharpes()))
    assert 0 == len(daily_sharpes(ledger.matrix()))
    assert ((), (), (0, 0)) == (*ledger.matrix()[:2], ledger.matrix().net_bps.shape)


def test_a_trial_comes_back_as_it_was_written(ledger):
    days = {"2026-01-31": -3.25, "2026-02-01": 0.0}
    ledger.add(trial({"take_bps": 25, "side": "long", "more": [1, None]}, time=17, kind="retrain", days=days))
    (one,) = ledger.trials()
    assert (17, "retrain", {"take_bps": 25, "side": "long", "more": [1, None]}, "a" * 64, 2, 1.5, 0.1, days) == tuple(
        getattr(one, name) for name in Trial.__slots__
    )


def test_what_is_not_known_comes_back_as_that(ledger):
    ledger.add(trial({}, trades=0, net_bps=math.nan, sharpe=math.nan))
    assert np.isnan([ledger.trials()[0].net_bps, ledger.trials()[0].sharpe]).all()
    assert 0 == len(ledger.sharpes())


def test_the_same_configuration_on_the_same_data_is_one_trial(ledger):
    one = trial({"a": 1.0, "b": "x"})
    assert 1 == ledger.add(one, trial({"b": "x", "a": 1}, kind="sweep", time=9))
    assert 0 == ledger.add(one)
    assert 1 == ledger.add(trial({"a": 1, "b": "x"}, data="b" * 64))
    assert (2, 1) == (len(ledger.trials()), ledger.count())


@given(
    st.dictionaries(
        st.text(max_size=5), st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats()), max_size=5
    )
)
def test_a_configuration_has_one_key_whatever_its_order_and_however_it_was_kept(configuration):
    reversed_ = dict(reversed(list(configuration.items())))
    assert trial(configuration).key == trial(reversed_).key == trial(canonical(configuration)).key


def test_other_values_are_other_configurations():
    others = [{"a": 1}, {"a": 2}, {"a": 1.5}, {"a": "1"}, {"a": True}, {"a": None}, {"b": 1}, {"a": [1]}, {}]
    assert len(others) == len({trial(one).key for one in others})


def test_sharpe_ratios_are_those_of_the_last_try_of_each_configuration(ledger):
    ledger.add(trial({"a": 1}, sharpe=0.1), trial({"a": 2}, sharpe=0.2), trial({"a": 1}, data="b", sharpe=0.3))
    assert [0.3, 0.2] == ledger.sharpes().tolist()


def test_the_matrix_has_a_row_a_day_and_a_column_a_configuration(ledger):
    ledger.add(
        trial({"a": 1}, days={"2026-01-02": 2.0, "2026-01-01": 1.0}),
        trial({"a": 2}, days={"2026-01-02": 3.0}),
        trial({"a": 1}, data="b", days={"2026-01-02": 5.0, "2026-01-03": 6.0}),
    )
    days, keys, nets = ledger.matrix()
    assert ("2026-01-01", "2026-01-02", "2026-01-03") == days
    assert (trial({"a": 1}).key, trial({"a": 2}).key) == keys
    np.testing.assert_array_equal([[1.0, math.nan], [5.0, 3.0], [6.0, math.nan]], nets)


def test_daily_sharpe_ratios_are_those_of_the_days_of_each_configuration(ledger):
    ledger.add(trial({"a": 1}, days={"2026-01-01": 1.0, "2026-01-02": 3.0}), trial({"a": 2}, days={"2026-01-02": 3.0}))
    assert [pytest.approx(2.0 / math.sqrt(2.0))] == daily_sharpes(ledger.matrix()).tolist()


def test_nets_are_summed_by_the_day_that_a_trade_ended_in_and_a_quiet_day_is_0():
    day = 20_000 * NS_PER_DAY
    ends = [day + NS_PER_HOUR, day + NS_PER_DAY, day + 3 * NS_PER_DAY]
    assert {"2024-10-04": 3.0, "2024-10-05": 0.0, "2024-10-06": 4.0, "2024-10-07": 0.0} == daily(
        ends, np.array([1.0, 2.0, 4.0]), day + 1, day + 4 * NS_PER_DAY
    )
    with pytest.raises(ConfigError, match="expected trades that end within the data"):
        daily(ends, np.ones(3), day + NS_PER_DAY + 1, day + 4 * NS_PER_DAY)


@pytest.mark.parametrize(
    "wrong", [{"kind": "guess"}, {"trades": -1}, {"net_bps": math.inf}, {"days": {"today": 1.0}},
              {"days": {"2026-01-01": math.nan}}],
)  # fmt: skip
def test_a_trial_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigError, match="trial: expected"):
        trial({}, **wrong)


@pytest.mark.parametrize("change", [{"key": "0" * 64}, {"trades": "x"}, {"days": None}, {"kind": "guess"}])
def test_a_line_that_is_no_trial_is_refused_and_names_itself(ledger, tmp_path, change):
    ledger.add(trial({"a": 1}))
    chain = Chain(tmp_path / "trials.jsonl")
    chain.append(chain.read()[0] | change)
    with pytest.raises(DataError, match=r"trials\.jsonl line 2: expected a trial"):
        ledger.count()


def test_what_is_noted_now_is_a_trial_each(ledger):
    before = time.time_ns()
    assert 2 == ledger.note("sweep", "d", [({"a": 1}, 3, 1.5), ({"a": 2}, 0, math.nan), ({"a": 1}, 3, 1.5)])
    assert [("sweep", 3), ("sweep", 0)] == [(one.kind, one.trades) for one in ledger.trials()]
    assert before <= ledger.trials()[0].time <= time.time_ns()


def _add_all(path):
    for number in range(30):
        Ledger(path).add(trial({"n": number}))


def test_two_processes_that_try_the_same_write_it_down_once(tmp_path):
    path = tmp_path / "trials.jsonl"
    jobs = [get_context("fork").Process(target=_add_all, args=(path,)) for _ in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert (30, 30) == (len(Ledger(path).trials()), Ledger(path).count())
