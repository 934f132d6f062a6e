"""Training a relevance model on collections with judgments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Literal

import numpy as np

from leanseek.encode import DEFAULT_MODEL, Encoder
from leanseek.errors import InputError, UsageError
from leanseek.eval.base import Collection
from leanseek.eval.index_build import collection_index
from leanseek.eval.relevance.judged_lists import judged_queries
from leanseek.indexing.creation import Plan, make_plan
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.relevance.features import DENSE_LIST, Evidence, dense_features
from leanseek.searcher.relevance.model import Judged, Provenance, RelevanceModel
from leanseek.searcher.relevance.network import MapName, MonotoneNetwork, QueryMap
from leanseek.train.relevance.material import (
    Examples,
    Features,
    Lists,
    Material,
    Source,
    examples,
    gather,
    split,
)
from leanseek.train.relevance.network_fit import Fitting, fit_network
from leanseek.train.relevance.published_fit import fit_map
from leanseek.types import Float64Array, Int64Array, Progress

Form = Literal["all", "query"]
"""What the dense side is judged by: the list's own features, or, as published, the query's vector alone."""

HELD_OUT: Final = 0.1
RECALL: Final = 0.95
FEWEST: Final = 20
"""Judged queries of a collection at least."""

HIDDEN: Final = 12
STEPS: Final = 600
NOTHING: Final = MonotoneNetwork(*(np.zeros(0, np.float32) for _ in range(12)))
"""A placeholder for the side that is not fitted yet."""
GATE_FEATURES: Final = tuple(
    DENSE_LIST.index(name)
    for name in (
        *("first", "tenth", "mean", "spread", "log size", "first less tenth"),
        *("entropy", "skewness"),
    )
)


def train_relevance(
    collections: Sequence[tuple[Collection, str]],
    *,
    encoder: str | Encoder = DEFAULT_MODEL,
    form: Form = "all",
    map: MapName | None = None,
    seed: int = 0,
    work: Path,
    device: str | None = None,
    cache: bool = True,
    progress: Progress | None = None,
) -> RelevanceModel:
    """Learn from the judged queries of splits, each given as (collection, split).

    Every collection is indexed below `work`, as `evaluate` does, unless its index is there. All have the same weight,
    whatever their size. The form "all" uses the list's own features, "query" the query's vector alone, by one of the
    published maps (`map`, by default power). The same input gives the same model, to the byte.

    Raises UsageError where no collection is given or one twice, InputError where nothing can be learned from the
    judgments, and what indexing raises.
    """
    names = [f"{collection.name}:{part}" for collection, part in collections]
    if seed < 0:
        raise UsageError(f"the seed is {seed}; it must be 0 or more")
    if map is not None and form != "query":
        raise UsageError(
            f"a map ('{map}') goes with the form query: the curve that the query's vector shapes"
        )
    chosen: MapName = map or "power"
    if not names:
        raise UsageError("no collection to learn from; give at least one, such as scifact:train")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f"'{twice[0]}' is given twice; give each collection and split once")
    plan = make_plan(encoder=encoder, dense="flat", device=device)
    opened = [
        open_material(collection, part, plan, work, cache, progress) for collection, part in collections
    ]
    try:
        dense, hybrid = (gathered(opened, mode, seed, progress) for mode in ("dense", "hybrid"))
    finally:
        for material in opened:
            material.snapshot.close()
    check_teachable(names, dense)
    held = [
        split(len(lists.own), HELD_OUT, np.random.default_rng([seed, row])) for row, lists in enumerate(dense)
    ]

    side: MonotoneNetwork | QueryMap
    if form == "query":
        taught = [
            [*(lists.own[row] for row in rows), *lists.fewer]
            for lists, (rows, _) in zip(dense, held, strict=True)
        ]
        watched = [[lists.own[row] for row in rows] for lists, (_, rows) in zip(dense, held, strict=True)]
        side = fit_map(taught, watched, chosen, seed, progress)
    else:
        sources, kept = arranged(dense, held, list_features)
        how = Fitting(HIDDEN, STEPS, seed, GATE_FEATURES)
        side = fit_network(sources, kept, how, progress, "fitting the dense side")

    fingerprint = plan.encoder.fingerprint if plan.encoder is not None else ""
    provenance = Provenance(
        tuple(names),
        tuple(collection.checksum for collection, _ in collections),
        form if form == "all" else f"query, {chosen} map",
        sum(len(lists.own) for lists in dense),
        seed,
    )
    draft = RelevanceModel(fingerprint, {"dense": 0.0, "hybrid": 0.0}, provenance, side, NOTHING)
    both = arranged(hybrid, held, partial(both_features, draft))
    how = Fitting(HIDDEN, STEPS, seed)
    model = replace(draft, hybrid=fit_network(*both, how, progress, "fitting both sides"))
    thresholds: dict[Judged, float] = {
        "dense": threshold(model, dense, held),
        "hybrid": threshold(model, hybrid, held),
    }
    return replace(model, thresholds=thresholds)


def open_material(
    collection: Collection, part: str, plan: Plan, work: Path, cache: bool, progress: Progress | None
) -> Material:
    """An index of the collection, and the judged queries of the split."""
    if plan.encoder is None:
        raise UsageError("a relevance model is for an encoder's vectors; give one with --encoder")
    prepared = collection_index(collection, plan, work, cache=cache, progress=progress)
    snapshot = Snapshot.open(prepared.folder)
    try:
        queries = judged_queries(snapshot, collection, part, plan.encoder, cache)
    except BaseException:
        snapshot.close()
        raise
    if len(queries.texts) < FEWEST:
        snapshot.close()
        raise InputError(
            f"'{collection.name}' ({part}) has too few queries with a relevant document, "
            f"{len(queries.texts)}: fewer than {FEWEST} are too few to learn from; leave it out, "
            "or judge more queries"
        )
    return Material(f"{collection.name}:{part}", snapshot, queries)


def gathered(opened: Sequence[Material], mode: Judged, seed: int, progress: Progress | None) -> list[Lists]:
    """Samples of every collection."""
    found = []
    for number, material in enumerate(opened):
        others = [other.queries for other in opened if other.snapshot.folder != material.snapshot.folder]
        found.append(gather(material, others, mode, seed))
        if progress is not None:
            progress(f"searching ({mode})", number + 1, len(opened))
    return found


def check_teachable(names: Sequence[str], found: Sequence[Lists]) -> None:
    """Raise InputError where nothing can be learned from a collection's lists."""
    for name, lists in zip(names, found, strict=True):
        if all(len(listed := one.evidence.dense.listed) > 1 and np.ptp(listed) == 0 for one in lists.own):
            raise InputError(
                f"all documents of {name} are equally close to each query: its vectors do not distinguish them"
            )
        counted = [one.labels[one.weights > 0] for one in lists.own]
        labels = np.concatenate(counted) if counted else np.zeros(0)
        if not (labels > 0).any():
            raise InputError(
                f"no query of {name} finds a relevant document: nothing can be learned from its lists"
            )
        if (labels > 0).all():
            raise InputError(
                f"every candidate of {name} is relevant: without any that are not, nothing can be learned. Give a "
                "collection with documents that are not relevant"
            )


