"""A Transport to hosts on a Ray cluster, any of which may die, hang or be slow at any time.

A call goes to one replica's hosts. Where one has not answered after the time that nearly all its calls take, another
replica is asked the same beside it, and the first answer counts: that, rather than an error, is how a dead or frozen
host is noticed. How often is bounded by a budget, so that a cluster which is slow all over is not asked everything
twice.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from shlex import quote
from typing import Any, Final, TypeVar

from leanseek.cluster.epochs import current_epoch, read_epoch
from leanseek.cluster.host_state import AVOIDED, HEDGE_LEAST, Budget, HostState, Sent
from leanseek.cluster.hosts import NAMESPACE, START, WAITING, Place, host_names
from leanseek.cluster.load_limit import Room
from leanseek.cluster.local_shards import ATTEMPTS, epoch_of
from leanseek.cluster.ray_address import connect
from leanseek.cluster.storage import open_storage
from leanseek.cluster.transport import Epoch, Question
from leanseek.errors import ClusterError, EpochGoneError, LeanseekError, OverloadedError, UsageError

Result = TypeVar("Result")

PATIENCE: Final = 10.0
"""Seconds that a call without a deadline may take."""
GRACE: Final = 2.0
"""Seconds for which hosts are waited for that all shards can do without, when hosts are found or open an epoch."""
PAUSE: Final = 0.05
"""Seconds until all replicas are tried again where all have failed."""


class RayTransport:
    """A Transport to the hosts that `serve_cluster` has started."""

    def __init__(self, url: str, *, address: str = "auto") -> None:
        """Find the hosts of a cluster. Raises ClusterError where there are none, and as `connect`."""
        self._ray = connect(address, start=False)
        self._address = address
        self._storage = open_storage(url)
        self.name = url
        self.budget = Budget()
        self._refreshing = threading.Lock()
        self._looking = threading.Lock()
        self._looked_at = 0.0
        self._closed = False
        record = read_epoch(self._storage)
        self._shards = range(len(record.shards))
        self._take_hosts(self._find())
        # Hosts open the newest epoch by themselves, so that none older need be asked for.
        self._epoch = self._prepared(record.number)

    @property
    def epoch(self) -> Epoch:
        """The newest epoch: where one was published, hosts open it beside the present one before this returns."""
        with self._refreshing:
            newest = current_epoch(self._storage)
            if newest is not None and newest != self._epoch.number:
                self._epoch = self._prepared(newest)
            return self._epoch

    @property
    def room(self) -> Room:
        """What every host can have without refusing a call, each of which goes to all hosts of one replica.

        Twice as many calls are let through as are answered at a time: while hosts work on some, this process does on
        others.
        """
        least: dict[int, int] = {}
        for host in self._hosts:
            group, threads = host.place.group, host.place.threads
            least[group] = min(least.get(group, threads), threads)
        at_once = 2 * sum(least.values())
        return Room(at_once, max(len(least) * WAITING - at_once, 0))

    def ask(
        self, epoch: int, questions: Mapping[int, Question[Result]], deadline: float | None = None
    ) -> dict[int, Result]:
        """See Transport. Raises OverloadedError where all hosts that could answer have too much to do."""
        if self._closed:
            raise UsageError("this cluster is closed; open it again")
        until = time.monotonic() + PATIENCE if deadline is None else deadline
        return _Call(self, epoch, questions, until).answers()

    def close(self) -> None:
        """See Transport; the hosts go on."""
        self._closed = True

    def _find(self) -> list[HostState]:
        ray = self._ray
        try:
            actors = {name: ray.get_actor(name, NAMESPACE) for name in host_names(ray, self.name)}
        except (ray.exceptions.RayError, ValueError) as error:
            raise ClusterError(f"the hosts of '{self.name}' do not answer: {str(error)[:200]}") from error
        if not actors:
            raise ClusterError(
                f"no hosts serve '{self.name}' on this Ray cluster. Start them with: leanseek cluster serve "
                f"{quote(self.name)} --address {self._address}"
            )
        places, failures = self._gather(
            {name: actor.place.remote() for name, actor in actors.items()},
            lambda found: {shard for place in found.values() for shard in Place(*place).shards},
        )
        if self._missing(HostState(actors[name], name, Place(*place)) for name, place in places.items()):
            reason = next(iter(failures.values()), f"they said nothing in {START:.0f} seconds")
            raise ClusterError(f"the hosts of '{self.name}' do not answer: {str(reason)[:200]}")
        return [HostState(actors[name], name, Place(*place)) for name, place in places.items()]

    def _missing(self, hosts: Iterable[HostState]) -> set[int]:
        """The shards that none of the hosts has."""
        return set(self._shards).difference(*(host.place.shards for host in hosts))

    def _take_hosts(self, hosts: Sequence[HostState]) -> None:
        self._hosts = tuple(hosts)
        self._groups = sorted({host.place.group for host in hosts})

    def _gather(
        self, asked: Mapping[str, Any], covered: Callable[[dict[str, Any]], set[int]]
    ) -> tuple[dict[str, Any], dict[str, Exception]]:
        """What hosts answer, by their names, and why some do not.

        It waits for all of them, but not long once those that have answered cover all shards: one may be dead.
        """
        ray = self._ray
        waiting = {reference: name for name, reference in asked.items()}
        answers: dict[str, Any] = {}
        failures: dict[str, Exception] = {}
        until = time.monotonic() + START
        enough = False
        while waiting and (left := until - time.monotonic()) > 0:
            done, _ = ray.wait(list(waiting), num_returns=1, timeout=left)
            for reference in done:
                name = waiting.pop(reference)
                try:
                    answers[name] = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    failures[name] = error.cause if isinstance(error.cause, LeanseekError) else error
                except ray.exceptions.RayError as error:
                    failures[name] = error
            if not enough and covered(answers).issuperset(self._shards):
                enough = True
                until = min(until, time.monotonic() + GRACE)
        return answers, failures

    def _prepared(self, number: int) -> Epoch:
        """The epoch, or a newer one, once every shard has a host that is ready for it, and all that answer soon are."""
        for _ in range(ATTEMPTS):
            by_name = {host.name: host for host in self._hosts}
            ready, failures = self._gather(
                {name: host.actor.prepare.remote(number) for name, host in by_name.items()},
                lambda found, by_name=by_name: {  # type: ignore[misc]
                    shard for name in found for shard in by_name[name].place.shards
                },
            )
            for name, host in by_name.items():
                if name not in ready:
                    host.avoid()
            missing = self._missing(by_name[name] for name in ready)
            try:
                if not missing:
                    return epoch_of(read_epoch(self._storage, number))
            except LeanseekError:
                if current_epoch(self._storage) == number:
                    raise
            newest = current_epoch(self._storage)
            if newest in (None, number):
                break
            number = newest  # published while this one was opened, which may be gone by now
        known = [error for error in failures.values() if isinstance(error, LeanseekError)]
        if known:
            raise known[0]
        reason = next(iter(failures.values()), f"none answered in {START:.0f} seconds")
        raise ClusterError(
            f"no host of '{self.name}' could open shard {min(missing)} of epoch {number}: {str(reason)[:200]}"
        )

    def catch_up(self, host: HostState, epoch: int) -> None:
        """Have a host open an epoch that it lacks, because it did not answer when it should have."""
        if not host.avoided:
            host.avoid()
            host.actor.prepare.remote(epoch)

    def look_again(self) -> None:
        """Find the hosts anew, in the background: others may have been started in the place of those that fail."""
        if time.monotonic() - self._looked_at < AVOIDED or not self._looking.acquire(blocking=False):
            return
        self._looked_at = time.monotonic()

        def look() -> None:
            try:
                with suppress(ClusterError):
                    self._take_hosts(self._find())
            finally:
                self._looking.release()

        threading.Thread(target=look, daemon=True, name="hosts").start()

    def send(self, host: HostState, epoch: int, questions: Mapping[int, Question[Any]], until: float) -> Sent:
        """Ask a host."""
        host.begun()
        began = time.monotonic()
        reference = host.actor.ask.remote(epoch, dict(questions), until - began)
        future: Future[Any] = reference.future()
        future.add_done_callback(lambda done: host.ended(time.monotonic() - began, done.exception() is None))
        return Sent(host, tuple(questions), future)

    def choose(self, shard: int, tried: set[str]) -> HostState | None:
        """A host that has the shard and was not tried yet: the less busy of two, of those that are not avoided."""
        able = [host for host in self._hosts if shard in host.place.shards and host.name not in tried]
        able = [host for host in able if not host.avoided] or able
        if not able:
            return None
        two = random.sample(able, min(2, len(able)))
        return min(two, key=lambda host: host.outstanding)

    def group(self) -> int:
        """A replica for a whole call: the less busy of two, of those that have no host to avoid."""
        busy = dict.fromkeys(self._groups, 0)
        avoided = dict.fromkeys(self._groups, False)
        for host in self._hosts:
            busy[host.place.group] += host.outstanding
            avoided[host.place.group] |= host.avoided
        able = [group for group in self._groups if not avoided[group]] or self._groups
        two = random.sample(able, min(2, len(able)))
        return min(two, key=busy.__getitem__)

    def host_in(self, group: int, shard: int) -> HostState | None:
        """The host of a replica that has a shard."""
        return next(
            (host for host in self._hosts if host.place.group == group and shard in host.place.shards), None
        )


class _Call:
    """One call under way."""

    def __init__(
        self,
        transport: RayTransport,
        epoch: int,
        questions: Mapping[int, Question[Any]],
        until: float,
    ) -> None:
        self._transport = transport
        self._epoch = epoch
        self._questions = questions
        self._until = until
        self._answers: dict[int, Any] = {}
        self._came_with: dict[int, frozenset[int]] = {}
        self._sent: list[Sent] = []
        self._tried: dict[int, set[str]] = {shard: set() for shard in questions}
        self._failure: LeanseekError | None = None

    def answers(self) -> dict[int, Any]:
        """The answers that came in time. Raises what a question raised, EpochGoneError, OverloadedError."""
        self._transport.budget.call()
        group = self._transport.group()
        now = time.monotonic()
        self._send({shard: self._transport.host_in(group, shard) for shard in self._questions}, now)
        while len(self._answers) < len(self._questions):
            now = time.monotonic()
            if now >= self._until:
                break
            self._take()
            if len(self._answers) == len(self._questions):
                break
            self._repeat(time.monotonic())
            if self._sent:
                wait([one.future for one in self._sent], self._next(now), FIRST_COMPLETED)
            else:
                if self._failure is not None:  # everyone who could answer has refused
                    raise self._failure
                self._transport.look_again()
                time.sleep(max(min(PAUSE, self._until - now), 0.0))
                self._tried = {shard: set() for shard in self._tried}
        for one in self._sent:
            if not one.future.done():
                if time.monotonic() > one.overdue_at:
                    one.host.avoid()
                elif one.repeated:
                    one.host.passed_over()
        if len(self._answers) < len(self._questions) and self._failure is not None:
            raise self._failure
        return self._answers

    def _send(self, chosen: Mapping[int, HostState | None], now: float) -> None:
        """Send each host all the questions it is chosen for, as one call."""
        by_host: dict[str, tuple[HostState, dict[int, Question[Any]]]] = {}
        for shard, host in chosen.items():
            if host is not None:
                by_host.setdefault(host.name, (host, {}))[1][shard] = self._questions[shard]
                self._tried[shard].add(host.name)
        for host, questions in by_host.values():
            self._sent.append(self._transport.send(host, self._epoch, questions, self._until))

    def _take(self) -> None:
        """Take what has come."""
        ray = self._transport._ray
        for one in [one for one in self._sent if one.future.done()]:
            self._sent.remove(one)
            error = one.future.exception()
            cause = getattr(error, "cause", None)
            if isinstance(cause, LeanseekError):
                error = cause
            if error is None:
                self._keep(one.future.result())
            elif isinstance(error, EpochGoneError | OverloadedError):
                self._failure = error  # others may have the epoch, or the time
                if isinstance(error, EpochGoneError):
                    self._transport.catch_up(one.host, self._epoch)
            elif isinstance(error, ray.exceptions.RayTaskError) or not isinstance(
                error, ray.exceptions.RayError
            ):
                raise error
            else:
                one.host.avoid()

    def _keep(self, found: dict[int, Any]) -> None:
        """Take answers that came together: all, in the place of what they contain, or none."""
        came = frozenset(found)
        if all(self._came_with[shard] <= came for shard in came & self._answers.keys()):
            self._answers.update(found)
            self._came_with.update(dict.fromkeys(came, came))

    def _repeat(self, now: float) -> None:
        """Ask other hosts about what failed, is late, or is overdue."""
        chosen: dict[int, HostState | None] = {}
        for shard in self._questions:
            if shard in self._answers:
                continue
            waiting = [one for one in self._sent if shard in one.shards]
            if not waiting:  # failed: no hedge, but the next try
                chosen[shard] = self._transport.choose(shard, self._tried[shard])
        for one in self._sent:
            if one.repeated:
                continue
            late, overdue = now >= one.hedge_at, now >= one.overdue_at
            if overdue:
                one.host.avoid()
            if overdue or (late and self._transport.budget.hedge()):
                one.repeated = True
                for shard in one.shards:
                    if shard not in self._answers and shard not in chosen:
                        chosen[shard] = self._transport.choose(shard, self._tried[shard])
            elif late:
                one.hedge_at = now + HEDGE_LEAST  # there may be a token by then
        self._send(chosen, now)

    def _next(self, now: float) -> float:
        """Seconds until something is to be done if nothing comes."""
        moments = [self._until]
        for one in self._sent:
            if not one.repeated:
                moments += [one.hedge_at, one.overdue_at]
        return max(min(moments) - now, 0.001)
