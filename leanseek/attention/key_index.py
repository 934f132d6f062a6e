"""KeyIndex: finds the keys of an attention head that get the largest weights."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from leanseek.errors import InputError, UsageError
from leanseek.indexing.dense.lean.engine import Effort, Engine, rescored
from leanseek.indexing.dense.lean.first_level import DIMS_A_CODE, WIDTH, list_engine
from leanseek.indexing.dense.lean.lists import BLOCK, Lists, balanced_order, build_lists, encode
from leanseek.indexing.dense.lean.rows import Rows
from leanseek.indexing.leanvec import Reduction, learn_reduction
from leanseek.types import Float32Array, Int64Array

SHARE: Final = 0.03
"""The share of the keys that a search scores in full."""

RUN: Final = 256
"""How many keys in a row are centred together: rotary positions turn the keys' mean slowly, from token to token."""

FIRST: Final = 4
"""How many of the first keys are scored in full by every search and have no code.

Many heads leave their attention on the first token where nothing else matters, and its key lies far from all others
(Xiao et al.: "Efficient streaming language models with attention sinks", ICLR 2024).
"""

_MOST_DIMS: Final = 1024
"""The longest code that the kernel scans, in dimensions."""


class KeyIndex:
    """The keys (n, D) of one attention head in the order of their tokens, searched by what queries attend to.

    A search scores all keys that a query sees by codes of 2 bits a dimension, and the best of them in full: a share of
    the keys, 3 % by default, the first four among them. Three things make the codes lose little:

    - Keys are centred, 256 in a row together. What all keys have in common adds the same number to all scores of a
      query, which the softmax does not see, but is the largest part of what codes would have to hold; and rotary
      positions turn it from token to token.
    - Keys are turned and scaled so that an error weighs the same in every direction for queries like those learned
      from, by the `sphering` of LeanVec. Queries of an attention head lie elsewhere than its keys. (Liu et al.:
      "RetrievalAttention", arXiv:2409.10516.)
    - Product quantisation in that space is the one that minimises E[(<q, k> - <q, code>)²] over queries q. (He et al.:
      "A²ATS", arXiv:2502.12665.)

    Where query heads share a key head, as in grouped-query attention, they share its index. Keys and queries are taken
    after rotary positions, as attention compares them; `leanseek.decode.Decoder.projections` gives them.

    An index grows by `add` as a decoder writes. What was learned fits the positions that it was learned from best;
    build anew when an index has grown to twice its length. It is not to be searched while another thread adds to it.

    >>> index = KeyIndex.build(keys, earlier_queries)
    >>> scores, positions = index.search(queries, 100)
    """

    def __init__(
        self, keys: Float32Array, reduction: Reduction, order: Int64Array, lists: Lists, portable: bool
    ) -> None:
        """See `build`; `order` (d,) has the dimensions in the order of the codes, and `lists` nothing but codebooks."""
        self._keys, self._size = keys, len(keys)
        self._reduction, self._order = reduction, order
        self._lists = lists
        self._settled = FIRST
        self._portable = portable
        self._engine: Engine | None = None

    @classmethod
    def build(
        cls,
        keys: Float32Array,
        queries: Float32Array | None = None,
        dims: int | None = None,
        *,
        seed: int = 0,
        portable: bool = False,
    ) -> KeyIndex:
        """An index of keys (n, D) float32 for queries like `queries` (m, D).

        Args:
            keys: at least one. Codes are learned from all of them; give those of a whole prompt.
            queries: those of all heads that share the keys, of earlier tokens or of other texts. Without them codes
                lose as little as they can of the keys themselves (PCA).
            dims: how many dimensions codes have, 2 bits each; by default D.
            seed: the same input and seed give the same index.
            portable: search through FAISS and NumPy even where the compiled kernels are there.

        Raises UsageError for shapes or `dims` that do not fit, InputError for no keys, NaN or infinite values, or
        queries that are all zero.
        """
        keys = _checked(keys, "keys")
        if len(keys) == 0:
            raise InputError("there are no keys to learn codes from; give those of the tokens read so far")
        width = keys.shape[1]
        most = min(width, _MOST_DIMS)
        if dims is None:
            dims = most
        if not 1 <= dims <= most:
            raise UsageError(f"dims is {dims}; codes have from 1 to {most} dimensions")
        if queries is not None:
            queries = _checked(queries, "queries")
            if queries.shape[1] != width:
                raise UsageError(
                    f"queries have {queries.shape[1]} dimensions and keys {width}; give those of one attention head"
                )
        coded = keys[FIRST:] if len(keys) > FIRST else keys
        reduction = _reduction(coded - coded.mean(axis=0), queries, dims, seed)
        reduced = _filled(reduction.reduce_data(coded))
        order = balanced_order(reduced.var(axis=0), DIMS_A_CODE)
        matrix = _filled(reduction.queries.T)[:, order]
        # One list: codewords that are spread as widely as all keys fit those best that get large weights.
        lists = build_lists(np.ascontiguousarray(reduced[:, order]), matrix, 1, DIMS_A_CODE, seed)
        nothing = {name: getattr(lists, name)[:0] for name in ("centroids", "spreads", "codes", "ordinals")}
        return cls(keys, reduction, order, replace(lists, starts=lists.starts[:1], **nothing), portable)

    @property
    def size(self) -> int:
        """n, the number of keys."""
        return self._size

    @property
    def dimensions(self) -> int:
        """D, the length of a key."""
        return int(self._keys.shape[1])

    @property
    def dims(self) -> int:
        """How many dimensions codes have."""
        return self._reduction.dims

    @property
    def code_bytes(self) -> int:
        """The size of a key's code: what a search reads of each key that the query sees."""
        return int(self._lists.codes.shape[1])

    @property
    def method(self) -> str:
        """How the codes' space was learned: `sphering` from queries, `id` (PCA) without."""
        return self._reduction.method

    def depth(self, k: int, before: int | None = None, share: float = SHARE) -> int:
        """How many keys a search for k scores in full, where a query sees the first `before` (by default all)."""
        seen = self._size if before is None else before
        return min(seen, max(k + FIRST, math.floor(share * seen)))

    def add(self, keys: Float32Array) -> None:
        """Append the keys (c, D) of the tokens that follow. They are coded by what was learned when it was built.

        Raises UsageError for a shape that does not fit, InputError for NaN or infinite values; nothing is added then.
        """
        keys = _checked(keys, "keys")
        if keys.shape[1] != self.dimensions:
            raise UsageError(f"keys have shape {keys.shape}; this index takes (c, {self.dimensions}) float32")
        if len(keys) == 0:
            return
        end = self._size + len(keys)
        if end > len(self._keys):
            # At least twice the room, so that adding one by one takes time in proportion.
            larger = np.empty((max(end, 2 * len(self._keys)), self.dimensions), dtype=np.float32)
            larger[: self._size] = self._keys[: self._size]
            self._keys = larger
        self._keys[self._size : end] = keys
        self._size = end
        self._engine = None

    def search(
        self,
        queries: Float32Array,
        k: int,
        before: int | Int64Array | None = None,
        *,
        share: float = SHARE,
    ) -> tuple[Float32Array, Int64Array]:
        """Scores (m, k) float32 and positions (m, k) int64 of the keys with the largest weights for queries (m, D).

        `before`, one number or (m,), is how many of the first keys each query sees: for a token at position p of a
        causal decoder p + 1, itself included. By default all. A search scores `share` of these in full, but
        the first 4 and k more at least.

        Scores are inner products, which attention multiplies by its scale; the largest come first, of equal ones the
        earlier. Rows with fewer than k answers end in score -inf and position -1.

        Raises UsageError for shapes that do not fit, k < 1, `before` outside 0 to n or `share` outside (0, 1],
        InputError for NaN or infinite queries.
        """
        queries = _checked(queries, "queries")
        if queries.shape[1] != self.dimensions:
            raise UsageError(
                f"queries have shape {queries.shape}; this index takes (m, {self.dimensions}) float32"
            )
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1")
        if not 0.0 < share <= 1.0:
            raise UsageError(f"share is {share}; it must lie above 0 and at most at 1 (0.03 is usual)")
        seen = self._seen(before, len(queries))
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        positions = np.full((len(queries), k), -1, dtype=np.int64)
        for count in np.unique(seen[seen > 0]).tolist():
            rows = np.flatnonzero(seen == count)
            answers = min(k, count)
            found = self._best(queries[rows], answers, count, self.depth(answers, count, share))
            scores[rows, :answers], positions[rows, :answers] = found
        return scores, positions

    def _best(self, queries: Float32Array, k: int, count: int, depth: int) -> tuple[Float32Array, Int64Array]:
        """Scores and positions (m, k) among the first `count` keys, of which `depth` are scored in full."""
        every: Int64Array = np.arange(count)
        rows = Rows(self._keys[: self._size], portable=self._portable)
        if depth == count:
            return rescored(rows, queries, k, lambda _: every)
        engine = self._opened(rows)
        allowed = None if count == self._size else np.arange(self._size) < count
        _, found = engine.search(queries, k, Effort(engine.widest, depth - FIRST), allowed, 1)
        # Where nothing tells codes apart, FAISS leaves some out.
        whole = set(np.flatnonzero((found >= 0).sum(axis=1) == k).tolist())
        return rescored(
            rows, queries, k, lambda row: np.append(every[:FIRST], found[row]) if row in whole else every
        )

    def _seen(self, before: int | Int64Array | None, count: int) -> Int64Array:
        """(count,) how many keys each query sees."""
        given = np.asarray(self._size if before is None else before)
        if given.dtype.kind not in "iu" or given.shape not in ((), (count,)):
            raise UsageError(
                f"before is {given.dtype} of shape {given.shape}; give one whole number, or one for each of "
                f"the {count} queries"
            )
        if given.size and not 0 <= given.min() <= given.max() <= self._size:
            raise UsageError(
                f"before goes from {given.min()} to {given.max()}; of this index a query sees 0 to {self._size} keys"
            )
        return np.broadcast_to(given, (count,)).astype(np.int64)

    def _opened(self, rows: Rows) -> Engine:
        """What searches the keys that there are now, `rows`, by their codes."""
        if self._engine is None:
            lists = self._lists
            for start in range(self._settled, self._size, RUN):
                end = min(start + RUN, self._size)
                lists = self._with_run(lists, start, end)
                if end - start == RUN:
                    # The last one, which keys may follow, is coded again each time.
                    self._lists, self._settled = lists, end
            self._engine = list_engine(lists, rows, self._portable)
        return self._engine

    def _with_run(self, lists: Lists, start: int, end: int) -> Lists:
        """The lists with one more, of the keys from `start` to before `end`."""
        reduced = _filled(self._reduction.reduce_data(self._keys[start:end]))[:, self._order]
        centroid = reduced.mean(axis=0, keepdims=True)
        blocks = -(-len(reduced) // BLOCK)
        codes = np.zeros((blocks * BLOCK, lists.codes.shape[1]), dtype=np.uint8)
        codes[: len(reduced)] = encode(reduced - centroid, lists.codebooks)
        ordinals = np.full(blocks * BLOCK, -1, dtype=np.int32)
        ordinals[: len(reduced)] = np.arange(start, end)
        return replace(
            lists,
            centroids=np.concatenate([lists.centroids, centroid]),
            spreads=np.append(lists.spreads, np.float32(0)),
            starts=np.append(lists.starts, lists.starts[-1] + blocks),
            codes=np.concatenate([lists.codes, codes.reshape(blocks, BLOCK, -1).transpose(0, 2, 1)]),
            ordinals=np.concatenate([lists.ordinals, ordinals]),
        )


def _checked(vectors: Float32Array, name: str) -> Float32Array:
    values = np.array(vectors, dtype=np.float32, order="C")
    if values.ndim != 2 or values.shape[1] == 0:
        raise UsageError(
            f"{name} have shape {values.shape}; an index takes (n, D) float32, those of one attention head"
        )
    if not np.isfinite(values).all():
        raise InputError(
            f"{name} hold NaN or infinite values, which have no inner product; check the model's precision"
        )
    return values


def _reduction(centred: Float32Array, queries: Float32Array | None, dims: int, seed: int) -> Reduction:
    if not centred.any():
        # One key, or equal ones: all have the same score, whatever is learned.
        matrix = np.eye(dims, centred.shape[1], dtype=np.float32)
        return Reduction(matrix, matrix, "id", 0.0)
    if queries is None or len(queries) == 0:
        return learn_reduction(centred, None, dims, "id", seed=seed)
    return learn_reduction(centred, queries, dims, "sphering", seed=seed)


def _filled(reduced: Float32Array) -> Float32Array:
    """(n, d) with zeros behind, so that d is a multiple of what the kernel takes at a time."""
    return np.pad(reduced, ((0, 0), (0, -reduced.shape[1] % WIDTH)))
