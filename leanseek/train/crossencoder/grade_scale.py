"""Scores that mean grades: a cross-encoder's scale tied to people's judgments, so that two trainings agree on it.

What a score of 3.1 says depends on the seed of a training. After scaling it says what people would have judged:
thresholds, mixes and reports that were made with one model hold for the next.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from leanseek.errors import InputError, ModelError, UsageError
from leanseek.eval.index_build import collection_index
from leanseek.eval.systems import System
from leanseek.files import draft_folder
from leanseek.rerank import RerankOptions
from leanseek.rerank.crossencoder import Calibration, load
from leanseek.rerank.crossencoder.cross_encoder import CrossEncoderReranker, resolve_cross_encoder
from leanseek.rerank.crossencoder.packed import PACKAGED
from leanseek.rerank.crossencoder.torch_pairs import load_cross_encoder
from leanseek.searcher.searcher import Searcher
from leanseek.train.training_set import FEWEST_QUERIES, Source, check_out, write_provenance
from leanseek.types import Document, Float64Array, Hit, Int64Array, Progress

PER_GRADE: Final = 8
"""Documents of each grade that a query gives at most: some collections judge hundreds for one query."""
UNJUDGED: Final = 100
"""Hits of the hybrid search, as many as are usually re-ranked: those that nobody has judged count as irrelevant."""
PASSES: Final = 60
"""Halvings of the interval in which the slope lies: to the last bit of a float."""


class ScaledGrade(NamedTuple):
    """The judged pairs of one grade, and the mean of their scores before and after."""

    grade: int
    pairs: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class GradeScale:
    """score' = slope * score + intercept, and what it makes of the judged pairs of each grade."""

    slope: float
    intercept: float
    grades: tuple[ScaledGrade, ...]


class JudgedDocument(NamedTuple):
    """A document and its grade for a query, 0 where it is irrelevant."""

    document: Document
    grade: int


def calibrate_grades(
    model: str,
    sources: Sequence[Source],
    out: Path,
    *,
    most: int | None = 300,
    seed: int = 0,
    work: Path = Path("results"),
    device: str | None = None,
    progress: Progress | None = None,
) -> GradeScale:
    """Write the cross-encoder `model` into the folder `out` with scores on the scale of the sources' grades.

    The scale is built into the last layer's weights: the order of hits is the same, on every back end, at no cost.
    A calibration in the model's folder is carried over, so that probabilities stay what they were. `most` queries are
    drawn from each source (None: all), which is indexed below `work`: hits of the hybrid search that nobody has judged
    have grade 0, too.

    Raises UsageError where `out` holds something else or there are too few queries, InputError where the judgments
    have no two grades, ModelError where the model's scores do not rise with the grades.
    """
    check_out(out)
    folder = resolve_cross_encoder(_named(model)).path
    scorer = raw_scorer(model, device)
    judged = judged_queries(sources, most, seed, work, device, progress)
    if len(judged) < FEWEST_QUERIES:
        raise UsageError(
            f"there are {len(judged)} judged queries; a scale needs at least {FEWEST_QUERIES}. Add collections or "
            "splits"
        )
    scale = fit_grades(
        raw_scores(scorer, judged, progress),
        np.array([one.grade for documents in judged.values() for one in documents], np.int64),
        np.repeat(np.arange(len(judged)), [len(documents) for documents in judged.values()]),
    )
    with draft_folder(out) as draft:
        write_scaled(folder, scale, draft)
        write_provenance(
            draft,
            {
                "base": model,
                "sources": [
                    {"collection": one.name, "split": split, "checksum": one.checksum}
                    for one, split in sources
                ],
                "most": most,
                "seed": seed,
                **asdict(scale),
            },
        )
    return scale


def _named(model: str) -> str:
    """The cross-encoder as its loader takes it."""
    name = model.removeprefix("cross-encoder:")
    return PACKAGED if name == "cross-encoder" else name


def raw_scorer(model: str, device: str | None = None) -> CrossEncoderReranker:
    """The cross-encoder in torch, whose last layer is what the scale goes into. Raises what its loading does."""
    return load(RerankOptions(f"torch:{_named(model)}", device, cache=False))


def raw_scores(
    scorer: CrossEncoderReranker,
    judged: Mapping[str, Sequence[JudgedDocument]],
    progress: Progress | None = None,
) -> Float64Array:
    """(n,) the scores of each query's documents, one query after another."""
    hits = [
        [Hit(rank, one.id, 0.0, one.title, one.text, {}) for rank, (one, _) in enumerate(documents, 1)]
        for documents in judged.values()
    ]
    found = scorer.judge(list(judged), hits, progress=progress)
    return np.concatenate([np.asarray(one.scores, np.float64) for one in found])


def judged_queries(
    sources: Sequence[Source],
    most: int | None,
    seed: int,
    work: Path,
    device: str | None = None,
    progress: Progress | None = None,
) -> dict[str, list[JudgedDocument]]:
    """The judged documents of each query's text, as `judged_documents` draws them from each source."""
    judged: dict[str, list[JudgedDocument]] = {}
    for source in sources:
        for text, documents in judged_documents(source, most, seed, work, device, progress):
            judged.setdefault(text, []).extend(documents)
    return judged


