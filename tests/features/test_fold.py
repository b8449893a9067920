"""The loop over features: chunks, symbols, memory, its cache, and the same bits uncompiled."""

import json
import linecache
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numba
import numpy as np
import pytest

from features.check_inputs import halted, random_bars
from features.checks import check_feature, problems
from features.fold import NEVER, Feature, FeatureSet, fingerprint, matrix, shares
from features.folds import technical, volatility
from features.registry import FEATURES, feature_set
from features.rows.sources import Source
from tests.places import ROOT
from utils.compiled import compiled
from utils.errors import ConfigError, DataError, InvariantError
from utils.rows import BAR

FEW = (technical.log_return(1), volatility.parkinson(3))


@pytest.fixture(scope="module")
def bars():
    return halted(random_bars(900, seed=31), 300, 340)


@pytest.mark.parametrize("size", [1, 7, 20, 64, 899])
def test_chunks_of_any_size_give_the_same_bytes(bars, size):
    features = feature_set()
    chunks = [features.batch(bars[i : i + size]).tobytes() for i in range(0, len(bars), size)]
    assert feature_set().batch(bars).tobytes() == b"".join(chunks)


def test_step_answers_the_row_that_batch_has(bars):
    whole, stream = feature_set().batch(bars), feature_set()
    for i in range(len(bars)):
        assert whole[i : i + 1].tobytes() == stream.step(bars[i : i + 1]).tobytes()


def test_batch_writes_into_the_rows_it_is_given(bars):
    features = feature_set()
    out = np.zeros(len(bars), features.dtype)
    assert out is features.batch(bars, out)
    with pytest.raises(ConfigError, match="expected room for 900 rows, got 899"):
        features.batch(bars, out[1:])


def test_matrix_is_a_view_in_the_order_of_the_names(bars):
    features = feature_set()
    out = features.batch(bars)
    table = matrix(out)
    assert (len(bars), len(FEATURES)) == table.shape
    assert np.shares_memory(out, table)
    for column, name in enumerate(features.names):
        assert out[name].tobytes() == np.ascontiguousarray(table[:, column]).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("threads", [2, 3, 40])
def test_threads_that_share_the_features_give_the_same_bytes_and_states(bars, threads):
    alone, shared = feature_set(), feature_set()
    for part in (bars[:500], bars[500:]):
        assert alone.batch(part).tobytes() == shared.batch(part, threads=threads).tobytes()
    assert alone.snapshot() == shared.snapshot()


def test_threads_share_all_features_in_order_and_about_evenly():
    first, second = shares(FEATURES, 2)
    assert first + second == FEATURES
    assert 13 <= len(first) <= 17
    assert [FEW[:1], FEW[1:]] == shares(FEW, 5)


def test_threads_stop_at_a_row_of_an_unknown_symbol(bars):
    strange = bars[:10].copy()
    strange["sym"][4] = 1
    with pytest.raises(DataError, match="row 4: sym is 1, expected 0 to 0"):
        feature_set().batch(strange, threads=2)
    with pytest.raises(ConfigError, match="expected at least 1 thread, got 0"):
        feature_set().batch(strange, threads=0)


def test_sets_of_the_same_features_share_their_layouts():
    # numba compares a dtype that is equal but another object field by field, at each call
    one, other = feature_set(), feature_set(symbols=2)
    assert one.states.dtype is other.states.dtype
    assert one.dtype is other.dtype


def test_reset_forgets_everything(bars):
    features = feature_set()
    first = features.batch(bars).tobytes()
    features.reset()
    assert first == features.batch(bars).tobytes()


def test_snapshot_goes_on_as_if_nothing_had_happened(bars):
    features = feature_set()
    features.batch(bars[:500])
    snapshot = features.snapshot()
    expected = features.batch(bars[500:]).tobytes()
    other = feature_set()
    other.restore(snapshot)
    assert expected == other.batch(bars[500:]).tobytes()


def test_snapshot_of_other_features_is_refused():
    with pytest.raises(DataError, match="expected a snapshot of these features"):
        feature_set().restore(FeatureSet(FEW).snapshot())
    with pytest.raises(DataError, match="expected a snapshot of these features"):
        feature_set(symbols=2).restore(feature_set().snapshot())


def test_row_of_an_unknown_symbol_is_named(bars):
    strange = bars[:10].copy()
    strange["sym"][4] = 1
    with pytest.raises(DataError, match="row 4: sym is 1, expected 0 to 0"):
        feature_set().batch(strange)
    with pytest.raises(DataError, match="row 0: sym is 1, expected 0 to 0"):
        feature_set().step(strange[4:5])
    with pytest.raises(ConfigError, match="expected room for 2 rows, got 1"):
        feature_set().step(strange[:2])
    strange["sym"][4] = -1
    with pytest.raises(DataError, match="row 4: sym is -1"):
        feature_set().batch(strange)


def test_fingerprint_changes_with_name_order_and_parameter():
    own = fingerprint(FEW)
    assert own == fingerprint((technical.log_return(1), volatility.parkinson(3)))
    assert own != fingerprint(FEW[::-1])
    assert own != fingerprint((FEW[0], replace(FEW[1], params=(4, FEW[1].params[1]))))
    assert own != fingerprint((FEW[0], replace(FEW[1], name="range_vol")))


