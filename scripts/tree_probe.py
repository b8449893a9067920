"""Answer the questions of `scripts/compare_trees.py` about one tree, in a process of that tree.

`python -P scripts/tree_probe.py TREE` reads a question a line from standard input, as JSON: what is asked, with which
arguments, in which folder. Its answer is the files that it leaves there; standard output gets a line when they are
complete. Nothing of the tree is imported by a path that may change: what has no door is looked for by all its names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import json
import os
import runpy
import statistics
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

# an editable installation of another tree would lend this one the chapters that it does not have
sys.meta_path[:] = [
    finder for finder in sys.meta_path if not getattr(finder, "__module__", "").startswith("__editable__")
]

#: What has no door, by the names that it had and has; a move adds one.
LOAD_CANDLES = ("ingest.files.candles:load_candles", "ingest.candles:load_candles")
EVENT_FEATURES = ("features.live:EventFeatures", "features.event_features:EventFeatures")
ROWS_OF = ("features.rows.maker:rows_of", "features.live:rows_of", "features.event_features:rows_of")
SIMULATE = ("backtest.run.loop:simulate", "backtest.sim_loop:simulate")
#: Time between the closes at which event features are looked at, ns.
CLOSE_NS = 10_000_000_000
#: Bars of the benchmarks' mock market: a million would take five times as long to make.
BENCH_BARS = 200_000


def first(names: Sequence[str]) -> Any:
    """What stands under the first of `module:name` that this tree has."""
    for name in names:
        module, _, attribute = name.partition(":")
        with contextlib.suppress(ModuleNotFoundError, AttributeError):
            return getattr(importlib.import_module(module), attribute)
    raise LookupError(f"expected one of {', '.join(names)}, saw none; add its new name to scripts/tree_probe.py")


def plain(value: Any) -> Any:
    """A value as JSON has it: records, mappings and arrays taken apart, NaN as text; what begins with _ stays out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if not field.name.startswith("_")]
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    # JSON has no word for NaN, and `repr` gives every other float in full
    return value if value is None or isinstance(value, bool | int | str) else repr(value)


def tell(name: str, ask: Callable[[], Any]) -> Any:
    """Write an answer as JSON, and return it; a refusal of ours is an answer, too."""
    refusal: Any = importlib.import_module("utils.errors").ScalperError
    try:
        answer = ask()
    except refusal as error:
        answer = None
        text: Any = f"{type(error).__name__}: {error}"
    else:
        text = plain(answer)
    Path(f"{name}.json").write_text(json.dumps(text, indent=1), encoding="utf-8")
    return answer


def save(name: str, rows: Any) -> None:
    """Write an array, bit for bit, but for the layout of records: how wide a whole number is, and what lies between."""
    found = np.asarray(rows)
    if names := found.dtype.names:
        wide = [(name, np.int64 if found.dtype[name].kind == "i" else found.dtype[name]) for name in names]
        given, found = found, np.zeros(found.shape, wide)
        for field in names:
            found[field] = given[field]
    np.save(f"{name}.npy", found, allow_pickle=False)


@contextlib.contextmanager
def environment(more: Mapping[str, str]) -> Iterator[None]:
    """Variables that are set meanwhile."""
    os.environ.update(more)
    try:
        yield
    finally:
        for name in more:
            del os.environ[name]


