"""Small changes: which there are, which are drawn, and that the tests of a copy are what is asked."""

import json

import pytest

from scripts.mutate import (
    FILES,
    TESTS,
    TOO_SLOW,
    Workshop,
    all_changes,
    changes_of,
    equivalents,
    judged,
    kinds_of,
    main,
    neighbours,
    order_of,
    worth_trying,
)
from tests.places import ROOT
from utils.errors import ConfigError

CODES = neighbours("FREE, SENT, LIVE = range(3)\n")


def changed(source, of="def pay(price: float, qty: float, lot: int) -> float: ..."):
    """(before, after) of every change of a source, but for those of its last line."""
    return [(change.before, change.after) for change in changes_of("a.py", source, CODES, kinds_of(of))]


@pytest.mark.parametrize(
    ("code", "after"),
    [
        ("x = a < b", {"x = (a <= b)", "x = (a > b)"}),
        ("x = a == b", {"x = (a != b)"}),
        ("x = a + b", {"x = (a - b)"}),
        ("x = a * b + c", {"x = (a / b) + c", "x = (a * b - c)"}),
        ("x = -a", {"x = a"}),
        ("x = 0.5", {"x = 1.5", "x = -0.5"}),
        ("x = 1", {"x = 2", "x = 0"}),
        ("x = True", {"x = False"}),
        ("x = not a and b", {"x = a and b", "x = (not a or b)"}),
        ("x = min(a, b)", {"x = max(a, b)"}),
        ("x = math.floor(a)", {"x = math.ceil(a)"}),
        ("x = math.nan", {"x = 0.0"}),
        ("x = math.inf", {"x = (-math.inf)"}),
        ("x = p.side", {"x = (-p.side)"}),
        ("x = SENT", {"x = SENT + 1"}),
        ("x = LIVE", {"x = LIVE - 1"}),
        ("p.qty = a", {"pass"}),
        ("p.qty += a", {"pass", "p.qty -= a"}),
        ("go(a)", {"pass"}),
        ("x = pay(a, b, c)", {"x = pay(b, a, c)"}),  # a price and a quantity, but no lot
        ("x: int = 1  # a note", {"x: int = 2  # a note", "x: int = 0  # a note"}),
        ("from codes import SENT", set()),
        ('"""A text."""', set()),
    ],
)
def test_a_piece_of_code_has_these_neighbours(code, after):
    found = changed(f"{code}\n")
    assert (after, len(after)) == ({text.replace("(SENT + 1)", "SENT + 1").replace("(LIVE - 1)", "LIVE - 1")
                                    for _, text in found}, len(found))  # fmt: skip
    assert {code for _ in after} == {before for before, _ in found}


def test_annotations_and_decorators_decide_nothing():
    assert [("return 1", "return 0"), ("return 1", "return 2")] == changed(
        "@door(3)\ndef go(a: Row[1] = 5) -> Row[2]:\n    return 1\n"
    )


def test_a_change_keeps_all_around_it():
    (first, *_) = changes_of("a.py", "a = 1  # é\n\n\ndef go(b):\n    return b * (a + b)  # why\n", {}, {})
    assert ("a = 1  # é", "") == (first.before, first.function)
    assert first.text.endswith("\n\n\ndef go(b):\n    return b * (a + b)  # why\n")


def test_code_that_is_compiled_from_a_text_is_changed_in_its_place():
    found = changes_of("a.py", 'TEXT = """\nfor k in many:\n    if k > 1:\n        go(k)\n"""\n', {}, {})
    assert ("if k > 1:", "if (k >= 1):", 3) in [(change.before, change.after, change.line) for change in found]
    assert all(change.text.startswith('TEXT = """\nfor k in many:\n') for change in found)


def test_changes_that_look_the_same_are_numbered():
    found = changes_of("a.py", "def go(p):\n    p.n = a\n    p.n = a\n", {}, {})
    assert [1, 2] == [change.nth for change in found]
    assert 2 == len({change.key for change in found})


