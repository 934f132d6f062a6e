"""A cluster under a name of the server's: its shards in this process, or the hosts that serve it on Ray."""

from __future__ import annotations

from leanseek.cluster import ClusterSearcher, Partial, Transport, open_transport
from leanseek.errors import StorageError
from leanseek.indexing import Index
from leanseek.searcher import SecondStage
from leanseek.serve.refusals import RefusedError
from leanseek.serve.served_index import FindModels, Models, Served


class ClusterSource:
    """A cluster, to be read."""

    def __init__(self, url: str, address: str, partial: Partial, deadline: float) -> None:
        """`deadline`: seconds for all that one request asks of shards."""
        self._url = url
        self._address = address
        self._partial = partial
        self._deadline = deadline
        self._transport: Transport | None = None
        self._epoch: int | None = None

    def look(self) -> None:
        """See Source: only the storage knows."""

    def find(self) -> int:
        """See Source: the epoch's number. While the storage does not answer, what is open stays."""
        if self._transport is None:
            self._transport = open_transport(self._url, self._address)
        try:
            self._epoch = self._transport.epoch.number
        except StorageError:
            if self._epoch is None:
                raise
        return self._epoch

    def open(self, models: FindModels, second: SecondStage | None, relevance: str | None) -> Served:
        """See Source."""
        self.find()
        assert self._transport is not None
        found = models(self._transport.epoch.settings)._asdict()
        searchers = [
            ClusterSearcher(
                self._transport,
                partial=self._partial,
                deadline=self._deadline,
                relevance=relevance,
                reranker=stage,
                **found,
            )
            for stage in ((None,) if second is None else (second, None))
        ]
        served = Served(searchers[0], searchers[-1])
        # An epoch may be published between the two.
        same = served.searcher.generation == served.plain.generation
        return served if same else self.open(models, second, relevance)

    def writer(self, models: Models) -> Index:
        """See Source."""
        raise RefusedError(
            403,
            "this index is a cluster, which the server only reads; change it by leanseek cluster add, delete, compact",
            "read_only",
        )

    def close(self) -> None:
        """Let the shards go."""
        if self._transport is not None:
            self._transport.close()
