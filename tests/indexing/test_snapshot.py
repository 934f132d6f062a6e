"""Opening and reading a generation: segments that vanish, deletions under filters, parts of documents."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support import HashEncoder, make_documents

from leanseek import Document, Index, Searcher
from leanseek.errors import IndexDamagedError
from leanseek.filters import parse_filter
from leanseek.indexing import snapshot as module
from leanseek.indexing.catalog import State, read_state
from leanseek.indexing.snapshot import Snapshot

DOCUMENTS = make_documents(200, 8)
QUERIES = ["statin trial", "wing slipstream layer", "kinase receptor"]


def test_segments_merged_away_after_the_catalog_was_read_are_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index.create(tmp_path / "index", encoder=None)
    index.add(DOCUMENTS[:10])
    index.add(DOCUMENTS[10:20])
    read: list[int] = []

    def late(folder: Path) -> State:
        state = read_state(folder)
        read.append(state.generation)
        if len(read) == 1:
            index.compact()
        return state

    monkeypatch.setattr(module, "read_state", late)
    opened = Snapshot.open(tmp_path / "index")
    assert read == [2, 3]
    assert (opened.state.generation, len(opened.segments), opened.size) == (3, 1, 20)


def test_a_segment_that_is_gone_for_good_is_damage(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=None)
    index.add(DOCUMENTS[:10])
    shutil.rmtree(tmp_path / "index" / "segments" / "000001")
    with pytest.raises(IndexDamagedError, match="lacks the file"):
        Snapshot.open(tmp_path / "index")


@pytest.mark.parametrize("chunk_words", [None, 3])
def test_deletions_and_filters_together_leave_what_a_fresh_index_has(
    tmp_path: Path, chunk_words: int | None
) -> None:
    index = Index.create(tmp_path / "index", encoder=HashEncoder(), chunk_words=chunk_words)
    index.add(DOCUMENTS[:90], cache=False)
    index.add(DOCUMENTS[90:], cache=False)
    index.delete(filter='tags = "b"')
    index.delete([document.id for document in DOCUMENTS[::9] if "b" not in document.metadata["tags"]])  # type: ignore[operator]
    left = [document for document in DOCUMENTS if "b" not in document.metadata["tags"]]  # type: ignore[operator]
    left = [document for document in left if document not in DOCUMENTS[::9]]
    fresh = Index.create(tmp_path / "fresh", encoder=HashEncoder(), chunk_words=chunk_words)
    fresh.add(left, cache=False)
    searchers = [Searcher.open(tmp_path / name, encoder=HashEncoder()) for name in ("index", "fresh")]
    for mode in ("sparse", "dense", "hybrid"):
        for condition in (None, "year >= 2005", "not year >= 2005", 'tags = "a"', "year is null"):
            one, other = (
                searcher.rank_batch(QUERIES, 500, mode=mode, filter=condition) for searcher in searchers
            )
            assert one == other
            few, same = (
                searcher.rank_batch(QUERIES, 5, mode=mode, filter=condition, depth=7)
                for searcher in searchers
            )
            assert few == same
        assert any(searchers[0].rank_batch(QUERIES, mode=mode, filter='tags = "a"'))


def test_equal_filters_share_one_mask(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=None)
    index.add(DOCUMENTS[:50])
    opened = Snapshot.open(tmp_path / "index")
    mask = opened.matching(parse_filter("year>=2005 and tags='a'"))
    assert opened.matching(parse_filter('year >= 2005  AND tags = "a"')) is mask
    assert opened.matching(parse_filter('year >= 2005 or tags = "a"')) is not mask


@pytest.mark.parametrize("words", [[1, 9, 1, 30, 4], [1, 1, 1, 5, 1], [1, 1], []])
def test_documents_number_the_parts_of_one_alike(tmp_path: Path, words: list[int]) -> None:
    index = Index.create(tmp_path / "index", encoder=None, chunk_words=3)
    for batch in range(2):
        index.add([Document(f"{9 - n}-{batch}", "wing statin. " * count) for n, count in enumerate(words)])
    opened = Snapshot.open(tmp_path / "index")
    documents = opened.documents
    assert documents is not None and len(documents) == opened.size
    ids = opened.passages.ids(np.arange(opened.size))
    assert [one == other for one, other in pairwise(documents)] == [
        one == other for one, other in pairwise(ids)
    ]
    assert (np.diff(documents) >= 0).all()


def test_ids_are_the_same_looked_up_or_held(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=None)
    documents = [Document(id, "wing") for id in ("é", "z", "日本", "a" * 300, "😀", "Z", "ab c")]
    index.add(documents)
    index.add([Document(f"n{n}", "wing") for n in range(100)])
    opened = Snapshot.open(tmp_path / "index")
    one_by_one = [opened.passages.ids(np.array([ordinal]))[0] for ordinal in (2, 106, 0)]
    everything = opened.passages.ids(np.arange(opened.size))
    assert everything[:7] == sorted((document.id for document in documents), key=str.encode)
    assert sorted(everything[7:]) == sorted(f"n{n}" for n in range(100))
    assert [everything[ordinal] for ordinal in (2, 106, 0)] == one_by_one
    assert opened.passages.ids(np.array([106, 3, 106])) == [everything[106], everything[3], everything[106]]
