"""Encodes a corpus through the vector cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from leanseek.encode.base import Encoder
from leanseek.encode.cache import VectorCache
from leanseek.encode.report import TruncationReport
from leanseek.encode.tokens import Int32Array
from leanseek.errors import ModelError
from leanseek.types import Float32Array

_ASKED_AT_ONCE = 500
_CHUNK = 256


def encode_corpus(
    encoder: Encoder,
    texts: Sequence[str],
    cache: VectorCache | None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Float32Array, TruncationReport]:
    """Vectors (n, D) float32 of documents, through the cache, and what was cut.

    A text that stands there several times is encoded once. New vectors are kept after every few hundred
    texts, so that an interrupted call goes on from there when it is repeated. `progress` is called with
    the number of texts done so far, first with those found in the cache, last with n.
    """
    vectors: Float32Array = np.empty((len(texts), encoder.dimensions), dtype=np.float32)
    tokens: Int32Array = np.zeros(len(texts), dtype=np.int32)
    places: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        places.setdefault(text, []).append(place)

    done = 0
    missing: list[str] = []
    distinct = list(places)
    for start in range(0, len(distinct), _ASKED_AT_ONCE):
        part = distinct[start : start + _ASKED_AT_ONCE]
        for text, known in zip(
            part, cache.get("document", part) if cache else [None] * len(part), strict=True
        ):
            if known is None:
                missing.append(text)
                continue
            vectors[places[text]], tokens[places[text]] = known
            done += len(places[text])
    if progress is not None:
        progress(done)

    for start in range(0, len(missing), _CHUNK):
        part = missing[start : start + _CHUNK]
        encoded = encoder.encode_documents(part)
        faulty = np.flatnonzero(~np.isfinite(encoded.vectors).all(axis=1))
        if len(faulty):
            raise ModelError(
                f"the encoder '{encoder.name}' gave NaN or infinite values for {len(faulty)} of {len(part)} "
                f"texts, first for {part[faulty[0]][:80]!r}; they have no similarity to anything"
            )
        if cache is not None:
            cache.put("document", part, encoded)
        for text, vector, count in zip(part, encoded.vectors, encoded.tokens, strict=True):
            vectors[places[text]], tokens[places[text]] = vector, count
            done += len(places[text])
        if progress is not None:
            progress(done)
    return vectors, TruncationReport.of(tokens, encoder.max_tokens)
