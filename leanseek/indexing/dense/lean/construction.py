"""Makes both levels from vectors and learning queries."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from leanseek.encode.device import accelerated, check_device
from leanseek.errors import InputError, UsageError
from leanseek.indexing.dense.lean.engine import Engine
from leanseek.indexing.dense.lean.first_level import WIDTH, build_engine
from leanseek.indexing.dense.lean.meta import Learned, Meta, sampled_loss, save_meta
from leanseek.indexing.dense.lean.recall import MEASURED, Calibration, Truth, calibrate
from leanseek.indexing.dense.lean.rows import Rows
from leanseek.indexing.leanvec import Reduction, choose_dims, learn_reduction, split_queries
from leanseek.indexing.learning_queries import FEWEST_QUERIES
from leanseek.indexing.settings import LeanKind, LeanSettings, Method, Precision, Primary, Source
from leanseek.indexing.vectors import SAMPLE_ROWS, Vectors, VectorSource, drawn, finite
from leanseek.types import Float32Array

LISTS_FROM: Final = 5_000
"""Below it, scanning every code takes less time than comparing the query with all centroids saves."""
_MOST_DIMS: Final = 1024
_NEXT_TO_NOTHING: Final = 0.99
_STAND_INS: Final = 1_000
_HELD_OUT: Final = 0.5
"""The share of the queries that the recall is measured on: as many as are learned from, since both need them."""


class Built(NamedTuple):
    """An index's parts."""

    rows: Rows
    engine: Engine
    meta: Meta
    learned: Learned


def build(
    source_vectors: VectorSource,
    queries: Float32Array | Learned | None,
    dims: int | str,
    kind: LeanKind,
    recall: float,
    primary: Primary | None,
    secondary: Precision,
    lists: int | None,
    seed: int,
    portable: bool,
    source: Source,
    method: Method,
    folder: Path | None = None,
    device: str | None = None,
) -> Built:
    """See LeanVecIndex.build. With a folder, what it returns is stored there."""
    check_device(device)
    device = device if accelerated(device) else None
    vectors = Vectors(source_vectors)
    if len(vectors) == 0:
        raise InputError("there are no vectors to index; add documents first")
    given = queries.queries if isinstance(queries, Learned) else queries
    if given is not None:
        given = _checked_queries(given)
        if given.shape[1] != vectors.shape[1]:
            raise UsageError(
                f"queries have {given.shape[1]} dimensions and vectors {vectors.shape[1]}; "
                "encode both with the same model"
            )
    LeanSettings(kind=kind, recall=recall, precision=secondary, primary=primary, reduction=method).check()
    if lists is not None and lists < 1:
        raise UsageError(f"lists is {lists}; there must be at least one")
    chosen = ("flat" if len(vectors) < LISTS_FROM else "ivf") if kind == "auto" else kind
    codes = primary or ("sq8" if chosen == "hnsw" else "pq4")

    learning, aside, notes = _queries(vectors, given, seed)
    some = drawn(vectors, SAMPLE_ROWS, seed)
    if isinstance(queries, Learned):
        learned = queries
        loss = sampled_loss(learned.reduction, some, learned.queries, seed)
    else:
        reduction = _reduction(some, learning, aside, dims, method, seed)
        stand_ins = learning is None
        kept = aside if stand_ins or given is None else given
        loss = sampled_loss(reduction, some, kept, seed)
        learned = Learned(reduction, kept, loss, "vectors" if stand_ins else source)
    reduction = learned.reduction
    if folder is None:
        rows = Rows.encode(vectors, secondary, portable=portable)
    else:
        rows = Rows.encode_into(folder, vectors, secondary, portable=portable)
    engine = build_engine(vectors, reduction, rows, chosen, codes, lists, seed, portable, device)
    # PCA learns nothing from queries, so that they can all be measured with.
    fresh = aside if learning is None or reduction.method != "id" else np.concatenate([aside, learning])
    calibration = calibrate(engine, Truth(vectors.unchecked(), fresh, device), len(vectors), recall)
    meta = Meta(
        size=len(vectors),
        dimensions=vectors.shape[1],
        dims=reduction.dims,
        kind=chosen,
        primary=codes,
        secondary=secondary,
        recall=recall,
        method=reduction.method,
        source=learned.source,
        learned_loss=learned.loss,
        loss=loss,
        notes=(*notes, *reduction.notes, *_missed(calibration, recall)),
        calibration=calibration,
    )
    if folder is not None:
        engine.save(folder)
        learned.save(folder)
        save_meta(folder, meta)
    return Built(rows, engine, meta, learned)


def _missed(calibration: Calibration, recall: float) -> tuple[str, ...]:
    return tuple(
        f"recall {recall:g} was out of reach for {point.k} answers: {point.recall:.3f} is what the widest "
        "search tried finds; store more precisely (secondary) or take more dims"
        for point in calibration.points
        if point.recall < recall
    )


def _checked_queries(values: Float32Array) -> Float32Array:
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[1] == 0:
        raise UsageError(f"queries have shape {values.shape}; an index takes (n, D) float32")
    return finite(np.ascontiguousarray(values, dtype=np.float32), "queries")


def _queries(
    vectors: VectorSource, queries: Float32Array | None, seed: int
) -> tuple[Float32Array | None, Float32Array, tuple[str, ...]]:
    """Queries to learn from, queries to measure with, and notes about them."""
    if queries is not None and len(queries) >= FEWEST_QUERIES and queries.any():
        learning, aside = split_queries(queries, min(_HELD_OUT, MEASURED / len(queries)), seed)
        if len(aside) > 0 and aside.any():
            return learning, aside, ()
    rows = np.random.default_rng(seed).permutation(len(vectors))[:_STAND_INS]
    given = 0 if queries is None else len(queries)
    return (
        None,
        vectors[np.sort(rows)],
        (
            f"{given} learning queries were given, fewer than {FEWEST_QUERIES} that differ: the vectors were taken "
            "instead",
        ),
    )


def _reduction(
    vectors: Float32Array,
    learning: Float32Array | None,
    aside: Float32Array,
    dims: int | str,
    method: Method,
    seed: int,
) -> Reduction:
    width = vectors.shape[1]
    if learning is None:
        method = "id"
    if not vectors.any():
        # Nothing can be learned, and nothing has to be: every inner product is 0.
        unit = np.eye(1, width, dtype=np.float32)
        return Reduction(unit, unit, "id", 0.0, (0.0,), ("every vector is a zero vector",))
    if isinstance(dims, str):
        if dims != "auto":
            raise UsageError(f"dims is '{dims}'; give a number from 1 to {width}, or 'auto'")
        multiple = min(4 * WIDTH, width)
        chosen = choose_dims(
            vectors,
            aside if learning is None else learning,
            _NEXT_TO_NOTHING,
            method=method,
            multiple=multiple,
            held_out=aside,
            seed=seed,
        )
        reduction = chosen.reduction
    else:
        if not 1 <= dims <= min(width, _MOST_DIMS):
            raise UsageError(f"dims is {dims}; it must be from 1 to {min(width, _MOST_DIMS)}, or 'auto'")
        reduction = learn_reduction(vectors, learning, dims, method, held_out=aside, seed=seed)
    return reduction.cut(_MOST_DIMS) if reduction.dims > _MOST_DIMS else reduction
