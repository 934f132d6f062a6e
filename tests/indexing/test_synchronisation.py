"""Sync: an index brought up to its sources is what a rebuild would make, with as little work as possible."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import HashEncoder, contents_of

from leanseek import Document, Index, Searcher, SyncReport, read
from leanseek.errors import DuplicateIdError, InputError, UsageError
from leanseek.indexing.catalog import CATALOG, read_sources, read_state
from leanseek.reading import folders

QUERIES = ("statin heart", "wing", "gate code", "pump valve number", "alpha")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def counts(report: SyncReport) -> tuple[int, int, int, int]:
    return report.added, report.replaced, report.deleted, report.unchanged


def ranked(path: Path, encoder: HashEncoder | None) -> list[Any]:
    """Every hit of some queries in every mode, with its scores."""
    modes = ("sparse",) if encoder is None else ("sparse", "dense", "hybrid")
    with Searcher.open(path, encoder=encoder) as searcher:
        return [
            (hit.id, hit.score, hit.title, hit.text, hit.metadata, hit.passage)
            for mode in modes
            for query in QUERIES
            for hit in searcher.search(query, k=50, mode=mode)  # type: ignore[arg-type]
        ]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    write(folder / "one" / "gate.txt", "The gate code is alpha.")
    write(folder / "b.md", "# Wing\n\nLoads on a wing.")
    write(folder / "rows.csv", "id,text,n\nr1,statin trial,1\nr2,heart valve,2\nr3,pump number,3\n")
    return folder


@pytest.fixture
def index(tmp_path: Path, docs: Path) -> Index:
    made = Index.create(tmp_path / "i", encoder=None)
    made.add(read(docs))
    return made


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written just now count as settled."""
    monkeypatch.setattr(folders, "_UNSETTLED_NS", -1)


def test_added_replaced_and_deleted_in_one_commit(docs: Path, index: Index) -> None:
    assert counts(index.sync(docs)) == (0, 0, 0, 5)
    before = index.generation
    write(docs / "one" / "gate.txt", "The gate code is omega.")
    write(docs / "new.txt", "Something new.")
    write(docs / "rows.csv", "id,text,n\nr1,statin trial,1\nr3,pump number,33\nr4,slipstream,4\n")
    (docs / "b.md").unlink()
    would = index.sync(docs, dry_run=True)
    assert (index.generation, read_state(index.path).generation) == (before, before)
    report = index.sync(docs)
    assert counts(would) == counts(report) == (2, 2, 2, 1)
    assert would.files == report.files and would.dry_run and not report.dry_run
    assert report.generation == before + 1
    assert {change.file: (change.added, change.replaced, change.deleted) for change in report.files} == {
        "new.txt": (1, 0, 0),
        "one/gate.txt": (0, 1, 0),
        "rows.csv": (1, 1, 1),
        "b.md": (0, 0, 1),
    }
    assert {id: text for id, (_, text) in contents_of(index.path).items()} == {
        "new.txt": "Something new.",
        "one/gate.txt": "The gate code is omega.",
        "r1": "statin trial",
        "r3": "pump number",
        "r4": "slipstream",
    }
    assert counts(index.sync(docs)) == (0, 0, 0, 5)


NAMES = ("a.txt", "b.md", "sub/a.txt", "rows.csv", "sub/list.jsonl", "lone.json")
TEXTS = st.lists(
    st.sampled_from("statin heart wing gate code pump valve alpha number".split()), max_size=6
).map(" ".join)
EDITS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(NAMES), st.lists(TEXTS, min_size=1, max_size=4)),
    st.tuples(st.just("remove"), st.sampled_from(NAMES), st.just([])),
    st.tuples(st.just("move"), st.sampled_from(NAMES[:3]), st.just([])),
    st.tuples(st.just("touch"), st.sampled_from(NAMES), st.just([])),
    st.tuples(st.just("sync"), st.just(""), st.just([])),
)


