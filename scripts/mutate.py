"""Do the tests notice a small change of the core? `python scripts/mutate.py` makes 200, one at a time, and tells.

A comparison is moved by one, a sign turned, a constant shifted, a statement dropped, two arguments of one kind swapped:
each in a copy of the tree, whose tests are then run uncompiled, those nearest to the file first. Exit code 0: at least
95 % of the changes were noticed; 1: fewer. What changes nothing that anyone could see stands, with its reason, in
`mutate_equivalent.toml`, and is not drawn. Nothing is written to the tree.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import queue
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from utils.errors import ConfigError
from utils.figures.shown import percent
from utils.shell.cli import Parser, command, whole
from utils.shell.console import progress_console
from utils.shell.meter import Meter

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = Path(__file__).with_name("mutate_equivalent.toml")

#: Least share of the changes that is to be noticed.
GOAL = 0.95
#: What is changed.
FILES = (
    "exec/matching/bars.py",
    "exec/matching/events.py",
    "exec/slippage.py",
    "exec/step/answer.py",
    "exec/step/bars.py",
    "exec/step/events.py",
    "exec/step/orders.py",
    "exec/step/quoting.py",
    "risk/guard.py",
    "risk/portfolio.py",
    "risk/sizing.py",
    "risk/stops.py",
    "utils/market/barriers.py",
)
#: What the tests need of the tree.
COPIED = ("exec", "risk", "ml", "utils", "tests", "pyproject.toml")
#: The tests that are asked, in this order, after those beside the changed file.
TESTS = (
    "tests/exec/step",
    "tests/exec/matching",
    "tests/exec/test_slippage.py",
    "tests/exec/test_between_bars.py",
    "tests/exec/test_engine.py",
    "tests/exec/test_simulator.py",
    "tests/risk",
    "tests/utils/market/test_barriers.py",
    "tests/ml/barriers/test_outcomes.py",
)
#: Uncompiled these take longer than all others together, and see little that those do not.
TOO_SLOW = (
    "tests/exec/test_engine.py::test_equity_is_capital_and_realised_and_open_at_every_row[1-",
    "tests/exec/test_engine.py::test_equity_is_capital_and_realised_and_open_at_every_row[2-settings0",
    "tests/exec/test_engine.py::test_equity_is_capital_and_realised_and_open_at_every_row[2-settings1",
    "tests/exec/test_simulator.py::test_bar_by_bar_equals_the_whole_array_bit_for_bit[market",
    "tests/exec/test_simulator.py::test_bar_by_bar_equals_the_whole_array_bit_for_bit[resting",
    "tests/exec/test_simulator.py::test_bar_by_bar_equals_the_whole_array_bit_for_bit[limits bind-1",
    "tests/exec/test_simulator.py::test_bar_by_bar_equals_the_whole_array_bit_for_bit[limits bind-2",
    "tests/exec/test_simulator.py::test_money_is_conserved_at_every_close",
    "tests/ml/barriers/test_outcomes.py::test_on_random_paths_every_outcome_equals_the_engines_trade",
    "tests/ml/barriers/test_outcomes.py::test_a_signal_at_every_bar_is_answered_as_if_it_were_the_only_one",
)
#: Changes tried at a time; each takes a core.
AT_A_TIME = 2
#: Longest time of one test, and of all, s: a change may make a loop that never ends.
TEST_S, RUN_S = 20, 300

COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
RECKONED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}
CALLED = {"min": "max", "max": "min", "floor": "ceil", "ceil": "floor", "floor_to": "ceil_to", "ceil_to": "floor_to"}


@dataclass(frozen=True, slots=True)
class Change:
    """One small change of one file."""

    file: str
    function: str  # that it is in; "" = outside of all
    line: int
    before: str  # the changed piece of code, its lines joined
    after: str
    text: str  # the whole file with the change
    nth: int = 1  # of those that look the same in one function

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What tells it from all others, wherever in its function it moves."""
        return self.file, self.function, self.before, self.after, self.nth


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the tests said of a change."""

    change: Change
    noticed: bool
    by: str  # the test


class Finder(ast.NodeVisitor):
    """Walks a piece of source and collects what could be changed in it: node, what stands there then.

    Args:
        codes: of each integer code, the one beside it.
        kinds: of each function, the annotations of its arguments.
    """

    def __init__(self, codes: dict[str, str], kinds: dict[str, list[str]]) -> None:
        self._codes, self._kinds = codes, kinds
        self._within: list[str] = []
        self.found: list[tuple[str, ast.expr | ast.stmt, ast.AST]] = []

    def _note(self, node: ast.expr | ast.stmt, *instead: ast.AST) -> None:
        self.found += [(".".join(self._within), node, one) for one in instead]

    def visit(self, node: ast.AST) -> None:
        """Everything but what decides nothing: imports, and the names of arguments."""
        if not isinstance(node, ast.Import | ast.ImportFrom | ast.arguments):
            super().visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Its body alone: decorators and annotations decide nothing."""
        self._within.append(node.name)
        for statement in node.body:
            self.visit(statement)
        self._within.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Its value alone."""
        if node.value is not None:
            self.visit(node.value)

    # statements

    def visit_Expr(self, node: ast.Expr) -> None:
        """A call that is made for what it does is left out; a docstring stays."""
        if isinstance(node.value, ast.Call):
            self._note(node, ast.Pass())
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        """A record's field that is set is not."""
        if any(isinstance(part, ast.Attribute) for target in node.targets for part in ast.walk(target)):
            self._note(node, ast.Pass())
        self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """A sum that grows shrinks, or stands still."""
        self._note(node, ast.Pass())
        if type(node.op) in RECKONED:
            self._note(node, _with(node, op=RECKONED[type(node.op)]()))
        self.visit(node.value)

    # expressions

    def visit_Compare(self, node: ast.Compare) -> None:
        """Its neighbours: equality in or out, or the other way round."""
        for at, op in enumerate(node.ops):
            for other in COMPARED[type(op)]:
                self._note(node, _with(node, ops=[*node.ops[:at], other(), *node.ops[at + 1 :]]))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Plus is minus, times is divided by."""
        if type(node.op) in RECKONED:
            self._note(node, _with(node, op=RECKONED[type(node.op)]()))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """And is or."""
        self._note(node, _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And()))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """A sign, or a not, is lost."""
        if isinstance(node.op, ast.USub | ast.Not):
            self._note(node, node.operand)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """A number is one more, or one less; true is false."""
        value = node.value
        if isinstance(value, bool):
            self._note(node, ast.Constant(not value))
        elif isinstance(value, int | float):
            self._note(node, ast.Constant(value + 1), ast.Constant(value - 1))

    def visit_Name(self, node: ast.Name) -> None:
        """A code is its neighbour; a direction is the other one."""
        if node.id in self._codes:
            self._note(node, ast.parse(self._codes[node.id], mode="eval").body)
        if node.id in {"side", "direction"}:
            self._note(node, ast.UnaryOp(ast.USub(), node))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Not a number is nought, endless is endless the other way, a side is the other one."""
        if node.attr == "nan":
            self._note(node, ast.Constant(0.0))
        elif node.attr in {"inf", "side"}:
            self._note(node, ast.UnaryOp(ast.USub(), node))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """The least is the most, down is up; two arguments of one kind change places."""
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in CALLED:
            other = ast.Name(CALLED[name])
            if isinstance(node.func, ast.Attribute):
                self._note(node.func, _with(node.func, attr=other.id))
            else:
                self._note(node.func, other)
        kinds = self._kinds.get(name, [])
        for at in range(min(len(node.args), len(kinds)) - 1):
            one, two = node.args[at : at + 2]
            if kinds[at] == kinds[at + 1] and ast.dump(one) != ast.dump(two):
                self._note(node, _with(node, args=[*node.args[:at], two, one, *node.args[at + 2 :]]))
        if not isinstance(node.func, ast.Name):
            self.visit(node.func)
        for argument in (*node.args, *node.keywords):
            self.visit(argument)


