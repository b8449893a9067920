import re

from rich.console import Console

from utils.shell.meter import Meter


def told(capsys, *reached: tuple[float, ...], **settings: object) -> list[str]:
    """The lines of a meter whose console is no terminal."""
    with Meter("making", "bars", Console(stderr=True), **{"total": 4000.0, "pause_s": 0.0} | settings) as meter:
        for each in reached:
            meter.reach(*each)
    out, err = capsys.readouterr()
    assert "" == out
    return err.splitlines()


def test_without_a_terminal_progress_is_a_line_now_and_then_and_none_at_either_end(capsys):
    lines = told(capsys, (0,), (1000,), (3000,), (4000,))
    assert 2 == len(lines)
    assert re.fullmatch(r"making: 1,000 of 4,000 bars, [\d,]+ a second, \d+ s to go", lines[0])
    assert lines[1].startswith("making: 3,000 of 4,000 bars, ")


def test_short_work_prints_no_line(capsys):
    assert [] == told(capsys, (0,), (1000,), (3000,), pause_s=60.0)


def test_units_have_a_size_and_the_total_may_come_later(capsys):
    lines = told(capsys, (0, 240_000), (120_000, 240_000), total=0.0, size=60_000)
    assert ["making: 2 of 4 bars"] == [line.partition(",")[0] for line in lines]


def test_what_was_there_before_counts_for_no_rate(capsys):
    assert [] == told(capsys, (3000,), (3000,))


def test_a_quiet_console_shows_nothing(capsys):
    meter = Meter("making", "bars", Console(stderr=True, quiet=True, force_terminal=True), 10.0)
    meter.reach(5)
    meter.stop()
    assert ("", "") == capsys.readouterr()


def test_on_a_terminal_the_bar_goes_when_the_work_is_done(capsys):
    with Meter("making", "bars", Console(stderr=True, force_terminal=True, width=80), 10.0) as meter:
        meter.reach(5)
    assert capsys.readouterr().err.endswith("\x1b[2K")
