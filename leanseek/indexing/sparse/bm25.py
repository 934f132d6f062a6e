"""BM25 over all segments of an index."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.sparse.base import (
    Candidates,
    CheckedSearch,
    SparseQuery,
    Statistics,
    Totals,
    query_weights,
)
from leanseek.indexing.sparse.kernel import Kernel, WeightedTerms, default_kernel
from leanseek.indexing.sparse.parameters import (
    Bm25Parameters,
    LengthNorm,
    TermWeight,
    length_norm,
    term_weight,
)
from leanseek.indexing.sparse.posting_sums import PostingSums, TieKey
from leanseek.indexing.sparse.postings import PostingsReader
from leanseek.text import Analyzer
from leanseek.types import BoolArray, Float32Array, Int64Array

_MEMO_TERMS = 1 << 17
_KEPT_NORMS = 2
"""Averages of length that postings are kept prepared for: while a collection changes, the former and the new one."""


class _Term(NamedTuple):
    """A query term as the whole index knows it; `weight` is None where no live passage has it.

    `frequency`: the live passages that have it. `numbers`: its number in each segment, -1 where it is not there.
    """

    weight: TermWeight | None
    frequency: int
    numbers: tuple[int, ...]


class Bm25Index(CheckedSearch):
    """A SparseIndex over memory-mapped segments.

    `deleted` has, for each reader, (n,) bool or None where nothing is deleted. Within a segment ordinals must
    be in the order of (document id, part number); `tie_key` is called only where equal scores come from several
    segments. Statistics are those of the live passages of all segments, so a passage's score is the same, to
    the bit, however the passages are spread; `under` takes them from outside. Thread-safe.
    """

    def __init__(
        self,
        readers: Sequence[PostingsReader],
        deleted: Sequence[BoolArray | None],
        analyzer: Analyzer,
        parameters: Bm25Parameters,
        tie_key: TieKey,
        *,
        kernel: Kernel | None = None,
    ) -> None:
        self._readers = tuple(readers)
        self._deleted = tuple(mask if mask is not None and mask.any() else None for mask in deleted)
        for reader, mask in zip(self._readers, self._deleted, strict=True):
            if mask is not None and mask.shape != (len(reader),):
                raise UsageError(f"a segment of {len(reader)} passages has a deletion mask {mask.shape}.")
        self._parameters = parameters
        self._kernel = default_kernel() if kernel is None else kernel
        self._tie_key = tie_key
        passages = terms = 0
        for reader, mask in zip(self._readers, self._deleted, strict=True):
            lengths = reader.lengths if mask is None else reader.lengths[~mask]
            passages += len(lengths)
            terms += int(lengths.sum(dtype=np.int64))
        self.totals = Totals(passages, terms)
        """Those of the live passages of all segments."""
        super().__init__(sum(map(len, self._readers)), passages, analyzer)
        self._memo: dict[str, _Term] = {}
        self._last: tuple[SparseQuery, WeightedTerms | None] = ("", None)
        self._parts: tuple[Bm25Index, ...] = ()
        self._given: Statistics | None = None
        self._prepared: dict[LengthNorm, PostingSums] = {}
        self._preparing = threading.Lock()

    @classmethod
    def joined(cls, parts: Sequence[Bm25Index], tie_key: TieKey) -> Bm25Index:
        """Several indexes with the same analyser and parameters as one; what each has read and prepared is shared."""
        first = parts[0]
        joined = cls((), (), first._analyzer, first._parameters, tie_key, kernel=first._kernel)
        joined._parts = tuple(parts)
        joined._readers = tuple(reader for part in parts for reader in part._readers)
        joined._deleted = tuple(mask for part in parts for mask in part._deleted)
        joined.totals = Totals(
            sum(part.totals.passages for part in parts), sum(part.totals.terms for part in parts)
        )
        joined.size, joined._live = sum(part.size for part in parts), joined.totals.passages
        return joined

    def under(self, statistics: Statistics) -> Bm25Index:
        """The same passages, scored as part of a larger collection that has these statistics.

        They must have the frequency of every term that is asked for: UsageError elsewhere. What the index has read and
        prepared is shared, and the index itself stays as it is.
        """
        part = copy.copy(self)
        part.__dict__.pop("_sums", None)
        part._last = ("", None)
        part._given = statistics
        part._live = statistics.totals.passages
        return part

    def frequencies(self, terms: Sequence[str]) -> list[int]:
        """How many live passages have each of the terms."""
        return [self._term(term).frequency for term in terms]

    def _search(self, query: SparseQuery, k: int, allowed: BoolArray | None) -> Candidates:
        return self._sums.search(self._weighted(query), k, allowed)

    def score(self, query: SparseQuery, ordinals: Int64Array) -> Float32Array:
        """(c,) exact scores of the given passages, the same bits that `search` gives; 0 without a shared term."""
        return self._sums.score(self._weighted(query), ordinals)

    @cached_property
    def _sums(self) -> PostingSums:
        passages, terms = self.totals if self._given is None else self._given.totals
        return self._prepare(length_norm(self._parameters, terms / passages if passages else 1.0))

    def _prepare(self, norm: LengthNorm) -> PostingSums:
        with self._preparing:
            if norm not in self._prepared:
                segments = [segment for part in self._parts for segment in part._prepare(norm).segments] or [
                    self._kernel.prepare(reader, norm, mask)
                    for reader, mask in zip(self._readers, self._deleted, strict=True)
                ]
                while len(self._prepared) >= _KEPT_NORMS:
                    del self._prepared[next(iter(self._prepared))]
                self._prepared[norm] = PostingSums(
                    self._kernel, segments, [*map(len, self._readers)], self._tie_key
                )
            return self._prepared[norm]

    def _frequencies(self, terms: list[str]) -> list[int]:
        if self._given is not None:
            return [given(self._given.frequencies, term) for term in terms]
        return self.frequencies(terms)

    def _weighted(self, query: SparseQuery) -> WeightedTerms | None:
        """The query's terms with their weights, heaviest first and equals by name; None where none is known."""
        # A search asks twice in a row: for the best passages, and for the scores of what other sides have found.
        last, weighted = self._last
        if last != query:
            weighted = self._weigh(query)
            self._last = query, weighted
        return weighted

    def _weigh(self, query: SparseQuery) -> WeightedTerms | None:
        known = []
        for token, count in query_weights(query, self._analyzer).items():
            term = self._term(token)
            weight = term.weight if self._given is None else self._weight(self._given, token)
            if weight is not None:
                known.append((-count * weight.weight, token, count * weight.constant, term.numbers))
        if not known:
            return None
        known.sort()
        return WeightedTerms(
            np.array([-weight for weight, _, _, _ in known], np.float32),
            float(np.float32(sum(constant for _, _, constant, _ in known))),
            tuple(np.array(column, np.int64) for column in zip(*(term[3] for term in known), strict=True)),
        )

    def _weight(self, statistics: Statistics, token: str) -> TermWeight | None:
        frequency = given(statistics.frequencies, token)
        return term_weight(self._parameters, statistics.totals.passages, frequency) if frequency else None

    def _term(self, token: str) -> _Term:
        if (known := self._memo.get(token)) is not None:
            return known
        if self._parts:
            known_parts = [part._term(token) for part in self._parts]
            numbers = tuple(number for part in known_parts for number in part.numbers)
            frequency = sum(part.frequency for part in known_parts)
        else:
            numbers, frequency = self._look_up(token.encode())
        weight = term_weight(self._parameters, self.totals.passages, frequency) if frequency else None
        term = _Term(weight, frequency, numbers)
        if len(self._memo) >= _MEMO_TERMS:
            self._memo.clear()
        self._memo[token] = term
        return term

    def _look_up(self, name: bytes) -> tuple[tuple[int, ...], int]:
        """A term's number in each segment, and how many live passages have it."""
        numbers = tuple(reader.find(name) for reader in self._readers)
        frequency = 0
        for reader, mask, number in zip(self._readers, self._deleted, numbers, strict=True):
            if number >= 0:
                frequency += reader.frequency(number)
                if mask is not None:
                    frequency -= reader.frequency_in(number, mask)
        return numbers, frequency


def given(frequencies: Mapping[str, int], term: str) -> int:
    """The frequency of a term. Raises UsageError where it is missing: a guess would change every score."""
    try:
        return frequencies[term]
    except KeyError:
        raise UsageError(f"the statistics given lack the frequency of the term {term!r}") from None