def _with(node: ast.AST, **parts: object) -> ast.AST:
    """The node with other parts."""
    other = copy.copy(node)
    for name, part in parts.items():
        setattr(other, name, part)
    return other


def neighbours(*sources: str) -> dict[str, str]:
    """Of each code that its module names with others in one line: the one after it, of the last the one before."""
    found: dict[str, str] = {}
    for statement in (node for source in sources for node in ast.parse(source).body):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Tuple):
            names = [name.id for name in statement.targets[0].elts if isinstance(name, ast.Name)]
            found |= {name: f"{name} + 1" for name in names[:-1]} | {names[-1]: f"{names[-1]} - 1"}
    return found


def kinds_of(*sources: str) -> dict[str, list[str]]:
    """Of each function: the annotations of its arguments, in order."""
    return {
        node.name: [ast.unparse(argument.annotation or ast.Constant(None)) for argument in node.args.args]
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    }


def pieces(source: str) -> Iterator[tuple[ast.Module, int]]:
    """The code in a source, and the lines above it: its own, and that of texts which are compiled."""
    tree = ast.parse(source)
    yield tree, 0
    for node in tree.body:
        text = node.value if isinstance(node, ast.Assign) else None
        if isinstance(text, ast.Constant) and isinstance(text.value, str) and text.value.startswith("\n"):
            yield ast.parse(text.value), text.lineno - 1


