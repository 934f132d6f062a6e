"""Building, changing and checking clusters: what they hold, who may write, and what is wrong is named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import HashEncoder, HashExpander, make_documents

from leanseek import Document
from leanseek.cluster import ClusterIndex, route, storage, units
from leanseek.cluster.epochs import read_epoch
from leanseek.cluster.shards import open_snapshots
from leanseek.cluster.storage import LOCK, ObjectStorage, open_storage
from leanseek.errors import (
    DuplicateIdError,
    FilterError,
    IndexDamagedError,
    IndexExistsError,
    IndexFormatError,
    IndexLockedError,
    IndexNotFoundError,
    InputError,
    UsageError,
)
from leanseek.indexing.creation import make_plan
from leanseek.indexing.index import Index
from leanseek.indexing.integrity import sealed
from leanseek.indexing.snapshot import Snapshot
from leanseek.searcher import Searcher

DOCUMENTS = make_documents(120)


@pytest.fixture(autouse=True)
def small_units(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(units, "UNIT_PASSAGES", 15)
    monkeypatch.setenv("LEANSEEK_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=["folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path / "cluster")
        return
    fsspec = pytest.importorskip("fsspec")
    yield f"memory://{tmp_path.name}/cluster"
    fsspec.filesystem("memory").store.clear()


def build(url: str | Path, shards: int = 3, documents: list[Document] = DOCUMENTS) -> ClusterIndex:
    plan = make_plan(encoder=HashEncoder(), learned=HashExpander(), chunk_words=5)
    ClusterIndex.build(url, documents, plan, shards, on_duplicate="replace")
    return opened(url)


def opened(url: str | Path) -> ClusterIndex:
    return ClusterIndex.open(url, encoder=HashEncoder(), learned=HashExpander())


def contents(url: str | Path) -> list[tuple[object, ...]]:
    """Every passage of a cluster with its shard."""
    place = open_storage(url)
    found: list[tuple[object, ...]] = []
    for number, snapshot in enumerate(open_snapshots(place, read_epoch(place))):
        for segment in snapshot.segments:
            found += [(number, *passage) for passage in segment.passages.get(segment.live)]
        snapshot.close()
    return sorted(found, key=repr)


def test_shards_are_the_indexes_of_their_documents(tmp_path: Path) -> None:
    build(tmp_path / "cluster")
    for number, record in enumerate(read_epoch(open_storage(tmp_path / "cluster")).shards):
        mine = [document for document in DOCUMENTS if route(document.id, 3) == number]
        index = Index.create(
            tmp_path / str(number), encoder=HashEncoder(), learned=HashExpander(), chunk_words=5
        )
        index.add(mine, on_duplicate="replace", cache=False)
        index.compact()
        state, shard = (
            Snapshot.open(index.path).state,
            Snapshot.open(tmp_path / "cluster" / record.folder).state,
        )
        assert [file for one in shard.segments for file in one.files] == [
            file for one in state.segments for file in one.files
        ]
        assert (record.documents, record.size) == (len({one.id for one in mine}), record.passages)
        searcher = Searcher.open(tmp_path / "cluster" / record.folder, encoder=HashEncoder())
        assert searcher.search(mine[0].text, 3, mode="sparse")


def test_changes_are_those_of_one_index(url: str) -> None:
    cluster = build(url)
    report = cluster.add(make_documents(40, 1, prefix="d"), on_duplicate="replace")
    assert (report.epoch, report.added, report.replaced) == (2, 40, 40)
    report = cluster.delete(["d1", "d2", "d77"], filter="year > 2010")
    deleted = report.deleted
    report = cluster.compact()
    assert report.epoch == 4 and report.documents == 120 - deleted
    assert cluster.check().sound and cluster.compact().epoch == 4

    left = {document.id: document for document in (*DOCUMENTS, *make_documents(40, 1, prefix="d"))}
    for id in [*left]:
        if id in ("d1", "d2", "d77") or left[id].metadata["year"] > 2010:  # type: ignore[operator]
            del left[id]
    again = url.replace("cluster", "again")
    build(again, documents=[*left.values()])
    assert contents(again) == contents(url)


def test_an_object_store_holds_what_a_folder_does_and_gets_only_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fsspec")
    sent: list[str] = []
    send = ObjectStorage.send
    monkeypatch.setattr(
        ObjectStorage, "send", lambda self, file, name: (sent.append(name), send(self, file, name))[1]
    )
    clusters = [build(tmp_path / "cluster"), build("memory://one/cluster")]
    sent.clear()
    for cluster in clusters:
        cluster.add([Document("new", "wing")])
    assert clusters[0].epoch == clusters[1].epoch
    assert {name.split("/")[2] for name in sent if "segments" not in name} == {
        "catalog.sqlite",
        "catalog.sha256",
    }
    assert {name.split("/")[3] for name in sent if "segments" in name} == {"000002"}


def test_a_reader_keeps_its_epoch_while_others_are_published(tmp_path: Path) -> None:
    cluster = build(tmp_path / "cluster")
    place = open_storage(tmp_path / "cluster")
    first = read_epoch(place)
    before = contents(tmp_path / "cluster")
    cluster.delete(["d1", "d2", "d3"])
    late = open_snapshots(place, first)  # begun before, opened after
    assert sum(snapshot.totals.passages for snapshot in late) == len(before)
    cluster.delete(["d4"])
    cluster.delete(["d5"])
    assert sum(len(snapshot.passages.get(segment.live)) for snapshot in late for segment in snapshot.segments)
    with pytest.raises(IndexDamagedError, match=r"shard \d.*missing"):
        open_snapshots(place, first)


def test_what_cannot_be_added_or_deleted_changes_nothing(url: str) -> None:
    cluster = build(url)
    before, held = cluster.epoch, contents(url)
    with pytest.raises(DuplicateIdError, match="'d7'"):
        cluster.add([Document("fresh", "wing"), Document("d7", "wing")])
    with pytest.raises(DuplicateIdError):
        cluster.add([Document("twice", "wing"), Document("twice", "wing")])
    with pytest.raises(InputError, match="'nobody'"):
        cluster.delete(["d1", "nobody"])
    with pytest.raises(FilterError):
        cluster.delete(filter="nothing = 1")
    with pytest.raises(InputError, match="not empty"):
        cluster.add([Document("", "wing")])
    with pytest.raises(UsageError):
        cluster.delete("d1")
    assert cluster.add([]).epoch == 1 and cluster.delete(["nobody"], ignore_missing=True).deleted == 0
    assert cluster.epoch == before and contents(url) == held and cluster.check().sound


def test_a_filter_may_name_a_field_that_one_shard_lacks(url: str) -> None:
    documents = [Document(f"x{number}", "wing", metadata={"a": 1}) for number in range(9)]
    documents.append(Document("rare", "wing", metadata={"only": "here"}))
    cluster = build(url, documents=documents)
    assert cluster.delete(filter='only = "here"').deleted == 1


def test_more_shards_than_documents(url: str) -> None:
    cluster = build(url, shards=6, documents=[Document("a", "wing"), Document("b", "orbit")])
    assert cluster.epoch.documents == 2 and cluster.check().sound
    assert cluster.add([Document(f"n{number}", "rocket") for number in range(20)]).documents == 22
    assert cluster.delete([f"n{number}" for number in range(20)]).documents == 2
    assert cluster.compact().documents == 2 and cluster.check().sound


def test_one_writer_at_a_time(url: str) -> None:
    cluster = build(url)
    with open_storage(url).writing():
        with pytest.raises(IndexLockedError, match="another process"):
            opened(url).delete(["d1"])
        with pytest.raises(IndexLockedError):
            build(url)
    assert cluster.delete(["d1"]).epoch == 2


def test_a_writer_that_is_gone_is_known_without_comparing_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setattr(storage, "BEAT", 0.01)
    url = "memory://gone/cluster"
    cluster = build(url)
    files = fsspec.filesystem("memory")
    holder = {"token": "t", "count": 3, "machine": "elsewhere", "process": 1, "time": "2099-01-01"}
    files.pipe_file(f"/gone/cluster/{LOCK}", json.dumps(holder).encode())
    assert cluster.delete(["d1"]).epoch == 2  # it has not been heard of for some beats
    holder |= {"machine": os.uname().nodename, "process": os.getpid()}
    files.pipe_file(f"/gone/cluster/{LOCK}", json.dumps(holder).encode())
    with pytest.raises(IndexLockedError, match=str(os.getpid())):
        cluster.delete(["d2"])
    files.rm_file(f"/gone/cluster/{LOCK}")


def test_two_builds_of_the_same_are_the_same_to_the_byte(tmp_path: Path) -> None:
    one, two = build(tmp_path / "one"), build(tmp_path / "two")
    assert one.epoch == two.epoch


def test_a_build_that_is_done_is_left_as_it_is(tmp_path: Path) -> None:
    plan = make_plan(encoder=HashEncoder())
    url = tmp_path / "cluster"
    ClusterIndex.build(url, DOCUMENTS, plan, 2, origin="here", on_duplicate="replace")
    report = ClusterIndex.build(url, [], plan, 2, origin="here")
    assert (report.epoch, report.documents, report.added) == (1, 120, 0)
    for shards, origin in ((3, "here"), (2, "elsewhere"), (2, None)):
        with pytest.raises(IndexExistsError, match="120 documents"):
            ClusterIndex.build(url, [], plan, shards, origin=origin)


def test_damage_is_named(tmp_path: Path) -> None:
    url = tmp_path / "cluster"
    cluster = build(url)
    shard = url / cluster.epoch.shards[1].folder
    file = next(path for path in shard.rglob("*.sqlite") if path.name != "catalog.sqlite")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    (problem,) = cluster.check().problems
    assert "shard 1" in problem and file.name in problem

    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert cluster.check().sound
    Index.open(shard, encoder=HashEncoder(), learned=HashExpander()).add([Document("stray", "wing")])
    (problem,) = cluster.check().problems
    assert "shard 1" in problem and "catalog" in problem
    with pytest.raises(IndexDamagedError, match=shard.name):
        cluster.delete(["d1"], filter="year > 0")
    shutil.rmtree(shard)
    (problem,) = cluster.check().problems
    assert "shard 1" in problem and "missing" in problem
    assert cluster.epoch.number == 1 and (url / "cluster.json").is_file()


def test_places_that_are_no_cluster(tmp_path: Path) -> None:
    plan = make_plan(encoder=None)
    with pytest.raises(IndexNotFoundError, match="cluster build"):
        ClusterIndex.open(tmp_path / "nowhere")
    Index.create(tmp_path / "index", encoder=None)
    with pytest.raises(IndexNotFoundError, match="one index"):
        ClusterIndex.open(tmp_path / "index")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(IndexExistsError, match=r"mine\.txt"):
        ClusterIndex.build(tmp_path / "notes", DOCUMENTS, plan, 2)
    with pytest.raises(IndexExistsError, match="is a file"):
        ClusterIndex.build(tmp_path / "notes" / "mine.txt", DOCUMENTS, plan, 2)
    with pytest.raises(InputError, match="no documents"):
        ClusterIndex.build(tmp_path / "empty", [], plan, 2)
    assert not (tmp_path / "empty").exists()
    for shards in (0, -1, 1_000_000):
        with pytest.raises(UsageError, match="shards"):
            ClusterIndex.build(tmp_path / "empty", DOCUMENTS, plan, shards)
    with pytest.raises(UsageError):
        open_storage("nosuchkind://bucket/cluster")


@pytest.mark.parametrize("change", [{"format": 2}, {"routing": "md5"}])
def test_a_cluster_of_another_format_is_not_read(tmp_path: Path, change: dict[str, object]) -> None:
    url = tmp_path / "cluster"
    build(url)
    pointer = json.loads((url / "cluster.json").read_text())
    del pointer["sha256"]
    (url / "cluster.json").write_text(sealed({**pointer, **change}))
    with pytest.raises(IndexFormatError, match="Upgrade"):
        opened(url)
    (url / "cluster.json").write_text('{"format": 1, "epoch": 1}')
    with pytest.raises(IndexDamagedError):
        opened(url)


def test_a_document_too_large_for_a_task_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "MOST_CHARACTERS", 1000)
    documents = [Document("small", "wing"), Document("huge", "wing " * 300)]
    with pytest.raises(InputError, match=r"'huge'.*1,500 characters"):
        build(tmp_path / "cluster", documents=documents)


def test_a_unit_that_is_damaged_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = tmp_path / "cluster"
    monkeypatch.setattr("leanseek.cluster.cluster_index.build_task", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(url)
    monkeypatch.undo()
    monkeypatch.setattr(units, "UNIT_PASSAGES", 15)
    damaged = sorted((url / "units").glob("*.vectors.npy"))[2]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x00")
    with pytest.raises(IndexDamagedError, match="Repeat the command"):
        build(url)
    assert build(url).epoch == build(tmp_path / "peaceful").epoch
