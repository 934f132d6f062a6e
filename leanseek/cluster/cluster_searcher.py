"""Search a cluster: a `Searcher` whose passages are in many shards, with the answers of one index."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Concatenate, Final, Literal, NamedTuple, ParamSpec, TypeVar, get_args

from leanseek.cluster.cluster_snapshot import ClusterSnapshot
from leanseek.cluster.load_limit import LoadLimit, Room
from leanseek.cluster.transport import Transport
from leanseek.encode import Encoder, LearnedEncoder
from leanseek.errors import EpochGoneError, ShardUnavailableError, UsageError
from leanseek.indexing.creation import given_encoder, given_learned
from leanseek.indexing.search_source import SearchSource
from leanseek.searcher.fusion.methods import Fusion
from leanseek.searcher.ranking import Sides
from leanseek.searcher.relevance.judge import AUTO, RelevanceChoice
from leanseek.searcher.request import Generation
from leanseek.searcher.searcher import Searcher, choose_fusion
from leanseek.searcher.second_stage import DepthChoice, RerankerChoice, choose_second_stage
from leanseek.types import Progress

Partial = Literal["never", "allow"]
"""What to do where a shard does not answer: fail, or answer from the others and say how much they cover."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

MOVES: Final = 5
PAUSE: Final = 0.05
"""How often a call begins anew because its epoch is gone, and seconds before it does where there is no newer one."""
FIRST_TRY: Final = 2 / 3
"""The share of a call's time after which it does without the shards that have not answered, where it may."""


class CallState(NamedTuple):
    """A call under way: the time by which it ends (of `time.monotonic`), and the shards that it does without."""

    searcher: ClusterSearcher
    until: float | None
    lost: frozenset[int] = frozenset()


_call: ContextVar[CallState | None] = ContextVar("call", default=None)


def open_transport(path: str | os.PathLike[str], address: str) -> Transport:
    """The transport to a stored cluster: see `ClusterSearcher.open`."""
    if address == "local":
        from leanseek.cluster.local_shards import LocalShards

        return LocalShards(path)
    from leanseek.cluster.ray_transport import RayTransport

    return RayTransport(os.fspath(path), address=address)


def search_shards(snapshot: ClusterSnapshot, *arguments: Any, **options: Any) -> list[Sides]:
    """`search_sides` for a cluster."""
    return snapshot.search_sides(*arguments, **options)


