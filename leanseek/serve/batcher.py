"""Models shared by all queries: one thread owns each, and takes together what waits whenever it is free.

There is no timer: a query that comes alone is worked on at once, and under load batches grow by themselves.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from typing import Any, Final, Generic, NamedTuple, TypeVar

import numpy as np

from leanseek.encode import Encoded
from leanseek.encode.learned_vectors import LearnedVector, LearnedVectors
from leanseek.indexing.settings import EncoderSettings, LearnedSettings
from leanseek.rerank import Reranker
from leanseek.rerank.base import Deadline, Reranked
from leanseek.serve.refusals import GoneError
from leanseek.serve.workers import TASK, Task
from leanseek.types import Float32Array, Hit, Int32Array, Progress

Item = TypeVar("Item")
Result = TypeVar("Result")
Row = TypeVar("Row")

RERANKED_TOGETHER: Final = 8
"""Queries whose hits are re-ranked together: more would let the first wait long for the last."""


class Order(NamedTuple, Generic[Item, Result]):
    """What one thread asks of the model, and where its results go."""

    items: Sequence[Item]
    task: Task | None
    results: Future[list[Result]]

    @property
    def gone(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.task is not None and self.task.ticket.gone


class Batcher(Generic[Item, Result]):
    """Does work on items for many threads, up to `most` items at a time, in one thread of its own."""

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result]],
        most: int,
        stage: str,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        """`work` gives one result for each item. `stage` is what its time counts for, `observe` gets batch sizes."""
        self._work = work
        self._most = most
        self._stage = stage
        self._observe = observe
        self._orders: deque[Order[Item, Result]] = deque()
        self._ready = threading.Condition()
        threading.Thread(target=self._serve, name=f"{stage} batches", daemon=True).start()

    def __call__(self, items: Sequence[Item]) -> list[Result]:
        """One result for each item. Raises what the work raises, GoneError where the query was given up.

        Many items go in parts, between which others have their turn.
        """
        task = TASK.get()
        found: list[Result] = []
        with task.away(self._stage) if task is not None else nullcontext():
            for start in range(0, len(items), self._most):
                order = Order[Item, Result](items[start : start + self._most], task, Future())
                with self._ready:
                    self._orders.append(order)
                    self._ready.notify()
                found += order.results.result()
        return found

    def _serve(self) -> None:
        while True:
            batch = self._take()
            if batch:
                self._observe(sum(len(order.items) for order in batch))
                self._do(batch)

    def _take(self) -> list[Order[Item, Result]]:
        """Wait for an order, then all that wait, in their order, up to the most items at a time."""
        batch: list[Order[Item, Result]] = []
        count = 0
        with self._ready:
            while not self._orders:
                self._ready.wait()
            while self._orders and (not batch or count + len(self._orders[0].items) <= self._most):
                order = self._orders.popleft()
                if order.gone:
                    order.results.set_exception(GoneError())
                else:
                    batch.append(order)
                    count += len(order.items)
        return batch

    def _do(self, batch: Sequence[Order[Item, Result]]) -> None:
        try:
            results = iter(self._work([item for order in batch for item in order.items]))
            for order in batch:
                order.results.set_result([next(results) for _ in order.items])
        except BaseException as error:
            if len(batch) == 1:
                batch[0].results.set_exception(error)
                return
            # One of them may be at fault: the others shall not suffer from it.
            for order in batch:
                if not order.results.done():
                    self._do([order])


class Vector(NamedTuple):
    """The vector (D,) of a text, and its length in tokens."""

    values: Float32Array
    tokens: int


class SharedModel(Generic[Row]):
    """A model that encodes for many threads: texts that come at the same time go together, equal ones once."""

    def __init__(
        self,
        recorded: EncoderSettings | LearnedSettings,
        load: Callable[[], Any],
        most: int,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        """`load` is called at the first use, or by `open`; `recorded` is what is known without it."""
        self._recorded: Any = recorded
        self.name = recorded.name
        self.fingerprint = recorded.fingerprint
        self.max_tokens = recorded.max_tokens
        self._load = load
        self._model: Any = None
        self._loading = threading.Lock()
        self._batcher: Batcher[tuple[bool, str], Row] = Batcher(self._encode, most, "encode", observe)

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._model is not None

    def open(self) -> Any:
        """The model itself. Raises ModelError or MissingPackageError."""
        with self._loading:
            if self._model is None:
                self._model = self._load()
            return self._model

    def _rows(self, encoded: Any) -> list[Row]:
        """What the model has made of texts, text by text."""
        raise NotImplementedError

    def _encoded(self, queries: bool, texts: Sequence[str]) -> list[Row]:
        return self._batcher([(queries, text) for text in texts])

    def _encode(self, items: Sequence[tuple[bool, str]]) -> list[Row]:
        model = self.open()
        known: dict[tuple[bool, str], Row] = {}
        for queries, encode in ((True, model.encode_queries), (False, model.encode_documents)):
            texts = list(dict.fromkeys(text for kind, text in items if kind is queries))
            if texts:
                known.update(zip(((queries, text) for text in texts), self._rows(encode(texts)), strict=True))
        return [known[item] for item in items]


class SharedEncoder(SharedModel[Vector]):
    """An `Encoder` for many threads."""

    @property
    def dimensions(self) -> int:
        """D."""
        return int(self._recorded.dimensions)

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Vectors (n, D) of queries, with the model's own query prompt."""
        return self._together(self._encoded(True, texts))

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Vectors (n, D) of passages, with the model's own document prompt."""
        return self._together(self._encoded(False, texts))

    def _together(self, rows: Sequence[Vector]) -> Encoded:
        vectors = np.zeros((len(rows), self.dimensions), np.float32)
        for place, row in enumerate(rows):
            vectors[place] = row.values
        return Encoded(vectors, np.array([row.tokens for row in rows], np.int32))

    def _rows(self, encoded: Encoded) -> list[Vector]:
        return list(map(Vector, encoded.vectors, encoded.tokens.tolist()))


