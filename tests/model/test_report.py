from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from ml.learning.evaluate import earned, predicted, quality
from ml.learning.overfitting import deflated
from ml.learning.scores import brier_skill, reliability
from ml.learning.table import LONG
from model.pages.findings import moment
from model.report import best_of, report_of, write_report
from tests.ml.learning.made import DAY, made
from tests.model.made import data_of, trained
from tests.model.pages.test_document import HOSTILE, read
from utils.errors import StorageError


def without_edge(rows: int = 4000):
    """Nothing can be earned, and the labels are after costs."""
    table = made(rows, tf=20)
    return replace(table, net=table.net - 6.0)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Both families on a market with an edge, and their report."""
    data = data_of(made(5000, edge_bps=20.0, tf=20))
    found, ledger = trained(data, tmp_path_factory.mktemp("edge"), "logistic", "lightgbm")
    return found, ledger, report_of(found, data, ledger, seed=1)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A market without an edge."""
    data = data_of(without_edge())
    found, ledger = trained(data, tmp_path_factory.mktemp("none"))
    return report_of(found, data, ledger, seed=1)


def test_values_are_those_of_the_functions_that_compute_them(told):
    found, ledger, report = told
    for one, family in zip(found, report.families, strict=True):
        seen = predicted(one.judged)
        net = one.record.evidence.net
        assert family.quality == quality(seen, seed=1)
        assert family.quality.skill == brier_skill(seen.p, seen.y, seen.w, seen.base)
        assert family.bins.rate == tuple(reliability(seen.p, seen.y, seen.w).rate)
        assert family.record.earned == earned(one.family, net)
        assert family.record.deflated == deflated(net, ledger.sharpes(), 2)
        assert family.record.total_bps[-1] == pytest.approx(net.sum())
        assert family.record.wealth[-1] == pytest.approx(one.verdict.rules[-1].value)
        assert (family.verdict, family.rules) == (str(one.verdict), one.verdict.rules)
        assert family.slopes[LONG].slope_bps == one.fitted.meta.long.slope
        assert len(family.folds) == len(one.judged)


def test_all_families_and_the_base_rate_judge_the_same_labels(told):
    report = told[2]
    assert report.base is not None
    assert {report.base.labels, *(one.quality.labels for one in report.families)} == {report.base.labels}
    assert all(one.quality.skill > report.base.skill for one in report.families)


def test_the_verdict_is_about_the_one_with_the_most_wealth(told):
    found, _, report = told
    assert report.about.name == best_of(found).family
    assert report.about.rules[-1].value == max(one.verdict.rules[-1].value for one in found)


def test_an_edge_is_seen_by_every_part_of_the_report(told):
    report = told[2]
    for one in report.families:
        assert one.paths is not None
        assert min(one.paths.net_bps) > 0.0
        assert one.importances[0].names == ("f0",)
        assert one.random_chance < 0.01
        assert any(line.pays for line in one.lines)


def test_a_brief_is_a_dozen_lines_of_a_terminal(told, plain):
    for report in (told[2], plain):
        lines = report.brief().splitlines()
        assert len(lines) <= 15
        assert max(map(len, lines)) <= 115
        for word in ("effective", "smallest edge", "days needed", "enabled"):
            assert word in report.brief()


def test_a_row_is_strict_json(told, plain):
    for report in (told[2], plain):
        again = json.loads(json.dumps(report.row(), allow_nan=False))
        assert again["families"][0]["quality"]["labels"] == report.families[0].quality.labels


def test_pages_are_whole_and_need_nothing(told, tmp_path):
    paths = write_report(told[2], tmp_path / "deep" / "report")
    text = paths.html.read_text(encoding="utf-8")
    assert read(text).text
    assert len(text) < 1 << 20
    for word in ("http", "<script", "url(", "src=", "nan", "NaN"):
        assert word not in text
    assert text.count("<svg") == 6
    assert paths.markdown.read_text(encoding="utf-8").startswith("# Meta-model of BTCUSDT, 5m\n\n**")
    assert sorted(path.name for path in paths.html.parent.iterdir()) == ["report.html", "report.md"]


