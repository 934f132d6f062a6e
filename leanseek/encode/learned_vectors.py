"""Learned sparse vectors: weights over a model's vocabulary, and the protocol of the encoders that give them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from leanseek.encode.cache import Messages, Role, RowCache
from leanseek.encode.corpus import Tick, TruncationReport, through_cache
from leanseek.errors import ModelError
from leanseek.files import cache_folder
from leanseek.types import Float32Array, Int32Array, Int64Array


class LearnedVectors(NamedTuple):
    """Of n texts: row i has `terms[indptr[i]:indptr[i + 1]]` with `weights` beside them.

    `indptr` (n + 1,) int64; `terms` int32, ascending in a row, numbers of the vocabulary; `weights` float32, above 0;
    `tokens` (n,) int32, each text's length before any cut.
    """

    indptr: Int64Array
    terms: Int32Array
    weights: Float32Array
    tokens: Int32Array

    def row(self, row: int) -> LearnedVector:
        """One text's vector."""
        here = slice(int(self.indptr[row]), int(self.indptr[row + 1]))
        return LearnedVector(self.terms[here], self.weights[here], int(self.tokens[row]))

    @staticmethod
    def of(rows: Sequence[LearnedVector]) -> LearnedVectors:
        """The rows one after another."""
        indptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row.terms) for row in rows], out=indptr[1:])
        return LearnedVectors(
            indptr,
            np.concatenate([np.empty(0, np.int32), *(row.terms for row in rows)]),
            np.concatenate([np.empty(0, np.float32), *(row.weights for row in rows)]),
            np.array([row.tokens for row in rows], np.int32),
        )


class LearnedVector(NamedTuple):
    """One text's `terms` (t,) int32 ascending, their `weights` (t,) float32, and its tokens before any cut."""

    terms: Int32Array
    weights: Float32Array
    tokens: int


class LearnedEncoder(Protocol):
    """Turns texts into sparse vectors over a vocabulary, whose inner product is their similarity.

    The vector of a text does not depend on the other texts of its call (within 1e-5). A text longer than `max_tokens`
    is cut there; `LearnedVectors.tokens` says by how much.
    """

    @property
    def name(self) -> str:
        """What `load_learned_encoder` takes to load this encoder again."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that shapes a vector."""
        ...

    @property
    def vocabulary(self) -> int:
        """V: terms are numbers below it."""
        ...

    @property
    def max_tokens(self) -> int | None:
        """The longest document in tokens; None where there is no limit."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> LearnedVectors:
        """Vectors of n queries."""
        ...

    def encode_documents(self, texts: Sequence[str]) -> LearnedVectors:
        """Vectors of n passages."""
        ...

    def words(self, terms: Int32Array) -> list[str]:
        """(t,) terms as people read them."""
        ...

    def own_terms(self, text: str) -> Int32Array:
        """(t,) the terms that a text has itself, ascending; others in its vector are expansion."""
        ...


def rows_of(weights: Float32Array, tokens: Int32Array) -> LearnedVectors:
    """The rows of dense weights (n, V): what is not 0."""
    rows, terms = np.nonzero(weights)
    indptr = np.zeros(len(weights) + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=len(weights)), out=indptr[1:])
    return LearnedVectors(indptr, terms.astype(np.int32), weights[rows, terms], tokens)


class LearnedCacheWarning(UserWarning):
    """The cache of learned sparse vectors cannot be used; they are computed instead."""


_MESSAGES = Messages(
    name="cache of learned sparse vectors",
    damaged=", and vectors are computed again",
    unusable="; vectors are computed without it",
    warning=LearnedCacheWarning,
)


class LearnedCache(RowCache):
    """The learned sparse vectors of one encoder, by text; otherwise as `VectorCache`."""

    def __init__(self, fingerprint: str, folder: Path | None = None) -> None:
        """Open or make the cache of the encoder with that fingerprint, by default in `learned` in the cache folder."""
        super().__init__(folder or cache_folder() / "learned", fingerprint, _MESSAGES)

    def get(self, role: Role, texts: Sequence[str]) -> list[LearnedVector | None]:
        """The known vector of each text in that role, in their order; None for a text not seen before."""
        return [
            LearnedVector(
                np.frombuffer(row.content, "<i4", len(row.content) // 8),
                np.frombuffer(row.content, "<f4", offset=len(row.content) // 2),
                row.tokens,
            )
            if row is not None
            else None
            for row in self.find_rows(role, texts)
        ]

    def put(self, role: Role, texts: Sequence[str], encoded: LearnedVectors) -> None:
        """Store the vectors of the texts in that role; they are on disk when this returns."""
        self.store_rows(
            role,
            texts,
            [
                (row.terms.astype("<i4").tobytes() + row.weights.astype("<f4").tobytes(), row.tokens)
                for row in map(encoded.row, range(len(texts)))
            ],
        )


def encode_learned(
    encoder: LearnedEncoder,
    texts: Sequence[str],
    cache: LearnedCache | None,
    progress: Tick | None = None,
) -> tuple[LearnedVectors, TruncationReport]:
    """The vectors of n documents, through the cache, and what was cut; otherwise as `encode_corpus`."""
    rows: dict[int, LearnedVector] = {}

    def compute(part: Sequence[str]) -> list[LearnedVector]:
        encoded = checked(encoder, encoder.encode_documents(part))
        if cache is not None:
            cache.put("document", part, encoded)
        return [encoded.row(row) for row in range(len(part))]

    look_up = (lambda part: cache.get("document", part)) if cache is not None else None
    for places, row in through_cache(texts, look_up, compute, progress):
        rows.update(dict.fromkeys(places, row))
    vectors = LearnedVectors.of([rows[place] for place in range(len(texts))])
    return vectors, TruncationReport.of(vectors.tokens, encoder.max_tokens)


def checked(encoder: LearnedEncoder, encoded: LearnedVectors) -> LearnedVectors:
    """The vectors, as they are. Raises ModelError where they are none."""
    if not (np.isfinite(encoded.weights).all() and (encoded.weights > 0).all()):
        raise ModelError(
            f"the encoder '{encoder.name}' gave weights that are NaN, infinite or not above 0; they order nothing. "
            "Check its weights"
        )
    if len(encoded.terms) and not 0 <= encoded.terms.min() <= encoded.terms.max() < encoder.vocabulary:
        raise ModelError(
            f"the encoder '{encoder.name}' gave terms outside its vocabulary of {encoder.vocabulary:,}"
        )
    return encoded