def covering(
    method: Callable[Concatenate[ClusterSearcher, Arguments], Result],
) -> Callable[Concatenate[ClusterSearcher, Arguments], Result]:
    """The method as one call, with its place and its deadline.

    It is begun anew on a newer epoch where its own is gone, and, where partial answers are allowed, without the shards
    that do not answer. What the shards told before is thrown away: an answer never mixes two states.
    """

    def call(self: ClusterSearcher, /, *arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        return self.attempt(lambda: method(self, *arguments, **options))

    functools.update_wrapper(call, method)
    return call


class ClusterSearcher(Searcher):
    """Answers queries from one epoch of a cluster, with the ids, the scores and the order that one index would give.

    Its methods are those of `Searcher`. With `partial="allow"` an answer may be that of an index without the documents
    of some shards; `Answer.coverage` is the share of the passages that were searched. Each call has `deadline` seconds
    for all that it asks of shards, and for its place: at most `max_calls` are under way or wait, by default as many as
    the hosts' queues take, and others raise OverloadedError at once.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        partial: Partial = "never",
        deadline: float | None = None,
        max_calls: int | None = None,
        encoder: str | Encoder | None = None,
        fusion: str | Fusion | None = None,
        dense_weight: float | None = None,
        learned: str | LearnedEncoder | None = None,
        learned_weight: float | None = None,
        mode: str | None = None,
        device: str | None = None,
        relevance: RelevanceChoice = AUTO,
        reranker: RerankerChoice = None,
        rerank_depth: DepthChoice | Sequence[DepthChoice] | None = None,
        rerank_budget: float | None = None,
        rerank_long: str | None = None,
        adaptive: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """Search the newest epoch of a transport, which is closed with the searcher. See `Searcher.open`.

        Raises UsageError for a `partial` that is neither never nor allow, and a deadline or `max_calls` not above 0.
        """
        if partial not in get_args(Partial):
            raise UsageError(f"partial is {partial!r}; it may be {' or '.join(get_args(Partial))}")
        if deadline is not None and not deadline > 0:
            raise UsageError(f"the deadline is {deadline} seconds; it must be more than 0")
        if max_calls is not None and max_calls < 1:
            raise UsageError(f"max_calls is {max_calls}; it must be at least 1")
        self.partial = partial
        self.deadline = deadline
        self._transport = transport
        self._limit = load_limit(transport.room, max_calls)
        epoch = transport.epoch
        super().__init__(
            ClusterSnapshot(transport, epoch),
            encoder=given_encoder(epoch.settings, encoder, device),
            fusion=choose_fusion(fusion, dense_weight, learned_weight),
            mode=mode,
            device=device,
            relevance=relevance,
            second_stage=choose_second_stage(
                reranker,
                rerank_depth,
                rerank_budget,
                device,
                long=rerank_long,
                adaptive=adaptive,
                progress=progress,
            ),
            learned=given_learned(epoch.settings, learned, device),
        )

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, address: str = "local", **options: Any) -> ClusterSearcher:
        """Search the cluster at a path or URL: its shards opened in this process, or, with the address of a Ray
        cluster (`auto`, `HOST:PORT`, `ray://HOST:PORT`), by the hosts that serve it there.

        `options` are those of the constructor. Raises what it does, IndexNotFoundError, IndexFormatError,
        IndexDamagedError; MissingPackageError and ClusterError with an address.
        """
        transport = open_transport(path, address)
        try:
            return cls(transport, **options)
        except BaseException:
            transport.close()
            raise

    answer = covering(Searcher.answer)
    search = covering(Searcher.search)
    search_batch = covering(Searcher.search_batch)
    rank_batch = covering(Searcher.rank_batch)
    context = covering(Searcher.context)
    similar = covering(Searcher.similar)
    describe = covering(Searcher.describe)
    clarify = covering(Searcher.clarify)
    documents = covering(Searcher.documents)
    missing = covering(Searcher.missing)
    ids = covering(Searcher.ids)
    idf = covering(Searcher.idf)
    suggest = covering(Searcher.suggest)
    corrected = covering(Searcher.corrected)
    count = covering(Searcher.count)
    examples = covering(Searcher.examples)

    def attempt(self, method: Callable[[], Result]) -> Result:
        """What the method gives; see `covering`.

        Raises ShardUnavailableError, also where no shard is left, EpochGoneError, OverloadedError.
        """
        under_way = _call.get()
        if under_way is not None and under_way.searcher is self:
            return method()  # a part of a call
        until = self._until()
        with self._limit.place(until) if self._limit is not None else nullcontext():
            lost: frozenset[int] = frozenset()
            moves = 0
            while True:
                token = _call.set(CallState(self, self._time_of_try(until), lost))
                try:
                    return method()
                except ShardUnavailableError as error:
                    if self.partial == "never":
                        raise
                    lost |= frozenset(error.shards)
                    if len(lost) == error.count:
                        raise
                except EpochGoneError:
                    moves += 1
                    if moves > MOVES:
                        raise
                    if not self.refresh():
                        time.sleep(PAUSE)  # its hosts may be opening it
                finally:
                    _call.reset(token)

    def _until(self) -> float | None:
        """By when a call that begins now is to end."""
        return None if self.deadline is None else time.monotonic() + self.deadline

    def _time_of_try(self, until: float | None) -> float | None:
        """By when a try at a call ends that may be followed by one without the shards that have not answered."""
        if until is None or self.partial == "never":
            return until
        now = time.monotonic()
        return now + FIRST_TRY * (until - now)

    def close(self) -> None:
        """Let the shards go. Whatever is asked afterwards raises UsageError."""
        super().close()
        self._transport.close()

    def _newest(self, current: SearchSource) -> SearchSource:
        return ClusterSnapshot(self._transport, self._transport.epoch)

    def _open_generation(self) -> Generation:
        generation = super()._open_generation()
        assert isinstance(generation.snapshot, ClusterSnapshot)
        call = _call.get()
        if call is None or call.searcher is not self:
            call = CallState(self, self._until())
        snapshot = generation.snapshot.for_call(call.until, call.lost)
        return replace(generation, snapshot=snapshot, search_sides=search_shards)


def load_limit(room: Room | None, max_calls: int | None) -> LoadLimit | None:
    """The limit of a searcher whose transport has room for so many calls (None: for any number)."""
    if room is None:
        return None if max_calls is None else LoadLimit(Room(max_calls, 0))
    return LoadLimit(room if max_calls is None else room.within(max_calls))