def test_the_verdict_stands_first_with_what_it_means(plain, tmp_path):
    text = write_report(plain, tmp_path / "report").markdown.read_text(encoding="utf-8")
    assert text.splitlines()[2].startswith("**not enabled: ")
    assert "This is the normal outcome" in text.splitlines()[4]
    assert "no setting was changed" in text.splitlines()[4]


def test_a_symbol_is_text_whatever_it_is_called(tmp_path):
    data = data_of(replace(without_edge(), symbols=(HOSTILE,)))
    found, ledger = trained(data, tmp_path)
    paths = write_report(report_of(found, data, ledger, seed=1), tmp_path / "report")
    page = read(paths.html.read_text(encoding="utf-8"))
    assert not {"script", "b"} & {*page.tags}
    assert 'alert("x")' in page.text
    assert "<" not in paths.markdown.read_text(encoding="utf-8")


def test_a_label_that_is_predictable_and_worth_nothing_is_called_that(tmp_path):
    table = made(5000)
    # a feature tells whether a trade wins; the likelier that is, the less there is to win
    p = 1.0 / (1.0 + np.exp(-1.5 * table.x[:, :1].clip(-1.0, 1.0)))
    wins = np.random.default_rng(4).uniform(size=(len(table), 2)) < p
    net = np.where(wins, 4.0 * (1.0 - p) / p, -4.0)
    data = data_of(replace(table, net=net))
    found, ledger = trained(data, tmp_path)
    report = report_of(found, data, ledger, seed=1)
    assert report.about.quality.skill > 0.05
    assert not any(line.pays for line in report.about.lines)
    text = write_report(report, tmp_path / "report").markdown.read_text(encoding="utf-8")
    assert "predictable without being worth anything" in text


@pytest.mark.parametrize("fresh", [0, 1, 40, 900])
def test_a_training_after_the_first_has_what_came_since(tmp_path, fresh):
    table = without_edge(5000)
    trained(data_of(table.take(slice(0, 4000))), tmp_path)
    data = data_of(table.take(slice(0, 4000 + fresh)))
    found, ledger = trained(data, tmp_path, now_ns=20)
    assert sum(len(one.table) for one in found[0].judged) <= fresh
    report = report_of(found, data, ledger, seed=1)
    assert report.about.record.trainings == 2
    assert len(report.about.folds) <= 1
    json.dumps(report.row(), allow_nan=False)
    page = read(write_report(report, tmp_path / "report").html.read_text(encoding="utf-8"))
    assert "nan" not in page.text
    assert report.brief()


@pytest.mark.parametrize("edge", [0.0, 20.0])
def test_a_training_with_nothing_new_tells_where_the_record_stands(tmp_path, edge):
    data = data_of(made(5000, edge_bps=edge, tf=20) if edge else without_edge(5000))
    (first,), ledger = trained(data, tmp_path)
    before = report_of([first], data, ledger, seed=1)
    found, ledger = trained(data, tmp_path, now_ns=20)
    report = report_of(found, data, ledger, seed=1)
    evidence = first.record.evidence
    assert bool(edge) == (len(evidence.net) > 1)
    holds = f"{len(evidence.net):,} trades of {evidence.days} days"
    assert report.nothing_new == f"nothing new since {moment(evidence.last)}; the record holds {holds}"
    assert before.nothing_new == ""
    assert report.about.record.skill == before.about.record.skill == pytest.approx(before.about.quality.skill)
    assert report.about.record.skill_low == before.about.record.skill_low
    outlook, was = report.about.outlook, before.about.outlook
    assert outlook.supposed == was.supposed == (not edge)
    # without a trade all signals are asked, which meet at the borders of the walk
    assert outlook.trades == pytest.approx(was.trades, rel=0.01)
    assert outlook.smallest_bps == pytest.approx(was.smallest_bps, rel=0.02)
    brief = report.brief()
    for word in (report.nothing_new, "bps a trade is what", "until there is enough" if not edge else "enough to judge"):
        assert word in brief
    assert "0 labels" not in brief
    assert "unknown" not in brief
    text = write_report(report, tmp_path / "report").markdown.read_text(encoding="utf-8")
    assert text.splitlines()[4].startswith(f"Nothing new since {moment(evidence.last)}; the record holds {holds}, and")
    for word in ("labels judged", "0 labels", "abels to look at"):
        assert word not in text
    assert "of the record" in text