def changes_of(file: str, source: str, codes: dict[str, str], kinds: dict[str, list[str]]) -> list[Change]:
    """Every small change of a source, in order of line, each once."""
    lines = source.encode().splitlines(keepends=True)
    found: dict[str, Change] = {}
    for tree, above in pieces(source):
        finder = Finder(codes, kinds)
        finder.visit(tree)
        for function, node, instead in finder.found:
            last, end = node.end_lineno or node.lineno, node.end_col_offset or 0
            place = (node.lineno + above, node.col_offset, last + above, end)
            change = _changed(file, function, lines, place, instead, statement=isinstance(node, ast.stmt))
            found.setdefault(change.text, change)
    seen: Counter[tuple[str, str, str, str, int]] = Counter()
    numbered = []
    for change in sorted(found.values(), key=lambda change: (change.line, change.after)):
        seen[change.key] += 1
        numbered.append(replace(change, nth=seen[change.key]))
    return numbered


def _changed(
    file: str,
    function: str,
    lines: Sequence[bytes],
    place: tuple[int, int, int, int],
    instead: ast.AST,
    *,
    statement: bool,
) -> Change:
    """The file with other code at a place: first line, column, last line, column, as `ast` counts them."""
    first, start, last, end = place
    text = ast.unparse(instead)
    if not statement and isinstance(instead, ast.BinOp | ast.BoolOp | ast.Compare | ast.UnaryOp):
        text = f"({text})"
    head, tail = lines[first - 1][:start], lines[last - 1][end:]
    middle = head + text.encode() + tail
    whole_text = b"".join((*lines[: first - 1], middle, *lines[last:])).decode()
    before = " ".join(line.decode().strip() for line in lines[first - 1 : last])
    return Change(file, function, first, before, middle.decode().strip(), whole_text)


def all_changes(files: Sequence[str] = FILES, root: Path = ROOT) -> list[Change]:
    """Every small change there is in some files of a tree."""
    sources = {file: (root / file).read_text(encoding="utf-8") for file in files}
    beside = [(root / name).read_text(encoding="utf-8") for name in ("utils/codes.py", "utils/market/barriers.py")]
    codes, kinds = neighbours(*beside), kinds_of(*beside, *sources.values())
    return [change for file, source in sources.items() for change in changes_of(file, source, codes, kinds)]


def equivalents(path: Path = EQUIVALENT) -> dict[tuple[str, str, str, str, int], str]:
    """Changes that change nothing, and why."""
    groups = tomllib.loads(path.read_text(encoding="utf-8")).get("same", [])
    return {
        (file, function, before, after, *(nth or [1])): group["why"]
        for group in groups
        for file, function, before, after, *nth in group["changes"]
    }


