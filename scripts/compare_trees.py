"""Does a move of code change a result? `python scripts/compare_trees.py BEFORE [AFTER]` asks two trees alike.

BEFORE and AFTER are revisions of git, which are checked out meanwhile, or folders; AFTER is the tree that this script
stands in unless it is named. Every recorded candle file and tape goes through both, and so do the mock market, the
commands of the README and what the benchmarks are about; answers are compared byte by byte. Exit code 0: all are equal;
1: something differs, or a question got no answer. Nothing is written to either tree but what Python and the benchmarks
keep for themselves. `--time` adds start times and the engine's ratios, side by side, which decide nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from utils.errors import ConfigError
from utils.shell.cli import Parser, guarded, with_hyphens
from utils.shell.console import progress_console
from utils.shell.meter import Meter

ROOT = Path(__file__).resolve().parent.parent
PROBE = Path(__file__).with_name("tree_probe.py")
PARTS = ("decisions", "features", "tapes", "research", "mock", "doors", "benchmarks")
SIDES = ("before", "after")

#: What is left out of every text before it is compared, by name: the pattern, and what stands in its place.
LEFT_OUT = {
    "when a run began": (r'"started": "[^"]*"', '"started": ""'),
    "how long it took": (r'("elapsed_s": )[\d.]+', r"\g<1>0"),
    "how long it took, in a summary": (r"(?<=trades), [\d.,]+ s\b", ""),
    "the time in the name of a kept run": (r"\d{8}T\d{6}Z(?=-[0-9a-f]{8})", "<time>"),
    "that the core is compiled first": (r"(?m)^First run here: .*\n", ""),
    "how far a run has come": (r"(?m)^.* s to go\n", ""),
    "where the tree and the answer stand": (r"<tree>|<folder>", "<place>"),
}
#: Files that are compared as they are: no text at all, or tables without anything of the kind.
BINARY = {".npy", ".bin", ".parquet"}
AS_IS = {*BINARY, ".csv", ".events"}
#: Words of commands that need a network, or that run until they are stopped.
ELSEWHERE = ("--slow", "--live", "ingest.doctor", "ingest.download", "scripts/record.py", "ingest.replay_server")
#: Settings of runs on candles, as environment variables.
BRACKETS = {
    "SCALPER__EXECUTION__ENTRY": "market",
    "SCALPER__RISK__STOP": "atr",
    "SCALPER__RISK__TRAIL": "bps",
    "SCALPER__SIMULATION__EQUITY_STEP_S": "3600",
}
FIXED = {
    "SCALPER__EXECUTION__ENTRY": "limit",
    "SCALPER__RISK__SIZING": "fixed",
    "SCALPER__RISK__TRAIL": "atr",
    "SCALPER__SIGNAL__VETO_BELOW_BREAK_EVEN": "true",
}
HELP = (
    "run_simulation.py",
    "-m backtest.sim_loop",
    "-m backtest.replicate",
    "-m ingest.tape",
    "-m ingest.tape check",
    "-m ingest.tape bars",
    "-m ingest.download",
    "-m ingest.doctor",
    "-m ingest.replay_server",
    "scripts/record.py",
    "-m benchmarks",
    *(f"-m benchmarks.{name}" for name in ("features", "events", "wire", "cache", "faults", "soak")),
)
#: Uses of the simulation that are wrong, each in its own way.
WRONG = (
    "--sed 3",
    "--seed x",
    "--data no-such-file.csv",
    "--data candles.txt",
    "--seed 1 --data BTCUSDT-5m.csv",
    "--tf 7m",
)


@dataclass(frozen=True, slots=True)
class Question:
    """What both trees are asked."""

    part: str
    name: str
    ask: str  # a function of `tree_probe.py`; "" = a command line in a process of its own
    given: Mapping[str, Any] = field(default_factory=dict)
    codes: tuple[int, ...] = (0,)  # exit codes that are an answer


@dataclass(frozen=True, slots=True)
class Answer:
    """How a question was answered."""

    question: Question
    equal: bool
    sha256: str  # of BEFORE's files, what is left out left out
    where: str  # the first difference, or why there is no answer
    seconds: tuple[float, ...]  # that each tree took


def command(
    part: str, name: str, words: str, env: Mapping[str, str] | None = None, codes: Sequence[int] = (0,)
) -> Question:
    """A command line, answered in the probe's process: starting one for each file would take most of the time."""
    return Question(part, name, "command", {"words": shlex.split(words), "env": env or {}}, tuple(codes))


