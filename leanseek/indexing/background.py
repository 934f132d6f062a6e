"""How close an index's passages are to queries about them, measured once when the whole index is built.

A cosine means something else in every field: abstracts on one subject are all close to each other, passages of an
encyclopedia are not. Queries made from the documents' own texts, each without the passage it comes from, show how
close the rest of the field is to a question that belongs to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from leanseek.encode import Encoder
from leanseek.indexing.catalog import State
from leanseek.indexing.search_source import SearchSource
from leanseek.indexing.segment import open_segments
from leanseek.indexing.settings import Background
from leanseek.indexing.snapshot import Snapshot
from leanseek.types import Document, Float32Array, Float64Array, Int64Array

QUERIES: Final = (200, 500)
"""At least and at most, and a tenth of the passages between: the lowest twentieth of only 200 may lie .05 from that of
all, which decides what is taken for foreign."""
FEWEST_QUERIES: Final = 50
FEWEST_WORDS: Final = 6
"""Of a question from a text: a shorter one, such as "Under what conditions?", asks about the sentence before it."""
FEWEST_PASSAGES: Final = 150
"""With fewer the best cosines are not those of a field but those of single passages."""
TEXTS: Final = 2000
"""Passages that queries are made from at most."""
LISTED: Final = 1000
"""How long the list of a query is, as for those whose results are given probabilities; and passages drawn at random."""
LOWEST: Final = 0.05
COMPARED: Final = 32
"""Queries that are compared with passages drawn at random."""


def measure_background(folder: Path, state: State, encoder: Encoder) -> Background | None:
    """The background of the index at `folder`, as `state` has it; None where it holds too little text.

    It depends on the documents alone, not on how they are spread over segments. Raises ModelError where the encoder
    fails.
    """
    snapshot = Snapshot(folder, state, open_segments(folder, state, state.segments))
    try:
        return background_of(snapshot, encoder)
    finally:
        snapshot.close()


def has_grown(passages: int, known: Background | None) -> bool:
    """Whether an index of so many passages is to be measured anew: enough, and twice as many as at the last time."""
    return passages >= max(FEWEST_PASSAGES, 2 * known.passages if known is not None else 0)


def background_of(source: SearchSource, encoder: Encoder) -> Background | None:
    """The background of an index, or of a cluster, that was just built."""
    from leanseek.indexing.learning_queries import make_learning_queries  # searches need none of it

    passages = source.count()
    if passages < FEWEST_PASSAGES or source.state.settings.dense is None:
        return None
    drawn = source.sample(TEXTS + LISTED)
    stored = source.passages.get(drawn[:TEXTS])
    least, most = QUERIES
    made = make_learning_queries(
        (Document(one.id, one.text, one.title) for one in stored), min(max(least, passages // 10), most)
    )
    asked = [
        (text, document)
        for text, document in zip((*made.texts, *made.held_out), made.documents, strict=True)
        if not text.endswith("?") or len(text.split()) >= FEWEST_WORDS
    ]
    if len(asked) < FEWEST_QUERIES:
        return None
    texts = [text for text, _ in asked]
    vectors = encoder.encode_queries(texts).vectors
    places = source.find(sorted({document for _, document in asked}))
    own = [np.array(places.get(document, ()), np.int64) for _, document in asked]
    levels = list_levels(source, vectors, own)
    # Not the passages that the queries are from, as far as there are others.
    others = source.vectors(drawn[-LISTED:])
    cosines = np.einsum("cd,qd->qc", others, vectors[:COMPARED]).astype(np.float64)
    return Background(
        queries=len(texts),
        passages=passages,
        level=float(np.quantile(levels, LOWEST)),
        mean=float(cosines.mean()),
        spread=float(cosines.std()),
    )


def list_levels(source: SearchSource, vectors: Float32Array, own: Sequence[Int64Array]) -> Float64Array:
    """(m,) levels of the lists of queries (m, D), each without its `own` passages."""
    found = source.dense_search(vectors, min(LISTED, source.size), None)
    levels = [
        list_level(candidates.scores[~np.isin(candidates.ordinals, mine)])
        for candidates, mine in zip(found, own, strict=True)
    ]
    return np.array(levels, np.float64)


def list_level(listed: Float32Array | Float64Array) -> float:
    """How close a list (l,) of cosines, descending, is as a whole: the mean of its first, its tenth and its mean."""
    if not len(listed):
        return 0.0
    return float((listed[0] + listed[min(9, len(listed) - 1)] + listed.mean()) / 3.0)
