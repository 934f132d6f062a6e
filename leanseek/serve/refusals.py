"""What a request is refused for, as one JSON object with a status."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Mapping
from typing import Final, TypedDict

from leanseek.errors import (
    DuplicateIdError,
    ExitCode,
    FilterError,
    IndexNotFoundError,
    LeanseekError,
    OverloadedError,
)


class ErrorBody(TypedDict):
    """Why a request failed: `type` is a class of errors, `code` what a program can go by, `param` a field."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorRecord(TypedDict):
    """The body of every response that is no success."""

    error: ErrorBody


STATUS = {
    ExitCode.USAGE: (400, None),
    ExitCode.INPUT: (400, None),
    ExitCode.INDEX: (503, "the index cannot be read; the server's log shows why"),
    ExitCode.MODEL: (503, "a model cannot be used; the server's log shows why"),
    ExitCode.MISSING: (501, None),
    ExitCode.LOCKED: (409, "another process is writing to the index; repeat the request when it is done"),
    ExitCode.STORAGE: (507, "the index cannot be written; the server's log shows why"),
    ExitCode.UNAVAILABLE: (503, "not all shards of the cluster answer at present; ask again"),
}
"""The status of an error that the command line would end with, and what is said in place of paths of the server."""


class RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after = retry_after

    @property
    def record(self) -> ErrorRecord:
        """The body of the response."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        if self.status in (401, 403):
            kind = "authentication_error" if self.status == 401 else "permission_error"
        elif self.status == 429:
            kind = "rate_limit_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to the status."""
        headers = {}
        if self.retry_after is not None:
            headers["retry-after"] = str(max(1, round(self.retry_after + 0.5)))
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return headers


class GoneError(Exception):
    """Nobody waits for the answer any more."""


PARAMS: Final[Mapping[type[LeanseekError], str]] = {FilterError: "filter", DuplicateIdError: "_id"}
"""What of a request an error is about."""


def refusal_of(error: BaseException) -> RefusedError:
    """How an exception is answered; one that nobody foresaw says nothing of its inside."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, GoneError):
        return RefusedError(504, "the request was given up", "timeout")
    if isinstance(error, OverloadedError):
        return RefusedError(
            429, "the cluster has too much to do at present; ask again later", "busy", retry_after=1
        )
    if isinstance(error, LeanseekError):
        code = error.exit_code
        status, instead = STATUS.get(code, (500, "an error, which the server's log shows"))
        param = next((name for kind, name in PARAMS.items() if isinstance(error, kind)), None)
        return RefusedError(status, instead or str(error), code.name.lower(), param)
    if isinstance(error, sqlite3.Error):
        return RefusedError(503, f"the index cannot be read: {error}", "index")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return RefusedError(507, f"the disk cannot be written: {error.strerror}", "storage")
    if isinstance(error, MemoryError):
        return RefusedError(503, "the server is out of memory; ask for less", "memory", retry_after=1)
    return RefusedError(500, "an unexpected error, which the server's log shows", "internal")


def no_index(name: str) -> RefusedError:
    """The error for a name that is no index, or none of the key's."""
    return RefusedError(
        404, f"there is no index {name!r}; GET /indexes lists them", "index_not_found", "index"
    )


def unavailable(name: str, problem: BaseException) -> RefusedError:
    """The error for an index that cannot be read at present."""
    missing = isinstance(problem, IndexNotFoundError)
    what = "is not there at present" if missing else "cannot be read at present"
    return RefusedError(503, f"the index {name!r} {what}; the server tries again", "index", "index", 5)
