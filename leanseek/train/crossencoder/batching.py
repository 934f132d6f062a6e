"""Which groups go through the model together."""

from __future__ import annotations

import random
from collections.abc import Iterator
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
        self.lengths = [max(map(len, passages)) for passages in dataset["docs"]]

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
