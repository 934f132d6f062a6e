"""The shards' folders: built from units, branched for a change, described, fetched, checked.

A shard's folder never changes once it has its name: a change is made in a branch of it, which shares all segments with
it that stay (they are immutable), and gets the name that the next epoch will give it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from leanseek.cluster.epochs import EpochRecord, ShardRecord, shard_name
from leanseek.cluster.storage import UNITS, Storage, link, open_storage, refusals
from leanseek.cluster.transport import Question
from leanseek.cluster.units import UnitEncoder, UnitLearned, UnitVectors, encode_unit, read_unit
from leanseek.encode import Encoder, LearnedEncoder
from leanseek.errors import DuplicateIdError, IndexDamagedError, LeanseekError, StorageError
from leanseek.files import cache_folder, checksum, sync
from leanseek.indexing.catalog import CATALOG, LOCK, SEAL, State, read_state
from leanseek.indexing.creation import Plan, given_encoder, recorded_learned
from leanseek.indexing.index import Index
from leanseek.indexing.info import live_documents
from leanseek.indexing.intake import OnDuplicate
from leanseek.indexing.integrity import sealed, unsealed
from leanseek.indexing.settings import IndexSettings
from leanseek.indexing.snapshot import Snapshot
from leanseek.indexing.verification import verify
from leanseek.indexing.writer import AddReport

Result = TypeVar("Result")

FETCHED: Final = "clusters"
"""The folder, in the cache, of what is fetched from storages that are not on this machine."""


@dataclass(frozen=True)
class Encoders:
    """The encoders of a cluster; objects of one's own where they cannot be loaded by their names."""

    settings: str
    dense: Encoder | None = None
    learned: LearnedEncoder | None = None

    def load(self) -> Encoder | None:
        """The encoder of documents, loaded once in a process."""
        recorded = IndexSettings.from_json(self.settings).encoder
        return self.dense if self.dense is not None or recorded is None else _dense(self.settings)

    def load_learned(self) -> LearnedEncoder | None:
        """The learned sparse encoder, loaded once in a process."""
        recorded = IndexSettings.from_json(self.settings).learned
        return self.learned if self.learned is not None or recorded is None else _learned(self.settings)


@lru_cache(maxsize=1)
def _dense(settings: str) -> Encoder:
    parsed = IndexSettings.from_json(settings)
    assert parsed.encoder is not None
    # By its name, not by the export to ONNX that a machine may have: vectors are to be the same to the bit everywhere.
    encoder = given_encoder(parsed, parsed.encoder.name)
    assert encoder is not None
    return encoder


@lru_cache(maxsize=1)
def _learned(settings: str) -> LearnedEncoder:
    recorded = IndexSettings.from_json(settings).learned
    assert recorded is not None
    return recorded_learned(recorded)


@dataclass(frozen=True)
class Addition:
    """Documents to add, by their units."""

    units: tuple[str, ...]
    on_duplicate: OnDuplicate


@dataclass(frozen=True)
class Deletion:
    """Documents to delete, all of them there."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class Compaction:
    """All segments into one; the reduction of the vectors learned again, if so."""

    relearn: bool


ShardChange: TypeAlias = "Addition | Deletion | Compaction"


@dataclass(frozen=True)
class ChangedShard:
    """A shard's new folder, which no epoch names yet, and what an addition reports."""

    shard: int
    record: ShardRecord
    added: AddReport | None = None


def encode_task(url: str, unit: str, encoders: Encoders, tick: Callable[[float], None]) -> int:
    """Encode a unit, wherever this runs; returns how many passages were encoded, none where they were there."""
    settings = IndexSettings.from_json(encoders.settings)
    storage = seen_storage(url)
    return encode_unit(storage, unit, settings, encoders.load(), encoders.load_learned(), tick)