def test_every_change_of_the_core_is_python_and_another_text():
    found = all_changes()
    assert set(FILES) == {change.file for change in found}
    assert len(found) == len({(change.file, change.text) for change in found}) == len({change.key for change in found})
    for change in found[::50]:
        compile(change.text, change.file, "exec")


def test_what_is_listed_to_change_nothing_is_not_tried_and_has_a_reason():
    changes, same = all_changes(), equivalents()
    assert len(changes) - len(same) == len(worth_trying(changes, same))
    assert all(len(why.split()) > 3 for why in same.values())


def test_a_listed_change_that_is_none_any_more_is_an_error():
    changes = all_changes(["risk/sizing.py"])
    gone = ("risk/sizing.py", "entry_qty", "x = 1", "x = 2", 1)
    with pytest.raises(ConfigError, match=r"expected a change of entry_qty in risk/sizing.py, saw none"):
        worth_trying(changes, {gone: "for no reason at all"})
    assert changes == worth_trying(changes, {("risk/guard.py", *gone[1:]): "of a file that is not asked"})


def drawn(capsys, *flags):
    assert 0 == main([*flags, "--list", "--json"])
    return json.loads(capsys.readouterr().out)["changes"]


def test_a_seed_draws_the_same_changes_and_another_one_others(capsys):
    first = drawn(capsys, "--number", "20")
    assert 20 == len(first)
    assert first == drawn(capsys, "--number", "20", "--seed", "1") != drawn(capsys, "--number", "20", "--seed", "2")
    assert {"risk/stops.py"} == {row["file"] for row in drawn(capsys, "--number", "0", "--only", "risk/stops.py")}


def test_a_change_is_shown_with_the_code_before_and_after(capsys):
    assert 0 == main(["--number", "1", "--list"])
    place, before, after = capsys.readouterr().out.splitlines()
    assert place.split(":")[0] in FILES
    assert ("    - ", "    + ") == (before[:6], after[:6])


def test_wrong_flags_are_the_users(capsys):
    assert 2 == main(["--number", "-1"])
    assert 2 == main(["--only", "nowhere.py"])
    assert "expected a whole number from 0 on, saw -1" in capsys.readouterr().err


def test_all_that_is_asked_or_left_out_is_there():
    assert all((ROOT / name).exists() for name in (*FILES, *TESTS, *(name.split("::")[0] for name in TOO_SLOW)))
    for name in TOO_SLOW:
        file, _, test = name.partition("::")
        assert f"def {test.split('[')[0]}(" in (ROOT / file).read_text(encoding="utf-8")
    first, *others = order_of("risk/sizing.py", ROOT)
    assert "tests/risk/test_sizing.py" == first
    assert {first, *others} == set(order_of("nowhere.py", ROOT))
    assert all((ROOT / name).is_file() for name in others)


def test_a_change_is_made_in_a_copy_and_taken_back(tmp_path):
    shop = Workshop.of(ROOT, tmp_path / "copy")
    before = (ROOT / "risk" / "sizing.py").read_bytes()
    (change,) = [one for one in all_changes(["risk/sizing.py"]) if "ceil_to(" in one.after]
    verdict = shop.judge(change)
    assert (True, "tests/risk/test_sizing.py") == (verdict.noticed, verdict.by.split("::")[0])
    assert [before] * 2 == [(tree / "risk" / "sizing.py").read_bytes() for tree in (ROOT, shop.folder)]


@pytest.mark.long
def test_a_handful_of_changes_is_noticed(tmp_path):
    changes = worth_trying(all_changes(), equivalents())[::300]
    assert all(verdict.noticed for verdict in judged(changes, ROOT, tmp_path, quiet=True))


@pytest.mark.long
def test_tests_that_fail_anyway_are_said_to(tmp_path):
    root = tmp_path / "tree"
    Workshop.of(ROOT, root)
    (root / "tests" / "risk" / "test_sizing.py").write_text("def test_nothing():\n    assert False\n")
    with pytest.raises(ConfigError, match=r"saw tests/risk/test_sizing.py::test_nothing fail"):
        list(judged([], root, tmp_path / "scratch", quiet=True))
