"""An index under its name: the generation that is served, the one that replaces it, and its writer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from leanseek.errors import LeanseekError
from leanseek.indexing import Index, Snapshot
from leanseek.indexing.catalog import CATALOG, read_state
from leanseek.indexing.settings import IndexSettings
from leanseek.searcher import Searcher, SecondStage
from leanseek.serve.batcher import SharedEncoder, SharedLearned
from leanseek.serve.refusals import unavailable

SETTLED: Final = 2.0
"""Seconds after which a catalog's time of change tells it from any later one, whatever the file system's clock."""


class Models(NamedTuple):
    """The encoders of an index, shared with all that have the same; None where it has no such side."""

    encoder: SharedEncoder | None
    learned: SharedLearned | None


FindModels: TypeAlias = Callable[[IndexSettings], Models]


class Served(NamedTuple):
    """One generation: `searcher` answers with re-ranking where the server has it, `plain` without."""

    searcher: Searcher
    plain: Searcher

    @property
    def generation(self) -> int:
        """The number of the generation."""
        return self.searcher.generation


class Source(Protocol):
    """Where an index is, and how its generations are opened: a folder, or a cluster."""

    def look(self) -> object:
        """What tells one state from another at no cost; None where that cannot be said."""
        ...

    def find(self) -> object:
        """What tells the newest generation from any other. Raises as `open`."""
        ...

    def open(self, models: FindModels, second: SecondStage | None, relevance: str | None) -> Served:
        """The newest generation. Raises IndexNotFoundError, IndexDamagedError, ModelError and their kin."""
        ...

    def writer(self, models: Models) -> Index:
        """The index opened for writing. Raises RefusedError where it is only read here."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class FolderSource:
    """An index in a folder."""

    def __init__(self, folder: Path, device: str | None = None) -> None:
        """`device`: where vectors are searched."""
        self._folder, self._device = folder, device

    def look(self) -> tuple[int, ...] | None:
        """See Source; None where the catalog is not there, or changed just now."""
        with suppress(OSError):
            found = (self._folder / CATALOG).stat()
            if time.time() - found.st_mtime > SETTLED:
                return (found.st_ino, found.st_size, found.st_mtime_ns)
        return None

    def find(self) -> tuple[int, int]:
        """See Source: the catalog's file, and the generation's number."""
        generation = read_state(self._folder).generation
        return (self._folder / CATALOG).stat().st_ino, generation

    def open(self, models: FindModels, second: SecondStage | None, relevance: str | None) -> Served:
        """See Source."""
        snapshot = Snapshot.open(self._folder, device=self._device)
        try:
            found = models(snapshot.state.settings)._asdict()
            plain = Searcher(snapshot, relevance=relevance, **found)
            searcher = plain
            if second is not None:
                searcher = Searcher(snapshot, relevance=relevance, second_stage=second, **found)
        except BaseException:
            snapshot.close()
            raise
        return Served(searcher, plain)

    def writer(self, models: Models) -> Index:
        """See Source."""
        return Index.open(self._folder, **models._asdict())

    def close(self) -> None:
        """Nothing: files are closed with the last request that holds them."""


class ServedIndex:
    """An index under the name that requests use.

    A request takes the present generation and keeps it to its end: when a newer one has taken its place, the older
    one's files are closed with the last request that holds it.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        models: FindModels,
        second: Callable[[], SecondStage | None],
        relevance: str | None,
        suggests: bool = False,
    ) -> None:
        """`models` gives the shared models for an index's settings, `second` the re-rankers for the index.

        `suggests`: suggestions are collected from each generation, in a thread of its own.
        """
        self.name = name
        self.source = source
        self.problem: Exception | None = None
        self._models = models
        self._second_of = second
        self._second: SecondStage | None = None
        self._relevance = relevance
        self._served: Served | None = None
        self._identity: object = None
        self._stamp: object = None
        self._writer: Index | None = None
        self._refreshing = threading.Lock()
        self._writing = threading.Lock()
        self._suggests = suggests
        self._collecting = threading.Lock()
        self._collected: Searcher | None = None

    def open(self) -> None:
        """Open the last generation. Raises IndexNotFoundError, IndexDamagedError, ModelError and their kin."""
        self._second = self._second_of()
        self._stamp, identity = self.source.look(), self.source.find()
        self._served, self._identity = self._opened(), identity
        self._collect()

    def now(self) -> Served:
        """The generation that is served. Raises RefusedError (503) where there is none that can be read."""
        served, problem = self._served, self.problem
        if served is None or problem is not None:
            raise unavailable(self.name, problem or LeanseekError("it is not open"))
        return served

    def refresh(self) -> bool:
        """Move on to the newest generation; True where there was one.

        Where the index has vanished or is damaged that is `problem` from now on, until it can be read again. Raises
        nothing.
        """
        with self._refreshing:
            stamp = self.source.look()
            if stamp is not None and stamp == self._stamp and self.problem is None:
                return False
            try:
                identity = self.source.find()
                if identity == self._identity and self.problem is None:
                    self._stamp = stamp
                    return False
                newest = self._opened()
            except Exception as error:
                self.problem = error
                return False
            self._served, self._stamp, self._identity = newest, stamp, identity
            self.problem = None
            self._collect()
            return True

    def collected(self, served: Served) -> bool:
        """Whether suggestions can be made from a generation at once."""
        return self._collected is served.plain

    def change(self, work: Callable[[Index, Served], Any]) -> Any:
        """What `work` gives for the index opened for writing, and its newest generation, one change after another.

        The change is served when this returns.

        Raises what `work` raises, IndexLockedError where another process writes.
        """
        with self._writing:
            self.refresh()
            served = self.now()
            settings, writer = served.searcher.settings, self._writer
            if writer is None or (writer.settings.encoder, writer.settings.learned) != (
                settings.encoder,
                settings.learned,
            ):
                writer = self._writer = self.source.writer(self._models(settings))
            found = work(writer, served)
            self.refresh()
        return found

    def close(self) -> None:
        """Finish the merge that a change has begun, and let go of the writer's files."""
        with self._writing:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        self.source.close()

    def _collect(self) -> None:
        """Collect the suggestions of the present generation, while it is searched."""
        if not self._suggests or self._served is None:
            return
        searcher = self._served.plain

        def work() -> None:
            # A generation that cannot be read is the problem of its searches.
            with self._collecting, suppress(LeanseekError):
                if self._served is not None and self._served.plain is searcher:  # else a newer one waits
                    searcher.suggest("")
                    self._collected = searcher

        threading.Thread(target=work, name=f"suggestions of {self.name}", daemon=True).start()

    def _opened(self) -> Served:
        return self.source.open(self._models, self._second, self._relevance)
