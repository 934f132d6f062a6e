"""Training groups of a cross-encoder: a query, a passage that answers it, and hard negatives mined by search."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sentence_transformers.base.sampler import DefaultBatchSampler

from leanseek.errors import InputError
from leanseek.eval.base import Collection
from leanseek.searcher.searcher import Searcher
from leanseek.types import Progress, content

DEPTH = 30
"""How many of the best of the sparse and of the dense ranking negatives are drawn from."""

POOL = 32
"""Batches among which groups are sorted by length: more would save little padding and mix the groups less."""


class Group(NamedTuple):
    """A query and passages, the relevant one first; the others were drawn from `drawn_from` such passages."""

    query: str
    passages: list[str]
    drawn_from: int


class Mined(NamedTuple):
    """A group by its documents' ids."""

    query: str
    positive: str
    negatives: list[str]
    drawn_from: int


def mine(
    collection: Collection,
    split: str,
    searcher: Searcher,
    *,
    negatives: int,
    seed: int,
    most: int | None = None,
    progress: Progress | None = None,
) -> list[Group]:
    """One group of a positive and at most `negatives` others for each judged query of a split.

    Negatives are drawn from the best `DEPTH` of both sides of the hybrid search: judged irrelevant, or not judged.
    With negatives from one ranking alone the model would learn to distrust that ranking. None is left out for
    being near the query, as positive-aware mining does (Moreira et al., NV-Retriever, arXiv:2407.15831): the model
    sees the cosine itself, and would learn that an answer always has the highest. Of several positives one is
    drawn. `most` queries are drawn, None takes all.

    Raises InputError where no query has both.
    """
    qrels = collection.qrels(split)
    queries = [
        query for query in collection.queries(split) if any(grade > 0 for grade in qrels[query.id].values())
    ]
    draw = random.Random(f"{seed} {collection.name} {split}")
    if most is not None and len(queries) > most:
        queries = draw.sample(queries, most)
    texts = [query.text for query in queries]
    sides = [searcher.rank_batch(texts, DEPTH, mode=mode, progress=progress) for mode in ("sparse", "dense")]
    mined = []
    for query, *rankings in zip(queries, *sides, strict=True):
        judged = qrels[query.id]
        near = list(dict.fromkeys([*(ranked.id for ranking in rankings for ranked in ranking), *judged]))
        lacking = set(searcher.missing(judged)) | ({query.id} if collection.self_hits else set())
        one = choose(query.text, [name for name in near if name not in lacking], judged, negatives, draw)
        mined += [one] if one is not None else []
    groups = list(with_texts(mined, collection))
    if not groups:
        raise InputError(
            f"no query of the split '{split}' of '{collection.name}' has both a relevant document in the "
            "collection and another one; nothing can be learned from it"
        )
    return groups


def choose(
    query: str, near: Sequence[str], grades: Mapping[str, int], negatives: int, draw: random.Random
) -> Mined | None:
    """The documents of a query's group, from those `near` it; None without a positive or a negative."""
    positives = [name for name in near if grades.get(name, 0) > 0]
    others = [name for name in near if grades.get(name, 0) <= 0]
    if not positives or not others:
        return None
    positive = draw.choice(positives)
    return Mined(query, positive, draw.sample(others, min(negatives, len(others))), len(others))


def with_texts(mined: Sequence[Mined], collection: Collection) -> Iterator[Group]:
    """The groups with the documents' texts, without negatives that are copies of the positive's text."""
    needed = {identifier for one in mined for identifier in (one.positive, *one.negatives)}
    texts = {
        document.id: content(document.title, document.text)
        for document in collection.documents()
        if document.id in needed
    }
    for query, positive, negatives, drawn_from in mined:
        answer = texts[positive]
        others = [texts[identifier] for identifier in negatives if texts[identifier] != answer]
        if others:
            yield Group(query, [answer, *others], drawn_from)


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
