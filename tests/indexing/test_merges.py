"""Merging small segments: which and how often, beside a writer that goes on, and what is left when it is stopped."""

from __future__ import annotations

import gc
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support import ROOT, HashEncoder, contents_of, make_documents, model_of

from leanseek import Document, Index, Searcher
from leanseek.indexing import array_columns, merges, writer
from leanseek.indexing.catalog import CATALOG, FORMAT, SEGMENTS, SegmentRecord, read_state
from leanseek.indexing.merges import LARGE, MOST_SEGMENTS, due
from leanseek.indexing.segment_writer import Merged, merge_segments
from leanseek.indexing.verification import verify

QUERIES = ("statin trial", "wing boundary layer", "kinase")


def records(sizes: list[int]) -> list[SegmentRecord]:
    return [SegmentRecord(number, size, size, 0, 0, 0, ()) for number, size in enumerate(sizes)]


def added_one_by_one(sizes: list[int], batches: list[int]) -> tuple[float, int]:
    """How often a passage is copied, and the most segments there are, when each merge ends before the next add."""
    copied = most = 0
    for batch in batches:
        sizes.append(batch)
        chosen = due(records(sizes))
        together = sum(segment.passages for segment in chosen)
        if chosen:
            copied += together
            numbers = {segment.number for segment in chosen}
            sizes = [size for number, size in enumerate(sizes) if number not in numbers] + [together]
        most = max(most, len(sizes))
    return copied / sum(batches), most


@pytest.mark.parametrize(
    ("sizes", "batches", "copies"),
    [
        ([], [1] * 1000, 9),
        ([], [1] * 10_000, 12),
        ([10_000], [1] * 10_000, 13),
        ([10_000, 8_000, 6_000, 5_000, 4_000], [1] * 5_000, 18),
        ([], [1, 1000] * 500, 10),
        ([], [int(10 ** random.Random(5).uniform(0, 4)) for _ in range(2000)], 12),
    ],
)
def test_passages_are_copied_a_few_times_and_segments_stay_few(
    sizes: list[int], batches: list[int], copies: float
) -> None:
    copied, most = added_one_by_one(sizes, batches)
    assert copied <= copies
    assert most <= MOST_SEGMENTS + 1


def test_large_segments_are_not_copied_for_one_document() -> None:
    assert due(records([100_000, 1, 1, 1, 1])) == []
    assert sorted(segment.passages for segment in due(records([100_000, 1, 1, 1, 1, 1]))) == [1] * 5
    assert due(records([LARGE] * MOST_SEGMENTS)) == []
    assert len(due(records([LARGE] * (MOST_SEGMENTS + 1)))) == MOST_SEGMENTS + 1
    assert due(records([merges.SEGMENT_PASSAGES] * 20)) == []
    # A small one beside many of a size must not keep these from being merged.
    assert len(due(records([1, *[1000] * 5]))) == 6


@pytest.mark.parametrize("encoder", [None, HashEncoder()], ids=["sparse", "hybrid"])
def test_what_an_add_writes_does_not_grow_with_the_index(tmp_path: Path, encoder: HashEncoder | None) -> None:
    if not Path("/proc/self/io").is_file():
        pytest.skip("needs /proc to count the bytes that are written")
    documents = make_documents(2_000)
    written = {}
    for size in (100, 2_000):
        index = Index.create(tmp_path / str(size), encoder=encoder)
        index.add(documents[:size], cache=False)
        before = bytes_written()
        for document in make_documents(40, 1, prefix="n"):
            index.add([document], cache=False)
        assert index.close() is None
        written[size] = bytes_written() - before
    assert written[2_000] < 1.5 * written[100]


def bytes_written() -> int:
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counts["wchar"])


