"""A session's history in a search, and its interest by hashing beside attention over all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import HashEncoder, make_documents

from leanseek import Document, Index, Searcher
from leanseek.errors import UsageError
from leanseek.searcher.interest import BUCKETS, GROUPS, WIDTH, InterestTable, projections

QUERY = "statin trial"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("interest") / "index"
    index = Index.create(folder, encoder=HashEncoder(), chunk_words=6)
    index.add(make_documents(120, 3), cache=False)
    index.add(
        [Document("long", "orbit rocket wing slipstream wing orbit " * 8), Document("short", "orbit rocket")],
        cache=False,
    )
    return folder


@pytest.fixture
def searcher(path: Path) -> Searcher:
    return Searcher.open(path, encoder=HashEncoder())


def unit(rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


def drawn_vectors(count: int, dimensions: int, seed: int, common: float = 1.5) -> np.ndarray:
    """Unit vectors around a few topics and, as encoders make them, all somewhat alike."""
    draw = np.random.default_rng(seed)
    topics = draw.standard_normal((12, dimensions)) + common * draw.standard_normal(dimensions)
    return unit(topics[draw.integers(12, size=count)] + 0.7 * draw.standard_normal((count, dimensions)))


def attention(items: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Softmax attention of every candidate over every item, in float64."""
    weights = np.exp(2 * candidates.astype(np.float64) @ items.T.astype(np.float64))
    found: np.ndarray = (weights / weights.sum(axis=1, keepdims=True)) @ items
    return found


def by_hand(items: np.ndarray, shares: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """The definition: of each group, the items whose three signs are the candidate's."""
    directions, total = projections(items.shape[1]), np.zeros(items.shape[1])
    for group in range(GROUPS):
        own = directions[:, group * WIDTH : (group + 1) * WIDTH]
        for item, share in zip(items, shares, strict=True):
            if np.array_equal(item @ own > 0, candidate @ own > 0):
                total += share * item
    return total


def test_it_is_close_to_attention_over_all_items() -> None:
    items, candidates = drawn_vectors(1000, 64, 1), drawn_vectors(50, 64, 2)
    found, exact = InterestTable(items).interests(candidates), attention(items, candidates)
    cosines = (unit(found) * unit(exact)).sum(axis=1)
    assert cosines.mean() > 0.97
    assert cosines.min() > 0.95


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 40), st.integers(1, 9), st.integers(0, 1000))
def test_it_is_the_sum_of_the_candidates_buckets(items: int, dimensions: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    history = unit(draw.standard_normal((items, dimensions)))
    candidates = unit(draw.standard_normal((4, dimensions)))
    shares = draw.random(items).astype(np.float32)
    table = InterestTable(history, shares)
    found, likeness = table.interests(candidates), table.likeness(candidates)
    for row, candidate in enumerate(candidates):
        expected = by_hand(history, shares, candidate)
        assert found[row] == pytest.approx(expected, abs=1e-4)
        norm = float(np.linalg.norm(expected))
        assert likeness[row] == pytest.approx(
            float(expected @ candidate) / norm if norm > 1e-9 else 0, abs=1e-3
        )


def test_every_vector_is_in_one_bucket_of_each_group() -> None:
    items = drawn_vectors(20, 16, 5)
    placed = InterestTable(items)._placed(items).reshape(20, GROUPS, BUCKETS)
    assert (placed.sum(axis=2) == 1).all()


@pytest.mark.parametrize("mode", ["hybrid", "dense", "sparse"])
def test_what_is_like_the_history_is_raised(searcher: Searcher, mode: str) -> None:
    plain = searcher.search(QUERY, 40, mode=mode)
    seen = [plain[20].id]
    hits = searcher.search(QUERY, 40, mode=mode, history=seen, history_weight=0.5, explain=True)
    places = [hit.id for hit in hits]
    assert places.index(seen[0]) < 20
    assert [hit.explanation.interest is not None for hit in hits if hit.explanation] == [True] * 40
    [own] = [hit for hit in hits if hit.id == seen[0]]
    assert own.explanation is not None
    assert own.explanation.interest == pytest.approx(1, abs=1e-5)
    # The score of each is its own and what its likeness adds, of a scale that all share.
    before = {hit.id: hit.score for hit in plain}
    gains = [
        (hit.score - before[hit.id]) / (hit.explanation.interest or 1)
        for hit in hits
        if hit.id in before and hit.passage is None  # of others another passage may have come first
        if hit.explanation is not None and abs(hit.explanation.interest or 0) > 0.2
    ]
    assert gains == pytest.approx([gains[0]] * len(gains), rel=1e-3)
    assert gains[0] > 0


def test_all_ways_of_searching_agree(searcher: Searcher) -> None:
    options: dict[str, Any] = {"history": ["long", "short"], "history_weight": 0.4}
    hits = searcher.search(QUERY, 30, **options)
    found = [(hit.id, hit.score) for hit in hits]
    assert [tuple(one) for one in searcher.rank_batch([QUERY], 30, **options)[0]] == found
    assert [(hit.id, hit.score) for hit in searcher.search_batch([QUERY], 30, **options)[0]] == found
    assert [hit.id for hit in searcher.search(queries=[QUERY, "statin"], k=30, **options)]
    ranked = searcher.rank_batch([QUERY], 30, candidates=[["short", hits[0].id]], **options)[0]
    assert {one.id for one in ranked} == {"short", hits[0].id}


def test_a_long_document_counts_as_one(path: Path) -> None:
    """Its passages share its weight: beside a short one it does not decide alone."""
    from leanseek.indexing.snapshot import Snapshot
    from leanseek.searcher.interest import choose_history

    snapshot = Snapshot.open(path)
    parts = snapshot.find(["long", "short"])
    assert len(parts["long"]) > 5
    history = choose_history(snapshot, ["long", "short"], None)
    assert history is not None
    vectors = [snapshot.vectors(np.array(sorted(parts[one]))) for one in ("long", "short")]
    expected = InterestTable(
        np.concatenate([vectors[0].mean(axis=0, keepdims=True), vectors[1]])
    )  # its passages say the same, so that they are in the same buckets
    assert history.table.interests(vectors[1]) == pytest.approx(expected.interests(vectors[1]), abs=0.02)


def test_without_a_history_nothing_changes(searcher: Searcher) -> None:
    plain = searcher.search(QUERY, 30)
    assert searcher.search(QUERY, 30, history=[]) == plain
    assert searcher.search(QUERY, 30, history=None) == plain
    assert [hit.id for hit in searcher.search(QUERY, 30, history=["long"], history_weight=0)] == [
        hit.id for hit in plain
    ]
    assert searcher.search("", history=["long"]) == []
    assert searcher.search(QUERY, filter='id = "nothing"', history=["long"]) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"history": ["long", "gone", "lost"]},
            "'gone', 'lost', which the index does not have; leave those out",
        ),
        ({"history": "long"}, "give a list of document ids"),
        ({"history": ["long"], "history_weight": 1.5}, "must be from 0"),
        ({"history": ["long"], "history_weight": True}, "must be from 0"),
        ({"history_weight": 0.2}, "give history too"),
    ],
)
def test_what_is_refused(searcher: Searcher, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        searcher.search(QUERY, **options)


def test_a_search_by_words_alone_says_why_it_cannot(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="opened without them"):
        Searcher.open(path, mode="sparse").search(QUERY, history=["long"])
    words = Index.create(tmp_path / "words", encoder=None)
    words.add([Document("a", "statin trial")])
    with pytest.raises(UsageError, match="index again with an encoder"):
        Searcher.open(tmp_path / "words").search(QUERY, history=["a"])
