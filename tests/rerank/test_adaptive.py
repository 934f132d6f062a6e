"""Adaptive re-ranking: exact where it can be, within its budget always."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.encode import TruncationReport
from leanseek.encode.batches import Deadline
from leanseek.encode.token_model import TokenVectors
from leanseek.errors import ModelError, UsageError
from leanseek.rerank import ByScore, Cascade, Interpolated, Judged
from leanseek.rerank.adaptive import adaptive_scores, check_scorer, fitted
from leanseek.rerank.crossencoder import CrossEncoderReranker
from leanseek.rerank.incontext import InContextReranker
from leanseek.rerank.lateinteraction import LateInteractionReranker, Mix
from leanseek.types import Hit


class Table:
    """A scorer that looks up the scores (m,) of items, and remembers its rounds."""

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores
        self.rounds: list[list[int]] = []

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        self.rounds.append(numbers.tolist())
        found: np.ndarray = self.scores[numbers]
        return found

    @property
    def called(self) -> list[int]:
        return [number for one in self.rounds for number in one]

    def exact(self, k: int) -> list[int]:
        return sorted(range(len(self.scores)), key=lambda number: (-self.scores[number], number))[:k]


class Items:
    """Candidates with vectors (m, D), searched exactly."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.all = vectors

    def nearest(self, vector: np.ndarray, count: int, called: np.ndarray) -> np.ndarray:
        order = np.argsort(-(self.all @ vector), kind="stable")
        return order[~np.isin(order, called)][:count]

    def vectors(self, numbers: np.ndarray) -> np.ndarray:
        return self.all[numbers]

    def search(self, query: np.ndarray, table: Table, budget: int, **options: object) -> list[int]:
        """The numbers of the scored items, best first; the first round goes by the query."""
        first = np.argsort(-(self.all @ query), kind="stable")
        scores = adaptive_scores(first, query, self, table, budget, **options)  # type: ignore[arg-type]
        assert list(scores) == table.called
        return sorted(scores, key=lambda number: (-scores[number], number))


def unit(rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


def test_the_best_are_reached_that_re_ranking_misses() -> None:
    """Scores are products with a vector far from the query's own."""
    draw = np.random.default_rng(3)
    items = Items(unit(draw.normal(size=(1000, 8))))
    hidden, query = draw.normal(size=8), unit(draw.normal(size=(1, 8)))[0]
    table = Table(items.all @ hidden * 7 + 3)
    assert items.search(query, table, 100)[:10] == table.exact(10)
    plain = items.search(query, Table(table.scores), 100, rounds=1)[:10]
    assert len(set(plain) & set(table.exact(10))) < 5


def test_one_round_is_plain_re_ranking() -> None:
    draw = np.random.default_rng(4)
    items, query = Items(unit(draw.normal(size=(200, 6)))), unit(draw.normal(size=(1, 6)))[0]
    table = Table(draw.normal(size=200))
    found = items.search(query, table, 30, rounds=1)
    nearest = np.argsort(-(items.all @ query), kind="stable")[:30].tolist()
    assert table.rounds == [nearest]
    assert found == sorted(nearest, key=lambda number: -table.scores[number])


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 9), st.integers(0, 2**20), st.booleans())
def test_a_budget_is_kept_and_a_full_one_is_exact(
    count: int, budget: int, rounds: int, seed: int, coarse: bool
) -> None:
    """Whatever is searched: no item is scored twice, rounds are even, and the same call gives the same result."""
    draw = np.random.default_rng(seed)
    items, query = Items(unit(draw.normal(size=(count, 5)))), unit(draw.normal(size=(1, 5)))[0]
    scores = draw.integers(0, 3, size=count).astype(float) if coarse else draw.normal(size=count)
    table = Table(scores)
    found = items.search(query, table, budget, rounds=rounds)
    assert len(table.called) == len(set(table.called)) == min(budget, count)
    sizes = list(map(len, table.rounds))
    assert len(sizes) <= rounds
    if budget <= count:
        assert max(sizes) - min(sizes) <= 1
    if budget >= count:
        assert found == table.exact(count)
    again = Table(scores)
    assert items.search(query, again, budget, rounds=rounds) == found and again.rounds == table.rounds


def test_what_a_round_leaves_for_lack_of_items_the_next_ones_take() -> None:
    items, query = Items(np.eye(12, dtype=np.float32)), np.ones(12, np.float32)
    table = Table(np.arange(12.0))
    adaptive_scores([3, 5], query, items, table, 10)
    assert list(map(len, table.rounds)) == [2, 2, 2, 2, 2] and table.rounds[0] == [3, 5]
    table = Table(np.arange(12.0))
    adaptive_scores([3], query, items, table, 10)
    assert list(map(len, table.rounds)) == [1, 3, 2, 2, 2]


def test_items_without_a_score_are_not_called_again_and_do_not_count_in_the_fit() -> None:
    draw = np.random.default_rng(5)
    items, query = Items(unit(draw.normal(size=(60, 4)))), unit(draw.normal(size=(1, 4)))[0]
    silent = Table(np.full(60, np.nan))
    scores = adaptive_scores(np.argsort(-(items.all @ query)), query, items, silent, 20)
    assert len(silent.called) == 20 and np.isnan(list(scores.values())).all()
    # Without any score the vector stays the query's own.
    assert sorted(silent.called) == sorted(np.argsort(-(items.all @ query))[:20].tolist())


