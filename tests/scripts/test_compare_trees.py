"""Two trees laid side by side: what is equal, what differs and where, and that nothing is left behind."""

import io
import json
import subprocess

import numpy as np
import pytest

from scripts.compare_trees import (
    Question,
    Tree,
    checked_out,
    compared,
    first_difference,
    kept,
    kept_name,
    main,
    process,
    without_more,
)

#: A tree's only program: it "simulates", and its fee decides what comes out.
PROGRAM = """
import json, sys
from pathlib import Path
from utils import FEE
Path("logs").mkdir()
Path("logs/trades.csv").write_text(f"trade,fee\\n1,{FEE}\\n")
Path("logs/run.json").write_text(json.dumps({"started": str(id(sys)), "elapsed_s": 1.5, "kpis": {"fees": [2, FEE]}}))
print(sys.argv[1:])
"""


@pytest.fixture
def tree_of(tmp_path):
    """Makes a tree with that program and a fee."""

    def make(name, fee=5.0, package="utils"):
        tree = tmp_path / name
        (tree / package).mkdir(parents=True)
        (tree / package / "__init__.py").write_text(f"FEE = {fee}\n")
        (tree / "run_simulation.py").write_text(PROGRAM)
        (tree / "README.md").write_text("# A tree\n")
        return tree

    return make


@pytest.fixture
def run(tmp_path, capsys):
    """Compares the mock runs of two trees: exit code, standard output, standard error."""

    def compare(*trees, flags=()):
        nowhere = ["--data", str(tmp_path / "none"), "--tapes", str(tmp_path / "none")]
        code = main([*map(str, trees), *nowhere, "--only", "mock", *flags])
        return code, *capsys.readouterr()

    return compare


def array(*rows):
    """The bytes of a file of records."""
    file = io.BytesIO()
    np.save(file, np.array([*rows], [("ts", "i8"), ("price", "f8")]))
    return file.getvalue()


def test_trees_that_answer_alike_are_equal_and_it_says_what_it_left_out(tree_of, run):
    code, said, _ = run(tree_of("a"), tree_of("b"))
    assert 0 == code
    assert "6 questions" in said
    assert "all are equal" in said
    assert "left out of texts: when a run began; how long it took" in said
    assert "no candles below" in said
    assert "DIFFERS" not in said


def test_a_changed_constant_differs_and_file_and_place_are_named(tree_of, run):
    code, said, _ = run(tree_of("a"), tree_of("b", fee=5.5))
    assert 1 == code
    assert "6 differ" in said
    assert "logs/run.json, $.kpis.fees[1]: 5.0 became 5.5" in said


def test_the_report_for_programs_says_the_same(tree_of, run):
    code, said, _ = run(tree_of("a"), tree_of("b", fee=5.5), flags=["--json"])
    report = json.loads(said)
    assert (1, False) == (code, report["equal"])
    assert {"logs/run.json, $.kpis.fees[1]: 5.0 became 5.5"} == {row["where"] for row in report["questions"]}


def test_a_question_without_an_answer_is_not_equal(tree_of, run):
    trees = [tree_of(name) for name in "ab"]
    for tree in trees:
        (tree / "run_simulation.py").write_text("raise ValueError('broken')")
    code, said, _ = run(*trees)
    assert 1 == code
    assert "no answer from BEFORE: ValueError: broken; no answer from AFTER: ValueError: broken" in said


def test_an_installed_copy_answers_for_no_tree(tree_of, run):
    code, said, _ = run(tree_of("a"), tree_of("b", package="other"))
    assert 1 == code
    assert "no answer from AFTER" in said
    assert "6 differ" in said


def test_a_process_of_its_own_answers_too(tree_of, tmp_path):
    (tmp_path / "inputs").mkdir()
    trees = [Tree(side, tree_of(side), tmp_path) for side in ("before", "after")]
    equal = compared(process("doors", "run", "run_simulation.py --json"), trees, tmp_path, tmp_path / "inputs")
    assert (True, "") == (equal.equal, equal.where)
    failed = compared(process("doors", "help", "-m no_such_module"), trees, tmp_path, tmp_path / "inputs")
    assert not failed.equal
    assert "No module named no_such_module" in failed.where


def test_a_process_that_dies_gives_no_answer_and_the_next_question_gets_one(tree_of, tmp_path):
    (tmp_path / "inputs").mkdir()
    tree = Tree("before", tree_of("a"), tmp_path)
    (tree.folder / "dies.py").write_text("import os\nos._exit(7)")
    answers = []
    for number, words in enumerate((["dies.py"], ["run_simulation.py"])):
        folder = tmp_path / str(number)
        folder.mkdir()
        answers.append(tree.ask(Question("mock", "dies", "command", {"words": words, "env": {}}), folder))
    tree.close()
    assert "code 7" in answers[0]
    assert "" == answers[1]


