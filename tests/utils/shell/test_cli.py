"""What every command line shares: spelling of flags, exit codes, one sentence for what went wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.places import ROOT
from utils.errors import DataUnavailable
from utils.shell.cli import Parser, amount, command, whole, with_hyphens


def build_parser() -> Parser:
    parser = Parser(prog="python -m somewhere", allow_abbrev=False)
    parser.add_argument("--out-dir")
    parser.add_argument("--steps", type=whole, default=0)
    parser.add_argument("--hours", type=amount, default=0.0)
    return parser


def ending(error: BaseException):
    def run(_):
        raise error

    return command(build_parser, run)


def test_the_code_is_what_the_work_says_and_both_spellings_of_a_flag_are_right():
    seen = []
    main = command(build_parser, lambda flags: seen.append(flags.out_dir) or flags.steps)
    assert [0, 7] == [main(["--out_dir", "x"]), main(["--out-dir=y", "--steps", "7"])]
    assert ["x", "y"] == seen


def test_without_arguments_the_process_tells_its_own(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["somewhere", "--steps", "3"])
    assert command(build_parser, lambda flags: flags.steps)() == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out-dri", "x"], "error: unknown flag --out-dri; did you mean --out-dir?\n"),
        (["--zzz"], "error: unknown flag --zzz; --help lists the flags\n"),
        (["--steps", "x"], "error: --steps: expected a whole number, saw 'x'; --help lists the flags\n"),
        (["--hours", "x"], "error: --hours: expected a number, saw 'x'; --help lists the flags\n"),
        (["--out-dir="], "error: a flag was given an empty value; give it one or leave the flag out\n"),
    ],
)
def test_a_wrong_flag_is_yours_and_one_sentence(capsys, arguments, said):
    assert command(build_parser, lambda _: 0)(arguments) == 2
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataUnavailable("nobody answers"), 3, "error: nobody answers\n"),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C; no file is half-written\n"),
        (
            MemoryError(),
            1,
            "error: the machine ran out of memory; ask for less at once: fewer bars, fewer symbols or a shorter time\n",
        ),
        (
            ModuleNotFoundError("No module named 'numba.core'", name="numba.core"),
            1,
            (
                "error: expected the environment that ./scripts/simulate.sh sets up, saw no module numba in "
                f"{sys.executable}; run this with .venv/bin/python, or run ./scripts/simulate.sh\n"
            ),
        ),
        (
            ModuleNotFoundError("No module named 'utils.x'", name="utils.x"),
            1,
            "error: a bug of ours: ModuleNotFoundError: No module named 'utils.x'; run again with -v and report it\n",
        ),
        (KeyError("x"), 1, "error: a bug of ours: KeyError: 'x'; run again with -v and report it\n"),
    ],
)
def test_what_went_wrong_has_its_exit_code_and_one_sentence(capsys, error, code, said):
    assert ending(error)([]) == code
    assert capsys.readouterr().err == said


def test_only_flags_are_respelled():
    assert ["--a-b=c_d", "e_f", "-g_h"] == with_hyphens(["--a_b=c_d", "e_f", "-g_h"])


def test_the_line_that_was_typed_is_known_and_can_be_typed_again():
    seen = []
    main = command(build_parser, lambda flags: seen.append(flags.told) or 0)
    assert 0 == main(["--out_dir=a b", "--steps", "3"])
    assert ["python -m somewhere '--out_dir=a b' --steps 3"] == seen


def test_help_has_groups_then_what_belongs_to_none_then_examples_and_exit_codes():
    parser = Parser("python -m somewhere", "It does.", examples=[("python -m somewhere --a X", "does it")])
    parser.group("what is done")("--a", metavar="X", help="this")
    parser.add_argument("--version", action="store_true", help="print it")
    said = parser.format_help()
    assert said == parser.format_help()
    order = ("usage: python -m somewhere [flags]", "It does.", "what is done:", "--a X", "help:", "--version",
             "examples:\n  python -m somewhere --a X\n      does it\n", "exit codes:\n  0 done\n")  # fmt: skip
    places = [said.index(words) for words in order]
    assert sorted(places) == places


def test_outside_the_environment_one_sentence_says_how_to_enter_it():
    command = [sys.executable, "-S", ROOT / "run_simulation.py"]  # -S: nothing that was installed is found
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    assert (1, "", 1) == (ran.returncode, ran.stdout, len(ran.stderr.splitlines()))
    assert "saw no module" in ran.stderr
    assert "run this with .venv/bin/python, or run ./scripts/simulate.sh" in ran.stderr
