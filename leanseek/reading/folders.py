"""Files found in folders: which are read, which are left out and why, and the ids of what they hold."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from leanseek.errors import InputError, StorageError
from leanseek.files import checksum
from leanseek.reading.fields import valid
from leanseek.reading.streams import STANDARD_INPUT, ReadReport

CORPUS: Final = ("corpus.jsonl", "corpus.jsonl.gz", "corpus.jsonl.bz2")
UNLISTED: Final = "folder that cannot be listed"
_BEIR_PARTS: Final = ("queries", "qrels", "corpus")
_INDEX_PARTS: Final = {"catalog.sqlite", "segments"}
_UNSETTLED_NS: Final = 2_000_000_000
"""File systems count time in steps of up to two seconds: a change so soon after another may bear the same time."""


class Root(NamedTuple):
    """A folder below which files are known by their paths: a file's id is `prefix` and its path below `folder`."""

    folder: str
    prefix: str


class Found(NamedTuple):
    """A file to read: its path as given, its real one, and whether a source names it or a folder holds it.

    `collection`: it is part of a collection of BEIR or TREC, all of whose records are meant to be documents. `kind`
    is the suffix by which it is read, empty while it is not known.
    """

    path: str
    real: str
    named: bool
    collection: bool = False
    kind: str = ""


class SourceFile(NamedTuple):
    """What an index knows of a file: its `stamp` and `sha256` when it was read, and the `ids` of its documents.

    `root` is the number of its root. `ids` is None for a file that is one document, whose id is the file's own; else
    they are packed, see `IdList`. `stamp` and `sha256` are empty where the file has to be read again.
    """

    id: str
    root: int
    stamp: str
    sha256: str
    documents: int
    ids: bytes | None = None

    def document_ids(self) -> list[str]:
        """The ids of the file's documents, in their order."""
        if self.ids is None:
            return [self.id] if self.documents else []
        return zlib.decompress(self.ids).decode().split("\n") if self.documents else []


class IdList:
    """Ids packed one after another, so that those of a large table take little memory."""

    def __init__(self) -> None:
        self.count = 0
        self._packer = zlib.compressobj(1)
        self._parts: list[bytes] = []

    def add(self, id: str) -> None:
        """Append an id; none has a line end."""
        self._parts.append(self._packer.compress((f"\n{id}" if self.count else id).encode()))
        self.count += 1

    def packed(self) -> bytes:
        """All of them; the list is then complete."""
        return b"".join((*self._parts, self._packer.flush()))


class Roots:
    """The folders below which files are known, in the order in which they came: the first that holds a file counts.

    The id of a file hence does not depend on the folder through which it is named this time.
    """

    def __init__(self, known: Iterable[Root] = ()) -> None:
        self.known = list(known)

    def place(self, real: str) -> tuple[int, str]:
        """The number of the root that holds the file at a real path, and the file's id. Raises InputError without."""
        for number, (folder, prefix) in enumerate(self.known):
            if holds(folder, real):
                below = os.path.relpath(real, folder).replace(os.sep, "/")
                return number, valid(prefix + below)
        raise InputError(f"{real}: no source holds this file")

    def real(self, file: SourceFile) -> str:
        """The real path of a file that an index knows."""
        folder, prefix = self.known[file.root]
        return os.path.join(folder, file.id.removeprefix(prefix).replace("/", os.sep))  # noqa: PTH118

    def include(self, sources: Iterable[str]) -> None:
        """Make the folders that hold these sources known: one for all that are not yet, the nearest above them."""
        new = [
            place for place in map(home, sources) if not any(holds(one.folder, place) for one in self.known)
        ]
        if not new:
            return
        try:
            folder = os.path.commonpath(new)
        except ValueError:  # drives of Windows
            for place in new:
                self._append(place)
        else:
            self._append(folder)

    def _append(self, folder: str) -> None:
        name = Path(folder).name or "root"
        prefixes = {root.prefix for root in self.known}
        number = 1
        prefix = f"{name}/" if self.known else ""
        while prefix in prefixes or (
            prefix and any((Path(one.folder) / prefix).exists() for one in self.known)
        ):
            number += 1
            prefix = f"{name}-{number}/"
        self.known.append(Root(folder, prefix))


