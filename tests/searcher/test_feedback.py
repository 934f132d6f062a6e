"""A searcher that re-ranks adaptively: what is scored, what is returned, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support import Curve, HashEncoder, make_documents

from leanseek import Document, Hit, Index, Searcher
from leanseek.encode.batches import Deadline
from leanseek.errors import UsageError
from leanseek.rerank import ByScore, Cascade, Interpolated, Judged
from leanseek.searcher.second_stage import RerankDepth, SecondStage
from leanseek.types import Progress, content

QUERIES = ["statin trial", "wing slipstream layer", "kinase receptor", "matrix"]


class Hidden(ByScore):
    """Scores texts by their product with the vector of a text that the query does not name, in steps."""

    fingerprint, notes, name = "hidden", (), "hidden"

    def __init__(self, text: str = "enzyme protein glucose", step: float = 0.0) -> None:
        self.encoder = HashEncoder()
        self.vector = self.encoder._vector(text)
        self.step = step
        self.calls: list[Hit] = []

    def judge(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Judged]:
        self.calls += [hit for given in hits for hit in given]
        if progress is not None:
            progress("re-ranking", 1, 1)
        return [Judged(np.array([self.of(content(hit.title, hit.text)) for hit in given])) for given in hits]

    def of(self, text: str) -> float:
        score = float(self.encoder._vector(text) @ self.vector)
        return np.floor(score / self.step) * self.step if self.step else score


DOCUMENTS = make_documents(600, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two segments with deleted documents in both."""
    path = tmp_path_factory.mktemp("adaptive") / "index"
    index = Index.create(path, encoder=HashEncoder())
    index.add(DOCUMENTS[:400])
    index.add(DOCUMENTS[400:])
    index.delete([document.id for document in DOCUMENTS[::50]])
    return path


LIVE = {document.id: document for number, document in enumerate(DOCUMENTS) if number % 50}


def opened(folder: Path, **options: object) -> Searcher:
    given = {"encoder": HashEncoder(), "relevance": None, "adaptive": True, **options}
    return Searcher.open(folder, **given)  # type: ignore[arg-type]


def exact(scorer: Hidden, documents: Sequence[Document]) -> list[str]:
    scores = {one.id: scorer.of(content(one.title, one.text)) for one in documents}
    return sorted(scores, key=lambda identifier: (-scores[identifier], identifier))


@pytest.mark.parametrize("mode", ["hybrid", "dense"])
def test_a_passage_is_found_that_plain_re_ranking_cannot_reach(folder: Path, mode: str) -> None:
    scorer = Hidden()
    best = exact(scorer, list(LIVE.values()))[0]
    with opened(folder, reranker=scorer, rerank_depth=60, mode=mode) as searcher:
        found = searcher.search(QUERIES[0], 10, explain=True)
    assert len({hit.id for hit in scorer.calls}) == len(scorer.calls) == 60
    assert found[0].id == best and found[0].score == pytest.approx(scorer.of(content("", found[0].text)), 0.3)
    assert [standing.by for standing in found[0].history] == ["adaptive", "hidden"]
    explained = found[0].explanation
    assert explained is not None and explained.dense is not None and explained.dense.rank is None
    assert (explained.sparse is None) == (mode == "dense") and explained.snippet.text
    with opened(folder, reranker=Hidden(), rerank_depth=60, mode=mode, adaptive=False) as searcher:
        assert best not in {hit.id for hit in searcher.search(QUERIES[0], 60)}


def test_scored_hits_come_first_and_the_search_s_others_follow(folder: Path) -> None:
    scorer = Hidden(step=0.2)
    with opened(folder, reranker=None, adaptive=False) as searcher:
        plain = searcher.search(QUERIES[1], 100)
    with opened(folder, reranker=scorer, rerank_depth=40) as searcher:
        answer = searcher.answer(QUERIES[1], 100)
    assert answer.reached == (40, 40)
    scores = {hit.id: scorer.of(content(hit.title, hit.text)) for hit in scorer.calls}
    assert [hit.id for hit in answer.hits[:40]] == sorted(scores, key=lambda one: (-scores[one], one))
    assert [hit.score for hit in answer.hits[:40]] == [scores[hit.id] for hit in answer.hits[:40]]
    rest = [hit.id for hit in plain if hit.id not in scores]
    assert [hit.id for hit in answer.hits[40:]] == rest[: len(answer.hits) - 40]
    assert [hit.rank for hit in answer.hits] == list(range(1, len(answer.hits) + 1))
    descending = [hit.score for hit in answer.hits]
    assert descending == sorted(descending, reverse=True)
    # Four fifths of the calls are for what the scores led to, one fifth for the top of the search.
    assert [hit.id for hit in scorer.calls[:8]] == [hit.id for hit in plain[:8]]


