"""Groups to learn from: a query, a passage that answers it, and hard negatives mined by search."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from leanseek.errors import InputError
from leanseek.eval.base import Collection
from leanseek.searcher.searcher import Searcher
from leanseek.types import Progress, content

DEPTH = 30
"""How many of the best of the sparse and of the dense ranking negatives are drawn from."""

JUDGED_BY_TEACHER = 30
"""How many passages near a query a teacher scores: its mixed scores are relative to them."""


class Group(NamedTuple):
    """A query and passages, the most relevant one first, then those of lower grades, then irrelevant ones.

    The irrelevant ones were drawn from `drawn_from` such passages. `grades` are those of the first passages; the
    others have 0. `scores` are a teacher's, one for each passage; empty without a teacher.
    """

    query: str
    passages: list[str]
    drawn_from: int
    scores: Sequence[float] = ()
    grades: Sequence[int] = (1,)


class Mined(NamedTuple):
    """A group by its documents' ids, with their grades, and a teacher's scores of them, the positive's first.

    `others` begin with the documents whose grades lie between the positive's and 0, one of each grade.
    """

    query: str
    positive: str
    others: list[str]
    drawn_from: int
    grades: Sequence[int] = (1,)
    scores: Sequence[float] = ()

    def first(self, others: int) -> Mined:
        """The same with at most that many others, of which one at least is irrelevant."""
        graded = len(self.grades)
        partial = min(graded, others)
        places = [*range(partial), *range(graded, 1 + len(self.others))][: others + 1]
        return self._replace(
            others=[self.others[place - 1] for place in places[1:]],
            grades=self.grades[:partial],
            scores=[self.scores[place] for place in places] if self.scores else (),
        )


def mine(
    collection: Collection,
    split: str,
    searcher: Searcher,
    *,
    negatives: int,
    seed: int,
    most: int | None = None,
    teacher: Searcher | None = None,
    progress: Progress | None = None,
) -> list[Group]:
    """One group of a positive and at most `negatives` others for each judged query of a split.

    Negatives are drawn from the best `DEPTH` of both sides of the hybrid search: judged irrelevant, or not judged.
    With negatives from one ranking alone the model would learn to distrust that ranking. None is left out for
    being near the query, as positive-aware mining does (Moreira et al., NV-Retriever, arXiv:2407.15831): the model
    sees the cosine itself, and would learn that an answer always has the highest. Of several positives one is
    drawn, of the highest grade; where judgments are graded, one document of each lower grade takes the place of a
    negative. `most` queries are drawn, None takes all. The `teacher`, a search with its re-rankers over the same index,
    scores each group's passages among `JUDGED_BY_TEACHER` of those near the query. The groups are the same whatever
    the teacher, and fewer negatives are the first of more.

    Raises InputError where no query has both.
    """
    qrels = collection.qrels(split)
    queries = [
        query for query in collection.queries(split) if any(grade > 0 for grade in qrels[query.id].values())
    ]
    key = f"{seed} {collection.name} {split}"
    if most is not None and len(queries) > most:
        queries = random.Random(key).sample(queries, most)
    texts = [query.text for query in queries]
    sides = [searcher.rank_batch(texts, DEPTH, mode=mode, progress=progress) for mode in ("sparse", "dense")]
    drawn = negatives if teacher is None else max(negatives, JUDGED_BY_TEACHER - 1)
    mined = []
    for query, *rankings in zip(queries, *sides, strict=True):
        judged = qrels[query.id]
        near = list(dict.fromkeys([*(ranked.id for ranking in rankings for ranked in ranking), *judged]))
        lacking = set(searcher.missing(judged)) | ({query.id} if collection.self_hits else set())
        draw = random.Random(f"{key} {query.id}")
        one = choose(query.text, [name for name in near if name not in lacking], judged, drawn, draw)
        mined += [one] if one is not None else []
    if teacher is not None and mined:
        mined = scored_by(teacher, mined, progress)
    groups = list(with_texts([one.first(negatives) for one in mined], collection))
    if not groups:
        raise InputError(
            f"no query of the split '{split}' of '{collection.name}' has both a relevant document in the "
            "collection and another one; nothing can be learned from it"
        )
    return groups


def choose(
    query: str, near: Sequence[str], grades: Mapping[str, int], negatives: int, draw: random.Random
) -> Mined | None:
    """The documents of a query's group, from those `near` it, `negatives` of them irrelevant at most.

    None without a positive or a negative.
    """
    by_grade: dict[int, list[str]] = {}
    for name in near:
        by_grade.setdefault(max(0, grades.get(name, 0)), []).append(name)
    irrelevant = by_grade.pop(0, [])
    if not by_grade or not irrelevant:
        return None
    levels = sorted(by_grade, reverse=True)
    positive, *partial = [draw.choice(by_grade[level]) for level in levels]
    draw.shuffle(irrelevant)
    return Mined(query, positive, [*partial, *irrelevant[:negatives]], len(irrelevant), levels)


def scored_by(teacher: Searcher, mined: Sequence[Mined], progress: Progress | None = None) -> list[Mined]:
    """The same with the teacher's scores, each over all of the documents given."""
    candidates = [[one.positive, *one.others] for one in mined]
    texts, most = [one.query for one in mined], max(map(len, candidates))
    rankings = teacher.rank_batch(texts, most, candidates=candidates, progress=progress)
    scored = []
    for one, names, ranking in zip(mined, candidates, rankings, strict=True):
        scores = {ranked.id: ranked.score for ranked in ranking}
        scored.append(one._replace(scores=[scores[name] for name in names]))
    return scored


def with_texts(mined: Sequence[Mined], collection: Collection) -> Iterator[Group]:
    """The groups with the documents' texts, without others that are copies of the positive's text."""
    needed = {identifier for one in mined for identifier in (one.positive, *one.others)}
    texts = {
        document.id: content(document.title, document.text)
        for document in collection.documents()
        if document.id in needed
    }
    for query, positive, others, drawn_from, grades, scores in mined:
        answer = texts[positive]
        kept = [0, *(place for place, name in enumerate(others, 1) if texts[name] != answer)]
        graded = [place for place in kept if place < len(grades)]
        if len(kept) > len(graded):
            names = [positive, *others]
            yield Group(
                query,
                [texts[names[place]] for place in kept],
                drawn_from,
                [scores[place] for place in kept] if scores else (),
                [grades[place] for place in graded],
            )