def process(part: str, name: str, words: str, codes: Sequence[int] = (0,)) -> Question:
    """A command line in a process of its own, as people start it."""
    return Question(part, name, "", {"words": shlex.split(words)}, tuple(codes))


def label(path: Path) -> str:
    """Market, timeframe and file of a recording."""
    return "/".join((*path.parts[-3:-1], path.name.split(".")[0]))


def decisions(candles: Sequence[Path]) -> Iterator[Question]:
    """Runs on every candle file, on pairs of them, with funding."""
    for path in candles:
        data = f"--data {shlex.quote(str(path))} --logs-dir logs"
        yield command("decisions", f"default: {label(path)}", f"run_simulation.py {data}")
        yield command("decisions", f"moving stops: {label(path)}", f"-m backtest.sim_loop {data} --json", BRACKETS)
    pairs: dict[tuple[Path, str], list[Path]] = {}
    for path in candles:
        pairs.setdefault((path.parent, path.stem.partition("_")[2]), []).append(path)
    for together in pairs.values():
        data = " ".join(f"--data {shlex.quote(str(path))}" for path in together[:2]) + " --logs-dir logs"
        about = " and ".join(label(path) for path in together[:2])
        if len(together) > 1:
            yield command("decisions", f"two symbols: {about}", f"run_simulation.py {data} --steps 20000")
        steps = "--steps 5000 --initial-capital 500 --quiet"
        yield command("decisions", f"limits of fixed size: {about}", f"run_simulation.py {data} {steps}", FIXED)
        for funding in sorted(together[0].parents[2].glob(f"../funding/{together[0].parts[-3]}/*"))[:1]:
            data = f"--data {shlex.quote(str(together[0]))} --funding {shlex.quote(str(funding.resolve()))}"
            about = f"funding of {funding.stem}: {label(together[0])}"
            # of another symbol it is refused, which is an answer
            yield command("decisions", about, f"run_simulation.py {data} --logs-dir logs", codes=(0, 2))


def features(candles: Sequence[Path], tapes: Sequence[Path]) -> Iterator[Question]:
    """Feature bytes of bars and events."""
    yield Question("features", "fingerprints", "fingerprints")
    yield process("features", "catalogue", "-m features.catalogue")
    for path in candles:
        yield Question("features", f"bars: {label(path)}", "bar_features", {"path": str(path)})
    for path in tapes:
        yield Question("features", f"events: {label(path)}", "event_features", {"path": str(path)})


def tapes_(tapes: Sequence[Path]) -> Iterator[Question]:
    """What the commands say of a tape."""
    for path in tapes:
        place = shlex.quote(str(path))
        yield command("tapes", f"check: {label(path)}", f"-m ingest.tape check {place}")
        yield command("tapes", f"check --json: {label(path)}", f"-m ingest.tape check {place} --json")
        yield command("tapes", f"bars: {label(path)}", f"-m ingest.tape bars {place} --tf 1m --out bars", codes=(0, 2))


def research(candles: Sequence[Path], tapes: Sequence[Path], trades: Sequence[Path]) -> Iterator[Question]:
    """Scores, searches, sweeps, measures, replications, users' strategies; of candles one file a folder."""
    chosen = list({path.parent: path for path in reversed(candles)}.values())[::-1]
    for path in chosen:
        yield Question("research", f"score and search: {label(path)}", "research", {"path": str(path)})
        place = shlex.quote(str(path))
        yield command("research", f"examples/breakout.py: {label(path)}", f"examples/breakout.py {place}")
    for path in chosen[:2]:
        yield Question("research", f"sweep: {label(path)}", "sweep", {"path": str(path)})
    for path in (*tapes, *trades):
        yield Question("research", f"microstructure: {label(path)}", "measures", {"path": str(path)})
    for path in tapes:
        yield command(
            "research", f"replication: {label(path)}", f"-m backtest.replicate --data {shlex.quote(str(path))} --json"
        )
    yield command("research", "replication: mock market", "-m backtest.replicate --synthetic --hours 0.2 --seed 3")


