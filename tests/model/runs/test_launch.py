"""What a training is before it is one: of the lowest priority, and tied to who asked for it."""

import os
import subprocess
import sys

import pytest

from tests.model.runs.made import running
from tests.places import ROOT

LAUNCH = (sys.executable, "-m", "model.runs.launch")


def test_it_becomes_the_program_behind_everything_else():
    line = "import os; print(os.nice(0)); print(open('/proc/self/cmdline').read().split(chr(0))[1])"
    found = subprocess.run(
        [*LAUNCH, str(os.getpid()), sys.executable, "-c", line], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout == "19\n-c\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux is asked")
def test_it_ends_with_who_asked_for_it_however_that_ends():
    line = (
        "import os, subprocess, sys, time\n"
        f"one = subprocess.Popen([*{LAUNCH!r}, str(os.getpid()), sys.executable, '-c', "
        "'import os, time; print(os.getpid(), flush=True); time.sleep(600)'])\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", line], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        pid = int(owner.stdout.readline())
        assert running(pid)
        owner.kill()
        assert owner.stdout.read() == ""  # until nobody holds it open
    while running(pid):
        pass


def test_of_one_who_is_gone_already_it_does_not_begin():
    found = subprocess.run(
        [*LAUNCH, "1", sys.executable, "-c", "print('begun')"], cwd=ROOT, capture_output=True, check=False
    )
    assert (found.returncode, found.stdout) == (1, b"")
