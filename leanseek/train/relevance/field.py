"""A relevance model fitted to one index: to queries without judgments, or to a few with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from leanseek.encode import Encoder
from leanseek.errors import InputError, UsageError
from leanseek.eval.relevance.judged_lists import JudgedQueries, query_vectors, relevant_passages
from leanseek.indexing.background import measure_background
from leanseek.indexing.creation import given_encoder, recorded_encoder
from leanseek.indexing.index import Index
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher.relevance.judge import stored
from leanseek.searcher.relevance.list_curve import ListCurve
from leanseek.searcher.relevance.model import Judged, Provenance, RelevanceModel, load_relevance
from leanseek.train.relevance.list_fit import Field, area, logistic
from leanseek.train.relevance.material import gather
from leanseek.types import Float64Array, Progress, Qrels, Query, silent

FEWEST: Final = 20
"""Queries by which a field is told from others at least, judged or not."""
MOST: Final = 500
FOLDS: Final = 5
SHAPES: Final = ((0.0, 0.0), (0.25, 0.5), (0.5, 0.5), (1.0, 1.0))
"""Weights of rank and lead that are tried beside the model's own."""
SLOPE_SPREAD: Final = 0.3
OFFSET_SPREAD: Final = 1.5
"""How far a field's slope (as a share) and offset are expected to be from the model's: standard deviations."""


@dataclass(frozen=True, slots=True)
class FittedMode:
    """How a mode's curve was fitted: its log odds are `shift` higher where they were 0.

    `gain` is what another shape gains in PR-AUC on judged queries that are held out in turn, `error` its standard
    error; both None without judgments. `kept`: the shape stayed as it was.
    """

    shift: float
    gain: float | None = None
    error: float | None = None
    kept: bool = True


@dataclass(frozen=True, eq=False)
class FittedField:
    """A relevance model for an index, fitted to `queries` queries, `judged` of them with a relevant document."""

    model: RelevanceModel
    queries: int
    judged: int
    modes: dict[Judged, FittedMode]


Fit: TypeAlias = Callable[[Snapshot, Encoder], FittedField]


