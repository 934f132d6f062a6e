"""Impacts: weights of learned sparse vectors as whole numbers from 1 to 255.

impact = round(weight / step), at most 255; a weight that rounds to 0 is left out. The steps are the model's, fixed
when an index is made, so that a score depends on no other passage, and on no segment. A score is the sum of a query's
impacts times the passage's, of at most 255 terms: a whole number below 2**24, which float32 adds without rounding in
any order. Steps are powers of two, so that a score in the model's own scale is exact as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leanseek.encode.learned_vectors import LearnedEncoder, LearnedVector, LearnedVectors, checked
from leanseek.errors import ModelError, UsageError
from leanseek.indexing.settings import LearnedSettings
from leanseek.types import Float32Array, Int32Array

MOST: Final = 255
"""The largest impact, and the most terms of a query."""
_HEADROOM: Final = 1.25
_PROBE_TERMS: Final = 256
_PROBES: Final = (
    "what is a learned sparse retrieval model?",
    "Statins lower the concentration of cholesterol in the blood and thereby the risk of a heart attack.",
    "def read(path): return open(path).read()",
    "The boundary layer of a thin wing at supersonic speed was measured in a wind tunnel.",
)


class ImpactQuery(NamedTuple):
    """A query: its `terms` (t,) int32, heaviest first and equals by number, and their `impacts` (t,) float32, whole
    numbers from 1 to 255; t is at most 255."""

    terms: Int32Array
    impacts: Float32Array


def learned_settings(encoder: LearnedEncoder, terms: int | None) -> LearnedSettings:
    """What an index records of its learned side: the encoder, how many terms of a passage are kept, and the steps.

    A step is the least power of two by which the heaviest term of some probes, words of the vocabulary and sentences,
    stays below 255 by a fifth. Raises UsageError for a number of terms below 1, ModelError for an encoder that gives
    the probes no weights.
    """
    if terms is not None and terms < 1:
        raise UsageError(
            f"learned_terms is {terms}; give at least 1 (128 is usual), or leave it out to keep all"
        )
    numbers = np.linspace(0, encoder.vocabulary - 1, min(_PROBE_TERMS, encoder.vocabulary)).astype(np.int32)
    texts = [*_PROBES, *(word for word in encoder.words(numbers) if word)]
    steps = []
    for kind, encode in (("queries", encoder.encode_queries), ("documents", encoder.encode_documents)):
        weights = checked(encoder, encode(texts)).weights
        if not len(weights):
            raise ModelError(
                f"the encoder '{encoder.name}' gives {kind} no weights; it cannot be searched with"
            )
        steps.append(2.0 ** math.ceil(math.log2(_HEADROOM * float(weights.max()) / MOST)))
    return LearnedSettings(
        encoder.name, encoder.fingerprint, encoder.vocabulary, encoder.max_tokens, terms, *steps
    )


def impacts_of(weights: Float32Array, step: float) -> NDArray[np.uint8]:
    """(t,) uint8 impacts of weights (t,)."""
    impacts: NDArray[np.uint8] = np.minimum(np.rint(weights / np.float32(step)), MOST).astype(np.uint8)
    return impacts


def impact_query(vector: LearnedVector, settings: LearnedSettings) -> ImpactQuery:
    """A query's vector as the index searches it: its heaviest 255 terms."""
    impacts = impacts_of(vector.weights, settings.query_step)
    order = np.lexsort((vector.terms, -impacts.astype(np.int64)))[:MOST]
    order = order[impacts[order] > 0]
    return ImpactQuery(vector.terms[order], impacts[order].astype(np.float32))


class PassageImpacts(NamedTuple):
    """The postings of n passages, in any order: `passages`, `terms` (p,) int64 and `impacts` (p,) uint8."""

    passages: NDArray[np.int64]
    terms: NDArray[np.int64]
    impacts: NDArray[np.uint8]


def passage_impacts(vectors: LearnedVectors, settings: LearnedSettings) -> PassageImpacts:
    """The impacts of passages: of each the heaviest terms, as many as the index keeps, equals by number."""
    counts = np.diff(vectors.indptr)
    passages = np.repeat(np.arange(len(counts)), counts)
    terms, weights = vectors.terms.astype(np.int64), vectors.weights
    if settings.terms is not None and len(counts) and counts.max() > settings.terms:
        order = np.lexsort((terms, -weights, passages))
        place = np.arange(len(order)) - np.repeat(vectors.indptr[:-1], counts)
        kept = order[place < settings.terms]
        passages, terms, weights = passages[kept], terms[kept], weights[kept]
    impacts = impacts_of(weights, settings.document_step)
    kept = np.flatnonzero(impacts)
    return PassageImpacts(passages[kept], terms[kept], impacts[kept])


def check_vocabulary(encoder: LearnedEncoder, settings: LearnedSettings) -> None:
    """Raise ModelError where the encoder is not the one that the index was made with."""
    if encoder.fingerprint != settings.fingerprint:
        other = (
            f", and a vocabulary of {encoder.vocabulary:,} terms instead of {settings.vocabulary:,}"
            if encoder.vocabulary != settings.vocabulary
            else ""
        )
        raise ModelError(
            f"the learned sparse encoder '{encoder.name}' has the fingerprint {encoder.fingerprint[:12]}{other}; the "
            f"index was made with '{settings.name}' ({settings.fingerprint[:12]}). Use that one, or index again."
        )


def as_queries(vectors: LearnedVectors, settings: LearnedSettings) -> Sequence[ImpactQuery]:
    """The queries of n vectors."""
    return [impact_query(vectors.row(row), settings) for row in range(len(vectors.tokens))]
