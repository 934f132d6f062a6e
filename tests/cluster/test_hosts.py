"""Hosts, and how a router chooses and asks them, with threads in the place of Ray's actors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import HashEncoder, make_documents

from leanseek.cluster import ClusterIndex, Question, host_state, ray_transport
from leanseek.cluster.host_state import Budget, HostState
from leanseek.cluster.hosts import WAITING, Host, Place, layout
from leanseek.cluster.questions import Find, Frequencies
from leanseek.cluster.ray_transport import RayTransport
from leanseek.cluster.storage import open_storage
from leanseek.errors import EpochGoneError, LeanseekError, OverloadedError, UsageError
from leanseek.indexing.creation import make_plan

ASKED: dict[int, Question[Any]] = {shard: Find(("d1", "d2", "d3", "d40")) for shard in range(4)}
TOGETHER: dict[int, Question[Any]] = dict.fromkeys(range(4), Frequencies(("wing", "trial")))


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 12))
def test_each_replica_has_every_shard_once(shards: int, replicas: int, nodes: int) -> None:
    if nodes < replicas:
        with pytest.raises(UsageError, match="replicas"):
            layout(shards, replicas, nodes)
        return
    places = layout(shards, replicas, nodes)
    assert len(places) == nodes
    for group in range(replicas):
        held = sorted(shard for place in places if place.group == group for shard in place.shards)
        assert held == list(range(shards))


class Reference:
    def __init__(self, future: Any) -> None:
        self._future = future

    def future(self) -> Any:
        return self._future


class Method:
    """A method of an actor, and what it was called with."""

    def __init__(self, actor: Actor, name: str) -> None:
        self.actor, self.name = actor, name
        self.told: list[Any] = []

    def remote(self, *arguments: Any) -> Reference:
        self.told.append(arguments)

        def call() -> Any:
            self.actor.goes_on.wait(20)
            return getattr(self.actor.host, self.name)(*arguments)

        return Reference(self.actor.threads.submit(call))


class Actor:
    """A host in a thread, which hangs while it may not go on."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.goes_on = Event()
        self.goes_on.set()
        self.threads = ThreadPoolExecutor(8)
        self.ask, self.prepare, self.place = (Method(self, name) for name in ("ask", "prepare", "place"))

    @property
    def calls(self) -> int:
        return len(self.ask.told)


class Exceptions:
    class RayError(Exception):
        pass

    class RayTaskError(RayError):
        def __init__(self, cause: Exception) -> None:
            super().__init__(str(cause))
            self.cause = cause


class Ray:
    exceptions = Exceptions

    @staticmethod
    def wait(references: list[Reference], num_returns: int, timeout: float) -> Any:
        futures.wait([one.future() for one in references], timeout, futures.FIRST_COMPLETED)
        done = [one for one in references if one.future().done()][:num_returns]
        return done, [one for one in references if one not in done]

    @staticmethod
    def get(reference: Reference) -> Any:
        try:
            return reference.future().result()
        except LeanseekError as error:
            raise Exceptions.RayTaskError(error) from error


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Path:
    url = tmp_path_factory.mktemp("hosts") / "cluster"
    plan = make_plan(encoder=HashEncoder(), dense="flat")
    ClusterIndex.build(url, make_documents(200), plan, 4)
    return url


@pytest.fixture
def actors(url: Path) -> list[Actor]:
    return [Actor(Host(str(url), place)) for place in layout(4, 2, 4)]


@pytest.fixture
def transport(url: Path, actors: list[Actor], monkeypatch: pytest.MonkeyPatch) -> Iterator[RayTransport]:
    made = RayTransport.__new__(RayTransport)
    made._ray, made.name, made.budget, made._closed = Ray, str(url), Budget(), False
    made._storage, made._shards = open_storage(url), range(4)
    made._take_hosts([HostState(actor, f"h{n}", actor.host.place()) for n, actor in enumerate(actors)])
    monkeypatch.setattr(made, "look_again", lambda: None)
    yield made
    for actor in actors:
        actor.goes_on.set()


def expected(url: Path) -> dict[int, list[int]]:
    host = Host(str(url), Place(0, (0, 1, 2, 3), 1))
    return host.ask(1, ASKED, 9.0)


def test_all_shards_answer_once(url: Path, transport: RayTransport, actors: list[Actor]) -> None:
    assert transport.ask(1, ASKED) == expected(url)
    assert sum(actor.calls for actor in actors) == 2  # one call a host, of one replica
    assert transport.budget.hedges == 0


