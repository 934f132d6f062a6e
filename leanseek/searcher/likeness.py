"""Documents that are like a document: every passage of the one against every passage of the other.

A long document is more than its beginning, and more than the mean of its parts. Its passages, which an index with
`--chunk` has the vectors of, are the blocks of SMITH (Yang et al., "Beyond 512 tokens: siamese multi-depth
transformer-based hierarchical encoder for long-form document matching", CIKM 2020). Each passage of either document
looks for its nearest in the other, and the likeness is the mean of both directions: a part of a larger document is like
it, but less than one that has all of its contents. Nothing is trained for that; a document encoder that was, by
`leanseek train documents`, can compare the documents instead.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from leanseek.encode.corpus import make_encoding
from leanseek.errors import ModelError, UsageError
from leanseek.indexing.search_source import Allowed, SearchSource, check_vectors
from leanseek.searcher.answer import hit_of
from leanseek.searcher.request import Generation
from leanseek.searcher.snippets import snippet
from leanseek.types import Explanation, Float32Array, Hit, Int64Array, content

if TYPE_CHECKING:
    from leanseek.encode.document_transformer import DocumentTransformer

BLOCKS: Final = 64
"""Passages of a document that are compared; of a longer one so many, spread evenly over it."""
DEPTH: Final = 100
"""Passages that are found for each block, unless more documents are wanted."""
COMPARED: Final = 200
"""Documents that are compared in full, unless more are wanted: those whose passages were found nearest."""


def block_likeness(
    blocks: Float32Array, vectors: Float32Array, starts: Int64Array
) -> tuple[Float32Array, Int64Array]:
    """(d,) how alike a document is to each of d others, in [-1, 1], and (d,) which row of `vectors` is its nearest.

    `blocks` (m, D) are the unit vectors of its passages, `vectors` (p, D) those of the others, one document after the
    other, which begin at the ascending rows `starts` (d,). With e for its passages and f for those of another,

        likeness = ½ (mean_i max_j e_i·f_j + mean_j max_i e_i·f_j)

    so that it is the same from either side, and the cosine where both have one passage. Of equally near passages the
    first is the nearest.
    """
    # In float64 what two documents with the same passages get is the same in float32, wherever their rows stand.
    cosines = blocks.astype(np.float64) @ vectors.astype(np.float64).T
    sizes = np.diff(np.append(starts, len(vectors)))
    there = np.maximum.reduceat(cosines, starts, axis=1).mean(axis=0)
    nearest = cosines.max(axis=0)
    back = np.add.reduceat(nearest, starts) / sizes
    best = np.maximum.reduceat(nearest, starts)
    rows = np.flatnonzero(nearest == np.repeat(best, sizes))
    _, first = np.unique(np.searchsorted(starts, rows, side="right"), return_index=True)
    return ((there + back) / 2).astype(np.float32), rows[first]


def vector_likeness(
    transformer: DocumentTransformer, blocks: Float32Array, vectors: Float32Array, starts: Int64Array
) -> Float32Array:
    """(d,) the cosines of a document with d others by their whole vectors; what is given is as in `block_likeness`."""
    [asked] = transformer.vectors(blocks, np.zeros(1, np.int64))
    cosines: Float32Array = transformer.vectors(vectors, starts) @ asked
    return cosines


def similar_hits(
    snapshot: SearchSource,
    blocks: Float32Array,
    k: int,
    *,
    allowed: Allowed = None,
    without: str | None = None,
    transformer: DocumentTransformer | None = None,
    explain: bool = False,
) -> list[Hit]:
    """The k documents that are most alike to one with the passages `blocks` (m, D); equal ones in order of their ids.

    They are found by their passages, and compared by these or, with a `transformer`, by the vectors that it gives whole
    documents. A hit shows the passage that is nearest to one of the blocks; with `explain` it has an extract of it.
    `allowed` keeps the documents of which it admits a passage. `without` is the id of the document itself.
    """
    if not len(blocks):
        return []
    ids = [one for one in nearest_documents(snapshot, blocks, k, allowed, without) if one != without]
    if not ids:
        return []
    parts = snapshot.find(ids)
    rows = [spread(np.array(sorted(parts[one]), np.int64)) for one in ids]
    ordinals = np.concatenate(rows)
    starts = np.cumsum([0, *map(len, rows)])[:-1].astype(np.int64)
    vectors = snapshot.vectors(ordinals)
    scores, nearest = block_likeness(blocks, vectors, starts)
    if transformer is not None:
        scores = vector_likeness(transformer, blocks, vectors, starts)
    order = sorted(range(len(ids)), key=lambda place: (-scores[place], ids[place]))[:k]
    passages = snapshot.passages.get(ordinals[nearest[order]])
    hits = [
        hit_of(stored, rank, float(scores[place]))
        for rank, (stored, place) in enumerate(zip(passages, order, strict=True), 1)
    ]
    if explain:
        analyzer = snapshot.passages.analyzer
        hits = [
            replace(hit, explanation=Explanation(None, None, (), snippet(hit.text, analyzer, ())))
            for hit in hits
        ]
    return hits


def nearest_documents(
    snapshot: SearchSource, blocks: Float32Array, k: int, allowed: Allowed, without: str | None
) -> list[str]:
    """The ids of the documents to compare: those whose passages are nearest to the blocks (m, D), in the mean.

    A block for which no passage of a document was found counts as near to it as to the last passage found: more than
    that it cannot be.
    """
    own = int(without is not None)
    depth = min(max(DEPTH, k), snapshot.size)
    while True:
        found = snapshot.dense_search(blocks, depth, allowed)
        ordinals = np.unique(np.concatenate([one.ordinals for one in found]))
        numbers = ordinals if snapshot.documents is None else snapshot.documents[ordinals]
        _, first, document = np.unique(numbers, return_index=True, return_inverse=True)
        exhausted = depth >= snapshot.size or all(len(one.ordinals) < depth for one in found)
        if exhausted or len(first) >= k + own:
            break
        # Many of them were passages of the same documents: search deeper.
        depth = min(depth * 4, snapshot.size)
    near = np.zeros(len(first), np.float64)
    for one in found:
        if len(one.ordinals):
            best = np.full(len(first), one.scores[-1], np.float64)
            np.maximum.at(best, document[np.searchsorted(ordinals, one.ordinals)], one.scores)
            near += best
    ids = snapshot.passages.ids(ordinals[first])
    order = sorted(range(len(ids)), key=lambda place: (-near[place], ids[place]))
    return [ids[place] for place in order[: max(COMPARED, k) + own]]


def blocks_of(generation: Generation, id: str | None, text: str | None, title: str) -> Float32Array:
    """(m, D) the vectors of the passages of a document of the index, or of a text as the index would split it.

    A blank text has none. Raises UsageError unless one of the two is given, for an unknown id, and where there are no
    vectors.
    """
    snapshot = generation.snapshot
    if (id is None) == (text is None):
        raise UsageError("give either the id of a document of the index, or a text")
    check_vectors(snapshot, "documents are compared by the vectors of the index")
    if id is not None:
        if title:
            raise UsageError("title goes with text; a document of the index has its own")
        parts = snapshot.find([id]).get(id)
        if parts is None:
            raise UsageError(f"'{snapshot.folder}' has no document {id!r}; give the id of one, or a text")
        return snapshot.vectors(spread(np.array(sorted(parts), np.int64)))
    assert text is not None
    return encoded_blocks(generation, text, title)


def encoded_blocks(generation: Generation, text: str, title: str) -> Float32Array:
    """(m, D) the vectors of a text's passages, split and encoded as the index does with its documents."""
    from leanseek.indexing.segment_writer import chunking_of

    if not content(title, text).strip():
        return np.zeros((0, generation.encoder.load().dimensions), np.float32)
    encoding = make_encoding(generation.encoder.load(), (), cache=False)
    chunking = chunking_of(generation.snapshot.state.settings, encoding)
    passages = [chunk.text for chunk in chunking.split(text, title)] if chunking is not None else [text]
    kept = [passages[place] for place in spread(np.arange(len(passages)))] or [""]
    return encoding.documents([content(title, passage) for passage in kept], lambda *_: None)[0]


def fitting_transformer(
    generation: Generation, encoder: str | os.PathLike[str] | DocumentTransformer, device: str | None
) -> DocumentTransformer:
    """The document encoder itself, or the one in a folder, which reads the vectors that the index has.

    Raises ModelError for another folder, and where the vectors were made by another encoder than those it has learned
    from.
    """
    from leanseek.encode.document_transformer import load_document_transformer

    transformer = (
        load_document_transformer(Path(encoder), device)
        if isinstance(encoder, str | os.PathLike)
        else encoder
    )
    recorded = generation.snapshot.state.settings.encoder
    if recorded is not None and transformer.encoder != recorded.fingerprint:
        raise ModelError(
            f"the document encoder has learned from vectors of another encoder than '{recorded.name}', which "
            f"'{generation.snapshot.folder}' was made with; train one with --encoder '{recorded.name}'"
        )
    return transformer


def spread(rows: Int64Array) -> Int64Array:
    """At most `BLOCKS` of the rows (n,), the first and the last among them, evenly spaced."""
    if len(rows) <= BLOCKS:
        return rows
    return rows[np.linspace(0, len(rows) - 1, BLOCKS).round().astype(np.int64)]
