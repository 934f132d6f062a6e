"""An index whose vectors are reduced: it follows changes as one with exact vectors does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import HashEncoder, make_documents

from leanseek.errors import UsageError
from leanseek.indexing.catalog import read_state
from leanseek.indexing.dense.flat import FlatIndex
from leanseek.indexing.dense.lean import LeanVecIndex
from leanseek.indexing.index import Index
from leanseek.indexing.settings import LeanSettings
from leanseek.indexing.snapshot import Snapshot
from leanseek.indexing.verifying import verify
from leanseek.searcher.searcher import Searcher
from leanseek.types import Document, Float32Array

DIMENSIONS = 32
TOPICS = 40


class TopicEncoder(HashEncoder):
    """Texts of one topic have vectors near each other: "t7 s123" is topic 7 and a seed."""

    name, fingerprint, dimensions = "topics", "c" * 64, DIMENSIONS

    def _vector(self, text: str) -> Float32Array:
        words = text.split()
        topic, seed = int(words[0][1:]), int(words[1][1:])
        near = np.random.default_rng(topic).standard_normal(DIMENSIONS)
        vector = near + 0.6 * np.random.default_rng(10_000 + seed).standard_normal(DIMENSIONS)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


def topical(count: int, first: int = 0) -> list[Document]:
    return [
        Document(f"d{seed:05d}", f"t{seed % TOPICS} s{seed}", metadata={"topic": seed % TOPICS})
        for seed in range(first, first + count)
    ]


QUERIES = [f"t{topic} s{50_000 + topic}" for topic in range(TOPICS)]


def create(path: Path, dense: str = "lean", **options: object) -> Index:
    return Index.create(path, encoder=TopicEncoder(), dense=dense, sparse=None, **options)  # type: ignore[arg-type]


def best(path: Path, **options: object) -> list[list[str]]:
    with Searcher.open(path, encoder=TopicEncoder()) as searcher:
        found = searcher.rank_batch(QUERIES, 10, **options)  # type: ignore[arg-type]
    return [[hit.id for hit in hits] for hits in found]


def shared(one: list[list[str]], other: list[list[str]]) -> float:
    return float(
        np.mean([len(set(a) & set(b)) / max(len(b), 1) for a, b in zip(one, other, strict=True) if b])
    )


def lean_segments(path: Path) -> list[LeanVecIndex]:
    snapshot = Snapshot.open(path)
    return [segment.dense for segment in snapshot.segments if isinstance(segment.dense, LeanVecIndex)]


def test_it_finds_what_an_exact_one_finds_however_it_changes(tmp_path: Path) -> None:
    lean, flat = create(tmp_path / "lean"), create(tmp_path / "flat", "flat")
    for index in (lean, flat):
        index.add(topical(3000), cache=False)
        index.add(topical(200, 3000), cache=False)
        index.delete([f"d{seed:05d}" for seed in range(0, 3000, 3)])
    assert [type(segment.dense) for segment in Snapshot.open(lean.path).segments] == [LeanVecIndex, FlatIndex]
    for options in ({}, {"filter": "topic < 20"}, {"filter": "topic in (3, 4)"}, {"filter": "topic = 7"}):
        assert shared(best(lean.path, **options), best(flat.path, **options)) >= 0.93, options
    assert all(len(ids) == 10 for ids in best(lean.path, filter="topic = 7"))
    before = best(lean.path)
    (learned,) = [segment.learned for segment in lean_segments(lean.path)]
    assert lean.compact().segments == 1
    (after,) = lean_segments(lean.path)
    assert np.array_equal(after.learned.reduction.data, learned.reduction.data)
    assert after.size == 2200
    assert shared(best(lean.path), before) >= 0.95
    assert verify(lean.path).sound


def test_compacting_again_and_again_loses_nothing(tmp_path: Path) -> None:
    index = create(tmp_path / "index")
    index.add(topical(1500), cache=False)
    (first,) = lean_segments(index.path)
    for _ in range(4):
        index.compact(relearn=True)
    (last,) = lean_segments(index.path)
    rows = np.arange(1500)
    assert np.abs(first.vectors(rows) - last.vectors(rows)).max() < 1e-4


def test_auto_is_exact_where_that_is_as_fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leanseek.indexing.dense.LEAN_FROM", 1200)
    index = create(tmp_path / "index", "auto")
    index.add(topical(1000), cache=False)
    assert not lean_segments(index.path)
    index.add(topical(1000, 1000), cache=False)
    assert not lean_segments(index.path)
    index.compact()  # nothing has been learned yet: the queries are made, and encoded, now
    (segment,) = lean_segments(index.path)
    assert segment.size == 2000


def test_given_queries_are_learned_from_and_remembered(tmp_path: Path) -> None:
    texts = [f"t{seed % 7} s{60_000 + seed}" for seed in range(300)]
    index = create(tmp_path / "index", learning_queries=texts, lean=LeanSettings(dims=16, recall=0.9))
    assert read_state(index.path).learning_queries == tuple(texts)
    index.add(topical(1500), cache=False)
    (segment,) = lean_segments(index.path)
    assert (segment.dims, segment.recall, segment.learned.source) == (16, 0.9, "given")
    encoded = TopicEncoder().encode_queries(texts).vectors
    assert {row.tobytes() for row in segment.learned.queries} == {row.tobytes() for row in encoded}
    Index.open(index.path, encoder=TopicEncoder()).compact(relearn=True)
    assert [segment.learned.source for segment in lean_segments(index.path)] == ["given"]
    assert read_state(index.path).learning_queries == tuple(texts)


def test_there_must_be_something_to_learn_anew(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=HashEncoder(), dense="flat")
    index.add(make_documents(5), cache=False)
    with pytest.raises(UsageError, match="nothing to learn"):
        index.compact(relearn=True)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"recall": 1.5}, "recall is 1.5"),
        ({"dims": 0}, "dims is 0"),
        ({"kind": "tree"}, "choose one of auto, flat, ivf, hnsw"),
        ({"precision": "int4"}, "choose one of"),
    ],
)
def test_settings_out_of_range_are_told(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        create(tmp_path / "index", lean=replace(LeanSettings(), **changes))  # type: ignore[arg-type]
    assert not (tmp_path / "index").exists()
