"""How far a long piece of work has come, on standard error."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

#: Least time between two lines where there is no terminal, s; short work prints none.
PAUSE_S = 5.0
#: Columns of a terminal that has room for bar, rate and time left.
WHOLE_WIDTH = 76


class Rate(ProgressColumn):
    """Units a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """The rate so far, e.g. `4,300 candles/s`."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {self._unit}/s", style="progress.data.speed")


class Meter:
    """Progress: a bar with rate and time left on a terminal, else a line now and then.

    Use it with `with`, or `stop` it in the end.

    Args:
        what: is being done.
        unit: what is counted, as it is called.
        console: of standard error; a quiet one shows nothing.
        total: all there is to do; 0 = `reach` will say.
        size: of one unit, in what `reach` is told.
        pause_s: least time between two lines, s.
    """

    def __init__(
        self,
        what: str,
        unit: str,
        console: Console,
        total: float = 0.0,
        *,
        size: float = 1.0,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._what, self._unit, self._console, self._total = what, unit, console, total
        self._size, self._pause_s = size, pause_s
        self._began = self._spoke = time.monotonic()
        self._first: float | None = None
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = [
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                Rate(unit),
                TimeRemainingColumn(),
            ]
            # what is cut tells nothing: a narrow terminal is shown how much is done
            shown = columns if console.width >= WHOLE_WIDTH else [columns[0], columns[2]]
            self._bar = Progress(*shown, console=console, transient=True)
            self._task = self._bar.add_task(what, total=int(total / size) or None)
            self._bar.start()

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()

    def reach(self, done: float, total: float = 0.0) -> None:
        """So much is behind us; `total` where it was not known before."""
        self._total = total or self._total
        units, all_units = int(done / self._size), int(self._total / self._size)
        if self._first is None:
            self._first = units
        if self._bar is not None:
            self._bar.update(self._task, completed=units, total=all_units)
            return
        now = time.monotonic()
        if self._first < units < all_units and now - self._spoke >= self._pause_s:
            self._spoke = now
            rate = (units - self._first) / max(now - self._began, 1e-9)
            self._console.print(
                f"{self._what}: {units:,} of {all_units:,} {self._unit}, {rate:,.0f} a second,"
                f" {(all_units - units) / rate:.0f} s to go",
                soft_wrap=True,
                highlight=False,
                markup=False,
            )