def home(source: str) -> str:
    """The real path of a source that is a folder, or of the folder that a file is in."""
    path = Path(source)
    return os.path.realpath(path if path.is_dir() else path.parent)


def real_path(source: str) -> str:
    """The real path of a source; a file that is a link keeps its own name."""
    path = Path(source)
    return os.path.realpath(path) if path.is_dir() else str(Path(home(source)) / path.name)


def found_files(source: str, report: ReadReport) -> list[Found]:
    """The files of a source in order, of whatever kind; what is passed over is noted in the report.

    Raises InputError where the source is missing, and StorageError where a folder cannot be listed.
    """
    path = Path(source)
    if not path.exists():
        raise InputError(f"{source}: no such file or folder")
    if not path.is_dir():
        return [Found(source, real_path(source), named=True)]
    real = real_path(source)
    return [
        Found(entry, str(Path(real) / os.path.relpath(entry, path)), named=False, collection=corpus)
        for entry, corpus in _walk(path, report)
    ]


def _walk(top: Path, report: ReadReport) -> Iterator[tuple[str, bool]]:
    """(path, whether it is a BEIR folder's corpus) of the files below a folder, in sorted order."""
    waiting: list[Path | str] = [top]  # folders, and paths of files
    while waiting:
        folder = waiting.pop()
        if isinstance(folder, str):
            yield folder, False
            continue
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if folder == top:
                raise StorageError(f"{folder}: the folder cannot be listed: {error.strerror}") from error
            report.leave_out(UNLISTED, str(error.strerror).lower(), str(folder))
            continue
        names = {entry.name for entry in entries}
        if names >= _INDEX_PARTS:
            report.leave_out("index of leanseek", "search it with leanseek search", str(folder))
            continue
        corpus = next((folder / name for name in CORPUS if (folder / name).is_file()), None)
        if corpus is not None:
            yield str(corpus), True
            _leave_out_beside(corpus, entries, report)
            continue
        below: list[Path | str] = []
        for entry in entries:
            if entry.name.startswith("."):
                report.leave_out("hidden file or folder", "name it as a source to read it", entry.path)
            elif entry.is_dir(follow_symlinks=False):
                below.append(Path(entry.path))
            elif entry.is_dir():
                report.leave_out(
                    "link to a folder", "name it as a source to read what it leads to", entry.path
                )
            elif entry.is_file():
                below.append(entry.path)
            else:
                why = "it leads nowhere" if entry.is_symlink() else "it is a device, a pipe or a socket"
                report.leave_out("broken link" if entry.is_symlink() else "special file", why, entry.path)
        waiting.extend(reversed(below))


def _leave_out_beside(corpus: Path, entries: Sequence[os.DirEntry[str]], report: ReadReport) -> None:
    """Note what is beside a BEIR folder's corpus and is no part of such a folder."""
    kind = f"file beside {corpus}"
    why = "that makes the folder a BEIR collection, of which only the corpus is read; name a file to read it"
    for entry in entries:
        if entry.name.startswith(".") or entry.name.split(".")[0] in _BEIR_PARTS:
            continue
        if entry.is_dir(follow_symlinks=False):
            for folder, _, names in os.walk(entry.path):
                for name in sorted(names):
                    report.leave_out(kind, why, str(Path(folder) / name))
        else:
            report.leave_out(kind, why, entry.path)


def stamp_of(path: str, now: int | None = None) -> str:
    """Size and times of a file, by which a change is noticed without reading it; empty where they may not show one.

    `now` is when the file was looked at, by default when this is called: a change of the last two seconds might be
    followed by another of the same time.
    """
    try:
        status = Path(path).stat()
    except OSError:
        return ""
    now = time.time_ns() if now is None else now
    if now - max(status.st_mtime_ns, status.st_ctime_ns) < _UNSETTLED_NS:
        return ""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def digest_of(path: str) -> str:
    """The checksum of a regular file's bytes; empty where there is none."""
    try:
        return checksum(Path(path)) if path != STANDARD_INPUT and Path(path).is_file() else ""
    except OSError:
        return ""


def holds(folder: str, place: str) -> bool:
    """Whether a real path is that of the folder or lies below it."""
    return place == folder or place.startswith(folder.rstrip(os.sep) + os.sep)