def test_names_that_repeat_or_belong_to_numpy_are_refused():
    with pytest.raises(ConfigError, match="feature names must be unique and free"):
        FeatureSet((FEW[0], FEW[0]))
    with pytest.raises(ConfigError, match="feature names must be unique and free"):
        FeatureSet((replace(FEW[0], name="mean"),))
    with pytest.raises(ConfigError, match="expected features of one source"):
        FeatureSet(())


def test_a_feature_with_more_params_than_state_is_refused():
    with pytest.raises(ConfigError, match="expected a state field for each of 2 params"):
        replace(FEW[0], params=(1.0, 2.0))


def test_steps_of_one_file_share_no_state_between_windows(bars):
    short, long = volatility.parkinson(3), volatility.parkinson(30)
    both = FeatureSet((short, long)).batch(bars)
    assert FeatureSet((short,)).batch(bars)["parkinson_3_bps"].tobytes() == both["parkinson_3_bps"].tobytes()
    assert FeatureSet((long,)).batch(bars)["parkinson_30_bps"].tobytes() == both["parkinson_30_bps"].tobytes()


@compiled
def sticky_step(state, row):
    """A mean that a bar without volume poisons for ever."""
    state.unused += row.close / row.volume if row.volume > 0.0 else np.nan
    return state.unused


def test_check_names_each_rule_a_feature_breaks():
    sticky = Feature("sticky", Source.BAR, "none", 3, FEW[0].state, sticky_step, NEVER, (), "own", (0.0, 1.0))
    found = " ".join(problems(sticky))
    assert "docstring has no line `Formula:`" in found
    assert "row 0 has a value within the warm-up of 3 rows" in found
    assert "where `never` does not hold" in found
    assert "values leave [0.0, 1.0]" in found
    assert "stream differs" not in found
    with pytest.raises(InvariantError, match="sticky: docstring"):
        check_feature(sticky)


DIGEST = """
import hashlib, sys
import numba
from features.folds import volatility
from features.folds import volume
from features.check_inputs import hard_inputs
from features.fold import FeatureSet
from features.rows.sources import Source
from features.registry import REGISTERED
assert bool(numba.config.DISABLE_JIT) == (sys.argv[1] == "plain")
spare = volatility.rogers_satchell(), volatility.yang_zhang(), volatility.atr_bps(), volatility.time_of_day_vol()
digest = hashlib.sha256()
for source, features in REGISTERED.items():
    features += (*spare, volume.volume_zscore()) if source is Source.BAR else ()
    # events: windows of ten seconds and less have values here
    for _, rows in hard_inputs(source):
        digest.update(FeatureSet(features).batch(rows[: 240 if source is Source.BAR else 400]).tobytes())
print(digest.hexdigest())
"""


def run(code, *arguments, folder=ROOT, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_uncompiled_python_gives_the_same_bits():
    assert run(DIGEST, "compiled", NUMBA_DISABLE_JIT="0") == run(DIGEST, "plain", NUMBA_DISABLE_JIT="1")


TWO_FEATURES = """
import json
import numpy as np
from features.folds import technical
from features.folds import volatility
from features.folds import volume
from features.fold import FeatureSet
from utils.rows import BAR
bars = np.ones(4, BAR)
bars["sym"], bars["high"] = 0, 2.0
features = FeatureSet((technical.log_return(1), volatility.parkinson(3)))
value = features.batch(bars)["parkinson_3_bps"][-1]
print(json.dumps([value, sum(features.fold.stats.cache_hits.values())]))
"""


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="there is no machine code to keep")
def test_machine_code_is_kept_until_a_callee_changes(tmp_path):
    for package in ("utils", "features"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))

    def value_and_hits():
        return json.loads(run(TWO_FEATURES, folder=tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "cache")))

    value, hits = value_and_hits()
    assert 0 == hits
    assert [value, 1] == value_and_hits()
    windows = tmp_path / "features" / "folds" / "windows.py"
    text = windows.read_text()
    assert 1 == text.count("    total = window.block + value\n")
    windows.write_text(text.replace("    total = window.block + value\n", "    total = window.block + 4.0 * value\n"))
    changed, hits = value_and_hits()
    assert value != changed
    assert 0 == hits


def stated_files(features):
    """Files whose hash stands in the text of the generated loop."""
    file = getattr(features.fold, "py_func", features.fold).__code__.co_filename
    return [line.split()[1] for line in linecache.getlines(file) if line.startswith("# ") and ".py " in line]


def test_the_loop_states_the_hash_of_files_that_the_stamp_does_not_cover_and_of_no_other():
    strange = Feature("sticky", Source.BAR, "none", 3, FEW[0].state, sticky_step, NEVER, (), "own", (0.0, 1.0))
    assert [] == stated_files(feature_set())
    assert ["test_fold.py"] == stated_files(FeatureSet((strange,)))


def test_output_of_a_fixed_seed_is_finite_where_it_is_defined():
    out = matrix(feature_set().batch(random_bars(2_000, seed=5)))
    assert not np.isinf(out).any()
    assert not np.isnan(out[1_600:]).any()


def test_empty_batch_is_empty():
    assert 0 == len(feature_set().batch(np.zeros(0, BAR)))
