"""A Transport to all shards of a stored cluster, opened in this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Final, TypeVar

from leanseek.cluster.epochs import EpochRecord, current_epoch, read_epoch
from leanseek.cluster.load_limit import Room
from leanseek.cluster.shards import open_snapshots
from leanseek.cluster.storage import Storage, open_storage
from leanseek.cluster.transport import Epoch, InProcess, Question, Shard
from leanseek.errors import EpochGoneError, IndexDamagedError, UsageError
from leanseek.indexing.snapshot import Snapshot
from leanseek.indexing.sparse.base import Totals

Result = TypeVar("Result")

HELD: Final = 2
"""Epochs that stay open: calls under way end on the one that they began with."""
ATTEMPTS: Final = 20
"""A writer may publish, and remove an older epoch, between reading its number and opening its shards."""


def epoch_of(record: EpochRecord) -> Epoch:
    """What a router knows of an epoch, as the storage has it."""
    shards = tuple(Shard(one.size, Totals(one.passages, one.terms)) for one in record.shards)
    return Epoch(record.number, record.settings, shards)


def open_epoch(
    storage: Storage, number: int | None = None, shards: tuple[int, ...] | None = None
) -> tuple[EpochRecord, list[Snapshot]]:
    """An epoch with its shards, or some of them, opened; None: the newest.

    Raises IndexNotFoundError, IndexFormatError, IndexDamagedError, which names the shard, EpochGoneError.
    """
    for _ in range(ATTEMPTS):
        newest = current_epoch(storage)
        wanted = newest if number is None else number
        try:
            record = read_epoch(storage, wanted)
            return record, open_snapshots(storage, record, shards)
        except IndexDamagedError as error:
            failure = error
            if current_epoch(storage) == newest and (number is None or newest == number):
                raise
            if number is not None:
                raise EpochGoneError(
                    f"epoch {number} of '{storage.url}' is gone; {newest} is published"
                ) from error
    raise failure


class LocalShards:
    """A Transport to the shards of a cluster in this process; it goes on to newer epochs as they are published."""

    room: Room | None = None

    def __init__(self, url: str | os.PathLike[str]) -> None:
        """Open the newest epoch. Raises as `open_epoch`."""
        self._storage = open_storage(url)
        self.name = self._storage.url
        self._lock = threading.Lock()
        self._held: dict[int, InProcess] = {}
        self._closed = False
        _ = self.epoch

    @property
    def epoch(self) -> Epoch:
        """The newest epoch, opened when it is asked for."""
        with self._lock:
            if self._closed:
                raise UsageError("this cluster is closed; open it again")
            newest = current_epoch(self._storage)
            if newest is None or newest not in self._held:
                record, snapshots = open_epoch(self._storage)
                self._held[record.number] = InProcess(
                    snapshots, number=record.number, settings=record.settings, name=self.name
                )
                # Not closed: the files go with the last call that reads them.
                for old in sorted(self._held)[:-HELD]:
                    del self._held[old]
            return self._held[max(self._held)].epoch

    def ask(
        self, epoch: int, questions: Mapping[int, Question[Result]], deadline: float | None = None
    ) -> dict[int, Result]:
        """See Transport."""
        if self._closed:
            raise UsageError("this cluster is closed; open it again")
        held = self._held.get(epoch)
        if held is None:
            raise EpochGoneError(f"epoch {epoch} of '{self.name}' is gone; search again")
        return held.ask(epoch, questions, deadline)

    def close(self) -> None:
        """See Transport."""
        with self._lock:
            self._closed = True
            for held in self._held.values():
                held.close()
            self._held.clear()
