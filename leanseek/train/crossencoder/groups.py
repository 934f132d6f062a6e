"""What a cross-encoder learns from: a query with a passage that answers it and others that seem to."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from leanseek.errors import InputError
from leanseek.eval.base import Collection
from leanseek.searcher.searcher import Searcher
from leanseek.types import Progress, Ranked, content

DEPTH = 50
"""How deep in the hybrid ranking negatives are looked for."""
MARGIN = 0.95
"""A passage nearer to the query than this share of the positive's cosine may be an answer that nobody judged."""


class Group(NamedTuple):
    """A query and passages, the relevant one first; the others stand for `drawn_from` of their kind."""

    query: str
    passages: list[str]
    drawn_from: int


class Mined(NamedTuple):
    """The same by the documents' ids."""

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

    Negatives are drawn from the best `DEPTH` of the hybrid ranking: judged irrelevant, or not judged. Of those
    not judged, the ones whose cosine comes near the positive's are left out, being likely answers (positive-aware
    mining: Moreira et al., NV-Retriever, arXiv:2407.15831). Of several positives one is drawn. `most` queries are
    drawn, None takes all.

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
    found = searcher.rank_batch(texts, DEPTH, progress=progress)
    wanted = [
        list(dict.fromkeys([*(ranked.id for ranked in ranking), *qrels[query.id]]))
        for query, ranking in zip(queries, found, strict=True)
    ]
    deepest = max(map(len, wanted), default=1)
    cosines = searcher.rank_batch(texts, deepest, mode="dense", candidates=wanted)
    mined = [
        one
        for query, ranking in zip(queries, cosines, strict=True)
        if (
            one := choose(
                query.text,
                without(ranking, query.id if collection.self_hits else None),
                qrels[query.id],
                negatives,
                draw,
            )
        )
    ]
    groups = list(with_texts(mined, collection))
    if not groups:
        raise InputError(
            f"no query of the split '{split}' of '{collection.name}' has a relevant document in the collection and "
            "another to tell it from; nothing can be learned from it"
        )
    return groups


def without(ranking: Sequence[Ranked], identifier: str | None) -> list[Ranked]:
    """The ranking without one document."""
    return [ranked for ranked in ranking if ranked.id != identifier]


def choose(
    query: str, ranking: Sequence[Ranked], grades: Mapping[str, int], negatives: int, draw: random.Random
) -> Mined | None:
    """The documents of a query's group, from its candidates with their cosines; None where a kind is missing."""
    cosines = {ranked.id: ranked.score for ranked in ranking}
    positives = [identifier for identifier in cosines if grades.get(identifier, 0) > 0]
    if not positives:
        return None
    positive = draw.choice(positives)
    limit = MARGIN * cosines[positive]
    others = [
        identifier
        for identifier, cosine in cosines.items()
        if (grades[identifier] <= 0 if identifier in grades else cosine < limit)
    ]
    if not others:
        return None
    return Mined(query, positive, draw.sample(others, min(negatives, len(others))), len(others))


def with_texts(mined: Sequence[Mined], collection: Collection) -> Iterator[Group]:
    """The groups with the documents' texts; copies of the positive's text are no negatives."""
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
