"""A Transport to the shards of an epoch that is not published yet: every question is a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from leanseek.cluster.epochs import EpochRecord
from leanseek.cluster.load_limit import Room
from leanseek.cluster.local_shards import epoch_of
from leanseek.cluster.shards import ask_task
from leanseek.cluster.storage import Storage
from leanseek.cluster.tasks import Pool, Task
from leanseek.cluster.transport import Question, Together

Result = TypeVar("Result")


class PoolShards:
    """Asks shards wherever the tasks of a pool run, so that none has to be fetched to this machine."""

    room: Room | None = None

    def __init__(self, storage: Storage, pool: Pool, record: EpochRecord) -> None:
        self.name = storage.url
        self._location = storage.location
        self.epoch = epoch_of(record)
        self._pool = pool
        self._record = record

    def ask(
        self, epoch: int, questions: Mapping[int, Question[Result]], deadline: float | None = None
    ) -> dict[int, Result]:
        """See Transport. It waits for as long as it takes."""
        tasks = [
            Task(shard, (self._location, self._record.shards[shard], question))
            for shard, question in questions.items()
        ]
        found: dict[int, Any] = dict(self._pool.run(ask_task, tasks))
        for shard, question in questions.items():
            if getattr(question, "together", False):
                found[shard] = Together((shard,), found[shard])
        return found

    def close(self) -> None:
        """Nothing: no shard stays open."""
