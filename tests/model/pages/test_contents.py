from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from model.pages.contents import meaning, page_of
from model.pages.document import Folded, Grid, markdown
from model.report import report_of
from tests.ml.learning.made import made
from tests.model.made import data_of, trained


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    table = made(3000)
    data = data_of(replace(table, net=table.net - 6.0))
    found, ledger = trained(data, tmp_path_factory.mktemp("contents"))
    return report_of(found, data, ledger, seed=1)


def test_each_end_has_its_meaning_in_plain_words(report):
    about = report.about
    some = replace(about.outlook, trades=5, days_needed=12.0, edge_days=math.inf, supposed=False)
    none = replace(some, trades=0)
    assert "no trade was expected to earn more than it costs" in meaning(replace(about, outlook=none))
    assert "too little to judge yet" in meaning(replace(about, outlook=some, enough=False))
    assert "12 days more" in meaning(replace(about, outlook=some, enough=False))
    enough = replace(about, outlook=some, enough=True)
    assert "beyond what chance and repeated tries explain. Signals" in meaning(enough)
    assert "Every rule holds" in meaning(replace(about, opens=True))


def test_all_that_is_promised_stands_on_the_page(report):
    text = markdown(page_of(report))
    for word in (
        "P(net > 0)", "wealth", "smallest mean net", "days until", "Brier skill", "reliability", "resolution",
        "uncertainty", "log loss", "ECE", "AUC long", "AUC short", "base rate", "slope used", "threshold", "PSR", "DSR",
        "PBO", "trades that would show it", "Combinatorial purged", "rise of the log loss", "latest 1/8", "no trade",
        "all signals of the strategy", "logistic, 3 features",
    ):  # fmt: skip
        assert word in text, word


def test_rows_of_a_table_are_as_long_as_its_heads(report):
    for section in page_of(report).sections:
        for block in section.blocks:
            grid = block.grid if isinstance(block, Folded) else block
            if isinstance(grid, Grid):
                assert {len(row) for row in grid.rows} <= {len(grid.heads)}, grid.heads


def test_numbers_are_rounded_as_people_read_them(report):
    cells = [
        cell
        for section in page_of(report).sections
        for block in section.blocks
        if isinstance(block, Grid) and not block.words
        for row in block.rows
        for cell in row[1:]
    ]
    assert len(cells) > 100
    assert max(map(len, cells)) <= 32
    assert not [cell for cell in cells if "e-" in cell or "nan" in cell or "inf" in cell]


def test_gross_labels_are_called_that(report):
    assert "before all costs" in markdown(page_of(replace(report, gross=True)))


def test_a_threshold_that_takes_nothing_is_none_and_where_all_are_that_is_said_once(report):
    some = [replace(fold, threshold_bps=np.inf if k else 1.5) for k, fold in enumerate(report.about.folds)]
    one = replace(report.about, folds=tuple(some))
    assert markdown(page_of(replace(report, families=(one,)))).count("|      none |") == len(some) - 1
    none = replace(one, folds=tuple(replace(fold, threshold_bps=np.inf) for fold in some))
    assert "in none of 8 steps was a threshold worth" in markdown(page_of(replace(report, families=(none,))))


def test_what_probabilities_are_worth_is_said_where_they_know_something(report):
    about = report.about
    knows = replace(about, quality=replace(about.quality, skill=0.01))
    flat = replace(about.lines[0], slope_bps=0.0, error_bps=1.0)
    steep = replace(flat, slope_bps=9.0)
    idle, busy = (replace(about.record, earned=replace(about.record.earned, trades=n)) for n in (0, 9))

    def said(**other):
        return markdown(page_of(replace(report, families=(replace(knows, **other),))))

    assert "predictable without being worth anything" in said(lines=(flat, flat))
    assert "not yet to earn" in said(lines=(flat, steep), record=idle)
    assert "know more than the base rate, and" not in said(lines=(steep, steep), record=busy)


def test_what_two_windows_can_show_is_said_once_where_it_is_the_same(report):
    other = replace(report.about, name="lightgbm")
    text = markdown(page_of(replace(report, families=(report.about, other))))
    assert text.count("can show (2.5 x") == 1
