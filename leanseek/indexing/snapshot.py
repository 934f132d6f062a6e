"""One committed generation of an index, opened for reading; later commits do not change it."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leanseek.errors import IndexDamagedError, UsageError
from leanseek.filters import FieldSource, Filter, check_fields
from leanseek.indexing.admission import apply_operators, count
from leanseek.indexing.catalog import State, read_state
from leanseek.indexing.dense.base import DenseIndex
from leanseek.indexing.learned import ImpactIndex
from leanseek.indexing.metadata_column import Column, ValueCounts, counted, documents_of, read_column
from leanseek.indexing.occurrence import Phrase, Sequences
from leanseek.indexing.passages import StoredPassage
from leanseek.indexing.sampling import BLOCK, lots
from leanseek.indexing.segment import Segment, missing_file, open_segments, word_analyzer
from leanseek.indexing.sparse import Bm25Index, SparseIndex, open_sparse
from leanseek.indexing.sparse.base import Candidates, Statistics, Totals
from leanseek.numbers import distinct
from leanseek.text import Analyzer
from leanseek.types import BoolArray, Document, Float32Array, Float64Array, Int64Array, Operator

if TYPE_CHECKING:
    from leanseek.indexing.ngrams import NGrams

REMEMBERED_FILTERS = 16
REMEMBERED_COLUMNS = 16
ATTEMPTS = 20
"""A writer may remove segments between reading the catalog and opening them; the newer catalog is then read."""
NONE = (np.zeros(0, dtype=np.float32),)


class Passages:
    """All passages of a generation under global ordinals: the segments' one after another."""

    def __init__(self, segments: Sequence[Segment], analyzer: Analyzer) -> None:
        self.segments = tuple(segments)
        self.analyzer = analyzer
        self.bases = np.cumsum([0, *(segment.size for segment in segments)]).astype(np.int64)

    def get(self, ordinals: Int64Array) -> list[StoredPassage]:
        """The passages at the given global ordinals, in that order."""
        if len(self.segments) == 1:
            return self.segments[0].passages.get(ordinals)
        found: list[StoredPassage | None] = [None] * len(ordinals)
        for number, mine in self.by_segment(ordinals):
            passages = self.segments[number].passages.get(ordinals[mine] - self.bases[number])
            for place, passage in zip(mine.tolist(), passages, strict=True):
                found[place] = passage
        return [passage for passage in found if passage is not None]

    def ids(self, ordinals: Int64Array) -> list[str]:
        """The document ids of the passages at the given global ordinals (c,), in that order."""
        if len(self.segments) == 1:
            return self.segments[0].passages.ids(ordinals)
        found = [""] * len(ordinals)
        for number, mine in self.by_segment(ordinals):
            ids = self.segments[number].passages.ids(ordinals[mine] - self.bases[number])
            for place, identifier in zip(mine.tolist(), ids, strict=True):
                found[place] = identifier
        return found

    def keys(self, ordinals: Int64Array) -> list[tuple[str, int]]:
        """What orders the passages at the given global ordinals as (document id, part number) do.

        The live parts of a document are in one segment, where ordinals ascend with their numbers.
        """
        return list(zip(self.ids(ordinals), ordinals.tolist(), strict=True))

    def in_order(self, ordinals: Int64Array) -> Int64Array:
        """Global ordinals (c,), given ascending, in the order of (document id, part number)."""
        if len(self.segments) < 2:
            return ordinals
        keys = self.keys(ordinals)
        return ordinals[sorted(range(len(ordinals)), key=keys.__getitem__)]

    def by_segment(self, ordinals: Int64Array) -> list[tuple[int, Int64Array]]:
        """(segment number, places in `ordinals` (c,)) of each segment that any of them is in."""
        owners = np.searchsorted(self.bases, ordinals, side="right") - 1
        return [(number, np.flatnonzero(owners == number)) for number in distinct(owners).tolist()]


