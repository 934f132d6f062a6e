"""The matrices that reduce token vectors, learned from an index's passages and queries like those it will get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from leanseek.encode.batches import Batches
from leanseek.encode.token_model import TokenModel, TokenVectors, finite_tokens
from leanseek.indexing.leanvec import learn_reduction
from leanseek.indexing.learning_queries import learning_queries
from leanseek.indexing.snapshot import Snapshot
from leanseek.indexing.tokens.form import Matrices
from leanseek.indexing.tokens.store import live_passages
from leanseek.types import Document, Float32Array, Progress, content

_PASSAGES: Final = 512
_TOKENS_EACH: Final = 64
"""Together as many vectors as `learn_reduction` reads at most."""
_QUERIES: Final = 1_000
_QUERIES_AT_ONCE: Final = 16


def learn_matrices(model: TokenModel, snapshot: Snapshot, dims: int, progress: Progress) -> Matrices:
    """The matrices that reduce the model's token vectors to `dims`, from a sample of the passages.

    They are fitted to the tokens of the index's learning queries, or of texts of its passages that resemble queries,
    where that preserves the inner products of held-out queries better than PCA does (`learn_reduction`).

    Raises InputError where the index has no passages with a token.
    """
    ordinals = snapshot.ordinals()
    chosen = np.unique(np.linspace(0, max(len(ordinals) - 1, 0), _PASSAGES).astype(np.int64))[: len(ordinals)]
    passages = [content(one.title, one.text) for one in snapshot.passages.get(ordinals[chosen])]
    progress("learning a reduction", 0, None)
    vectors = _of_passages(model, passages)
    documents = (Document(one.id, one.text, one.title) for some in live_passages(snapshot) for one in some)
    queries = learning_queries(snapshot.state.learning_queries, documents, _QUERIES)
    learning, held_out = _of_queries(model, queries.texts), _of_queries(model, queries.held_out)
    if not len(learning):
        learned = learn_reduction(vectors, None, dims)
    else:
        learned = learn_reduction(vectors, learning, dims, held_out=held_out)
    turn = rotation(dims)
    return Matrices(turn @ learned.queries, turn @ learned.data)


def rotation(dims: int) -> Float32Array:
    """(dims, dims) a random rotation, always the same one.

    Of a reduced vector the first elements are by far the largest, so that few levels between the least and the largest
    would leave nothing of the others. Turned alike, queries and passages keep their inner products, and all elements
    are of one size.
    """
    drawn = np.random.default_rng(0).standard_normal((dims, dims))
    basis, triangle = np.linalg.qr(drawn)
    turned: Float32Array = (basis * np.sign(np.diagonal(triangle))).astype(np.float32)
    return turned


def _of_passages(model: TokenModel, passages: Sequence[str]) -> Float32Array:
    """(n, D) some tokens of each passage, evenly spread over it."""

    def run(numbers: list[int]) -> TokenVectors:
        return model.passages([passages[number] for number in numbers])

    lengths = model.lengths(passages).tolist() if passages else []
    batches = Batches(model.budget, "passage").run(lengths, range(len(passages)), run)
    found = [
        one.tokens[np.unique(np.linspace(0, len(one.tokens) - 1, _TOKENS_EACH).astype(np.int64))]
        for _, read in batches
        for one in finite_tokens(read)
        if len(one.tokens)
    ]
    return np.concatenate(found) if found else np.zeros((0, 1), dtype=np.float32)


def _of_queries(model: TokenModel, queries: Sequence[str]) -> Float32Array:
    """(m, D) the tokens of the queries."""
    found = [
        one.tokens
        for start in range(0, len(queries), _QUERIES_AT_ONCE)
        for one in finite_tokens(model.queries(queries[start : start + _QUERIES_AT_ONCE]))
    ]
    return np.concatenate(found) if found else np.zeros((0, 1), dtype=np.float32)
