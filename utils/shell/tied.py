"""Processes that this one begins: on Linux none outlives it, however it ends, and none knows the API's token.

    python -m utils.shell.tied PID [idle] PROGRAM ARGUMENTS...

asks the kernel to be ended with the process PID, steps back behind all else if it is to be idle, and becomes the
program; its number stays the same, so that who began it can wait for it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from utils.root import ROOT
from utils.shell.rim import for_children

IDLE = "idle"
#: How far an idle one steps back: behind everything else.
NICE = 19
#: Of prctl: the signal that comes when the thread ends that began a process.
PR_SET_PDEATHSIG = 1
#: The number of ioprio_set by machine; the class "idle" of a process's reads and writes.
IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282}
IOPRIO_IDLE = 3 << 13


def begin(
    words: Sequence[str], *, idle: bool = False, env: Mapping[str, str] | None = None, **given: Any
) -> subprocess.Popen[bytes]:
    """Begin a program, which finds the modules of this one. The thread that does so has to live as long as it.

    Args:
        words: its command line.
        idle: it steps back behind everything else, on the processor and on the disk.
        env: names of its environment beside those of this process.
        **given: what else `subprocess.Popen` is told.

    Raises:
        OSError: the machine refuses.
    """
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    tie: list[str] = []
    if sys.platform != "win32":
        tie = [sys.executable, "-m", __name__, str(os.getpid()), *([IDLE] if idle else [])]
    return subprocess.Popen(  # noqa: S603 - commands of ours, and no shell reads them
        [*tie, *words], env={**for_children(), "PYTHONPATH": path, **(env or {})}, **given
    )


def main(words: Sequence[str]) -> None:
    """Become the program that is named."""
    parent, *rest = words
    idle = rest[0] == IDLE
    program = rest[idle:]
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent):  # gone before that was asked for
            sys.exit(1)
        number = IOPRIO_SET.get(os.uname().machine)
        if idle and number is not None:
            libc.syscall(number, 1, 0, IOPRIO_IDLE)  # a refusal leaves it as it is
    if idle and hasattr(os, "nice"):
        os.nice(NICE - os.nice(0))
    os.execv(program[0], program)  # noqa: S606 - what `begin` hands over


if __name__ == "__main__":
    main(sys.argv[1:])
