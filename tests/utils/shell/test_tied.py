"""A process that is begun is what was asked for, ends with whoever began it, and steps back where it is to."""

import os
import subprocess
import sys

import pytest

from tests.model.runs.made import running
from tests.places import ROOT
from utils.shell.rim import TOKEN
from utils.shell.tied import begin

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux is asked")
TIED = (sys.executable, "-m", "utils.shell.tied")
#: Begins a process that would run long, and waits.
BEGIN = """
import sys, time
from utils.shell.tied import begin
begin([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"])
time.sleep(600)
"""


def said(line, **given):
    """What a line of Python prints that is begun so."""
    with begin([sys.executable, "-c", line], stdout=subprocess.PIPE, **given) as process:
        return process.communicate()[0].decode().split()


def test_it_is_the_program_with_its_words_and_finds_our_modules(tmp_path):
    line = "import os, utils.rows; print(os.nice(0), open('/proc/self/cmdline').read().split(chr(0))[1])"
    assert [str(os.nice(0)), "-c"] == said(line, cwd=tmp_path)


def test_an_idle_one_stands_behind_everything_else():
    assert ["19"] == said("import os; print(os.nice(0))", idle=True)


def test_it_knows_no_token_and_what_it_is_told(monkeypatch):
    monkeypatch.setenv(TOKEN, "a-token-of-the-tests")
    assert ["False", "told"] == said(f"import os; print({TOKEN!r} in os.environ, os.environ['A'])", env={"A": "told"})


@LINUX
def test_it_ends_with_who_began_it_however_that_ends():
    with subprocess.Popen([sys.executable, "-c", BEGIN], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        pid = int(owner.stdout.readline())
        assert running(pid)
        owner.kill()
        assert owner.stdout.read() == ""  # until nobody holds it open
    while running(pid):
        pass


@LINUX
def test_of_one_who_is_gone_already_it_does_not_begin():
    found = subprocess.run(
        [*TIED, "1", sys.executable, "-c", "print('begun')"], cwd=ROOT, capture_output=True, check=False
    )
    assert (found.returncode, found.stdout) == (1, b"")
