"""Encodes a corpus through the vector cache, and reports what the encoder had to cut."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from leanseek.encode.base import Encoder
from leanseek.encode.cache import Cached, VectorCache, cached_as
from leanseek.errors import ModelError, UsageError
from leanseek.types import Float32Array, Int32Array

if TYPE_CHECKING:
    from leanseek.encode.learned_vectors import LearnedEncoder

_WORDS_PER_TOKEN = 0.6
_LOOKED_UP = 500
"""Texts that are looked up in the cache at a time."""
_ENCODED = 256
"""Texts that are encoded before their vectors are stored."""

Tick = Callable[[int], None]
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class TruncationReport:
    """Counts over encoded documents, in tokens of the encoder, special tokens included.

    `tokens` is the length of all documents before any cut, `tokens_lost` how many of those were not
    encoded, `truncated` how many documents were cut. `max_tokens` is the encoder's limit, None without one.
    Reports of one encoder add up.
    """

    documents: int = 0
    tokens: int = 0
    truncated: int = 0
    tokens_lost: int = 0
    max_tokens: int | None = None

    @classmethod
    def of(cls, tokens: NDArray[np.int32] | Sequence[int], max_tokens: int | None) -> TruncationReport:
        """The report over documents of `tokens` (n,) tokens each."""
        lengths = np.asarray(tokens, dtype=np.int64)
        lost = np.maximum(lengths - max_tokens, 0) if max_tokens is not None else np.zeros_like(lengths)
        return cls(len(lengths), int(lengths.sum()), int((lost > 0).sum()), int(lost.sum()), max_tokens)

    def __add__(self, other: TruncationReport) -> TruncationReport:
        """The report over both sets of documents.

        Raises:
            UsageError: the two come from encoders with different limits.
        """
        if self.documents and other.documents and self.max_tokens != other.max_tokens:
            raise UsageError(
                f"Reports with limits of {self.max_tokens} and {other.max_tokens} tokens do not add up; "
                "add those of one encoder."
            )
        return TruncationReport(
            self.documents + other.documents,
            self.tokens + other.tokens,
            self.truncated + other.truncated,
            self.tokens_lost + other.tokens_lost,
            self.max_tokens if self.documents else other.max_tokens,
        )

    def since(self, earlier: TruncationReport) -> TruncationReport:
        """What has come to an earlier report to make this one."""
        return TruncationReport(
            self.documents - earlier.documents,
            self.tokens - earlier.tokens,
            self.truncated - earlier.truncated,
            self.tokens_lost - earlier.tokens_lost,
            self.max_tokens,
        )

    def query_sentence(self) -> str:
        """The report for people where the texts are queries; empty if nothing was cut."""
        if not self.truncated:
            return ""
        queries = "query" if self.truncated == 1 else "queries"
        return (
            f"{self.truncated:,} {queries} cut at the encoder's {self.max_tokens:,} tokens: "
            f"{_count(self.tokens_lost, 'token')} lost."
        )

    def sentence(self) -> str:
        """The report for people, with the option that avoids a loss."""
        if not self.documents:
            return "No documents were encoded."
        encoded = f"{_count(self.documents, 'document')}, {_count(self.tokens, 'token')}"
        if self.max_tokens is None:
            return f"{encoded}: nothing was cut (this encoder reads texts of any length)."
        if not self.truncated:
            return f"{encoded}: nothing was cut (all fit the encoder's {self.max_tokens:,} tokens)."
        words = words_that_fit(self.max_tokens)
        were = "was" if self.truncated == 1 else "were"
        return (
            f"{self.truncated:,} of {_count(self.documents, 'document')} "
            f"({self.truncated / self.documents:.1%}) {were} longer than the encoder's "
            f"{self.max_tokens:,} tokens and {were} cut: {self.tokens_lost:,} of "
            f"{_count(self.tokens, 'token')} ({self.tokens_lost / self.tokens:.1%}) "
            "cannot be found by meaning. To encode everything, split documents with --chunk WORDS "
            f"(--chunk {words} fits)."
        )


def words_that_fit(tokens: int) -> int:
    """How many words of English have about so many tokens."""
    return max(10, int(tokens * _WORDS_PER_TOKEN) // 10 * 10)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def through_cache(
    texts: Sequence[str],
    look_up: Callable[[Sequence[str]], Sequence[Row | None]] | None,
    compute: Callable[[Sequence[str]], Iterable[Row]],
    progress: Tick | None = None,
) -> Iterator[tuple[list[int], Row]]:
    """The places of each distinct text with what `look_up` knows of it, or `compute` makes of it.

    `compute` is given a few hundred texts at a time and stores what it makes of them, so that an interrupted call goes
    on from there when it is repeated. `progress` is called with the number of texts done so far, first with those that
    were known, last with all.
    """
    places: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        places.setdefault(text, []).append(place)

    done = 0
    missing: list[str] = []
    distinct = list(places)
    for start in range(0, len(distinct), _LOOKED_UP):
        part = distinct[start : start + _LOOKED_UP]
        for text, known in zip(part, look_up(part) if look_up else [None] * len(part), strict=True):
            if known is None:
                missing.append(text)
                continue
            yield places[text], known
            done += len(places[text])
    if progress is not None:
        progress(done)

    for start in range(0, len(missing), _ENCODED):
        part = missing[start : start + _ENCODED]
        for text, made in zip(part, compute(part), strict=True):
            yield places[text], made
            done += len(places[text])
        if progress is not None:
            progress(done)


def encode_corpus(
    encoder: Encoder,
    texts: Sequence[str],
    cache: VectorCache | None,
    progress: Tick | None = None,
) -> tuple[Float32Array, TruncationReport]:
    """Vectors (n, D) float32 of documents, through the cache, and what was cut.

    A repeated text is encoded once. New vectors are stored after every few hundred texts, and `progress` is called
    with the texts done so far (see `through_cache`).
    """
    vectors: Float32Array = np.empty((len(texts), encoder.dimensions), dtype=np.float32)
    tokens: Int32Array = np.zeros(len(texts), dtype=np.int32)

    def compute(part: Sequence[str]) -> Iterable[Cached]:
        encoded = encoder.encode_documents(part)
        faulty = np.flatnonzero(~np.isfinite(encoded.vectors).all(axis=1))
        if len(faulty):
            raise ModelError(
                f"the encoder '{encoder.name}' gave NaN or infinite values for {len(faulty)} of {len(part)} "
                f"texts, first for {part[faulty[0]][:80]!r}; they have no similarity to anything"
            )
        if cache is not None:
            cache.put("document", part, encoded)
        return map(Cached, encoded.vectors, encoded.tokens)

    look_up = (lambda part: cache.get("document", part)) if cache is not None else None
    for places, row in through_cache(texts, look_up, compute, progress):
        vectors[places], tokens[places] = row
    return vectors, TruncationReport.of(tokens, encoder.max_tokens)


@dataclass(frozen=True)
class Encoding:
    """How the index writer gets vectors of texts, and the queries that the user gave to learn from."""

    encoder: Encoder
    documents: Callable[[Sequence[str], Tick], tuple[Float32Array, TruncationReport]]
    queries: Callable[[Sequence[str]], Float32Array]
    learning_queries: Sequence[str] = ()
    tokens: Callable[[Sequence[str]], Int32Array] | None = None
    """The lengths (n,) of documents in tokens; None for an encoder that cannot count without encoding."""
    device: str | None = None
    """Where vectors are indexed, one of torch's devices; None is the CPU."""


