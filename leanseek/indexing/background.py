"""How close an index's passages are to queries about them, measured once when the whole index is built.

A cosine means something else in every field: abstracts on one subject are all close to each other, passages of an
encyclopedia are not. Queries made from the documents' own texts, each without the passage it comes from, show how
close the rest of the field is to a question that belongs to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from leanseek.encode import Encoder
from leanseek.indexing.catalog import State
from leanseek.indexing.learning_queries import make_learning_queries
from leanseek.indexing.search_source import SearchSource
from leanseek.indexing.segment import open_segments
from leanseek.indexing.settings import Background
from leanseek.indexing.snapshot import Snapshot
from leanseek.types import Document, Float32Array, Float64Array, Int64Array

QUERIES: Final = 200
FEWEST_QUERIES: Final = 50
FEWEST_PASSAGES: Final = 150
"""With fewer the best cosines are not those of a field but those of single passages."""
TEXTS: Final = 2000
"""Passages that queries are made from at most."""
LISTED: Final = 1000
"""How long the list of a query is, as for those whose results are given probabilities."""
LOWEST: Final = 0.05
_BLOCK: Final = 32


def measure_background(folder: Path, state: State, encoder: Encoder) -> Background | None:
    """The background of the index at `folder`, as `state` has it; None where it holds too little text.

    The choice of the texts depends on the documents alone. Raises ModelError where the encoder fails.
    """
    snapshot = Snapshot(folder, state, open_segments(folder, state, state.segments))
    try:
        return background_of(snapshot, encoder)
    finally:
        snapshot.close()


def background_of(source: SearchSource, encoder: Encoder) -> Background | None:
    """The background of an index, or of a cluster, that was just built."""
    if source.size < FEWEST_PASSAGES or source.state.settings.dense is None:
        return None
    made = make_learning_queries(sampled(source), QUERIES)
    texts = [*made.texts, *made.held_out]
    if len(texts) < FEWEST_QUERIES:
        return None
    vectors = encoder.encode_queries(texts).vectors
    places = source.find(sorted(set(made.documents)))
    own = [np.array(places.get(document, ()), np.int64) for document in made.documents]
    levels, all_cosines = measured(source, vectors, own)
    return Background(
        queries=len(texts),
        passages=source.size,
        level=float(np.quantile(levels, LOWEST)),
        mean=float(all_cosines.mean()),
        spread=float(all_cosines.std()),
    )


def sampled(snapshot: SearchSource) -> Iterator[Document]:
    """Documents of at most `TEXTS` passages, the same for the same index."""
    size = snapshot.size
    chosen = np.arange(size)
    if size > TEXTS:
        chosen = np.sort(np.random.default_rng(0).choice(size, TEXTS, replace=False))
    for start in range(0, len(chosen), _BLOCK):
        for passage in snapshot.passages.get(chosen[start : start + _BLOCK]):
            yield Document(passage.id, passage.text, passage.title)


def measured(
    snapshot: SearchSource, vectors: Float32Array, own: list[Int64Array]
) -> tuple[Float64Array, Float64Array]:
    """(m,) levels of the lists of queries (m, D), each without its `own` passages, and cosines with passages
    drawn at random."""
    levels: list[float] = []
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        k = min(LISTED, snapshot.size)
        for candidates, mine in zip(snapshot.dense_search(block, k, None), own[start:], strict=False):
            levels.append(list_level(candidates.scores[~np.isin(candidates.ordinals, mine)]))
    random = np.random.default_rng(0).choice(snapshot.size, min(snapshot.size, LISTED), replace=False)
    cosines = [snapshot.dense_score(vector, np.sort(random)) for vector in vectors[:_BLOCK]]
    return np.array(levels, np.float64), np.concatenate(cosines).astype(np.float64)


def list_level(listed: Float32Array | Float64Array) -> float:
    """How close a list (l,) of cosines, descending, is as a whole: the mean of its first, its tenth and its mean."""
    if not len(listed):
        return 0.0
    return float((listed[0] + listed[min(9, len(listed) - 1)] + listed.mean()) / 3.0)
