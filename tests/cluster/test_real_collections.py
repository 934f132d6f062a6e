"""Real collections, cut into shards: the answers of one index, and local statistics far from them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import InGroups

from leanseek import Index, Searcher, read, read_queries
from leanseek.cluster import ClusterSearcher, InProcess, route
from leanseek.encode.base import Encoded
from leanseek.indexing.background import background_of
from leanseek.indexing.snapshot import Snapshot
from leanseek.types import Document

WIDTH, FEATURES = 96, 4096


class WordVectors:
    """Counts of hashed words through a fixed projection: real texts get vectors in no time."""

    name, fingerprint, dimensions, max_tokens = "word-vectors", "ab" * 32, WIDTH, None

    def __init__(self) -> None:
        self.projection = np.random.default_rng(0).standard_normal((FEATURES, WIDTH)).astype(np.float32)

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        vectors = np.full((len(texts), WIDTH), 1e-3, np.float32)
        counts = []
        for row, text in enumerate(texts):
            words = re.findall(r"[a-z]{3,}", text.lower())
            counts.append(len(words))
            if words:
                places = [zlib.crc32(word.encode()) % FEATURES for word in words]
                vectors[row] += self.projection[places].sum(axis=0)
        return Encoded(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.array(counts, np.int32))

    encode_documents = encode_queries


def make(path: Path, parts: Sequence[Sequence[Document]], gone: Sequence[str], **options: Any) -> Path:
    index = Index.create(path, **options)
    for part in parts:
        index.add(list(part), on_duplicate="replace", cache=False)
    here = {document.id for part in parts for document in part}
    index.delete([one for one in gone if one in here])
    return path


def sharded(
    folder: Path, parts: Sequence[Sequence[Document]], gone: Sequence[str], shards: int, **options: Any
) -> InProcess:
    return InGroups.open(
        [
            make(
                folder / f"{shard:04}",
                [[one for one in part if route(one.id, shards) == shard] for part in parts],
                gone,
                **options,
            )
            for shard in range(shards)
        ]
    )


def same(one: Searcher, many: ClusterSearcher, queries: Sequence[str], k: int = 100, **options: Any) -> None:
    expected, found = one.rank_batch(queries, k, **options), many.rank_batch(queries, k, **options)
    for query, wanted, got in zip(queries, expected, found, strict=True):
        assert [hit.id for hit in got] == [hit.id for hit in wanted], query
        scores = [np.array([hit.score for hit in hits], np.float32).tobytes() for hits in (wanted, got)]
        assert scores[0] == scores[1], query


def first_ten_differ(one: Searcher, many: ClusterSearcher, queries: Sequence[str]) -> int:
    return sum(
        [hit.id for hit in got] != [hit.id for hit in wanted]
        for wanted, got in zip(one.rank_batch(queries, 10), many.rank_batch(queries, 10), strict=True)
    )


def test_cranfield(
    collection: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 300 replacements and 200 deletions, by all sides and fusions."""
    folder = collection("cranfield")
    documents = list(read(folder))
    queries = [query.text for query in read_queries(folder)][::5]
    others = [replace(one, text=documents[-place].text) for place, one in enumerate(documents[:300], 1)]
    gone = [document.id for document in documents[200:1000:4]]
    options: Any = {"encoder": WordVectors(), "dense": "flat"}
    one_path = make(tmp_path / "one", [documents, others], gone, **options)
    shards = sharded(tmp_path / "shards", [documents, others], gone, 4, **options)
    for fusion in ("convex", "rrf", "dbsf"):
        opened: Any = {"encoder": WordVectors(), "fusion": fusion, "relevance": None}
        with Searcher.open(one_path, **opened) as one:
            many = ClusterSearcher(shards, **opened)
            same(one, many, queries)
            if fusion == "convex":
                for mode in ("sparse", "dense"):
                    same(one, many, queries, mode=mode)
                monkeypatch.setattr(Snapshot, "under", lambda self, statistics: self)
                assert first_ten_differ(one, many, queries) > len(queries) / 2
                monkeypatch.undo()


