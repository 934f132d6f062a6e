"""An index under its name: the generation that is served, the one that replaces it, and its writer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from leanseek.errors import LeanseekError
from leanseek.filters import Filter
from leanseek.indexing import Index, Snapshot
from leanseek.indexing.catalog import CATALOG, read_state
from leanseek.indexing.settings import IndexSettings
from leanseek.searcher import Searcher, SecondStage
from leanseek.serve.batcher import SharedEncoder, SharedLearned
from leanseek.serve.refusals import unavailable
from leanseek.types import BoolArray

SETTLED: Final = 2.0
"""Seconds after which a catalog's time of change tells it from any later one, whatever the file system's clock."""


class Models(NamedTuple):
    """The encoders of an index, shared with all that have the same; None where it has no such side."""

    encoder: SharedEncoder | None
    learned: SharedLearned | None


class FieldRecord(NamedTuple):
    """A field that a filter can name: the kinds of its values, with an example of each."""

    name: str
    examples: dict[str, Any]


class Served(NamedTuple):
    """One generation: `searcher` answers with re-ranking where the server has it, `plain` without."""

    snapshot: Snapshot
    searcher: Searcher
    plain: Searcher

    @property
    def generation(self) -> int:
        """The number of the generation."""
        return self.searcher.generation

    def visible(self, condition: Filter | None) -> BoolArray | None:
        """(n,) the live passages that meet a condition; None: every passage."""
        return self.snapshot.live if condition is None else self.snapshot.matching(condition)

    def documents(self, condition: Filter | None) -> tuple[int, int]:
        """How many documents, and how many passages, meet a condition."""
        allowed = None if condition is None else self.snapshot.matching(condition)
        return self.snapshot.count_documents(allowed), self.snapshot.count(allowed)

    def fields(self, condition: Filter | None) -> list[FieldRecord]:
        """The fields of the documents that meet a condition, with examples from those alone."""
        mask = self.visible(condition)
        found: dict[str, dict[str, Any]] = {}
        for base, segment in zip(self.snapshot.passages.bases.tolist(), self.snapshot.segments, strict=False):
            for field in segment.passages.fields():
                examples = found.setdefault(field, {})
                for kind, element in segment.passages.kinds(field).items():
                    if kind in examples:
                        continue
                    ordinals = segment.passages.select(field, "kind = ?", (kind,))
                    if mask is not None:
                        ordinals = ordinals[mask[base + ordinals]]
                    if not len(ordinals):
                        continue
                    value = element.value
                    if mask is not None:
                        [passage] = segment.passages.get(ordinals[:1])
                        value = _first(passage.metadata.get(field), kind, str(element.text))
                    examples[kind] = bool(value) if kind == "bool" else value
        return [FieldRecord(name, found[name]) for name in sorted(found) if found[name]]


def _first(value: Any, kind: str, instead: str) -> Any:
    """The first element of a document's field that is of a kind."""
    types = {"number": (int, float), "bool": (bool,)}.get(kind, (str,))
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, types) and (kind == "bool" or not isinstance(one, bool)):
            return one
    return instead


class ServedIndex:
    """The index in a folder, under the name that requests use.

    A request takes the present generation and keeps it to its end: when a newer one has taken its place, the older
    one's files are closed with the last request that holds it.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        models: Callable[[IndexSettings], Models],
        second: Callable[[Path], SecondStage | None],
        relevance: str | None,
    ) -> None:
        """`models` gives the shared models for an index's settings, `second` the re-rankers for an index."""
        self.name = name
        self.folder = folder
        self.problem: Exception | None = None
        self._models = models
        self._second_of = second
        self._second: SecondStage | None = None
        self._relevance = relevance
        self._served: Served | None = None
        self._identity: tuple[int, int] | None = None
        self._stamp: tuple[int, ...] | None = None
        self._writer: Index | None = None
        self._refreshing = threading.Lock()
        self._writing = threading.Lock()

    def open(self) -> None:
        """Open the last generation. Raises IndexNotFoundError, IndexDamagedError, ModelError and their kin."""
        self._second = self._second_of(self.folder)
        self._stamp, identity = self._look(), self._find()
        self._served, self._identity = self._opened(), identity

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
            stamp = self._look()
            if stamp is not None and stamp == self._stamp and self.problem is None:
                return False
            try:
                identity = self._find()
                if identity == self._identity and self.problem is None:
                    self._stamp = stamp
                    return False
                newest = self._opened()
            except Exception as error:
                self.problem = error
                return False
            self._served, self._stamp, self._identity = newest, stamp, identity
            self.problem = None
            return True

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
                writer = self._writer = Index.open(self.folder, **self._models(settings)._asdict())
            found = work(writer, served)
            self.refresh()
        return found

    def close(self) -> None:
        """Finish the merge that a change has begun, and let go of the writer's files."""
        with self._writing:
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _opened(self) -> Served:
        snapshot = Snapshot.open(self.folder)
        try:
            models = self._models(snapshot.state.settings)._asdict()
            plain = Searcher(snapshot, relevance=self._relevance, **models)
            searcher = plain
            if self._second is not None:
                searcher = Searcher(snapshot, relevance=self._relevance, second_stage=self._second, **models)
        except BaseException:
            snapshot.close()
            raise
        return Served(snapshot, searcher, plain)

    def _find(self) -> tuple[int, int]:
        """What tells the generation from any other: the catalog's file and the number. Raises as `open`."""
        generation = read_state(self.folder).generation
        return (self.folder / CATALOG).stat().st_ino, generation

    def _look(self) -> tuple[int, ...] | None:
        """What tells one state of the catalog from another; None where it is not there, or changed just now."""
        with suppress(OSError):
            found = (self.folder / CATALOG).stat()
            if time.time() - found.st_mtime > SETTLED:
                return (found.st_ino, found.st_size, found.st_mtime_ns)
        return None
