"""The adapters of LlamaIndex in LlamaIndex's own programs."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llama_index.core", reason="needs leanseek[llamaindex]")

from hypothesis import given, settings
from hypothesis import strategies as st
from integrations.examples import example
from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.llms import MockLLM
from llama_index.core.schema import (
    Document,
    ImageNode,
    MetadataMode,
    NodeRelationship,
    NodeWithScore,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores import FilterCondition, MetadataFilter, MetadataFilters, VectorStoreQuery
from llama_index.core.vector_stores.types import VectorStoreQueryMode
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

from leanseek import Index, Searcher
from leanseek.errors import FilterError, IndexLockedError, InputError, UsageError
from leanseek.filters import from_llamaindex, parse_filter
from leanseek.indexing.folder import writer_lock
from leanseek.integrations.llamaindex import LeanseekPostprocessor, LeanseekRetriever, LeanseekVectorStore
from leanseek.rerank import ByScore, Judged

texts = st.sampled_from(["a", "b", "ab", "ba", ""])
numbers = st.integers(-3, 3) | st.floats(-2, 2)
metas = st.fixed_dictionaries(
    {},
    optional={"n": numbers | st.none(), "s": texts, "l": st.lists(texts.filter(bool), max_size=3)},
)
leaves = st.one_of(
    st.builds(
        lambda operator, value: MetadataFilter(key="n", operator=operator, value=value),
        st.sampled_from(["==", "!=", ">", ">=", "<", "<="]),
        numbers,
    ),
    st.builds(
        lambda operator, value: MetadataFilter(key="s", operator=operator, value=value),
        st.sampled_from(["==", "!=", ">", "<=", "text_match", "text_match_insensitive"]),
        texts,
    ),
    st.builds(
        lambda operator, value: MetadataFilter(key="s", operator=operator, value=value),
        st.sampled_from(["in", "nin"]),
        st.lists(texts, max_size=3),
    ),
    st.builds(
        lambda operator, value: MetadataFilter(key="l", operator=operator, value=value),
        st.sampled_from(["any", "all"]),
        st.lists(texts.filter(bool), min_size=1, max_size=3),
    ),
    st.builds(lambda value: MetadataFilter(key="l", operator="contains", value=value), texts.filter(bool)),
    st.builds(
        lambda key: MetadataFilter(key=key, operator="is_empty", value=None), st.sampled_from(["n", "s", "l"])
    ),
)
flat = st.builds(
    lambda filters, condition: MetadataFilters(filters=filters, condition=condition),
    st.lists(leaves, min_size=1, max_size=3),
    st.sampled_from([None, *FilterCondition]),
)


def meant(filters: MetadataFilters, meta: dict[str, Any]) -> bool:
    """What LlamaIndex's own evaluation says, which knows no filters in filters, for those too."""
    if not any(isinstance(one, MetadataFilters) for one in filters.filters):
        return build_metadata_filter_fn(lambda _: meta, filters)("x")
    found = [meant(one, meta) for one in filters.filters]  # type: ignore[arg-type]
    return {"and": all(found), "or": any(found), "not": not any(found)}[str(filters.condition.value)]  # type: ignore[union-attr]


nested = st.builds(
    lambda filters, condition: MetadataFilters(filters=filters, condition=condition),
    st.lists(flat, min_size=1, max_size=2),
    st.sampled_from(FilterCondition),
)


@settings(max_examples=1000, deadline=None)
@given(flat | nested, metas)
def test_filters_mean_what_they_mean_there(filters: MetadataFilters, meta: dict[str, Any]) -> None:
    # Their own function takes an empty list for present where an operator other than is_empty asks.
    expected = meant(filters, {name: value for name, value in meta.items() if value != []})
    condition = from_llamaindex(filters)
    assert condition.matches(meta) == expected
    assert parse_filter(str(condition)).matches(meta) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        None, {"key": "n"}, MetadataFilters(filters=[]), MetadataFilter(key="n", operator="any", value=1),
        MetadataFilter(key="n", operator="all", value=[]), MetadataFilter(key="n", operator="text_match", value=1),
        MetadataFilter(key="n", operator=">", value=None), MetadataFilter(key="n", operator="in", value="ab"),
    ],
)  # fmt: skip
def test_filters_that_are_none(wrong: Any) -> None:
    with pytest.raises(FilterError):
        from_llamaindex(wrong)


def test_filters_nested_too_deeply() -> None:
    deep: Any = MetadataFilter(key="n", value=1)
    for _ in range(150):
        deep = MetadataFilters(filters=[deep])
    with pytest.raises(FilterError, match="nested"):
        from_llamaindex(deep)


