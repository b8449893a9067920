"""The error tree, by blame. A message says what was expected, what was seen, and what to do.

Refusals (too small, too hot, too many) are values in a decision, never exceptions.

| error | whose fault | exit code |
|---|---|---|
| `ConfigError` | yours: a flag or a setting | 2 |
| `DataError` | yours: a file you named | 2 |
| `DataUnavailable` | theirs: a source did not answer, or answered garbage | 3 |
| `StaleData` | theirs: newer data was required than there is | 3 |
| `ProtocolError` | theirs: a message is not what the exchange documents | 3 |
| `StorageError` | the machine's: disk full, directory not writable | 1 |
| `InvariantError` | ours: a bug | 1 |
"""

from __future__ import annotations


class ScalperError(Exception):
    """Root of every error this project raises; `exit_code` is what the command line answers."""

    exit_code = 1


class ConfigError(ScalperError):
    """A flag or a setting is wrong."""

    exit_code = 2


class DataError(ScalperError):
    """A file the user named is missing or wrong; the message names row and column."""

    exit_code = 2


class DataUnavailable(ScalperError):  # noqa: N818 - promised by the design under this name
    """A source outside this machine did not answer, or answered garbage."""

    exit_code = 3


class StaleData(DataUnavailable):
    """Newer data was required than the source has given."""


class ProtocolError(ScalperError):
    """A message is not what the exchange documents; a live stream counts it and goes on."""

    exit_code = 3


class StorageError(ScalperError):
    """The machine cannot keep what we write: disk full, directory not writable."""

    exit_code = 1


class InvariantError(ScalperError):
    """A bug of ours. Never caught below the entry point; trading stops."""

    exit_code = 1
