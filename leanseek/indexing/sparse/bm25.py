"""BM25 over all segments of an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

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
from leanseek.indexing.sparse.postings import PostingsReader
from leanseek.text import Analyzer
from leanseek.types import BoolArray, Float32Array, Int64Array

TieKey: TypeAlias = Callable[[Int64Array], Sequence[tuple[str, int]]]
"""From global ordinals (c,) to what orders equal scores: each passage's (document id, part number)."""

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
        self._tie_key = tie_key
        self._kernel = default_kernel() if kernel is None else kernel
        self._bases = np.cumsum([0, *map(len, self._readers)])
        passages = terms = 0
        for reader, mask in zip(self._readers, self._deleted, strict=True):
            lengths = reader.lengths if mask is None else reader.lengths[~mask]
            passages += len(lengths)
            terms += int(lengths.sum(dtype=np.int64))
        super().__init__(int(self._bases[-1]), passages, analyzer)
        norm = length_norm(parameters, terms / passages if passages else 1.0)
        self._segments = [
            self._kernel.prepare(reader, norm, mask)
            for reader, mask in zip(self._readers, self._deleted, strict=True)
        ]
        self._memo: dict[str, _Term] = {}

    def _search(self, query: str, k: int, allowed: BoolArray | None) -> Candidates:
        terms = self._weighted(query)
        if terms is None or k == 0:
            return Candidates(np.empty(0, np.float32), np.empty(0, np.int64))
        found = self._kernel.search(self._segments, terms, k, allowed)
        if len(self._readers) > 1:
            found = self._break_ties(found)
        return Candidates(found.scores[:k], found.ordinals[:k])

    def score(self, query: str, ordinals: Int64Array) -> Float32Array:
        """(c,) exact scores of the given passages, the same bits that `search` gives; 0 without a shared term."""
        scores = np.zeros(len(ordinals), np.float32)
        if len(ordinals) and not (ordinals.min() >= 0 and ordinals.max() < self.size):
            raise UsageError(f"ordinals must be from 0 to {self.size - 1}.")
        terms = self._weighted(query)
        if terms is None:
            return scores
        owners = np.searchsorted(self._bases, ordinals, side="right") - 1
        for number in np.unique(owners).tolist():
            inside = owners == number
            local = ordinals[inside] - self._bases[number]
            scores[inside] = self._kernel.score(self._segments, terms, number, local)
        return scores

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

    def _break_ties(self, found: Candidates) -> Candidates:
        """Put equal scores that come from several segments in the order of their (id, part)."""
        scores, ordinals = found
        segments = np.searchsorted(self._bases, ordinals, side="right")
        # Ordinals ascend among equals, so equals of two segments have a boundary between them.
        meets = np.flatnonzero((scores[1:] == scores[:-1]) & (segments[1:] != segments[:-1]))
        if not len(meets):
            return found
        tied = np.flatnonzero(np.isin(scores, scores[meets]))
        keys = self._tie_key(ordinals[tied])  # one call, as each reads every segment's database
        order = sorted(range(len(tied)), key=lambda place: (-scores[tied[place]], keys[place]))
        ordinals = ordinals.copy()
        ordinals[tied] = ordinals[tied[order]]
        return Candidates(scores, ordinals)
