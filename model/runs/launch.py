"""Begin a training so that it is in nobody's way and never outlives who asked for it; then become it.

    python -m model.runs.launch PID PROGRAM ARGUMENTS...

PID is the process that asks. On Linux the kernel ends the training with it, however it ends; the number of the process
stays the same, so that who began it can wait for it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

#: How far it steps back: behind everything else.
NICE = 19
#: Of prctl: the signal that comes when the parent ends.
PR_SET_PDEATHSIG = 1
#: The number of ioprio_set by machine; the class "idle" of a process's reads and writes.
IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282}
IOPRIO_IDLE = 3 << 13


def main(words: Sequence[str]) -> None:
    """Become the program that is named."""
    parent, program = int(words[0]), list(words[1:])
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # gone before that was asked for
            sys.exit(1)
        number = IOPRIO_SET.get(os.uname().machine)
        if number is not None:
            libc.syscall(number, 1, 0, IOPRIO_IDLE)  # a refusal leaves it as it is
    if hasattr(os, "nice"):
        os.nice(NICE - os.nice(0))
    os.execv(program[0], program)  # noqa: S606 - what the schedule hands over


if __name__ == "__main__":
    main(sys.argv[1:])
