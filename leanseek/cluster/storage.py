"""Where a cluster lies: a folder, or any URL that fsspec reaches, such as an object store.

Files are written whole or not at all, and one writer at a time may change what is there. On an object store the writer
is told by an object that only one can create; whoever finds one watches whether its count goes on, by its own clock
alone, so that clocks that differ between machines decide nothing.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote
from typing import Any, Final, Protocol

from leanseek.errors import (
    IndexExistsError,
    IndexLockedError,
    LeanseekError,
    MissingPackageError,
    StorageError,
    UsageError,
)
from leanseek.files import replacing, sync
from leanseek.indexing.catalog import CLUSTER
from leanseek.indexing.folder import writer_lock

POINTER: Final = CLUSTER
EPOCHS: Final = "epochs"
SHARDS: Final = "shards"
UNITS: Final = "units"
LOCK: Final = "LOCK"
OWN: Final = (POINTER, EPOCHS, SHARDS, UNITS, LOCK)
"""What is in a cluster's folder."""

BEAT: Final = 5.0
"""Seconds after which a writer to an object store shows again that it is there."""
SILENCE: Final = 6
"""A writer that has not been heard of for so many beats is gone."""


class Storage(Protocol):
    """The files of a cluster, by names with `/` between them."""

    @property
    def url(self) -> str:
        """What the user calls it."""
        ...

    @property
    def location(self) -> str:
        """What `open_storage` takes in any process, whatever folder that runs in."""
        ...

    @property
    def folder(self) -> Path | None:
        """Where it lies on this machine; None where it has to be fetched."""
        ...

    def read(self, name: str) -> bytes:
        """A file's content. Raises FileNotFoundError, StorageError."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Put a file there, in the place of one that is there. Raises StorageError."""
        ...

    def names(self, folder: str) -> list[str]:
        """The names of what is in a folder, sorted; none where there is no such folder."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file or a folder, if it is there."""
        ...

    def fetch(self, name: str, to: Path) -> None:
        """Copy a file to this machine. Raises FileNotFoundError, StorageError."""
        ...

    def send(self, file: Path, name: str) -> None:
        """Copy a file from this machine. Raises StorageError."""
        ...

    def copy(self, name: str, to: str) -> None:
        """Give a file's content a second name. Raises StorageError."""
        ...

    def writing(self) -> Any:
        """A context in which nobody else may change the cluster. Raises IndexLockedError."""
        ...


def open_storage(url: str | os.PathLike[str]) -> Storage:
    """The storage at a path or URL; nothing is made there.

    Raises MissingPackageError where the URL's kind needs a package, UsageError for a kind that nothing knows.
    """
    given = os.fspath(url)
    kind, colon, rest = given.partition("://")
    if not given:
        raise UsageError(
            "the cluster's place is empty; give a folder or a URL such as s3://bucket/my.cluster"
        )
    if not colon or kind == "file":
        return FolderStorage(Path(rest if colon else given), given)
    return ObjectStorage(given)


