"""The runner of the tests: children have the usual signals, and nothing hangs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX"),
]

DISPOSITIONS = """
import signal
print([signal.getsignal(each) == usual for each, usual in (
    (signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL))])
"""
#: In C, with the interpreter's lock held: no signal's handler gets a turn.
HANGS = {
    "Python": "while True: pass",
    "a lock": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "another thread": "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    "    threading.enumerate()[-1].join()",
    "a child": "import subprocess; subprocess.run(['sleep', '60'])",
    "C": "import itertools; sum(itertools.repeat(0))",
}


def runner(*arguments, before=""):
    """Another pytest with our settings, started by a shell that has done something before."""
    command = ["sh", "-c", f'{before} exec "$@"', "sh", sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    return subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_child_answers_to_ctrl_c_and_to_sigterm():
    child = subprocess.run([sys.executable, "-c", DISPOSITIONS], capture_output=True, text=True, check=True)
    assert "[True, True]\n" == child.stdout


def test_it_does_so_where_the_runner_ignores_both():
    ran = runner("-m", "slow", f"{__file__}::test_a_child_answers_to_ctrl_c_and_to_sigterm", before="trap '' INT TERM;")
    assert 0 == ran.returncode, ran.stdout


def test_a_runner_that_ignores_ctrl_c_goes_on_ignoring_it(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "from signal import SIGINT, SIGTERM, raise_signal\n"
        "def test_it():\n    raise_signal(SIGINT)\n    raise_signal(SIGTERM)\n"
    )
    ran = runner("-c", "pyproject.toml", "-p", "tests.conftest", tmp_path, before="trap '' INT TERM;")
    assert 0 == ran.returncode, ran.stdout


@pytest.mark.parametrize("where", HANGS)
def test_a_test_that_hangs_is_ended_and_its_stack_is_shown(tmp_path, where):
    (tmp_path / "test_it.py").write_text(f"def test_hangs():\n    {HANGS[where]}\n\ndef test_after():\n    pass\n")
    ran = runner("-c", "pyproject.toml", "-p", "tests.conftest", "--timeout", "1", tmp_path)
    assert 1 == ran.returncode
    assert "test_hangs" in ran.stdout + ran.stderr
    assert ("Timeout (0:00:01.500000)!" if where == "C" else "1 failed, 1 passed") in ran.stderr + ran.stdout