@pytest.mark.parametrize(
    ("name", "before", "after", "where"),
    [
        ("a.csv", b"x\n1\n", b"x\n1\n", ""),
        ("a.csv", b"x\n1\n2\n", b"x\n1\n3\n", "a.csv, line 3: 2 became 3"),
        ("a.csv", b"x\n", b"x\n1\n", "a.csv, line 2: nothing became 1"),
        ("a.csv", b"x\n", b"x\r\n", "a.csv, the ends of lines"),
        ("a.json", b'{"a": [1, {"b": 2}]}', b'{"a": [1, {"b": 2.0}]}', "a.json, $.a[1].b: 2 became 2.0"),
        ("a.json", b'{"a": [1]}', b'{"a": [1, 2]}', "a.json, $.a: 1 values became 2"),
        ("a.json", b'{"a": 1}', b'{"b": 1}', "a.json, $.a: only in BEFORE"),
        ("a.json", b'{"a": 1, "b": 2}', b'{"b": 2, "a": 1}', "a.json, $: the order of its keys"),
        ("a.json", b'{"a": 1}', b'{"a":  1}', 'a.json, line 1: {"a": 1} became {"a":  1}'),
        ("a.npy", array((1, 0.0), (2, 0.0)), array((1, 0.0), (2, -0.0)), "a.npy, row 1, price: 0.0 became -0.0"),
        ("a.bin", b"abc", b"abd", "a.bin, byte 2 of 3 and 3"),
    ],
)
def test_the_first_difference_is_found(name, before, after, where):
    assert where == first_difference({name: before}, {name: after})


def test_a_file_that_only_one_writes_differs():
    assert "b.csv: only AFTER writes it" == first_difference({"a.csv": b""}, {"a.csv": b"", "b.csv": b""})


def test_time_and_place_are_left_out_and_nothing_else(tmp_path):
    run = tmp_path / "run.json"
    run.write_text(f'{{"started": "2026-01-01T00:00:00Z", "elapsed_s": 0.31, "net": 0.31, "at": "{tmp_path}/x"}}')
    assert b'{"started": "", "elapsed_s": 0, "net": 0.31, "at": "<place>/x"}' == kept(run, tmp_path / "tree", tmp_path)
    said = tmp_path / "stdout.txt"
    said.write_text("First run here: compiling\nFinal balance 9.00  45 trades, 0.03 s\nreading: 1 of 2, 5 s to go\n")
    assert b"Final balance 9.00  45 trades\n" == kept(said, tmp_path / "tree", tmp_path)
    assert "logs/runs/<time>-315821d6/run.json" == kept_name("logs/runs/20261129T190758Z-315821d6/run.json")


def test_a_revision_is_checked_out_and_removed_again_even_after_ctrl_c(tmp_path):
    def git(*words):
        asked = ["git", "-C", str(home), "-c", "user.name=x", "-c", "user.email=x@example.com", *words]
        return subprocess.run(asked, check=True, capture_output=True, text=True).stdout

    home, folder = tmp_path / "home", tmp_path / "tree"
    home.mkdir()
    git("init", "-q")
    (home / "a.txt").write_text("old")
    git("add", "a.txt")
    git("commit", "-qm", "A file")
    (home / "a.txt").write_text("new")
    with checked_out("HEAD", folder, home) as tree:
        assert "old" == (tree / "a.txt").read_text()
    with pytest.raises(KeyboardInterrupt), checked_out("HEAD", folder, home):
        raise KeyboardInterrupt
    assert not folder.exists()
    assert 1 == len(git("worktree", "list").splitlines())


@pytest.mark.parametrize("flags", [["no-such-revision"], ["tests"], ["--only", "nothing", "HEAD"], []])
def test_wrong_use_is_one_sentence_and_code_2(flags, capsys):
    assert 2 == main(flags)
    assert capsys.readouterr().err.startswith("error: ")


def test_what_only_the_later_tree_adds_can_be_allowed_and_nothing_else():
    before = {
        "t.csv": b'a,b\n1,"x,y"\n',
        "run.json": b'{"n": 1, "in": {"k": 2}}',
        "out.txt": b"orders.csv, equity.csv\n",
    }
    more = {
        "t.csv": b'a,b,c\n1,"x,y",9\n',
        "run.json": b'{"n": 1, "new": 0, "in": {"k": 2, "m": 3}}',
        "out.txt": b"orders.csv, fills.csv, equity.csv\n",
        "fills.csv": b"f\n",
    }
    assert "" == first_difference(before, without_more(before, more))
    assert "" != first_difference(before, more)
    for name, changed in (("t.csv", b'a,b,c\n2,"x,y",9\n'), ("run.json", b'{"n": 2}'), ("out.txt", b"equity.csv\n")):
        assert name in first_difference(before, without_more(before, more | {name: changed}))
    del more["run.json"]
    assert "run.json" in first_difference(before, without_more(before, more))