def worth_trying(changes: Sequence[Change], same: dict[tuple[str, str, str, str, int], str]) -> list[Change]:
    """Those that change something.

    Raises:
        ConfigError: one that is listed to change nothing is no change of this tree any more.
    """
    files, known = {change.file for change in changes}, {change.key for change in changes}
    for key in same:
        if key[0] in files and key not in known:
            file, function, before, after, nth = key
            raise ConfigError(
                f"{EQUIVALENT.name}: expected a change of {function or 'the module'} in {file}, saw none that makes"
                f" {before!r} (number {nth}) to {after!r}; the code has moved on: take the entry out, or mend it"
            )
    return [change for change in changes if change.key not in same]


class Workshop:
    """A copy of the tree in which one change at a time is made and tested."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, root: Path, folder: Path) -> Workshop:
        """Copy what the tests need."""
        for name in COPIED:
            if (root / name).is_dir():
                shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(root / name, folder / name)
        return cls(folder)

    def twin(self, folder: Path) -> Workshop:
        """Another one, what Python has read of it so far included."""
        shutil.copytree(self.folder, folder)
        return Workshop(folder)

    def ask(self, tests: Sequence[str], *, keep: bool = False) -> tuple[int, str]:
        """Run tests until one fails: pytest's exit code, and the test that failed or what was said last."""
        env = {name: text for name, text in os.environ.items() if not name.startswith(("SCALPER__", "PYTHON", "NUMBA"))}
        env |= {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(self.folder)}
        if not keep:
            # a change of the same length in the same second would meet the bytecode of the one before
            env["PYTHONDONTWRITEBYTECODE"] = "1"
        left_out = [f"--deselect={name}" for name in TOO_SLOW]
        flags = ["-x", "-q", "--tb=no", "-rfE", "-p", "no:cacheprovider", f"--timeout={TEST_S}", *left_out]
        line = [sys.executable, "-m", "pytest", *flags, *tests]
        try:
            ran = subprocess.run(  # noqa: S603
                line, cwd=self.folder, env=env, capture_output=True, text=True, check=False, timeout=RUN_S
            )
        except subprocess.TimeoutExpired:
            return 1, "the time limit"
        named = re.search(r"^(?:FAILED|ERROR) (\S+?(?:\[.*?\])?)(?: - .*)?$", ran.stdout, re.MULTILINE)
        last = (ran.stderr.strip() or ran.stdout.strip()).rpartition("\n")[2]
        if "Timeout" in ran.stderr and named is None:
            last = "the time limit"
        return ran.returncode, named[1] if named else last

    def judge(self, change: Change) -> Verdict:
        """Make the change, ask the tests, take it back."""
        path = self.folder / change.file
        kept = path.with_suffix(".kept")
        shutil.copy2(path, kept)
        try:
            path.write_text(change.text, encoding="utf-8")
            code, said = self.ask(order_of(change.file, self.folder))
        finally:
            kept.replace(path)
        return Verdict(change, code != 0, said if code else "")


def order_of(file: str, root: Path) -> list[str]:
    """The files of tests for a change of a file: the one beside it, then all others."""
    named = (root / name for name in TESTS)
    found = [path for place in named for path in ([place] if place.is_file() else sorted(place.glob("test_*.py")))]
    beside = root / (Path("tests") / file).with_name(f"test_{Path(file).name}")
    found.sort(key=lambda path: path != beside)
    return [path.relative_to(root).as_posix() for path in found]


