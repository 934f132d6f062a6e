"""The BM25 family: one shape for five formulas.

For a query term t with frequency q in the query, f in the passage, document frequency n of N, and a passage of
l terms where the average is L, all variants are

    score = constant + sum over shared t of weight(t) * f / (f + norm(l)),   norm = scale * (1 - b + b * l / L)

| variant | weight(t) / q | scale | constant, a sum over the query's terms in the index |
|---|---|---|---|
| lucene | ln(1 + (N - n + .5) / (n + .5)) | k1 | 0 |
| robertson | max(0, ln((N - n + .5) / (n + .5))) | k1 | 0 |
| atire | (k1 + 1) ln(N / n) | k1 | 0 |
| bm25plus | (k1 + 1) ln((N + 1) / n) | k1 | q delta ln((N + 1) / n) |
| bm25l | (k1 + 1) k1 / (k1 + delta) ln((N + 1) / (n + .5)) | k1 + delta | q (k1 + 1) delta / (k1 + delta) ln(...) |

The last two give a passage something for each query term it lacks, which is the constant; for bm25l the rest
follows from subtracting that from its own formula. Kamphuis, de Vries, Boytsov and Lin: Which BM25 Do You Mean?
(ECIR 2020); Lü: BM25S (2024), whose scores these are. A term that the query repeats counts as often, as in
Lucene and bm25s. With lossy lengths l is rounded down to what Lucene keeps of it in a byte; L stays exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from leanseek.errors import UsageError
from leanseek.types import Float32Array


class Bm25Variant(StrEnum):
    """The formulas, by the names that bm25s gave them (its `bm25+` is `bm25plus` here)."""

    LUCENE = "lucene"
    ROBERTSON = "robertson"
    ATIRE = "atire"
    BM25L = "bm25l"
    BM25PLUS = "bm25plus"


@dataclass(frozen=True, slots=True)
class Bm25Parameters:
    """A variant and its constants; the defaults are Anserini's for passages and documents alike.

    `k1` >= 0: how slowly repetitions of a term saturate. `b` in [0, 1]: how much a long passage is penalised.
    `delta` >= 0: what bm25l and bm25plus add for long passages; the others have no such term.
    `lossy_lengths`: lengths are rounded as Lucene rounds them.
    Raises UsageError for values outside those.
    """

    variant: Bm25Variant = Bm25Variant.LUCENE
    k1: float = 0.9
    b: float = 0.4
    delta: float = 0.5
    lossy_lengths: bool = False

    def __post_init__(self) -> None:
        for name, value, most in (
            ("k1", self.k1, math.inf),
            ("b", self.b, 1.0),
            ("delta", self.delta, math.inf),
        ):
            if not (math.isfinite(value) and 0 <= value <= most):
                limits = "from 0 to 1" if most == 1.0 else "0 or more"
                raise UsageError(f"BM25's {name} is {value}; it must be {limits}.")


_EXACT_LENGTHS = 24
"""Lucene spends the values of a byte that its four-bit floats leave free on the shortest lengths."""


@dataclass(frozen=True, slots=True)
class LengthNorm:
    """norm(l) = `base` + `slope` * l, computed in float64 and rounded once; `lossy`: l is rounded down first."""

    base: float
    slope: float
    lossy: bool = False

    def of(self, lengths: NDArray[np.int32]) -> Float32Array:
        """(n,) float32 norms of passages with these lengths (n,)."""
        return (self.base + self.slope * self.counted(lengths).astype(np.float64)).astype(np.float32)

    def counted(self, lengths: NDArray[np.int32]) -> NDArray[np.int32]:
        """(n,) int32: the lengths (n,) as they count; the shortest of several stays the shortest."""
        return round_lengths(lengths) if self.lossy else lengths


def round_lengths(lengths: NDArray[np.int32]) -> NDArray[np.int32]:
    """(n,) int32: lengths (n,) rounded down as Lucene's SmallFloat keeps them in one byte.

    Exact up to 40; from there, what a length has over 24 keeps its four highest bits.
    """
    over = lengths.astype(np.int64) - _EXACT_LENGTHS
    # frexp is exact here, and gives the number of bits as the exponent.
    dropped = np.maximum(np.frexp(over.astype(np.float64))[1] - 4, 0)
    rounded = (over >> dropped << dropped) + _EXACT_LENGTHS
    return np.where(over > 0, rounded, lengths).astype(np.int32)


def length_norm(parameters: Bm25Parameters, average_length: float) -> LengthNorm:
    """The norm for a collection; an empty one counts as one of average length 1."""
    scale = parameters.k1
    if parameters.variant is Bm25Variant.BM25L:
        scale += parameters.delta
    slope = scale * parameters.b / (average_length or 1.0)
    return LengthNorm(scale * (1.0 - parameters.b), slope, parameters.lossy_lengths)


@dataclass(frozen=True, slots=True)
class TermWeight:
    """What a term contributes per occurrence in the query."""

    weight: float
    constant: float


def inverse_document_frequency(passages: int, frequency: int) -> float:
    """ln(1 + (N - n + .5) / (n + .5)) of a term that `frequency` of `passages` contain; 0 where none does."""
    if frequency == 0:
        return 0.0
    return math.log(1 + (passages - frequency + 0.5) / (frequency + 0.5))


def term_weight(parameters: Bm25Parameters, passages: int, frequency: int) -> TermWeight:
    """Weight and constant of a term that `frequency` >= 1 of `passages` contain."""
    total, df, k1, delta = passages, frequency, parameters.k1, parameters.delta
    variant = parameters.variant
    if variant is Bm25Variant.LUCENE:
        return TermWeight(inverse_document_frequency(total, df), 0.0)
    if variant is Bm25Variant.ROBERTSON:
        return TermWeight(math.log(max(1.0, (total - df + 0.5) / (df + 0.5))), 0.0)
    if variant is Bm25Variant.ATIRE:
        return TermWeight((k1 + 1) * math.log(total / df), 0.0)
    if variant is Bm25Variant.BM25PLUS:
        idf = math.log((total + 1) / df)
        return TermWeight((k1 + 1) * idf, delta * idf)
    idf = (k1 + 1) * math.log((total + 1) / (df + 0.5))
    if k1 + delta == 0:
        # Each term a passage has then counts fully, and none that it lacks.
        return TermWeight(idf, 0.0)
    return TermWeight(idf * k1 / (k1 + delta), idf * delta / (k1 + delta))
