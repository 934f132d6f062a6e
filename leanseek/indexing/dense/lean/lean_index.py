"""LeanVecIndex: search by inner product in dimensions that were learned from queries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leanseek.errors import InputError, StorageError, UsageError
from leanseek.files import draft_folder
from leanseek.indexing.dense.base import Listed, Stored
from leanseek.indexing.dense.device_index import DeviceIndex
from leanseek.indexing.dense.lean.construction import Built, build
from leanseek.indexing.dense.lean.engine import RESCORING, Effort, rescored
from leanseek.indexing.dense.lean.first_level import open_engine
from leanseek.indexing.dense.lean.meta import Learned, open_meta, save_meta
from leanseek.indexing.dense.lean.recall import Calibration, CurvePoint
from leanseek.indexing.dense.lean.rows import Rows
from leanseek.indexing.settings import LeanKind, Method, Precision, Primary, Source
from leanseek.indexing.vectors import VectorSource
from leanseek.types import BoolArray, Float32Array, Int64Array


@dataclass(frozen=True, slots=True)
class LeanInfo:
    """What an index reports of itself; see the properties of `LeanVecIndex`."""

    vectors: int
    bytes: int
    kind: str
    dims: int
    primary: str
    precision: str
    method: str
    source: str
    recall: float
    curve: tuple[CurvePoint, ...]
    points: tuple[CurvePoint, ...]
    drift: float
    notes: tuple[str, ...]


class LeanVecIndex:
    """n vectors (D,) at two levels: reduced and quantised ones are scanned, vectors in full decide.

    The reduction is learned from queries (Tepper et al., "LeanVec: Searching vectors faster by making them
    fit", TMLR 2024), and how far a search goes is calibrated on queries held out. Scores are inner products
    with the vectors as the second level stores them; equal scores come in the order of ordinals.
    """

    def __init__(self, built: Built) -> None:
        self._rows, self._engine, self._meta, self._learned = built
        self._on_device: DeviceIndex | None = None

    @classmethod
    def build(
        cls,
        vectors: VectorSource,
        queries: Float32Array | Learned | None = None,
        dims: int | str = "auto",
        kind: LeanKind = "auto",
        recall: float = 0.95,
        *,
        primary: Primary | None = None,
        secondary: Precision = "sq8",
        lists: int | None = None,
        seed: int = 0,
        portable: bool = False,
        source: Source = "given",
        reduction: Method = "auto",
        into: str | Path | None = None,
        device: str | None = None,
    ) -> LeanVecIndex:
        """An index of vectors (n, D) float32 for queries like `queries` (m, D).

        Args:
            vectors: any finite values; unit length is usual. float16 and memory maps are taken too, and any
                `VectorSource`. They are read in blocks, several times.
            queries: to learn from, of which a fifth is held out for measuring. Without them the vectors
                are taken instead, with an entry in `notes`. What an earlier index `learned` is used unchanged,
                and `dims` is ignored.
            dims: the length of reduced vectors, or "auto" for the least that loses next to nothing.
            kind: "flat" scans every code; "ivf" those of some lists; "hnsw" walks a graph (FAISS);
                "auto" is flat below 5,000 vectors and ivf from there on.
            recall: the share of the true best k that a search finds on average, in (0, 1].
            primary: how reduced vectors are stored. "pq4" (for None) takes 2 bits a dimension and is
                the fastest by far; "lvq4" and "lvq8" take 4 and 8 bits a dimension between each vector's own
                least and largest element, "sq8" 8 bits between those of all, "rabitq" one. A graph holds sq8.
            secondary: how the vectors in full are stored: "float32", "float16" or "sq8" (8 bits).
            lists: their number for "ivf"; by default 4 times the square root of n.
            seed: the same input and seed give the same index.
            portable: search through FAISS and NumPy even where the compiled kernels are there.
            source: where the queries are from, for `info`: `given` by a user, or made from the `corpus`.
            reduction: how the matrices are found: one of `REDUCTIONS`, or "auto" for sphering or PCA, whichever
                loses less on queries held out. Without queries it is PCA.
            into: a folder, new or empty, to write the index to as it is made. What is returned is mapped from
                there: the vectors in full are never in memory. Until the index is whole there is no such folder.
            device: torch's "cuda", say, to cut vectors into lists and find the true answers of queries there, block
                by block; what its memory does not suffice for is done on the CPU. Its lists are other ones than the
                CPU's.

        Raises UsageError for an argument outside its range, a shape that does not fit or a device that is not there,
        InputError for no vectors, or NaN or infinite values, StorageError where the disk refuses, MissingPackageError
        for a device without torch.
        """
        chosen = (queries, dims, kind, recall, primary, secondary, lists, seed, portable, source, reduction)
        if into is None:
            return cls(build(vectors, *chosen, device=device))
        folder = Path(into)
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise UsageError(f"'{folder}' is not empty; give a folder that is new or empty")
        with _stored_in(folder), draft_folder(folder) as draft:
            build(vectors, *chosen, folder=draft, device=device)
        return cls.open(folder, portable=portable)

    @classmethod
    def open(cls, folder: str | Path, *, portable: bool = False) -> LeanVecIndex:
        """The index that `save` wrote, memory-mapped. Raises IndexDamagedError where it cannot be read."""
        folder = Path(folder)
        meta = open_meta(folder)
        rows = Rows.open(folder, meta.secondary, (meta.size, meta.dimensions), portable=portable)
        engine = open_engine(folder, meta.kind, meta.primary, rows, portable=portable)
        learned = Learned.open(folder, meta.dimensions, meta.method, meta.learned_loss, meta.source)
        return cls(Built(rows, engine, meta, learned))

    @property
    def size(self) -> int:
        """n, the number of vectors."""
        return self._rows.size

    @property
    def dimensions(self) -> int:
        """D, the length of a vector."""
        return self._rows.dimensions

    @property
    def dims(self) -> int:
        """d, the length of a reduced vector."""
        return self._meta.dims

    @property
    def kind(self) -> str:
        """`flat`, `ivf` or `hnsw`."""
        return self._meta.kind

    @property
    def primary(self) -> Primary:
        """How reduced vectors are stored."""
        return self._meta.primary

    @property
    def secondary(self) -> Precision:
        """How the vectors in full are stored."""
        return self._meta.secondary

    @property
    def recall(self) -> float:
        """The recall that the searches are calibrated for."""
        return self._meta.recall

    @property
    def calibration(self) -> Calibration:
        """The efforts taken, and the curve that was measured."""
        return self._meta.calibration

    @property
    def method(self) -> str:
        """How the reduction was learned: `sphering` from queries, `id` without."""
        return self._meta.method

    @property
    def learned(self) -> Learned:
        """The reduction and its queries, for `build` to make another index of the same kind of vectors."""
        return self._learned

    @property
    def drift(self) -> float:
        """How many times as much the reduction loses on the indexed vectors as on those it was learned from."""
        return self._meta.loss / self._meta.learned_loss if self._meta.learned_loss else 1.0

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done because queries were few, or did not help."""
        return self._meta.notes

    @property
    def bytes(self) -> int:
        """The size of both levels."""
        return self._engine.bytes + self._rows.bytes

    @property
    def stored(self) -> Stored:
        """The second level, a view."""
        return Stored(self._rows.data, *(self._rows.scales or ()))

    def describe(self) -> LeanInfo:
        """The properties together, for `leanseek info`."""
        return LeanInfo(
            vectors=self.size,
            bytes=self.bytes,
            kind=self.kind,
            dims=self.dims,
            primary=self.primary,
            precision=self.secondary,
            method=self.method,
            source=self.learned.source,
            recall=self.recall,
            curve=self.calibration.curve,
            points=self.calibration.points,
            drift=self.drift,
            notes=self.notes,
        )

    def search(
        self,
        queries: Float32Array,
        k: int,
        allowed: BoolArray | None = None,
        *,
        effort: Effort | None = None,
        threads: int | None = None,
        device: str | None = None,
    ) -> tuple[Float32Array, Int64Array]:
        """Scores (m, k) float32 and ordinals (m, k) int64 for queries (m, D); see DenseIndex.

        `allowed` (n,) keeps the vectors that are True. With few of them all are scored in full; with more,
        the search goes as much farther as it takes to see as many. `effort` replaces what calibration chose.
        `threads` is how many queries are searched at a time, by default as many as there are processors.

        `device` (torch's "cuda", say) takes the place of both: the vectors in full are copied there by the first
        search and stay, and many queries are answered exactly by matrix products.

        Raises UsageError for shapes that do not fit, k < 1, threads < 1 or a device that is not there, InputError
        for NaN or infinite queries, MissingPackageError for a device without torch.
        """
        queries = self._checked(queries, k, threads)
        if allowed is not None and allowed.shape != (self.size,):
            raise UsageError(f"allowed has shape {allowed.shape}; this index takes ({self.size},) booleans")
        if device is not None and (effort is not None or threads is not None):
            raise UsageError("a search on a device is exact; give it neither effort nor threads")
        effort = effort or self._meta.calibration.effort(k)
        matches = self.size if allowed is None else int(np.count_nonzero(allowed))
        answers = min(k, matches)
        if answers == 0 or len(queries) == 0:
            return self._filled(len(queries), k)
        if allowed is not None:
            effort = self._farther(effort, matches)
        if device is not None:
            if self._on_device is None or self._on_device.device != device:
                self._on_device = DeviceIndex(self, device)
            scores, ordinals = self._on_device.search(queries, answers, allowed)
        elif matches <= answers or (allowed is not None and self._exact_is_cheaper(effort, matches)):
            every = np.arange(self.size) if allowed is None else np.flatnonzero(allowed)
            scores, ordinals = rescored(self._rows, queries, answers, lambda _: every)
        else:
            workers = threads or available_processors()
            scores, ordinals = self._engine.search(queries, answers, effort, allowed, workers)
        if answers == k:
            return scores, ordinals
        all_scores, all_ordinals = self._filled(len(queries), k)
        all_scores[:, :answers], all_ordinals[:, :answers] = scores, ordinals
        return all_scores, all_ordinals

    def search_listed(
        self, queries: Float32Array, k: int, depth: int, allowed: BoolArray | None = None
    ) -> Listed:
        """See DenseIndex. Two searches, since the deeper one may find other vectors among its first k."""
        scores, ordinals = self.search(queries, k, allowed)
        return Listed(scores, ordinals, self.search(queries, depth, allowed)[0])

    def score(self, query: Float32Array, ordinals: Int64Array) -> Float32Array:
        """(c,) inner products of one query (D,) with the stored vectors (c,): the scores that `search` gives."""
        return self._rows.score(query, ordinals)

    def vectors(self, ordinals: Int64Array) -> Float32Array:
        """(c, D) float32, the vectors as the second level stores them, a copy."""
        return self._rows.vectors(ordinals)

    def save(self, folder: str | Path) -> None:
        """Write the index's files into a folder, made if need be. Raises StorageError where the disk refuses."""
        folder = Path(folder)
        with _stored_in(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for part in (self._rows, self._engine, self._learned):
                part.save(folder)
            save_meta(folder, self._meta)

    def _checked(self, queries: Float32Array, k: int, threads: int | None) -> Float32Array:
        queries = np.asarray(queries)
        if queries.ndim != 2 or queries.shape[1] != self.dimensions:
            raise UsageError(
                f"queries have shape {queries.shape}; this index takes (m, {self.dimensions}) float32"
            )
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1")
        if threads is not None and threads < 1:
            raise UsageError(f"threads is {threads}; it must be at least 1")
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if not np.isfinite(queries).all():
            raise InputError(
                "a query holds NaN or infinite values, which have no inner product; encode it again"
            )
        return queries

    def _farther(self, effort: Effort, matches: int) -> Effort:
        breadth = min(-(-effort.breadth * self.size // matches), self._engine.widest)
        return Effort(breadth, effort.depth)

    def _exact_is_cheaper(self, effort: Effort, matches: int) -> bool:
        return matches * RESCORING <= self._engine.cost(effort, self.size)

    def _filled(self, count: int, k: int) -> tuple[Float32Array, Int64Array]:
        return np.full((count, k), -np.inf, dtype=np.float32), np.full((count, k), -1, dtype=np.int64)


@contextmanager
def _stored_in(folder: Path) -> Iterator[None]:
    """What the disk refuses meanwhile is a StorageError."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        where = error.filename or folder
        raise StorageError(f"writing '{where}' failed: {error.strerror or error}") from error


def available_processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
