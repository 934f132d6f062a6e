"""The cosine adapter as published: the query's vector alone shapes a monotone map of the cosine.

Rossi, Lin, Liu, Yang, Lee, Magnani, Liao: "Relevance Filtering for Embedding-based Retrieval", CIKM 2024,
arXiv:2408.04887.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Literal, get_args

import numpy as np

from leanseek.types import Float32Array, Float64Array

MapName = Literal["linear", "sqrt", "quadratic", "power"]
MAPS: Final[tuple[MapName, ...]] = get_args(MapName)

LEAST_POWER: Final = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class QueryMap:
    """Log odds of candidates from their cosines c and the query's vector e (D,).

    h = relu(e @ hidden + hidden_bias); (a, b, p) = h @ output + output_bias; with c' = max(c, 0) the log odds are
    softplus(a) m(c') + b, where m is c' (linear), its square root, its square, or its power 0.25 + softplus(p).
    """

    kind: MapName
    hidden: Float32Array
    hidden_bias: Float32Array
    output: Float32Array
    output_bias: Float32Array

    def logits(self, cosines: Float64Array, query: Float64Array) -> Float64Array:
        """(c,) log odds of candidates with cosines (c,) for a query's vector (D,)."""
        inner = np.maximum(query @ self.hidden + self.hidden_bias, 0.0)
        slope, offset, power = inner @ self.output + self.output_bias
        base = np.maximum(cosines, 0.0)
        powers: dict[MapName, float] = {
            "linear": 1.0,
            "sqrt": 0.5,
            "quadratic": 2.0,
            "power": LEAST_POWER + float(np.logaddexp(0.0, power)),
        }
        mapped = base ** powers[self.kind]
        logits: Float64Array = np.logaddexp(0.0, slope) * mapped + offset
        return logits

    def tensors(self) -> dict[str, Float32Array]:
        """Its arrays, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "kind"}

    @classmethod
    def of(cls, tensors: Mapping[str, Float32Array], kind: str) -> QueryMap:
        """The map of the arrays that `tensors` gave. Raises ValueError or KeyError where they do not fit."""
        known = [name for name in MAPS if name == kind]
        if not known:
            raise ValueError(f"there is no map {kind!r}")
        names = [field.name for field in fields(cls) if field.name != "kind"]
        found = cls(known[0], *(tensors[name] for name in names))
        width = found.hidden.shape[-1]
        fits = (found.hidden.ndim, found.hidden_bias.shape, found.output.shape, found.output_bias.shape)
        if fits != (2, (width,), (width, 3), (3,)):
            raise ValueError(f"the arrays have shapes {fits} that do not fit together")
        if not all(np.isfinite(array).all() for array in found.tensors().values()):
            raise ValueError("there are values that are no numbers")
        return found