@pytest.fixture
def store(tmp_path: Path) -> LeanseekVectorStore:
    Index.create(tmp_path / "store", encoder=None)
    return LeanseekVectorStore(str(tmp_path / "store"))


def nodes() -> list[TextNode]:
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book", metadata={"shelf": 3})}
    return [
        TextNode(id_="a", text="wing of a gull", metadata={"year": 2001, "id": 7, "title": "Birds"},
                 relationships=source),
        TextNode(id_="b", text="wing of a plane", metadata={"year": 1999, "tags": ["x", "y"]}, relationships=source,
                 excluded_llm_metadata_keys=["year"], text_template="{content}", start_char_idx=5, end_char_idx=20),
        TextNode(id_="c", text="orbit", metadata={"author": {"name": "Ada"}}, embedding=[0.5, 0.5]),
    ]  # fmt: skip


def test_nodes_come_back_as_they_were(store: LeanseekVectorStore) -> None:
    assert store.add(nodes()) == ["a", "b", "c"]
    bare = nodes()
    bare[2].embedding = None  # leanseek makes its own vectors
    assert store.get_nodes(["b", "a", "zz", "c"]) == [bare[1], bare[0], bare[2]]
    found = LeanseekRetriever(store.client).retrieve("orbit")[0].node
    assert found.metadata["leanseek"]["rank"] == 1
    assert "leanseek" not in found.get_content(MetadataMode.LLM) + found.get_content(MetadataMode.EMBED)
    store.add([found])  # type: ignore[list-item]
    assert store.get_nodes(["c"]) == [bare[2]]


def test_a_retriever_finds_what_the_searcher_finds(papers: Path) -> None:
    filters = MetadataFilters(filters=[MetadataFilter(key="year", operator=">=", value=2000)])
    with Searcher.open(papers) as searcher:
        for index in (papers, searcher):
            retriever = LeanseekRetriever(index, 5, filter=filters, explain=True)
            found = retriever.retrieve("wing wave")
            hits = searcher.search("wing wave", 5, filter="year >= 2000")
            assert hits and [(one.node_id, one.text, one.score) for one in found] == [
                (hit.id, hit.text, hit.score) for hit in hits
            ]
            for rank, one in enumerate(found, 1):
                place = one.metadata["leanseek"]
                assert (place["rank"], place["start"], place["end"]) == (rank, 0, len(one.text))
                assert "sparse" in place["stages"]
            assert asyncio.run(retriever.aretrieve("wing wave")) == found
    with pytest.raises(UsageError, match="k is 0"):
        LeanseekRetriever(papers, 0)


def test_a_search_leaves_the_loop_free(papers: Path) -> None:
    async def search() -> None:
        retriever = LeanseekRetriever(papers)
        begun, go_on = threading.Event(), threading.Event()
        searcher = retriever._connection.searcher
        answer = searcher.answer

        def slow(*arguments: Any, **options: Any) -> Any:
            begun.set()
            assert go_on.wait(60), "the loop was blocked"
            return answer(*arguments, **options)

        searcher.answer = slow  # type: ignore[method-assign]
        waiting = [asyncio.create_task(retriever.aretrieve("wing")) for _ in range(16)]
        while not begun.is_set():
            await asyncio.sleep(0)
        go_on.set()  # which a blocked loop does not reach
        assert await asyncio.gather(*waiting) == [retriever.retrieve("wing")] * 16

    asyncio.run(search())


def test_an_index_of_llamaindex_over_the_store(store: LeanseekVectorStore) -> None:
    context = StorageContext.from_defaults(vector_store=store)
    documents = [
        Document(id_="book", text="The wing lifts.", metadata={"year": 2001}),
        Document(id_="other", text="An orbit."),
    ]
    index = VectorStoreIndex.from_documents(documents, context, embed_model=MockEmbedding(4))
    retriever = index.as_retriever(similarity_top_k=1)
    [best] = retriever.retrieve("orbit")
    assert best.text == "An orbit." and best.node.ref_doc_id == "other" and best.score
    assert asyncio.run(retriever.aretrieve("orbit")) == [best]
    [best] = index.as_retriever(doc_ids=["book"]).retrieve("wing orbit")
    assert best.text == "The wing lifts."
    index.delete_ref_doc("other")
    assert retriever.retrieve("orbit") == []
    again = VectorStoreIndex.from_vector_store(store, embed_model=MockEmbedding(4))
    assert "The wing lifts." in str(again.as_query_engine(llm=MockLLM()).query("wing?"))


