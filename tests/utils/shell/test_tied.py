"""A process ends with whoever began it."""

import subprocess
import sys
import time

from tests.places import ROOT
from utils.shell.tied import begin

#: Begins a process that would run for ever, and waits for it.
BEGIN = """
from utils.shell.tied import begin
begin("http.server", "0", "--bind", "127.0.0.1").wait()
"""


def test_it_is_the_module_with_its_words():
    with begin("json.tool", "--compact", cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert b'{"a":1}\n' == process.communicate(b'{"a": 1}')[0]


def test_it_ends_when_the_one_that_began_it_is_killed():
    with subprocess.Popen([sys.executable, "-u", "-c", BEGIN], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        time.sleep(1.0)
        parent.kill()
        began_s = time.monotonic()
        parent.stdout.read()  # both hold it open
        assert time.monotonic() - began_s < 3.0
