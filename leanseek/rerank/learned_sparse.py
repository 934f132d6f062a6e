"""Re-ranking by learned sparse vectors: quick, and by words that neither query nor passage has to have."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from leanseek.encode import TruncationReport
from leanseek.encode.batches import Deadline, tiers
from leanseek.encode.learned_registry import KIND, load_learned_encoder
from leanseek.encode.learned_vectors import LearnedCache, LearnedEncoder, LearnedVector, encode_learned
from leanseek.encode.models import derived_fingerprint
from leanseek.rerank.base import ByScore, Judged, QueryBlock, cut_note, in_blocks
from leanseek.rerank.registry import RerankOptions
from leanseek.types import Float64Array, Hit, Progress, content

AT_ONCE = 256
"""Passages encoded before the deadline is looked at again."""

CODE: Final = 0.7
PROSE: Final = 0.8
"""Up to the first share of plain words texts are code, from the second they are prose.

Chosen on cosqa's, wikiqa's and trecqa's dev splits: lists of Python functions have .60 to .74, of sentences .76 to .97.
"""

_PLAIN_WORD = re.compile(r"""["'(\[“„«‘]*[^\W\d_]+(?:['’-][^\W\d_]+)*["')\]”“»’.,;:!?…]*|[–—]""")


class LearnedSparseReranker(ByScore):
    """A hit's score is the inner product of the query's and the passage's learned sparse vectors.

    The packaged model has two layers: a hundred passages take a tenth of the time of the packaged cross-encoder, and
    what has been encoded once comes from the cache. (Formal, Lassance, Piwowarski, Clinchant: "SPLADE v2", 2021.)

    >>> load_reranker("learned").rerank("do statins help?", searcher.search("do statins help?", k=100))
    """

    def __init__(self, encoder: LearnedEncoder, cache: LearnedCache | None = None) -> None:
        """Passages that are in the `cache` are not encoded again."""
        self._encoder = encoder
        self._cache = cache
        self._lock = threading.Lock()
        self._truncation = TruncationReport()

    @property
    def name(self) -> str:
        """What `load_reranker` takes to load it again: `learned:ENCODER`."""
        return f"learned:{self._encoder.name}"

    @property
    def fingerprint(self) -> str:
        """Hex digest of the encoder's, which is all that shapes a score."""
        return derived_fingerprint(self._encoder.fingerprint, "inner product")

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the passages did not fit so far."""
        with self._lock:
            note = cut_note(self._truncation)
        return () if note is None else (note,)

    def trust(self, hits: Sequence[Hit]) -> float:
        """1 for prose and 0 for program code, which the packaged model has never read, by the share of plain words."""
        shares = [plain_words(hit.text) for hit in hits if hit.text.strip()]
        if not shares:
            return 1.0
        return float(np.clip((np.mean(shares) - CODE) / (PROSE - CODE), 0.0, 1.0))

    def judge(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Judged]:
        """The inner products; NaN for hits not read by the deadline, and for all of a query without a term."""
        return [
            judged
            for block in in_blocks(queries, hits, progress, deadline)
            for judged in self._judged(block, deadline)
        ]

    def _judged(self, block: QueryBlock, deadline: Deadline | None) -> Iterator[Judged]:
        scores = [np.full(len(given), np.nan) for given in block.hits]
        encoded = self._encoder.encode_queries(list(block.queries))
        wanted = [dense(encoded.row(row), self._encoder.vocabulary) for row in range(len(block.queries))]
        places: dict[str, list[tuple[int, int]]] = {}
        for row, given in enumerate(block.hits):
            if block.queries[row].strip() and wanted[row].any():
                for column, hit in enumerate(given):
                    places.setdefault(content(hit.title, hit.text), []).append((row, column))
        texts = list(places)
        ranks = [min(column for _, column in places[text]) for text in texts]
        done = 0
        for tier in tiers(ranks, deadline):
            for start in range(0, len(tier), AT_ONCE):
                if deadline is not None and not deadline.allows():
                    break
                part = [texts[number] for number in tier[start : start + AT_ONCE]]
                vectors, cut = encode_learned(self._encoder, part, self._cache)
                with self._lock:
                    self._truncation += cut
                for place, text in enumerate(part):
                    passage = vectors.row(place)
                    for row, column in places[text]:
                        scores[row][column] = float(wanted[row][passage.terms] @ passage.weights)
                    done += len(places[text])
                block.report(done)
        return map(Judged, scores)


def plain_words(text: str) -> float:
    """The share of a text's words, between spaces, that are letters and the marks of a sentence alone."""
    words = text.split()
    return sum(_PLAIN_WORD.fullmatch(word) is not None for word in words) / len(words)


def dense(vector: LearnedVector, vocabulary: int) -> Float64Array:
    """(V,) the vector with its zeros."""
    found = np.zeros(vocabulary)
    found[vector.terms] = vector.weights
    return found


def load(options: RerankOptions) -> LearnedSparseReranker:
    """The re-ranker for `learned[:ENCODER]`; raises what `load_learned_encoder` does."""
    encoder = load_learned_encoder(options.model or KIND, options.device)
    return LearnedSparseReranker(encoder, LearnedCache(encoder.fingerprint) if options.cache else None)