def judged(changes: Sequence[Change], root: Path, scratch: Path, quiet: bool) -> Iterator[Verdict]:
    """The verdicts, as they come.

    Raises:
        ConfigError: the tests fail without any change.
    """
    first = Workshop.of(root, scratch / "0")
    code, said = first.ask(order_of("", root), keep=True)
    if code:
        raise ConfigError(f"expected the tests to pass as long as nothing is changed, saw {said} fail; mend that first")
    shops = [first, *(first.twin(scratch / str(k)) for k in range(1, AT_A_TIME))]
    todo: queue.SimpleQueue[Change] = queue.SimpleQueue()
    done: queue.SimpleQueue[Verdict | BaseException] = queue.SimpleQueue()
    for change in changes:
        todo.put(change)

    def work(shop: Workshop) -> None:
        try:
            while True:
                done.put(shop.judge(todo.get_nowait()))
        except queue.Empty:
            pass
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            done.put(error)

    for shop in shops:
        threading.Thread(target=work, args=(shop,), daemon=True).start()
    with Meter("trying", "changes", progress_console(quiet=quiet), len(changes)) as meter:
        for count in range(1, len(changes) + 1):
            verdict = done.get()
            if isinstance(verdict, BaseException):
                raise verdict
            meter.reach(count)
            yield verdict


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(
        prog="python scripts/mutate.py",
        description="Do the tests notice small changes of the core?",
        exits=(f"0 at least {percent(GOAL, 0)}", "1 fewer", "2 a flag of yours"),
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--number", type=whole, default=200, metavar="N", help="of changes, drawn among all (default: 200; 0 = all)")
    add("--seed", type=whole, default=1, metavar="N", help="which are drawn (default: 1)")
    add("--only", action="append", choices=FILES, metavar="FILE", help="changes of this file alone; repeatable")
    add("--list", action="store_true", help="show the changes and try none")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    add("-v", "--verbose", action="count", default=0, help="with an error, its traceback")
    return parser


def run(flags: argparse.Namespace) -> int:
    """Do what the flags say."""
    if flags.number < 0:
        raise ConfigError(f"--number: expected a whole number from 0 on, saw {flags.number}; 0 tries all there are")
    candidates = worth_trying(all_changes(flags.only or FILES), equivalents())
    drawn = candidates
    if 0 < flags.number < len(candidates):
        drawn = sorted(
            random.Random(flags.seed).sample(candidates, flags.number), key=lambda change: (change.file, change.line)
        )
    if flags.list:
        show_list(drawn, as_json=flags.json)
        return 0
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="mutate-") as scratch:
        for verdict in judged(drawn, ROOT, Path(scratch).resolve(), flags.json):
            verdicts.append(verdict)
            if not flags.json:
                show_verdict(verdict)
    share = sum(verdict.noticed for verdict in verdicts) / max(1, len(verdicts))
    show_rest(verdicts, len(candidates), share, as_json=flags.json)
    return 0 if share >= GOAL else 1


def as_row(change: Change) -> dict[str, object]:
    """A change for programs."""
    names = ("file", "function", "line", "before", "after", "nth")
    return {name: getattr(change, name) for name in names}


def show_list(changes: Sequence[Change], *, as_json: bool) -> None:
    """What would be tried."""
    if as_json:
        print(json.dumps({"changes": [as_row(change) for change in changes]}))
        return
    for change in changes:
        show_change(change)


def show_change(change: Change) -> None:
    """Where it is, and the code before and after."""
    print(f"{change.file}:{change.line} {change.function}\n    - {change.before}\n    + {change.after}")


def show_verdict(verdict: Verdict) -> None:
    """A change that was noticed in one line; one that was not, whole."""
    change = verdict.change
    if verdict.noticed:
        print(f"noticed   {change.file}:{change.line} {change.function}: {verdict.by}")
    else:
        print("SURVIVED  ", end="")
        show_change(change)
    sys.stdout.flush()


def show_rest(verdicts: Sequence[Verdict], of: int, share: float, *, as_json: bool) -> None:
    """The table by file, and the share of all."""
    tried = Counter(verdict.change.file for verdict in verdicts)
    noticed = Counter(verdict.change.file for verdict in verdicts if verdict.noticed)
    if as_json:
        rows = [as_row(verdict.change) | {"noticed": verdict.noticed, "by": verdict.by} for verdict in verdicts]
        files = {file: {"noticed": noticed[file], "tried": tried[file]} for file in sorted(tried)}
        report = {"share": share, "goal": GOAL, "candidates": of, "files": files, "changes": rows}
        print(json.dumps(report))
        return
    for file in sorted(tried):
        print(f"{file:<28}{noticed[file]:>5} of {tried[file]:<5}{percent(noticed[file] / tried[file]):>8}")
    print(
        f"{'all':<28}{sum(noticed.values()):>5} of {len(verdicts):<5}{percent(share):>8}   "
        f"(goal {percent(GOAL, 0)}; {of} there are)"
    )


main = command(build_parser, run)

if __name__ == "__main__":
    sys.exit(main())
