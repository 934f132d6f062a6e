"""The protocol of encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from leanseek.types import Float32Array


class Encoded(NamedTuple):
    """`vectors` (n, D) float32, L2-normalised; `tokens` (n,) int32, each text's length before any cut."""

    vectors: Float32Array
    tokens: NDArray[np.int32]


class Encoder(Protocol):
    """Turns texts into vectors whose inner product is their similarity.

    The vector of a text does not depend on the other texts of its call (within 1e-5). A text longer than
    `max_tokens` is cut there; `Encoded.tokens` says by how much. An empty text gives a finite vector.
    """

    @property
    def name(self) -> str:
        """What `load_encoder` takes to load this encoder again."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that shapes a vector: weights, tokenizer, pooling, prompts, precision."""
        ...

    @property
    def dimensions(self) -> int:
        """D, the length of a vector."""
        ...

    @property
    def max_tokens(self) -> int | None:
        """The longest input in tokens, special tokens included; None where there is no limit."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Vectors (n, D) of queries, with the model's own query prompt."""
        ...

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Vectors (n, D) of passages, with the model's own document prompt."""
        ...
