"""What every command line of this project shares: one sentence for a mistake, an exit code that says whose it is."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import io
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Protocol

from utils.errors import ConfigError, ScalperError
from utils.root import ROOT
from utils.settings.text import is_text
from utils.shell.rim import guard_output

INTERRUPTED = 130
#: More than a path may have anywhere.
MOST_LETTERS = 4_096
#: What a machine says of a name that can be no file's.
NO_PLACE = {errno.ENAMETOOLONG, errno.ELOOP}


#: How every command line ends, unless it says otherwise.
EXITS = (
    "0 done",
    "1 our fault or the machine's",
    "2 a flag, setting or file of yours",
    "3 an exchange did not answer, or answered garbage",
    f"{INTERRUPTED} Ctrl-C or SIGTERM",
)


class Parser(argparse.ArgumentParser):
    """argparse, with flags in groups, examples and exit codes, and one sentence for a wrong flag and the nearest known.

    Args:
        prog: as it is typed.
        description: what it does, in a sentence.
        usage: what may follow; the flags are listed below it.
        examples: lines to type, each with what it does.
        exits: exit codes, each with what it means.
        **more: of argparse.
    """

    def __init__(
        self,
        prog: str,
        description: str = "",
        *,
        usage: str = "[flags]",
        examples: Sequence[tuple[str, str]] = (),
        exits: Sequence[str] = EXITS,
        **more: Any,
    ) -> None:
        super().__init__(prog=prog, description=description, usage=f"{prog} {usage}", **{"allow_abbrev": False, **more})
        self._examples, self._exits = tuple(examples), tuple(exits)
        self._positionals.title, self._optionals.title = "arguments", "help"

    def group(self, title: str, about: str | None = None) -> Callable[..., argparse.Action]:
        """`add_argument` of a group of flags, which stands under its title, and what is said about it, in `--help`."""
        return self.add_argument_group(title, about).add_argument

    def format_help(self) -> str:
        """Usage, the groups, what belongs to none of them, examples, exit codes."""
        self._action_groups.sort(key=lambda group: group is self._optionals)
        told = [f"  {line}\n      {what}" for line, what in self._examples]
        blocks = (("examples", told), ("exit codes", [f"  {end}" for end in self._exits]))
        return "\n".join(
            [super().format_help(), *("\n".join([f"{name}:", *rows, ""]) for name, rows in blocks if rows)]
        )

    def parse_told(self, words: Sequence[str]) -> argparse.Namespace:
        """The flags, either spelling; `told` among them is the whole line, as it can be typed again."""
        flags = self.parse_args(with_hyphens(words))
        flags.told = " ".join([self.prog, *map(shlex.quote, words)])
        return flags

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting, so that every mistake takes one way out."""
        unknown = message.removeprefix("unrecognized arguments: ").split()
        if unknown and message.startswith("unrecognized"):
            known = [flag for action in self._actions for flag in action.option_strings]
            near = difflib.get_close_matches(unknown[0].split("=")[0], known, 1)
            hint = f"did you mean {near[0]}?" if near else "--help lists the flags"
            raise ConfigError(f"unknown flag {unknown[0]}; {hint}")
        raise ConfigError(f"{message.removeprefix('argument ')}; --help lists the flags")


def whole(text: str) -> int:
    """A whole number, or one sentence."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, saw {text[:80]!r}") from None


def amount(text: str) -> float:
    """A number, or one sentence."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, saw {text[:80]!r}") from None


def with_hyphens(arguments: Sequence[str]) -> list[str]:
    """`--logs_dir=x` is `--logs-dir=x`: both spellings of a flag are right.

    Raises:
        ConfigError: a value is empty, or no text that a file or a setting could have.
    """
    spelled = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        spelled.append(flag.replace("_", "-") + equals + value if flag.startswith("--") else argument)
        if argument == "" or (argument.endswith("=") and argument.startswith("--")):
            raise ConfigError("a flag was given an empty value; give it one or leave the flag out")
        if len(argument) > MOST_LETTERS:
            raise ConfigError(f"a flag was given {len(argument):,} characters ({argument[:40]!r} ...); shorten it")
        if not is_text(argument):
            raise ConfigError(f"a flag was given {argument[:80]!r}, with characters that no name has; correct it")
    return spelled


