"""BM25 over all segments of an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from leanseek.errors import UsageError
from leanseek.indexing.sparse.base import Candidates, CheckedSearch
from leanseek.indexing.sparse.kernel import Kernel, WeightedTerms, default_kernel
from leanseek.indexing.sparse.parameters import (
    Bm25Parameters,
    TermWeight,
    length_norm,
    term_weight,
)
from leanseek.indexing.sparse.posting_sums import PostingSums, TieKey
from leanseek.indexing.sparse.postings import PostingsReader
from leanseek.text import Analyzer
from leanseek.types import BoolArray, Float32Array, Int64Array

_MEMO_TERMS = 1 << 17


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
    the bit, however the passages are spread. Thread-safe.
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
        kernel = default_kernel() if kernel is None else kernel
        passages = terms = 0
        for reader, mask in zip(self._readers, self._deleted, strict=True):
            lengths = reader.lengths if mask is None else reader.lengths[~mask]
            passages += len(lengths)
            terms += int(lengths.sum(dtype=np.int64))
        norm = length_norm(parameters, terms / passages if passages else 1.0)
        segments = [
            kernel.prepare(reader, norm, mask)
            for reader, mask in zip(self._readers, self._deleted, strict=True)
        ]
        self._sums = PostingSums(kernel, segments, [*map(len, self._readers)], tie_key)
        super().__init__(self._sums.size, passages, analyzer)
        self._memo: dict[str, _Term] = {}

    def _search(self, query: str, k: int, allowed: BoolArray | None) -> Candidates:
        return self._sums.search(self._weighted(query), k, allowed)

    def score(self, query: str, ordinals: Int64Array) -> Float32Array:
        """(c,) exact scores of the given passages, the same bits that `search` gives; 0 without a shared term."""
        return self._sums.score(self._weighted(query), ordinals)

    def _frequencies(self, terms: list[str]) -> list[int]:
        return [self._term(term).frequency for term in terms]

    def _weighted(self, query: str) -> WeightedTerms | None:
        """The query's terms with their weights, heaviest first and equals by name; None where none is known."""
        known = []
        for token, count in Counter(self._analyzer.tokens(query)).items():
            term = self._term(token)
            if term.weight is not None:
                known.append((-count * term.weight.weight, token, count * term.weight.constant, term.numbers))
        if not known:
            return None
        known.sort()
        return WeightedTerms(
            np.array([-weight for weight, _, _, _ in known], np.float32),
            float(np.float32(sum(constant for _, _, constant, _ in known))),
            tuple(np.array(column, np.int64) for column in zip(*(term[3] for term in known), strict=True)),
        )

    def _term(self, token: str) -> _Term:
        if (known := self._memo.get(token)) is not None:
            return known
        name = token.encode()
        numbers = tuple(reader.find(name) for reader in self._readers)
        frequency = 0
        for reader, mask, number in zip(self._readers, self._deleted, numbers, strict=True):
            if number >= 0:
                frequency += reader.frequency(number)
                if mask is not None:
                    frequency -= reader.frequency_in(number, mask)
        weight = term_weight(self._parameters, self._live, frequency) if frequency else None
        term = _Term(weight, frequency, numbers)
        if len(self._memo) >= _MEMO_TERMS:
            self._memo.clear()
        self._memo[token] = term
        return term