def arranged(
    found: Sequence[Lists], held: Sequence[tuple[Int64Array, Int64Array]], features: Features
) -> tuple[list[Source], list[Examples]]:
    """Features of the lists to learn from, and of those held out."""
    sources, watched = [], []
    for lists, (rows, kept) in zip(found, held, strict=True):
        own = examples(lists.own, features)
        sources.append(
            Source(
                own.take(rows),
                examples(lists.fewer, features),
                examples(lists.foreign, features) if lists.foreign else None,
            )
        )
        watched.append(own.take(kept))
    return sources, watched


def list_features(evidence: Evidence) -> tuple[Float64Array, Float64Array]:
    """The features of the dense side, for `Features`."""
    return dense_features(evidence.dense.cosines, evidence.dense.listed, evidence.size)


def both_features(model: RelevanceModel, evidence: Evidence) -> tuple[Float64Array, Float64Array]:
    """The features of both sides together, the dense one as the model sees it."""
    if evidence.sparse is None:
        raise UsageError("evidence of a hybrid search has a sparse side")
    return model.hybrid_features(evidence, evidence.sparse)


def threshold(
    model: RelevanceModel, found: Sequence[Lists], held: Sequence[tuple[Int64Array, Int64Array]]
) -> float:
    """The probability that 95 % of the relevant candidates of held-out queries reach; collections have equal weights.

    Raises InputError where there is none.
    """
    chances, weights = [], []
    for lists, (_, rows) in zip(found, held, strict=True):
        mine = [
            model.probabilities(one.evidence)[(one.labels > 0) & (one.weights > 0)]
            for one in (lists.own[row] for row in rows)
        ]
        values = np.concatenate(mine)
        chances.append(values)
        weights.append(np.full(len(values), 1.0 / max(len(values), 1)))
    values, shares = np.concatenate(chances), np.concatenate(weights)
    if not len(values):
        raise InputError(
            "none of the queries held out finds a relevant document among its candidates: there is no recall to keep. "
            "Give collections with more judged queries, or another seed, which holds out others"
        )
    order = np.argsort(values)
    below = np.cumsum(shares[order]) / shares.sum()
    return float(values[order][np.searchsorted(below, 1.0 - RECALL, side="right")])
