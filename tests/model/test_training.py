"""A training judges what came since, once, with the version that there was."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from ml.learning.walk import together
from model.records import RECORDS, Record
from model.training import against_champion, among, settled, worst_of
from tests.ml.learning.made import made
from tests.ml.learning.test_gate import evidence
from tests.model.made import data_of, trained
from utils.codes import END_OF_DATA
from utils.errors import DataError
from utils.records.versions import Versions


def parts(rows, cut, edge=12.0):
    table = made(rows, edge_bps=edge, tf=20)
    return data_of(table.take(slice(0, cut))), data_of(table)


def test_a_first_training_walks_forward_and_a_second_lets_its_version_judge(tmp_path):
    early, all_of_it = parts(5000, 4000)
    (first,), ledger = trained(early, tmp_path)
    assert len(first.judged) == 8
    (second,), _ = trained(all_of_it, tmp_path, now_ns=20)
    assert len(second.judged) == 1
    assert second.judged[0].fitted.meta.threshold_bps == first.fitted.meta.threshold_bps
    assert second.judged[0].table.ts[0] > first.record.evidence.last
    assert second.record.evidence.last == all_of_it.table.ts[-1]
    assert second.record.trainings == 2
    assert ledger.count() == 1


def test_what_was_judged_is_never_judged_again(tmp_path):
    early, all_of_it = parts(5000, 4000)
    (first,), _ = trained(early, tmp_path)
    other = made(5000, edge_bps=-12.0, seed=7)
    changed = replace(all_of_it.table, net=np.where(np.arange(5000)[:, None] < 4000, other.net, all_of_it.table.net))
    (second,), _ = trained(data_of(changed), tmp_path, now_ns=20)
    before, after = first.record.evidence, second.record.evidence
    np.testing.assert_array_equal(after.net[: len(before.net)], before.net)
    assert after.first == before.first


def test_the_same_data_again_add_nothing(tmp_path):
    data, _ = parts(4000, 4000)
    (first,), _ = trained(data, tmp_path)
    (second,), ledger = trained(data, tmp_path, now_ns=20)
    assert second.judged == []
    assert len(second.record.evidence.net) == len(first.record.evidence.net)
    assert ledger.count() == 1


def test_too_little_to_be_asked_anything_begins_no_record(tmp_path):
    short, longer = data_of(made(2000)), data_of(made(6000, tf=20))
    (first,), ledger = trained(short, tmp_path)
    assert first.record.version == ""
    assert first.verdict.rules[0].value < 30
    (again,), _ = trained(data_of(made(2000, seed=2)), tmp_path)
    assert len(again.judged) == 8
    assert ledger.count() == 1
    (second,), _ = trained(longer, tmp_path)
    assert len(second.judged) == 8
    assert second.record.version


def test_who_begins_a_record_anew_has_tried_once_more(tmp_path):
    data, _ = parts(4000, 4000)
    (first,), ledger = trained(data, tmp_path)
    first.record.path.unlink()
    later = data_of(data.table.take(slice(100, None)))
    (second,), _ = trained(later, tmp_path, now_ns=20)
    assert ledger.count() == 2
    assert second.verdict.tried == 2


def test_a_hole_that_nobody_would_judge_is_refused(tmp_path):
    early, all_of_it = parts(5000, 3900)
    trained(early, tmp_path)
    with pytest.raises(DataError, match=r"expected bars from .* where the record ends"):
        trained(data_of(all_of_it.table.take(slice(3_950, None))), tmp_path, now_ns=20)


def test_a_version_that_is_gone_names_the_record(tmp_path):
    early, all_of_it = parts(5000, 4000)
    (first,), _ = trained(early, tmp_path)
    shutil.rmtree(tmp_path / first.version)
    with pytest.raises(DataError, match="put it back, or move the record away"):
        trained(all_of_it, tmp_path, now_ns=20)


def test_no_row_is_lost_between_two_trainings(tmp_path):
    early, all_of_it = parts(5000, 4000)
    trained(early, tmp_path)
    (second,), _ = trained(all_of_it, tmp_path, now_ns=20)
    assert second.judged[0].table.ts[0] == early.table.ts[-1] + early.table.tf_ns


def test_a_position_of_the_training_before_is_not_doubled(tmp_path):
    early, all_of_it = parts(5000, 4000)
    trained(early, tmp_path)
    (second,), _ = trained(all_of_it, tmp_path, now_ns=20)
    found = second.record.evidence
    assert (found.ts[1:] >= found.until[:-1]).all()


def test_trades_that_were_open_when_the_bars_ended_end_what_is_judged():
    data = data_of(made(100))
    reason = data.reason.copy()
    reason[95, 1] = END_OF_DATA
    cut = settled(replace(data, reason=reason))
    assert len(cut) == 95
    with pytest.raises(DataError, match="ask for more bars"):
        settled(replace(data, reason=np.full((100, 2), END_OF_DATA)))


def test_a_symbol_that_ended_long_ago_is_cut_by_itself():
    table = made(3000)
    sym = (np.arange(3000) < 1000).astype(np.int64)
    data = data_of(replace(table, symbols=("A", "B"), sym=sym))
    reason = data.reason.copy()
    reason[990, 0] = END_OF_DATA
    assert len(settled(replace(data, reason=reason))) == 2990


def test_two_learners_are_two_configurations(tmp_path):
    data, _ = parts(3000, 3000)
    found, ledger = trained(data, tmp_path, "logistic", "lightgbm")
    assert ledger.count() == 2
    assert {one.verdict.tried for one in found} == {2}
    assert len({one.record.path for one in found}) == 2


def test_a_manifest_says_what_a_version_is(tmp_path):
    data, _ = parts(4000, 4000)
    (one,), _ = trained(data, tmp_path)
    manifest, _ = Versions(tmp_path).read(one.version)
    assert manifest["configuration"]["family"] == "logistic"
    assert manifest["verdict"] == str(one.verdict)
    assert manifest["fit"]["until"] <= data.table.ts[-1]


def test_the_version_that_serves_is_no_challenger_of_itself(tmp_path):
    data, _ = parts(4000, 4000)
    (one,), _ = trained(data, tmp_path)
    assert against_champion(one, tmp_path, one.version, 1, seed=1) is None


def test_a_challenger_is_held_against_the_record_of_what_serves(tmp_path):
    data, _ = parts(4000, 4000)
    (champion,), _ = trained(data, tmp_path)
    other = data_of(data.table, take_bps=30.0)
    (challenger,), ledger = trained(other, tmp_path)
    told = against_champion(challenger, tmp_path, champion.version, ledger.count(), seed=1)
    assert told is not None
    assert not told.opens  # the same trades differ by nothing
    assert told.rules[1].value == len(np.unique(champion.record.evidence.ts))


def test_symbols_are_told_apart_by_name(tmp_path):
    found = []
    for names in (["ETHUSDT"], ["BTCUSDT", "ETHUSDT"]):
        record = Record(tmp_path / RECORDS, {"symbols": names})
        one = replace(evidence(days=2), sym=np.full(16, len(names) - 1))
        record.advance(one, "v", one.last, "walk-forward")
        found.append(among(record, ["BTCUSDT", "ETHUSDT"]).sym)
    np.testing.assert_array_equal(*found)


def test_the_worst_loss_is_twice_that_at_the_stop():
    assert worst_of(data_of(made(10)).manifest["configuration"]) == 2.0 * (18.0 + 2.0 * (5.0 + 1.5))


def test_evidence_of_another_record_is_its_own(tmp_path):
    one = evidence(days=3)
    record = Record(tmp_path / RECORDS, {"family": "logistic"})
    record.advance(one, "v", one.last, "walk-forward")
    assert together([record.evidence]).days == 3
