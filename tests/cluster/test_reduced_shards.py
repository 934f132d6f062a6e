"""Reduced vectors: each segment learns its own reduction, so a cluster answers as one index of the same segments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import HashEncoder, make_documents

from leanseek import Document, Index, LeanSettings, Searcher
from leanseek.cluster import ClusterSearcher, InProcess, route
from leanseek.indexing.background import background_of
from leanseek.indexing.dense import registry
from leanseek.indexing.snapshot import Snapshot

DOCUMENTS = make_documents(520, 31)
QUERIES = ["statin trial", "wing slipstream layer", "kinase receptor", "glucose insulin query term vector"]
KINDS = [
    ("hnsw", None),
    ("ivf", "lvq4"),
    *(
        pytest.param(*kind, marks=pytest.mark.slow)
        for kind in (("flat", None), ("ivf", None), ("flat", "sq8"))
    ),
    pytest.param("ivf", "rabitq", marks=pytest.mark.slow),
]


class Wide(HashEncoder):
    """More dimensions than are kept."""

    fingerprint, dimensions = "cd" * 32, 48


@pytest.mark.parametrize(("kind", "primary"), KINDS)
def test_one_index_of_the_same_segments(
    tmp_path: Path, kind: str, primary: str | None, monkeypatch: pytest.MonkeyPatch, relevance: Any
) -> None:
    monkeypatch.setattr(registry, "LEAN_AT_ALL_FROM", 100)
    lean = LeanSettings(dims=16, kind=kind, recall=0.8, primary=primary)
    gone = [document.id for document in DOCUMENTS[::13]]
    folders = []
    for shard in range(2):
        mine = [document for document in DOCUMENTS if route(document.id, 2) == shard]
        folders.append(tmp_path / str(shard))
        index = Index.create(folders[-1], encoder=Wide(), dense="lean", lean=lean)
        halves: list[list[Document]] = [mine[:130], mine[130:]]
        for half in halves:
            index.add(half, cache=False, background=False)
        index.delete([one.id for one in mine if one.id in gone])
        index.close()
    parts = [Snapshot.open(folder) for folder in folders]
    segments = [segment for part in parts for segment in part.segments]
    assert len(segments) == 4 and all(segment.lean is not None for segment in segments)
    together = Snapshot(tmp_path / "together", parts[0].state, segments)
    options: Any = {"encoder": Wide(), "relevance": replace(relevance, fingerprint=Wide.fingerprint)}
    one = Searcher(together, **options)
    with ClusterSearcher(InProcess.open(folders), **options) as many:
        for mode in ("dense", "hybrid"):
            for asked in ({}, {"filter": "year > 2004"}, {"min_probability": 0.2}):
                keywords: Any = {"mode": mode, "k": 40, **asked}
                assert repr(many.search_batch(QUERIES, **keywords)) == repr(
                    one.search_batch(QUERIES, **keywords)
                )
        assert background_of(many._open_generation().snapshot, Wide()) == background_of(together, Wide())