def test_an_add_flushes_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index.create(tmp_path / "index", encoder=HashEncoder())
    index.add(make_documents(3), cache=False)
    flushed: list[int] = []
    flush = os.fsync
    monkeypatch.setattr("leanseek.files.os.fsync", lambda file: (flushed.append(file), flush(file)))
    index.add(make_documents(1, prefix="n"), cache=False)
    # Passages, rows, postings, vectors; their three folders and the one above; the catalog's seal.
    assert len(flushed) <= 9


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Merges in the background that wait, when their segment is written, until the event is set."""
    go_on = threading.Event()

    def slow(*arguments: object) -> Merged:
        merged = merge_segments(*arguments)  # type: ignore[arg-type]
        while not go_on.wait(0.01):
            arguments[4]("merging", 0, None)  # type: ignore[operator]
        return merged

    monkeypatch.setattr(merges, "merge_segments", slow)
    yield go_on
    go_on.set()


def fill(index: Index, count: int, prefix: str = "d", seed: int = 0) -> list[Document]:
    documents = make_documents(count, seed, prefix=prefix)
    for document in documents:
        index.add([document], cache=False)
    return documents


def folders(index: Index) -> list[str]:
    return sorted(path.name for path in (index.path / SEGMENTS).iterdir())


def searched(index: Index) -> object:
    with Searcher.open(index.path, encoder=HashEncoder()) as searcher:
        return searcher.search_batch(QUERIES, 50)


def test_what_changes_during_a_merge_is_in_the_merged_segment(tmp_path: Path, held: threading.Event) -> None:
    index = Index.create(tmp_path / "index", encoder=HashEncoder())
    together = make_documents(3, 7, prefix="t")
    index.add(together, cache=False)
    documents = fill(index, merges.MERGED_AT_ONCE - 1)
    assert index.merging
    reader = Searcher.open(index.path, encoder=HashEncoder())
    before = reader.search_batch(QUERIES, 50)
    deleted, replaced, *others = documents
    index.delete([deleted.id])  # its segment goes whole
    index.delete([together[1].id])
    newer = [Document(id, f"statin wing {id}") for id in (replaced.id, together[0].id, "x")]
    index.add(newer, on_duplicate="replace", cache=False)
    assert index.merging
    held.set()
    assert index.close() is None
    assert len(read_state(index.path).segments) == 2
    expected = [together[2], *others, *newer]
    assert contents_of(index.path) == model_of(expected)
    fresh = Index.create(tmp_path / "fresh", encoder=HashEncoder())
    fresh.add(expected, cache=False)
    assert searched(index) == searched(fresh)
    assert reader.search_batch(QUERIES, 50) == before
    assert verify(index.path).sound


def test_a_merge_that_takes_long_is_dropped_on_closing(tmp_path: Path, held: threading.Event) -> None:
    index = Index.create(tmp_path / "index", encoder=None)
    documents = fill(index, merges.MERGED_AT_ONCE)
    assert "took more than 0 seconds" in (index.close(patience=0) or "")
    assert not index.merging
    assert folders(index) == [f"{number:06d}" for number in range(1, merges.MERGED_AT_ONCE + 1)]
    held.set()
    index.add([Document("later", "wing")])
    assert index.close() is None
    assert len(read_state(index.path).segments) == 1
    assert contents_of(index.path) == model_of([*documents, Document("later", "wing")])


@pytest.mark.parametrize("change", ["compact", "rebuild", "gone"])
def test_what_makes_a_merge_pointless_stops_it(tmp_path: Path, held: threading.Event, change: str) -> None:
    index = Index.create(tmp_path / "index", encoder=None)
    documents = fill(index, merges.MERGED_AT_ONCE)
    if change == "compact":
        index.compact()
    elif change == "rebuild":
        index.rebuild(documents, cache=False)
    path = index.path
    if change == "gone":
        del index
        gc.collect()
        index = Index.open(path)
    assert not any(name.startswith(merges.DRAFT) for name in folders(index))
    assert not [thread for thread in threading.enumerate() if thread.name == "leanseek-merge"]
    assert contents_of(path) == model_of(documents)


def test_another_writer_may_be_faster(tmp_path: Path, held: threading.Event) -> None:
    index = Index.create(tmp_path / "index", encoder=None)
    documents = fill(index, merges.MERGED_AT_ONCE)
    other = Index.open(index.path)
    other.compact()
    assert [name.startswith(merges.DRAFT) for name in folders(index)].count(True) == 1  # it is in use
    held.set()
    assert index.close() is None
    assert len(folders(index)) == 1
    assert contents_of(index.path) == model_of(documents)


def test_an_add_merges_itself_where_the_background_does_not_keep_up(
    tmp_path: Path, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = merges.merge_segments

    def chosen(*arguments: object) -> Merged:
        background = threading.current_thread().name == "leanseek-merge"
        return (slow if background else merge_segments)(*arguments)  # type: ignore[operator]

    monkeypatch.setattr(merges, "merge_segments", chosen)
    index = Index.create(tmp_path / "index", encoder=None)
    documents = fill(index, 60)
    assert index.merging
    assert len(read_state(index.path).segments) <= merges.MERGED_AT_ONCE + writer.MOST_UNMERGED + 1
    held.set()
    assert index.close() is None
    assert contents_of(index.path) == model_of(documents)


ENDS = {
    "exit": "",
    "exception": "raise SystemExit(3)",
    "close": "assert index.close() is None",
    "kill": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
}


@pytest.mark.parametrize("end", list(ENDS))
def test_a_process_that_ends_leaves_no_orphans(tmp_path: Path, end: str) -> None:
    program = (
        "import sys, time\n"
        "from leanseek import Document, Index\n"
        "from leanseek.indexing import merges\n"
        "made = merges.merge_segments\n"
        "def slow(*arguments):\n"
        "    merged = made(*arguments)\n"
        f"    for _ in range({5 if end == 'close' else 1000}):\n"
        "        arguments[4]('merging', 0, None); time.sleep(0.01)\n"
        "    return merged\n"
        "merges.merge_segments = slow\n"
        "index = Index.create(sys.argv[1], encoder=None)\n"
        "for number in range(6): index.add([Document(f'd{number}', 'wing')])\n"
        "assert index.merging\n" + ENDS[end]
    )
    path = tmp_path / "index"
    subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=end not in ("exception", "kill"),
    )
    if end == "kill":
        assert any(part.name.startswith(merges.DRAFT) for part in (path / SEGMENTS).iterdir())
        Index.open(path).delete([], ignore_missing=True)  # a writer
    named = {Path(segment.folder).name for segment in read_state(path).segments}
    assert {part.name for part in (path / SEGMENTS).iterdir()} == named
    assert len(named) == (2 if end == "close" else 6)
    assert len(contents_of(path)) == 6


def test_an_index_of_the_older_format_is_read_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "index"
    with monkeypatch.context() as older:
        older.setattr(array_columns, "TOGETHER", 0)
        older.setattr("leanseek.indexing.catalog.FORMAT", 1)
        index = Index.create(path, encoder=HashEncoder())
        index.add(make_documents(20))
    assert (path / SEGMENTS / "000001" / "sparse" / "sparse.places.npy").is_file()
    before = searched(index)
    assert stored_format(path) == 1
    document = make_documents(20)[3]
    Index.open(path).delete([document.id])
    assert stored_format(path) == 1  # an older leanseek can read it still
    Index.open(path, encoder=HashEncoder()).add([document])
    assert stored_format(path) == FORMAT
    assert (path / SEGMENTS / "000002" / "sparse" / "sparse.arrays").is_file()
    assert searched(index) == before


def stored_format(path: Path) -> int:
    with closing(sqlite3.connect(path / CATALOG)) as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)


class Writes(RuleBasedStateMachine):
    """Any adds, deletes and compactions by two writers, with merges held back, let go and killed between them."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(os.environ["MERGES_FOLDER"]) / f"{id(self)}"
        shutil.rmtree(self.folder, ignore_errors=True)
        Index.create(self.folder / "index", encoder=HashEncoder())
        self.writers = [self.open(), self.open()]
        self.model: dict[str, Document] = {}
        self.texts = [document.text for document in make_documents(30, 4)]
        self.steps = 0

    def open(self) -> Index:
        return Index.open(self.folder / "index", encoder=HashEncoder())

    @rule(which=st.integers(0, 1), numbers=st.lists(st.integers(0, 29), min_size=1, max_size=3, unique=True))
    def add(self, which: int, numbers: list[int]) -> None:
        self.steps += 1
        new = [Document(f"d{number}", f"{self.texts[number]} {self.steps}") for number in numbers]
        self.writers[which].add(new, on_duplicate="replace", cache=False)
        self.model |= {document.id: document for document in new}

    @rule(which=st.integers(0, 1), count=st.integers(1, 8))
    def trickle(self, which: int, count: int) -> None:
        for number in range(count):
            self.add(which, [(self.steps + number) % 30])

    @rule(which=st.integers(0, 1), numbers=st.lists(st.integers(0, 29), min_size=1, max_size=5))
    def delete(self, which: int, numbers: list[int]) -> None:
        ids = {f"d{number}" for number in numbers}
        assert self.writers[which].delete(ids, ignore_missing=True) == len(ids & self.model.keys())
        self.model = {id: document for id, document in self.model.items() if id not in ids}

    @rule(which=st.integers(0, 1))
    def close(self, which: int) -> None:
        assert self.writers[which].close() is None

    @rule(which=st.integers(0, 1))
    def wait(self, which: int) -> None:
        merge = self.writers[which]._writer._merge
        if merge is not None:
            assert merge.wait(30)

    @rule(which=st.integers(0, 1))
    def compact(self, which: int) -> None:
        self.writers[which].compact()

    @precondition(lambda self: self.steps)
    @rule(which=st.integers(0, 1))
    def kill(self, which: int) -> None:
        """What a killed process leaves is what is on the disk now: drafts that nobody holds, and no memory."""
        copy = self.folder / "copy"
        shutil.copytree(self.folder / "index", copy, ignore=lambda *_: [])
        for index in self.writers:
            index._writer.abandon()
        shutil.rmtree(self.folder / "index")
        copy.rename(self.folder / "index")
        self.writers[which] = self.open()

    @invariant()
    def holds_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        path = self.folder / "index"
        assert contents_of(path) == model_of(list(self.model.values()))
        for index in self.writers:
            if index.generation == read_state(path).generation:
                assert_same_state(index, path)

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        for index in self.writers:
            assert index.close() is None
        path = self.folder / "index"
        self.writers[0].delete([], ignore_missing=True)
        named = {Path(segment.folder).name for segment in read_state(path).segments}
        assert {part.name for part in (path / SEGMENTS).iterdir()} == named
        assert verify(path).sound
        fresh = Index.create(self.folder / "fresh", encoder=HashEncoder())
        fresh.add(self.model.values(), cache=False)
        assert searched(self.writers[0]) == searched(fresh)
        shutil.rmtree(self.folder)


def assert_same_state(index: Index, path: Path) -> None:
    """What the writer holds is what is on the disk."""
    held, stored = index._writer.state, read_state(path)
    assert (held.segments, held.next_segment, held.origin) == (
        stored.segments,
        stored.next_segment,
        stored.origin,
    )
    assert {number: rows.tolist() for number, rows in held.tombstones.items()} == {
        number: rows.tolist() for number, rows in stored.tombstones.items()
    }


def test_any_writes_with_merges_between_them_equal_a_fresh_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERGES_FOLDER", str(tmp_path))
    machine: Callable[[], RuleBasedStateMachine] = Writes
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        machine, settings=settings(max_examples=25, stateful_step_count=15, deadline=None)
    )
