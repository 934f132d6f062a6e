"""The cluster as its owner sees it: build, add, delete, compact. Every change is one new epoch, or none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from leanseek.cluster.cluster_snapshot import ClusterSnapshot
from leanseek.cluster.epochs import (
    EpochRecord,
    ShardRecord,
    clean,
    current_epoch,
    epoch_name,
    no_cluster,
    publish,
    read_epoch,
)
from leanseek.cluster.pool_shards import PoolShards
from leanseek.cluster.shards import (
    Addition,
    ChangedShard,
    Compaction,
    Deletion,
    Encoders,
    ShardChange,
    build_task,
    change_task,
    check_shard,
    encode_task,
    open_folder,
    open_snapshots,
)
from leanseek.cluster.storage import SHARDS, UNITS, Storage, open_storage
from leanseek.cluster.tasks import LocalPool, Pool, Task
from leanseek.cluster.transport import route, without_learned
from leanseek.cluster.units import Unit, write_units
from leanseek.encode import Encoder, LearnedEncoder
from leanseek.encode.corpus import TruncationReport
from leanseek.errors import IndexExistsError, IndexNotFoundError, InputError, LeanseekError, UsageError
from leanseek.filters import Filter, check_fields, parse_filter
from leanseek.indexing.background import background_of, has_grown
from leanseek.indexing.catalog import read_state
from leanseek.indexing.creation import Plan, given_encoder, given_learned
from leanseek.indexing.intake import OnDuplicate
from leanseek.indexing.settings import IndexSettings
from leanseek.types import Document, Progress, silent

MOST_SHARDS: Final = 10_000


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """What a change did: the epoch it published, the documents and passages that this has, and how many documents
    were `added`, took the place of earlier ones, or were deleted.

    `encoded` and `known` are the passages whose vectors were computed, and the units that an earlier, interrupted call
    had encoded. `truncation` is None without vectors, or where nothing was added. `left_out` are the metadata fields
    that were not stored, each with the reason.
    """

    epoch: int
    shards: int
    documents: int
    passages: int
    added: int = 0
    replaced: int = 0
    deleted: int = 0
    encoded: int = 0
    known: int = 0
    truncation: TruncationReport | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """A cluster's present epoch; `unfinished` counts the units of a build or add that did not come to its end."""

    url: str
    epoch: int
    settings: IndexSettings
    documents: int
    passages: int
    terms: int
    shards: tuple[ShardRecord, ...]
    unfinished: int


@dataclass(frozen=True, slots=True)
class ClusterCheck:
    """What was read of a cluster, and what is wrong with it; each problem names its shard."""

    epoch: int
    shards: int
    problems: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """True where nothing is damaged or missing."""
        return not self.problems


