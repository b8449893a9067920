"""What comes again and again is a line once in a while."""

import logging

from utils.shell.log import setup_logging
from utils.shell.seldom import Seldom


def test_what_comes_again_and_again_is_said_once_in_a_while_with_how_often_it_came(capsys):
    now = [0.0]
    setup_logging()
    seldom, logger = Seldom(60.0, lambda: now[0]), logging.getLogger("ingest")
    for now[0] in (0.0, 1.0, 59.0, 60.0, 61.0):
        for kind in ("BTCUSDT", "ETHUSDT"):
            seldom.event(logger, "away", kind=kind, severity=logging.WARNING, about=kind)
    lines = [line.partition(" ingest: ")[2] for line in capsys.readouterr().err.splitlines()]
    first = ["away about=BTCUSDT", "away about=ETHUSDT"]
    assert [*first, *(f"{line} left_out=2" for line in first)] == lines


def test_of_kinds_without_end_the_newest_are_remembered():
    seldom = Seldom(60.0, lambda: 0.0)
    for kind in range(1_000):
        seldom.event(logging.getLogger("ingest"), "away", kind=kind, severity=logging.DEBUG)
    assert [("away", kind) for kind in range(1_000 - Seldom.MOST, 1_000)] == list(seldom._said)
