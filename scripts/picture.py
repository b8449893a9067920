"""Draw docs/summary.svg, the picture of a summary in the README: `python scripts/picture.py [FILE]`.

The same code draws the same bytes: a fixed mock run, settings without environment, no clock, no path of this machine.
"""

from __future__ import annotations

import dataclasses
import io
import os
import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from backtest.data.market import synthetic_market
from backtest.run.brief import brief
from backtest.sim_loop import SimulationResult, run_simulation
from utils.config import load_settings

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "python run_simulation.py"
#: Columns of the picture: two columns of figures, and letters of 13 points at the 800 pixels of a README.
WIDTH = 92
#: Shown instead of what the clock and this machine would say.
ELAPSED_S = 0.1
LOGS = Path("logs")


def run() -> SimulationResult:
    """The default run; its time and place are those of the picture."""
    settings = load_settings(ROOT / "config.yaml", env={}, dotenv=Path(os.devnull)).settings
    market = synthetic_market(settings, settings.market.symbol, settings.market.timeframe, settings.simulation.steps)
    with tempfile.TemporaryDirectory() as folder:
        result = run_simulation(data=market, settings=settings, logs_dir=folder)
    logs = {name: (LOGS / Path(path).name).as_posix() for name, path in result.report["logs"].items()}
    return dataclasses.replace(result, report={**result.report, "elapsed_s": ELAPSED_S, "logs": logs})


def draw(result: SimulationResult) -> str:
    """The terminal of a run as SVG, in the reader's own monospace font: nothing is fetched from the network."""
    console = Console(
        file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, color_system="truecolor", highlight=False
    )
    console.print(Text(f"$ {COMMAND}", style="bold"))
    for line in brief(result, WIDTH, drawn=True):
        console.print(line, soft_wrap=True)
    svg = console.export_svg(title=COMMAND, unique_id="summary")
    return re.sub(r" *@font-face \{.*?\n    \}\n", "", svg, flags=re.DOTALL).replace(
        "Fira Code, monospace", "monospace"
    )


def main() -> None:
    """Write the picture."""
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "summary.svg"
    place.write_text(draw(run()), encoding="utf-8", newline="\n")
    print(f"written {place}")


if __name__ == "__main__":
    main()