class Main(Protocol):
    """A command line: arguments in, without the program's name (None = the process's own), exit code out."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int:
        """Run it."""
        ...


def command(build_parser: Callable[[], Parser], run: Callable[[argparse.Namespace], int]) -> Main:
    """The `main` of a command line; its exit code: 0 done, 1 ours, 2 yours, 3 theirs, 130 Ctrl-C or SIGTERM.

    Args:
        build_parser: its flags.
        run: does what they say; may raise.
    """

    def main(arguments: Sequence[str] | None = None) -> int:
        words = sys.argv[1:] if arguments is None else arguments
        return guarded(lambda: run(build_parser().parse_told(words)), words)

    return main


def guarded(work: Callable[[], int], arguments: Sequence[str]) -> int:
    """Do `work` and return the exit code: its own, or the one of what went wrong, said in one sentence.

    SIGTERM ends it in the order in which Ctrl-C does, also where the process was started to ignore that.

    Args:
        work: parses and runs; may raise.
        arguments: of the command line; -v among them shows tracebacks.
    """
    prepare_output()
    verbose = any(a == "--verbose" or (a.startswith("-v") and not a.startswith("--")) for a in arguments)
    terminated: list[int] = []
    try:
        with _ended_by_sigterm(terminated):
            code = work()
            # what is still in the buffer may fail too, and then it is not too late for a sentence
            sys.stdout.flush()
    except ScalperError as error:
        return fail(str(error), error.exit_code, verbose=verbose)
    except KeyboardInterrupt:
        how = "SIGTERM" if terminated else "Ctrl-C"
        return fail(f"stopped by {how}; no file is half-written", INTERRUPTED, verbose=False)
    except BrokenPipeError:
        drop_output()  # the reader has gone (`| head`), and has what it wanted
        return 0
    except OSError as error:
        if error.errno in NO_PLACE:
            name = str(error.filename or "")[:80]
            return fail(
                f"expected the name of a file or folder, saw {name!r} ({error.strerror}); name another",
                2,
                verbose=verbose,
            )
        drop_output()
        return fail(
            f"expected to be able to write what was asked for, saw '{error}'; free some space or name another place",
            1,
            verbose=verbose,
        )
    except MemoryError:
        return fail(
            "the machine ran out of memory; ask for less at once: fewer bars, fewer symbols or a shorter time",
            1,
            verbose=verbose,
        )
    except ModuleNotFoundError as error:
        return fail(missing(error), 1, verbose=verbose)
    except Exception as error:  # noqa: BLE001 - the entry point's last word: a bug is one sentence, -v shows the rest
        return fail(bug(error), 1, verbose=verbose)
    else:
        return code


def bug(error: Exception) -> str:
    """What is said of what should not have happened."""
    return f"a bug of ours: {type(error).__name__}: {error}; run again with -v and report it"


def missing(error: ModuleNotFoundError) -> str:
    """What is said of a module that is not there: another's belongs to the environment, one of ours is a bug."""
    name = (error.name or "").partition(".")[0]
    if not name or (ROOT / name).is_dir() or (ROOT / f"{name}.py").is_file():
        return bug(error)
    return (
        f"expected the environment that ./scripts/simulate.sh sets up, saw no module {name} in {sys.executable}; run "
        "this with .venv/bin/python, or run ./scripts/simulate.sh"
    )


@contextlib.contextmanager
def _ended_by_sigterm(came: list[int]) -> Iterator[None]:
    """Meanwhile SIGTERM does what Ctrl-C would do, and is noted."""

    def end(number: int, frame: FrameType | None) -> None:
        came.append(number)
        on_ctrl_c = signal.getsignal(signal.SIGINT)  # of asyncio, where it runs: tasks are cancelled in their order
        if callable(on_ctrl_c):
            on_ctrl_c(signal.SIGINT, frame)
        else:
            raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield  # someone else answers, or nobody is to
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def prepare_output() -> None:
    """Make sure that there is somewhere to print to, that no character can fail there, and that none is obeyed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller, or a program without a console; stays open to the end
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    guard_output()


def drop_output() -> None:
    """Send what is left of standard output nowhere, or Python would complain about it once more at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(sentence: str, code: int, *, verbose: bool) -> int:
    """Print one sentence to standard error; with -v the traceback before it."""
    if verbose:
        traceback.print_exc()
    print(f"error: {sentence}" if code != INTERRUPTED else sentence, file=sys.stderr)
    return code