def seen_storage(url: str) -> Storage:
    """The storage of a cluster that is being changed. Raises StorageError where this machine does not see it."""
    storage = open_storage(url)
    if storage.folder is not None and not storage.folder.is_dir():
        raise StorageError(
            f"the folder '{url}' is not there on the machine '{socket.gethostname()}': all nodes must see a cluster's "
            "folder under the same path. Put it on a file system that they share, or at a URL such as "
            "s3://bucket/my.cluster"
        )
    return storage


def build_task(
    url: str,
    shard: int,
    units: Sequence[str],
    encoders: Encoders,
    learning_queries: tuple[str, ...],
    on_duplicate: OnDuplicate,
) -> ChangedShard:
    """Make a shard of the first epoch from its units; one that was made from the same before is taken as it is."""
    storage = seen_storage(url)
    inputs = _inputs(shard, units, encoders.settings, learning_queries, on_duplicate)
    name = shard_name(shard, 1, inputs)
    done = f"{UNITS}/{inputs}.shard"
    if (known := _known(storage, done)) is not None:
        return ChangedShard(shard, known)
    settings = IndexSettings.from_json(encoders.settings)
    with draft(storage, name) as folder, unit_encoders(storage, units, encoders) as (dense, learned):
        plan = Plan(settings, dense, learning_queries, learned)
        documents = (document for unit in units for document in read_unit(storage, unit))
        # What a part of the collection is like says nothing of the whole.
        report = Index.make(folder, documents, plan, on_duplicate=on_duplicate, cache=False, background=False)
        with Index.open(folder, encoder=dense, learned=learned) as index:
            index.compact()
        record = describe(folder, name)
        place(storage, folder, name)
    problems = check_shard(storage, record)
    if problems:
        raise StorageError(f"'{url}': {name} is not as it was written: {problems[0]}. Repeat the command.")
    storage.write(done, sealed(record._asdict()).encode())
    return ChangedShard(shard, record, report)


def change_task(
    url: str, shard: int, number: int, record: ShardRecord, change: ShardChange, encoders: Encoders
) -> ChangedShard:
    """Make the folder that a shard has in epoch `number` from the one it has now."""
    storage = seen_storage(url)
    name = shard_name(shard, number, _inputs(record, type(change).__name__, asdict(change)))
    units = change.units if isinstance(change, Addition) else ()
    added = None
    with draft(storage, name) as folder, unit_encoders(storage, units, encoders) as (dense, learned):
        former = branch(storage, record, folder)
        given = (dense, learned) if units else (encoders.dense, encoders.learned)
        index = Index.open(folder, encoder=given[0], learned=given[1])
        if isinstance(change, Addition):
            documents = (document for unit in units for document in read_unit(storage, unit))
            try:
                added = index.add(documents, on_duplicate=change.on_duplicate, cache=False, background=False)
            except DuplicateIdError as error:
                # It names the draft, and counts the documents of this shard alone.
                _, _, reason = str(error).partition(f"'{folder}' ")
                raise DuplicateIdError(f"'{url}' {reason}" if reason else str(error)) from error
        elif isinstance(change, Deletion):
            index.delete(change.ids)
        else:
            index.compact(relearn=change.relearn)
        index.close(patience=None)
        new = describe(folder, name)
        place(storage, folder, name, record.folder, former)
    return ChangedShard(shard, new, added)


def ask_task(url: str, record: ShardRecord, question: Question[Result]) -> Result:
    """A shard's answer to a question."""
    snapshot = Snapshot.open(open_folder(seen_storage(url), record))
    try:
        return question.on(snapshot)
    finally:
        snapshot.close()


@contextmanager
def unit_encoders(
    storage: Storage, units: Sequence[str], encoders: Encoders
) -> Iterator[tuple[Encoder | None, LearnedEncoder | None]]:
    """Encoders that look the units' texts up."""
    settings = IndexSettings.from_json(encoders.settings)
    if not units or (settings.encoder is None and settings.learned is None):
        yield encoders.dense, encoders.learned
        return
    vectors = UnitVectors(storage, units, settings)

    def load() -> Encoder:
        loaded = encoders.load()
        assert loaded is not None
        return loaded

    model = encoders.load_learned()
    try:
        yield (
            UnitEncoder(vectors, settings, load) if settings.encoder is not None else None,
            UnitLearned(vectors, model) if model is not None else None,
        )
    finally:
        vectors.close()