def mock() -> Iterator[Question]:
    """The mock market by seed, symbol and timeframe."""
    for flags in (
        "",
        "--seed 1 --timeframe 1m --steps 1000 --json",
        "--seed 2 --symbol ETHUSDT --timeframe 15m --steps 100",
        "--seed 3 --symbol SOLUSDT --timeframe 1m --steps 300",
        "--seed 4 --symbol BTCUSDT,ETHUSDT --steps 200 --json",
    ):
        yield command("mock", f"run_simulation.py {flags}".strip(), f"run_simulation.py --logs-dir logs {flags}")
    yield command("mock", "market entries, moving stops", "run_simulation.py --logs-dir logs --seed 5", BRACKETS)


def readme_commands(readme: str) -> list[str]:
    """The commands of a README that start a program of ours and need no network, without the word `python`."""
    lines = [line for block in re.findall(r"```sh\n(.*?)```", readme, re.DOTALL) for line in block.splitlines()]
    ours = [line.partition("#")[0].strip() for line in lines if re.match(r"python (?!-m venv)", line)]
    return [line.removeprefix("python ") for line in ours if not any(word in line.split() for word in ELSEWHERE)]


def doors(readme: str, inputs: Path) -> Iterator[Question]:
    """The README, the help of every command, the settings, and what is said about mistakes."""
    for words in (*readme_commands(readme), "examples/breakout.py"):
        yield process("doors", f"README: python {words}", words)
    for code in re.findall(r"```python\n(.*?)```", readme, re.DOTALL):
        if "def breakout" in code:
            given = {"code": code, "path": str(inputs / "BTCUSDT-5m.parquet")}
            yield Question("doors", "README: a strategy of one's own", "strategy", given)
    for words in HELP:
        yield process("doors", f"{words} --help", f"{words} --help")
    for words in ("run_simulation.py --show-config --json", "run_simulation.py --version", "-m utils.config"):
        yield process("doors", words, words)
    for flags in WRONG:
        yield command("doors", f"wrong: {flags}", f"run_simulation.py {flags}", codes=(2,))


def questions(only: Sequence[str], readme: str, inputs: Path, found: Mapping[str, Sequence[Path]]) -> list[Question]:
    """Everything that is asked, part by part."""
    candles, tapes, trades = found["candles"], found["tapes"], found["trades"]
    asked = {
        "decisions": decisions(candles),
        "features": features(candles, tapes),
        "tapes": tapes_(tapes),
        "research": research(candles, tapes, trades),
        "mock": mock(),
        "doors": doors(readme, inputs),
        "benchmarks": iter([Question("benchmarks", "trades of engine, kernel and default strategy", "bench_trades")]),
    }
    return [question for part in PARTS if part in only for question in asked[part]]


def write_inputs(folder: Path) -> None:
    """The candle files that the README names: a seeded walk, the same for both trees."""
    folder.mkdir(parents=True)
    for seed, symbol in enumerate(("BTCUSDT", "ETHUSDT"), 1):
        dice, n = np.random.default_rng(seed), 3_000
        close = np.round(100.0 * np.exp(np.cumsum(1e-3 * dice.standard_normal(n))), 2)
        opens = np.concatenate(([100.0], close[:-1]))
        width = np.round(0.05 * dice.exponential(1.0, (2, n)), 2)
        high, low = np.round(np.maximum(opens, close) + width[0], 2), np.round(np.minimum(opens, close) - width[1], 2)
        times = pd.date_range("2025-01-01", periods=n, freq="5min")
        prices = {"open": opens, "high": high, "low": low, "close": close}
        table = pd.DataFrame({"timestamp": times, **prices, "volume": np.round(dice.uniform(100.0, 900.0, n), 3)})
        table.to_csv(folder / f"{symbol}-5m.csv", index=False)
        table.to_parquet(folder / f"{symbol}-5m.parquet")
    (folder / "candles.txt").write_text("no candles\n", encoding="utf-8")


