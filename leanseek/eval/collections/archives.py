"""BEIR's archives: from a mirror or the network, resumed where a download broke off, checked by MD5, unpacked once."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import socket
import ssl
import stat
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath
from typing import Final

from filelock import FileLock

from leanseek.errors import InputError, StorageError
from leanseek.eval.collections.collection_files import FilesCollection
from leanseek.eval.collections.layouts import beir_folder
from leanseek.eval.collections.official import OFFICIAL_URL, Official, official, official_names
from leanseek.files import cache_folder, new_folder
from leanseek.types import Progress

MIRROR: Final = "LEANSEEK_BEIR_MIRROR"
HOW_TO_MIRROR: Final = (
    f"Give a mirror with --mirror, mirror= or {MIRROR}: a folder that has NAME/ or NAME.zip, or the URL below "
    "which NAME.zip is. Or name the folder that holds the collection."
)
ATTEMPTS: Final = 5
"""Connections in a row that may break without any new data."""
PAUSE: Final = 1.0
"""Seconds before the second of them; doubled before each further one."""
TIMEOUT: Final = 60.0
BLOCK: Final = 1 << 18
_STRAY: Final = ("__MACOSX", ".DS_Store")


def beir_cache() -> Path:
    """The folder for downloaded collections."""
    return cache_folder() / "beir"


def open_official(wanted: Official, mirror: str | None, progress: Progress) -> FilesCollection:
    """Open a collection of BEIR, downloaded first where it is not in the cache.

    Raises InputError where it cannot be had, with what was tried; StorageError where it cannot be written.
    """
    mirror = mirror or os.environ.get(MIRROR) or None
    root = None
    if mirror is not None and not mirror.startswith(("http://", "https://")):
        root = Path(mirror).expanduser() / wanted.archive
        if not root.is_dir():
            root = from_archive(wanted, root.with_name(f"{wanted.archive}.zip"), mirror, progress)
    else:
        root = beir_cache() / wanted.archive
        if not root.is_dir():
            fetch_archive(wanted, root, mirror, progress)
    found = beir_folder(root / wanted.folder if wanted.folder else root, wanted.name)
    if found is None:
        raise InputError(f"{root / wanted.folder}: the collection has no corpus.jsonl there. {HOW_TO_MIRROR}")
    return found


def cached() -> list[FilesCollection]:
    """The collections that were downloaded, by name."""
    found = []
    for name in official_names():
        wanted = official(name)
        if wanted is not None and (beir_cache() / wanted.archive).is_dir():
            found.append(beir_folder(beir_cache() / wanted.archive / wanted.folder, wanted.name))
    return [collection for collection in found if collection is not None]


def from_archive(wanted: Official, archive: Path, mirror: str, progress: Progress) -> Path:
    """Unpack a mirror's archive into the cache; returns the folder."""
    target = beir_cache() / wanted.archive
    if target.is_dir():
        return target
    if not archive.is_file():
        raise InputError(
            f"the mirror {mirror} has neither {archive.stem}/ nor {archive.name}, so '{wanted.name}' is not "
            f"there. {HOW_TO_MIRROR}"
        )
    with locked(wanted):
        if not target.is_dir():
            if wanted.md5 is not None and (found := digest(archive)) != wanted.md5:
                raise InputError(
                    f"{archive} has the MD5 {found} instead of {wanted.md5}: it is damaged, or not the official "
                    "archive. Fetch it again, or unpack it there to use it as it is."
                )
            unpack(archive, target, progress)
    return target


def fetch_archive(wanted: Official, target: Path, mirror: str | None, progress: Progress) -> None:
    """Download, check and unpack; one process at a time."""
    if wanted.md5 is None:
        raise InputError(
            f"'{wanted.name}' is not distributed by BEIR, because of its licence; its README explains how to make it. "
            f"{HOW_TO_MIRROR}"
        )
    url = f"{(mirror or OFFICIAL_URL).rstrip('/')}/{wanted.archive}.zip"
    with locked(wanted):
        if target.is_dir():
            return
        archive = target.with_name(f"{wanted.archive}.zip")
        if not archive.is_file():
            try:
                download(url, archive, wanted.md5, progress)
            except UnreachableError as error:
                raise InputError(
                    f"the collection '{wanted.name}' is neither in {target} nor could it be downloaded: {error}. "
                    f"{HOW_TO_MIRROR}"
                ) from error
        try:
            unpack(archive, target, progress)
        finally:
            archive.unlink(missing_ok=True)


