"""Shards that do not answer: an error that names them, or the exact answer of an index without their documents."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import HashEncoder, HashExpander, make_documents

from leanseek import Searcher
from leanseek.cluster import ClusterSearcher, InProcess, Question, route
from leanseek.errors import EpochGoneError, ExitCode, ShardUnavailableError

DOCUMENTS = make_documents(300, 2)
QUERIES = ["statin trial", "wing layer", "glucose insulin"]
SHARDS = 4


class Failing:
    """A transport on which shards are lost from the n-th question on that any shard is asked."""

    def __init__(self, inner: InProcess, lost: set[int], after: int = 0) -> None:
        self.inner, self.lost, self.left = inner, lost, after
        self.name, self.epoch, self.room = inner.name, inner.epoch, inner.room
        self.deadlines: list[float | None] = []

    def ask(
        self, epoch: int, questions: Mapping[int, Question[Any]], deadline: float | None = None
    ) -> dict[int, Any]:
        self.deadlines.append(deadline)
        self.left -= 1
        kept = {shard: one for shard, one in questions.items() if self.left >= 0 or shard not in self.lost}
        return self.inner.ask(epoch, kept, deadline)

    def close(self) -> None:
        self.inner.close()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, cluster: Any) -> InProcess:
    made: InProcess = cluster(tmp_path_factory.mktemp("lost"), DOCUMENTS, SHARDS)
    return made


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory, one_index: Any) -> Path:
    """What is left without shards 1 and 3, as one index."""
    kept = [document for document in DOCUMENTS if route(document.id, SHARDS) in (0, 2)]
    path: Path = one_index(tmp_path_factory.mktemp("rest") / "one", [kept])
    return path


def searching(transport: Any, **options: Any) -> ClusterSearcher:
    return ClusterSearcher(
        transport, encoder=HashEncoder(), learned=HashExpander(), relevance=None, **options
    )


@pytest.mark.parametrize("after", range(5))
def test_without_leave_it_is_an_error(shards: InProcess, after: int) -> None:
    searcher = searching(Failing(shards, {1, 3}, after))
    with pytest.raises(ShardUnavailableError, match=r"shards 1, 3 of 4 .*epoch 1") as caught:
        for query in QUERIES:
            searcher.search(query)
    assert caught.value.exit_code is ExitCode.UNAVAILABLE == 9
    assert caught.value.shards == (1, 3)


@pytest.mark.parametrize("after", range(5))
def test_partial_answers_are_those_of_an_index_without_the_documents(
    shards: InProcess, rest: Path, after: int
) -> None:
    """Whenever the shards are lost: before a search, between its questions, or while texts are read."""
    one = Searcher.open(rest, encoder=HashEncoder(), learned=HashExpander(), relevance=None)
    kept = sum(route(document.id, SHARDS) in (0, 2) for document in DOCUMENTS)
    for query in QUERIES:
        searcher = searching(Failing(shards, {1, 3}, after), partial="allow")
        found = searcher.answer(query, 9, explain=True)
        if found.coverage is None:
            assert after >= 3, "all was asked before the shards were lost"
            continue
        assert found.coverage == kept / len(DOCUMENTS)
        assert found.hits == one.answer(query, 9, explain=True).hits
        assert searcher.rank_batch(QUERIES, 50) == one.rank_batch(QUERIES, 50)
        assert searcher.ids() == one.ids()
        context = one.context(query, 200, guard="mark", compress=0.5)
        note = f"only {found.coverage:.1%} of the passages were searched: not all shards answered"
        assert searcher.context(query, 200, guard="mark", compress=0.5) == replace(
            context, notes=(*context.notes, note)
        )
        assert (
            searcher.answer(query, facets=["year", "tags"]).facets
            == one.answer(query, facets=["year", "tags"]).facets
        )
        assert searcher.missing(["d1", "d2", "d3", "d4"]) == one.missing(["d1", "d2", "d3", "d4"])


def test_whole_answers_say_nothing_of_coverage(shards: InProcess) -> None:
    assert searching(shards, partial="allow").answer("wing").coverage is None


def test_nothing_is_left(shards: InProcess) -> None:
    with pytest.raises(ShardUnavailableError):
        searching(Failing(shards, {0, 1, 2, 3}), partial="allow").search("wing")


def test_every_question_of_a_call_has_its_deadline(shards: InProcess) -> None:
    transport = Failing(shards, set())
    before = time.monotonic()
    searching(transport, deadline=60.0).answer("wing")
    told = np.array(transport.deadlines, np.float64)
    assert len(told) >= 2 and len(set(told.tolist())) == 1
    assert before + 60 <= told[0] <= time.monotonic() + 60


class Slow:
    """A question that takes longer than anyone waits."""

    def on(self, snapshot: Any) -> str:
        time.sleep(0.6)
        return "late"


class Quick:
    """A question that is answered at once."""

    def on(self, snapshot: Any) -> str:
        return "here"


def test_what_is_late_is_left_out(shards: InProcess) -> None:
    questions: dict[int, Question[str]] = {0: Quick(), 1: Slow(), 2: Quick()}
    assert shards.ask(1, questions, time.monotonic() + 0.2) == {0: "here", 2: "here"}
    assert shards.ask(1, questions) == {0: "here", 1: "late", 2: "here"}
    with pytest.raises(EpochGoneError, match="epoch 7"):
        shards.ask(7, questions)