def test_a_frozen_host_is_asked_for_elsewhere_and_then_avoided(
    url: Path, transport: RayTransport, actors: list[Actor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_state, "AVOIDED", 0.05)
    actors[0].goes_on.clear()
    want = expected(url)
    for _ in range(30):
        assert transport.ask(1, ASKED, time.monotonic() + 10) == want
    assert 1 <= transport.budget.hedges <= host_state.SILENT
    assert actors[0].calls <= host_state.SILENT
    host = next(host for host in transport._hosts if host.actor is actors[0])
    while not host.avoided:
        host.passed_over()
    assert {transport.group() for _ in range(30)} == {1 - host.place.group}, "until it answers"
    actors[0].goes_on.set()
    until = time.monotonic() + 20
    while host.avoided:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_dead_host_costs_an_answer_nothing(
    url: Path, transport: RayTransport, actors: list[Actor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> Any:
        raise Exceptions.RayError("the actor died")

    monkeypatch.setattr(actors[1].host, "ask", die)
    for _ in range(10):
        assert transport.ask(1, ASKED, time.monotonic() + 10) == expected(url)
    assert transport.budget.hedges == 0


def test_answers_that_came_together_stay_together(transport: RayTransport) -> None:
    """The answer of two shards counts for both or for neither: what one of them gave alone is in it too."""
    call = ray_transport._Call(transport, 1, TOGETHER, time.monotonic() + 9)
    call._keep({0: "0"})
    call._keep({0: "02", 2: "02"})
    assert call._answers == {0: "02", 2: "02"}
    call._keep({1: "12", 2: "12"})
    call._keep({2: "2"})
    assert call._answers == {0: "02", 2: "02"}
    call._keep({1: "13", 3: "13"})
    assert call._answers == {0: "02", 2: "02", 1: "13", 3: "13"}


def test_hosts_are_asked_about_all_their_shards_as_one_index(url: Path, transport: RayTransport) -> None:
    found = transport.ask(1, TOGETHER)
    one = Host(str(url), Place(0, (0, 1, 2, 3), 1)).ask(1, TOGETHER, 9.0)[0]
    units = dict(found[shard] for shard in range(4))
    assert sorted(shard for shards in units for shard in shards) == [0, 1, 2, 3] and len(units) == 2
    assert [sum(column) for column in zip(*units.values(), strict=True)] == one.answer


def test_shards_without_a_host_are_left_out_at_the_deadline(
    transport: RayTransport, actors: list[Actor]
) -> None:
    for actor in actors:
        if 0 in actor.host.place().shards:
            actor.goes_on.clear()
    began = time.monotonic()
    found = transport.ask(1, ASKED, began + 0.6)
    held = {shard for actor in actors if actor.goes_on.is_set() for shard in actor.host.place().shards}
    assert set(found) == held and 0 not in found


def test_an_epoch_that_no_host_has(transport: RayTransport, actors: list[Actor]) -> None:
    with pytest.raises(EpochGoneError):
        transport.ask(7, ASKED, time.monotonic() + 5)
    assert all(actor.prepare.told == [(7,)] for actor in actors if actor.calls), "they are to open it"


def test_calls_are_let_through_as_all_queues_take_them(transport: RayTransport) -> None:
    assert transport.room == (8, 2 * WAITING - 8)  # two replicas, whose hosts answer two calls at a time
    assert transport.room.within(10) == (8, 2)
    assert transport.room.within(3) == (3, 0)


def test_a_host_refuses_what_would_wait_too_long(url: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(str(url), Place(0, (0, 1), 1))
    asked = {0: ASKED[0], 1: ASKED[1]}
    assert set(host.ask(1, asked, 5.0)) == {0, 1}
    assert host.ask(1, asked, -1.0) == {}  # its time is over before it begins
    monkeypatch.setattr("leanseek.cluster.hosts.WAITING", 0)
    with pytest.raises(OverloadedError):
        host.ask(1, asked, 5.0)


def test_a_host_has_the_next_epoch_beside_the_present_one(url: Path) -> None:
    host = Host(str(url), Place(0, (0, 1, 2, 3), 1))
    before = host.ask(1, TOGETHER, 5.0)
    cluster = ClusterIndex.open(url, encoder=HashEncoder())
    number = cluster.epoch.number
    cluster.delete(filter="year > 2000")
    assert host.prepare(number + 1) == number + 1
    assert host.ask(number, TOGETHER, 5.0) == before != host.ask(number + 1, TOGETHER, 5.0)


def test_a_silent_host_holds_up_no_epoch(
    url: Path, transport: RayTransport, actors: list[Actor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_transport, "GRACE", 0.05)
    cluster = ClusterIndex.open(url, encoder=HashEncoder())
    cluster.delete(["d1"])
    number = cluster.epoch.number
    actors[0].goes_on.clear()
    epoch = transport._prepared(number)
    assert epoch.number == number
    host = next(host for host in transport._hosts if host.actor is actors[0])
    assert host.avoided and sum(one.avoided for one in transport._hosts) == 1
    # One that lacks the epoch when it goes on is told to open it, and another answers meanwhile.
    actors[0].host._epochs.pop(number, None)
    host.avoided = False
    actors[0].goes_on.set()
    for _ in range(30):
        assert transport.ask(number, TOGETHER, time.monotonic() + 10)
    assert (number,) in actors[0].prepare.told


def test_an_epoch_that_is_gone_gives_way_to_the_newest(url: Path, transport: RayTransport) -> None:
    newest = ClusterIndex.open(url, encoder=HashEncoder()).epoch.number
    assert transport._prepared(newest + 7).number == newest
