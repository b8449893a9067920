"""The house rules that no linter knows: layers, promised names, what compiled code may say, what stands only once."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.places import ROOT
from utils import compiled, errors, rows
from utils.settings.keys import field_of
from utils.settings.tree import Settings

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES: list[str] = PYPROJECT["tool"]["setuptools"]["packages"]
CONTRACTS = {contract["name"][0]: contract for contract in PYPROJECT["tool"]["importlinter"]["contracts"]}

#: Public names, as far as they are built; the list grows with the product.
PROMISED = {
    "backtest.claims": ["main"],
    "backtest.replicate": ["main"],
    "backtest.sim_loop": ["run_simulation"],
    "features.news_metrics": ["news_metrics"],
    "features.microstructure": [
        "order_flow_imbalance",
        "bid_ask_pressure",
        "volume_profile",
        "price_impact_decay",
        "book_ofi",
        "multi_level_ofi",
        "integrated_ofi",
        "vpin",
        "kyle_lambda",
        "amihud",
        "effective_spread",
        "realised_spread",
        "sign_memory",
    ],
    "features.orderflow": ["spread_bps", "order_book_imbalance", "weighted_mid", "micro_price"],
    "ml.regime": ["volatility_regime", "har_forecast", "ewma_forecast", "momentum_decay", "variance_ratio"],
    "ml.patterns": ["detect_patterns"],
    "ml.audit": ["truncation_audit"],
    "ml.features_advanced": ["market_microstructure_score", "find_best_scalping_params"],
    "ingest.prices": ["get_ohlcv"],
    "ingest.orderbook_ccxt": ["get_orderbook"],
    "ingest.ws_bybit": ["get_client", "ensure_orderbook", "get_orderbook_snapshot"],
    "ingest.ws_manager": ["WSManager", "subscribe", "latest"],
    "ingest.tape": ["record", "replay"],
    "ingest.replay_server": ["ReplayServer"],
    "ingest.news": ["fetch_headlines"],
    "ingest.smart_money": ["fetch_positioning"],
    "risk.advanced": [
        "kelly_position_sizing",
        "portfolio_heat",
        "correlation_matrix",
        "calculate_position_size_with_all_controls",
    ],
    "exec.simulator": ["PaperBroker"],
    "exec.slippage": ["walk_book"],
    "exec.timing": ["optimal_entry_timing", "order_decision", "ExecutionTimer"],
    "utils.kpis": ["sharpe_ratio", "avg_trade_duration_minutes", "implementation_shortfall_bps", "fill_rate"],
}

#: Reads of a clock or of unseeded dice that an import contract cannot see, as they end.
CLOCKS_AND_DICE = re.compile(
    r"(?:^|\.)(?:(?:datetime|date|Timestamp)\.(?:now|utcnow|today)|time\.\w+|random\.(?!default_rng|Generator)\w+"
    r"|os\.urandom|uuid[14]|secrets\.\w+)$"
)

#: Our decorators for compiled code: the cached one, and the one whose functions are swallowed by their callers.
COMPILERS = {"compiled", "inlined"}

#: NumPy's scalar mathematics and reductions round otherwise in machine code than in plain Python; what is left
#: converts, or makes an array.
EXACT_NUMPY = {"int64", "uint64", "float64", "empty", "zeros"}
REDUCTIONS = {"sum", "mean", "std", "var", "prod", "cumsum", "dot"}


def trees(*packages: str) -> Iterator[tuple[Path, ast.Module]]:
    """Every source file of `packages` with its syntax tree."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def called(node: ast.AST) -> str:
    """The dotted name that a call calls; empty for anything else."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def last(name: str) -> str:
    """The last part of a dotted name."""
    return name.rpartition(".")[2]


def compiled_functions() -> Iterator[tuple[Path, ast.FunctionDef]]:
    """What our compilers decorate, or are called with."""
    sources = [*trees(*PACKAGES)]
    wrapped = {
        node.args[0].id
        for _, tree in sources
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and last(called(node)) in COMPILERS and isinstance(node.args[0], ast.Name)
    }
    for path, tree in sources:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and (
                node.name in wrapped or any(last(ast.unparse(mark)) in COMPILERS for mark in node.decorator_list)
            ):
                yield path, node


def inexact(node: ast.AST) -> bool:
    """Does this expression round otherwise in machine code than in plain Python?"""
    if isinstance(node, ast.BinOp | ast.AugAssign):
        return isinstance(node.op, ast.Pow)
    *owner, name = called(node).split(".")
    if owner == ["np"]:
        return name not in EXACT_NUMPY
    return name == "pow" or bool(owner and name in REDUCTIONS)


def contracts_hold(tree: Path) -> subprocess.CompletedProcess[str]:
    """The import contracts of `tree`; exit code 0 when all are kept."""
    question = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    return subprocess.run([sys.executable, "-c", question], cwd=tree, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def skeleton(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The house with its rooms empty; its contracts hold."""
    skeleton = tmp_path_factory.mktemp("skeleton")
    (skeleton / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    for path, _ in trees(*PACKAGES):
        (skeleton / path).parent.mkdir(parents=True, exist_ok=True)
        (skeleton / path).touch()
    assert 0 == contracts_hold(skeleton).returncode
    return skeleton


def test_the_import_contracts_hold() -> None:
    seen = contracts_hold(ROOT)
    assert 0 == seen.returncode, seen.stdout + seen.stderr


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("risk/sizing.py", "import backtest"),
        ("features/fold.py", "import asyncio"),
        ("ml/signal.py", "import risk"),
        ("ml/market/inputs.py", "import ingest.files.candles"),
        ("ml/features_advanced.py", "import ingest.rest.client"),
        ("exec/engine.py", "import ml"),
        ("exec/trader.py", "import asyncio"),
        ("exec/trader.py", "import exec.live.follow"),
        ("exec/engine.py", "import exec.trader"),
        ("dashboards/__init__.py", "import exec.engine"),
        ("backtest/sim_loop.py", "import run_simulation"),
    ],
)
def test_the_import_contracts_break_when_a_module_reaches_where_it_may_not(
    skeleton: Path, module: str, line: str
) -> None:
    (skeleton / module).write_text(line + "\n")
    seen = contracts_hold(skeleton)
    (skeleton / module).write_text("")
    assert 1 == seen.returncode


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("utils.kpis", "utils.summary"),
        ("ingest.tapes.play", "ingest.tapes.check"),
        ("ingest.box.floor.pace", "ingest.box.served.front"),
        ("features.folds.windows", "features.fold"),
    ],
)
def test_the_import_contracts_break_when_two_rooms_lean_on_each_other(skeleton: Path, one: str, other: str) -> None:
    ends = {
        (skeleton / name.replace(".", "/")).with_suffix(".py"): target for name, target in ((one, other), (other, one))
    }
    for place, target in ends.items():
        assert "" == place.read_text()
        place.write_text(f"def later():\n    import {target}\n")
    seen = contracts_hold(skeleton)
    for place in ends:
        place.write_text("")
    assert (1, True) == (seen.returncode, "No cycles are allowed" in seen.stdout)


