"""What every command of the product shows for --help."""

import argparse
import re
import runpy
from functools import partial

import pytest

from backtest.audit import build_parser as audit
from backtest.claims import build_parser as claims
from backtest.replicate import build_parser as replicate
from backtest.run.cli import build_parser as simulate
from ingest import doctor, download, tape
from ingest.box.cli import build_parser as box
from model.drift import build_parser as drift
from model.registry import build_parser as registry
from tests.places import ROOT
from utils.config import load_settings

RECORD = runpy.run_path(str(ROOT / "scripts" / "record.py"))["build_parser"]
PARSERS = {
    "run_simulation.py": partial(simulate, real=False),
    "backtest.sim_loop": partial(simulate, real=True),
    "backtest.audit": audit,
    "backtest.claims": claims,
    "backtest.replicate": replicate,
    "ingest.doctor": doctor.build_parser,
    "ingest.download": download.build_parser,
    "ingest.replay_server": box,
    "ingest.tape": tape.build_overview,
    "ingest.tape check": partial(tape.build_parser, "check"),
    "ingest.tape bars": partial(tape.build_parser, "bars"),
    "model.drift": drift,
    "model.registry": registry,
    "scripts/record.py": RECORD,
}
#: What may stand in no group.
LOOSE = {"-h", "-v", "--version"}


@pytest.fixture(params=PARSERS, ids=PARSERS)
def parser(request):
    return PARSERS[request.param]()


def test_flags_stand_in_groups(parser):
    loose = {action.option_strings[0] for action in parser._optionals._group_actions}
    assert set() == loose - LOOSE
    titles = [group.title for group in parser._action_groups if group._group_actions]
    assert len(titles) == len(set(titles)) > 1


def test_help_ends_with_examples_and_exit_codes(parser):
    said = parser.format_help()
    found = re.search(r"\nexamples:\n(.*)\nexit codes:\n  0 .*130 Ctrl-C or SIGTERM\n$", said, re.DOTALL)
    assert found is not None
    assert len(parser._examples) >= (2 if "ingest.tape" in parser.prog else 4)


def test_what_a_flag_takes_is_named_by_its_kind_and_by_no_value_that_it_might_have(parser):
    settings = load_settings(env={}).settings
    values = {settings.market.symbol, settings.market.timeframe, settings.market.exchange, settings.market.market_type}
    names = {action.metavar for action in parser._actions if action.option_strings and action.metavar}
    assert all(re.fullmatch(r"[A-Z]+(:[A-Z]+)?", name) for name in names), names
    assert set() == names & values


def test_every_flag_says_what_it_does(parser):
    assert [] == [action.dest for action in parser._actions if not action.help or action.help == argparse.SUPPRESS]


def test_the_examples_can_be_parsed(parser):
    if parser.prog == "python -m ingest.tape":
        pytest.skip("its commands have parsers of their own, which are tested beside it")
    for line, _ in parser._examples:
        assert line.startswith(parser.prog)
        parser.parse_args(line.removeprefix(parser.prog).split())


@pytest.mark.parametrize("columns", ["40", "60", "100"])
def test_help_fits_a_narrow_terminal(parser, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    lines = parser.format_help().split("\nexamples:")[0].splitlines()[1:]  # what is typed stays one line
    assert max(map(len, lines)) <= max(int(columns), max(len(word) for line in lines for word in line.split()) + 24)