def make_encoding(
    encoder: Encoder, learning_queries: Sequence[str], cache: bool, device: str | None = None
) -> Encoding:
    """Encoding by `encoder`, documents through the vector cache unless `cache` is False.

    Threads take turns: an encoder of one's own need not be safe to share. Vectors are indexed on the `device` that is
    named, whatever the encoder; where none is, on the CUDA card that torch runs the encoder on, if it does.
    """
    vectors = VectorCache(cached_as(encoder)) if cache else None
    turn = threading.Lock()

    def documents(texts: Sequence[str], tick: Tick) -> tuple[Float32Array, TruncationReport]:
        with turn, encoder_errors(encoder):
            return encode_corpus(encoder, texts, vectors, tick)

    def queries(texts: Sequence[str]) -> Float32Array:
        with turn, encoder_errors(encoder):
            return encoder.encode_queries(texts).vectors

    count = getattr(encoder, "count_tokens", None)
    its_own = str(getattr(encoder, "device", None))
    device = device or (its_own if its_own.startswith("cuda") else None)
    return Encoding(encoder, documents, queries, learning_queries, count, device)


@contextmanager
def encoder_errors(encoder: Encoder | LearnedEncoder) -> Iterator[None]:
    """Raise ModelError for an encoder that cannot read its own files, rather than the index's disk error."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise ModelError(f"the encoder '{encoder.name}' failed: {reason}") from error
