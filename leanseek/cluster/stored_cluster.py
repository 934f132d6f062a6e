"""A cluster as an evaluation takes it: an index that is there, and is scored as it is."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any, NamedTuple

from leanseek.cluster.cluster_searcher import ClusterSearcher
from leanseek.cluster.epochs import EpochRecord, read_epoch
from leanseek.cluster.storage import open_storage
from leanseek.cluster.transport import without_learned
from leanseek.errors import UsageError
from leanseek.eval.provenance import digest
from leanseek.eval.results import IndexBuild
from leanseek.indexing.settings import IndexSettings, SparseSettings
from leanseek.searcher.ranking import Mode


class SystemSides(NamedTuple):
    """The sides of a cluster that a mode searches, as `System` takes them."""

    encoder: str | None
    dense: str
    sparse: SparseSettings
    learned_terms: int | None


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

    def sides(self, mode: Mode) -> SystemSides:
        """What a system of that mode has to be made with to be this cluster's. Raises UsageError where it lacks one."""
        settings = self.settings
        encoder = dense = None
        sparse = SparseSettings()
        if mode in ("hybrid", "dense"):
            if settings.encoder is None or settings.dense is None:
                raise UsageError(f"'{self.name}' was made without vectors; score it with --mode sparse")
            encoder, dense = settings.encoder.name, settings.dense
        if mode in ("hybrid", "sparse"):
            if settings.sparse is None:
                raise UsageError(f"'{self.name}' was made without a sparse side; score it with --mode dense")
            sparse = settings.sparse
        terms = settings.learned.terms if settings.learned is not None else None
        return SystemSides(encoder, dense or "flat", sparse, terms)

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
