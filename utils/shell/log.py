"""One call to configure logging: a human line on the console, JSON lines in a file, the same event names in both."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from utils.errors import StorageError
from utils.shell.rim import safe

#: Loggers of ours; other libraries' chatter begins at WARNING unless asked for with -vv.
OURS = (
    *("utils", "ingest", "features", "ml", "risk", "exec", "backtest", "model", "dashboards"),
    *("app", "run_simulation", "run_dashboard", "__main__"),
)
SHORT = {"WARNING": "WARN", "CRITICAL": "FATAL"}


def event(
    logger: logging.Logger, name: str, text: str = "", /, *, severity: int = logging.INFO, **fields: object
) -> None:
    """Log that `name` happened.

    The console says `name: text key=value`; the JSON line carries `event`, `text` and each field as a key of its own.

    Args:
        logger: whose event it is: `logging.getLogger("backtest")`.
        name: the event's name in snake_case, the same for ever.
        text: a sentence for people.
        severity: `logging.INFO` and its like.
        fields: scalars, with their unit in the name.
    """
    if logger.isEnabledFor(severity):
        logger.log(severity, "%s", text, extra={"event": name, "fields": fields}, stacklevel=2)


def event_text(name: str, text: str, fields: Mapping[str, object]) -> str:
    """An event as one line: `name: text key=value`; values with blanks are quoted."""
    words = [f"{name}:", text] if text else [name]
    return " ".join(words + [f"{key}={word(value)}" for key, value in fields.items()])


def word(value: object) -> str:
    """A field's value without blanks or line breaks."""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if text.isprintable() and text and not set(' "=') & set(text) else json.dumps(text, ensure_ascii=False)


def stamp(record: logging.LogRecord) -> str:
    """When it was logged: ISO 8601, UTC, milliseconds."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(value: Any) -> Any:
    """A value as JSON has it: NumPy scalars unpacked, NaN and infinity null, anything else as text."""
    scalar = value.item() if hasattr(value, "item") else value
    if isinstance(scalar, float):
        return scalar if math.isfinite(scalar) else None
    return scalar if scalar is None or isinstance(scalar, (bool, int, str)) else str(scalar)


class HumanLine(logging.Formatter):
    """`2026-01-24T05:51:42.809Z INFO  backtest: message`."""

    def format(self, record: logging.LogRecord) -> str:
        """What is printed of a record, traceback and all."""
        return safe(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """The line of a record, without its traceback."""
        level = SHORT.get(record.levelname, record.levelname)
        text = record.message.replace("\n", "\\n")  # one record is one line, whoever wrote its text
        if hasattr(record, "event"):
            text = event_text(str(record.event), text, getattr(record, "fields", {}))
        return f"{stamp(record)} {level:<5} {record.name}: {text}"


class JsonLine(logging.Formatter):
    """One JSON object a record; a record that is no event is the event `message`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, traceback and all."""
        row: dict[str, Any] = {
            "ts": stamp(record),
            "level": record.levelname,
            "logger": record.name,
            "event": getattr(record, "event", "message"),
            "text": record.getMessage(),
        }
        if record.exc_info:
            row["exception"] = self.formatException(record.exc_info)
        for key, value in getattr(record, "fields", {}).items():
            row[f"{key}_" if key in row else key] = plain(value)
        return safe(json.dumps(row, ensure_ascii=False, allow_nan=False))


class Console(logging.StreamHandler[Any]):
    """Writes to what stderr is at the time, so that a progress bar can hold its line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self.stream = sys.stderr
        super().emit(record)


class LogFile(logging.FileHandler):
    """The JSON lines. A line that cannot be kept stops the run: a log with holes is worse than none."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Say why the line of `record` was lost."""
        why = sys.exc_info()[1]
        if isinstance(why, OSError):
            raise StorageError(
                f"{self.baseFilename}: the log could not be written ({why.strerror}); free space or name another file"
            ) from why
        super().handleError(record)


def setup_logging(verbosity: int = 0, *, quiet: bool = False, log_file: Path | None = None) -> None:
    """Send logs to the console and, if asked, to a file; a second call replaces the first.

    Args:
        verbosity: 0 = INFO, 1 = DEBUG, 2 = DEBUG of other libraries too.
        quiet: the console shows warnings and worse only; the file is not concerned.
        log_file: appended to; its directory is made.

    Raises:
        StorageError: the file cannot be written.
    """
    console = Console()
    console.setFormatter(HumanLine())
    console.setLevel(logging.WARNING if quiet else logging.NOTSET)
    handlers: list[logging.Handler] = [console]
    if log_file is not None:
        try:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            file = LogFile(log_file, encoding="utf-8")
        except OSError as error:
            raise StorageError(
                f"{log_file}: the log cannot be written ({error.strerror}); name another file"
            ) from error
        file.setFormatter(JsonLine())
        handlers.append(file)

    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, (Console, LogFile))]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(logging.DEBUG if verbosity > 1 else logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if verbosity else logging.INFO)
