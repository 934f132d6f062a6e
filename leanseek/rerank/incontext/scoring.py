"""From the attention on tokens to the scores of documents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leanseek.rerank.incontext.capturing import Float64Array
from leanseek.rerank.incontext.tokens import Span


def kept(tokens: Float64Array) -> Float64Array:
    """(…, n) a document's calibrated attention; tokens more than two deviations below the mean are set to 0.

    The deviation is that of a sample. Such tokens are those that a query without content looks at far more
    than the real one. A single token is kept.
    """
    if tokens.shape[-1] < 2:
        return tokens
    least = tokens.mean(axis=-1, keepdims=True) - 2 * tokens.std(axis=-1, ddof=1, keepdims=True)
    return np.where(tokens > least, tokens, 0.0)


def document_attention(attention: Float64Array, documents: Sequence[Span]) -> list[Float64Array]:
    """What is counted of each document's tokens, from the calibrated `attention` (…, p) on all tokens."""
    return [kept(attention[..., span.start : span.end]) for span in documents]


def document_scores(attention: Float64Array, documents: Sequence[Span]) -> Float64Array:
    """(…, documents) each the sum of what is counted of its tokens, from the calibrated `attention` (…, p)."""
    return np.stack([tokens.sum(axis=-1) for tokens in document_attention(attention, documents)], axis=-1)


def document_masses(attention: Float64Array, documents: Sequence[Span]) -> Float64Array:
    """(…, documents) all of the `attention` (…, p) on each document's tokens."""
    return np.stack([attention[..., span.start : span.end].sum(axis=-1) for span in documents], axis=-1)
