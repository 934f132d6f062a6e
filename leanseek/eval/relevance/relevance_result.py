"""A relevance model measured on a collection, beside control methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from leanseek.encode import DEFAULT_MODEL, Encoder
from leanseek.errors import UsageError
from leanseek.eval.base import Collection
from leanseek.eval.index_build import collection_index
from leanseek.eval.relevance.judged_lists import (
    BLOCK,
    JudgedQueries,
    judged_lists,
    judged_queries,
    query_vectors,
)
from leanseek.eval.relevance.relevance_scores import (
    Bin,
    RelevanceScores,
    controls,
    empty_share,
    measure,
    reliability,
    shares,
)
from leanseek.indexing.creation import make_plan
from leanseek.indexing.snapshot import Snapshot
from leanseek.numbers import zscore
from leanseek.searcher.fusion.registry import load_fusion
from leanseek.searcher.relevance.features import LEAST_SPREAD, LIST_DEPTH
from leanseek.searcher.relevance.list_curve import ListCurve
from leanseek.searcher.relevance.model import Judged, RelevanceModel, load_relevance
from leanseek.types import BoolArray, Float64Array, Progress

ADAPTER: Final = "adapter"


@dataclass(frozen=True, slots=True)
class Foreign:
    """Queries of another collection on this one's index: how many, and the share of them without any hit left.

    `empty`: by system, each at its threshold for 95 % recall on the index's own queries; `stored`: by the adapter at
    the threshold stored in it.
    """

    collection: str
    queries: int
    empty: Mapping[str, float]
    stored: float


@dataclass(frozen=True, slots=True)
class RelevanceResult:
    """What `evaluate_relevance` measured: `systems` by name, the adapter first; see `RelevanceScores`.

    `stored_threshold`, and at it the recall, the share dropped and the candidates left of a query. `relevant` of the
    `candidates` are relevant; relevant documents that are no candidates are not counted. `shift` is what the adapter's
    log odds were raised by, as the lists show how many documents are relevant to a query (`train relevance
    --unlabelled INDEX --queries` does so for an index); what is measured at the stored threshold is without it.
    """

    collection: str
    split: str
    mode: str
    queries: int
    k: int
    candidates: int
    relevant: int
    model: str
    trained_on: tuple[str, ...]
    systems: Mapping[str, RelevanceScores]
    reliability: tuple[Bin, ...]
    stored_threshold: float
    stored_recall: float
    stored_dropped: float
    stored_kept_per_query: float
    foreign: tuple[Foreign, ...]
    shift: float


def evaluate_relevance(
    collection: Collection,
    *,
    split: str = "test",
    mode: Judged = "dense",
    relevance: str | Path = "default",
    encoder: str | Encoder = DEFAULT_MODEL,
    k: int = LIST_DEPTH,
    foreign: Iterable[Collection] = (),
    out: Path,
    index: Path | None = None,
    device: str | None = None,
    cache: bool = True,
    progress: Progress | None = None,
) -> RelevanceResult:
    """Measure a relevance model on the judged queries of a split, pooled over queries, `k` candidates of each.

    The index is built below `out`, or in the folder `index`, and used again where it fits. Candidates come from a
    search in the `mode`; controls work on its scores. `foreign` are collections whose queries have nothing to find.

    Raises UsageError, InputError where there is nothing to measure, RelevanceFileError where the model is for
    another encoder, and what indexing raises.
    """
    if not 1 <= k <= LIST_DEPTH:
        raise UsageError(f"k is {k}; it must be from 1 to {LIST_DEPTH}, the candidates that a model sees")
    plan = make_plan(encoder=encoder, dense="flat", device=device)
    if plan.encoder is None:
        raise UsageError("a relevance model is for an encoder's vectors; give one with --encoder")
    model = load_relevance(relevance, plan.encoder.fingerprint)
    prepared = collection_index(collection, plan, out, index, cache=cache, progress=progress)
    snapshot = Snapshot.open(prepared.folder)
    model = model.at(snapshot.state.settings.background)
    try:
        queries = judged_queries(snapshot, collection, split, plan.encoder, cache)
        pool = pooled(model, snapshot, queries, mode, k, progress)
        strangers = {other.name: other_queries(other, plan.encoder, cache) for other in foreign}
        others = {
            name: pooled(model, snapshot, wanted, mode, k, progress) for name, wanted in strangers.items()
        }
    finally:
        snapshot.close()
    return summary(collection.name, split, mode, k, model, str(relevance), pool, others)


@dataclass(frozen=True, slots=True)
class Pool:
    """Lists of all queries: their scores, probabilities and which are relevant, each (c,) a query, and the strength of
    each query's best candidate."""

    scores: list[Float64Array]
    probabilities: list[Float64Array]
    relevant: list[BoolArray]
    best: list[float]


