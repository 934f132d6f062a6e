"""Diversity: maximal marginal relevance on the stored vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import HashEncoder, make_documents

from leanseek import Document, Index, Searcher, read, read_queries
from leanseek.errors import UsageError
from leanseek.indexing.snapshot import Snapshot
from leanseek.rerank import ByScore, Judged
from leanseek.searcher.diversity import POOL, marginal_order

SHARES = st.one_of(st.sampled_from([0.0, 0.3, 1.0]), st.floats(0, 1))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diversity") / "index"
    index = Index.create(folder, encoder=HashEncoder(), chunk_words=6)
    index.add(make_documents(150, 3), cache=False)
    index.add(
        [Document("long", "statin heart trial placebo " * 30), *make_documents(60, 8, "e")], cache=False
    )
    return folder


@pytest.fixture
def searcher(path: Path) -> Searcher:
    return Searcher.open(path, encoder=HashEncoder())


def by_hand(scores: list[float], vectors: np.ndarray, share: float) -> list[tuple[int, float]]:
    """Carbonell and Goldstein's definition, one candidate and one comparison after the other."""
    reach = scores[0] - scores[-1]
    merits = [(one - scores[-1]) / reach if reach else 1.0 for one in scores]
    chosen: list[tuple[int, float]] = []
    left = list(range(len(scores)))
    while left:
        values = {}
        for place in left:
            cosines = [
                float(vectors[place] @ vectors[other])
                / (float(np.linalg.norm(vectors[place])) * float(np.linalg.norm(vectors[other])))
                for other, _ in chosen
            ]
            values[place] = (1 - share) * merits[place] - share * max(0.0, *cosines, 0.0)
        best = max(left, key=lambda place: (round(values[place], 9), -place))
        chosen.append((best, values[best]))
        left.remove(best)
    return chosen


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), SHARES, st.integers(0, 2**32 - 1))
def test_the_order_is_that_of_the_definition(count: int, share: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = np.sort(random.random(count))[::-1]
    vectors = random.standard_normal((count, 3)).astype(np.float32)
    order, worth = marginal_order(scores, vectors, share)
    expected = by_hand(scores.tolist(), vectors.astype(np.float64), share)
    assert worth == pytest.approx([value for _, value in expected], abs=1e-6)
    assert order.tolist() == [place for place, _ in expected]
    assert order[0] == 0 and all(later <= before + 1e-12 for before, later in pairwise(worth))


def likeness(ids: list[str], searcher: Searcher) -> float:
    """The mean cosine of the documents with each other, by the encoder's own vectors."""
    texts = {one.id: f"{one.title} {one.text}".strip() for one in searcher.documents(ids)}
    vectors = HashEncoder().encode_documents([texts[one] for one in ids]).vectors
    return float((vectors @ vectors.T).sum() - len(ids)) / (len(ids) * (len(ids) - 1))


def test_hits_are_less_alike_and_all_among_the_first(searcher: Searcher) -> None:
    queries = ["statin trial", "wing slipstream layer", "kinase receptor", "glucose insulin query"]
    plain_cosines, cosines = [], []
    for query in queries:
        plain = searcher.search(query, POOL)
        hits = searcher.search(query, 10, diversity=0.5)
        assert {hit.id for hit in hits} <= {hit.id for hit in plain} and len(hits) == 10
        assert hits[0].id == plain[0].id and [hit.rank for hit in hits] == list(range(1, 11))
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
        standing = {hit.id: (hit.rank, hit.score) for hit in plain}
        for hit in hits:
            search, diversity = hit.history
            assert (search.by, diversity.by) == ("search", "diversity")
            assert (search.rank, search.score) == standing[hit.id]
            assert (diversity.rank, diversity.score) == (hit.rank, hit.score)
        plain_cosines.append(likeness([hit.id for hit in plain[:10]], searcher))
        cosines.append(likeness([hit.id for hit in hits], searcher))
    assert np.mean(cosines) < 0.9 * np.mean(plain_cosines)


@pytest.mark.parametrize("mode", ["hybrid", "dense", "sparse"])
def test_every_way_of_asking_gives_one_order(searcher: Searcher, mode: str) -> None:
    options: dict[str, Any] = {"mode": mode, "diversity": 0.4}
    hits = searcher.search("statin trial", 70, **options)
    for k in (1, 5, POOL - 1, POOL, POOL + 1):
        assert searcher.search("statin trial", k, **options) == hits[:k]
    plain = searcher.search("statin trial", 70, mode=mode)
    assert [hit.id for hit in hits[POOL:]] == [hit.id for hit in plain[POOL:]]
    [ranked] = searcher.rank_batch(["statin trial"], 70, **options)
    assert [one.id for one in ranked] == [hit.id for hit in hits]
    assert [one.score for one in ranked] == pytest.approx([hit.score for hit in hits])
    assert searcher.search_batch(["statin trial", "wing"], 70, **options)[0] == hits
    assert searcher.search("statin trial", 70, mode=mode, diversity=0) == plain
    assert [one.id for one in searcher.rank_batch(["statin trial"], 70, mode=mode, diversity=0.0)[0]] == [
        hit.id for hit in plain
    ]


def test_it_comes_after_a_reranker(path: Path) -> None:
    class Backwards(ByScore):
        """Turns the order it is given around."""

        name, fingerprint, notes = "backwards", "backwards", ()

        def judge(
            self, queries: Any, hits: Any, *, progress: Any = None, deadline: Any = None
        ) -> list[Judged]:
            return [Judged(np.arange(len(one), dtype=np.float64)) for one in hits]

    searcher = Searcher.open(path, encoder=HashEncoder(), reranker=Backwards(), rerank_depth=20)
    reranked = searcher.search("statin trial", POOL)
    hits = searcher.search("statin trial", 10, diversity=0.3)
    assert hits[0].id == reranked[0].id
    assert [one.by for one in hits[0].history] == ["search", "backwards", "diversity"]
    [ranked] = searcher.rank_batch(["statin trial"], 10, diversity=0.3)
    assert [one.id for one in ranked] == [hit.id for hit in hits]


def test_a_context_holds_more_that_differs(searcher: Searcher) -> None:
    whole = searcher.context("statin trial", 3000, k=12, diversity=0.5)
    assert len(whole.passages) > len(searcher.context("statin heart trial", 3000, k=12).passages)


def test_what_is_refused(path: Path, tmp_path: Path) -> None:
    searcher = Searcher.open(path, encoder=HashEncoder())
    for wrong in (1.5, -0.1, math.nan, "0.3", True):
        with pytest.raises(UsageError, match="diversity is"):
            searcher.search("statin", diversity=wrong)
    with pytest.raises(UsageError, match="opened without"):
        Searcher.open(path, mode="sparse").search("statin", diversity=0.3)
    Index.create(tmp_path / "i", encoder=None).add([Document("a", "statin")])
    sparse = Searcher.open(tmp_path / "i")
    with pytest.raises(UsageError, match="index again with an encoder"):
        sparse.search("statin", diversity=0.3)
    assert [hit.id for hit in sparse.search("statin", diversity=0)] == ["a"]
    assert searcher.search("", diversity=0.3) == []


# In one process with other tests that encode the collection, so that the vector cache spares them the work.
@pytest.mark.slow
@pytest.mark.xdist_group("vectors of scifact")
def test_on_scifact_it_costs_one_percent_at_most(collection: Callable[[str], Path], tmp_path: Path) -> None:
    folder = collection("scifact")
    relevant: dict[str, set[str]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        if int(grade) > 0:
            relevant.setdefault(query, set()).add(document)
    queries = [one for one in read_queries(folder) if one.id in relevant]
    Index.create(tmp_path / "i", encoder="onnx:sentence-transformers/all-MiniLM-L6-v2").add(read(folder))
    searcher = Searcher.open(tmp_path / "i")
    stored = Snapshot.open(tmp_path / "i")

    def measured(share: float) -> tuple[float, float]:
        gains, cosines = [], []
        runs = searcher.rank_batch([one.text for one in queries], 10, diversity=share)
        for query, run in zip(queries, runs, strict=True):
            wanted = relevant[query.id]
            found = sum((one.id in wanted) / math.log2(rank + 2) for rank, one in enumerate(run))
            gains.append(found / sum(1 / math.log2(rank + 2) for rank in range(min(10, len(wanted)))))
            parts = stored.find([one.id for one in run])
            vectors = stored.vectors(np.array([parts[one.id][0] for one in run]))
            cosines.append(float((vectors @ vectors.T).sum() - len(run)) / (len(run) * (len(run) - 1)))
        return float(np.mean(gains)), float(np.mean(cosines))

    plain, diverse = measured(0.0), measured(0.3)
    assert diverse[0] >= 0.99 * plain[0]
    assert diverse[1] <= 0.96 * plain[1]