class Tree:
    """One side: its folder, a compile cache of its own, and the process that answers for it."""

    def __init__(self, side: str, folder: Path, scratch: Path) -> None:
        self.side, self.folder, self._scratch = side, folder, scratch
        self.cache = scratch / f"cache_{side}"
        self._log = scratch / f"{side}.log"
        self._probe: subprocess.Popen[str] | None = None

    def env(self, cache: Path | None = None) -> dict[str, str]:
        """The environment of every process of this tree: nothing of this machine's settings, no other tree."""
        kept = {
            name: text for name, text in os.environ.items() if not name.startswith(("SCALPER__", "PYTHON", "NUMBA"))
        }
        own = {"PYTHONPATH": str(self.folder), "NUMBA_CACHE_DIR": str(cache or self.cache)}
        return kept | own | {"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb", "TZ": "UTC"}

    def place(self, words: Sequence[str]) -> list[str]:
        """A command line of this tree."""
        return [sys.executable, *(words if words[0] == "-m" else [str(self.folder / words[0]), *words[1:]])]

    def ask(self, question: Question, folder: Path) -> str:
        """Have the answer written to a folder; returns why there is none."""
        if question.ask:
            return self._tell(question, folder) or _code(question, folder)
        with (folder / "stdout.txt").open("w") as out, (folder / "stderr.txt").open("w") as err:
            words = self.place(question.given["words"])
            ran = subprocess.run(words, cwd=folder, env=self.env(), stdout=out, stderr=err, check=False)  # noqa: S603
        (folder / "code.txt").write_text(str(ran.returncode), encoding="utf-8")
        return _code(question, folder)

    def _tell(self, question: Question, folder: Path) -> str:
        if self._probe is None:
            with self._log.open("w") as log:
                self._probe = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-P", str(PROBE), str(self.folder)],
                    cwd=self._scratch,
                    env=self.env(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
        probe, line = self._probe, ""
        with contextlib.suppress(BrokenPipeError):
            print(
                json.dumps({"ask": question.ask, "given": question.given, "folder": str(folder)}),
                file=probe.stdin,
                flush=True,
            )
            line = probe.stdout.readline() if probe.stdout else ""
        if line:
            error: str = json.loads(line)["error"]
            return error.strip().rpartition("\n")[2]
        self.close()
        said = self._log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        return f"its process ended with code {probe.returncode}: {said}"

    def close(self) -> None:
        """End the process."""
        if self._probe is not None:
            self._probe.kill()
            self._probe.communicate()
            self._probe = None


def _code(question: Question, folder: Path) -> str:
    """Why an exit code is no answer."""
    if not (folder / "code.txt").exists():
        return ""
    code = int((folder / "code.txt").read_text(encoding="utf-8"))
    said = (folder / "stderr.txt").read_text(encoding="utf-8").strip().rpartition("\n")[2]
    return "" if code in question.codes else f"exit code {code}: {said}"


def kept(path: Path, tree: Path, folder: Path) -> bytes:
    """The bytes of an answer's file that are compared."""
    if path.suffix in AS_IS:
        return path.read_bytes()
    text = path.read_bytes().decode("utf-8", errors="surrogateescape")
    text = text.replace(str(folder), "<folder>").replace(str(tree), "<tree>")
    for pattern, instead in LEFT_OUT.values():
        text = re.sub(pattern, instead, text)
    return text.encode("utf-8", errors="surrogateescape")


def answer_of(tree: Path, folder: Path) -> dict[str, bytes]:
    """The files of an answer by name."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    name_of = {path: kept_name(path.relative_to(folder).as_posix()) for path in found}
    return {name_of[path]: kept(path, tree, folder) for path in found}


def kept_name(name: str) -> str:
    """A file's name without the time in it."""
    pattern, instead = LEFT_OUT["the time in the name of a kept run"]
    return re.sub(pattern, instead, name)


def digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over names and contents."""
    text = "".join(f"{name} {hashlib.sha256(content).hexdigest()}\n" for name, content in files.items())
    return hashlib.sha256(text.encode()).hexdigest()


def first_difference(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> str:
    """Where two answers differ first: file, and line, row and field, or path in JSON; "" = nowhere."""
    for name in sorted({*before, *after}):
        if name not in before or name not in after:
            return f"{name}: only {SIDES[name in after].upper()} writes it"
        one, other = before[name], after[name]
        if one != other:
            return f"{name}, {_within(name, one, other)}"
    return ""


def without_more(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> dict[str, bytes]:
    """AFTER's files less what only it has: files, columns behind those of BEFORE, keys."""
    return {name: _less(name, before[name], content) for name, content in after.items() if name in before}


def _less(name: str, one: bytes, other: bytes) -> bytes:
    if name.endswith(".csv"):
        head, cells = (next(csv.reader([text.decode().split("\n", 1)[0]]), []) for text in (one, other))
        if len(head) < len(cells) and cells[: len(head)] == head:
            out = io.StringIO()
            rows = csv.reader(io.StringIO(other.decode()))
            csv.writer(out, lineterminator="\n").writerows(row[: len(head)] for row in rows)
            return out.getvalue().encode()
    with contextlib.suppress(ValueError):
        a, b = json.loads(one), json.loads(other)
        less = _fewer_keys(a, b)
        return one if not _in_json(a, less) else json.dumps(less).encode()
    # the summary lists the files of a run in one line
    return other.replace(b"fills.csv, ", b"") if b"fills.csv, " not in one else other


def _fewer_keys(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: _fewer_keys(one[key], other[key]) for key in other if key in one}
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [_fewer_keys(a, b) for a, b in zip(one, other, strict=True)]
    return other


def _within(name: str, one: bytes, other: bytes) -> str:
    if name.endswith(".npy"):
        return _in_arrays(one, other)
    if Path(name).suffix in BINARY:
        at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
        return f"byte {at:,} of {len(one):,} and {len(other):,}"
    with contextlib.suppress(ValueError):
        if found := _in_json(json.loads(one), json.loads(other)):
            return found
    lines = zip_longest(*(text.decode("utf-8", errors="replace").splitlines() for text in (one, other)))
    for number, (a, b) in enumerate(lines, 1):
        if a != b:
            return f"line {number}: {_short(a)} became {_short(b)}"
    return "the ends of lines"


def _in_json(one: Any, other: Any, path: str = "$") -> str:
    """The path of the first value that differs."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys((*one, *other)):
            if (key in one) != (key in other):
                return f"{path}.{key}: only in {SIDES[key in other].upper()}"
            if found := _in_json(one[key], other[key], f"{path}.{key}"):
                return found
        return "" if list(one) == list(other) else f"{path}: the order of its keys"
    if isinstance(one, list) and isinstance(other, list):
        for i, (a, b) in enumerate(zip(one, other, strict=False)):
            if found := _in_json(a, b, f"{path}[{i}]"):
                return found
        return "" if len(one) == len(other) else f"{path}: {len(one):,} values became {len(other):,}"
    return "" if repr(one) == repr(other) else f"{path}: {_short(one)} became {_short(other)}"


def _in_arrays(one: bytes, other: bytes) -> str:
    """The first row and field that differ, bit for bit."""
    a, b = (np.load(io.BytesIO(text), allow_pickle=False) for text in (one, other))
    if a.dtype != b.dtype or a.shape != b.shape:
        return f"{a.shape} of {_short(a.dtype)} became {b.shape} of {_short(b.dtype)}"
    for row, (x, y) in enumerate(zip(a, b, strict=True)):
        if x.tobytes() != y.tobytes():
            names = [name for name in a.dtype.names or () if x[name].tobytes() != y[name].tobytes()]
            p, q = (x[names[0]], y[names[0]]) if names else (x, y)
            return f"row {row:,}{f', {names[0]}' if names else ''}: {_short(p)} became {_short(q)}"
    return "the words at its beginning"


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def compared(
    question: Question, trees: Sequence[Tree], scratch: Path, inputs: Path, *, allow_more: bool = False
) -> Answer:
    """Ask both trees, one after the other, and lay the answers side by side."""
    reasons, files, seconds = [], [], []
    for tree in trees:
        # paths of equal length, or the tables that show them would differ
        folder = scratch / f"{tree.side:_<6}" / "answer"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path in inputs.iterdir():
            (folder / path.name).symlink_to(path)
        began = time.perf_counter()
        reasons.append(tree.ask(question, folder))
        seconds.append(time.perf_counter() - began)
        files.append(answer_of(tree.folder, folder))
        shutil.rmtree(folder)
    missing = [f"no answer from {tree.side.upper()}: {why}" for tree, why in zip(trees, reasons, strict=True) if why]
    if not missing and not all(files):
        missing = ["no answer: no file was written"]
    if allow_more and len(files) == len(SIDES):
        files[1] = without_more(*files)
    where = "; ".join(missing) or first_difference(*files)
    return Answer(question, not where, digest(files[0]), where, tuple(seconds))


def timed(trees: Sequence[Tree], scratch: Path, rounds: int, step: Any) -> dict[str, dict[str, list[float]]]:
    """Seconds to start, from an empty cache and from a warm one, and the engine's ratios, both trees in turn."""
    found: dict[str, dict[str, list[float]]] = {}

    def note(what: str, side: str, value: float) -> None:
        found.setdefault(what, {name: [] for name in SIDES})[side].append(value)

    def start(tree: Tree, what: str, words: str, cache: Path | None = None) -> None:
        folder = scratch / "start"
        folder.mkdir(exist_ok=True)
        began = time.perf_counter()
        line = tree.place(shlex.split(words))
        subprocess.run(line, cwd=folder, env=tree.env(cache), check=True, capture_output=True)  # noqa: S603
        if what:
            note(what, tree.side, time.perf_counter() - began)
        step()

    run = "run_simulation.py --json --logs-dir logs"
    for _ in range(2):
        for tree in trees:
            cold = scratch / "cold"
            start(tree, "first run ever, s", run, cold)
            shutil.rmtree(cold)
    for tree in trees:
        start(tree, "", run)
    for _ in range(rounds):
        for tree in trees:
            start(tree, "later runs, s", run)
            start(tree, "--help, s", "run_simulation.py --help")
    for lap in range(rounds + 1):
        for tree in trees:
            folder = scratch / "speed"
            folder.mkdir(exist_ok=True)
            if why := tree.ask(Question("time", "speed", "speed"), folder):
                raise ConfigError(f"--time: expected {tree.side.upper()} to measure itself, saw '{why}'; leave it out")
            spent = json.loads((folder / "speed.json").read_text(encoding="utf-8"))
            if lap:  # the first one compiles
                note("engine / kernel", tree.side, spent["engine"] / spent["kernel"])
                note("default strategy / kernel", tree.side, spent["default"] / spent["kernel"])
            step()
    return found


@contextlib.contextmanager
def checked_out(name: str, folder: Path, home: Path = ROOT) -> Iterator[Path]:
    """The folder of a tree: the one named, or a worktree of the revision of `home` named, removed afterwards."""
    if Path(name).is_dir():
        yield Path(name).resolve()
        return

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", "-C", str(home), *words], capture_output=True, text=True, check=False)  # noqa: S603, S607

    revision = git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if revision.returncode:
        raise ConfigError(f"expected a folder or a revision of git, saw {name!r}; `git log` and `git tag` show them")
    try:
        made = git("worktree", "add", "--detach", str(folder), revision.stdout.strip())
        if made.returncode:
            raise ConfigError(f"expected git to check out {name}, saw '{made.stderr.strip()}'; name a folder instead")
        yield folder
    finally:
        git("worktree", "remove", "--force", str(folder))


def recordings(folders: Sequence[Path], pattern: str) -> list[Path]:
    """The recordings below some folders."""
    return sorted({path.resolve() for folder in folders for path in folder.rglob(pattern)})


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(
        prog="python scripts/compare_trees.py",
        description="Do two trees answer alike?",
        exits=("0 all is equal", "1 something differs", "2 a flag of yours"),
        allow_abbrev=False,
    )
    add, shared = parser.add_argument, ROOT.parent / "shared" / "data"
    add("before", metavar="BEFORE", help="a revision of git, or a folder")
    add("after", metavar="AFTER", nargs="?", default=str(ROOT), help="another (default: this tree)")
    for flag, default, what in (
        ("--data", [shared / "ohlcv"], "folders of candle files (default: ../shared/data/ohlcv)"),
        (
            "--tapes",
            [shared / "l2", shared / "trades"],
            "folders of tapes and of tables of trades (default: l2, trades)",
        ),
    ):
        add(flag, nargs="+", type=Path, metavar="DIR", default=default, help=what)
    add("--only", action="append", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}; repeatable")
    add("--allow-more", action="store_true", help="files, last columns and keys that only AFTER has are no difference")
    add("--time", action="store_true", help="measure start times and the engine's ratios, too")
    add("--rounds", type=int, default=7, metavar="N", help="of what is measured (default: 7)")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    add("-v", "--verbose", action="count", default=0, help="with an error, its traceback")
    return parser


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def run(flags: argparse.Namespace) -> int:
    """Do what the flags say."""
    found = {
        "candles": recordings(flags.data, "*.parquet"),
        "tapes": recordings(flags.tapes, "*.jsonl.zst"),
        "trades": recordings(flags.tapes, "*.parquet"),
    }
    absent = [
        f"no {what} below {', '.join(map(str, places))}: what is asked of them is left out"
        for what, places in (("candles", flags.data), ("tapes", flags.tapes))
        if not found[what]
    ]
    began = time.perf_counter()
    with contextlib.ExitStack() as stack:
        # a worktree must not stay behind, nor may a shell that starts this in the background have it ignore Ctrl-C
        for number in (signal.SIGTERM, signal.SIGINT):
            stack.callback(signal.signal, number, signal.signal(number, _stop))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="compare-"))).resolve()
        trees = []
        for side, name in zip(SIDES, (flags.before, flags.after), strict=True):
            folder = stack.enter_context(checked_out(name, scratch / f"tree_{side}"))
            if not (folder / "run_simulation.py").is_file():
                raise ConfigError(
                    f"expected a tree of this project, saw {folder} without run_simulation.py; name another"
                )
            trees.append(Tree(side, folder, scratch))
            stack.callback(trees[-1].close)
        write_inputs(inputs := scratch / "walk" / "5m")
        # the walk goes the way of recorded files, which need not be there
        found["candles"] = [*found["candles"], inputs / "BTCUSDT-5m.parquet", inputs / "ETHUSDT-5m.parquet"]
        readme = (trees[0].folder / "README.md").read_text(encoding="utf-8")
        asked = questions(flags.only or PARTS, readme, inputs, found)
        laps = 4 + 2 + 6 * flags.rounds + 2 if flags.time else 0
        done, answers = 0, []

        def step() -> None:
            nonlocal done
            done += 1
            meter.reach(done)

        with Meter("comparing", "questions", progress_console(quiet=flags.json), len(asked) + laps) as meter:
            meter.reach(0)
            for question in asked:
                answers.append(compared(question, trees, scratch, inputs, allow_more=flags.allow_more))
                if not flags.json:
                    show_answer(answers[-1])
                step()
            times = timed(trees, scratch, flags.rounds, step) if flags.time else {}
    spent = os.times()
    seconds = (time.perf_counter() - began, spent.children_user + spent.children_system)
    show = show_json if flags.json else show_rest
    show(answers, times, absent, seconds)
    return 0 if all(answer.equal for answer in answers) else 1