def test_reduced_vectors_are_those_of_an_index_of_the_same_segments(
    collection: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = collection("scifact")
    documents = list(read(folder))[:2200]
    queries = [query.text for query in read_queries(folder)][:30]
    options: Any = {"encoder": WordVectors(), "dense": "lean"}
    gone = [document.id for document in documents[::17]]
    shards = sharded(tmp_path, [documents], gone, 2, **options)
    parts = [Snapshot.open(tmp_path / f"{shard:04}") for shard in range(2)]
    segments = [segment for part in parts for segment in part.segments]
    assert all(segment.lean is not None for segment in segments)
    together = Snapshot(tmp_path / "together", parts[0].state, segments)
    one = Searcher(together, encoder=WordVectors(), relevance=None)
    many = ClusterSearcher(shards, encoder=WordVectors(), relevance=None)
    for mode in ("dense", "hybrid"):
        same(one, many, queries, mode=mode)


@pytest.mark.slow
@pytest.mark.parametrize("shards", [2, 8])
def test_scifact(
    collection: Callable[[str], Path], tmp_path: Path, shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in eight of the claims, 700 deletions and 300 replacements."""
    folder = collection("scifact")
    documents = list(read(folder))
    queries = [query.text for query in read_queries(folder)][::8]
    others = [replace(one, text=documents[-place].text) for place, one in enumerate(documents[:300], 1)]
    gone = [document.id for document in documents[1000:3800:4]]
    options: Any = {"encoder": WordVectors(), "dense": "flat"}
    one_path = make(tmp_path / "one", [documents, others], gone, **options)
    cluster = sharded(tmp_path / "shards", [documents, others], gone, shards, **options)
    opened: Any = {"encoder": WordVectors(), "relevance": None}
    with Searcher.open(one_path, **opened) as one:
        many = ClusterSearcher(cluster, **opened)
        for mode in ("sparse", "dense", "hybrid"):
            same(one, many, queries, mode=mode)
        for fusion in ("rrf", "minmax", "dbsf", "zscore"):
            with Searcher.open(one_path, fusion=fusion, **opened) as single:
                same(single, ClusterSearcher(cluster, fusion=fusion, **opened), queries)
        sparse: Any = {**opened, "mode": "sparse"}
        with Searcher.open(one_path, **sparse) as single:
            monkeypatch.setattr(Snapshot, "under", lambda self, statistics: self)
            wrong = first_ten_differ(single, ClusterSearcher(cluster, **sparse), queries)
            assert wrong > 0.8 * len(queries)


@pytest.mark.slow
def test_probabilities_of_the_packaged_model(
    collection: Callable[[str], Path], tmp_path: Path, known_vectors: Any
) -> None:
    """The index's own encoder and relevance model; the vectors of the shards are the index's."""
    from leanseek.indexing.creation import recorded_encoder

    folder = collection("cranfield")
    documents = list(read(folder))
    queries = [query.text for query in read_queries(folder)][::3]
    # By a back end's name: torch gives way to an export, with other last digits, as soon as there is one.
    encoded_by = "onnx:sentence-transformers/all-MiniLM-L6-v2"
    index = Index.create(tmp_path / "one", dense="flat", encoder=encoded_by)
    index.add(documents)
    with Searcher.open(tmp_path / "one") as one:
        settings = one.settings
        assert settings.encoder is not None and settings.background is not None
        encoder = known_vectors(tmp_path / "one", recorded_encoder(settings.encoder, None, for_queries=True))
        shards = sharded(tmp_path / "shards", [documents], [], 4, encoder=encoder, dense="flat")
        whole = ClusterSearcher(shards, encoder=encoder, relevance=None)._open_generation().snapshot
        assert background_of(whole, encoder) == settings.background
        shards.epoch = shards.epoch._replace(settings=settings)
        many = ClusterSearcher(shards, encoder=encoder)
        assert many.relevance is not None
        for mode in ("dense", "hybrid"):
            expected = one.search_batch(queries, 50, mode=mode)
            found = many.search_batch(queries, 50, mode=mode)
            assert found == expected
            assert expected[0][0].probability is not None