def command(words: Sequence[str], env: Mapping[str, str]) -> None:
    """A command line, in this process: what it prints, its exit code, the files it writes."""
    out, err, code, given = io.StringIO(), io.StringIO(), 0, sys.argv
    sys.argv = list(words if words[0] != "-m" else words[1:])
    try:
        with environment(env), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            if words[0] == "-m":
                runpy.run_module(words[1], run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(str(Path(os.environ["PYTHONPATH"]) / words[0]), run_name="__main__")
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = given
    for name, text in (("stdout", out.getvalue()), ("stderr", err.getvalue()), ("code", str(code))):
        Path(f"{name}.txt").write_text(text, encoding="utf-8")


def bar_features(path: str) -> None:
    """Every feature of every bar of a file, what is prepared for them, and what they remember in the end."""
    registry, fold = importlib.import_module("features.registry"), importlib.import_module("features.fold")
    bars = first(LOAD_CANDLES)(path).rows
    chosen, door = registry.feature_set(), fold.Source.BAR.value
    save("bars", bars)
    save("features", chosen.batch(bars))
    Path("state.bin").write_bytes(chosen.snapshot())
    shared, prepared = np.zeros(1, door.shared), np.zeros(len(bars), door.prepared)
    for i in range(len(bars)):
        door.prepare(shared[0], bars[i], prepared[i])
    save("prepared", prepared)


def fingerprints() -> None:
    """The hash of each source's features."""
    registry, fold = importlib.import_module("features.registry"), importlib.import_module("features.fold")
    tell("fingerprints", lambda: {source.name: registry.fingerprint(source) for source in fold.Source})


def event_features(path: str) -> None:
    """The events of a tape, and the features as they stand after each and at closes, and all at once in batch."""
    registry, fold = importlib.import_module("features.registry"), importlib.import_module("features.fold")
    events = list(importlib.import_module("ingest.tape").replay(path))
    Path("tape.events").write_text("".join(f"{event}\n" for event in events), encoding="utf-8")
    symbols = sorted({event.symbol for event in events})
    begin = min(event.ts for event in events) // CLOSE_NS * CLOSE_NS + CLOSE_NS
    live = first(EVENT_FEATURES)(symbols, [begin] * len(symbols), CLOSE_NS)
    vectors = []
    for event in events:
        live.see(event)
        vectors.append(live.vector(event.symbol))
    save("vectors", np.concatenate(vectors))
    ends = range(begin, max(event.ts for event in events) + 1, CLOSE_NS)
    closes = [live.at(sym, close) for close in ends for sym in range(len(symbols))]
    save("ages_at_closes", np.array([(one.book_age_ms, one.print_age_ms) for one in closes]))
    save("vectors_at_closes", np.concatenate([vectors[0][:0], *(one.vector for one in closes)]))
    for source, rows in first(ROWS_OF)(events, symbols).items():
        save(f"rows_{source.name}", rows)
        save(f"batch_{source.name}", registry.feature_set(len(symbols), fold.Source[source.name]).batch(rows))


def measures(path: str) -> None:
    """The measures of microstructure, over the trades of a table or each symbol's events of a tape."""
    micro = importlib.import_module("features.microstructure")
    books: Mapping[str, Any] = {}
    if path.endswith(".parquet"):
        import pandas as pd

        trades: dict[str, Any] = {Path(path).stem: pd.read_parquet(path)}
    else:
        kinds = importlib.import_module("utils.types")
        events = list(importlib.import_module("ingest.tape").replay(path))
        symbols = sorted({event.symbol for event in events})
        trades = {name: [e for e in events if e.symbol == name and isinstance(e, kinds.Trade)] for name in symbols}
        rows = {name: first(ROWS_OF)([e for e in events if e.symbol == name], [name]) for name in symbols}
        books = {name: next(own for source, own in rows[name].items() if source.name == "BOOK") for name in symbols}
    for name, own in trades.items():
        for measure in ("order_flow_imbalance", "vpin", "sign_memory", "order_signs"):
            tell(f"{name}_{measure}", partial(getattr(micro, measure), own))
        if not len(books.get(name, ())):
            continue
        book = books[name]
        for measure in ("book_ofi", "multi_level_ofi"):
            save(f"{name}_{measure}", getattr(micro, measure)(book))
        tell(f"{name}_ofi_of_seconds", partial(micro.multi_level_ofi, book, 1.0))
        for measure in ("effective_spread", "realised_spread", "price_impact"):
            tell(f"{name}_{measure}", partial(getattr(micro, measure), own, book))


def research(path: str) -> None:
    """The score of a market and the best parameters on it, its regimes, forecasts, patterns and momentum."""
    advanced, regime = importlib.import_module("ml.features_advanced"), importlib.import_module("ml.regime")
    score = tell("score", lambda: advanced.market_microstructure_score(path))
    tell("params", lambda: advanced.find_best_scalping_params(path if score is None else score))
    frame = frame_of(path)
    closes, returns = frame["close"].to_numpy(), np.diff(np.log(frame["close"].to_numpy()))
    for name in ("har_forecast", "ewma_forecast"):
        tell(name, partial(getattr(regime, name), closes, horizon=20))
    tell("volatility_regime", lambda: regime.volatility_regime(np.abs(returns), window=500))
    tell("variance_ratio", lambda: regime.variance_ratio(returns, 5))
    tell("momentum_decay", lambda: regime.momentum_decay(returns, closes[1:]))
    save("patterns", importlib.import_module("ml.patterns").detect_patterns(frame).to_numpy())
    tell("amihud", lambda: importlib.import_module("features.microstructure").amihud(frame))


def frame_of(path: str) -> Any:
    """The candles of a file as a table."""
    import pandas as pd

    bars = first(LOAD_CANDLES)(path).rows
    return pd.DataFrame({name: bars[name] for name in ("open", "high", "low", "close", "volume")})


def simulated(path: str, **more: Any) -> Any:
    """A run by the door of Python."""
    run_simulation = importlib.import_module("backtest.sim_loop").run_simulation
    return run_simulation(data=path, logs_dir="logs", **more)


def sweep(path: str) -> None:
    """The scores of twelve sets of parameters on a file, by one and two workers, and the figures of one run's logs."""
    result = simulated(path)
    load = importlib.import_module("utils.config").load_settings
    sets = [
        load(flags={"risk.take_bps": take, "risk.stop_bps": stop, "signal.min_strength": strength}).settings
        for take in (20.0, 40.0)
        for stop in (15.0, 25.0)
        for strength in (10.0, 20.0, 30.0)
    ]
    for workers in (1, 2):
        scores = importlib.import_module("backtest.sweep").sweep(result.market, sets, workers=workers)
        Path(f"scores_{workers}.json").write_text(json.dumps(plain(scores)), encoding="utf-8")
    Path("model/artifacts/trials.jsonl").unlink(missing_ok=True)  # when it was tried is in it
    tell("kpis", lambda: importlib.import_module("utils.kpis").evaluate("logs"))


def strategy(code: str, path: str) -> None:
    """A run of the strategy that a piece of code defines."""
    scope: dict[str, Any] = {}
    exec(code, scope)  # noqa: S102 - the project's own README
    simulated(path, strategy=scope["breakout"])


def bench_trades() -> None:
    """The trades that the benchmarks are about."""
    inputs, rules, bare = (importlib.import_module(f"benchmarks.{name}") for name in ("inputs", "rules", "kernel"))
    bars, tick = inputs.market_bars(BENCH_BARS)
    walk = inputs.bars(50_000, 7, empty=0.02, gaps=0.02)
    for name, rows, step in (("mock", bars, tick), ("walk", walk, inputs.TICK)):
        save(f"bars_{name}", rows)
        save(f"engine_{name}", rules.engine_trades(rows, step))
        save(f"kernel_{name}", bare.run(rows, step))
    settings = importlib.import_module("utils.config").load_settings().settings
    market = importlib.import_module("benchmarks.__main__").market_of(bars, tick)
    save("default_mock", first(SIMULATE)(market, settings, keep=("trades",)).rows.trades)


def speed() -> None:
    """Processor seconds that kernel, engine and default strategy take over the same bars: medians of turns."""
    inputs, rules, bare = (importlib.import_module(f"benchmarks.{name}") for name in ("inputs", "rules", "kernel"))
    default = importlib.import_module("benchmarks.__main__").default_run
    bars, tick = inputs.market_bars(BENCH_BARS)
    arrays, room = bare.columns(bars), np.empty(len(bars), bare.TRADE)
    work: dict[str, Callable[[], Any]] = {
        "kernel": lambda: bare.kernel(*arrays, tick, room),
        "engine": lambda: rules.engine_trades(bars, tick),
        "default": lambda: default(bars, tick),
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(5):
        for name, run in work.items():
            began = time.thread_time()
            run()
            seconds[name].append(time.thread_time() - began)
    medians = {name: statistics.median(spent) for name, spent in seconds.items()}
    Path("speed.json").write_text(json.dumps(medians), encoding="utf-8")


QUESTIONS: dict[str, Callable[..., None]] = {
    ask.__name__: ask
    for ask in (
        command,
        bar_features,
        fingerprints,
        event_features,
        measures,
        research,
        sweep,
        strategy,
        bench_trades,
        speed,
    )
}


def strangers(tree: Path) -> list[str]:
    """Modules by the names of this tree's packages that come from elsewhere, such as an installed copy."""
    return [
        f"{name} from {module.__file__}"
        for name, module in sorted(sys.modules.items())
        if (name.partition(".")[0] == "utils" or (tree / name.partition(".")[0]).is_dir())
        and getattr(module, "__file__", None)
        and not Path(module.__file__ or "").resolve().is_relative_to(tree)
    ]


def main() -> None:
    """Answer until there are no more questions."""
    tree = Path(sys.argv[1]).resolve()
    # what a library prints must not stand between the answers
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.filterwarnings("ignore", "'.*' found in sys.modules", RuntimeWarning)
    importlib.import_module("utils")
    for line in sys.stdin:
        question = json.loads(line)
        os.chdir(question["folder"])
        error = ""
        try:
            QUESTIONS[question["ask"]](**question["given"])
        except Exception:  # noqa: BLE001 - whatever it is, it is told
            error = traceback.format_exc()
        if found := strangers(tree):
            error = f"expected modules of {tree} only, saw {', '.join(found)}"
        print(json.dumps({"error": error}), file=answers, flush=True)


if __name__ == "__main__":
    main()
