"""Batches that form by themselves: what waits goes together, what is given up is not computed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import numpy as np
import pytest
from support import HashEncoder

from leanseek.encode import Encoded
from leanseek.indexing.creation import encoder_settings
from leanseek.rerank import ByScore, Deadline, Judged
from leanseek.serve.batcher import Batcher, SharedEncoder, SharedReranker
from leanseek.serve.refusals import GoneError
from leanseek.serve.workers import TASK, Task, Ticket
from leanseek.types import Hit, Progress


class Gate:
    """Work that waits to be let through, and remembers its batches."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.entered.set()
        assert self.open.wait(30)
        if -1 in items:
            raise ValueError("-1 cannot be")
        return [item * item for item in items]


def queued(batcher: Batcher[int, int], count: int) -> None:
    """Wait until so many orders wait."""
    while len(batcher._orders) < count:
        threading.Event().wait(0.001)


def test_a_lone_item_goes_alone_and_those_that_wait_go_together() -> None:
    gate = Gate()
    batcher = Batcher(gate, 3, "encode")
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(batcher, [1])
        assert gate.entered.wait(30)
        others = []
        for item in (2, 3, 4, 5):
            others.append(pool.submit(batcher, [item]))
            queued(batcher, len(others))
        gate.open.set()
        assert first.result() == [1] and [one.result() for one in others] == [[4], [9], [16], [25]]
    assert gate.batches == [[1], [2, 3, 4], [5]]


def test_many_items_leave_others_their_turn() -> None:
    gate = Gate()
    batcher = Batcher(gate, 2, "encode")
    with ThreadPoolExecutor(2) as pool:
        many = pool.submit(batcher, [1, 2, 3, 4, 5])
        assert gate.entered.wait(30)
        other = pool.submit(batcher, [9])
        queued(batcher, 1)
        gate.open.set()
        assert many.result() == [1, 4, 9, 16, 25] and other.result() == [81]
    assert gate.batches.index([9]) == 1 or [9, *gate.batches[1][1:]] == gate.batches[1]


def test_an_error_is_that_of_its_own_item() -> None:
    gate = Gate()
    batcher = Batcher(gate, 8, "encode")
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(batcher, [1])
        assert gate.entered.wait(30)
        others = []
        for item in (2, -1, 3):
            others.append(pool.submit(batcher, [item]))
            queued(batcher, len(others))
        gate.open.set()
        assert (first.result(), others[0].result(), others[2].result()) == ([1], [4], [9])
        with pytest.raises(ValueError, match="-1 cannot be"):
            others[1].result()
    assert batcher([5]) == [25]


def test_what_nobody_waits_for_is_not_computed() -> None:
    gate = Gate()
    batcher = Batcher(gate, 8, "encode")
    slots = threading.Semaphore(4)
    ticket = Ticket("gone")

    def given_up() -> list[int]:
        task = Task(ticket, slots)
        task.enter()
        TASK.set(task)
        return batcher([7])

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(batcher, [1])
        assert gate.entered.wait(30)
        gone = pool.submit(copy_context().run, given_up)
        queued(batcher, 1)
        kept = pool.submit(batcher, [3])
        queued(batcher, 2)
        ticket.gone = True
        gate.open.set()
        with pytest.raises(GoneError):
            gone.result()
        assert first.result() == [1] and kept.result() == [9]
    assert gate.batches == [[1], [3]]


def test_shared_vectors_are_those_of_the_encoder() -> None:
    own = HashEncoder()
    shared = SharedEncoder(encoder_settings(own), HashEncoder, most=8)
    texts = [f"heart wing {number % 7}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: shared.encode_queries([text]), texts))
    expected = own.encode_queries(texts)
    assert np.array_equal(np.concatenate([one.vectors for one in found]), expected.vectors)
    assert np.array_equal(np.concatenate([one.tokens for one in found]), expected.tokens)
    assert shared.encode_documents([]).vectors.shape == (0, own.dimensions)
    assert np.array_equal(shared.encode_documents(texts).vectors, own.encode_documents(texts).vectors)


def test_equal_texts_are_encoded_once() -> None:
    class Counting(HashEncoder):
        calls: list[int] = []  # noqa: RUF012

        def encode_queries(self, texts: Sequence[str]) -> Encoded:
            self.calls.append(len(texts))
            return super().encode_queries(texts)

    shared = SharedEncoder(encoder_settings(HashEncoder()), Counting, most=8)
    assert len(shared.encode_queries(["a", "b", "a", "a"]).vectors) == 4
    assert Counting.calls == [2]


class Lengths(ByScore):
    """A re-ranker that prefers long texts."""

    name = "lengths"
    fingerprint = "0"
    notes = ()

    def judge(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Judged]:
        return [Judged(np.array([float(len(hit.text)) for hit in given])) for given in hits]


def test_shared_re_ranking_is_that_of_the_re_ranker() -> None:
    lists = [
        [Hit(rank + 1, f"{rank}", -rank, "", "x" * ((rank * 7 + list_) % 5), {}) for rank in range(6)]
        for list_ in range(20)
    ]
    shared = SharedReranker(Lengths())
    for deadline in (None, Deadline(100.0)):
        with ThreadPoolExecutor(8) as pool:
            found = list(
                pool.map(
                    lambda hits, until=deadline: shared.rerank_batch(["q"], [hits], deadline=until), lists
                )
            )
        assert [one[0].hits for one in found] == [Lengths().rerank("q", hits) for hits in lists]
