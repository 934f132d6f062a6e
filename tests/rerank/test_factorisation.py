"""Search by an expensive scorer: exact where it can be, within its budget always."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanseek.encode import TruncationReport
from leanseek.encode.token_model import TokenVectors
from leanseek.errors import InputError, ModelError, UsageError
from leanseek.rerank import ByScore, Judged
from leanseek.rerank.factorisation import AnncurIndex, Axn, Found, LeastSquares, Ridge, scores_of
from leanseek.rerank.factorisation.axn import shares
from leanseek.rerank.factorisation.fitting import pseudo_inverse, scaled
from leanseek.rerank.incontext import InContextReranker
from leanseek.rerank.lateinteraction import LateInteractionReranker, Mix
from leanseek.types import Hit


class Table:
    """A scorer that looks up a row (m,) of scores, and remembers what it was asked."""

    def __init__(self, ids: Sequence[str], scores: np.ndarray) -> None:
        self.by_id = dict(zip(ids, scores, strict=True))
        self.asked: list[str] = []

    def __call__(self, query: str, ids: Sequence[str]) -> list[float]:
        self.asked += ids
        return [float(self.by_id[identifier]) for identifier in ids]

    def exact(self, k: int) -> list[str]:
        return sorted(self.by_id, key=lambda identifier: (-self.by_id[identifier], identifier))[:k]


def names(count: int, seed: int = 0) -> list[str]:
    """Ids that do not arrive in order."""
    return [f"i{number:04}" for number in np.random.default_rng(seed).permutation(count)]


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_anncur_recovers_a_low_rank_matrix_with_as_many_anchors(rank: int) -> None:
    draw = np.random.default_rng(rank)
    ids = names(400)
    items = draw.normal(size=(rank, 400))
    index = AnncurIndex(ids, (draw.normal(size=(20, rank)) @ items).astype(np.float32), ridge=0.0)
    for _ in range(5):
        table = Table(ids, draw.normal(size=rank) @ items)
        found = index.search(table, "q", 10, budget=rank + 10, anchors=rank)
        assert found.ids == table.exact(10)
        assert found.calls == len(table.asked) == rank + 10
        assert found.scores == pytest.approx([table.by_id[identifier] for identifier in found.ids])


def test_anncur_is_the_published_formula() -> None:
    """c pinv(R[:, anchors]) R with NumPy's own pseudo-inverse, item by item."""
    draw = np.random.default_rng(1)
    ids = [f"i{number:03}" for number in range(60)]
    scores = draw.normal(size=(12, 60)).astype(np.float32)
    table = Table(ids, draw.normal(size=60))
    index = AnncurIndex(ids, scores, ridge=0.0, seed=4)
    index.search(table, "q", 1, budget=15, anchors=7)
    anchors, chosen = table.asked[:7], table.asked[7:]
    places = [ids.index(identifier) for identifier in anchors]
    known = np.array([table.by_id[identifier] for identifier in anchors])
    estimate = known @ np.linalg.pinv(scores[:, places].astype(np.float64)) @ scores
    order = sorted(set(range(60)) - set(places), key=lambda place: -estimate[place])
    assert chosen == [ids[place] for place in order[:8]]


def test_anncur_is_built_by_the_scorer_and_made_again_from_its_scores() -> None:
    draw = np.random.default_rng(2)
    ids = names(50)
    rows = {f"a{row}": draw.normal(size=50) for row in range(4)}
    told: list[int] = []

    def score(query: str, asked: Sequence[str]) -> np.ndarray:
        return np.array([rows[query][ids.index(identifier)] for identifier in asked])

    index = AnncurIndex.build(score, list(rows), ids, progress=lambda _, done, of: told.append(done))
    assert told == [1, 2, 3, 4] and index.ids == sorted(ids)
    table = Table(ids, draw.normal(size=50))
    again = AnncurIndex(index.ids, index.scores)
    assert_same(index.search(table, "q", budget=20), again.search(table, "q", budget=20))


def assert_same(one: Found, other: Found) -> None:
    assert one.ids == other.ids and list(one.scores) == list(other.scores) and one.calls == other.calls


