"""What time and memory allow is read, and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rerank.incontext_support import decoder, passages, tokenizer

from leanseek.encode.batches import Deadline
from leanseek.rerank import InContextReranker
from leanseek.rerank.base import Reranked
from leanseek.types import Hit

QUERY = "does a statin lower cholesterol?"


class Slow:
    """A re-ranker whose model takes `seconds` for a token by a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float, **options: Any) -> None:
        self.judge = InContextReranker((decoder(), tokenizer()), **options)
        self.seconds, self.now, self.prompts = seconds, 0.0, 0
        real: Callable[..., Any] = self.judge._decoder.attention

        def attention(prefixes: Any, tails: Any, *rest: Any, **more: Any) -> Any:
            tokens = sum(map(len, prefixes)) + sum(len(tail) for side in tails for tail in side)
            self.now += self.seconds * tokens
            self.prompts += 1
            return real(prefixes, tails, *rest, **more)

        monkeypatch.setattr(self.judge._decoder, "attention", attention)

    def search(self, hits: list[Hit], budget: float) -> tuple[Reranked, float]:
        """A query with a budget of its own, and the seconds that it took."""
        begun = self.now
        deadline = Deadline(budget, lambda: self.now)
        (found,) = self.judge.rerank_batch([QUERY], [hits], deadline=deadline)
        return found, self.now - begun


def hits_of(texts: list[str]) -> list[Hit]:
    return [Hit(rank, f"d{rank:03}", 1.0 / rank, "", text, {}) for rank, text in enumerate(texts, 1)]


def test_a_budget_that_suffices_reads_all_and_the_time_is_known_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow, hits = Slow(monkeypatch, 0.001), hits_of(passages(20))
    found, _ = slow.search(hits, 60.0)
    assert (found.reached, found.asked) == (20, 20)
    assert found.hits == slow.judge.rerank(QUERY, hits)
    before = slow.prompts
    assert slow.search(hits, 60.0)[0] == found
    assert slow.prompts == before + 1


@pytest.mark.parametrize("options", [{}, {"window": 4, "stride": 2}])
def test_as_many_of_the_best_hits_are_read_as_there_is_time_for(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, hits = Slow(monkeypatch, 0.001, **options), hits_of(passages(30))
    begun = slow.now
    slow.judge.rerank(QUERY, hits)
    budget = 0.5 * (slow.now - begun)
    for number in range(6):
        found, took = slow.search(hits, budget)
        assert took <= budget or number == 0
        assert 2 <= found.reached < 30
    assert found.reached >= 9
    best, rest = found.hits[: found.reached], found.hits[found.reached :]
    alone = slow.judge.rerank(QUERY, hits[: found.reached])
    assert [(hit.id, hit.score) for hit in best] == [(hit.id, hit.score) for hit in alone]
    assert [hit.id for hit in rest] == [hit.id for hit in hits[found.reached :]]


def test_a_model_too_slow_for_the_budget_is_tried_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, hits = Slow(monkeypatch, 0.1), hits_of(passages(20))
    reached = [slow.search(hits, 0.2)[0].reached for _ in range(40)]
    assert [place for place, count in enumerate(reached) if count] == [0, 2, 5, 10, 19, 36]
    assert set(reached) == {0, 2}  # what is tried is as little as can be


def test_a_slow_beginning_does_not_last(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, hits = Slow(monkeypatch, 0.1), hits_of(passages(20))
    assert slow.search(hits, 0.5)[0].reached == 2
    slow.seconds = 0.0001
    reached = [slow.search(hits, 0.5)[0].reached for _ in range(12)]
    assert reached[0] == 0 and reached[1] >= 2 and reached[-1] == 20


def test_nothing_is_read_where_there_is_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, hits = Slow(monkeypatch, 0.1), hits_of(passages(4))
    found, took = slow.search(hits, 0.0)
    assert (found.reached, took, slow.prompts) == (0, 0.0, 0)
    assert [hit.id for hit in found.hits] == [hit.id for hit in hits]
    assert slow.search([], 1.0)[0] == Reranked([], 0, 0)


def test_prompts_never_grow_again_once_memory_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = InContextReranker((decoder(), tokenizer()), batch_size=4)
    real: Callable[..., Any] = judge._decoder.attention
    rooms: list[int] = []
    failures = 0

    def scarce(prefixes: Any, *rest: Any, **more: Any) -> Any:
        nonlocal failures
        rooms.extend([judge._driver.room] if judge._driver.room is not None else [])
        if sum(map(len, prefixes)) > 330:
            failures += 1
            raise RuntimeError("out of memory")
        return real(prefixes, *rest, **more)

    monkeypatch.setattr(judge._decoder, "attention", scarce)
    lists = [hits_of(passages(30, seed=seed)) for seed in range(4)]
    found = judge.rerank_batch(["a", "b", "c", "d"], lists)
    assert [one.reached for one in found] == [30] * 4
    assert all(np.isfinite([hit.score for hit in one.hits]).all() for one in found)
    assert rooms == sorted(rooms, reverse=True)
    assert failures <= 6  # four prompts, two, one, and halves of it: what one query taught is known for all
    batch, room = (note for note in judge.notes if "memory" in note)
    assert batch == "memory ran out: one prompt at a time is read from now on"
    assert room == f"memory ran out: prompts hold at most {rooms[-1]:,} tokens of documents from now on"
