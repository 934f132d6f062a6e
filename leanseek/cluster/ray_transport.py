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
from collections import deque
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Final, TypeVar

from leanseek.cluster.epochs import current_epoch, read_epoch
from leanseek.cluster.hosts import NAMESPACE, START, Place, host_names
from leanseek.cluster.local_shards import epoch_of
from leanseek.cluster.ray_address import connect
from leanseek.cluster.storage import open_storage
from leanseek.cluster.transport import Epoch, Question
from leanseek.errors import ClusterError, EpochGoneError, LeanseekError, OverloadedError, UsageError

Result = TypeVar("Result")

PATIENCE: Final = 10.0
"""Seconds that a call without a deadline may take."""
HEDGE_LEAST: Final = 0.010
HEDGE_FIRST: Final = 0.100
"""Seconds after which another replica is asked too: at least, and while little is known of a host."""
HEDGE_SHARE: Final = 0.05
HEDGE_BURST: Final = 20.0
"""How many calls may be asked again: a share of all, and so many at once."""
REMEMBERED: Final = 200
"""Calls whose times tell what is usual of a host."""
OVERDUE: Final = 0.5
"""Seconds after which a call that is not answered is asked elsewhere whatever the budget, and its host avoided."""
AVOIDED: Final = 2.0
"""Seconds for which a host is avoided that failed or did not answer."""
PAUSE: Final = 0.05
"""Seconds until all replicas are tried again where all have failed."""


class HostState:
    """What a router knows of a host."""

    def __init__(self, actor: Any, name: str, place: Place) -> None:
        self.actor = actor
        self.name = name
        self.place = place
        self.outstanding = 0
        self.avoided_until = 0.0
        self._times: deque[float] = deque(maxlen=REMEMBERED)
        self._lock = threading.Lock()

    def begun(self) -> None:
        """Count a call."""
        with self._lock:
            self.outstanding += 1

    def ended(self, seconds: float, well: bool) -> None:
        """Count its end."""
        with self._lock:
            self.outstanding -= 1
            if well:
                self._times.append(seconds)

    def avoid(self) -> None:
        """Ask others first for a while."""
        self.avoided_until = time.monotonic() + AVOIDED

    @property
    def usual(self) -> float:
        """Seconds within which 95 % of its calls were answered."""
        with self._lock:
            times = sorted(self._times)
        if len(times) < 20:
            return HEDGE_FIRST
        return max(times[int(len(times) * 0.95)], HEDGE_LEAST)


class Budget:
    """A bucket of tokens that every call fills by a share, and every hedge takes one from."""

    def __init__(self) -> None:
        self.calls = 0
        self.hedges = 0
        self._tokens = HEDGE_BURST
        self._lock = threading.Lock()

    def call(self) -> None:
        """Count a call."""
        with self._lock:
            self.calls += 1
            self._tokens = min(self._tokens + HEDGE_SHARE, HEDGE_BURST)

    def hedge(self) -> bool:
        """Take a token; whether there was one."""
        with self._lock:
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            self.hedges += 1
            return True


class Sent:
    """Questions that a host was sent."""

    def __init__(self, host: HostState, shards: tuple[int, ...], future: Future[Any]) -> None:
        self.host = host
        self.shards = shards
        self.future = future
        self.at = time.monotonic()
        self.hedge_at = self.at + host.usual
        self.overdue_at = self.at + max(OVERDUE, 2 * host.usual)
        self.repeated = False


class RayTransport:
    """A Transport to the hosts that `serve_cluster` has started."""

    def __init__(self, url: str, *, address: str = "auto") -> None:
        """Find the hosts of a cluster. Raises ClusterError where there are none, and as `connect`."""
        self._ray = connect(address)
        self._storage = open_storage(url)
        self.name = url
        self.budget = Budget()
        self._refreshing = threading.Lock()
        self._closed = False
        self._hosts = self._find()
        self._groups = sorted({host.place.group for host in self._hosts})
        # Hosts open the newest epoch by themselves, so that none older need be asked for.
        self._epoch = self._prepared(read_epoch(self._storage).number)

    @property
    def epoch(self) -> Epoch:
        """The newest epoch: where one was published, hosts open it beside the present one before this returns."""
        with self._refreshing:
            newest = current_epoch(self._storage)
            if newest is not None and newest != self._epoch.number:
                self._epoch = self._prepared(newest)
            return self._epoch

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
        found = []
        try:
            for name in host_names(ray, self.name):
                actor = ray.get_actor(name, NAMESPACE)
                found.append((actor, name, actor.place.remote()))
            return [
                HostState(actor, name, Place(*ray.get(place, timeout=START))) for actor, name, place in found
            ] or (self._nobody())
        except (ray.exceptions.RayError, ValueError) as error:
            raise ClusterError(f"the hosts of '{self.name}' do not answer: {str(error)[:200]}") from error

    def _nobody(self) -> list[HostState]:
        raise ClusterError(
            f"no hosts serve '{self.name}' on this Ray cluster. Start them with "
            f"leanseek.cluster.serve_cluster({self.name!r})"
        )

    def _prepared(self, number: int) -> Epoch:
        """An epoch once every shard has a host that is ready for it, and all hosts that answer are."""
        ray = self._ray
        asked = [(host, host.actor.prepare.remote(number)) for host in self._hosts]
        ready: set[int] = set()
        failure: Exception | None = None
        for host, reference in asked:
            try:
                ray.get(reference, timeout=START)
                ready.update(host.place.shards)
            except ray.exceptions.RayTaskError as error:
                failure = error.cause if isinstance(error.cause, LeanseekError) else error
            except ray.exceptions.RayError as error:
                failure = error
                host.avoid()
        epoch = epoch_of(read_epoch(self._storage, number))
        if missing := set(range(len(epoch.shards))) - ready:
            if isinstance(failure, LeanseekError):
                raise failure
            raise ClusterError(
                f"no host of '{self.name}' could open shard {min(missing)} of epoch {number}: {failure}"
            )
        return epoch

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
        now = time.monotonic()
        able = [host for host in self._hosts if shard in host.place.shards and host.name not in tried]
        able = [host for host in able if host.avoided_until <= now] or able
        if not able:
            return None
        two = random.sample(able, min(2, len(able)))
        return min(two, key=lambda host: host.outstanding)

    def group(self) -> int:
        """A replica for a whole call: the less busy of two, of those that have no host to avoid."""
        now = time.monotonic()
        busy = dict.fromkeys(self._groups, 0)
        avoided = dict.fromkeys(self._groups, False)
        for host in self._hosts:
            busy[host.place.group] += host.outstanding
            avoided[host.place.group] |= host.avoided_until > now
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
        self._sent: list[Sent] = []
        self._tried: dict[int, set[str]] = {shard: set() for shard in questions}
        self._again_at = 0.0
        self._failure: LeanseekError | None = None
        self._gone = 0

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
                time.sleep(max(min(PAUSE, self._until - now), 0.0))
                self._tried = {shard: set() for shard in self._tried}
        for one in self._sent:
            if not one.future.done() and time.monotonic() > one.overdue_at:
                one.host.avoid()
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
                found: dict[int, Any] = one.future.result()
                for shard, answer in found.items():
                    self._answers.setdefault(shard, answer)
            elif isinstance(error, EpochGoneError | OverloadedError):
                self._failure = error  # others may have the epoch, or the time
            elif isinstance(error, ray.exceptions.RayTaskError) or not isinstance(
                error, ray.exceptions.RayError
            ):
                raise error
            else:
                one.host.avoid()

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
