"""Calls keep to the epoch they began with, and what is asked can travel to other processes."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support import HashEncoder, HashExpander, make_documents

from leanseek import Searcher
from leanseek.cluster import ClusterSearcher, Epoch, InProcess, Question
from leanseek.errors import EpochGoneError
from leanseek.indexing.background import background_of, measure_background
from leanseek.indexing.snapshot import Snapshot

OLD, NEW = make_documents(200, 1), make_documents(200, 2)
QUERIES = ["statin trial", "wing layer", "glucose insulin", "matrix -wing"]
OPTIONS: Any = {"encoder": HashEncoder(), "learned": HashExpander(), "relevance": None}


class Moving:
    """Two epochs at once, of which `epoch` names the newest; the old one can go."""

    def __init__(self, *epochs: InProcess) -> None:
        self.epochs = {one.epoch.number: one for one in epochs}
        self.epoch: Epoch = epochs[0].epoch
        self.name = "moving"
        self.room = None
        self.between = lambda: None

    def ask(
        self, epoch: int, questions: Mapping[int, Question[Any]], deadline: float | None = None
    ) -> dict[int, Any]:
        self.between()
        if epoch not in self.epochs:
            raise EpochGoneError(f"epoch {epoch} of 'moving' is gone")
        return self.epochs[epoch].ask(epoch, questions, deadline)

    def close(self) -> None:
        for one in self.epochs.values():
            one.close()


@pytest.fixture
def moving(tmp_path: Path, cluster: Any) -> Moving:
    old = cluster(tmp_path / "old", OLD, 3)
    new = cluster(tmp_path / "new", NEW, 3)
    new.epoch = new.epoch._replace(number=2)
    return Moving(old, new)


def test_a_searcher_moves_on_when_it_is_told_to(moving: Moving, tmp_path: Path, one_index: Any) -> None:
    singles = [
        Searcher.open(one_index(tmp_path / name, [documents]), **OPTIONS)
        for name, documents in (("a", OLD), ("b", NEW))
    ]
    expected = [[one.answer(query, 9) for query in QUERIES] for one in singles]
    assert expected[0] != expected[1]
    searcher = ClusterSearcher(moving, **OPTIONS)
    assert searcher.generation == 1 and not searcher.refresh()
    moving.epoch = moving.epochs[2].epoch
    assert [searcher.answer(query, 9) for query in QUERIES] == expected[0]

    # In the middle of a call, between any two of its questions.
    for query, old in zip(QUERIES, expected[0], strict=True):
        for place in range(4):
            searcher = ClusterSearcher(Moving(*moving.epochs.values()), **OPTIONS)
            transport: Any = searcher._transport
            steps = iter(range(1000))

            def switch(
                transport: Any = transport, searcher: Any = searcher, steps: Any = steps, at: int = place
            ) -> None:
                if next(steps) == at:
                    transport.epoch = moving.epochs[2].epoch
                    assert searcher.refresh()

            transport.between = switch
            assert searcher.answer(query, 9) == old
    searcher = ClusterSearcher(moving, **OPTIONS)
    assert searcher.generation == 2
    assert [searcher.answer(query, 9) for query in QUERIES] == expected[1]


def test_an_epoch_that_is_gone(moving: Moving) -> None:
    searcher = ClusterSearcher(moving, **OPTIONS)
    moving.epoch = moving.epochs[2].epoch
    del moving.epochs[1]
    assert searcher.search("wing") == ClusterSearcher(moving, **OPTIONS).search("wing") != []
    assert searcher.generation == 2, "the call has moved on by itself"
    del moving.epochs[2]
    with pytest.raises(EpochGoneError, match="epoch 2"):
        searcher.search("wing")


def test_answers_while_epochs_change(moving: Moving) -> None:
    """Eight askers and one who refreshes: every answer is that of one epoch."""
    both = [
        [ClusterSearcher(transport, **OPTIONS).answer(query, 9) for query in QUERIES]
        for transport in moving.epochs.values()
    ]
    searcher = ClusterSearcher(moving, **OPTIONS)
    wrong: list[str] = []
    done = threading.Event()

    def ask(number: int) -> None:
        for turn in range(12):
            place = (turn + number) % len(QUERIES)
            if searcher.answer(QUERIES[place], 9) not in (both[0][place], both[1][place]):
                wrong.append(QUERIES[place])

    def refresh() -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            moving.epoch = moving.epochs[1 + turn % 2].epoch
            searcher.refresh()

    askers = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    refresher = threading.Thread(target=refresh)
    for thread in (refresher, *askers):
        thread.start()
    for thread in askers:
        thread.join()
    done.set()
    refresher.join()
    assert not wrong


def test_questions_and_answers_travel(
    tmp_path: Path, cluster: Any, one_index: Any, relevance: Any, travelling: type[InProcess]
) -> None:
    options: Any = {**OPTIONS, "relevance": relevance}
    one = Searcher.open(one_index(tmp_path / "one", [OLD], chunk_words=3), **options)
    cluster(tmp_path / "many", OLD, 2, chunk_words=3).close()
    many = ClusterSearcher(travelling.open(sorted((tmp_path / "many").iterdir())), **options)
    for query in QUERIES:
        asked: Any = {"filter": 'year > 1995 and tags contains "a"', "collapse": True, "explain": True}
        assert many.answer(query, 9, **asked) == one.answer(query, 9, **asked)
    wanted = [document.id for document in OLD[:20]]
    assert many.rank_batch(QUERIES, candidates=[wanted] * 4) == one.rank_batch(
        QUERIES, candidates=[wanted] * 4
    )
    assert many.documents(wanted) == one.documents(wanted)
    assert many.ids() == sorted(one.ids()) and many.missing([*wanted, "x"]) == ["x"]
    assert many.fields == one.fields


def test_the_background_of_a_cluster(tmp_path: Path, cluster: Any, one_index: Any) -> None:
    """It is measured in the whole, and equals that of one index to the bit, however each is cut."""
    path = one_index(tmp_path / "one", [OLD])
    single = Snapshot.open(path)
    expected = measure_background(path, single.state, HashEncoder())
    assert expected is not None and expected == single.state.settings.background
    halves = Snapshot.open(one_index(tmp_path / "halves", [OLD[:120], OLD[120:]]))
    assert background_of(halves, HashEncoder()) == expected
    for shards in (1, 4):
        transport = cluster(tmp_path / str(shards), OLD, shards)
        many = ClusterSearcher(transport, **OPTIONS)
        found = background_of(many._open_generation().snapshot, HashEncoder())
        assert found == expected
        many.close()
