"""A searcher with a second stage: what is judged, what comes back, and what a stored run becomes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Curve, HashEncoder, make_documents

from leanseek import Document, Hit, Index, Searcher, Snippet
from leanseek.encode.batches import Deadline
from leanseek.errors import UsageError
from leanseek.rerank import ByScore, Cascade, Judged, Reranked
from leanseek.searcher.second_stage import RerankDepth, SecondStage, choose_second_stage
from leanseek.types import Progress

QUERIES = ["statin trial", "wing slipstream layer", "kinase receptor", "matrix"]


class Backwards(ByScore):
    """Turns the order it is given around; the texts it sees are remembered."""

    fingerprint = "backwards"
    notes = ()

    def __init__(self) -> None:
        self.seen: list[list[Hit]] = []

    @property
    def name(self) -> str:
        return "backwards"

    def judge(
        self,
        queries: Sequence[str],
        hits: Sequence[Sequence[Hit]],
        *,
        progress: Progress | None = None,
        deadline: Deadline | None = None,
    ) -> list[Judged]:
        self.seen += [list(one) for one in hits]
        if progress is not None:
            progress("re-ranking", 1, 1)
        late = deadline is not None and not deadline.allows()
        return [Judged(np.arange(len(one), dtype=np.float64) + (np.nan if late else 0.0)) for one in hits]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reranked") / "index"
    Index.create(path, encoder=HashEncoder()).add(make_documents(400, 3))
    return path


def opened(folder: Path, **options: object) -> Searcher:
    return Searcher.open(folder, encoder=HashEncoder(), relevance=None, **options)  # type: ignore[arg-type]


def test_the_best_are_judged_and_the_others_follow(folder: Path) -> None:
    plain = opened(folder).search(QUERIES[0], 100)
    judge = Backwards()
    with opened(folder, reranker=judge, rerank_depth=30) as searcher:
        found = searcher.search(QUERIES[0], 10)
        assert [hit.id for hit in found] == [hit.id for hit in plain[:30][::-1][:10]]
        assert [hit.id for hit in judge.seen[0]] == [hit.id for hit in plain[:30]]
        assert judge.seen[0][0].text == plain[0].text
        deep = searcher.search(QUERIES[0], 100)
        assert [hit.id for hit in deep] == [hit.id for hit in (*plain[:30][::-1], *plain[30:])]
        assert [hit.rank for hit in deep] == list(range(1, 101))
        assert [hit.score for hit in deep] == sorted((hit.score for hit in deep), reverse=True)
        assert deep[0].history[0] == ("search", 30, plain[29].score)
        assert asyncio.run(searcher.asearch(QUERIES[0], 10)) == found


def test_the_explanation_is_of_the_hit_that_it_stands_beside(folder: Path) -> None:
    plain = {
        hit.id: hit.explanation for hit in opened(folder).search(QUERIES[1], 30, depth=100, explain=True)
    }
    with opened(folder, reranker=Backwards(), rerank_depth=30) as searcher:
        for hit in searcher.search(QUERIES[1], 30, explain=True):
            assert hit.explanation == plain[hit.id]


def test_batches_and_runs_are_what_single_searches_give(folder: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    many = QUERIES * 10
    with opened(folder, reranker=Backwards(), rerank_depth=20) as searcher:
        single = [searcher.search(query, 50) for query in many]
        assert searcher.search_batch(many, 50, progress=lambda *step: told.append(step)) == single
        assert told == [("re-ranking", 16, 40), ("re-ranking", 32, 40), ("re-ranking", 40, 40)]
        ranked = searcher.rank_batch(many, 50)
        assert ranked == [[(hit.id, hit.score) for hit in hits] for hits in single]
        assert searcher.search_batch([" ", "matrix"], 5)[0] == []
        assert searcher.rank_batch([" "], 5) == [[]]


def test_a_stored_run_is_re_ranked(folder: Path) -> None:
    ids = [f"d{number}" for number in range(40)]
    plain = opened(folder).rank_batch(["statin"], 40, candidates=[ids])[0]
    with opened(folder, reranker=Backwards(), rerank_depth=25) as searcher:
        [found] = searcher.rank_batch(["statin"], 40, candidates=[ids])
    assert [one.id for one in found] == [one.id for one in (*plain[:25][::-1], *plain[25:])]
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_passages_of_one_document_are_one_hit_and_a_context_is_of_passages(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=HashEncoder(), chunk_words=4)
    index.add([Document(f"d{n}", " ".join(["statin trial heart", f"w{n}"] * 6)) for n in range(8)])
    with opened(tmp_path / "index", reranker=Backwards(), rerank_depth=4) as searcher:
        found = searcher.search("statin", 8)
        assert len({hit.id for hit in found}) == 8
        assert "d" in searcher.context("statin trial", 200).text


def test_no_time_leaves_the_order_of_the_search_and_says_so(folder: Path) -> None:
    plain = opened(folder).search(QUERIES[0], 20)
    ticks = iter(range(10_000))
    late = SecondStage(Cascade([(Backwards(), 15)]), 0.5, clock=lambda: float(next(ticks)))
    with opened(folder, reranker=late) as searcher:
        answer = searcher.answer(QUERIES[0], 20)
        assert answer.hits == plain
        assert answer.reached == (0, 15)
        assert searcher.notes == (
            "time was up for 1 of 1 query: 0 of 15 hits were re-ranked within the budget of 500ms a query, and they "
            "stand as they were found",
        )
        assert searcher.rank_batch(QUERIES[:1], 20)[0] == [(hit.id, hit.score) for hit in plain]
    with opened(folder, reranker=Backwards(), rerank_depth=15, rerank_budget=60.0) as searcher:
        answer = searcher.answer(QUERIES[0], 20)
        assert answer.reached == (15, 15) and searcher.notes == () and answer.hits != plain
    assert opened(folder).answer(QUERIES[0]).reached is None


class Silent(Backwards):
    """Has nothing to say of some hits, however much time there is."""

    def judge(self, *given: object, **options: object) -> list[Judged]:
        found = super().judge(*given, **options)  # type: ignore[arg-type]
        for one in found:
            one.scores[::2] = np.nan
        return found


def test_hits_not_judged_without_a_budget_are_told_without_a_time(folder: Path) -> None:
    with opened(folder, reranker=Silent(), rerank_depth=15) as searcher:
        assert searcher.answer(QUERIES[0], 20).reached == (7, 15)
        assert searcher.notes == (
            "not every hit of 1 of 1 query could be judged: 7 of 15 were, and the others stand below as they were "
            "found",
        )


def test_progress_is_told_under_a_budget_and_of_a_single_search(folder: Path) -> None:
    told: list[tuple[str, int, int | None]] = []

    def tell(*step: object) -> None:
        told.append(step)  # type: ignore[arg-type]

    stage = SecondStage(Cascade([(Backwards(), 20)]), 60.0)
    with opened(folder, reranker=stage) as searcher:
        searcher.search_batch(QUERIES, 20, progress=tell)
        done = [done for _, done, _ in told]
        assert done == sorted(done) and set(done) == {1, 2, 3, 4} and told[-1] == ("re-ranking", 4, 4)
        told.clear()
        searcher.answer(QUERIES[0], 20, progress=tell)
        assert told == [("re-ranking", 1, 1)]


def test_the_probability_says_how_deep(folder: Path) -> None:
    depth = RerankDepth(probability=0.9, floor=2, ceiling=50)
    options = {"encoder": HashEncoder(), "relevance": Curve(), "mode": "dense"}
    plain = Searcher.open(folder, **options).search(QUERIES[0], 100)  # type: ignore[arg-type]
    wanted = depth(plain)
    assert 2 < wanted < 50
    judge = Backwards()
    with Searcher.open(folder, reranker=judge, rerank_depth=depth, **options) as searcher:  # type: ignore[arg-type]
        found = searcher.search(QUERIES[0], 100)
        assert [hit.id for hit in found[:wanted]] == [hit.id for hit in plain[:wanted][::-1]]
        [ranked] = searcher.rank_batch(QUERIES[:1], 100)
        assert [one.id for one in ranked] == [hit.id for hit in found]
        assert [len(hits) for hits in judge.seen] == [wanted, wanted]
        relevant = searcher.search(QUERIES[0], 100, min_probability=0.95)
        assert {hit.id for hit in relevant} == {hit.id for hit in plain if (hit.probability or 0) >= 0.95}


def test_a_refreshed_searcher_re_ranks_on(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=HashEncoder())
    index.add([Document("a", "statin trial"), Document("b", "statin heart")])
    with opened(tmp_path / "index", reranker=Backwards()) as searcher:
        before = searcher.search("statin trial")
        index.add([Document("c", "statin statin")])
        assert searcher.refresh()
        after = searcher.search("statin trial")
        assert {hit.id for hit in after} == {"a", "b", "c"} and before[-1].id == after[-1].id == "a"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"rerank_depth": 10}, "a depth for re-ranking goes with a re-ranker"),
        ({"rerank_budget": 1.0}, "a budget for re-ranking goes with a re-ranker"),
        ({"reranker": "bm25"}, "is not a re-ranker"),
        ({"reranker": Backwards(), "rerank_depth": 0}, "at least 1, or 'auto'"),
        ({"reranker": Backwards(), "rerank_depth": "deep"}, "at least 1, or 'auto'"),
        ({"reranker": Backwards(), "rerank_depth": [5, 5]}, "2 depths for 1 re-rankers"),
        ({"reranker": Backwards(), "rerank_budget": -1.0}, "budget of -1"),
        ({"reranker": Cascade([(Backwards(), 5)]), "rerank_depth": 5}, "a cascade has its depths"),
        ({"reranker": [Backwards(), None]}, "None is no re-ranker"),
        ({"reranker": ["none", Backwards()]}, "leave out either it or the others"),
        ({"reranker": ["none", "none"], "rerank_depth": 5}, "a depth for re-ranking goes with a re-ranker"),
        ({"reranker": SecondStage(Cascade([(Backwards(), 5)])), "rerank_budget": 1.0}, "give it alone"),
    ],
)
def test_wrong_options_are_told(folder: Path, options: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        opened(folder, **options)


def test_a_way_of_reading_is_for_a_re_ranker() -> None:
    with pytest.raises(UsageError, match="a way of reading"):
        choose_second_stage(None, long="maxp")


def test_depths_that_are_not_given_are_the_default() -> None:
    stage = choose_second_stage([Backwards(), Backwards()], [30])
    assert stage is not None and [depth for _, depth in stage.cascade.steps] == [30, 100]
    assert stage.reach == 100 and not stage.by_probability
    auto = choose_second_stage(Backwards(), "auto")
    assert auto is not None and auto.by_probability and auto.reach == RerankDepth().ceiling
    assert choose_second_stage("none") is None and choose_second_stage([]) is None
    assert choose_second_stage(["none", "none"]) is None


def test_a_way_of_reading_is_for_those_steps_that_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[str, object]] = []

    def load(name: str, device: object, *, long: object, **_: object) -> Backwards:
        loaded.append((name, long))
        return Backwards()

    monkeypatch.setattr("leanseek.searcher.second_stage.load_reranker", load)
    names = ["cross-encoder:SMALL", "late-interaction", " cross-encoder:LARGE"]
    stage = choose_second_stage([*names, Backwards()], long="top2")
    assert stage is not None and len(stage.cascade.steps) == 4
    assert loaded == [(names[0], "top2"), (names[1], None), (names[2], "top2")]
    monkeypatch.undo()
    with pytest.raises(UsageError, match="can be chosen for cross-encoder, not for late-interaction"):
        choose_second_stage(["late-interaction", "in-context:MODEL"], long="top2")
    with pytest.raises(UsageError, match="given by name"):
        choose_second_stage(Backwards(), long="top2")


def test_the_second_stage_is_chosen_once_when_a_searcher_opens(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    loaded: list[str] = []

    def choose(reranker: Any, *arguments: Any, **options: Any) -> SecondStage | None:
        calls.append(reranker)
        return choose_second_stage(reranker, *arguments, **options)

    def load(name: str, *_: object, **__: object) -> Backwards:
        loaded.append(name)
        return Backwards()

    monkeypatch.setattr("leanseek.searcher.second_stage.choose_second_stage", choose)
    monkeypatch.setattr("leanseek.searcher.second_stage.load_reranker", load)
    with opened(folder, reranker="cross-encoder") as searcher:
        searcher.search("wing")
        searcher.search_batch(["wing", "heart"])
    assert calls == loaded == ["cross-encoder"]


def test_an_explanation_that_a_re_ranker_gave_is_completed(folder: Path) -> None:
    class Looks(Backwards):
        """Puts a snippet of its own into every other explanation."""

        def rerank_batch(self, *args: Any, **options: Any) -> list[Reranked]:
            return [
                one._replace(
                    hits=[
                        replace(hit, explanation=replace(hit.explanation, snippet=Snippet("mine")))
                        if place % 2 and hit.explanation is not None
                        else hit
                        for place, hit in enumerate(one.hits)
                    ]
                )
                for one in super().rerank_batch(*args, **options)
            ]

    with opened(folder, reranker=Looks(), rerank_depth=6) as searcher, opened(folder) as plain:
        hits = searcher.search("wing layer", 6, explain=True)
        before = {hit.id: hit.explanation for hit in plain.search("wing layer", 6, explain=True)}
    for place, hit in enumerate(hits):
        found, expected = hit.explanation, before[hit.id]
        assert found is not None and expected is not None and expected.snippet.text
        assert (found.sparse, found.dense, found.terms) == (expected.sparse, expected.dense, expected.terms)
        assert found.snippet == (Snippet("mine") if place % 2 else expected.snippet)
