"""Which groups a training step takes together."""

from __future__ import annotations

import random
from itertools import chain

import pytest

pytest.importorskip("sentence_transformers")
datasets = pytest.importorskip("datasets")

DRAW = random.Random(7)
GROUPS = datasets.Dataset.from_dict(
    {"docs": [["x" * DRAW.randint(1, 900) for _ in range(3)] for _ in range(203)]}
)
LONGEST = [max(map(len, passages)) for passages in GROUPS["docs"]]


def batches(epoch: int = 0, seed: int = 0, drop_last: bool = False) -> list[list[int]]:
    from leanseek.train.similar_lengths import SimilarLengths

    sampler = SimilarLengths(GROUPS, batch_size=4, drop_last=drop_last, seed=seed)
    sampler.set_epoch(epoch)
    found = list(sampler)
    assert len(found) == len(sampler)
    return found


def padding(found: list[list[int]]) -> int:
    return sum(max(LONGEST[place] for place in batch) - LONGEST[one] for batch in found for one in batch)


def test_every_group_comes_once_an_epoch_in_an_order_of_the_epoch_s_own() -> None:
    first = batches()
    assert sorted(chain.from_iterable(first)) == list(range(203))
    assert first == batches() and first != batches(epoch=1) and first != batches(seed=1)
    assert {len(batch) for batch in batches(drop_last=True)} == {4}


def test_groups_of_a_batch_are_about_as_long() -> None:
    anyhow = list(range(203))
    random.Random(1).shuffle(anyhow)
    assert padding(batches()) < padding([anyhow[at : at + 4] for at in range(0, 203, 4)]) / 5