def apply(folder: Path, edit: tuple[str, str, list[str]]) -> None:
    kind, name, texts = edit
    path = folder / name
    if kind == "write" and name.endswith(".csv"):
        write(path, "text,n\n" + "".join(f'"{text}",{number}\n' for number, text in enumerate(texts)))
    elif kind == "write" and name.endswith(".jsonl"):
        rows = [{"id": f"j{number}", "text": text} for number, text in enumerate(texts)]
        write(path, "".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "write" and name.endswith(".json"):
        write(path, json.dumps([{"text": text, "title": "Wing"} for text in texts]))
    elif kind == "write":
        write(path, "\n\n".join(texts))
    elif kind == "remove":
        path.unlink(missing_ok=True)
    elif kind == "move" and path.exists():
        path.rename(path.with_name("moved.txt"))
    elif kind == "touch" and path.exists():
        os.utime(path)


@given(edits=st.lists(EDITS, max_size=14), chunked=st.booleans(), dense=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_edits_then_a_sync_equal_a_rebuild(
    tmp_path_factory: pytest.TempPathFactory,
    edits: list[tuple[str, str, list[str]]],
    chunked: bool,
    dense: bool,
) -> None:
    base = tmp_path_factory.mktemp("sync")
    folder = base / "docs"
    write(folder / "always.txt", "The gate code is alpha. The pump is a valve.")
    encoder = HashEncoder() if dense else None
    made = Index.create(
        base / "i", encoder=encoder, chunk_words=5 if chunked else None, chunk_overlap=2 * chunked
    )
    for edit in [*edits, ("sync", "", [])]:
        if edit[0] != "sync":
            apply(folder, edit)
            continue
        report = made.sync(folder, cache=False)
        again = made.sync(folder, cache=False)
        assert counts(again) == (0, 0, 0, report.added + report.replaced + report.unchanged)
    fresh = Index.create(
        base / "j", encoder=encoder, chunk_words=5 if chunked else None, chunk_overlap=2 * chunked
    )
    fresh.add(read(folder, on_error="auto"))
    assert contents_of(base / "i") == contents_of(base / "j")
    assert ranked(base / "i", encoder) == ranked(base / "j", encoder)
    shutil.rmtree(base)


def test_nothing_is_encoded_that_has_not_changed(tmp_path: Path, docs: Path) -> None:
    encoder = HashEncoder()
    made = Index.create(tmp_path / "i", encoder=encoder)
    made.add(read(docs), cache=False)
    assert encoder.encoded == 5
    for path in docs.rglob("*.*"):
        os.utime(path, (1, 1))
    made.sync(docs, cache=False)
    assert encoder.encoded == 5
    write(docs / "rows.csv", (docs / "rows.csv").read_text().replace("heart", "hearts"))
    report = made.sync(docs, cache=False)
    assert (counts(report), encoder.encoded) == ((0, 1, 0, 4), 6)
    assert report.truncation is not None and report.truncation.documents == 1


@pytest.mark.usefixtures("settled")
def test_a_file_whose_stamp_is_the_recorded_one_is_not_opened(
    docs: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.sync(docs)
    generation = index.generation

    def refuse(*_: object) -> str:
        raise AssertionError("a file was read")

    monkeypatch.setattr("leanseek.indexing.synchronisation.digest_of", refuse)
    monkeypatch.setattr("leanseek.reading.sources.opened", refuse)
    assert counts(index.sync(docs)) == (0, 0, 0, 5)
    assert index.generation == generation
    os.utime(docs / "b.md", (1, 1))
    with pytest.raises(AssertionError, match="a file was read"):
        index.sync(docs)


def test_a_change_within_the_clock_of_the_file_system_is_seen(docs: Path, index: Index) -> None:
    path = docs / "one" / "gate.txt"
    before = path.stat()
    write(path, "The gate code is gamma.")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert counts(index.sync(docs)) == (0, 1, 0, 4)


def test_only_what_is_below_the_sources_is_deleted(tmp_path: Path, docs: Path, index: Index) -> None:
    other = write(tmp_path / "other" / "x.txt", "elsewhere")
    index.add(read(other))
    index.add([Document("by hand", "a document without a file")])
    for path in ("b.md", "rows.csv", "one/gate.txt"):
        (docs / path).unlink()
    write(docs / "one" / "kept.txt", "kept")
    assert counts(index.sync(docs / "one")) == (1, 0, 1, 0)
    assert set(contents_of(index.path)) == {
        "b.md",
        "r1",
        "r2",
        "r3",
        "one/kept.txt",
        "other/x.txt",
        "by hand",
    }
    assert counts(index.sync(docs)) == (0, 0, 4, 1)
    assert set(contents_of(index.path)) == {"one/kept.txt", "other/x.txt", "by hand"}
    other.unlink()
    (docs / "one" / "kept.txt").unlink()
    assert counts(index.sync(docs, tmp_path / "other")) == (0, 0, 2, 0)
    assert set(contents_of(index.path)) == {"by hand"}


def test_a_document_moves_from_one_file_to_another(docs: Path, index: Index) -> None:
    write(docs / "rows.csv", "id,text,n\nr1,statin trial,1\n")
    write(docs / "z.csv", "id,text,n\nr2,heart valve,2\nr3,pump number,3\n")
    assert counts(index.sync(docs)) == (0, 0, 0, 5)
    (docs / "rows.csv").unlink()
    assert counts(index.sync(docs)) == (0, 0, 1, 4)


def test_two_files_cannot_have_one_document(docs: Path, index: Index) -> None:
    write(docs / "z.csv", "id,text,n\nr2,another,2\n")
    before = contents_of(index.path)
    with pytest.raises(DuplicateIdError, match=r"z\.csv: another document of the sources has the id 'r2'"):
        index.sync(docs)
    write(docs / "z.csv", "id,text,n\nx,one,2\nx,two,2\n")
    with pytest.raises(DuplicateIdError, match="'x'"):
        index.sync(docs)
    assert contents_of(index.path) == before


def test_what_was_deleted_or_replaced_by_hand_comes_back(docs: Path, index: Index) -> None:
    index.delete(["one/gate.txt", "r2"])
    index.add([Document("r3", "another text"), Document("b.md", "another")], on_duplicate="replace")
    assert counts(index.sync(docs)) == (2, 2, 0, 1)
    assert contents_of(index.path)["r3"] == ("", "pump number")


def test_a_file_added_again_keeps_what_only_the_index_has(docs: Path, index: Index) -> None:
    write(docs / "rows.csv", "id,text,n\nr1,statin,1\n")
    index.add(read(docs / "rows.csv"), on_duplicate="replace")
    assert set(contents_of(index.path)) == {"b.md", "one/gate.txt", "r1", "r2", "r3"}
    assert counts(index.sync(docs)) == (0, 0, 2, 3)


def test_a_file_that_cannot_be_read_whole_loses_nothing(docs: Path, index: Index) -> None:
    write(docs / "rows.csv", "id,text,n\nr1,statin changed,1\nr2,too,many,cells\n")
    report = index.sync(docs)
    assert counts(report) == (0, 1, 0, 4)
    assert any(
        "rows.csv: not all of it could be read; 2 of its documents stay" in line
        for line in report.reading.messages
    )
    assert contents_of(index.path)["r2"] == ("", "heart valve")
    with pytest.raises(InputError, match=r"rows\.csv:3"):
        index.sync(docs, on_error="fail")
    assert counts(index.sync(docs)) == (0, 0, 0, 5)
    write(docs / "rows.csv", "id,text,n\nr1,statin changed,1\n")
    assert counts(index.sync(docs)) == (0, 0, 2, 3)


def test_a_source_that_is_gone_deletes_nothing(tmp_path: Path, docs: Path, index: Index) -> None:
    docs.rename(tmp_path / "away")
    with pytest.raises(InputError, match="no such file or folder"):
        index.sync(docs)
    with pytest.raises(UsageError, match="standard input"):
        index.sync("-")
    assert len(contents_of(index.path)) == 5


@pytest.mark.parametrize("hidden", ["one", "one/gate.txt", "b.md", "rows.csv"])
def test_what_may_not_be_looked_at_stays(
    docs: Path, index: Index, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    scandir, access = os.scandir, os.access

    def refusing(folder: str | Path) -> Any:
        if Path(folder) == docs / hidden:
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != docs / hidden and access(path, mode))
    write(docs / "new.txt", "new")
    report = index.sync(docs)
    assert (report.added, report.replaced, report.deleted) == (1, 0, 0)
    (left,) = report.reading.left_out
    assert left.paths == [str(docs / hidden)] and left.why.startswith("permission ")
    assert len(contents_of(index.path)) == 6


def test_an_interrupted_sync_leaves_the_index_as_it_was(
    docs: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents_of(index.path)
    write(docs / "b.md", "changed")
    write(docs / "c.txt", "new")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.sync(docs, progress=interrupt)
    monkeypatch.setattr("leanseek.indexing.writer.commit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        index.sync(docs)
    monkeypatch.undo()
    assert contents_of(index.path) == before
    assert counts(index.sync(docs)) == (1, 1, 0, 4)


def test_index_and_sources_moved_together(tmp_path: Path) -> None:
    write(tmp_path / "project" / "docs" / "a.txt", "alpha")
    Index.create(tmp_path / "project" / "i", encoder=None).add(read(tmp_path / "project" / "docs"))
    (tmp_path / "project").rename(tmp_path / "renamed")
    made = Index.open(tmp_path / "renamed" / "i")
    write(tmp_path / "renamed" / "docs" / "b.txt", "beta")
    assert counts(made.sync(tmp_path / "renamed" / "docs")) == (1, 0, 0, 1)
    (tmp_path / "renamed" / "docs" / "a.txt").unlink()
    assert counts(made.sync(tmp_path / "renamed" / "docs")) == (0, 0, 1, 1)


def test_a_single_file_indexed_first_and_its_folder_later(tmp_path: Path, docs: Path) -> None:
    made = Index.create(tmp_path / "i", encoder=None)
    made.add(read(docs / "one" / "gate.txt"))
    assert counts(made.sync(docs)) == (4, 0, 0, 1)
    assert set(contents_of(made.path)) == {"gate.txt", "docs/b.md", "r1", "r2", "r3"}


def forget_sources(path: Path) -> None:
    """Make the index one of an earlier version."""
    database = sqlite3.connect(path / CATALOG)
    for table in ("source_files", "source_roots", "source_options"):
        database.execute(f"DROP TABLE {table}")
    database.commit()
    database.close()


@pytest.mark.parametrize("named", ["one/gate.txt", "one"])
def test_an_index_of_an_earlier_version(
    docs: Path, tmp_path: Path, named: str, index_made: Callable[[Path, Path], Path]
) -> None:
    path = index_made(docs, tmp_path / "old")
    forget_sources(path)
    write(docs / "one" / "gate.txt", "The gate code is omega.")
    made = Index.open(path)
    made.add(read(docs / named), on_duplicate="replace")
    assert contents_of(path)["one/gate.txt"] == ("gate", "The gate code is omega.")
    assert len(contents_of(path)) == 5
    assert counts(made.sync(docs)) == (0, 0, 0, 5)
    (docs / "b.md").unlink()
    assert counts(made.sync(docs)) == (0, 0, 1, 4)


@pytest.fixture
def index_made() -> Callable[[Path, Path], Path]:
    """An index as `leanseek index` makes it, which records what it was made from."""
    from leanseek.indexing.creation import make_plan

    def make(source: Path, path: Path) -> Path:
        origin = json.dumps([str(source.absolute())])
        Index.make(path, read(source), make_plan(encoder=None), origin=origin)
        return path

    return make


def test_a_rebuild_forgets_the_files_that_were(
    docs: Path, tmp_path: Path, index_made: Callable[[Path, Path], Path]
) -> None:
    path = index_made(docs, tmp_path / "i")
    (docs / "b.md").unlink()
    index_made(docs, path)
    assert set(read_sources(path).files) == {"one/gate.txt", "rows.csv"}
    Index.open(path).rebuild([Document("x", "y")])
    assert not read_sources(path).files


def test_what_an_index_was_made_from_stays_known(
    docs: Path, tmp_path: Path, index_made: Callable[[Path, Path], Path]
) -> None:
    path = index_made(docs, tmp_path / "i")
    write(docs / "c.txt", "new")
    made = Index.open(path)
    made.sync(docs)
    assert read_state(path).origin == json.dumps([str(docs.absolute())])
    made.sync(write(tmp_path / "other" / "x.txt", "x").parent)
    assert read_state(path).origin is None


def test_fields_that_were_named_are_remembered(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    write(folder / "rows.csv", "nr,about,text\n1,alpha,x\n2,beta,y\n")
    made = Index.create(tmp_path / "i", encoder=None)
    made.add(read(folder, id_field="nr", text_field="about"))
    write(folder / "rows.csv", "nr,about,text\n1,alpha,x\n2,gamma,y\n")
    assert counts(made.sync(folder)) == (0, 1, 0, 1)
    assert contents_of(made.path)["2"] == ("", "gamma")
    assert counts(made.sync(folder, id_field="nr", text_field="text")) == (0, 2, 0, 0)
    assert contents_of(made.path)["2"] == ("", "y")
    write(folder / "rows.csv", "nr,about,text\n1,alpha,x\n2,gamma,z\n")
    assert counts(made.sync(folder)) == (0, 1, 0, 1)
    assert contents_of(made.path)["2"] == ("", "z")
