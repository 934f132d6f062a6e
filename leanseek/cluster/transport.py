"""How a router asks the shards of a cluster: questions go out by shard, answers come back.

A shard is an ordinary index folder that holds the documents routed to it. A question is an immutable value that says
all it needs, statistics of the whole collection included, and answers itself on a shard's snapshot: hosts keep no
state between two questions, so that no answer depends on what else is asked at the same time. A transport knows nothing
of what is asked. It may send a question to any host that has the shard and the epoch, more than once, and takes the
first answer.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from leanseek.cluster.load_limit import Room
from leanseek.errors import EpochGoneError, UsageError
from leanseek.indexing.settings import IndexSettings
from leanseek.indexing.snapshot import Snapshot
from leanseek.indexing.sparse.base import Totals

Result = TypeVar("Result")
Given = TypeVar("Given", covariant=True)

REMEMBERED: Final = 32
"""Selections of shards that stay joined."""


def route(document: str, shards: int) -> int:
    """The number of the shard that a document is in, of so many; all its passages are in the same."""
    return zlib.crc32(document.encode("utf-8", "surrogatepass")) % shards


class Shard(NamedTuple):
    """What a router knows of a shard: `size`, its ordinals, deleted ones included; `totals` of its live passages."""

    size: int
    totals: Totals

    @classmethod
    def of(cls, snapshot: Snapshot) -> Shard:
        """What is to be known of a shard that is open."""
        return cls(snapshot.size, snapshot.totals)


class Epoch(NamedTuple):
    """One state of a whole cluster: which generation of each shard belongs together never changes under its number.

    `settings` are those of all shards, `shards` are in the order of their numbers.
    """

    number: int
    settings: IndexSettings
    shards: tuple[Shard, ...]

    @property
    def totals(self) -> Totals:
        """Those of the whole collection."""
        return Totals(
            sum(shard.totals.passages for shard in self.shards),
            sum(shard.totals.terms for shard in self.shards),
        )


class Question(Protocol[Given]):
    """What a shard is asked. Immutable, and able to travel to another process.

    One with a true `together` is asked once of all shards that a process is asked for, as one index with their
    passages; each of these has the same answer, a `Together`.
    """

    def on(self, snapshot: Snapshot) -> Given:
        """The shard's answer, which refers to nothing of the snapshot."""
        ...


class Together(NamedTuple):
    """The answer of some shards, in this order, to a question that was asked of all of them as one index."""

    shards: tuple[int, ...]
    answer: Any


class OpenShards:
    """Shards that are open in this process, by their numbers. Thread-safe."""

    def __init__(self, snapshots: Mapping[int, Snapshot]) -> None:
        self.snapshots = dict(snapshots)
        self._joined: dict[tuple[int, ...], Snapshot] = {}

    def answers(
        self, questions: Mapping[int, Question[Any]], until: float | None = None
    ) -> Iterator[tuple[int, Any]]:
        """The answers to a question for each of some shards; to none any more after `until` (of `time.monotonic`)."""
        for question, shards in asked(questions):
            if until is not None and time.monotonic() > until:
                return  # nobody waits for it any more
            yield from self.answer(question, shards).items()

    def answer(self, question: Question[Any], shards: tuple[int, ...]) -> dict[int, Any]:
        """The answers of some shards to the same question."""
        if getattr(question, "together", False):
            return dict.fromkeys(shards, Together(shards, question.on(self.joined(shards))))
        return {shard: question.on(self.snapshots[shard]) for shard in shards}

    def joined(self, shards: tuple[int, ...]) -> Snapshot:
        """Some shards as one index."""
        if len(shards) == 1:
            return self.snapshots[shards[0]]
        if shards not in self._joined:
            if len(self._joined) >= REMEMBERED:
                self._joined.clear()
            self._joined[shards] = Snapshot.joined([self.snapshots[shard] for shard in shards])
        return self._joined[shards]

    def close(self) -> None:
        """Close their files."""
        for snapshot in self.snapshots.values():
            snapshot.close()


def asked(questions: Mapping[int, Question[Any]]) -> list[tuple[Question[Any], tuple[int, ...]]]:
    """Each question, and the shards it is for, ascending."""
    shards: dict[int, list[int]] = {}
    for shard in sorted(questions):
        shards.setdefault(id(questions[shard]), []).append(shard)
    return [(questions[some[0]], tuple(some)) for some in shards.values()]


