"""Training a relevance model on collections with judgments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np

from leanseek.encode import DEFAULT_MODEL, Encoder
from leanseek.errors import InputError, UsageError
from leanseek.eval.base import Collection
from leanseek.eval.index_build import collection_index
from leanseek.eval.relevance.judged_lists import JudgedQueries, judged_lists, judged_queries
from leanseek.eval.relevance.relevance_scores import recall_threshold
from leanseek.indexing.background import LISTED
from leanseek.indexing.creation import Plan, make_plan
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.fusion.registry import load_fusion
from leanseek.searcher.relevance.features import Usual
from leanseek.searcher.relevance.list_curve import ListCurve
from leanseek.searcher.relevance.model import Judged, Level, Provenance, RelevanceModel
from leanseek.searcher.relevance.query_map import MapName, QueryMap
from leanseek.train.relevance.list_fit import Field, fit_curve, try_shapes
from leanseek.train.relevance.material import (
    Material,
    chosen_queries,
    gather,
    samples,
    split,
    usual_cosines,
)
from leanseek.train.relevance.published_fit import fit_map
from leanseek.types import Float64Array, Progress

Form = Literal["all", "query"]
"""What the dense side is judged by: the list's own features, or, as published, the query's vector alone."""

HELD_OUT: Final = 0.1
RECALL: Final = 0.95
CLOSED: Final = 0.005
"""Share of the training queries below the level of an index whose background was not measured."""
FEWEST: Final = 20
"""Judged queries of a collection at least."""
MODES: Final[tuple[Judged, ...]] = ("dense", "hybrid")


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
    whatever their size. The form "all" uses where candidates stand in the query's list, "query" the query's vector
    alone, by one of the published maps (`map`, by default power). The same input gives the same model, to the byte.

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
        asked = [chosen_queries(material, seed) for material in opened]
        usual = mean_usual(opened, asked)
        fields = {mode: gathered(opened, asked, mode, usual, progress) for mode in MODES}
        check_teachable(fields["dense"])
        side: ListCurve | QueryMap
        if form == "query":
            side = published(opened, asked, chosen, seed, progress)
        else:
            side = learned_curve(fields["dense"], "dense", progress)
        hybrid = learned_curve(fields["hybrid"], "hybrid", progress)
        fingerprint = plan.encoder.fingerprint if plan.encoder is not None else ""
        provenance = Provenance(
            tuple(names),
            tuple(collection.checksum for collection, _ in collections),
            form if form == "all" else f"query, {chosen} map",
            sum(len(queries.texts) for queries in asked),
            seed,
        )
        level = Level(lowest_level(fields["dense"]), LISTED)
        thresholds = dict.fromkeys(MODES, 0.0)
        model = RelevanceModel(fingerprint, thresholds, provenance, side, hybrid, usual, level)
        thresholds.update({mode: threshold(model, opened, asked, mode) for mode in MODES})
    finally:
        for material in opened:
            material.snapshot.close()
    return model


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


def mean_usual(opened: Sequence[Material], asked: Sequence[JudgedQueries]) -> Usual:
    """The usual cosines, in the mean over collections."""
    found = [
        usual_cosines(material.snapshot, queries.vectors)
        for material, queries in zip(opened, asked, strict=True)
    ]
    return Usual(float(np.mean([one.mean for one in found])), float(np.mean([one.spread for one in found])))


def gathered(
    opened: Sequence[Material],
    asked: Sequence[JudgedQueries],
    mode: Judged,
    usual: Usual,
    progress: Progress | None,
) -> list[Field]:
    """The lists of every collection's queries."""
    found = []
    for number, (material, queries) in enumerate(zip(opened, asked, strict=True)):
        found.append(Field(material.name, gather(material.snapshot, queries, mode, usual)))
        if progress is not None:
            progress(f"searching ({mode})", number + 1, len(opened))
    return found


def learned_curve(fields: Sequence[Field], mode: Judged, progress: Progress | None = None) -> ListCurve:
    """The curve of a mode: its shape chosen by all fields, its scale fitted to them."""
    shape = try_shapes(fields, mode, progress).best(range(len(fields)))
    return fit_curve(fields, shape)


def published(
    opened: Sequence[Material],
    asked: Sequence[JudgedQueries],
    map: MapName,
    seed: int,
    progress: Progress | None,
) -> QueryMap:
    """The published form, with a tenth of the queries held out to end its training."""
    taught, watched = [], []
    for row, (material, queries) in enumerate(zip(opened, asked, strict=True)):
        found = list(samples(material, queries, seed))
        learned, held = split(len(found), HELD_OUT, np.random.default_rng([seed, row]))
        taught.append([found[place] for place in learned])
        watched.append([found[place] for place in held])
    return fit_map(taught, watched, map, seed, progress)


def check_teachable(fields: Sequence[Field]) -> None:
    """Raise InputError where nothing can be learned from a collection's lists."""
    for field in fields:
        if all(len(one.listed) > 1 and np.ptp(one.score) == 0 for one in field.lists):
            raise InputError(
                f"all documents of {field.name} are equally close to each query: its vectors do not distinguish them"
            )
        labels = field.relevant
        if not labels.any():
            raise InputError(
                f"no query of {field.name} finds a relevant document: nothing can be learned from its lists"
            )
        if labels.all():
            raise InputError(
                f"every candidate of {field.name} is relevant: without any that are not, nothing can be learned. Give "
                "a collection with documents that are not relevant"
            )


def lowest_level(fields: Sequence[Field]) -> float:
    """The level that all but `CLOSED` of the queries reach; collections have equal weights."""
    levels = [np.array([one.level for one in field.lists]) for field in fields]
    return quantile(levels, CLOSED)


def threshold(
    model: RelevanceModel, opened: Sequence[Material], asked: Sequence[JudgedQueries], mode: Judged
) -> float:
    """The probability that 95 % of a collection's relevant candidates reach, in the median of the collections.

    Where queries have dozens of relevant documents the last of them are so deep in the lists that a threshold which
    keeps them cuts nothing elsewhere. Raises InputError where there is none.
    """
    chances: list[Float64Array] = []
    for material, queries in zip(opened, asked, strict=True):
        here = model.at(material.snapshot.state.settings.background)
        found = judged_lists(material.snapshot, queries, mode, load_fusion("convex"))
        mine = [here.probabilities(one.evidence)[one.relevant] for one in found]
        chances.append(np.concatenate(mine) if mine else np.zeros(0))
    if not any(len(found) for found in chances):
        raise InputError(
            "none of the queries finds a relevant document among its candidates: there is no recall to keep. Give "
            "collections with more judged queries"
        )
    reached = [
        recall_threshold(found, np.ones(len(found), np.bool_), RECALL) for found in chances if len(found)
    ]
    return float(np.median(reached))


def quantile(parts: Sequence[Float64Array], share: float) -> float:
    """The value below which this share lies of all parts' values, each part having the same weight."""
    values = np.concatenate(parts)
    shares = np.concatenate([np.full(len(part), 1.0 / max(len(part), 1)) for part in parts])
    order = np.argsort(values, kind="stable")
    below = np.cumsum(shares[order]) / shares.sum()
    place = int(np.searchsorted(below, share, side="right"))
    return float(values[order][min(place, len(values) - 1)])
