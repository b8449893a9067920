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
    assert "no trade was expected to earn more than it costs" in meaning(
        replace(about, outlook=replace(some, trades=0))
    )
    assert "too little to judge yet" in meaning(replace(about, outlook=some, enough=False))
    assert "12 days more" in meaning(replace(about, outlook=some, enough=False))
    assert "beyond what chance and repeated tries explain. Signals" in meaning(
        replace(about, outlook=some, enough=True)
    )
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


def test_a_threshold_that_takes_nothing_is_none(report):
    one = replace(report.about, folds=tuple(replace(fold, threshold_bps=np.inf) for fold in report.about.folds))
    text = markdown(page_of(replace(report, families=(one,))))
    assert text.count("|      none |") == len(one.folds)
