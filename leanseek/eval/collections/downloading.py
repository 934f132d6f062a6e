"""A file from the network, once: resumed where a download broke off, and believed only by its checksum."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from leanseek.errors import InputError, StorageError
from leanseek.types import Progress

ATTEMPTS: Final = 5
"""Connections in a row that may break without bringing anything."""
PAUSE: Final = 1.0
"""Seconds before the second of them; doubled before each further one."""
TIMEOUT: Final = 60.0
BLOCK: Final = 1 << 18


class UnreachableError(InputError):
    """The server cannot be reached, or does not have the file."""


def download(url: str, target: Path, md5: str, progress: Progress) -> None:
    """Put the file at `url` into `target`, whose MD5 must be as given.

    What has come is kept in `target` with ".part" behind its name, where the next call goes on. Raises
    UnreachableError where the server is not there, refuses or breaks off again and again, InputError where what came
    has another checksum, and StorageError where it cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        resumed = part.exists()
        fetch(url, part, progress)
        if resumed and digest(part) != md5:
            # What was there may be of another file: only a whole download can tell.
            part.unlink()
            fetch(url, part, progress)
        found = digest(part)
        if found != md5:
            part.unlink()
            raise InputError(
                f"{url} has the MD5 {found} instead of {md5}: it was damaged on its way, or is not the official "
                "file. Repeat the command to download it again, or give a mirror that has the official one."
            )
        part.replace(target)
    except InputError:
        raise
    except OSError as error:
        raise StorageError(
            f"cannot write {target}: {error.strerror or error}. "
            "Free space there, or set LEANSEEK_CACHE to a folder that can be written."
        ) from error


def fetch(url: str, part: Path, progress: Progress) -> None:
    """Go on until all is there, through connections that break."""
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        problem = receive(url, part, progress)
        if problem is None:
            return
        failures = 0 if part.exists() and part.stat().st_size > before else failures + 1
        if failures == ATTEMPTS:
            raise UnreachableError(f"{url}: {problem}")
        if failures:
            time.sleep(PAUSE * 2 ** (failures - 1))


def receive(url: str, part: Path, progress: Progress) -> str | None:
    """One connection: append to `part` what comes; returns what broke it, None where all is there.

    Raises UnreachableError for what another attempt will not mend.
    """
    done = part.stat().st_size if part.exists() else 0
    resume = {"Range": f"bytes={done}-"} if done else {}
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "leanseek", **resume})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                done = 0  # the server cannot resume, and begins at the beginning
            length = answer.headers.get("Content-Length")
            total = done + int(length) if length is not None else None
            with part.open("ab" if done else "wb") as file:
                while block := answer.read(BLOCK):
                    file.write(block)
                    done += len(block)
                    progress("downloading", done, total)
            return None if total is None or done >= total else f"broke off after {done:,} of {total:,} bytes"
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and done:
            return None  # nothing is left to come
        if error.code >= 500 or error.code in (
            http.HTTPStatus.REQUEST_TIMEOUT,
            http.HTTPStatus.TOO_MANY_REQUESTS,
        ):
            return f"the server answered {error.code} {error.reason}"
        raise UnreachableError(f"{url}: the server answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, socket.gaierror):  # no network, or no such server: nothing to wait for
            raise UnreachableError(f"{url}: {error.reason.strerror}") from error
        return str(error.reason)
    except (http.client.HTTPException, ssl.SSLError, ConnectionError, TimeoutError) as error:
        return str(error) or type(error).__name__
    except ValueError as error:
        raise UnreachableError(f"{url}: {error}") from error


def digest(path: Path) -> str:
    """MD5 of a file, in hex."""
    found = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()
