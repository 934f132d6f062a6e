"""A cluster as an evaluation takes it: an index that is there, and is scored as it is."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

from leanseek.cluster.cluster_searcher import ClusterSearcher
from leanseek.cluster.epochs import EpochRecord, read_epoch
from leanseek.cluster.storage import open_storage
from leanseek.cluster.transport import without_learned
from leanseek.eval.provenance import digest
from leanseek.eval.results import IndexBuild
from leanseek.indexing.settings import IndexSettings


class StoredCluster:
    """A cluster, searched at an address (see `ClusterSearcher.open`). Pass it to `evaluate` as `stored`."""

    build: IndexBuild | None = None

    def __init__(self, url: str | os.PathLike[str], address: str = "local") -> None:
        """Raises IndexNotFoundError, IndexFormatError, IndexDamagedError."""
        self.name = os.fspath(url)
        self._address = address
        _ = self.epoch

    @cached_property
    def epoch(self) -> EpochRecord:
        """The epoch that was published when it was opened."""
        return read_epoch(open_storage(self.name))

    @property
    def settings(self) -> IndexSettings:
        """What its shards were made with."""
        return self.epoch.settings

    @property
    def documents(self) -> int:
        """How many it holds."""
        return self.epoch.documents

    @property
    def fingerprint(self) -> str:
        """A digest of its settings and its shards' checksums."""
        shards = [shard.catalog for shard in self.epoch.shards]
        return digest([without_learned(self.settings).to_json(), shards])

    def open(self, **options: Any) -> ClusterSearcher:
        """A searcher of it."""
        return ClusterSearcher.open(self.name, address=self._address, **options)
