"""What a cross-encoder's back ends have in common: pairs of tokens in, logits out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from leanseek.rerank.crossencoder.layout import PairIds, PairLayout
from leanseek.types import Float32Array, Int64Array


class PairModel(Protocol):
    """Gives pairs their logits; a pair's does not depend on the others of its call, but for rounding."""

    name: str
    """What `load` takes to load it again."""
    fingerprint: str
    """Hex digest of weights, tokenizer and precision."""
    layout: PairLayout
    definition: str
    """The content of the tokenizer's tokenizer.json."""
    max_tokens: int | None
    """The longest pair, special tokens included; None where there is no limit."""
    budget: int
    """Tokens of a batch that runs fastest."""

    def logits(self, pairs: Sequence[PairIds]) -> Float32Array:
        """(n,) the raw scores of n pairs."""
        ...


class Padded(NamedTuple):
    """Pairs of one batch, (n, longest) int64 each; `mask` is 0 where there is padding."""

    ids: Int64Array
    types: Int64Array
    mask: Int64Array


def pad(pairs: Sequence[PairIds], pad_id: int, left: bool = False) -> Padded:
    """The pairs as arrays, filled up with `pad_id`, on the left where asked."""
    width = max(len(pair.ids) for pair in pairs)
    ids = np.full((len(pairs), width), pad_id, dtype=np.int64)
    types = np.zeros((len(pairs), width), dtype=np.int64)
    mask = np.zeros((len(pairs), width), dtype=np.int64)
    for row, pair in enumerate(pairs):
        length = len(pair.ids)
        place = slice(width - length, width) if left else slice(0, length)
        ids[row, place], types[row, place], mask[row, place] = pair.ids, pair.types, 1
    return Padded(ids, types, mask)