class Snapshot:
    """The live passages of one generation.

    Nothing in it refers back to it, so its files close with its last reference. Safe to use from several threads.
    """

    coverage: float | None = None
    """All of it is searched."""

    def __init__(
        self,
        folder: Path,
        state: State,
        segments: Sequence[Segment],
        with_dense: bool = True,
        device: str | None = None,
    ) -> None:
        self.folder = folder
        self.device = device
        self.with_dense = with_dense
        self.state = state
        analyzer = word_analyzer(state.settings)
        self.passages = Passages(segments, analyzer)
        self._sequences = Sequences(analyzer)
        self._masks: dict[Filter | str, BoolArray] = {}
        self._columns: dict[str, Column] = {}
        self._drawn: dict[int, tuple[Int64Array, Float64Array]] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, folder: Path, dense: bool = True, device: str | None = None) -> Snapshot:
        """The last committed generation; `dense=False` leaves the vectors closed, `device` is where they are searched.

        On another device than the CPU the search is exact, whatever the dense index.

        Raises IndexNotFoundError, IndexFormatError, IndexDamagedError, or UsageError for a device that is not there.
        """
        for _ in range(ATTEMPTS):
            state = read_state(folder)
            try:
                opened = open_segments(folder, state, state.segments, dense, device)
                return cls(folder, state, opened, dense, device)
            except FileNotFoundError as error:
                missing = missing_file(folder, error)
        raise IndexDamagedError(missing)

    @classmethod
    def joined(cls, parts: Sequence[Snapshot]) -> Snapshot:
        """Several indexes with the same settings as one whose segments are theirs, one index's after the other's.

        What each has read and prepared is shared. Raises UsageError as `totals` does.
        """
        first = parts[0]
        segments = [segment for part in parts for segment in part.segments]
        joined = cls(first.folder, first.state, segments, first.with_dense)
        if first.state.settings.sparse is not None:
            joined.sparse = Bm25Index.joined([part._bm25() for part in parts], joined.passages.keys)
        return joined

    @property
    def size(self) -> int:
        """Passages, deleted ones included: global ordinals run below it."""
        return int(self.passages.bases[-1])

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments, in the order of their global ordinals."""
        return self.passages.segments

    @functools.cached_property
    def live(self) -> BoolArray | None:
        """(size,) True where a passage is not deleted; None where none is."""
        if all(segment.deleted is None for segment in self.segments):
            return None
        return np.concatenate(
            [
                np.ones(segment.size, dtype=np.bool_) if segment.deleted is None else ~segment.deleted
                for segment in self.segments
            ]
        )

    @functools.cached_property
    def sparse(self) -> SparseIndex:
        """The sparse side. Raises UsageError where the index has none."""
        settings = self.state.settings.sparse
        if settings is None:
            raise UsageError(f"'{self.folder}' was made without a sparse side; search it with --mode dense")
        return open_sparse(settings, self.passages)

    @property
    def totals(self) -> Totals:
        """Of its live passages, as statistics are made of them; no terms without a sparse side.

        Raises UsageError for a sparse back end whose scores cannot be computed part by part.
        """
        if self.state.settings.sparse is None:
            return Totals(self.count(), 0)
        return self._bm25().totals

    def frequencies(self, terms: Sequence[str]) -> list[int]:
        """How many live passages have each of the terms. Raises UsageError as `totals` does."""
        return self._bm25().frequencies(terms)

    def under(self, statistics: Statistics) -> Snapshot:
        """The same passages, their BM25 scores those that they have in a collection with these statistics.

        It shares everything with this snapshot, and is as cheap to make. Raises UsageError as `totals` does.
        """
        # What is computed once must not be computed again for every view.
        _ = self.live, self.documents, self.state.settings.learned and self.learned
        if self.state.settings.sparse is None:
            return self
        part = copy.copy(self)
        part.sparse = self._bm25().under(statistics)
        return part

    def _bm25(self) -> Bm25Index:
        sparse, settings = self.sparse, self.state.settings.sparse
        if not isinstance(sparse, Bm25Index):
            backend = settings.backend if settings is not None else ""
            raise UsageError(
                f"'{self.folder}' has the sparse back end {backend}, whose scores cannot be part of a larger "
                "collection's; index again with --sparse bm25"
            )
        return sparse

    @functools.cached_property
    def learned(self) -> ImpactIndex:
        """The learned sparse side. Raises UsageError where the index has none."""
        settings = self.state.settings.learned
        if settings is None:
            raise UsageError(
                f"'{self.folder}' was made without a learned side; index again with --learned splade, or search it "
                "with another --mode"
            )
        readers = [segment.impacts for segment in self.segments if segment.impacts is not None]
        deleted = [segment.deleted for segment in self.segments]
        return ImpactIndex(readers, deleted, settings, self.passages.keys)

    @functools.cached_property
    def ngrams(self) -> NGrams:
        """The n-grams. Raises UsageError where the index has none."""
        if self.state.settings.ngrams is None:
            raise UsageError(f"'{self.folder}' was made without n-grams; index again with --ngrams")
        from leanseek.indexing.ngrams import NGrams

        parts = [segment.ngrams for segment in self.segments if segment.ngrams is not None]
        deleted = [segment.deleted for segment in self.segments]
        bases = self.passages.bases.tolist()[:-1]
        return NGrams(parts, deleted, bases, self._sequences, self._parts)

    @functools.cached_property
    def documents(self) -> Int64Array | None:
        """(size,) a number for each passage, equal for the parts of one document; None without chunking."""
        if self.state.settings.chunk_words is None:
            return None
        numbers, last = [np.zeros(0, dtype=np.int64)], 0
        for segment in self.segments:
            numbers.append(segment.passages.groups() + last)
            last = int(numbers[-1][-1]) if segment.size else last
        return np.concatenate(numbers)

    def _parts(self, ordinals: Int64Array) -> list[tuple[str, int]]:
        """The document id and the part number of the passages at global ordinals (c,)."""
        return [(passage.id, passage.number) for passage in self.passages.get(ordinals)]

    def find(self, documents: Sequence[str]) -> dict[str, list[int]]:
        """The global ordinals of the live parts of each document that is here, by its id."""
        return {
            document: [base + part for part in parts]
            for base, segment in zip(self.passages.bases.tolist(), self.segments, strict=False)
            for document, parts in segment.find_live(documents).items()
        }

    def whole(self, documents: Sequence[str], allowed: BoolArray | None = None) -> list[Document]:
        """Those of the documents that are here, whole and in the order given; `allowed` (size,) keeps the True ones.

        The white space between the passages of a document is not stored: line breaks, or one space, stand in its
        place, so that characters keep their offsets.
        """
        found = []
        parts = self.find(documents)
        for document in dict.fromkeys(documents):
            ordinals = np.array(sorted(parts.get(document, ())), dtype=np.int64)
            if not len(ordinals) or (allowed is not None and not allowed[ordinals[0]]):
                continue
            passages = self.passages.get(ordinals)
            text = ""
            for passage in passages:
                gap = passage.start - len(text)
                text = text[: passage.start] + (" " if gap == 1 else "\n" * gap) + passage.text
            found.append(Document(document, text, passages[0].title, passages[0].metadata))
        return found

    def ids(self, allowed: BoolArray | None = None) -> list[str]:
        """The ids of all live documents, each once; `allowed` (size,) keeps the True ones."""
        return list(dict.fromkeys(self.passages.ids(self.ordinals(allowed))))

    def ordinals(self, allowed: BoolArray | None = None) -> Int64Array:
        """(n,) the global ordinals of the live passages, ascending; `allowed` (size,) keeps the True ones."""
        mask = self.live if allowed is None else allowed
        return np.arange(self.size) if mask is None else np.flatnonzero(mask)

    def count(self, allowed: BoolArray | None = None) -> int:
        """How many live passages there are, of those that are True in `allowed` (size,)."""
        mask = self.live if allowed is None else allowed
        return self.size if mask is None else int(np.count_nonzero(mask))

    def count_documents(self, allowed: BoolArray | None = None) -> int:
        """The same of documents."""
        numbers, mask = self.documents, self.live if allowed is None else allowed
        if numbers is None or mask is None:
            return self.count(allowed) if numbers is None else len(np.unique(numbers))
        return count(mask, numbers)

    def sample(self, count: int) -> Int64Array:
        """(c,) the global ordinals of live passages, at most `count`: the same passages, in the same order, however
        they are spread over segments; see `leanseek.indexing.sampling`."""
        return self.drawn(count)[0]

    def drawn(self, count: int) -> tuple[Int64Array, Float64Array]:
        """`sample`, and the passages' lots (c,); remembered, since the ids of all passages are read for it."""
        with self._lock:
            if count in self._drawn:
                return self._drawn[count]
        live, documents = self.ordinals(), self.documents
        kept, low = np.zeros(0, np.int64), np.zeros(0, np.float64)
        for start in range(0, len(live), BLOCK):
            some = live[start : start + BLOCK]
            parts = np.zeros(len(some), np.int64)
            if documents is not None:
                parts = some - np.searchsorted(documents, documents[some])
            kept = np.concatenate([kept, some])
            low = np.concatenate([low, lots(self.passages.ids(some), parts)])
            if len(kept) > count:
                within = low <= np.partition(low, count - 1)[count - 1]
                kept, low = kept[within], low[within]
        order = best_first(-low, kept, self.passages.keys)[:count]
        found = kept[order], low[order]
        with self._lock:
            self._drawn[count] = found
        return found

    def dense_search(self, queries: Float32Array, k: int, allowed: BoolArray | None) -> list[Candidates]:
        """The k best passages for each query (m, D), over all segments; `allowed` (size,) keeps the True ones."""
        found: list[list[Candidates]] = [[] for _ in queries]
        for base, size, dense, here in self._dense_segments(allowed):
            scores, ordinals = dense.search(queries, min(k, size), here)
            for row, candidates in enumerate(found):
                candidates.append(_candidates(scores[row], ordinals[row], base))
        return [self.best(candidates, k) for candidates in found]

    def dense_search_listed(
        self, queries: Float32Array, k: int, depth: int, allowed: BoolArray | None
    ) -> list[tuple[Candidates, Float32Array]]:
        """What `dense_search` finds for each query, and its `depth` best scores (l,), descending.

        They are within 1e-5 of `dense_score`, and become those of a larger collection by merging (see `Listed`).
        """
        found: list[list[Candidates]] = [[] for _ in queries]
        lists: list[list[Float32Array]] = [[] for _ in queries]
        for base, size, dense, here in self._dense_segments(allowed):
            scores, ordinals, listed = dense.search_listed(queries, min(k, size), min(depth, size), here)
            for row, candidates in enumerate(found):
                candidates.append(_candidates(scores[row], ordinals[row], base))
                lists[row].append(listed[row, np.isfinite(listed[row])])
        best = [
            parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts or NONE))[::-1] for parts in lists
        ]
        return [
            (self.best(candidates, k), listed[:depth]) for candidates, listed in zip(found, best, strict=True)
        ]

    def _dense_segments(
        self, allowed: BoolArray | None
    ) -> Iterator[tuple[int, int, DenseIndex, BoolArray | None]]:
        """Of each segment with vectors its first ordinal, its size, its vectors, and its part of `allowed`."""
        allowed = self.live if allowed is None else allowed
        for base, segment in zip(self.passages.bases.tolist(), self.segments, strict=False):
            if segment.searched is not None and segment.size:
                here = None if allowed is None else allowed[base : base + segment.size]
                yield base, segment.size, segment.searched, here

    def dense_score(self, query: Float32Array, ordinals: Int64Array) -> Float32Array:
        """(c,) exact inner products of one query (D,) with passages at global ordinals (c,)."""
        scores = np.zeros(len(ordinals), dtype=np.float32)
        for number, mine in self.passages.by_segment(ordinals):
            dense = self.segments[number].dense
            if dense is not None:
                scores[mine] = dense.score(query, ordinals[mine] - self.passages.bases[number])
        return scores

    def vectors(self, ordinals: Int64Array) -> Float32Array:
        """(c, D) the vectors of passages at global ordinals (c,). Raises UsageError where the index has none."""
        settings = self.state.settings.encoder
        if settings is None:
            raise UsageError(f"'{self.folder}' was made without a dense side; it has no vectors")
        vectors = np.zeros((len(ordinals), settings.dimensions), dtype=np.float32)
        for number, mine in self.passages.by_segment(ordinals):
            dense = self.segments[number].dense
            if dense is not None:
                vectors[mine] = dense.vectors(ordinals[mine] - self.passages.bases[number])
        return vectors

    def best(self, candidates: Sequence[Candidates], k: int) -> Candidates:
        """The k best of several segments' candidates, each best first."""
        if len(candidates) == 1:
            return Candidates(candidates[0].scores[:k], candidates[0].ordinals[:k])
        scores = np.concatenate([part.scores for part in candidates] or NONE)
        ordinals = np.concatenate([part.ordinals for part in candidates] or [np.zeros(0, dtype=np.int64)])
        order = self.order(scores, ordinals)[:k]
        return Candidates(scores[order], ordinals[order])

    def order(self, scores: Float32Array, ordinals: Int64Array) -> Int64Array:
        """(c,) the permutation that sorts by descending score, ties by (document id, part number)."""
        if len(self.segments) < 2:
            return np.lexsort((ordinals, -scores))
        # Inside a segment ordinals are in the order of ids; across segments the ids decide.
        return best_first(scores, ordinals, self.passages.keys)

    def close(self) -> None:
        """Close the files."""
        for segment in self.segments:
            with suppress(Exception):
                segment.close()

    def matching(self, condition: Filter) -> BoolArray:
        """(size,) True for the live passages that meet a metadata filter; the last few are remembered.

        Raises FilterError for a field that no document has, and a value that its field never holds.
        """

        if self.segments and not self._knows(condition):  # an empty index knows no field
            check_fields(condition, [segment.passages for segment in self.segments])
        return self.meeting(condition)

    def meeting(self, condition: Filter) -> BoolArray:
        """`matching` for a part of a collection, in which a field of the filter may be nowhere."""
        masks = (condition.mask(segment.passages, segment.size) for segment in self.segments)
        return self._remembered(condition, masks)

    def containing(self, words: str) -> BoolArray:
        """(size,) True for the live passages with these words one after the other; the last few are remembered."""
        phrase = Phrase(words, self._sequences)
        return self._remembered(words, map(phrase.mask, self.segments))

    def narrowed(
        self, allowed: BoolArray | None, operators: Sequence[Operator]
    ) -> tuple[BoolArray, tuple[Operator, ...]]:
        """(size,) what a query's operators leave of `allowed` (None: of all), and how many documents each leaves."""
        return apply_operators(self, allowed, operators)

    @property
    def fields(self) -> frozenset[str]:
        """The names of the fields that metadata have."""
        return frozenset(field for segment in self.segments for field in segment.passages.fields())

    def field_sources(self, fields: Sequence[str]) -> Sequence[FieldSource]:
        """What knows these fields of the metadata; nothing where the index is empty, which knows no field."""
        return [segment.passages for segment in self.segments]

    def dated(self, field: str) -> bool:
        """Whether a metadata field has values that are dates, times or years, or could be: numbers."""
        return any(segment.passages.dated(field) for segment in self.segments)

    def value_counts(self, fields: Sequence[str], allowed: BoolArray | None = None) -> list[ValueCounts]:
        """How many live documents have each value of each field, or of id or title; `allowed` (size,) keeps those of
        which a passage is True."""
        documents = documents_of(self.live if allowed is None else allowed, self.documents)
        return [counted(self.column(field), documents) for field in fields]

    def examples(self, allowed: BoolArray | None = None) -> dict[str, dict[str, Any]]:
        """An example of each kind of value that a field of the metadata has, by field; `allowed` as in `count`."""
        mask = self.live if allowed is None else allowed
        found: dict[str, dict[str, Any]] = {}
        for base, segment in zip(self.passages.bases.tolist(), self.segments, strict=False):
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
        return {field: found[field] for field in sorted(found) if found[field]}

    def _knows(self, key: Filter | str) -> bool:
        with self._lock:
            return key in self._masks

    def column(self, field: str) -> Column:
        """A metadata field, or id or title, of all documents, deleted ones included; the last few are remembered."""
        with self._lock:
            if field in self._columns:
                return self._columns[field]
        stores = [segment.passages for segment in self.segments]
        column = read_column(stores, self.passages.bases, self.documents, field)
        with self._lock:
            if len(self._columns) >= REMEMBERED_COLUMNS:
                del self._columns[next(iter(self._columns))]
            self._columns[field] = column
        return column

    def _remembered(self, key: Filter | str, masks: Iterable[BoolArray]) -> BoolArray:
        """(size,) the segments' masks (n,) together, without deleted passages; not made where it is remembered."""
        with self._lock:
            if key in self._masks:
                return self._masks[key]
        mask = np.concatenate([np.zeros(0, dtype=np.bool_), *masks])
        if self.live is not None:
            mask &= self.live
        with self._lock:
            if len(self._masks) >= REMEMBERED_FILTERS:
                del self._masks[next(iter(self._masks))]
            self._masks[key] = mask
        return mask


def best_first(
    scores: Float32Array | Float64Array,
    ordinals: Int64Array,
    keys: Callable[[Int64Array], Sequence[tuple[str, int]]],
) -> Int64Array:
    """(c,) the permutation that sorts by descending score, ties by the keys of their ordinals, asked for in one go."""
    order = np.lexsort((ordinals, -scores))
    ties = np.flatnonzero(np.diff(scores[order]) == 0)
    if len(ties):
        tied = np.union1d(ties, ties + 1)
        names = dict(zip(tied.tolist(), keys(ordinals[order[tied]]), strict=True))
        places = sorted(tied.tolist(), key=lambda place: (-scores[order[place]], names[place]))
        order[tied] = order[places]
    return order


def _first(value: Any, kind: str, instead: str) -> Any:
    """The first element of a document's field that is of a kind."""
    types = {"number": (int, float), "bool": (bool,)}.get(kind, (str,))
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, types) and (kind == "bool" or not isinstance(one, bool)):
            return one
    return instead


def _candidates(scores: Float32Array, ordinals: Int64Array, base: int) -> Candidates:
    """A segment's results (k,), which end in ordinals of -1, under global ordinals."""
    found = ordinals >= 0
    return Candidates(scores[found], ordinals[found] + base)