def train_unlabelled(
    path: str | os.PathLike[str],
    queries: Sequence[Query] = (),
    *,
    encoder: str | Encoder | None = None,
    device: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> FittedField:
    """Fit the packaged model to the index at `path`, whatever its encoder, without judgments, and record it there.

    What is measured: how close the passages are to queries made from their own texts, which tells a query that belongs
    to the field from one that does not; and, where at least 20 of the user's own `queries` are given, how far their
    best hits stand out, which tells whether one document of a query is relevant or many. That was learned from the
    packaged model's encoder and holds for it alone. `dry_run` only fits.

    Raises UsageError where the index has no vectors, or queries are too few or for another encoder, InputError where
    it holds too little text, IndexLockedError, and what opening an index raises.
    """

    def fit(snapshot: Snapshot, given: Encoder) -> FittedField:
        model = base_model(snapshot, given, None)
        texts = [query.text for query in queries if query.text.strip()][:MOST]
        if queries and not load_relevance().fits(given.fingerprint):
            raise UsageError(
                f"how far hits stand out was not learned for the encoder '{given.name}': leave the queries out, or "
                "give judged ones (--judged INDEX --queries QUERIES --qrels QRELS)"
            )
        if queries and len(texts) < FEWEST:
            raise UsageError(
                f"{len(texts)} queries are too few to tell the field by; give at least {FEWEST}, or none"
            )
        modes: dict[Judged, FittedMode] = {mode: FittedMode(0.0) for mode in modes_of(snapshot)}
        if texts:
            nothing = tuple(np.zeros(0, np.int64) for _ in texts)
            asked = JudgedQueries(tuple(texts), query_vectors(given, texts), nothing)
            for mode in modes:
                curve = curve_of(model, mode)
                field = Field("", gather(snapshot, asked, mode, model.usual))
                modes[mode] = FittedMode(curve.shift(field.best(curve)))
                model = model.shifted(mode, modes[mode].shift)
                (progress or silent)(f"searching ({mode})", len(texts), len(texts))
        model = replace(model, provenance=Provenance((), (), "unlabelled", len(texts), 0))
        return FittedField(model, len(texts), 0, modes)

    return recorded(Path(path), fit, encoder, device, dry_run)


def train_judged(
    path: str | os.PathLike[str],
    queries: Sequence[Query],
    qrels: Qrels,
    *,
    encoder: str | Encoder | None = None,
    device: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> FittedField:
    """Move the model of the index at `path` toward a few judged queries, 20 or more, and record it there.

    Slope and offset are the likeliest ones near the model's. Another weight of rank and lead is taken only where it
    gains more PR-AUC than its standard error on queries that are held out in turn, so that the order of the
    candidates is no worse than by the packaged model, as far as the queries can tell. Judgments of relevant documents
    alone suffice. `dry_run` only fits.

    Raises UsageError where the index has no vectors, InputError where the queries and judgments do not fit it or are
    too few, IndexLockedError, and what opening an index raises.
    """

    def fit(snapshot: Snapshot, given: Encoder) -> FittedField:
        places = relevant_passages(snapshot, qrels, "the queries given")
        useful = [query for query in queries if query.text.strip() and query.id in places][:MOST]
        if len(useful) < FEWEST:
            raise InputError(
                f"{len(useful)} of the {len(queries)} queries have text and a relevant document in the index; give at "
                f"least {FEWEST}"
            )
        vectors = query_vectors(given, [query.text for query in useful])
        asked = JudgedQueries(
            tuple(query.text for query in useful), vectors, tuple(places[query.id] for query in useful)
        )
        model = base_model(snapshot, given, snapshot.state.settings.relevance)
        modes: dict[Judged, FittedMode] = {}
        for mode in modes_of(snapshot):
            field = Field("", gather(snapshot, asked, mode, model.usual))
            if not field.relevant.any():
                raise InputError(
                    f"no query finds a relevant document ({mode}): there is nothing to learn from"
                )
            former = curve_of(model, mode)
            curve, modes[mode] = moved(field, former)
            model = replace(model, hybrid=curve) if mode == "hybrid" else replace(model, dense=curve)
            (progress or silent)(f"fitting ({mode})", len(useful), len(useful))
        model = replace(model, provenance=Provenance((), (), "judged", len(useful), 0))
        return FittedField(model, len(queries), len(useful), modes)

    return recorded(Path(path), fit, encoder, device, dry_run)


def reset_relevance(path: str | os.PathLike[str]) -> bool:
    """Forget the model that was fitted to the index at `path`; returns whether there was one.

    Raises IndexLockedError, and what `Index.open` raises.
    """
    index = Index.open(path)
    former = index.settings.relevance
    index.choose_relevance(lambda: None)
    return former is not None


def recorded(
    path: Path,
    fit: Fit,
    encoder: str | Encoder | None,
    device: str | None,
    dry_run: bool,
) -> FittedField:
    """What `fit` finds for the index, recorded there unless `dry_run`."""
    found: list[FittedField] = []

    def values() -> dict[str, Any]:
        snapshot = Snapshot.open(path)
        try:
            settings = snapshot.state.settings
            given = given_encoder(settings, encoder, device)
            if settings.encoder is None:
                raise UsageError(
                    f"'{path}' was made without vectors, by which relevance is judged; index again with an encoder"
                )
            found.append(fit(snapshot, given or recorded_encoder(settings.encoder, device)))
        finally:
            snapshot.close()
        return found[0].model.values()

    if dry_run:
        values()
    else:
        Index.open(path).choose_relevance(values)
    return found[0]


def base_model(snapshot: Snapshot, encoder: Encoder, former: Mapping[str, Any] | None) -> RelevanceModel:
    """The model to start from: the index's own, else the packaged one as this index's background has it.

    Raises InputError where the index holds too little text to measure that.
    """
    if former is not None:
        return stored(former)
    background = snapshot.state.settings.background
    if background is None:
        background = measure_background(snapshot.folder, snapshot.state, encoder)
    if background is None:
        raise InputError(
            f"'{snapshot.folder}' holds too little text to measure how close its passages are to queries: at least 150 "
            "passages and 50 sentences that resemble queries"
        )
    return replace(load_relevance(), fingerprint=encoder.fingerprint).at(background)


def modes_of(snapshot: Snapshot) -> tuple[Judged, ...]:
    """The modes that an index with vectors can be searched in."""
    return ("dense", "hybrid") if snapshot.state.settings.sparse is not None else ("dense",)


def curve_of(model: RelevanceModel, mode: Judged) -> ListCurve:
    """The curve of a mode. Raises UsageError for the published form, which has none."""
    curve = model.hybrid if mode == "hybrid" else model.dense
    if not isinstance(curve, ListCurve):
        raise UsageError(
            "a model of the query's vector alone (--features query) cannot be fitted to an index; reset it first"
        )
    return curve


def moved(field: Field, former: ListCurve) -> tuple[ListCurve, FittedMode]:
    """The curve that a few judged queries speak for."""
    shapes = [former, *(replace(former, rank=rank, lead=lead) for rank, lead in SHAPES)]
    folds = [Field("", field.lists[fold::FOLDS]) for fold in range(FOLDS)]
    folds = [fold for fold in folds if fold.relevant.any()]
    areas = np.array([[area(fold.relevant, fold.standings(shape)) for fold in folds] for shape in shapes])
    gains = []
    for row in range(len(folds)):
        others = np.delete(areas, row, axis=1).mean(axis=1)
        gains.append(areas[int(np.argmax(others)), row] - areas[0, row])
    gain, error = float(np.mean(gains)), float(np.std(gains) / max(len(gains) - 1, 1) ** 0.5)
    best = int(np.argmax(areas.mean(axis=1))) if gain > error and len(folds) == FOLDS else 0
    labels = field.relevant.astype(np.float64)

    shape = shapes[best]
    precision = (1.0 / max(SLOPE_SPREAD * shape.slope, 1e-3) ** 2, 1.0 / OFFSET_SPREAD**2)
    slope, offset = logistic(
        field.standings(shape), labels, np.ones(len(labels)), (shape.slope, shape.offset), precision
    )
    curve = replace(shape, slope=slope, offset=offset)
    shift = float(np.mean(log_odds(field, curve) - log_odds(field, former)))
    return curve, FittedMode(shift, gain, error, best == 0)


def log_odds(field: Field, curve: ListCurve) -> Float64Array:
    """(m,) the log odds of each query's best candidate."""
    firsts = [Field("", [one]).standings(curve) for one in field.lists]
    return np.array([curve.slope * found.max() + curve.offset for found in firsts if len(found)])
