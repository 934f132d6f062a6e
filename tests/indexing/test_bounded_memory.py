"""What is in memory at a time does not grow with the texts: batches on their way in, and merges."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import make_documents

from leanseek import Document, Index, Searcher
from leanseek.errors import IndexDamagedError
from leanseek.indexing import intake, passages
from leanseek.indexing.snapshot import Snapshot


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=40))
def test_batches_are_bounded_by_number_and_by_characters(lengths: list[int]) -> None:
    documents = [Document(str(place), "x" * length) for place, length in enumerate(lengths)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake, "BATCH", 5)
        patch.setattr(intake, "BATCH_CHARACTERS", 40)
        batches = list(intake.batches(iter(documents)))
    assert [document for batch in batches for document in batch] == documents
    for batch in batches:
        sizes = [len(document.text) for document in batch]
        assert 0 < len(batch) <= 5
        assert sum(sizes[:-1]) < 40
    for batch in batches[:-1]:
        assert len(batch) == 5 or sum(len(document.text) for document in batch) >= 40


def test_documents_are_drawn_as_they_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BATCH_CHARACTERS", 1000)
    drawn = 0
    ahead: list[int] = []

    def documents() -> Iterator[Document]:
        nonlocal drawn
        for drawn in range(1, 101):
            yield Document(str(drawn), "word " * 100)

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage == "reading":
            ahead.append(drawn - done)

    Index.create(tmp_path / "x.index", encoder=None).add(documents(), progress=progress)
    assert len(ahead) == 50 and set(ahead) == {0}


@pytest.mark.parametrize("chunk_words", [None, 3])
def test_a_merge_block_by_block_equals_an_index_made_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_words: int | None
) -> None:
    monkeypatch.setattr(passages, "COPY_BLOCK", 3)
    documents = make_documents(60)
    index = Index.create(tmp_path / "grown.index", encoder=None, chunk_words=chunk_words)
    for start in range(0, 60, 20):
        # Each document is replaced inside the same input, which leaves gaps among the rows.
        twice = [Document(one.id, "earlier", "", {"year": 1}) for one in documents[start : start + 20 : 3]]
        index.add([*twice, *documents[start : start + 20]], on_duplicate="replace")
    gone = [document.id for document in documents[::7]]
    index.delete(gone)
    done: list[tuple[int, int | None]] = []
    index.compact(progress=lambda stage, *step: done.append(step) if stage == "merging" else None)

    kept = [document for document in documents if document.id not in gone]
    whole = Index.create(tmp_path / "whole.index", encoder=None, chunk_words=chunk_words)
    whole.add(kept)
    merged, made = Snapshot.open(tmp_path / "grown.index"), Snapshot.open(tmp_path / "whole.index")
    [segment], [other] = merged.segments, made.segments
    assert segment.record.documents == other.record.documents == len(kept)
    every = other.live
    assert segment.passages.get(every) == other.passages.get(every)
    assert done[-1] == (len(every), len(every)) and len(done) >= len(every) / 3
    assert sorted(segment.passages.rows.tolist()) == list(range(len(every)))
    first, second = Searcher(merged, mode="sparse"), Searcher(made, mode="sparse")
    for query in ("shock wave", "statin trial", "kinase"):
        for condition in (None, "year >= 2005", 'tags = "a"', 'title = "Wing"'):
            assert first.search(query, 60, filter=condition) == second.search(query, 60, filter=condition)


def test_a_merge_holds_no_texts(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "x.index", encoder=None)
    for part in range(3):
        index.add(Document(f"{part}-{place}", f"word{place % 7} " * 25_000) for place in range(30))
    tracemalloc.start()
    try:
        index.compact()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    texts = 90 * 25_000 * 6
    assert peak < texts / 4


def test_rows_that_are_not_there_are_told(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "x.index", encoder=None)
    index.add(make_documents(5))
    [segment] = Snapshot.open(tmp_path / "x.index").segments
    (tmp_path / "new").mkdir()
    writer = passages.PassageWriter(tmp_path / "new")
    with pytest.raises(IndexDamagedError, match="lacks 1 of the passages"):
        writer.copy(segment.passages.folder, np.sort(segment.passages.rows) + 1, lambda done: None)
    writer.close()