@contextmanager
def draft(storage: Storage, name: str) -> Iterator[Path]:
    """An empty folder on this machine, to make a shard's in; gone afterwards, unless it was put in its place."""
    if storage.folder is not None:
        shards, _, last = name.rpartition("/")
        folder = storage.folder / shards / f".{last}.{secrets.token_hex(4)}"
    else:
        with refusals(storage.url):
            (cache_folder() / FETCHED).mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".draft-", dir=cache_folder() / FETCHED)) / "shard"
    try:
        with refusals(storage.url):
            folder.mkdir(parents=True)
        yield folder
    except LeanseekError:
        raise
    except OSError as error:
        raise StorageError(
            f"'{storage.url}': {error.strerror or error}. Nothing was published; free space, then repeat the command."
        ) from error
    finally:
        shutil.rmtree(folder if storage.folder is not None else folder.parent, ignore_errors=True)


def branch(storage: Storage, record: ShardRecord, folder: Path) -> State:
    """Make an empty folder what a shard is, sharing its files; returns its state. Raises IndexDamagedError."""
    source = open_folder(storage, record)
    state = read_state(source)
    try:
        for segment in state.segments:
            for file in segment.files:
                to = folder / segment.folder / file.name
                to.parent.mkdir(parents=True, exist_ok=True)
                link(source / segment.folder / file.name, to)
        for name in (CATALOG, SEAL):  # these change in place
            shutil.copyfile(source / name, folder / name)
    except FileNotFoundError as error:
        raise IndexDamagedError(
            f"'{storage.url}': the shard {record.folder} lacks the file '{error.filename}'. {RESTORE}"
        ) from error
    return state


def place(
    storage: Storage, folder: Path, name: str, former: str | None = None, shared: State | None = None
) -> None:
    """Give a finished folder its name in the storage; `shared` is the state of the folder `former`, which it is a
    branch of."""
    (folder / LOCK).unlink(missing_ok=True)
    if storage.folder is not None:
        target = storage.folder / name
        with refusals(storage.url):
            # A task that was done again may find what its first try has left; it may be in use by now.
            if (target / CATALOG).is_file() and checksum(target / CATALOG) == checksum(folder / CATALOG):
                return
            if target.exists():
                shutil.rmtree(target)
            folder.rename(target)
            sync(target.parent)
        return
    with suppress(FileNotFoundError):  # the catalog comes last: where it is the same, so is all the rest
        if hashlib.sha256(storage.read(f"{name}/{CATALOG}")).hexdigest() == checksum(folder / CATALOG):
            return
    known = {
        f"{segment.folder}/{file.name}": file.sha256
        for segment in (shared.segments if shared is not None else ())
        for file in segment.files
    }
    for segment in read_state(folder).segments:
        for file in segment.files:
            path = f"{segment.folder}/{file.name}"
            if former is not None and known.get(path) == file.sha256:
                storage.copy(f"{former}/{path}", f"{name}/{path}")
            else:
                storage.send(folder / path, f"{name}/{path}")
    for last in (SEAL, CATALOG):
        storage.send(folder / last, f"{name}/{last}")


def describe(folder: Path, name: str) -> ShardRecord:
    """What an epoch records of a shard that is complete."""
    snapshot = Snapshot.open(folder, dense=False)
    try:
        state, totals = snapshot.state, snapshot.totals
        return ShardRecord(
            folder=name,
            generation=state.generation,
            catalog=checksum(folder / CATALOG),
            documents=live_documents(snapshot),
            passages=totals.passages,
            terms=totals.terms,
            size=snapshot.size,
            bytes=sum(file.size for segment in state.segments for file in segment.files),
        )
    finally:
        snapshot.close()


RESTORE: Final = "Restore it from a copy, or build the cluster again."