def judged_documents(
    source: Source, most: int | None, seed: int, work: Path, device: str | None, progress: Progress | None
) -> Iterator[tuple[str, list[JudgedDocument]]]:
    """The split's queries and their judged documents, at most `PER_GRADE` of each grade, drawn by the `seed`."""
    collection, split = source
    qrels = collection.qrels(split)
    queries = [query for query in collection.queries(split) if qrels.get(query.id)]
    draw = random.Random(f"{seed} {collection.name} {split}")
    if most is not None and len(queries) > most:
        queries = draw.sample(queries, most)
    judged = {query.id: {name: max(grade, 0) for name, grade in qrels[query.id].items()} for query in queries}
    folder = collection_index(collection, System().plan(device), work, progress=progress).folder
    with Searcher.open(folder, relevance=None, device=device) as searcher:
        found = searcher.rank_batch([query.text for query in queries], UNJUDGED, progress=progress)
    for query, ranking in zip(queries, found, strict=True):
        itself = {query.id} if collection.self_hits else set()
        others = [one.id for one in ranking if one.id not in itself]
        judged[query.id] = {**dict.fromkeys(others, 0), **judged[query.id]}
    wanted = {
        query.id: [
            (name, grade)
            for grade in sorted(set(judged[query.id].values()))
            for name in drawn(draw, sorted(one for one, its in judged[query.id].items() if its == grade))
        ]
        for query in queries
    }
    names = {name for some in wanted.values() for name, _ in some}
    documents = {document.id: document for document in collection.documents() if document.id in names}
    for query in queries:
        here = [
            JudgedDocument(documents[name], grade) for name, grade in wanted[query.id] if name in documents
        ]
        if here:
            yield query.text, here


def drawn(draw: random.Random, names: Sequence[str]) -> Sequence[str]:
    """At most `PER_GRADE` of the names."""
    return names if len(names) <= PER_GRADE else draw.sample(names, PER_GRADE)


def fit_grades(scores: Float64Array, grades: Int64Array, owners: Int64Array) -> GradeScale:
    """The scale of pairs' raw `scores` (n,) by their `grades` (n,), of the queries `owners` (n,).

    Minimised is the mean of (a s + b - g)^2, in which each grade weighs the same, plus the mean over pairs of one query
    with g > g' of max(0, (g - g') - a (s - s')): absolute anchors, and distances within a query (human-anchored
    fine-tuning: Zou et al., Pre-trained Language Model based Ranking in Baidu Search, KDD 2021). It is convex in a, and
    b follows.

    Raises InputError for fewer than two grades, ModelError where a would not be positive.
    """
    kinds, places, counts = np.unique(grades, return_inverse=True, return_counts=True)
    if len(kinds) < 2:
        raise InputError(
            f"all {len(grades):,} judged pairs have the grade {kinds.tolist()}; a scale needs two grades or more"
        )
    weights = 1.0 / (len(kinds) * counts[places])
    mean_score, mean_grade = float(weights @ scores), float(weights @ grades)
    variance = float(weights @ (scores - mean_score) ** 2)
    covariance = float(weights @ ((scores - mean_score) * (grades - mean_grade)))
    gaps, margins = np.concatenate(list(distances(scores, grades, owners)) or [np.zeros((2, 0))], axis=1)

    def falls(slope: float) -> bool:
        """Whether the loss still falls at a slope."""
        short = gaps[margins > slope * gaps]
        return bool(2 * slope * variance - 2 * covariance - short.sum() / max(len(gaps), 1) < 0)

    low, high = 0.0, 1.0
    if variance == 0 or not falls(0.0):
        raise ModelError(
            "the model's scores do not rise with the grades, so that no scale of them means grades; is it a model for "
            "these texts and this language?"
        )
    while falls(high):
        low, high = high, 2 * high
    for _ in range(PASSES):
        middle = (low + high) / 2
        low, high = (middle, high) if falls(middle) else (low, middle)
    slope, intercept = high, mean_grade - high * mean_score
    found = [scores[places == place].mean() for place in range(len(kinds))]
    return GradeScale(
        float(slope),
        float(intercept),
        tuple(
            ScaledGrade(int(grade), int(count), float(mean), float(slope * mean + intercept))
            for grade, count, mean in zip(kinds, counts, found, strict=True)
        ),
    )


def distances(scores: Float64Array, grades: Int64Array, owners: Int64Array) -> Iterator[Float64Array]:
    """(2, m) of each query: how far the scores of two of its pairs are apart, and how far their grades, where the first
    has the higher grade."""
    for owner in np.unique(owners):
        mine = np.flatnonzero(owners == owner)
        higher, lower = np.nonzero(grades[mine][:, None] > grades[mine][None, :])
        first, second = mine[higher], mine[lower]
        yield np.stack([scores[first] - scores[second], (grades[first] - grades[second]).astype(np.float64)])


def write_scaled(folder: Path, scale: GradeScale, target: Path) -> None:
    """Write the cross-encoder in a folder with its scores on another scale.

    Raises ModelError where its last layer has no bias to take the intercept.
    """
    import torch

    model: Any = load_cross_encoder(folder, "cpu")
    last = [one for one in model.modules() if isinstance(one, torch.nn.Linear) and one.out_features == 1][-1:]
    if not last or last[0].bias is None:
        raise ModelError(
            f"the model in {folder} ends in no linear layer with a bias, which a scale could be built into"
        )
    with torch.no_grad():
        last[0].weight.mul_(scale.slope)
        last[0].bias.mul_(scale.slope).add_(scale.intercept)
    model.save_pretrained(str(target))
    if (known := Calibration.of(folder)) is not None:
        slope = known.slope / scale.slope
        Calibration(slope, known.intercept - slope * scale.intercept, known.pairs).write(target)