def show_json(
    answers: Sequence[Answer], times: Mapping[str, Any], absent: Sequence[str], seconds: tuple[float, float]
) -> None:
    """The report for programs."""
    rows = [
        {
            "part": answer.question.part,
            "question": answer.question.name,
            "equal": answer.equal,
            "sha256": answer.sha256,
            "where": answer.where,
            "seconds": [round(spent, 3) for spent in answer.seconds],
        }
        for answer in answers
    ]
    report = {"equal": all(answer.equal for answer in answers), "questions": rows, "times": times}
    left_out = {name: pattern for name, (pattern, _) in LEFT_OUT.items()}
    spent = {"seconds": round(seconds[0], 1), "processor_seconds": round(seconds[1], 1)}
    print(json.dumps(report | {"left_out": left_out, "absent": absent} | spent))


def show_answer(answer: Answer) -> None:
    """The line of a question, as soon as it is answered: whoever ends this early has seen what was equal so far."""
    question = answer.question
    print(f"{'equal' if answer.equal else 'DIFFERS':<8} {answer.sha256[:12]}  {question.part:<10}  {question.name}")
    if answer.where:
        print(f"         {answer.where}")
    sys.stdout.flush()


def show_rest(
    answers: Sequence[Answer], times: Mapping[str, Any], absent: Sequence[str], seconds: tuple[float, float]
) -> None:
    """The end of the report for people."""
    for what, sides in times.items():
        figures = (f"{statistics.median(v):.2f} ({min(v):.2f}-{max(v):.2f})" for v in sides.values())
        print(f"{what:<28}" + "".join(f"{side} {text:<24}" for side, text in zip(sides, figures, strict=True)))
    for sentence in absent:
        print(sentence)
    print(f"left out of texts: {'; '.join(LEFT_OUT)}")
    differ = sum(not answer.equal for answer in answers)
    verdict = f"{differ} differ" if differ else "all are equal"
    print(f"{len(answers)} questions in {seconds[0]:.0f} s, {seconds[1]:.0f} s of processor time: {verdict}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 equal, 1 different or ours, 2 yours, 130 Ctrl-C)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return guarded(lambda: run(build_parser().parse_args(with_hyphens(arguments))), arguments)


if __name__ == "__main__":
    sys.exit(main())