def pooled(
    model: RelevanceModel,
    snapshot: Snapshot,
    queries: JudgedQueries,
    mode: Judged,
    k: int,
    progress: Progress | None,
) -> Pool:
    """Every query's candidates with the model's probabilities."""
    pool = Pool([], [], [], [])
    for found in judged_lists(snapshot, queries, mode, load_fusion("convex"), k):
        pool.scores.append(found.scores.astype(np.float64))
        pool.probabilities.append(model.probabilities(found.evidence))
        pool.relevant.append(found.relevant)
        if len(found.scores):
            pool.best.append(model.best(found.evidence))
        if progress is not None and (len(pool.scores) % BLOCK == 0 or len(pool.scores) == len(queries.texts)):
            progress("scoring", len(pool.scores), len(queries.texts))
    return pool


def field_shift(model: RelevanceModel, pool: Pool, mode: Judged) -> float:
    """What the log odds of these queries rise by as their lists show how many documents are relevant to a query.

    No judgment is looked at; see `ListCurve.shift`. 0 for a model that looks at the query's vector alone.
    """
    curve = model.hybrid if mode == "hybrid" else model.dense
    if not isinstance(curve, ListCurve) or not pool.best:
        return 0.0
    return curve.shift(float(np.mean(pool.best)))


def raised(pool: Pool, log_odds: float) -> Pool:
    """The pool with its probabilities' log odds raised by so much."""
    if not log_odds:
        return pool
    factor = np.exp(log_odds)
    return replace(
        pool,
        probabilities=[chances * factor / (1.0 + chances * (factor - 1.0)) for chances in pool.probabilities],
    )


def other_queries(collection: Collection, encoder: Encoder, cache: bool = True) -> JudgedQueries:
    """All queries of another collection, none of which has anything relevant here."""
    texts = tuple(query.text for query in collection.queries() if query.text.strip())
    return JudgedQueries(
        texts, query_vectors(encoder, texts, cache), tuple(np.zeros(0, np.int64) for _ in texts)
    )


def summary(
    name: str,
    split: str,
    mode: Judged,
    k: int,
    model: RelevanceModel,
    spec: str,
    pool: Pool,
    others: Mapping[str, Pool],
) -> RelevanceResult:
    """The figures of pooled lists. Raises InputError where none of the candidates is relevant."""
    shift = field_shift(model, pool, mode)
    relevant, chances = np.concatenate(pool.relevant), np.concatenate(raised(pool, shift).probabilities)
    places = np.concatenate([np.arange(len(scores)) for scores in pool.scores])
    count = len(pool.scores)
    systems = {ADAPTER: measure(chances, relevant, places, count, True)}
    for control in controls(pool.scores, pool.relevant):
        systems[control.name] = measure(control.scores, relevant, places, count, control.probable)
    stored = model.threshold(mode)
    kept = np.concatenate(pool.probabilities) >= stored
    return RelevanceResult(
        collection=name,
        split=split,
        mode=mode,
        queries=count,
        k=k,
        candidates=len(relevant),
        relevant=int(relevant.sum()),
        model=spec,
        trained_on=model.provenance.trained_on,
        systems=systems,
        reliability=tuple(reliability(chances, relevant)),
        stored_threshold=stored,
        stored_recall=float(kept[relevant].mean()),
        stored_dropped=float(1.0 - kept.mean()),
        stored_kept_per_query=float(kept.sum() / count),
        foreign=tuple(strangers(other, found, systems, stored, shift) for other, found in others.items()),
        shift=shift,
    )


def strangers(
    name: str, pool: Pool, systems: Mapping[str, RelevanceScores], stored: float, shift: float
) -> Foreign:
    """How often no hit of foreign queries is left, by the systems that can leave a list empty."""
    best = {
        ADAPTER: highest(raised(pool, shift).probabilities),
        "score": highest(pool.scores),
        "z score": highest([zscore(scores, least=LEAST_SPREAD) for scores in pool.scores]),
        "share of top": highest([shares(scores) for scores in pool.scores]),
    }
    empty = {system: empty_share(values, systems[system].threshold) for system, values in best.items()}
    return Foreign(name, len(pool.scores), empty, empty_share(highest(pool.probabilities), stored))


def highest(lists: Sequence[Float64Array]) -> list[float]:
    """The best value of each list; minus infinity for an empty one."""
    return [float(values.max(initial=-np.inf)) for values in lists]