class ClusterIndex:
    """A cluster, to write to. Search it with `ClusterSearcher`."""

    def __init__(
        self,
        storage: Storage,
        pool: Pool | None = None,
        encoder: Encoder | None = None,
        learned: LearnedEncoder | None = None,
    ) -> None:
        self._storage = storage
        self._pool = pool if pool is not None else LocalPool()
        self._encoder = encoder
        self._learned = learned

    @classmethod
    def build(
        cls,
        url: str | os.PathLike[str],
        documents: Iterable[Document],
        plan: Plan,
        shards: int,
        *,
        origin: str | None = None,
        on_duplicate: OnDuplicate = "reject",
        pool: Pool | None = None,
        progress: Progress | None = None,
    ) -> ClusterReport:
        """Make a cluster of so many shards, at a place where none is; `plan` is that of every shard (`make_plan`).

        Cut short, it goes on from there when it is repeated: what was encoded stays. `origin` is recorded; a cluster
        that was built from the same is left as it is. Raises IndexExistsError for any other.
        """
        if not 1 <= shards <= MOST_SHARDS:
            raise UsageError(f"shards is {shards}; a cluster has 1 to {MOST_SHARDS:,}")
        storage = open_storage(url)
        index = cls(storage, pool, plan.encoder, plan.learned)
        return index._build(documents, plan, shards, origin, on_duplicate, progress or silent)

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str],
        *,
        encoder: str | Encoder | None = None,
        learned: str | LearnedEncoder | None = None,
        pool: Pool | None = None,
    ) -> ClusterIndex:
        """A cluster that exists. `encoder` and `learned` take the place of the recorded ones, as in `Index.open`."""
        storage = open_storage(url)
        settings = read_epoch(storage).settings
        return cls(storage, pool, given_encoder(settings, encoder), given_learned(settings, learned))

    @property
    def epoch(self) -> EpochRecord:
        """The epoch that is published now."""
        return read_epoch(self._storage)

    def add(
        self,
        documents: Iterable[Document],
        *,
        on_duplicate: OnDuplicate = "reject",
        progress: Progress | None = None,
    ) -> ClusterReport:
        """Add documents, all in one epoch: after an error, or Ctrl-C, the cluster is as it was.

        Otherwise as `Index.add`. What was encoded before an error is used when the call is repeated.
        """
        progress = progress or silent
        if on_duplicate not in ("reject", "replace"):
            raise UsageError(f"on_duplicate is '{on_duplicate}'; it can be 'reject' or 'replace'")
        with self._changing() as epoch:
            work = Encoding(self._storage, self._pool, self._encoders(epoch.settings), len(epoch.shards))
            units = work.encode(documents, epoch.settings, progress)
            changes: dict[int, ShardChange] = {
                shard: Addition(tuple(names), on_duplicate) for shard, names in units.items()
            }
            changed, report = self._change(epoch, changes, progress)
            added = [one.added for one in changed if one.added is not None]
            return replace(
                report,
                added=sum(one.documents for one in added),
                replaced=sum(one.replaced for one in added),
                encoded=work.encoded,
                known=work.known,
                truncation=truncation(changed),
                left_out=work.left_out,
            )

    def delete(
        self, ids: Iterable[str] = (), *, filter: str | Filter | None = None, ignore_missing: bool = False
    ) -> ClusterReport:
        """Delete documents by id, by a metadata filter, or both, all in one epoch; otherwise as `Index.delete`."""
        if isinstance(ids, str):  # which would count as its characters
            raise UsageError(f"ids is the string {ids!r}; give a list of ids, such as [{ids!r}]")
        wanted = dict.fromkeys(ids)
        condition = parse_filter(filter) if isinstance(filter, str) else filter
        with self._changing() as epoch:
            found = self._present(epoch, list(wanted), condition)
            missing = wanted.keys() - {id for mine in found.values() for id in mine}
            if missing and not ignore_missing:
                some = ", ".join(repr(id) for id in wanted if id in missing)
                raise InputError(
                    f"{len(missing)} of the ids are not in '{self._storage.url}': {some[:200]}. Nothing was deleted; "
                    "--ignore-missing deletes the others."
                )
            changes: dict[int, ShardChange] = {
                shard: Deletion(tuple(mine)) for shard, mine in found.items() if mine
            }
            _, report = self._change(epoch, changes, silent)
            return replace(report, deleted=sum(map(len, found.values())))

    def compact(self, *, relearn: bool = False, progress: Progress | None = None) -> ClusterReport:
        """Merge each shard's segments into one and drop what was deleted, all in one epoch; see `Index.compact`."""
        with self._changing() as epoch:
            changes: dict[int, ShardChange] = {
                shard: Compaction(relearn)
                for shard, record in enumerate(epoch.shards)
                if relearn or record.size > record.passages or self._segments(record) > 1
            }
            return self._change(epoch, changes, progress or silent)[1]

    def status(self) -> ClusterStatus:
        """What the present epoch has."""
        epoch = self.epoch
        unfinished = sum(name.endswith(".documents") for name in self._storage.names(UNITS))
        return ClusterStatus(
            self._storage.url,
            epoch.number,
            epoch.settings,
            epoch.documents,
            epoch.passages,
            epoch.terms,
            epoch.shards,
            unfinished,
        )

    def check(self, progress: Progress | None = None) -> ClusterCheck:
        """Read every byte of the present epoch's shards and compare it with what was published."""
        epoch = self.epoch
        problems: list[str] = []
        for number, record in enumerate(epoch.shards):
            (progress or silent)("checking shards", number, len(epoch.shards))
            problems += [f"shard {number}: {problem}" for problem in check_shard(self._storage, record)]
        (progress or silent)("checking shards", len(epoch.shards), len(epoch.shards))
        return ClusterCheck(epoch.number, len(epoch.shards), tuple(problems))

    def _build(
        self,
        documents: Iterable[Document],
        plan: Plan,
        shards: int,
        origin: str | None,
        on_duplicate: OnDuplicate,
        progress: Progress,
    ) -> ClusterReport:
        storage = self._storage
        with storage.writing():
            if (number := current_epoch(storage)) is not None:
                epoch = read_epoch(storage, number)
                same = (epoch.origin, len(epoch.shards), without_learned(epoch.settings)) == (
                    origin,
                    shards,
                    without_learned(plan.settings),
                )
                if origin is None or not same:
                    raise IndexExistsError(
                        f"'{storage.url}' already holds a cluster of {epoch.documents:,} documents. Add to it with: "
                        f"leanseek cluster add {storage.url} SOURCE; or choose another place."
                    )
                clean(storage, number, units=True)
                return reported(epoch)
            self._remove_drafts()
            encoders = self._encoders(plan.settings)
            work = Encoding(storage, self._pool, encoders, shards)
            units = work.encode(documents, plan.settings, progress)
            if not units:
                raise InputError(f"the input holds no documents; '{storage.url}' was not made")
            tasks = (
                Task(
                    shard,
                    (
                        storage.location,
                        shard,
                        units.get(shard, []),
                        encoders,
                        plan.learning_queries,
                        on_duplicate,
                    ),
                )
                for shard in range(shards)
            )
            made = self._collect(build_task, tasks, "merging shards", shards, progress)
            records = tuple(one.record for one in made)
            epoch = EpochRecord(1, plan.settings, records, origin, tuple(plan.learning_queries))
            epoch = self._with_background(epoch, progress)
            progress("publishing", 0, None)
            publish(storage, epoch)
            clean(storage, 1, units=True)
        return replace(
            reported(epoch),
            added=epoch.documents,
            encoded=work.encoded,
            known=work.known,
            truncation=truncation(made),
            left_out=work.left_out,
        )

    @contextmanager
    def _changing(self) -> Iterator[EpochRecord]:
        """Hold the writer's lock, with the epoch that is published; what a crash has left is removed."""
        if current_epoch(self._storage) is None:  # before the lock, which would make a folder
            raise IndexNotFoundError(no_cluster(self._storage))
        with self._storage.writing():
            epoch = read_epoch(self._storage)
            clean(self._storage, epoch.number, units=False)
            yield epoch

    def _change(
        self, epoch: EpochRecord, changes: Mapping[int, ShardChange], progress: Progress
    ) -> tuple[list[ChangedShard], ClusterReport]:
        """Change shards and publish the next epoch; the present one stays where there is nothing to change."""
        storage = self._storage
        number = epoch.number + 1
        encoders = self._encoders(epoch.settings)
        tasks = (
            Task(shard, (storage.location, shard, number, epoch.shards[shard], change, encoders))
            for shard, change in changes.items()
        )
        try:
            changed = self._collect(change_task, tasks, "changing shards", len(changes), progress)
        except BaseException:
            # What some shards have become already, no epoch names.
            with suppress(LeanseekError):
                clean(storage, epoch.number, units=False)
            raise
        records = list(epoch.shards)
        for one in changed:
            records[one.shard] = one.record
        if tuple(records) == epoch.shards:
            return changed, reported(epoch)
        compacted = all(isinstance(change, Compaction) for change in changes.values())
        new = replace(epoch, number=number, shards=tuple(records), origin=epoch.origin if compacted else None)
        try:
            if any(isinstance(change, Addition) for change in changes.values()) and has_grown(
                new.passages, new.settings.background
            ):
                new = self._with_background(new, progress)
            progress("publishing", 0, None)
            publish(storage, new)
        except BaseException:
            if current_epoch(storage) == epoch.number:
                storage.remove(epoch_name(number))
                clean(storage, epoch.number, units=False)
            raise
        clean(storage, number, units=True)
        return changed, reported(new)

    def _collect(
        self,
        function: Callable[..., ChangedShard],
        tasks: Iterable[Task],
        stage: str,
        total: int,
        progress: Progress,
    ) -> list[ChangedShard]:
        progress(stage, 0, total)
        made = []
        for _, one in self._pool.run(function, tasks):
            made.append(one)
            progress(stage, len(made), total)
        return sorted(made, key=lambda one: one.shard)

    def _with_background(self, epoch: EpochRecord, progress: Progress) -> EpochRecord:
        """The epoch with the background of all its shards together, which one index of its documents would have."""
        settings = epoch.settings
        encoder = Encoders(settings.to_json(), self._encoder, self._learned).load()
        if encoder is None:
            return epoch
        progress("measuring the background", 0, None)
        shards = PoolShards(self._storage, self._pool, epoch)
        found = background_of(ClusterSnapshot(shards, shards.epoch), encoder)
        return epoch if found is None else replace(epoch, settings=replace(settings, background=found))

    def _encoders(self, settings: IndexSettings) -> Encoders:
        if self._pool.remote:
            return Encoders(settings.to_json())
        return Encoders(settings.to_json(), self._encoder, self._learned)

    def _present(
        self, epoch: EpochRecord, ids: Sequence[str], condition: Filter | None
    ) -> dict[int, list[str]]:
        """The documents of each shard that have one of the ids, or meet the condition."""
        routed: dict[int, list[str]] = {}
        for id in ids:
            routed.setdefault(route(id, len(epoch.shards)), []).append(id)
        shards = range(len(epoch.shards)) if condition is not None else sorted(routed)
        snapshots = open_snapshots(self._storage, epoch, shards)
        try:
            found = {
                shard: dict.fromkeys(snapshot.find(routed.get(shard, [])))
                for shard, snapshot in zip(shards, snapshots, strict=True)
            }
            if condition is not None:
                segments = [segment for snapshot in snapshots for segment in snapshot.segments]
                if segments:  # a field that one shard lacks may be another's
                    check_fields(condition, [segment.passages for segment in segments])
                for shard, snapshot in zip(shards, snapshots, strict=True):
                    for segment in snapshot.segments:
                        mask = condition.mask(segment.passages, segment.size)
                        if segment.deleted is not None:
                            mask = mask & ~segment.deleted
                        keys = segment.passages.keys(np.flatnonzero(mask))
                        found[shard] |= dict.fromkeys(id for id, part in keys if part == 0)
            return {shard: list(mine) for shard, mine in found.items()}
        finally:
            for snapshot in snapshots:
                snapshot.close()

    def _segments(self, record: ShardRecord) -> int:
        return len(read_state(open_folder(self._storage, record)).segments)

    def _remove_drafts(self) -> None:
        for name in self._storage.names(SHARDS):
            if name.startswith("."):
                self._storage.remove(f"{SHARDS}/{name}")


