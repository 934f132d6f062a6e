"""Which groups a training step takes together: those about as long."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from sentence_transformers.base.sampler import DefaultBatchSampler

POOL = 32
"""Batches among which groups are sorted by length: more would save little padding and mix the groups less."""


class SimilarLengths(DefaultBatchSampler):  # type: ignore[misc]
    """Batches of groups whose longest passages are about as long, so that little is computed for padding.

    The order is another in each epoch, and the same for the same seed and epoch.
    """

    def __init__(self, dataset: Any, batch_size: int, drop_last: bool, **kwargs: Any) -> None:
        super().__init__(dataset, batch_size=batch_size, drop_last=drop_last, **kwargs)
        self.lengths = list(map(longest, dataset))

    def __iter__(self) -> Iterator[list[int]]:
        draw = random.Random(f"{self.seed} {self.epoch}")
        order = list(range(len(self.lengths)))
        draw.shuffle(order)
        pool = POOL * self.batch_size
        batches = []
        for start in range(0, len(order), pool):
            alike = sorted(order[start : start + pool], key=self.lengths.__getitem__)
            batches += [alike[at : at + self.batch_size] for at in range(0, len(alike), self.batch_size)]
        if self.drop_last:
            batches = [batch for batch in batches if len(batch) == self.batch_size]
        draw.shuffle(batches)
        return iter(batches)


def longest(row: Mapping[str, Any]) -> int:
    """Characters of the longest text of a row: texts are in columns of their own, or a column is a list of them."""
    lists = [value if isinstance(value, list) else [value] for value in row.values()]
    return max(len(text) for texts in lists for text in texts if isinstance(text, str))
