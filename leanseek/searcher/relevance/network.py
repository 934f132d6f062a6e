"""A small network that never falls where a candidate's features rise, however it bends with the query's list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from leanseek.types import Float32Array, Float64Array


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