def test_axn_finds_what_lies_in_the_space_of_the_vectors() -> None:
    """Scores are products with a vector far from the query's own: retrieve-and-rerank misses what AXN finds."""
    draw = np.random.default_rng(3)
    ids, vectors = names(1000), unit(draw.normal(size=(1000, 8)))
    hidden, query = draw.normal(size=8), unit(draw.normal(size=(1, 8)))[0]
    table = Table(ids, vectors @ hidden * 7 + 3)
    for fit in (LeastSquares(), Ridge(1e-3)):
        found = Axn(ids, vectors, rounds=5, fit=fit).search(table, "q", query, 10, budget=60)
        assert found.ids == table.exact(10)
    reranked = Axn(ids, vectors, rounds=1).search(table, "q", query, 10, budget=60)
    assert len(set(reranked.ids) & set(table.exact(10))) < 5


def test_one_round_is_retrieve_and_rerank() -> None:
    draw = np.random.default_rng(4)
    ids, vectors = names(200), unit(draw.normal(size=(200, 6)))
    query = unit(draw.normal(size=(1, 6)))[0]
    table = Table(ids, draw.normal(size=200))
    found = Axn(ids, vectors, rounds=1).search(table, "q", query, 10, budget=30)
    nearest = [ids[place] for place in np.argsort(-(vectors @ query))[:30]]
    assert sorted(table.asked) == sorted(nearest)
    assert found.ids == Table(nearest, np.array([table.by_id[one] for one in nearest])).exact(10)


counts = st.integers(1, 40)


@settings(max_examples=80, deadline=None)
@given(
    counts, st.integers(1, 60), st.integers(1, 12), st.integers(1, 9), st.integers(0, 2**20), st.booleans()
)
def test_a_budget_is_kept_and_a_full_one_is_exact(
    items: int, budget: int, k: int, rounds: int, seed: int, coarse: bool
) -> None:
    """Whatever is searched: no item is scored twice, scores are exact, equal ones go by id."""
    draw = np.random.default_rng(seed)
    ids, vectors = names(items, seed), unit(draw.normal(size=(items, 5)))
    scores = draw.integers(0, 3, size=items).astype(float) if coarse else draw.normal(size=items)
    query = unit(draw.normal(size=(1, 5)))[0]
    anncur = AnncurIndex(ids, draw.normal(size=(6, items)).astype(np.float32))
    ways = [
        lambda table: anncur.search(table, "q", k, budget=budget),
        lambda table: Axn(ids, vectors, rounds=rounds).search(table, "q", query, k, budget=budget),
        lambda table: Axn(ids, vectors, rounds=rounds, fit=LeastSquares(0.5)).search(
            table, "q", query, k, budget=budget
        ),
    ]
    for way in ways:
        table = Table(ids, scores)
        found = way(table)
        assert found.calls == len(table.asked) == len(set(table.asked)) == min(budget, items)
        among = Table(table.asked, np.array([table.by_id[one] for one in table.asked]))
        assert found.ids == among.exact(k)
        assert list(found.scores) == [table.by_id[one] for one in found.ids]
        if budget >= items:
            assert found.ids == table.exact(k)
        assert_same(way(Table(ids, scores)), found)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.floats(0.01, 10), st.integers(0, 2**20))
def test_the_ridge_is_the_least_of_its_loss(count: int, size: int, strength: float, seed: int) -> None:
    """Its gradient is zero there, and the loss is no less anywhere near."""
    draw = np.random.default_rng(seed)
    items, scores, query = draw.normal(size=(count, size)), draw.normal(size=count), draw.normal(size=size)
    wanted = scaled(scores, items @ query)
    u = Ridge(strength)(items, scores, query)
    gradient = items.T @ (items @ u - wanted) + strength * (u - query)
    assert np.abs(gradient).max() < 1e-7


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**20))
def test_the_pseudo_inverse_is_that_of_numpy_and_a_ridge_damps_it(rows: int, columns: int, seed: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(rows, columns))
    if np.linalg.cond(matrix) < 1e4:
        assert pseudo_inverse(matrix) == pytest.approx(np.linalg.pinv(matrix), abs=1e-6)
        most = np.linalg.norm(matrix, 2) ** 2
        damped = matrix.T @ np.linalg.inv(matrix @ matrix.T + 0.1 * most * np.eye(rows))
        assert pseudo_inverse(matrix, 0.1) == pytest.approx(damped, abs=1e-6)
    assert not pseudo_inverse(np.zeros((rows, columns))).any()


def test_equal_scores_leave_the_query_where_it_is() -> None:
    items, query = np.eye(4)[:3], np.array([0.5, 0.5, 0.5, 0.5])
    assert Ridge(1.0)(items, np.full(3, 0.1), query) == pytest.approx(query)


