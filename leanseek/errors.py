"""Every error a user can meet. Each message says what was given, what is allowed, what to do next.

The command line turns each class into the exit code named in `ExitCode`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of the command line, which scripts can rely on."""

    OK = 0
    FAILURE = 1
    """An unforeseen error; `--debug` shows where."""
    USAGE = 2
    """An option or argument is not allowed (also what the option parser itself returns)."""
    INPUT = 3
    """The documents, queries or filter given cannot be used."""
    INDEX = 4
    """The path holds no index, a damaged one, or one of a newer format."""
    MODEL = 5
    """The model cannot be found or loaded."""
    MISSING = 6
    """An optional package is not installed."""
    LOCKED = 7
    """Another process is writing to the index."""
    STORAGE = 8
    """The disk is full, or permission was denied."""
    UNAVAILABLE = 9
    """A part of a cluster does not answer, or has too much to do."""
    INTERRUPTED = 130
    """Ctrl-C; the same command continues from there."""


class LeanseekError(Exception):
    """Base of every error that leanseek raises on purpose."""

    exit_code = ExitCode.FAILURE


class UsageError(LeanseekError, ValueError):
    """An argument outside its allowed values."""

    exit_code = ExitCode.USAGE


class InputError(LeanseekError, ValueError):
    """Documents or queries that cannot be read; the message starts with `file:line:` where there is one."""

    exit_code = ExitCode.INPUT


class FilterError(InputError):
    """A filter expression that cannot be parsed; the message points at the place."""


class DuplicateIdError(InputError):
    """A document id that the index, or this very input, already has."""


class IndexNotFoundError(LeanseekError, FileNotFoundError):
    """The path holds no leanseek index."""

    exit_code = ExitCode.INDEX


class IndexExistsError(LeanseekError, FileExistsError):
    """The path already holds an index, or something else."""

    exit_code = ExitCode.INDEX


class IndexDamagedError(LeanseekError):
    """A file of the index is missing or differs from its checksum."""

    exit_code = ExitCode.INDEX


class IndexFormatError(LeanseekError):
    """The index was written by a newer version of leanseek."""

    exit_code = ExitCode.INDEX


class IndexLockedError(LeanseekError):
    """Another process holds the index's writer lock."""

    exit_code = ExitCode.LOCKED


class StorageError(LeanseekError, OSError):
    """The file system raised an error: disk full, permission denied, read-only."""

    exit_code = ExitCode.STORAGE


class ClusterError(LeanseekError):
    """A cluster's machines that cannot be reached."""

    exit_code = ExitCode.UNAVAILABLE


class ShardUnavailableError(LeanseekError):
    """No host answered for some shards of a cluster in time: `shards` are their numbers, of `count`, `epoch` is what
    was asked."""

    exit_code = ExitCode.UNAVAILABLE

    def __init__(self, cluster: str, epoch: int, shards: Sequence[int], count: int) -> None:
        """`count`: how many shards the cluster has."""
        self.epoch = epoch
        self.shards = tuple(shards)
        self.count = count
        named = f"shard {shards[0]}" if len(shards) == 1 else f"shards {', '.join(map(str, shards))}"
        super().__init__(
            f"no host answered in time for {named} of {count} of '{cluster}' (epoch {epoch}). Ask again, give it more "
            "time, or take what the other shards have with partial='allow' (--partial allow)"
        )


class EpochGoneError(LeanseekError):
    """No host of a cluster serves an epoch any more that a call began with; the same call again takes a newer one."""

    exit_code = ExitCode.UNAVAILABLE


class OverloadedError(LeanseekError):
    """A cluster has so much to do that it would answer too late; nothing of the call was done."""

    exit_code = ExitCode.UNAVAILABLE


class ModelError(LeanseekError):
    """A model that cannot be found, loaded or verified, or does not fit the index."""

    exit_code = ExitCode.MODEL


class RelevanceFileError(ModelError):
    """A file of a relevance model that is missing, damaged, of a newer format or for another encoder."""


class ServerError(LeanseekError):
    """A server that cannot be reached, or that refused a request: `status` and `code` are those of its response.

    `retry_after`: the seconds after which it may answer; None where it does not say.
    """

    def __init__(
        self, message: str, status: int = 0, code: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after


class MissingPackageError(LeanseekError, ImportError):
    """An optional package is absent; the message is the command that installs it."""

    exit_code = ExitCode.MISSING

    def __init__(self, feature: str, package: str, extra: str, command: str | None = None) -> None:
        """`command`: what installs it, where the `extra` alone does not."""
        self._given = (feature, package, extra, command)
        command = command or f"pip install 'leanseek[{extra}]'"
        super().__init__(
            f"{feature} needs the package '{package}', which is not installed. Install it with: {command}"
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Exceptions are copied by their message alone, which this one is not made from."""
        return type(self), self._given