def test_too_little_to_begin_a_record_is_told_as_what_was_judged_now(tmp_path):
    data = data_of(made(3000, edge_bps=20.0))
    found, ledger = trained(data, tmp_path)
    report = report_of(found, data, ledger, seed=1)
    record = report.about.record
    assert found[0].record.trainings == record.trainings == 0
    assert record.earned.trades == report.about.rules[1].value > 0
    assert record.days == report.about.rules[0].value > 0
    assert report.nothing_new == ""
    text = write_report(report, tmp_path / "report").markdown.read_text(encoding="utf-8")
    assert "days now, and begins with a training that judges 30 days" in " ".join(text.split())


def test_a_window_that_has_moved_on_says_what_it_cannot_compare(tmp_path):
    table = without_edge(6000)
    trained(data_of(table.take(slice(0, 4000))), tmp_path)
    data = data_of(table.take(slice(3950, 6000)))
    found, ledger = trained(data, tmp_path, now_ns=20)
    report = report_of(found, data, ledger, seed=1)
    assert report.base is None
    assert "ask for more bars" in report.base_why
    assert report.about.quality.labels > 1000


def test_without_a_label_judged_everything_is_unknown_and_said(tmp_path):
    table = without_edge(4100)
    trained(data_of(table.take(slice(0, 4000))), tmp_path)
    net = table.net.copy()
    net[4000:] = math.nan
    data = data_of(replace(table, net=net))
    found, ledger = trained(data, tmp_path, now_ns=20)
    report = report_of(found, data, ledger, seed=1)
    assert report.about.quality.labels == 0
    assert math.isnan(report.about.quality.skill)
    text = write_report(report, tmp_path / "report").html.read_text(encoding="utf-8")
    assert "no labels to look at" in text.lower()


def test_overfitting_is_told_where_there_are_days_enough(tmp_path):
    table = made(1200, edge_bps=30.0)
    slow = replace(table, ts=table.ts[0] + (table.ts - table.ts[0]) * 30, tf_ns=DAY // 48)
    slow = replace(slow, until=slow.ts[:, None] + slow.tf_ns * np.array([2, 2]))
    data = data_of(slow)
    found, ledger = trained(data, tmp_path)
    report = report_of(found, data, ledger, seed=1)
    assert report.overfit.days >= 20
    assert 0.0 <= report.overfit.probability <= 1.0
    assert report.overfit_ledger.configurations == 1
    assert report.overfit_ledger.why == "fewer than two configurations traded on days in common"


def test_a_place_that_cannot_be_written_is_one_sentence(plain, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="name another place"):
        write_report(plain, tmp_path / "file" / "report")


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_a_directory_in_a_reports_place_is_named_and_nothing_is_written(plain, tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(StorageError) as caught:
        write_report(plain, tmp_path / "report")
    assert f"{tmp_path / name}: expected a file, saw a directory; move it away or name another place" == str(
        caught.value
    )
    assert [name] == [path.name for path in tmp_path.iterdir()]


def test_progress_is_told_to_its_end(tmp_path):
    data = data_of(without_edge(3000))
    found, ledger = trained(data, tmp_path)
    heard = []
    report_of(found, data, ledger, seed=1, told=lambda what, done, whole: heard.append((what, done, whole)))
    assert [one[1] for one in heard] == [1, 2, 3, 4, 5, 6]
    assert {one[2] for one in heard} == {6}