def locked(wanted: Official) -> FileLock:
    """The lock of the process that fetches an archive; others wait for it, and find the archive."""
    beir_cache().mkdir(parents=True, exist_ok=True)
    return FileLock(beir_cache() / f".{wanted.archive}.lock")


class UnreachableError(InputError):
    """The server cannot be reached, or does not have the file."""


def download(url: str, target: Path, md5: str, progress: Progress) -> None:
    """Put the file at `url` into `target`, whose MD5 must be as given.

    What has arrived is kept in `target` with ".part" appended to its name, from where the next call continues. Raises
    UnreachableError where the server cannot be reached, refuses or breaks off again and again, InputError for another
    checksum, and StorageError where it cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        resumed = part.exists()
        fetch(url, part, progress)
        if resumed and digest(part) != md5:
            # The old part may be of another file: download all of it again.
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
    """Continue until the file is complete, through connections that break."""
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
    """One connection: append to `part` what arrives; returns the error that broke it, None for a complete file.

    Raises UnreachableError for errors that another attempt will not fix.
    """
    done = part.stat().st_size if part.exists() else 0
    resume = {"Range": f"bytes={done}-"} if done else {}
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "leanseek", **resume})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                done = 0  # the server cannot resume, and starts over
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
            return None  # the file is complete
        if error.code >= 500 or error.code in (
            http.HTTPStatus.REQUEST_TIMEOUT,
            http.HTTPStatus.TOO_MANY_REQUESTS,
        ):
            return f"the server answered {error.code} {error.reason}"
        raise UnreachableError(f"{url}: the server answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, socket.gaierror):  # no network, or no such server: retrying is useless
            raise UnreachableError(f"{url}: {error.reason.strerror}") from error
        return str(error.reason)
    except (http.client.HTTPException, ssl.SSLError, ConnectionError, TimeoutError) as error:
        return str(error) or type(error).__name__
    except ValueError as error:
        raise UnreachableError(f"{url}: {error}") from error


def digest(path: Path) -> str:
    """MD5 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def unpack(archive: Path, target: Path, progress: Progress) -> None:
    """Unpack into `target` the folder at the archive's top (or all of the archive, if there are several).

    Raises InputError for an archive that is damaged, empty, or has a member that would be outside of the folder or
    is a link, and StorageError where it cannot be written. Nothing is left behind then.
    """
    try:
        with zipfile.ZipFile(archive) as file, new_folder(target) as folder:
            members = [(member, inside(archive, member)) for member in file.infolist() if not member.is_dir()]
            members = [
                (member, parts) for member, parts in members if not any(part in _STRAY for part in parts)
            ]
            if not members:
                raise InputError(f"{archive}: the archive is empty")
            tops = {parts[0] for _, parts in members}
            skipped = 1 if len(tops) == 1 and all(len(parts) > 1 for _, parts in members) else 0
            total = sum(member.file_size for member, _ in members)
            done = 0
            for member, parts in members:
                path = folder.joinpath(*parts[skipped:])
                path.parent.mkdir(parents=True, exist_ok=True)
                with file.open(member) as source, path.open("wb") as sink:
                    shutil.copyfileobj(source, sink, BLOCK)
                done += member.file_size
                progress("unpacking", done, total)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"{archive}: the archive is damaged or of a kind that is not read: {error}"
        ) from error


def inside(archive: Path, member: zipfile.ZipInfo) -> tuple[str, ...]:
    """The parts of a member's path. Raises InputError for one that leads out of the folder, and for a link."""
    name = member.filename.replace("\\", "/")
    parts = PurePosixPath(name).parts
    kind = stat.S_IFMT(member.external_attr >> 16)
    if not parts or name.startswith("/") or ".." in parts or ":" in parts[0] or kind == stat.S_IFLNK:
        raise InputError(
            f"{archive}: the archive has a member '{member.filename}' that does not belong into a folder of its "
            "own; nothing was unpacked"
        )
    return parts
