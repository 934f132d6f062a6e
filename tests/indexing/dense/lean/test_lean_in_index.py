"""An index whose vectors are reduced: it follows changes as one with exact vectors does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import HashEncoder, make_documents

from leanseek.encode.base import Encoded
from leanseek.errors import ModelError, StorageError, UsageError
from leanseek.indexing.catalog import read_state
from leanseek.indexing.creation import make_plan
from leanseek.indexing.dense.flat import FlatIndex
from leanseek.indexing.dense.lean import LeanVecIndex
from leanseek.indexing.dense.registry import spool
from leanseek.indexing.index import Index
from leanseek.indexing.settings import LeanSettings
from leanseek.indexing.snapshot import Snapshot
from leanseek.indexing.verification import verify
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
    monkeypatch.setattr("leanseek.indexing.dense.registry.LEAN_FROM", 1200)
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


def test_the_first_level_can_be_chosen(tmp_path: Path) -> None:
    flat = create(tmp_path / "flat", "flat")
    flat.add(topical(1500), cache=False)
    for primary in ("lvq8", "rabitq"):
        index = create(tmp_path / primary, lean=LeanSettings(primary=primary))
        index.add(topical(1500), cache=False)
        (segment,) = lean_segments(index.path)
        assert segment.primary == primary
        assert shared(best(index.path), best(flat.path)) >= 0.9


def test_the_reduction_can_be_chosen(tmp_path: Path) -> None:
    index = create(tmp_path / "index", lean=LeanSettings(dims=16, reduction="ood-es"))
    index.add(topical(1500), cache=False)
    (segment,) = lean_segments(index.path)
    assert segment.method == "ood-es"


def test_there_must_be_something_to_learn_anew(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder=HashEncoder(), dense="flat")
    index.add(make_documents(5), cache=False)
    with pytest.raises(UsageError, match="nothing to learn"):
        index.compact(relearn=True)


@pytest.mark.parametrize("documents", [0, 5])
def test_too_few_vectors_have_nothing_to_learn_anew(tmp_path: Path, documents: int) -> None:
    index = create(tmp_path / "index", "auto")
    index.add(topical(documents), cache=False)
    with pytest.raises(UsageError, match=f"the {documents} vectors of .* so few"):
        index.compact(relearn=True)
    index.compact()


def files(path: Path) -> dict[str, bytes]:
    """Every file of the segments, by its name."""
    segments = path / "segments"
    return {
        file.relative_to(segments).as_posix(): file.read_bytes()
        for file in segments.rglob("*")
        if file.is_file()
    }


class Failing(TopicEncoder):
    """Fails at the learning queries, when everything is encoded."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        raise self.error

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        return super().encode_queries(texts)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), ValueError("out of order"), OSError(5, "Input error")]
)
def test_what_fails_while_learning_leaves_the_index_as_it_was(tmp_path: Path, error: BaseException) -> None:
    index = create(tmp_path / "index")
    index.add(topical(1200), cache=False)
    index.delete(["d00003"])
    before, state = files(index.path), read_state(index.path)
    failing = Index.open(index.path, encoder=Failing(error))
    told = ModelError if isinstance(error, OSError) else type(error)
    with pytest.raises(told):
        failing.add(topical(1000, 1200), cache=False)
    assert files(index.path) == before
    with pytest.raises(told):
        failing.compact(relearn=True)
    assert files(index.path) == before
    assert read_state(index.path).generation == state.generation
    assert index.compact(relearn=True).removed == 1
    assert verify(index.path).sound


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = create(tmp_path / "index")
    index.add(topical(50), cache=False)
    before = files(index.path)

    def full(path: Path, blocks: object, shape: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("leanseek.indexing.dense.registry.spool", full)
    with pytest.raises(StorageError, match="No space left"):
        index.add(topical(1200, 50), cache=False)
    assert files(index.path) == before


def test_spooled_vectors_are_the_blocks_one_after_another(tmp_path: Path) -> None:
    blocks = [np.full((rows, 3), rows, dtype=np.float32) for rows in (2, 1, 4)]
    assert np.array_equal(spool(tmp_path / "spool", iter(blocks), (7, 3)), np.concatenate(blocks))
    with pytest.raises(ValueError):
        spool(tmp_path / "spool", iter(blocks), (8, 3))


def test_without_its_encoder_an_index_is_compacted_and_nothing_learned_anew(tmp_path: Path) -> None:
    index = create(tmp_path / "index")
    index.add(topical(1200), cache=False)
    index.add(topical(10, 1200), cache=False)
    alone = Index.open(index.path)
    with pytest.raises(ModelError, match="topics"):
        alone.compact(relearn=True)
    assert alone.compact().segments == 1
    assert verify(index.path).sound


def test_parts_of_documents_are_rolled_up_as_over_exact_vectors(tmp_path: Path) -> None:
    # 40 documents of 50 parts of one topic each: the best 100 passages are of two documents.
    whole = [
        Document(f"d{topic}", " ".join(f"t{topic} s{topic * 50 + part}" for part in range(50)))
        for topic in range(TOPICS)
    ]
    found = []
    for dense in ("lean", "flat"):
        index = create(tmp_path / dense, dense, chunk_words=2)
        assert index.add(whole, cache=False).passages == 2000
        found.append(best(index.path))
    assert all(len(set(ids)) == 10 for ids in found[0])
    assert shared(*found) >= 0.9


def test_two_builds_are_the_same_to_the_byte(tmp_path: Path) -> None:
    for name in ("one", "two"):
        index = create(tmp_path / name)
        index.add(topical(6000), cache=False)
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert {name for name in one if one[name] != two[name]} <= {"000001/passages.sqlite"}
    assert "000001/dense/codes.npy" in one


@pytest.mark.parametrize("dense", ["flat", "none", None])
def test_settings_that_would_do_nothing_are_refused(dense: str | None) -> None:
    for options in ({"lean": LeanSettings(kind="ivf")}, {"learning_queries": ["what lifts a wing"]}):
        with pytest.raises(UsageError, match="for reduced vectors"):
            make_plan(encoder=TopicEncoder(), dense=dense, **options)  # type: ignore[arg-type]


def test_more_dims_than_the_vectors_have_are_told_before_encoding() -> None:
    encoder = TopicEncoder()
    with pytest.raises(UsageError, match=r"dims is 33; .* from 1 to 32"):
        make_plan(encoder=encoder, lean=LeanSettings(dims=33))
    assert make_plan(encoder=encoder, lean=LeanSettings(dims=32)).settings.lean.dims == 32


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"recall": 1.5}, "recall is 1.5"),
        ({"dims": 0}, "dims is 0"),
        ({"kind": "tree"}, "choose one of auto, flat, ivf, hnsw"),
        ({"precision": "int4"}, "choose one of"),
        ({"primary": "pq8"}, "primary of a reduced index is 'pq8'"),
        ({"primary": "pq4", "kind": "hnsw"}, "a graph"),
    ],
)
def test_settings_out_of_range_are_told(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        create(tmp_path / "index", lean=replace(LeanSettings(), **changes))  # type: ignore[arg-type]
    assert not (tmp_path / "index").exists()


def test_a_handful_of_given_queries_is_too_few_to_learn_from(tmp_path: Path) -> None:
    index = create(tmp_path / "index", learning_queries=["t1 s1", "t2 s2"])
    index.add(topical(1500), cache=False)
    (segment,) = lean_segments(index.path)
    assert segment.learned.source == "corpus"
    assert segment.recall == 0.95
