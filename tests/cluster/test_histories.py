"""Whatever happens to a collection, a cluster of it and one index of it keep giving the same answers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import HashEncoder, HashExpander, InGroups, make_documents

from leanseek import Document, Index, Searcher
from leanseek.cluster import ClusterSearcher, route

POOL = make_documents(60, 21)
OTHERS = make_documents(60, 22)
QUERIES = ["statin trial", "wing wing layer", "glucose", "matrix vector rocket"]

ids = st.lists(st.integers(0, len(POOL) - 1), min_size=1, max_size=10, unique=True)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), ids),
        st.tuples(st.just("replace"), ids),
        st.tuples(st.just("delete"), ids),
        st.tuples(st.just("compact"), st.just([])),
    ),
    min_size=1,
    max_size=5,
)


class Home:
    """An index, with what its documents are now."""

    def __init__(self, path: Path, chunked: bool) -> None:
        self.path = path
        words = 4 if chunked else None
        Index.create(
            path,
            encoder=HashEncoder(),
            learned=HashExpander(),
            dense="flat",
            chunk_words=words,
            chunk_overlap=1 if chunked else 0,
        )

    def apply(self, step: str, documents: Sequence[Document]) -> None:
        with Index.open(self.path, encoder=HashEncoder(), learned=HashExpander()) as index:
            if step == "compact":
                index.compact()
            elif step == "delete":
                index.delete([document.id for document in documents])
            else:
                index.add(list(documents), on_duplicate="replace", cache=False)


def check(history: list[tuple[str, list[int]]], shards: int, chunked: bool, relevance: Any) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        one = Home(folder / "one", chunked)
        many = [Home(folder / f"{shard:04}", chunked) for shard in range(shards)]
        here: set[str] = set()
        for step, places in history:
            pool = OTHERS if step == "replace" else POOL
            documents = [pool[place] for place in places]
            if step == "delete":
                documents = [document for document in documents if document.id in here]
                here -= {document.id for document in documents}
            elif step != "compact":
                here |= {document.id for document in documents}
            if documents or step == "compact":
                one.apply(step, documents)
            for shard, home in enumerate(many):
                mine = [document for document in documents if route(document.id, shards) == shard]
                if mine or step == "compact":
                    home.apply(step, mine)
        options: Any = {"encoder": HashEncoder(), "learned": HashExpander(), "relevance": relevance}
        transport = InGroups.open([home.path for home in many])
        with Searcher.open(one.path, **options) as single, ClusterSearcher(transport, **options) as cluster:
            for fusion in (None, "rrf", "dbsf"):
                if fusion is not None:
                    single = Searcher.open(one.path, fusion=fusion, **options)
                    cluster = ClusterSearcher(transport, fusion=fusion, **options)
                assert cluster.rank_batch(QUERIES, 30) == single.rank_batch(QUERIES, 30)
            for mode in ("sparse", "dense", "learned"):
                assert cluster.search_batch(QUERIES, 8, mode=mode) == single.search_batch(
                    QUERIES, 8, mode=mode
                )
            for query in QUERIES:
                for options in ({}, {"filter": "year > 2000"} if here else {}, {"collapse": True}):
                    assert cluster.answer(query, 9, **options) == single.answer(query, 9, **options)
                packed: Any = {"recency": "year:9y", "now": "2020"} if here else {}
                assert cluster.context(query, 200, guard="drop", compress=0.5, **packed) == single.context(
                    query, 200, guard="drop", compress=0.5, **packed
                )
            for fields in (["year", "tags"], ["id"]):
                counted = cluster.answer("wing -heart", facets=fields, diversity=0.5).facets
                assert repr(counted) == repr(single.answer("wing -heart", facets=fields).facets)
            assert cluster.ids() == sorted(single.ids()) == sorted(here)
    finally:
        shutil.rmtree(folder)


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(history=steps, shards=st.integers(1, 4), chunked=st.booleans())
def test_a_few_histories(
    history: list[tuple[str, list[int]]], shards: int, chunked: bool, relevance: Any
) -> None:
    check(history, shards, chunked, relevance)


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=steps, shards=st.sampled_from([1, 2, 3, 4, 8]), chunked=st.booleans())
def test_many_histories(
    history: list[tuple[str, list[int]]], shards: int, chunked: bool, relevance: Any
) -> None:
    check(history, shards, chunked, relevance)