def test_with_a_call_for_every_document_the_order_is_exact(folder: Path) -> None:
    scorer = Hidden(step=0.1)
    with opened(folder, reranker=scorer, rerank_depth=5000) as searcher:
        answer = searcher.answer(QUERIES[2], 5000)
    assert [hit.id for hit in answer.hits] == exact(scorer, list(LIVE.values()))
    assert answer.reached == (len(LIVE), len(LIVE))


def test_filters_hold_in_every_round(folder: Path) -> None:
    scorer = Hidden()
    allowed = [one for one in LIVE.values() if int(str(one.metadata["year"])) >= 2012]
    with opened(folder, reranker=scorer, rerank_depth=60) as searcher:
        searcher.search(QUERIES[0], 10, filter="year >= 2012")
        assert {hit.id for hit in scorer.calls} <= {one.id for one in allowed}
        assert len(scorer.calls) == 60
        scorer.calls.clear()
        few = searcher.answer(QUERIES[0], 10, filter='year = 2012 and tags = "b"')
        inside = {
            one.id for one in allowed if one.metadata["year"] == 2012 and "b" in str(one.metadata["tags"])
        }
        assert {hit.id for hit in scorer.calls} == inside and few.reached == (len(inside), len(inside))
        assert searcher.search(QUERIES[0], filter="year = 3000") == []


def test_single_searches_batches_and_runs_agree(folder: Path) -> None:
    steps: list[tuple[str, int, int | None]] = []
    with opened(folder, reranker=Hidden(), rerank_depth=30) as searcher:
        single = [searcher.search(query, 50) for query in QUERIES]
        assert searcher.search_batch(QUERIES, 50) == single
        assert asyncio.run(searcher.asearch(QUERIES[0], 50)) == single[0]
        ranked = searcher.rank_batch(QUERIES, 50, progress=lambda *step: steps.append(step))
        assert ranked == [[(hit.id, hit.score) for hit in hits] for hits in single]
        assert len({one.id for one in ranked[0]}) == 50
        assert steps[-1] == ("re-ranking", 4, 4) and [done for _, done, _ in steps] == sorted(
            done for _, done, _ in steps
        )
        steps.clear()
        searcher.answer(QUERIES[0], progress=lambda *step: steps.append(step))
        assert steps == [("re-ranking", done, 30) for done in (6, 12, 18, 24, 30)]
        assert searcher.search_batch([" ", "matrix"], 5)[0] == [] and searcher.rank_batch([" "], 5) == [[]]


def test_a_run_goes_on_below_the_scored_documents_with_each_once(folder: Path) -> None:
    with opened(folder, reranker=Hidden(), rerank_depth=30) as searcher:
        [ranked] = searcher.rank_batch(QUERIES[:1], 300)
    assert len({one.id for one in ranked}) == len(ranked) == 300
    assert [one.score for one in ranked] == sorted((one.score for one in ranked), reverse=True)


def test_of_a_document_one_passage_is_scored_and_shown(tmp_path: Path) -> None:
    documents = [
        Document(f"d{n:02}", " ".join(["statin trial heart", f"w{n}", "enzyme protein glucose", f"v{n}"] * 3))
        for n in range(40)
    ]
    Index.create(tmp_path / "index", encoder=HashEncoder(), chunk_words=4).add(documents)
    scorer = Hidden()
    with opened(tmp_path / "index", reranker=scorer, rerank_depth=25) as searcher:
        found = searcher.search("statin trial", 40)
        assert len(scorer.calls) == 25 == len({hit.id for hit in scorer.calls})
        assert len({hit.id for hit in found}) == len(found) == 40
        shown = {(hit.id, hit.passage) for hit in found}
        assert {(hit.id, hit.passage) for hit in scorer.calls} <= shown
        scorer.calls.clear()
        # A context is made of passages, each a result of its own.
        assert "statin" in searcher.context("statin trial", 200).text
        assert len(scorer.calls) == 25 and len({(hit.id, hit.passage) for hit in scorer.calls}) == 25
        assert len({hit.id for hit in scorer.calls}) < 25


