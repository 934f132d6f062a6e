"""What the back ends of late interaction have in common: texts in, the vectors of their tokens out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from leanseek.encode import TruncationReport
from leanseek.encode.tokens import Int32Array
from leanseek.types import Float32Array


class TokenVectors(NamedTuple):
    """Of n texts: `tokens`, an array (tokens that count, d) float32 each, rows of length 1; `texts` (n, D) float32.

    `texts` are the vectors of the texts as a whole, of length 1; None where the model has none.
    """

    tokens: list[Float32Array]
    texts: Float32Array | None


class TokenModel(Protocol):
    """Reads texts, each by itself: a text's vectors do not depend on the others of the call, but for rounding."""

    name: str
    """What `load` takes to load it again."""
    fingerprint: str
    """Hex digest of weights, tokenizer and precision."""
    whole: bool
    """Whether it gives texts a vector as a whole, too."""
    passage_tokens: int | None
    """How many of a passage's tokens are read; None: all."""
    budget: int
    """Tokens of a batch that runs fastest."""

    def lengths(self, passages: Sequence[str]) -> Int32Array:
        """(n,) the passages' tokens, before any cut."""
        ...

    def cut_queries(self, texts: Sequence[str]) -> TruncationReport:
        """What is cut off n queries because they are longer than the model reads."""
        ...

    def queries(self, texts: Sequence[str]) -> TokenVectors:
        """The vectors of n queries, all read at once."""
        ...

    def passages(self, texts: Sequence[str]) -> TokenVectors:
        """The vectors of n passages, all read at once."""
        ...