def open_folder(storage: Storage, record: ShardRecord) -> Path:
    """A shard's folder on this machine, fetched where it is elsewhere: of its files only those that are not here yet.

    Raises IndexDamagedError, which names the shard, where it is missing or its catalog is another.
    """
    if storage.folder is not None:
        folder = storage.folder / record.folder
        if not (folder / CATALOG).is_file():
            raise IndexDamagedError(f"'{storage.url}': the shard {record.folder} is missing. {RESTORE}")
        check_catalog(storage, record, folder)
        return folder
    return _fetched(storage, record)


def check_catalog(storage: Storage, record: ShardRecord, folder: Path) -> None:
    """Raise IndexDamagedError where the catalog in a shard's folder is not the one that the epoch names."""
    if checksum(folder / CATALOG) != record.catalog:
        raise IndexDamagedError(
            f"'{storage.url}': the catalog of the shard {record.folder} is not the one that was published. {RESTORE}"
        )


def _fetched(storage: Storage, record: ShardRecord) -> Path:
    """A shard from elsewhere. Its files are kept by their checksums, so that epochs share them."""
    target = cache_folder() / FETCHED / record.catalog
    if (target / CATALOG).is_file():
        return target
    files = cache_folder() / FETCHED / "files"
    with draft(storage, record.folder) as folder:
        files.mkdir(parents=True, exist_ok=True)
        try:
            storage.fetch(f"{record.folder}/{CATALOG}", folder / CATALOG)
            check_catalog(storage, record, folder)
            storage.fetch(f"{record.folder}/{SEAL}", folder / SEAL)
            for segment in read_state(folder).segments:
                for file in segment.files:
                    kept = files / file.sha256
                    if not kept.is_file():
                        arriving = files / f".{file.sha256}.{secrets.token_hex(4)}"
                        storage.fetch(f"{record.folder}/{segment.folder}/{file.name}", arriving)
                        if checksum(arriving) != file.sha256:
                            arriving.unlink()
                            raise IndexDamagedError(
                                f"'{storage.url}': {record.folder}/{segment.folder}/{file.name} differs from its "
                                f"checksum. {RESTORE}"
                            )
                        arriving.replace(kept)
                    to = folder / segment.folder / file.name
                    to.parent.mkdir(parents=True, exist_ok=True)
                    link(kept, to)
        except FileNotFoundError as error:
            raise IndexDamagedError(
                f"'{storage.url}': the shard {record.folder} is missing, or not whole ({error}). {RESTORE}"
            ) from error
        if not target.is_dir():
            folder.rename(target)
    return target


def check_shard(storage: Storage, record: ShardRecord) -> list[str]:
    """What is wrong with a shard, every byte of it read."""
    try:
        folder = open_folder(storage, record)
        report = verify(folder)
        if report.problems:
            return [f"{record.folder}: {problem}" for problem in report.problems]
        found = describe(folder, record.folder)
    except LeanseekError as error:
        return [str(error)]
    return [] if found == record else [f"{record.folder}: the epoch records other statistics than it has"]


def open_snapshots(
    storage: Storage, epoch: EpochRecord, shards: Sequence[int] | None = None
) -> list[Snapshot]:
    """The shards of an epoch, all or those with some numbers, opened. Raises IndexDamagedError, which names one."""
    opened: list[Snapshot] = []
    try:
        for number, record in enumerate(epoch.shards):
            if shards is None or number in shards:
                try:
                    opened.append(Snapshot.open(open_folder(storage, record)))
                except LeanseekError as error:
                    raise type(error)(f"shard {number}: {error}") from error
    except BaseException:
        for snapshot in opened:
            snapshot.close()
        raise
    return opened


def _inputs(*inputs: object) -> str:
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:32]


def _known(storage: Storage, done: str) -> ShardRecord | None:
    """The record of a shard that was made by a build which did not come to its end."""
    try:
        values = unsealed(storage.read(done).decode(errors="replace"), done)
        record = ShardRecord(**values)
        open_folder(storage, record)
    except (FileNotFoundError, LeanseekError, TypeError):
        return None
    return record
