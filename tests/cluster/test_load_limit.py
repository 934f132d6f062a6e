"""More calls than a router takes: some wait in their order, others are refused at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support import HashEncoder, HashExpander, make_documents

from leanseek.cluster import ClusterSearcher, InProcess
from leanseek.cluster.load_limit import LoadLimit, Room
from leanseek.errors import OverloadedError, UsageError


class Calls:
    """Calls in threads, each of which goes on until it is told to end."""

    def __init__(self, limit: LoadLimit) -> None:
        self.limit = limit
        self.entered: list[int] = []
        self.refused: list[int] = []
        self.ends: dict[int, threading.Event] = {}
        self.threads: list[threading.Thread] = []

    def begin(self, number: int, until: float | None = None) -> None:
        self.ends[number] = threading.Event()

        def call() -> None:
            try:
                with self.limit.place(until):
                    self.entered.append(number)
                    self.ends[number].wait(20)
            except OverloadedError:
                self.refused.append(number)

        self.threads.append(threading.Thread(target=call))
        self.threads[-1].start()
        held = self.limit.held
        while len(self.entered) + len(self.refused) + held.waiting < len(self.threads):
            time.sleep(0.001)
            held = self.limit.held

    def end(self, *numbers: int) -> None:
        for number in numbers:
            self.ends[number].set()


@contextmanager
def calls(limit: LoadLimit) -> Iterator[Calls]:
    made = Calls(limit)
    yield made
    made.end(*made.ends)
    for thread in made.threads:
        thread.join()


def eventually(true: Any) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_calls_wait_in_their_order_and_no_more_than_there_is_room_for() -> None:
    limit = LoadLimit(Room(2, 3))
    with calls(limit) as made:
        for number in range(7):
            made.begin(number)
        assert sorted(made.entered) == [0, 1] and made.refused == [5, 6]
        assert limit.held == Room(2, 3)
        made.end(1)
        eventually(lambda: made.entered[2:] == [2])
        made.begin(7)
        made.end(0, 2)
        eventually(lambda: made.entered[3:] == [3, 4] or made.entered[3:] == [4, 3])
    assert set(made.entered) == {0, 1, 2, 3, 4, 7}
    assert limit.held == Room(0, 0)


def test_a_call_whose_time_ends_while_it_waits_leaves_its_place_to_others() -> None:
    limit = LoadLimit(Room(1, 2))
    with calls(limit) as made:
        made.begin(0)
        made.begin(1, time.monotonic() + 0.05)
        made.begin(2)
        eventually(lambda: made.refused == [1])
        assert limit.held == Room(1, 1)
        made.end(0)
        eventually(lambda: made.entered == [0, 2])
    assert limit.held == Room(0, 0)


def test_a_call_is_refused_at_once_that_would_be_answered_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("leanseek.cluster.load_limit.time.monotonic", lambda: now[0])
    limit = LoadLimit(Room(1, 10))
    with limit.place(None):
        now[0] += 0.5  # what a call usually takes
    with limit.place(None):
        with pytest.raises(OverloadedError, match="would take all its time"):
            limit._enter(now[0] + 0.9)  # the one before it and its own
        assert limit.held == Room(1, 0)


def test_a_call_that_fails_leaves_its_place() -> None:
    limit = LoadLimit(Room(1, 0))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), limit.place(1.0):
            raise ZeroDivisionError
    assert limit.held == Room(0, 0)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, cluster: Any) -> InProcess:
    made: InProcess = cluster(tmp_path_factory.mktemp("limit"), make_documents(60, 3), 2)
    return made


class Held:
    """A transport whose shards answer when they may."""

    def __init__(self, inner: InProcess, room: Room | None) -> None:
        self.inner, self.room = inner, room
        self.name, self.epoch = inner.name, inner.epoch
        self.goes_on = threading.Event()

    def ask(self, epoch: int, questions: Any, deadline: float | None = None) -> dict[int, Any]:
        self.goes_on.wait(20)
        return self.inner.ask(epoch, questions, deadline)

    def close(self) -> None:
        self.goes_on.set()


@pytest.mark.parametrize("given", [{}, {"max_calls": 2}])
def test_a_searcher_refuses_what_its_transport_has_no_room_for(shards: InProcess, given: Any) -> None:
    held = Held(shards, Room(1, 1) if not given else Room(1, 50))
    searcher = ClusterSearcher(held, encoder=HashEncoder(), learned=HashExpander(), relevance=None, **given)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(searcher.search("wing"))) for _ in range(2)]
    assert searcher._limit is not None
    for number, thread in enumerate(threads, 1):
        thread.start()
        eventually(lambda number=number: sum(searcher._limit.held) == number)
    for method in (searcher.search, searcher.answer, searcher.rank_batch, searcher.context):
        with pytest.raises(OverloadedError, match="1 calls are under way and 1 wait"):
            method(["wing"] if method == searcher.rank_batch else "wing")
    held.goes_on.set()
    for thread in threads:
        thread.join()
    assert found == [searcher.search("wing")] * 2 and found[0]
    assert sum(searcher._limit.held) == 0


def test_one_call_has_one_place_whatever_it_calls_itself(shards: InProcess) -> None:
    searcher = ClusterSearcher(
        shards, max_calls=1, encoder=HashEncoder(), learned=HashExpander(), relevance=None
    )
    assert searcher.search("wing") == searcher.answer("wing").hits
    with pytest.raises(UsageError, match="max_calls is 0"):
        ClusterSearcher(shards, max_calls=0)
