"""Small trainings: real processes that do what a line says, for the tests of who begins and ends them."""

from __future__ import annotations

import asyncio
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from model.runs.record import Process, alive, born, here
from utils.config import load_settings
from utils.settings.tree import Settings


def program(folder: Path, text: str) -> Sequence[str]:
    """A program of these lines; what it is handed besides stands in sys.argv."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "train.py"
    path.write_text("import os, sys, time, signal\n" + textwrap.dedent(text))
    return (sys.executable, str(path))


def settings_of(folder: Path, text: str = "", **env: str) -> Settings:
    """Settings that train by themselves, with models below the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(f"retrain:\n  auto: true\nmeta:\n  dir: {folder / 'models'}\n{text}")
    return load_settings(path, env=env).settings


async def until(what: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait for something to be true, and answer it."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not come"
        await asyncio.sleep(0.02)
    return found


def running(pid: int) -> bool:
    """Whether a process is at work: neither over nor dead and not yet fetched."""
    return born(pid) is not None and alive(Process(here(), pid, born(pid)))


def words_of(pid: int) -> str:
    """The command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def open_files() -> int:
    """Files that this process has open."""
    return len([*Path("/proc/self/fd").iterdir()])
