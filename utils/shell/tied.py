"""A process that does not outlive whoever began it, however that ends.

    python -m utils.shell.tied PID MODULE ARGUMENTS...

runs a module as `python -m MODULE ARGUMENTS...` would; PID is the process that asks for it.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from utils.shell.rim import for_children

#: Time between two looks at whether the other one is still there, s.
LOOK_S = 0.25


def begin(
    module: str,
    *words: str,
    cwd: Path | None = None,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
) -> subprocess.Popen[bytes]:
    """Begin a module with these words; it ends with this process, and does not know the API's token.

    Args:
        module: as behind `python -m`.
        words: its arguments.
        cwd: its working directory; None = the one of this process.
        stdin: as for `subprocess.Popen`, like the others.
        stdout: likewise.
        stderr: likewise.

    Raises:
        OSError: the machine refuses.
    """
    return subprocess.Popen(  # noqa: S603 - modules of ours, and no shell reads it
        [sys.executable, "-m", __name__, str(os.getpid()), module, *words],
        cwd=cwd,
        env=for_children(),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
    )


def main(words: Sequence[str]) -> None:
    """Run the module that is named, and look beside it whether the process that asked is there."""
    parent, module = int(words[0]), words[1]
    threading.Thread(target=_watch, args=(parent,), name="tied", daemon=True).start()
    sys.argv = list(words[1:])
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _watch(parent: int) -> None:
    """End this process when the parent is another: nobody waits for what it does."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
