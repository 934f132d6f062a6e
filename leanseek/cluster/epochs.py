"""Epochs: which generation of each shard belongs together. Publishing one is a cluster's only commit point.

Each epoch names a folder for every shard, and a folder that an epoch names never changes. What a crash leaves behind
are folders that no epoch names; the next writer removes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from leanseek.cluster.storage import EPOCHS, POINTER, SHARDS, UNITS, Storage
from leanseek.errors import IndexDamagedError, IndexFormatError, IndexNotFoundError
from leanseek.indexing.integrity import sealed, unsealed
from leanseek.indexing.settings import IndexSettings

FORMAT: Final = 1
ROUTING: Final = "crc32"
"""How a document's shard follows from its id: see `route`."""
KEPT: Final = 2
"""Epochs that stay: readers that are just opening the one before the last find it whole."""


class ShardRecord(NamedTuple):
    """A shard as an epoch has it.

    `folder` is relative to the cluster; `catalog` is the SHA-256 of its catalog, which has those of its other files.
    `documents`, `passages` and `terms` are without what is deleted, `size` counts deleted passages too, `bytes` is
    what its segments take.
    """

    folder: str
    generation: int
    catalog: str
    documents: int
    passages: int
    terms: int
    size: int
    bytes: int


@dataclass(frozen=True)
class EpochRecord:
    """One state of a whole cluster. `origin`: what it was built from; None once anything else has changed it."""

    number: int
    settings: IndexSettings
    shards: tuple[ShardRecord, ...]
    origin: str | None = None
    learning_queries: tuple[str, ...] = ()

    @property
    def documents(self) -> int:
        """Live documents."""
        return sum(shard.documents for shard in self.shards)

    @property
    def passages(self) -> int:
        """Live passages."""
        return sum(shard.passages for shard in self.shards)

    @property
    def terms(self) -> int:
        """Index terms in live passages."""
        return sum(shard.terms for shard in self.shards)

    def to_json(self) -> str:
        """Text that ends in a checksum of itself, and that `from_json` reads back."""
        values = asdict(self)
        values["settings"] = json.loads(self.settings.to_json())
        values["shards"] = [shard._asdict() for shard in self.shards]
        statistics = {"documents": self.documents, "passages": self.passages, "terms": self.terms}
        return sealed({"format": FORMAT, "routing": ROUTING, **values, **statistics})

    @classmethod
    def from_json(cls, text: str, where: str) -> EpochRecord:
        """Raises IndexDamagedError, IndexFormatError."""
        values = checked(text, where)
        try:
            return cls(
                int(values["number"]),
                IndexSettings.from_json(json.dumps(values["settings"])),
                tuple(ShardRecord(**known(shard)) for shard in values["shards"]),
                values["origin"],
                tuple(values["learning_queries"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise IndexDamagedError(f"'{where}' cannot be read: {error}") from error


def known(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a shard's record has: a later minor version may have stored more."""
    return {name: values[name] for name in ShardRecord._fields}


def checked(text: str, where: str) -> dict[str, Any]:
    """A sealed object of a format that is known. Raises IndexDamagedError, IndexFormatError."""
    values = unsealed(text, where)
    if values.get("format") != FORMAT or values.get("routing", ROUTING) != ROUTING:
        raise IndexFormatError(
            f"'{where}' has cluster format {values.get('format')} with routing {values.get('routing', ROUTING)}; this "
            f"leanseek reads format {FORMAT}. Upgrade it with: pip install --upgrade leanseek"
        )
    return values


def epoch_name(number: int) -> str:
    """The file of an epoch."""
    return f"{EPOCHS}/{number:06d}.json"


def shard_name(shard: int, epoch: int, inputs: str) -> str:
    """The folder of a shard that is new with an epoch; `inputs` is a digest of what it is made from.

    A writer that was given up may still have tasks under way: what they leave must not take the place of what the next
    writer makes for the same epoch.
    """
    return f"{SHARDS}/{shard:04d}-{epoch:06d}-{inputs[:8]}"


def current_epoch(storage: Storage) -> int | None:
    """The number of the epoch that is published; None where there is no cluster."""
    try:
        text = storage.read(POINTER).decode(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    values = checked(text, f"{storage.url}/{POINTER}")
    try:
        return int(values["epoch"])
    except (KeyError, TypeError, ValueError) as error:
        raise IndexDamagedError(f"'{storage.url}/{POINTER}' cannot be read: {error}") from error


def read_epoch(storage: Storage, number: int | None = None) -> EpochRecord:
    """An epoch that is there; None: the one that is published now.

    Raises IndexNotFoundError where there is no cluster, IndexFormatError, IndexDamagedError.
    """
    if number is None:
        number = current_epoch(storage)
    if number is None:
        raise IndexNotFoundError(no_cluster(storage))
    where = f"{storage.url}/{epoch_name(number)}"
    try:
        text = storage.read(epoch_name(number)).decode(errors="replace")
    except FileNotFoundError as error:
        raise IndexDamagedError(
            f"'{where}' is missing. Restore it from a copy, or build the cluster again."
        ) from error
    epoch = EpochRecord.from_json(text, where)
    if epoch.number != number:
        raise IndexDamagedError(f"'{where}' is of epoch {epoch.number}")
    return epoch


def no_cluster(storage: Storage) -> str:
    """The message about a place that holds no cluster."""
    found = storage.names("")
    build = f"leanseek cluster build SOURCE --into {storage.url} --shards 4"
    if UNITS in found:
        return (
            f"the build of the cluster '{storage.url}' did not come to its end. Repeat its command: {build}"
        )
    if "catalog.sqlite" in found:
        return f"'{storage.url}' is one index, not a cluster. Search it with: leanseek search {storage.url} …"
    what = "holds no leanseek cluster" if found else "does not exist, or is empty"
    return f"'{storage.url}' {what}. Build one with: {build}"


def publish(storage: Storage, epoch: EpochRecord) -> None:
    """Make an epoch the present one. The caller holds the writer's lock, and all shards are in their places."""
    storage.write(epoch_name(epoch.number), epoch.to_json().encode())
    pointer = {"format": FORMAT, "epoch": epoch.number, "shards": len(epoch.shards)}
    storage.write(POINTER, sealed(pointer).encode())


def clean(storage: Storage, number: int, units: bool) -> None:
    """Remove what neither epoch `number`, which is published, nor the one before it names; `units` too, if so.

    The caller holds the writer's lock.
    """
    kept = {epoch_name(one).partition("/")[2] for one in range(max(number - KEPT + 1, 1), number + 1)}
    folders: set[str] = set()
    for name in storage.names(EPOCHS):
        if name not in kept:
            storage.remove(f"{EPOCHS}/{name}")
            continue
        folders |= {shard.folder for shard in read_epoch(storage, int(name.partition(".")[0])).shards}
    for name in storage.names(SHARDS):
        if f"{SHARDS}/{name}" not in folders:
            storage.remove(f"{SHARDS}/{name}")
    if units:
        storage.remove(UNITS)


def same_shards(former: EpochRecord, shards: Sequence[ShardRecord]) -> bool:
    """Whether nothing has changed since an epoch."""
    return tuple(shards) == former.shards
