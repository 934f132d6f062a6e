"""From the attention on tokens to the scores of documents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leanseek.rerank.incontext.capturing import Float64Array
from leanseek.rerank.incontext.tokens import Span


def kept(tokens: Float64Array) -> Float64Array:
    """(n,) a document's calibrated attention with the tokens set to 0 that lie more than two deviations below its mean.

    The deviation is that of a sample. Such tokens are those that a query without content looks at far more
    than the real one. A single token is kept.
    """
    if len(tokens) < 2:
        return tokens
    return np.where(tokens > tokens.mean() - 2 * tokens.std(ddof=1), tokens, 0.0)


def document_attention(attention: Float64Array, documents: Sequence[Span]) -> list[Float64Array]:
    """What is counted of each document's tokens, from the calibrated `attention` (p,) on all tokens."""
    return [kept(attention[span.start : span.end]) for span in documents]


def document_scores(attention: Float64Array, documents: Sequence[Span]) -> Float64Array:
    """(documents,) each the sum of what is counted of its tokens, from the calibrated `attention` (p,)."""
    return np.array([tokens.sum() for tokens in document_attention(attention, documents)], dtype=np.float64)