@given(st.integers(1, 500), st.integers(1, 20))
def test_rounds_share_the_budget_evenly(budget: int, rounds: int) -> None:
    found = shares(budget, rounds)
    assert sum(found) == budget and len(found) <= rounds
    assert max(found) - min(found) <= 1 and min(found) >= 1


class ByLength(ByScore):
    """A longer text is better."""

    fingerprint, notes, name = "length", (), "length"

    def judge(self, queries: object, hits: Sequence[Sequence[Hit]], **_: object) -> list[Judged]:
        return [Judged(np.array([float(len(hit.text)) for hit in given_])) for given_ in hits]


def test_a_reranker_is_a_scorer() -> None:
    hits = {f"d{i}": Hit(i, f"d{i}", 0.0, "", "x" * i, {}) for i in range(1, 30)}
    found = Axn(list(hits), unit(np.random.default_rng(0).normal(size=(29, 3)))).search(
        scores_of(ByLength(), hits), "q", np.ones(3, np.float32), 2, budget=29
    )
    assert found.ids == ["d29", "d28"] and list(found.scores) == [29.0, 28.0]


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


def test_late_interaction_is_a_scorer_by_maxsim_alone() -> None:
    """With all items as the budget the search is exact, however many rounds score them."""
    draw = np.random.default_rng(1)
    texts = ["".join(draw.choice(list("abcdefghijklmnopqrstuvwxyz"), 4)) for _ in range(60)]
    hits = {f"d{i:02}": Hit(i, f"d{i:02}", 1.0 / i, "", text, {}) for i, text in enumerate(texts, 1)}
    score = scores_of(LateInteractionReranker(Letters(), mix=Mix()), hits)
    exact = Table(list(hits), np.asarray(score("statin", list(hits))))
    axn = Axn(list(hits), unit(draw.normal(size=(60, 5))))
    found = axn.search(score, "statin", np.ones(5, np.float32), 10, budget=60)
    assert found.ids == exact.exact(10)
    assert list(found.scores) == [exact.by_id[identifier] for identifier in found.ids]


def test_scores_that_depend_on_the_other_hits_are_refused() -> None:
    with pytest.raises(UsageError, match=r"load\(None, mix=Mix\(\)\)"):
        scores_of(LateInteractionReranker(Letters()), {})
    with pytest.raises(UsageError, match="in one prompt"):
        scores_of(InContext(), {})


def test_bad_input_is_told() -> None:
    ids, vectors = ["a", "b"], np.eye(2, dtype=np.float32)
    query, table = np.ones(2, np.float32), Table(ids, np.arange(2.0))
    axn = Axn(ids, vectors)
    for bad, message in (
        (lambda: axn.search(table, "q", query, budget=0), "budget of 0"),
        (lambda: axn.search(table, "q", query, 0, budget=2), "k is 0"),
        (lambda: axn.search(table, "q", np.ones(3, np.float32), budget=2), "shape"),
        (lambda: Axn(ids, vectors[:1]), "one vector each"),
        (lambda: Axn(ids, vectors, rounds=0), "rounds"),
        (lambda: Ridge(0.0), "strength"),
        (lambda: LeastSquares(1.5), "weight"),
        (lambda: AnncurIndex(ids, np.zeros((2, 3), np.float32)), "give \\(queries, ids\\)"),
        (lambda: AnncurIndex(ids, np.full((1, 2), np.nan, np.float32)), "not finite"),
        (lambda: AnncurIndex(ids, np.ones((1, 2), np.float32), ridge=-1.0), "ridge"),
        (lambda: AnncurIndex.build(table, [], ids), "at least one query"),
        (
            lambda: AnncurIndex(ids, np.ones((1, 2), np.float32)).search(table, "q", budget=2, anchors=3),
            "anchors",
        ),
    ):
        with pytest.raises(UsageError, match=message):
            bad()
    with pytest.raises(InputError, match="'a' is there twice"):
        Axn(["a", "a"], vectors)
    with pytest.raises(InputError, match="no items"):
        Axn([], np.zeros((0, 2), np.float32))
    with pytest.raises(ModelError, match="one finite score for each"):
        axn.search(lambda query, ids: [float("nan")] * len(ids), "q", query, budget=2)
    with pytest.raises(ModelError, match="one finite score for each"):
        Axn(ids, vectors, rounds=1).search(lambda query, ids: [1.0], "q", query, budget=2)
