"""Other projects' BM25 as sparse back ends, for comparison and for small or read-only corpora.

Both are built in memory, from the live passages' terms by the index's own analyser, when the index is opened;
so they are exact after every change, and opening takes as long as indexing.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import MissingPackageError, UsageError
from leanseek.indexing.sparse.base import Candidates, CheckedSearch, SparseQuery, text_of
from leanseek.indexing.sparse.parameters import Bm25Parameters, Bm25Variant, term_weight
from leanseek.text import Analyzer
from leanseek.types import BoolArray, Float32Array, Int64Array


class PeerIndex(CheckedSearch):
    """A SparseIndex over `size` ordinals of which `ordinals` (r,) are live, with the terms of each in `tokens`.

    The live ones must be in the order that breaks ties, (document id, part number).
    """

    def __init__(
        self,
        tokens: list[list[str]],
        ordinals: Int64Array,
        size: int,
        analyzer: Analyzer,
        parameters: Bm25Parameters,
    ) -> None:
        super().__init__(size, len(ordinals), analyzer)
        self._ordinals = ordinals
        self._rows = np.full(size, -1, np.int64)
        self._rows[ordinals] = np.arange(len(ordinals))
        # Neither library takes a corpus without a single term.
        self._empty = not any(tokens)
        if not self._empty:
            self._build(tokens, parameters)

    def _search(self, query: SparseQuery, k: int, allowed: BoolArray | None) -> Candidates:
        scores, shared = self._evaluate(self._analyzer.tokens(text_of(query)))
        if allowed is not None:
            shared = shared & allowed[self._ordinals]
        rows = np.flatnonzero(shared)
        best = rows[np.argsort(-scores[rows], kind="stable")[:k]]
        return Candidates(scores[best], self._ordinals[best])

    def score(self, query: SparseQuery, ordinals: Int64Array) -> Float32Array:
        """(c,) exact scores of the given passages; 0 without a shared term, and for deleted ones."""
        scores, shared = self._evaluate(self._analyzer.tokens(text_of(query)))
        rows = self._rows[ordinals]
        found = np.zeros(len(ordinals), np.float32)
        live = rows >= 0
        found[live] = np.where(shared[rows[live]], scores[rows[live]], np.float32(0))
        return found

    def _frequencies(self, terms: list[str]) -> list[int]:
        return [int(np.count_nonzero(self._evaluate([term])[1])) for term in terms]

    def _evaluate(self, tokens: Sequence[str]) -> tuple[Float32Array, BoolArray]:
        terms = [] if self._empty else [term for term in tokens if self._knows(term)]
        if not terms:
            return np.zeros(len(self._ordinals), np.float32), np.zeros(len(self._ordinals), np.bool_)
        return self._scores(terms)

    @abstractmethod
    def _build(self, tokens: list[list[str]], parameters: Bm25Parameters) -> None: ...

    @abstractmethod
    def _knows(self, term: str) -> bool: ...

    @abstractmethod
    def _scores(self, terms: list[str]) -> tuple[Float32Array, BoolArray]:
        """Scores (r,) of all live passages for known terms, and which of the passages have any of them."""


class Bm25sIndex(PeerIndex):
    """bm25s (Lü, 2024): scores precomputed in a sparse matrix. All variants."""

    def _build(self, tokens: list[list[str]], parameters: Bm25Parameters) -> None:
        try:
            import bm25s
        except ImportError as error:
            raise MissingPackageError("the sparse back end bm25s", "bm25s", "peers") from error

        logging.getLogger("bm25s").setLevel(logging.WARNING)
        variant = parameters.variant
        self._model = bm25s.BM25(
            k1=parameters.k1,
            b=parameters.b,
            delta=parameters.delta,
            method="bm25+" if variant is Bm25Variant.BM25PLUS else variant.value,
        )
        self._model.index(tokens, show_progress=False)

    def _knows(self, term: str) -> bool:
        return term in self._model.vocab_dict

    def _scores(self, terms: list[str]) -> tuple[Float32Array, BoolArray]:
        matrix = self._model.scores
        shared = np.zeros(len(self._ordinals), np.bool_)
        for number in self._model.get_tokens_ids(terms):
            shared[matrix["indices"][matrix["indptr"][number] : matrix["indptr"][number + 1]]] = True
        scores: NDArray[np.float32] = self._model.get_scores(terms)
        return scores, shared


class RankBm25Index(PeerIndex):
    """rank-bm25 (Brown, 2020): every passage is visited for every query, so for small corpora.

    Its BM25Plus is bm25plus. Its BM25Okapi, given each variant's term weights in place of its own, which it
    alone has, is lucene, robertson and atire. Its BM25L is another formula than bm25s's: a UsageError.
    """

    def _build(self, tokens: list[list[str]], parameters: Bm25Parameters) -> None:
        check_rank_bm25(parameters)
        try:
            import rank_bm25
        except ImportError as error:
            raise MissingPackageError("the sparse back end rank-bm25", "rank-bm25", "peers") from error

        k1, b = parameters.k1, parameters.b
        if parameters.variant is Bm25Variant.BM25PLUS:
            self._model = rank_bm25.BM25Plus(tokens, k1=k1, b=b, delta=parameters.delta)
            return
        self._model = rank_bm25.BM25Okapi(tokens, k1=k1, b=b)
        frequencies: dict[str, int] = {}
        for counts in self._model.doc_freqs:
            for term in counts:
                frequencies[term] = frequencies.get(term, 0) + 1
        # BM25Okapi multiplies by k1 + 1 what it takes from here.
        self._model.idf = {
            term: term_weight(parameters, len(tokens), frequency).weight / (k1 + 1)
            for term, frequency in frequencies.items()
        }

    def _knows(self, term: str) -> bool:
        return term in self._model.idf

    def _scores(self, terms: list[str]) -> tuple[Float32Array, BoolArray]:
        wanted = set(terms)
        shared = np.array([not wanted.isdisjoint(counts) for counts in self._model.doc_freqs], np.bool_)
        return self._model.get_scores(terms).astype(np.float32), shared


def check_rank_bm25(parameters: Bm25Parameters) -> None:
    """Raise UsageError where rank-bm25 has no such variant."""
    if parameters.variant is Bm25Variant.BM25L:
        raise UsageError(
            "rank-bm25 computes bm25l by another formula. Allowed with it: lucene, robertson, atire, bm25plus; "
            "for bm25l take the back end bm25 or bm25s."
        )