def test_probabilities_are_those_of_the_index_s_model_and_the_threshold_holds(folder: Path) -> None:
    with opened(folder, reranker=Hidden(), rerank_depth=50, relevance=Curve()) as searcher:
        hits = searcher.search(QUERIES[0], 50)
        vector = HashEncoder()._vector(QUERIES[0])
        beyond = [hit for hit in hits if hit.history and hit.history[0].by == "adaptive"]
        assert beyond
        for hit in beyond:
            cosine = float(HashEncoder()._vector(content(hit.title, hit.text)) @ vector)
            assert hit.probability == pytest.approx(1 / (1 + np.exp(-12.0 * (cosine - 0.5))), abs=1e-3)
        probable = searcher.search(QUERIES[0], 50, min_probability=0.6)
        assert probable and all((hit.probability or 0.0) >= 0.6 for hit in probable)
        nothing = searcher.answer(QUERIES[0], 50, min_probability=1.0)
        assert nothing.hits == [] and nothing.nearest is not None


def test_time_that_runs_out_leaves_the_best_order_so_far(folder: Path) -> None:
    ticks = iter(range(10_000))
    scorer = Hidden()
    stage = SecondStage(Cascade([(scorer, 50)]), 2.5, clock=lambda: float(next(ticks)), adaptive=True)
    with opened(folder, reranker=stage, adaptive=False) as searcher:
        answer = searcher.answer(QUERIES[0], 20)
        assert answer.reached == (20, 50) and len(scorer.calls) == 20
        assert searcher.notes == (
            "time was up for 1 of 1 query: 20 of 50 hits were re-ranked within the budget of 2.5s a query, and the "
            "others stand below as they were found",
        )
    late = SecondStage(Cascade([(scorer, 50)]), 0.0, adaptive=True)
    with opened(folder, reranker=late, adaptive=False) as searcher:
        answer = searcher.answer(QUERIES[0], 20)
        assert answer.reached == (0, 50)
    with opened(folder, reranker=None, adaptive=False) as searcher:
        assert answer.hits == searcher.search(QUERIES[0], 20)


def test_a_re_ranker_s_probabilities_count_in_every_round(folder: Path) -> None:
    class Calibrated(Hidden):
        def judge(self, *given: object, **options: object) -> list[Judged]:
            found = super().judge(*given, **options)  # type: ignore[arg-type]
            return [Judged(one.scores, np.full(len(one.scores), 0.25)) for one in found]

    with opened(folder, reranker=Calibrated(), rerank_depth=20) as searcher:
        found = searcher.search(QUERIES[0], 30)
    assert [hit.probability for hit in found] == [0.25] * 20 + [None] * 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "adaptive re-ranking needs a re-ranker"),
        ({"reranker": "none"}, "adaptive re-ranking needs a re-ranker"),
        ({"reranker": Hidden(), "rerank_depth": "auto"}, "rather than auto"),
        ({"reranker": Hidden(), "rerank_depth": RerankDepth()}, "rather than auto"),
        ({"reranker": [Hidden(), Hidden()]}, "a single re-ranker, and 2 are given"),
        ({"reranker": ["cross-encoder:/nowhere", "cross-encoder:/nowhere"]}, "a single re-ranker"),
        ({"reranker": Cascade([(Hidden(), 5), (Hidden(), 5)])}, "a single re-ranker"),
        ({"reranker": Interpolated(Hidden())}, "in a mix"),
        ({"reranker": SecondStage(Cascade([(Hidden(), 5)]))}, "give it alone"),
        ({"reranker": Hidden(), "mode": "sparse"}, "this search is sparse: search with mode hybrid or dense"),
    ],
)
def test_what_is_not_allowed_is_refused(folder: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        opened(folder, **options)


def test_a_sparse_search_and_given_candidates_are_refused(folder: Path, tmp_path: Path) -> None:
    with opened(folder, reranker=Hidden()) as searcher:
        with pytest.raises(UsageError, match="this search is sparse"):
            searcher.search("statin", mode="sparse")
        with pytest.raises(UsageError, match="finds its own candidates"):
            searcher.rank_batch(["statin"], candidates=[["d1"]])
    Index.create(tmp_path / "sparse", encoder=None).add(DOCUMENTS[:5])
    with pytest.raises(UsageError, match="index again with an encoder"):
        Searcher.open(tmp_path / "sparse", reranker=Hidden(), adaptive=True)
