"""What was cut off because texts were longer than the encoder reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import UsageError

_WORDS_PER_TOKEN = 0.6


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

    def sentence(self) -> str:
        """The report for people, with the option that avoids a loss."""
        if not self.documents:
            return "No documents were encoded."
        encoded = f"{_count(self.documents, 'document')}, {_count(self.tokens, 'token')}"
        if self.max_tokens is None:
            return f"{encoded}: nothing was cut (this encoder reads texts of any length)."
        if not self.truncated:
            return f"{encoded}: nothing was cut (all fit the encoder's {self.max_tokens:,} tokens)."
        words = max(10, int(self.max_tokens * _WORDS_PER_TOKEN) // 10 * 10)
        were = "was" if self.truncated == 1 else "were"
        return (
            f"{self.truncated:,} of {_count(self.documents, 'document')} "
            f"({self.truncated / self.documents:.1%}) {were} longer than the encoder's "
            f"{self.max_tokens:,} tokens and {were} cut: {self.tokens_lost:,} of "
            f"{_count(self.tokens, 'token')} ({self.tokens_lost / self.tokens:.1%}) "
            "cannot be found by meaning. To encode everything, split documents with --chunk WORDS "
            f"(--chunk {words} fits)."
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
