"""Search a cluster: a `Searcher` whose passages are in many shards, with the answers of one index."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, get_args

from leanseek.cluster.cluster_snapshot import ClusterSnapshot
from leanseek.cluster.transport import Transport
from leanseek.encode import Encoder, LearnedEncoder
from leanseek.errors import ShardUnavailableError, UsageError
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

_lost: ContextVar[frozenset[int]] = ContextVar("lost", default=frozenset())
"""The shards that the call under way does without."""


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
    """The method, begun anew without the shards that do not answer where partial answers are allowed.

    What the shards told before is thrown away: an answer never mixes what was searched with what was not.
    """

    def call(self: ClusterSearcher, /, *arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        return self.attempt(lambda: method(self, *arguments, **options))

    functools.update_wrapper(call, method)
    return call


class ClusterSearcher(Searcher):
    """Answers queries from one epoch of a cluster, with the ids, the scores and the order that one index would give.

    Its methods are those of `Searcher`. With `partial="allow"` an answer may be that of an index without the documents
    of some shards; `Answer.coverage` is the share of the passages that were searched. Each call has `deadline` seconds
    for all that it asks of shards.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        partial: Partial = "never",
        deadline: float | None = None,
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

        Raises UsageError for a `partial` that is neither never nor allow, or a deadline that is not above 0.
        """
        if partial not in get_args(Partial):
            raise UsageError(f"partial is {partial!r}; it may be {' or '.join(get_args(Partial))}")
        if deadline is not None and not deadline > 0:
            raise UsageError(f"the deadline is {deadline} seconds; it must be more than 0")
        self.partial = partial
        self.deadline = deadline
        self._transport = transport
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
    documents = covering(Searcher.documents)
    missing = covering(Searcher.missing)
    ids = covering(Searcher.ids)

    def attempt(self, call: Callable[[], Result]) -> Result:
        """What the call gives; see `covering`. Raises ShardUnavailableError, also where no shard is left."""
        if _lost.get() or self.partial == "never":
            return call()
        lost: frozenset[int] = frozenset()
        while True:
            token = _lost.set(lost)
            try:
                return call()
            except ShardUnavailableError as error:
                lost |= frozenset(error.shards)
                if len(lost) == len(self._transport.epoch.shards):
                    raise
            finally:
                _lost.reset(token)

    def close(self) -> None:
        """Let the shards go. Whatever is asked afterwards raises UsageError."""
        super().close()
        self._transport.close()

    def _newest(self, current: SearchSource) -> SearchSource:
        return ClusterSnapshot(self._transport, self._transport.epoch)

    def _open_generation(self) -> Generation:
        generation = super()._open_generation()
        assert isinstance(generation.snapshot, ClusterSnapshot)
        until = None if self.deadline is None else time.monotonic() + self.deadline
        snapshot = generation.snapshot.for_call(until, _lost.get())
        return replace(generation, snapshot=snapshot, search_sides=search_shards)