class SharedLearned(SharedModel[LearnedVector]):
    """A `LearnedEncoder` for many threads."""

    @property
    def vocabulary(self) -> int:
        """V: terms are numbers below it."""
        return int(self._recorded.vocabulary)

    def encode_queries(self, texts: Sequence[str]) -> LearnedVectors:
        """Vectors of n queries."""
        return LearnedVectors.of(self._encoded(True, texts))

    def encode_documents(self, texts: Sequence[str]) -> LearnedVectors:
        """Vectors of n passages."""
        return LearnedVectors.of(self._encoded(False, texts))

    def words(self, terms: Int32Array) -> list[str]:
        """(t,) terms as people read them."""
        found: list[str] = self.open().words(terms)
        return found

    def own_terms(self, text: str) -> Int32Array:
        """(t,) the terms that a text has itself, ascending."""
        found: Int32Array = self.open().own_terms(text)
        return found

    def _rows(self, encoded: LearnedVectors) -> list[LearnedVector]:
        return [encoded.row(row) for row in range(len(encoded.tokens))]


class Pairs(NamedTuple):
    """A query with the hits to be re-ranked for it."""

    query: str
    hits: Sequence[Hit]
    deadline: Deadline | None


class SharedReranker:
    """A `Reranker` for many threads: queries that come at the same time are re-ranked together."""

    def __init__(
        self, reranker: Reranker, called: str = "", observe: Callable[[int], None] = lambda size: None
    ) -> None:
        """`called`: the name that it was asked for by, which may be shorter than its own."""
        self.name = reranker.name
        self.called = called
        self.fingerprint = reranker.fingerprint
        self._reranker = reranker
        self._batcher: Batcher[Pairs, Reranked] = Batcher(self._rerank, RERANKED_TOGETHER, "rerank", observe)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for people about the work so far."""
        return self._reranker.notes

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """The same hits, best first, with new ranks and scores. No hits give none."""
        return self.rerank_batch([query], [hits])[0].hits

    def rerank_batch(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Reranked]:
        """`rerank` for many queries, each with its hits; the progress of the others' work is not told."""
        return self._batcher(
            [Pairs(query, given, deadline) for query, given in zip(queries, hits, strict=True)]
        )

    def _rerank(self, items: Sequence[Pairs]) -> list[Reranked]:
        if all(item.deadline is None for item in items):
            return self._reranker.rerank_batch([item.query for item in items], [item.hits for item in items])
        # Each has a time of its own.
        return [
            self._reranker.rerank_batch([item.query], [item.hits], deadline=item.deadline)[0]
            for item in items
        ]