class FolderStorage:
    """A cluster in a folder, which all its machines must see under the same path."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.folder: Path = folder
        self.url = str(folder) if url is None else url
        self.location = str(folder.absolute())

    def read(self, name: str) -> bytes:
        """See Storage."""
        with refusals(self.url):
            return (self.folder / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """See Storage."""
        path = self.folder / name
        # Units are checked when they are read, and made again where a machine lost them.
        durable = not name.startswith(f"{UNITS}/")
        with refusals(self.url), replacing(path) as draft:
            draft.write_bytes(content)
            if durable:
                sync(draft)
        if durable:
            with refusals(self.url):
                sync(path.parent)

    def names(self, folder: str) -> list[str]:
        """See Storage."""
        with refusals(self.url):
            place = self.folder / folder
            return sorted(entry.name for entry in place.iterdir()) if place.is_dir() else []

    def remove(self, name: str) -> None:
        """See Storage."""
        path = self.folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def fetch(self, name: str, to: Path) -> None:
        """See Storage."""
        with refusals(self.url):
            shutil.copyfile(self.folder / name, to)

    def send(self, file: Path, name: str) -> None:
        """See Storage."""
        self.write(name, file.read_bytes())

    def copy(self, name: str, to: str) -> None:
        """See Storage."""
        with refusals(self.url):
            (self.folder / to).parent.mkdir(parents=True, exist_ok=True)
            link(self.folder / name, self.folder / to)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """See Storage; the folder is made where there is none."""
        check_vacant(self)
        missing = [place for place in (self.folder, *self.folder.parents) if not place.exists()]
        with refusals(self.url):
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with writer_lock(self.folder):
                try:
                    yield
                finally:
                    if self.names("") == [LOCK]:
                        with suppress(OSError):
                            (self.folder / LOCK).unlink()
        finally:
            for place in missing:  # a folder that is empty after all was made for nothing
                with suppress(OSError):
                    place.rmdir()


class ObjectStorage:
    """A cluster at a URL of fsspec's. Its store must be able to create an object only where there is none."""

    folder: Path | None = None

    def __init__(self, url: str) -> None:
        self.url = self.location = url
        kind = url.partition("://")[0]
        try:
            import fsspec
        except ImportError as error:
            raise MissingPackageError("a cluster at a URL", "fsspec", "cluster") from error
        try:
            with refusals(url):
                self._files, root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise StorageError(f"'{url}' cannot be reached: {error}") from error
        except ValueError as error:
            raise UsageError(
                f"'{url}' is no place for a cluster: {error}. Give a folder, or a URL that fsspec knows ({kind}://)"
            ) from error
        self._root = str(root).rstrip("/")

    def read(self, name: str) -> bytes:
        """See Storage."""
        with refusals(self.url):
            self._files.invalidate_cache()
            return bytes(self._files.cat_file(self._place(name)))

    def write(self, name: str, content: bytes) -> None:
        """See Storage."""
        with refusals(self.url):
            self._files.pipe_file(self._place(name), content)

    def names(self, folder: str) -> list[str]:
        """See Storage."""
        with refusals(self.url):
            self._files.invalidate_cache()
            try:
                found = self._files.ls(self._place(folder), detail=False)
            except FileNotFoundError:
                return []
            return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def remove(self, name: str) -> None:
        """See Storage."""
        with suppress(OSError):
            self._files.rm(self._place(name), recursive=True)

    def fetch(self, name: str, to: Path) -> None:
        """See Storage."""
        with refusals(self.url):
            self._files.get_file(self._place(name), str(to))

    def send(self, file: Path, name: str) -> None:
        """See Storage."""
        with refusals(self.url):
            self._files.put_file(str(file), self._place(name))

    def copy(self, name: str, to: str) -> None:
        """See Storage."""
        with refusals(self.url):
            self._files.cp_file(self._place(name), self._place(to))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """See Storage."""
        check_vacant(self)
        token = secrets.token_hex(8)
        self._claim(token)
        done = threading.Event()

        def beat() -> None:
            count = 0
            while not done.wait(BEAT):
                count += 1
                with suppress(OSError):
                    if self._holder().get("token") != token:
                        return
                    self.write(LOCK, self._claimed(token, count))

        beating = threading.Thread(target=beat, name="leanseek-writer", daemon=True)
        beating.start()
        try:
            yield
        finally:
            done.set()
            beating.join()
            if self._holder().get("token") == token:
                self.remove(LOCK)

    def _claim(self, token: str) -> None:
        if self._create(LOCK, self._claimed(token, 0)):
            return
        holder = self._holder()
        if self._alive(holder):
            raise IndexLockedError(
                f"another process is writing to '{self.url}': {holder.get('process', 'unknown')} on "
                f"{holder.get('machine', 'an unknown machine')}. Wait for it to end, then repeat the command; "
                "searching goes on."
            )
        self.remove(LOCK)
        if not self._create(LOCK, self._claimed(token, 0)):
            raise IndexLockedError(
                f"another process has begun to write to '{self.url}'. Repeat the command later."
            )

    def _alive(self, holder: dict[str, Any]) -> bool:
        """Whether a writer still counts; one of this machine that is gone is known at once."""
        if holder.get("machine") == socket.gethostname() and isinstance(holder.get("process"), int):
            try:
                os.kill(holder["process"], 0)
            except ProcessLookupError:
                return False
            except OSError:
                return True
            return True
        for _ in range(SILENCE):
            time.sleep(BEAT)
            if self._holder() != holder:
                return True
        return False

    def _holder(self) -> dict[str, Any]:
        try:
            found = json.loads(self.read(LOCK))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _claimed(self, token: str, count: int) -> bytes:
        values = {"token": token, "count": count, "machine": socket.gethostname(), "process": os.getpid()}
        return json.dumps(values).encode()

    def _create(self, name: str, content: bytes) -> bool:
        """Put a file there; whether there was none."""
        with refusals(self.url):
            try:
                self._files.pipe_file(self._place(name), content, mode="create")
            except FileExistsError:
                return False
        return True

    def _place(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root


def check_vacant(storage: Storage) -> None:
    """Raise IndexExistsError where a cluster's files would mix with others."""
    if storage.folder is not None and storage.folder.exists() and not storage.folder.is_dir():
        raise IndexExistsError(f"'{storage.url}' is a file; a cluster is a folder. Choose another place.")
    strangers = [name for name in storage.names("") if name not in OWN and not name.startswith(".")]
    if strangers:
        raise IndexExistsError(
            f"'{storage.url}' holds other files than a cluster's: {quote(strangers[0])}. Choose a new or an empty "
            "place."
        )


def link(file: Path, to: Path) -> None:
    """Give a file a second name, or copy it where that is not possible."""
    try:
        os.link(file, to)
    except OSError:
        shutil.copyfile(file, to)


@contextmanager
def refusals(url: str) -> Iterator[None]:
    """Turn what a store refuses into StorageError; what is not there stays FileNotFoundError."""
    try:
        yield
    except (LeanseekError, FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise StorageError(
            f"'{url}': {reason}. Nothing was published there. Free space or mend the permissions, then repeat the "
            "command."
        ) from error
