"""How the writer makes vectors of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from leanseek.encode import Encoder, VectorCache, encode_corpus
from leanseek.encode.report import TruncationReport
from leanseek.errors import ModelError
from leanseek.types import Float32Array

Tick = Callable[[int], None]


@dataclass(frozen=True)
class Encoding:
    """How the writer makes vectors of texts, and which queries the user gave to learn from."""

    documents: Callable[[Sequence[str], Tick], tuple[Float32Array, TruncationReport]]
    queries: Callable[[Sequence[str]], Float32Array]
    learning_queries: Sequence[str] = ()


def make_encoding(encoder: Encoder, learning_queries: Sequence[str], cache: bool) -> Encoding:
    """Encoding by `encoder`, documents through the vector cache unless `cache` is False."""
    vectors = VectorCache(encoder.fingerprint) if cache else None

    def documents(texts: Sequence[str], tick: Tick) -> tuple[Float32Array, TruncationReport]:
        with encoder_errors(encoder):
            return encode_corpus(encoder, texts, vectors, tick)

    def queries(texts: Sequence[str]) -> Float32Array:
        with encoder_errors(encoder):
            return encoder.encode_queries(texts).vectors

    return Encoding(documents, queries, learning_queries)


@contextmanager
def encoder_errors(encoder: Encoder) -> Iterator[None]:
    """An encoder that cannot read its own files is no trouble of the index's disk."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise ModelError(f"the encoder '{encoder.name}' failed: {reason}") from error