def test_contracts_installation_and_folders_name_the_same_packages() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders == {name.split(".")[0] for name in PACKAGES}
    assert folders == set(PYPROJECT["tool"]["importlinter"]["root_packages"])
    inner = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for name in folders
        for path in ROOT.glob(f"{name}/**/__init__.py")
    }
    assert inner == set(PACKAGES)


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in PROMISED for name in PROMISED[module]])
def test_a_promised_name_imports(module: str, name: str) -> None:
    assert callable(getattr(importlib.import_module(module), name))


def test_run_simulation_takes_its_promised_arguments_first() -> None:
    run_simulation = importlib.import_module("backtest.sim_loop").run_simulation
    names = list(inspect.signature(run_simulation).parameters)
    assert [
        "symbol",
        "tf",
        "exchange_for_ob",
        "steps",
        "use_ws",
        "data",
        "funding",
        "settings",
        "logs_dir",
    ] == names[:9]


def test_the_broker_opens_closes_and_flips() -> None:
    broker = importlib.import_module("exec.simulator").PaperBroker
    assert all(callable(getattr(broker, name)) for name in ("open", "close", "flip"))


def test_every_error_leaf_is_raised_somewhere() -> None:
    raised = {
        ast.unparse(node.exc.func if isinstance(node.exc, ast.Call) else node.exc).rsplit(".", 1)[-1]
        for _, tree in trees(*PACKAGES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and node.exc
    }
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert set() == {kind.__name__ for kind in classes if not kind.__subclasses__()} - raised


def test_the_error_table_names_every_error_and_no_other() -> None:
    tabled = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| `.*?\|", errors.__doc__ or "", re.MULTILINE))))
    defined = {name for name, kind in vars(errors).items() if isinstance(kind, type)} - {"ScalperError"}
    assert tabled == defined


def test_compiled_functions_say_nothing_that_rounds_otherwise_uncompiled() -> None:
    found = [
        f"{path}:{node.lineno} {function.name}: {ast.unparse(node)}"
        for path, function in compiled_functions()
        for node in ast.walk(function)
        if inexact(node)
    ]
    assert [] == found


def stamped() -> dict[str, set[Path]]:
    """The files below each pattern of the cache stamp."""
    return {pattern: {path.relative_to(ROOT) for path in ROOT.glob(pattern)} for pattern in compiled.SOURCES}


def lenders(tree: ast.Module) -> dict[str, Path]:
    """What a module imports from our packages: name -> the file that defines it."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            ours = [alias for alias in node.names if alias.name.split(".")[0] in PACKAGES]
            found |= {
                alias.asname or alias.name.split(".")[0]: Path(*alias.name.split(".")).with_suffix(".py")
                for alias in ours
            }
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
            for alias in node.names:
                whole = Path(*(node.module or "").split("."), alias.name).with_suffix(".py")
                part = Path(*(node.module or "").split(".")).with_suffix(".py")
                found[alias.asname or alias.name] = whole if (ROOT / whole).is_file() else part
    return found


def test_the_cache_stamp_covers_every_file_that_holds_compiled_code_or_lends_it_a_name() -> None:
    files = set().union(*stamped().values())
    imports = {path: lenders(tree) for path, tree in trees(*PACKAGES)}
    found = {
        (str(path), str(place))
        for path, function in compiled_functions()
        for node in ast.walk(ast.Module(function.body, []))  # what it says, not the types it is told
        for place in (path, imports[path].get(node.id, path) if isinstance(node, ast.Name) else path)
        if place not in files
    }
    assert set() == found


def test_the_cache_stamp_names_no_chapter_without_compiled_code() -> None:
    holding = {path for path, _ in compiled_functions()} | {
        Path("utils/compiled.py"),
        Path("utils/rows.py"),
        Path("utils/codes.py"),
    }
    assert [] == [pattern for pattern, files in stamped().items() if not files & holding]


def test_only_our_decorator_keeps_machine_code_and_none_trades_exactness_for_speed() -> None:
    # machine code kept by any other door would not carry the stamp, and so outlive an edited callee
    found = {
        (str(path), keyword.arg)
        for path, tree in trees(*PACKAGES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg in {"cache", "fastmath", "parallel"}
    }
    assert {("utils/compiled.py", "cache")} == found


def test_nobody_but_their_builder_makes_parameters_of_the_engine() -> None:
    # a record begun with zeros leaves what it does not name at 0, and nobody sees it
    makers = {f"np.{name}" for name in ("zeros", "empty", "full", "ones")}
    found = {
        str(path)
        for path, tree in trees(*PACKAGES)
        if path.parts[:2] != ("ingest", "mock")  # which has parameters of its own by that name
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and called(node) in makers
        for given in (*node.args, *(keyword.value for keyword in node.keywords))
        if last(ast.unparse(given)) == "PARAMS"
    }
    assert set() == found


def test_all_of_exec_is_core_but_its_shells() -> None:
    rooms = {f"exec.{path.stem}" for path in (ROOT / "exec").iterdir() if not path.name.startswith("__")}
    assert rooms - {"exec.live"} == {name for name in CONTRACTS["3"]["source_modules"] if name.startswith("exec.")}


def test_the_core_reads_no_clock_and_throws_no_unseeded_dice() -> None:
    core = [name.replace(".", "/") for name in CONTRACTS["3"]["source_modules"]]
    found = [
        f"{path}:{node.lineno} {called(node)}"
        for path, tree in trees(*PACKAGES)
        for node in ast.walk(tree)
        if (CLOCKS_AND_DICE.search(called(node)) and path.with_suffix("").as_posix().startswith(tuple(core)))
        or (isinstance(node, ast.Call) and called(node).endswith("default_rng") and not node.args + node.keywords)
    ]
    assert [] == found


def test_ml_is_mathematics_and_opens_no_file_and_reads_no_settings() -> None:
    found = [
        f"{path}:{node.lineno} {ast.unparse(node)}"
        for path, tree in trees("ml")
        for node in ast.walk(tree)
        if (called(node) == "open")
        or (isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} & {"load_settings", "Path"})
        or (isinstance(node, ast.Import) and {alias.name for alias in node.names} & {"io", "os", "pathlib", "yaml"})
    ]
    assert [] == found


@pytest.mark.parametrize("name", [name for name in vars(rows) if name.endswith("Row")])
def test_a_row_class_and_its_dtype_have_the_same_fields(name: str) -> None:
    dtype = getattr(rows, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.removesuffix("Row")).upper())
    assert issubclass(dtype.type, np.record)
    lineage = [one for one in getattr(rows, name).__mro__ if one.__module__ == rows.__name__]
    assert dtype.names == tuple(field for one in lineage for field in inspect.get_annotations(one))


def test_dataclasses_are_slotted_and_frozen_but_for_the_state_of_shells() -> None:
    found = [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in trees(*PACKAGES)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for mark in map(ast.unparse, node.decorator_list)
        if mark.startswith("dataclass")
        if "slots=True" not in mark or not ("frozen=True" in mark or path.parts[0] == "ingest")
    ]
    assert [] == found


def test_a_package_says_in_its_init_what_it_is_and_nothing_else() -> None:
    inits = {path: tree for path, tree in trees(*PACKAGES) if path.name == "__init__.py"}
    assert set() == {path for path, tree in inits.items() if len(tree.body) != 1 or not ast.get_docstring(tree)}


def papers() -> Iterator[tuple[Path, str]]:
    """The text files of this tree that people read or machines run."""
    for path in sorted(ROOT.rglob("*")):
        place = path.relative_to(ROOT)
        if place.parts[0] not in {".venv", ".git", "logs", "data", "build"} and "__pycache__" not in place.parts:
            kinds = {".py", ".md", ".sh", ".toml", ".yaml", ".yml", ".txt", ".example"}
            if path.is_file() and (path.suffix in kinds or place.parts[0] == ".ci" or path.name == "Makefile"):
                yield place, path.read_text(encoding="utf-8")


def test_the_version_stands_in_one_place() -> None:
    version = PYPROJECT["project"]["version"]
    pattern = re.compile(rf"(?<![\d.]){re.escape(version)}(?!\.?\d)")
    found = {str(place) for place, text in papers() if pattern.search(text)}
    assert found <= {"pyproject.toml", "CHANGELOG.md"}


#: NAME of a length of time in another unit: DAY, MS, _MINUTE_NS, NS_PER_DAY.
UNIT_NAME = re.compile(r"_?((NS|US|MS|S)_PER_)?(NS|US|MS|S|SEC|SECOND|MINUTE|HOUR|DAY|WEEK)S?(_(NS|US|MS|S))?")


def constants(tree: ast.Module, known: dict[str, int]) -> Iterator[tuple[str, float]]:
    """What a module assigns to names in capitals, as far as it is arithmetic of numbers and of what is known."""
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and isinstance(target, ast.Name | ast.Tuple):
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            for name, value in zip(target.elts if isinstance(target, ast.Tuple) else [target], values, strict=False):
                if all(
                    isinstance(part, ast.BinOp | ast.operator | ast.Constant | ast.Name | ast.expr_context)
                    for part in ast.walk(value)
                ):
                    with contextlib.suppress(NameError, TypeError):
                        number = eval(compile(ast.Expression(value), "", "eval"), {}, known)  # noqa: S307 - our own source
                        known = known | {ast.unparse(name): number}
                        yield ast.unparse(name), number


def test_a_unit_of_time_has_one_name_in_one_place() -> None:
    units = {name: value for name, value in vars(rows).items() if "_PER_" in name}
    again = {
        (str(path), name)
        for path, tree in trees(*PACKAGES)
        for name, value in constants(tree, units)
        if UNIT_NAME.fullmatch(name) and value in units.values()
    }
    assert {("utils/rows.py", name) for name in units} == again


def test_no_paper_names_a_machine_or_leaves_a_note_to_self() -> None:
    # put together from parts, or this file would find itself
    words = ["/" + "work/", "/" + "root/", "/" + "home/", "TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error"]
    assert [] == [(str(place), word) for place, text in papers() for word in words if word in text]


def test_every_relative_link_in_the_papers_leads_somewhere() -> None:
    links = [
        (place, target)
        for place, text in papers()
        if place.suffix == ".md"
        for target in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", text)
    ]
    assert [] == [(str(place), target) for place, target in links if not (ROOT / place.parent / target).exists()]


def test_every_test_that_the_papers_point_to_exists() -> None:
    named = [
        (str(place), path)
        for place, text in papers()
        if place.suffix == ".md"
        for path in re.findall(r"`(tests/[\w/.]+)`", text)
    ]
    assert len(named) > 5
    assert [] == [(place, path) for place, path in named if not (ROOT / path).exists()]


def commands() -> Iterator[tuple[Path, list[str]]]:
    """Every command line in the papers that starts something of ours."""
    for place, text in papers():
        if place.suffix == ".md":
            for line in re.findall(r"^(?:\$ )?((?:\./scripts/|python )\S.*)$", text, re.MULTILINE):
                yield place, line.split("#")[0].split()


def test_every_command_in_the_papers_starts_something_that_exists() -> None:
    missing = []
    for place, words in commands():
        target = words[2] if words[:2] == ["python", "-m"] else words[words[0] == "python"]
        module = ROOT / target.replace(".", "/")
        if words[:2] == ["python", "-m"] and target in {"venv", "pip", "pytest"}:
            continue
        if not any(path.exists() for path in (ROOT / target, module.with_suffix(".py"), module / "__main__.py")):
            missing.append((str(place), " ".join(words)))
    assert [] == missing


def test_every_flag_the_papers_give_to_the_simulation_is_known_to_it() -> None:
    known = subprocess.run(
        [sys.executable, ROOT / "run_simulation.py", "--help"], capture_output=True, text=True, check=True
    ).stdout
    flags = {
        word.split("=")[0]
        for _, words in commands()
        if "run_simulation.py" in words or "./scripts/simulate.sh" in words or "backtest.sim_loop" in words
        for word in words
        if word.startswith("--")
    }
    assert set() == {flag for flag in flags if not re.search(rf"{flag}\b", known)}


def test_a_message_names_flags_and_settings_that_there_are() -> None:
    """A remedy that cannot be followed is worse than none."""
    flags, named = {"--help"}, []
    for path, tree in trees(*PACKAGES):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node).split(".")[-1] in {"add", "add_argument"}:
                flags |= {ast.literal_eval(one) for one in node.args if isinstance(one, ast.Constant)}
            if isinstance(node, ast.Raise):
                texts = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant)]
                words = " ".join(text for text in texts if isinstance(text, str))
                named += [(str(path), word) for word in re.findall(r"--[a-z][a-z-]+[a-z]", words)]
                sections = "|".join(Settings.model_fields)
                named += [
                    (str(path), word) for word in re.findall(rf"(?<![\w./])(?:{sections})\.[a-z_]+(?![\w.])", words)
                ]
    assert len(named) > 30
    assert [] == [
        (path, word)
        for path, word in named
        if word not in flags and field_of(word) is None and not (ROOT / f"{word.replace('.', '/')}.py").exists()
    ]


def test_ruff_selects_every_rule_and_says_why_it_ignores_one() -> None:
    assert ["ALL"] == PYPROJECT["tool"]["ruff"]["lint"]["select"]


#: What is money or makes a position in the records, and the functions that may write it, with what they alone call.
LEDGER = {
    "apply_fill": {"fees", "fee", "fills", "leaves", "filled"},
    "_begin": {"side", "entered", "exited", "share", "fees", "funding", "entries", "entry_no"},
    "_join": {"qty", "entered", "entry_price", "basis"},
    "_part": {"qty", "exited", "exit_price", "share"},
    "_end": {"realised", "side"},
    "settle_at": {"funding"},
    "mark": {"equity", "open_pnl", "peak"},
}
MONEY = {"realised", "share", "basis", "entered", "exited", "funding", "equity", "open_pnl", "entries"}


def test_only_the_ledger_writes_money_and_only_a_fill_makes_it_do_so() -> None:
    found = {}
    for path in sorted(ROOT.glob("exec/**/*.py")) + sorted(ROOT.glob("risk/*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
                for target in targets if isinstance(node, ast.Assign | ast.AugAssign) else []:
                    for place in ast.walk(target):
                        on = getattr(place, "value", None)
                        owner = on.id if isinstance(on, ast.Name) else ""
                        position = owner in ("p", "acc") and getattr(place, "attr", "") in MONEY | {"qty", "fees"}
                        if isinstance(place, ast.Attribute) and position:
                            found.setdefault(f"{path.stem}.{function.name}", set()).add(place.attr)
    found.pop("engine.reset", None)  # an account begins
    assert {"portfolio"} == {name.split(".")[0] for name in found}
    assert found
    for name, written in found.items():
        assert written <= LEDGER[name.split(".")[1]], name
    source = (ROOT / "risk/portfolio.py").read_text()
    for inner in ("_begin", "_join", "_part", "_end"):
        assert 2 == source.count(f"{inner}("), inner  # its definition, and its call in apply_fill
    row_writes = re.findall(
        r"\[[\"'](?:realised|qty|basis|share|fees)[\"']\]\s*[-+]?=",
        "".join(path.read_text() for path in (*ROOT.glob("exec/**/*.py"), *ROOT.glob("risk/*.py"))),
    )
    assert [] == row_writes