def test_what_a_store_is_asked(store: LeanseekVectorStore) -> None:
    store.delete("book")  # nothing is there yet, not even the field
    store.add(nodes())
    ask = VectorStoreQuery(query_str="wing orbit", similarity_top_k=5)
    result = store.query(ask)
    assert set(result.ids or ()) == {"a", "b", "c"} and result.similarities == sorted(
        result.similarities or (), reverse=True
    )
    assert asyncio.run(store.aquery(ask)) == result
    ask.node_ids = ["a", "c"]
    assert set(store.query(ask).ids or ()) == {"a", "c"}
    ask.filters = MetadataFilters(filters=[MetadataFilter(key="id", value=7)])
    assert store.query(ask).ids == ["a"]
    ask.query_embedding = [1.0]  # of whatever length: the index makes its own
    assert store.query(ask, mode="sparse").ids == ["a"]
    for wrong in (
        VectorStoreQuery(query_embedding=[1.0]), VectorStoreQuery(query_str="wing", mode=VectorStoreQueryMode.SVM),
        VectorStoreQuery(query_str="wing", alpha=0.5), VectorStoreQuery(query_str="wing", mmr_threshold=0.5),
    ):  # fmt: skip
        with pytest.raises(UsageError):
            store.query(wrong)
    diverse = VectorStoreQuery(query_str="wing", mode=VectorStoreQueryMode.MMR, mmr_threshold=1.0)
    assert store.query(diverse) == store.query(VectorStoreQuery(query_str="wing"))
    diverse.mmr_threshold = 0.6
    with pytest.raises(UsageError, match="goes by the vectors"):  # this store has none
        store.query(diverse)
    years = MetadataFilters(filters=[MetadataFilter(key="year", operator="<", value=2000)])
    assert [one.node_id for one in store.get_nodes(filters=years)] == ["b"]
    store.delete_nodes(["a", "b"], years)
    assert [one.node_id for one in store.get_nodes()] == ["a", "c"]
    with pytest.raises(UsageError, match="clear"):
        store.delete_nodes()
    store.delete("book")
    assert [one.node_id for one in store.get_nodes()] == ["c"]
    store.clear()
    assert store.get_nodes() == []


def test_deleting_a_document_leaves_others_whose_name_it_begins(store: LeanseekVectorStore) -> None:
    """As a date "2024" means all of its days; as the id of a document it does not."""
    for name in ("2024", "2024-05-01"):
        source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=name)}
        store.add([TextNode(id_=f"node of {name}", text="wing", relationships=source)])
    store.delete("2024")
    assert [one.node_id for one in store.get_nodes()] == ["node of 2024-05-01"]


def test_bad_writes_lose_nothing(store: LeanseekVectorStore) -> None:
    store.add(nodes())
    before = store.get_nodes()
    for wrong in (
        TextNode(id_="x", text=""),
        ImageNode(id_="x"),
        TextNode(id_="x", text="t", metadata={"bad": object()}),
    ):
        with pytest.raises(InputError, match="x"):
            store.add([TextNode(id_="a", text="new"), wrong])
    with writer_lock(store.client.searcher.path), pytest.raises(IndexLockedError):  # type: ignore[union-attr]
        store.clear()
    assert store.get_nodes() == before


class ByLength(ByScore):
    """Longer texts first."""

    name = fingerprint = "by-length"
    notes = ()

    def judge(self, queries: Any, hits: Any, *, progress: Any = None, deadline: Any = None) -> list[Judged]:
        return [
            Judged(np.array([float(len(hit.text)) for hit in one]), np.full(len(one), 0.5)) for one in hits
        ]


def test_a_postprocessor_keeps_the_best() -> None:
    given = [NodeWithScore(node=TextNode(text=text), score=9.0) for text in ("aa", "a", "bb", "ccc")]
    reranker = LeanseekPostprocessor(reranker=ByLength(), top_n=3)
    best = reranker.postprocess_nodes(given, query_str="query")
    assert [(one.text, one.score) for one in best] == [("ccc", 3.0), ("aa", 2.0), ("bb", 2.0)]
    assert best[0].metadata["leanseek"] == {"rank": 1, "score": 3.0, "probability": 0.5}
    assert (
        given[3].metadata == {}
        and given[3].score == 9.0
        and reranker.postprocess_nodes([], query_str="q") == []
    )
    assert asyncio.run(reranker.apostprocess_nodes(given, query_str="query")) == best
    with pytest.raises(UsageError, match="query"):
        reranker.postprocess_nodes(given)
    with pytest.raises(ValueError, match="top_n"):
        LeanseekPostprocessor(reranker=ByLength(), top_n=0)


def test_the_example_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Statins lower cholesterol." in example("llamaindex", model=MockLLM())["answer"]