class Transport(Protocol):
    """Carries questions to the shards of a cluster. Thread-safe."""

    @property
    def name(self) -> str:
        """What error messages call the cluster, such as its URL."""
        ...

    @property
    def epoch(self) -> Epoch:
        """The newest epoch that can be asked. A call keeps to the one it began with."""
        ...

    @property
    def room(self) -> Room | None:
        """The calls that can be under way; None: any number."""
        ...

    def ask(
        self, epoch: int, questions: Mapping[int, Question[Result]], deadline: float | None = None
    ) -> dict[int, Result]:
        """The answers, by shard, to one question for each of some shards.

        A shard that no host could answer for before the `deadline` (of `time.monotonic`; None: as long as it takes) is
        left out. What a question raises on a shard is raised here. Answers of shards that were asked together come
        together. Raises EpochGoneError where no host has the epoch any more.
        """
        ...

    def close(self) -> None:
        """Let the shards go; what is asked afterwards raises UsageError."""
        ...


class InProcess:
    """A Transport to shards in this process, which answer in threads where there is a deadline."""

    room: Room | None = None

    def __init__(
        self,
        snapshots: Sequence[Snapshot],
        *,
        number: int = 1,
        settings: IndexSettings | None = None,
        name: str | None = None,
    ) -> None:
        """Serve the shards, given in the order of their numbers, as epoch `number`.

        `settings` are the cluster's; None: those that the shards have in common. The snapshots are closed with the
        transport. Raises UsageError where there is none, or they do not belong together.
        """
        if not snapshots:
            raise UsageError("a cluster has at least one shard, and none is given")
        self.name = str(snapshots[0].folder.parent) if name is None else name
        self._snapshots = list(snapshots)
        common = common_settings(self._snapshots)
        self.epoch = Epoch(number, settings or common, tuple(map(Shard.of, self._snapshots)))
        self._shards = OpenShards(dict(enumerate(self._snapshots)))
        self._threads = ThreadPoolExecutor(len(self._snapshots), thread_name_prefix="shard")
        self._closed = False

    @classmethod
    def open(
        cls,
        folders: Sequence[Path],
        *,
        number: int = 1,
        settings: IndexSettings | None = None,
        dense: bool = True,
    ) -> InProcess:
        """Serve the last generation of each folder; `dense=False` leaves the vectors closed.

        Raises what `Snapshot.open` and the constructor do.
        """
        return cls([Snapshot.open(folder, dense) for folder in folders], number=number, settings=settings)

    def ask(
        self, epoch: int, questions: Mapping[int, Question[Result]], deadline: float | None = None
    ) -> dict[int, Result]:
        """See Transport."""
        if self._closed:
            raise UsageError("this cluster is closed; open it again")
        if epoch != self.epoch.number:
            raise EpochGoneError(f"epoch {epoch} of '{self.name}' is gone; {self.epoch.number} is served")
        if deadline is None:
            return dict(self._shards.answers(questions))
        waiting = [self._threads.submit(self._shards.answer, *one) for one in asked(questions)]
        answers: dict[int, Result] = {}
        for one in waiting:
            with suppress(TimeoutError):
                answers |= one.result(max(deadline - time.monotonic(), 0.0))
        return answers

    def close(self) -> None:
        """See Transport."""
        self._closed = True
        self._threads.shutdown(cancel_futures=True)
        self._shards.close()


def common_settings(snapshots: Sequence[Snapshot]) -> IndexSettings:
    """The settings of shards, without what each has learned of its own passages where they differ in it.

    Raises UsageError where they differ in anything else: their scores could not be compared.
    """
    first, *others = (snapshot.state.settings for snapshot in snapshots)
    for snapshot, settings in zip(snapshots[1:], others, strict=True):
        if without_learned(settings) != without_learned(first):
            raise UsageError(
                f"'{snapshot.folder}' was made with other settings than '{snapshots[0].folder}', so that their "
                "scores cannot be compared; index all shards with the same options"
            )
    return first if all(settings == first for settings in others) else without_learned(first)


def without_learned(settings: IndexSettings) -> IndexSettings:
    """The settings without what is learned of an index's own passages."""
    return replace(settings, background=None, fusion=None, relevance=None)
