"""The contract between the two sides of a search and the list they become."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from leanseek.types import BoolArray, Float32Array


class Side(NamedTuple):
    """One side's view of the union of both sides' candidates, in ascending order of (id, part).

    `scores` (c,) float32: the exact, finite score of every candidate of the union on this side, also of
    those that only the other side returned. `found` (c,) bool: whether this side itself returned the
    candidate within its depth.
    """

    scores: Float32Array
    found: BoolArray


class Fusion(Protocol):
    """Makes one list of two.

    What every method keeps: the fused scores are finite; a candidate that is at least as good as another on
    both sides is never below it; nothing depends on how many queries are fused together; no candidates give
    an empty array.
    """

    def fuse(self, sparse: Side, dense: Side) -> Float32Array:
        """(c,) float32 fused scores of the union, higher is better, comparable only inside this query."""
        ...
