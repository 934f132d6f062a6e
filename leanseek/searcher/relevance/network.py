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


@dataclass(frozen=True, slots=True, eq=False)
class MonotoneNetwork:
    """Log odds of candidates from f features of each and g of the query's list.

    A list's features w are brought to a like scale: u = 4 tanh((w - centre) / (4 scale)). A candidate x has

        bias + x . direct + tanh(x @ candidate_hidden + u @ list_hidden + hidden_bias) @ output
             - depth * sigmoid(-(u @ gate + u @ gate_pairs @ u + gate_bias))

    Of `direct` (f,), `candidate_hidden` (f, h), `output` (h,) and `depth` (1,) nothing is negative, so the log odds
    never fall where a feature rises. The gate lowers a whole list that looks as lists do when nothing is to be found.
    """

    centre: Float32Array
    scale: Float32Array
    direct: Float32Array
    candidate_hidden: Float32Array
    list_hidden: Float32Array
    hidden_bias: Float32Array
    output: Float32Array
    bias: Float32Array
    gate: Float32Array
    gate_pairs: Float32Array
    gate_bias: Float32Array
    depth: Float32Array

    def logits(self, candidates: Float64Array, whole: Float64Array) -> Float64Array:
        """(c,) log odds of candidates (c, f) of a list with features `whole` (g,)."""
        return self.open_logits(candidates, whole) - self.closing(whole)

    def open_logits(self, candidates: Float64Array, whole: Float64Array) -> Float64Array:
        """(c,) log odds as if the gate were open."""
        scaled = 4.0 * np.tanh((whole - self.centre) / (4.0 * self.scale))
        shift = scaled @ self.list_hidden + self.hidden_bias
        hidden = np.tanh(candidates @ self.candidate_hidden + shift)
        logits: Float64Array = candidates @ self.direct + hidden @ self.output + self.bias[0]
        return logits

    def closing(self, whole: Float64Array) -> float:
        """What the gate takes off the log odds of a list's candidates."""
        scaled = 4.0 * np.tanh((whole - self.centre) / (4.0 * self.scale))
        opened = scaled @ self.gate + scaled @ self.gate_pairs @ scaled + self.gate_bias[0]
        return float(self.depth[0] / (1.0 + np.exp(np.clip(opened, -50.0, 50.0))))

    def tensors(self) -> dict[str, Float32Array]:
        """Its arrays, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of(cls, tensors: Mapping[str, Float32Array], candidate: int, whole: int) -> MonotoneNetwork:
        """The network of the arrays that `tensors` gave, for so many features of candidates and of lists.

        Raises ValueError or KeyError where they do not fit.
        """
        network = cls(**{field.name: tensors[field.name] for field in fields(cls)})
        hidden = len(network.output)
        shapes = {
            "centre": (whole,),
            "scale": (whole,),
            "direct": (candidate,),
            "candidate_hidden": (candidate, hidden),
            "list_hidden": (whole, hidden),
            "hidden_bias": (hidden,),
            "output": (hidden,),
            "bias": (1,),
            "gate": (whole,),
            "gate_pairs": (whole, whole),
            "gate_bias": (1,),
            "depth": (1,),
        }
        for name, shape in shapes.items():
            array = getattr(network, name)
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(
                    f"{name} has shape {array.shape}, not {shape}, or values that are no numbers"
                )
        for name in ("direct", "candidate_hidden", "output", "depth"):
            if (getattr(network, name) < 0).any():
                raise ValueError(f"{name} has negative values")
        if (network.scale <= 0).any():
            raise ValueError("scale has values that are not positive")
        return network