def test_no_round_begins_after_the_deadline_or_an_unfinished_one() -> None:
    items, query = Items(np.eye(12, dtype=np.float32)), np.ones(12, np.float32)
    now = [0.0]
    table = Table(np.arange(12.0))

    def slow(numbers: np.ndarray) -> np.ndarray:
        now[0] += 1.0
        return table(numbers)

    deadline = Deadline(2.5, clock=lambda: now[0])
    assert len(adaptive_scores(range(12), query, items, slow, 10, deadline=deadline)) == 6
    table = Table(np.where(np.arange(12) == 1, np.nan, np.arange(12.0)))
    found = adaptive_scores(range(12), query, items, table, 10, deadline=Deadline(60.0))
    assert list(found) == [0, 1]
    assert adaptive_scores(range(12), query, items, table, 10, deadline=Deadline(0.0, lambda: 1.0)) == {}


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.floats(0.01, 10), st.integers(0, 2**20))
def test_the_fit_is_the_least_of_its_loss(count: int, size: int, strength: float, seed: int) -> None:
    """Its gradient is zero there; the scores are on the scale of the products with the query."""
    draw = np.random.default_rng(seed)
    items, scores, query = draw.normal(size=(count, size)), draw.normal(size=count), draw.normal(size=size)
    own = items @ query
    wanted = np.full(count, own.mean())
    if count > 1:
        wanted += (scores - scores.mean()) / scores.std() * own.std()
    u = fitted(items, scores, query, strength)
    gradient = items.T @ (items @ u - wanted) + strength * (u - query)
    assert np.abs(gradient).max() < 1e-7


def test_equal_scores_leave_the_query_where_it_is() -> None:
    items, query = np.eye(4)[:3], np.array([0.5, 0.5, 0.5, 0.5])
    assert fitted(items, np.full(3, 0.1), query, 1.0) == pytest.approx(query)


class ByLength(ByScore):
    """A longer text is better."""

    fingerprint, notes, name = "length", (), "length"

    def judge(self, queries: object, hits: Sequence[Sequence[Hit]], **_: object) -> list[Judged]:
        return [Judged(np.array([float(len(hit.text)) for hit in given_])) for given_ in hits]


class Letters:
    """A token model: a token a letter."""

    name = fingerprint = "letters"
    whole, passage_tokens, budget = False, None, 1000

    def lengths(self, passages: Sequence[str]) -> np.ndarray:
        return np.array([len(text) for text in passages], dtype=np.int32)

    def cut_queries(self, texts: Sequence[str]) -> TruncationReport:
        return TruncationReport.of([len(text.split()) for text in texts], None)

    def queries(self, texts: Sequence[str]) -> TokenVectors:
        vectors = unit(np.random.default_rng(0).normal(size=(26, 6)))
        return TokenVectors([vectors[[ord(letter) - 97 for letter in text]] for text in texts], None)

    passages = queries


class InContext(InContextReranker):
    """Without a decoder."""

    name = "in-context"  # type: ignore[assignment]

    def __init__(self) -> None: ...


class Extracting(CrossEncoderReranker):
    """Without a model."""

    name = "extracting"  # type: ignore[assignment]

    def __init__(self, long: str) -> None:
        self._long = long


def test_re_rankers_that_score_a_hit_alone_are_taken() -> None:
    alone = LateInteractionReranker(Letters(), mix=Mix())
    for reranker in (ByLength(), alone, Extracting("maxp"), Extracting("top2")):
        assert check_scorer(reranker) is reranker


@pytest.mark.parametrize(
    ("reranker", "message"),
    [
        (LateInteractionReranker(Letters()), r"load\(RerankOptions\(mix=Mix\(\)\)\)"),
        (InContext(), "in one prompt"),
        (Interpolated(ByLength()), "in a mix"),
        (Extracting("extract"), "by maxp, top2 or firstp"),
        (Cascade([(ByLength(), 5)]), "no scores of their own"),
    ],
)
def test_scores_that_depend_on_the_other_hits_are_refused(reranker: ByScore, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_scorer(reranker)


def test_bad_input_is_reported() -> None:
    items, query, table = Items(np.eye(2, dtype=np.float32)), np.ones(2, np.float32), Table(np.arange(2.0))
    with pytest.raises(UsageError, match="budget of 0"):
        adaptive_scores([0], query, items, table, 0)
    with pytest.raises(UsageError, match="0 rounds"):
        adaptive_scores([0], query, items, table, 2, rounds=0)
    with pytest.raises(UsageError, match="strength"):
        fitted(np.eye(2), np.ones(2), np.ones(2), 0.0)
    for bad in ([float("inf"), 1.0], [1.0]):
        with pytest.raises(ModelError, match="one finite score for each"):
            adaptive_scores([0, 1], query, items, lambda _, bad=bad: np.array(bad), 2, rounds=1)
