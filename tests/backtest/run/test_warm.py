"""The core is compiled before it is needed, once a machine."""

import os
import subprocess
import sys

from backtest.run.warm import Warming, finish, start, warm
from ingest.wire.records import books_compiled
from tests.places import ROOT

#: Begins to compile into an empty cache, says whether a process of its own does it, and ends that.
COLD = """
from backtest.run.warm import start
process = start()
print(process is not None)
process.kill()
process.wait()
"""


def test_what_is_compiled_is_not_compiled_again():
    warm()
    assert start() is None
    finish(None)


def test_on_a_new_machine_another_process_compiles(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", COLD],
        cwd=ROOT,
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_DISABLE_JIT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "True\n", "") == (done.returncode, done.stdout, done.stderr)


def test_what_a_service_needs_is_there_when_it_has_been_waited_for():
    with Warming() as warming:
        warming.wait()
    assert books_compiled()


def test_a_service_that_ends_waits_for_no_making():
    with Warming() as warming:
        pass
    warming.wait()