class Encoding:
    """Reading documents into units and encoding these, on whatever machines there are."""

    def __init__(self, storage: Storage, pool: Pool, encoders: Encoders, shards: int) -> None:
        self.encoded = 0
        self.known = 0
        self.left_out: dict[str, str] = {}
        self._storage = storage
        self._pool = pool
        self._encoders = encoders
        self._shards = shards

    def encode(
        self, documents: Iterable[Document], settings: IndexSettings, progress: Progress
    ) -> dict[int, list[str]]:
        """The units of each shard that has any, in the order of the documents."""
        if isinstance(documents, Document):
            raise UsageError("documents is a single Document; give a list of them")
        units: dict[int, list[str]] = {}
        counts = {"read": 0, "done": 0}
        total: list[int | None] = [None]
        dense = settings.encoder is not None or settings.learned is not None

        def tasks() -> Iterator[Task]:
            made: Iterable[Unit] = write_units(
                self._storage, documents, self._shards, settings, self.left_out
            )
            for unit in made:
                units.setdefault(unit.shard, []).append(unit.name)
                counts["read"] += unit.documents
                progress("reading", counts["read"], None)
                if dense:
                    yield Task(unit, (self._storage.location, unit.name, self._encoders))
            total[0] = counts["read"]

        under_way: dict[str, float] = {}

        def told(unit: Unit, share: float) -> None:
            under_way[unit.name] = unit.documents * share
            progress("encoding documents", counts["done"] + int(sum(under_way.values())), total[0])

        for unit, encoded in self._pool.run(encode_task, tasks(), told):
            self.encoded += encoded
            self.known += encoded == 0
            counts["done"] += unit.documents
            told(unit, 0.0)
        return units


def reported(epoch: EpochRecord) -> ClusterReport:
    return ClusterReport(epoch.number, len(epoch.shards), epoch.documents, epoch.passages)


def truncation(changed: Sequence[ChangedShard]) -> TruncationReport | None:
    """What encoding the added documents has cut; None without vectors."""
    reports = [one.added.truncation for one in changed if one.added is not None]
    known = [report for report in reports if report is not None]
    return sum(known, TruncationReport()) if known else None
