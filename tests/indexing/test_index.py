"""What an index holds after any sequence of changes, and what it refuses."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import ROOT, HashEncoder, contents_of, make_documents, model_of

from leanseek.encode import Encoded
from leanseek.errors import (
    DuplicateIdError,
    IndexExistsError,
    IndexLockedError,
    IndexNotFoundError,
    InputError,
    ModelError,
    StorageError,
    UsageError,
)
from leanseek.indexing import intake
from leanseek.indexing.catalog import SEGMENTS, Change, State, commit, read_state
from leanseek.indexing.creation import Plan, make_plan
from leanseek.indexing.folder import writer_lock
from leanseek.indexing.index import Index
from leanseek.indexing.merges import MERGED_AT_ONCE, MOST_SEGMENTS
from leanseek.indexing.settings import EncoderSettings, SparseSettings
from leanseek.indexing.verification import verify
from leanseek.searcher.searcher import Searcher
from leanseek.types import Document, Hit


def create(path: Path, **options: object) -> Index:
    return Index.create(path, encoder=HashEncoder(), **options)  # type: ignore[arg-type]


def searched(path: Path, *queries: str, **options: object) -> list[list[Hit]]:
    with Searcher.open(path, encoder=HashEncoder()) as searcher:
        return searcher.search_batch(queries, 50, **options)  # type: ignore[arg-type]


QUERIES = ("statin trial", "wing boundary layer", "kinase", "vector matrix ranking query", "unknownword")


@pytest.mark.parametrize("mode", ["hybrid", "dense", "sparse"])
def test_ten_batches_equal_one(tmp_path: Path, mode: str) -> None:
    documents = make_documents(300)
    create(tmp_path / "one").add(documents)
    batched = create(tmp_path / "ten")
    for start in range(0, 300, 30):
        batched.add(documents[start : start + 30])
    assert searched(tmp_path / "ten", *QUERIES, mode=mode) == searched(tmp_path / "one", *QUERIES, mode=mode)


def test_deleting_and_replacing_equal_never_having_added(tmp_path: Path) -> None:
    documents = make_documents(200)
    changed = [Document(document.id, f"{document.text} orbit") for document in documents[:20]]
    index = create(tmp_path / "changed")
    index.add(documents[:120])
    index.add([*documents[120:], *make_documents(50, 9, prefix="gone")])
    assert index.delete([f"gone{number}" for number in range(50)]) == 50
    assert index.add(changed, on_duplicate="replace").replaced == 20
    create(tmp_path / "fresh").add([*changed, *documents[20:]])
    before = searched(tmp_path / "changed", *QUERIES)
    assert before == searched(tmp_path / "fresh", *QUERIES)
    report = index.compact()
    assert (report.segments_before, report.segments, report.removed) == (3, 1, 70)
    assert searched(tmp_path / "changed", *QUERIES) == before
    assert index.compact().generation == report.generation


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.integers(0, 25), min_size=1, max_size=8)),
        st.tuples(st.just("delete"), st.lists(st.integers(0, 25), min_size=1, max_size=8)),
        st.tuples(st.just("compact"), st.just([])),
    ),
    max_size=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS, st.booleans())
def test_any_sequence_of_changes_equals_a_fresh_index(
    tmp_path_factory: pytest.TempPathFactory,
    operations: list[tuple[str, list[int]]],
    chunked: bool,
) -> None:
    folder = tmp_path_factory.mktemp("sequence")
    options = {"chunk_words": 3, "chunk_overlap": 1} if chunked else {}
    texts = [document.text for document in make_documents(26, 4)]
    index, model = create(folder / "changed", **options), dict[str, Document]()
    for step, (operation, numbers) in enumerate(operations):
        ids = [f"d{number}" for number in numbers]
        if operation == "add":
            new = [Document(id, f"{texts[number]} {step}") for id, number in zip(ids, numbers, strict=True)]
            index.add(new, on_duplicate="replace")
            model |= {document.id: document for document in new}
        elif operation == "delete":
            deleted = index.delete(ids, ignore_missing=True)
            assert deleted == len(set(ids) & model.keys())
            model = {id: document for id, document in model.items() if id not in ids}
        else:
            index.compact()
    create(folder / "fresh", **options).add(model.values())
    if not chunked:
        assert contents_of(folder / "changed") == model_of(list(model.values()))
    assert searched(folder / "changed", *QUERIES) == searched(folder / "fresh", *QUERIES)
    assert verify(folder / "changed").sound


def test_segments_stay_few(tmp_path: Path) -> None:
    index = create(tmp_path / "many")
    documents = make_documents(60)
    for start in range(0, 60, 2):
        index.add(documents[start : start + 2])
    assert index.close() is None
    assert len(read_state(tmp_path / "many").segments) <= MOST_SEGMENTS
    assert contents_of(tmp_path / "many") == model_of(documents)


def test_a_large_input_is_split_into_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "SEGMENT_PASSAGES", 50)
    monkeypatch.setattr(intake, "BATCH", 20)
    documents = make_documents(200)
    report = create(tmp_path / "split").add([*documents, documents[3]], on_duplicate="replace")
    assert (report.documents, report.replaced) == (200, 1)
    assert len(read_state(tmp_path / "split").segments) == 4
    create(tmp_path / "whole").add(documents)
    assert searched(tmp_path / "split", *QUERIES) == searched(tmp_path / "whole", *QUERIES)
    with pytest.raises(DuplicateIdError, match="d"):
        create(tmp_path / "rejected").add([*documents, documents[3]])
    assert contents_of(tmp_path / "rejected") == {}
    assert list((tmp_path / "rejected" / SEGMENTS).iterdir()) == []


def test_an_error_while_reading_changes_nothing(tmp_path: Path) -> None:
    index = create(tmp_path / "index")
    index.add(make_documents(10))

    def broken() -> Iterator[Document]:
        yield from make_documents(30, 1, prefix="x")
        raise InputError("corpus.jsonl:31: not JSON")

    with pytest.raises(InputError, match=r"corpus\.jsonl:31"):
        index.add(broken())
    assert contents_of(tmp_path / "index") == model_of(make_documents(10))
    assert len(list((tmp_path / "index" / SEGMENTS).iterdir())) == 1
    assert index.add(make_documents(30, 1, prefix="x")).documents == 30


def test_an_interrupted_add_encodes_only_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEANSEEK_CACHE", str(tmp_path / "cache"))

    class Interrupted(HashEncoder):
        def encode_documents(self, texts):  # type: ignore[no-untyped-def]
            if self.encoded >= 1000:
                raise KeyboardInterrupt
            return super().encode_documents(texts)

    documents = [Document(f"d{number}", f"text number {number}") for number in range(2000)]
    first, second = Interrupted(), HashEncoder()
    index = Index.create(tmp_path / "index", encoder=first)
    with pytest.raises(KeyboardInterrupt):
        index.add(documents)
    assert contents_of(tmp_path / "index") == {}
    Index.open(tmp_path / "index", encoder=second).add(documents)
    assert first.encoded >= 1000
    assert first.encoded + second.encoded == 2000
    third = HashEncoder()
    Index.create(tmp_path / "again", encoder=third).add(documents)
    assert third.encoded == 0


def test_the_truncation_report_counts_passages(tmp_path: Path) -> None:
    long = Document("long", " ".join(["word"] * 20))
    report = create(tmp_path / "index").add([long, Document("short", "one two")]).truncation
    assert report is not None
    assert (report.documents, report.tokens, report.truncated, report.tokens_lost) == (2, 22, 1, 8)
    assert "--chunk" in report.sentence()
    assert Index.create(tmp_path / "sparse", encoder=None).add([long]).truncation is None


def test_a_reader_keeps_its_generation(tmp_path: Path) -> None:
    path = tmp_path / "index"
    index = create(path)
    index.add(make_documents(100))
    index.add(make_documents(20, 2, prefix="m"))
    reader = Searcher.open(path, encoder=HashEncoder())
    before = reader.search_batch(QUERIES, 50, explain=True)
    index.delete(filter="year > 2000")
    index.add(make_documents(40, 3, prefix="n"))
    index.compact()
    assert len(list((path / SEGMENTS).iterdir())) == 1
    assert reader.search_batch(QUERIES, 50, explain=True) == before
    assert reader.generation == 2
    assert reader.refresh() and not reader.refresh()
    assert reader.search_batch(QUERIES, 50) == searched(path, *QUERIES)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files through /proc")
def test_refreshing_lets_old_files_go(tmp_path: Path) -> None:
    index = create(tmp_path / "index")
    reader = Searcher.open(tmp_path / "index", encoder=HashEncoder())
    gc.disable()  # files must close when the last user lets go, not when cycles are swept
    try:
        counts = []
        for number in range(12):
            index.add(make_documents(5, number, prefix=f"{number}-"), cache=False)
            assert reader.refresh()
            reader.search("statin trial", filter="year > 1990")
            index.compact()
            counts.append(len(list(Path("/proc/self/fd").iterdir())))
    finally:
        gc.enable()
    assert max(counts[6:]) <= max(counts[:6]) + 2


def test_segment_numbers_are_never_used_twice(tmp_path: Path) -> None:
    index = create(tmp_path / "index")
    seen: set[int] = set()
    for _ in range(3):
        index.add(make_documents(3), cache=False)
        (segment,) = read_state(tmp_path / "index").segments
        assert segment.number not in seen
        seen.add(segment.number)
        index.delete(filter='tags = "x"')


def test_strings_are_not_lists_of_ids_or_queries(tmp_path: Path) -> None:
    index = create(tmp_path / "index")
    index.add([Document("1", "statin"), Document("2", "wing")], cache=False)
    with pytest.raises(UsageError, match="list of ids"):
        index.delete("12")
    assert index.delete(id for id in ["1"]) == 1
    searcher = Searcher.open(tmp_path / "index", encoder=HashEncoder())
    with pytest.raises(UsageError, match="list of strings"):
        searcher.search_batch("statin")
    assert len(searcher.search_batch(query for query in ["wing", "statin"])) == 2
    with pytest.raises(InputError, match="no documents"):
        index.rebuild([])
    assert len(contents_of(tmp_path / "index")) == 1


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    index = create(tmp_path / "index")
    script = (
        "import sys; from pathlib import Path\n"
        "from leanseek.indexing.folder import writer_lock\n"
        "with writer_lock(Path(sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "index")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(IndexLockedError, match="another process"):
            index.add(make_documents(3))
        assert searched(tmp_path / "index", "statin") == [[]]
        other.kill()
    assert index.add(make_documents(3)).documents == 3


def test_two_threads_cannot_write_at_once(tmp_path: Path) -> None:
    index = create(tmp_path / "index")
    with writer_lock(tmp_path / "index"), pytest.raises(IndexLockedError):
        index.add(make_documents(3))


def test_bad_documents_are_refused(tmp_path: Path) -> None:
    index = create(tmp_path / "index")
    for bad in ("", "a\tb", "a\nb", "a\0b"):
        with pytest.raises(InputError, match="id"):
            index.add([Document(bad, "text")])
    with pytest.raises(InputError, match="dict"):
        index.add([{"id": "1", "text": "text"}])  # type: ignore[list-item]
    strange = ["two words", "émoji 🚀", "../x", "'; DROP TABLE passages; --", "a/b"]
    index.add([Document(id, f"statin {number}") for number, id in enumerate(strange)])
    assert {hit.id for hit in searched(tmp_path / "index", "statin")[0]} == set(strange)
    assert index.delete(strange[3:4]) == 1


def test_documents_keep_their_text_and_metadata(tmp_path: Path) -> None:
    document = Document(
        "1", "NUL \0and \ud800 surrogate", "títle", {"n": 3, "x": None, "l": ["a", 2, True], "big": 10**12}
    )
    create(tmp_path / "index").add([document, Document("empty", "")])
    (hit,) = [hit for hit in searched(tmp_path / "index", "surrogate")[0] if hit.id == "1"]
    assert hit.metadata == document.metadata and hit.title == "títle"
    assert hit.text == "NUL and \ufffd surrogate"


def test_paths_that_cannot_be_an_index(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFoundError, match="does not exist"):
        Index.open(tmp_path / "none")
    with pytest.raises(IndexNotFoundError, match="holds no leanseek index"):
        Index.open(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(IndexNotFoundError, match="not a folder"):
        Index.open(tmp_path / "file")
    with pytest.raises(IndexExistsError, match="not empty"):
        create(tmp_path)
    with pytest.raises(IndexExistsError, match="is a file"):
        create(tmp_path / "file")
    create(tmp_path / "index")
    with pytest.raises(IndexExistsError, match="already holds"):
        create(tmp_path / "index")


def test_wishes_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither"):
        Index.create(tmp_path / "a", encoder=None, sparse=None)
    with pytest.raises(UsageError, match="pyramid"):
        create(tmp_path / "a", dense="pyramid")
    for wrong in (
        SparseSettings(backend="lucene9"),
        SparseSettings(analyzer="klingon"),
        SparseSettings(variant="bm99"),
        SparseSettings(b=2.0),
    ):
        with pytest.raises(UsageError):
            create(tmp_path / "a", sparse=wrong)
    with pytest.raises(UsageError):
        create(tmp_path / "a", chunk_words=10, chunk_overlap=10)
    with pytest.raises(ModelError, match="no-such-model"):
        Index.create(tmp_path / "a", encoder="no-such-model")
    assert not (tmp_path / "a").exists()


def test_another_encoder_is_refused(tmp_path: Path) -> None:
    class Other(HashEncoder):
        fingerprint = "0" * 64

    create(tmp_path / "index").add(make_documents(3))
    with pytest.raises(ModelError, match="not the one"):
        Searcher.open(tmp_path / "index", encoder=Other())
    with pytest.raises(ModelError, match="test-hash-encoder"):
        Searcher.open(tmp_path / "index").search("statin")


def test_deleting_unknown_ids_deletes_nothing(tmp_path: Path) -> None:
    index = create(tmp_path / "index")
    index.add(make_documents(10))
    with pytest.raises(InputError, match="nope"):
        index.delete(["d1", "nope"])
    assert len(contents_of(tmp_path / "index")) == 10
    assert index.delete(["d1", "nope"], ignore_missing=True) == 1
    with pytest.raises(InputError, match="d1"):
        index.delete(["d1"])
    assert index.delete(filter='tags = "x"') == 9
    assert read_state(tmp_path / "index").segments == ()


@pytest.mark.parametrize("backend", ["bm25s", "rank-bm25"])
def test_the_other_sparse_back_ends_follow_changes(tmp_path: Path, backend: str) -> None:
    documents = make_documents(80)
    for name, kind in (("ours", "bm25"), ("other", backend)):
        index = Index.create(
            tmp_path / name, encoder=None, sparse=SparseSettings(backend=kind, variant="atire")
        )
        index.add(documents[:50])
        index.add(documents[50:])
        index.delete(["d1", "d2", "d60"])
    if backend == "bm25s":
        for one, other in zip(
            searched_sparse(tmp_path / "other"), searched_sparse(tmp_path / "ours"), strict=True
        ):
            assert [hit.id for hit in one] == [hit.id for hit in other]
            assert [hit.score for hit in one] == pytest.approx([hit.score for hit in other], abs=1e-4)
    assert all(
        hit.id not in ("d1", "d2", "d60") for hits in searched_sparse(tmp_path / "other") for hit in hits
    )


def searched_sparse(path: Path) -> list[list[Hit]]:
    with Searcher.open(path) as searcher:
        return searcher.search_batch(QUERIES, 100)


class OtherEncoder(HashEncoder):
    name = "other"
    fingerprint = "f" * 64

    def _vector(self, text: str):  # type: ignore[no-untyped-def]
        return -super()._vector(text)


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left"),
        (MemoryError(), "MemoryError"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_what_hinders_merging_does_not_undo_the_add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: BaseException, told: str
) -> None:
    def hindered(*_: object) -> None:
        raise trouble

    for module in ("merges", "writer"):
        monkeypatch.setattr(f"leanseek.indexing.{module}.merge_segments", hindered)
    index = create(tmp_path / "index")
    documents = make_documents(40)
    reports = []
    for start in range(0, 40, 4):
        reports.append(index.add(documents[start : start + 4], cache=False))
        if (merge := index._writer._merge) is not None:
            assert merge.wait(30)
    assert [report.documents for report in reports] == [4] * 10
    few = MERGED_AT_ONCE
    assert [report.unmerged for report in reports[:few]] == [None] * few
    assert all(told in (report.unmerged or "") for report in reports[few:])
    assert told in (index.close() or "")
    assert contents_of(tmp_path / "index") == model_of(documents)
    with pytest.raises(StorageError if isinstance(trouble, OSError) else type(trouble)):
        index.compact()
    assert verify(tmp_path / "index").sound


def test_full_segments_are_left_out_of_automatic_merges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leanseek.indexing.merges.SEGMENT_PASSAGES", 20)
    index = create(tmp_path / "index")
    for number in range(MOST_SEGMENTS - 2):  # more than the largest that any merge would leave alone
        index.add(make_documents(20, prefix=f"full{number}-"), cache=False)
    full = read_state(index.path).segments
    for number in range(MOST_SEGMENTS + 1):
        index.add(make_documents(2, prefix=f"{number}-"), cache=False)
    assert index.close() is None
    after = read_state(index.path).segments
    assert set(full) <= set(after)
    assert len(after) - len(full) < MOST_SEGMENTS


def test_making_an_index_anew_is_one_step(tmp_path: Path) -> None:
    path, plan = tmp_path / "new" / "index", make_plan(encoder=HashEncoder())

    def failing() -> Iterator[Document]:
        yield from make_documents(5)
        with pytest.raises(IndexLockedError):
            Index.make(path, make_documents(5), plan, cache=False)
        raise InputError("line 6 is broken")

    with pytest.raises(InputError, match="line 6"):
        Index.make(path, failing(), plan, cache=False)
    assert not path.exists()
    assert Index.make(path, make_documents(5), plan, origin="here", cache=False).documents == 5

    def refuse(state: State) -> None:
        raise IndexExistsError(f"made from {state.origin}")

    with pytest.raises(IndexExistsError, match="made from here"):
        Index.make(path, make_documents(9), plan, check=refuse, cache=False)
    with pytest.raises(InputError, match="line 6"):
        Index.make(path, failing(), plan, cache=False)
    assert contents_of(path) == model_of(make_documents(5))
    assert Index.make(path, make_documents(9), plan, cache=False).documents == 9
    assert contents_of(path) == model_of(make_documents(9))


def test_settings_of_an_empty_rebuild_are_kept(tmp_path: Path) -> None:
    create(tmp_path / "index")
    index = Index.open(tmp_path / "index")
    index.rebuild([], plan=make_plan(encoder=None))
    assert read_state(tmp_path / "index").settings.dense is None


def test_everything_is_on_the_disk_before_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = create(tmp_path / "index")
    synced: set[str] = set()
    flush = os.fsync

    def recorded(descriptor: int) -> None:
        synced.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        flush(descriptor)

    def committing(folder: Path, change: Change) -> int:
        (added,) = change.added
        place = (folder / added.folder).resolve()
        for file in added.files:
            assert str(place / file.name) in synced
            assert str((place / file.name).parent) in synced
        assert {str(place), str(place.parent)} <= synced
        return commit(folder, change)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to tell which file a descriptor is")
    monkeypatch.setattr("leanseek.files.os.fsync", recorded)
    monkeypatch.setattr("leanseek.indexing.writer.commit", committing)
    index.add(make_documents(30), cache=False)


def test_a_folder_of_the_users_own_is_never_taken_for_segments(tmp_path: Path) -> None:
    (tmp_path / "data" / "segments").mkdir(parents=True)
    mine = tmp_path / "data" / "segments" / "mine.txt"
    mine.write_text("mine")
    with pytest.raises(IndexExistsError, match="not empty"):
        create(tmp_path / "data")
    assert mine.read_text() == "mine"
    mine.unlink()
    dated = tmp_path / "data" / "segments" / "202401"
    dated.mkdir()
    (dated / "mine.txt").write_text("mine")
    with pytest.raises(IndexExistsError, match="not empty"):
        create(tmp_path / "data")
    assert (dated / "mine.txt").read_text() == "mine"
    create(tmp_path / "index").add(make_documents(3), cache=False)
    day = tmp_path / "index" / "segments" / "20240101"
    day.mkdir()
    Index.open(tmp_path / "index", encoder=HashEncoder()).delete(["d1"])
    assert day.is_dir()


def test_a_rebuild_with_another_encoder_is_noticed_by_those_who_have_it_open(tmp_path: Path) -> None:
    path, documents = tmp_path / "index", make_documents(30)
    stale = create(path)
    stale.add(documents, cache=False)
    reader = Searcher.open(path, encoder=HashEncoder())
    settings = replace(
        stale.settings, encoder=EncoderSettings("other", OtherEncoder.fingerprint, HashEncoder.dimensions, 12)
    )
    Index.open(path).rebuild(documents, plan=Plan(settings, OtherEncoder()), cache=False)
    with pytest.raises(ModelError, match="other"):
        stale.add(make_documents(3, 5, prefix="x"), cache=False)
    assert reader.search("statin trial")
    assert reader.refresh()
    with pytest.raises(ModelError, match="other"):
        reader.search("statin trial")


def test_a_segment_that_is_wholly_replaced_goes(tmp_path: Path) -> None:
    index = create(tmp_path / "index")
    for seed in range(4):
        documents = [Document(f"d{number}", f"statin version {seed}") for number in range(20)]
        index.add(documents, on_duplicate="replace", cache=False)
    assert len(read_state(tmp_path / "index").segments) == 1
    assert contents_of(tmp_path / "index") == model_of(documents)


def test_an_encoder_that_fails_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    class Broken(HashEncoder):
        def encode_documents(self, texts: Sequence[str]) -> Encoded:
            raise ConnectionError("the service is away")

    index = Index.create(tmp_path / "index", encoder=Broken())
    with pytest.raises(ModelError, match=r"test-hash-encoder.*the service is away"):
        index.add(make_documents(3), cache=False)


def test_a_repeated_id_in_a_later_segment_of_the_same_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BATCH", 10)
    monkeypatch.setattr(intake, "SEGMENT_PASSAGES", 10)
    index = create(tmp_path / "index")
    documents = [*make_documents(25), Document("d3", "statin again")]
    with pytest.raises(
        DuplicateIdError, match="document 26 of the input: an earlier document has the id 'd3'"
    ):
        index.add(documents, cache=False)
    assert not contents_of(tmp_path / "index")
    report = index.add(documents, on_duplicate="replace", cache=False)
    assert (report.documents, report.passages, report.replaced) == (25, 25, 1)


@pytest.mark.parametrize("dense", ["flat", "lean"])
def test_vectors_that_are_no_numbers_are_refused(tmp_path: Path, dense: str) -> None:
    class Faulty(HashEncoder):
        def encode_documents(self, texts: Sequence[str]) -> Encoded:
            encoded = super().encode_documents(texts)
            encoded.vectors[texts.index("wing")] = np.nan
            return encoded

    index = Index.create(tmp_path / "index", encoder=Faulty(), dense=dense)
    with pytest.raises(ModelError, match="NaN or infinite values for 1 of 2 texts, first for 'wing'"):
        index.add([Document("1", "statin"), Document("2", "wing")], cache=False)
    assert not contents_of(tmp_path / "index")
