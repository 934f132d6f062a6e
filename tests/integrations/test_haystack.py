# ruff: noqa: E402 - the adapters need Haystack, without which all of this is skipped
"""Haystack's own test suites against the adapters, and what they do not ask."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
pytest.importorskip("haystack", reason="needs leanseek[haystack]")
pytest_asyncio = pytest.importorskip("pytest_asyncio")

from haystack import Document, Pipeline, component
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy, FilterPolicy
from haystack.errors import FilterError
from haystack.testing.document_store import DocumentStoreBaseExtendedTests, DocumentStoreBaseTests
from haystack.testing.document_store_async import (
    CountDocumentsAsyncTest,
    DeleteAllAsyncTest,
    DeleteByFilterAsyncTest,
    DeleteDocumentsAsyncTest,
    FilterDocumentsAsyncTest,
    UpdateByFilterAsyncTest,
    WriteDocumentsAsyncTest,
)
from haystack.utils.filters import document_matches_filter
from hypothesis import given, settings
from hypothesis import strategies as st
from integrations.examples import example
from serve.conftest import serving
from support import HashEncoder, make_documents

from leanseek import Index, Searcher
from leanseek.errors import IndexLockedError, InputError, ServerError, UsageError
from leanseek.filters import from_haystack, parse_filter
from leanseek.indexing.folder import writer_lock
from leanseek.integrations.haystack import LeanseekDocumentStore, LeanseekRanker, LeanseekRetriever
from leanseek.rerank import ByScore, Judged
from leanseek.serve import ServeSettings, create_app

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.filterwarnings("ignore:The test .* is marked", "ignore:the embeddings of documents"),
]


def without_embeddings(documents: list[Document]) -> list[dict[str, Any]]:
    plain = [Document(id=one.id, content=one.content, meta=one.meta).to_dict() for one in documents]
    return sorted(plain, key=lambda one: str(one["id"]))


class Suite:
    """What every store overrides: its default policy, and what it does not give back."""

    @pytest.fixture
    def document_store(self, tmp_path: Path) -> LeanseekDocumentStore:
        Index.create(tmp_path / "store", encoder=None)
        return LeanseekDocumentStore(str(tmp_path / "store"))

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        assert without_embeddings(received) == without_embeddings(expected)

    def test_write_documents(self, document_store: LeanseekDocumentStore) -> None:
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document], DuplicatePolicy.NONE)
        self.assert_documents_are_equal(document_store.filter_documents(), [document])


class TestBase(Suite, DocumentStoreBaseTests): ...


class TestExtended(Suite, DocumentStoreBaseExtendedTests): ...


class TestAsync(
    Suite,
    CountDocumentsAsyncTest,
    DeleteAllAsyncTest,
    DeleteByFilterAsyncTest,
    DeleteDocumentsAsyncTest,
    FilterDocumentsAsyncTest,
    UpdateByFilterAsyncTest,
    WriteDocumentsAsyncTest,
):
    async def test_write_documents_async(self, document_store: LeanseekDocumentStore) -> None:
        document = Document(content="test doc")
        assert await document_store.write_documents_async([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document])


numbers = st.integers(-3, 3) | st.floats(-2, 2)
texts = st.sampled_from(["a", "b", "ab", ""])
dates = st.sampled_from(
    ["2024-05-01", "2024-05-01T10:00:00", "2024-05-02T00:00:00", "2023-01-01T00:00:00.500000"]
)
kinds: dict[str, Any] = {"n": numbers, "s": texts, "d": dates, "b": st.booleans(), "a.x": numbers}
metas = st.fixed_dictionaries(
    {}, optional={"n": numbers | st.none(), "s": texts, "d": dates, "b": st.booleans(),
                  "a": st.fixed_dictionaries({}, optional={"x": numbers})}
)  # fmt: skip


def comparisons(field: str) -> Any:
    values = kinds[field]
    equal = st.tuples(st.sampled_from(["==", "!="]), values | st.none())
    among = st.tuples(st.sampled_from(["in", "not in"]), st.lists(values | st.none(), max_size=3))
    ordered = st.tuples(st.sampled_from([">", ">=", "<", "<="]), values | st.none())
    chosen = st.one_of(equal, among, ordered) if field in ("n", "d", "a.x") else st.one_of(equal, among)
    return st.builds(
        lambda prefix, pair: {"field": prefix + field, "operator": pair[0], "value": pair[1]},
        st.just("meta.") if "." in field else st.sampled_from(["meta.", ""]),
        chosen,
    )


trees = st.recursive(
    st.one_of(*map(comparisons, kinds)),
    lambda inner: st.builds(
        lambda operator, conditions: {"operator": operator, "conditions": conditions},
        st.sampled_from(["AND", "OR", "NOT"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


@settings(max_examples=1000, deadline=None)
@given(trees, metas)
def test_filters_mean_what_they_mean_there(tree: dict[str, Any], meta: dict[str, Any]) -> None:
    expected = document_matches_filter(tree, Document(content="x", meta=meta))
    condition = from_haystack(tree)
    plain = {name: value for name, value in meta.items() if name != "a"}
    fields = plain | {f"a.{name}": value for name, value in meta.get("a", {}).items()}
    assert condition.matches(fields) == expected
    assert parse_filter(str(condition)).matches(fields) == expected


@pytest.fixture
def store(tmp_path: Path) -> LeanseekDocumentStore:
    Index.create(tmp_path / "store", encoder=None)
    store = LeanseekDocumentStore(str(tmp_path / "store"))
    store.write_documents(
        [
            Document(id=one.id, content=one.text, meta={**one.metadata, "title": one.title})
            for one in make_documents(60)
        ]
    )
    return store


@pytest.mark.parametrize(
    "wrong",
    [
        {"field": "meta.year", "operator": "~", "value": 1}, {"field": "content", "operator": "==", "value": "x"},
        {"field": "meta.yaer", "operator": "==", "value": 2000}, {"field": "meta.", "operator": "==", "value": 1},
        {"operator": "XOR", "conditions": [{"field": "meta.year", "operator": "==", "value": 1}]}, {"operator": "AND"},
        {"operator": "AND", "conditions": []}, {"field": "meta.year", "operator": "==", "value": [1]}, "year = 2000",
    ],
)  # fmt: skip
def test_filters_that_are_none(store: LeanseekDocumentStore, wrong: Any) -> None:
    for search in (
        store.filter_documents,
        store.delete_by_filter,
        lambda given: LeanseekRetriever(store).run("a", given),
    ):
        with pytest.raises(FilterError):
            search(wrong)
    with pytest.raises(FilterError):
        asyncio.run(LeanseekRetriever(store).run_async("a", wrong))
    assert store.count_documents() == 60


def test_a_retriever_finds_what_the_searcher_finds(store: LeanseekDocumentStore) -> None:
    retriever = LeanseekRetriever(
        store, top_k=5, filters={"field": "meta.year", "operator": ">=", "value": 2000}
    )
    with Searcher.open(store.connection.searcher.path) as searcher:  # type: ignore[union-attr]
        for given, condition, k in (
            (None, "year >= 2000", None),
            ({"field": "id", "operator": "==", "value": "d7"}, 'id = "d7"', 3),
        ):
            found = retriever.run("wing wave orbit", given, k)["documents"]
            hits = searcher.search("wing wave orbit", k or 5, filter=condition)
            assert [(one.id, one.content, one.score) for one in found] == [
                (hit.id, hit.text, hit.score) for hit in hits
            ]
            assert [one.meta["leanseek"]["rank"] for one in found] == list(range(1, len(hits) + 1))
            assert all(one.meta["leanseek"]["end"] == len(one.content or "") for one in found)
            assert asyncio.run(retriever.run_async("wing wave orbit", given, k))["documents"] == found
    assert found
    merged = LeanseekRetriever(store, filters=retriever.filters, filter_policy=FilterPolicy.MERGE)
    both = merged.run("wing wave orbit", {"field": "meta.tags", "operator": "in", "value": ["a"]})[
        "documents"
    ]
    assert both and all(one.meta["year"] >= 2000 and "a" in one.meta["tags"] for one in both)
    with pytest.raises(UsageError, match="top_k"):
        LeanseekRetriever(store, top_k=0)
    with pytest.raises(TypeError, match="depht"):
        LeanseekRetriever(store, depht=5).run("wing")
    assert store.write_documents(found, DuplicatePolicy.OVERWRITE) == len(found)
    assert "leanseek" not in store.filter_documents({"field": "id", "operator": "==", "value": "d7"})[0].meta


async def test_a_search_leaves_the_loop_free(store: LeanseekDocumentStore) -> None:
    begun, go_on = threading.Event(), threading.Event()
    searcher = store.connection.searcher
    answer = searcher.answer

    def slow(*arguments: Any, **options: Any) -> Any:
        begun.set()
        assert go_on.wait(60), "the loop was blocked"
        return answer(*arguments, **options)

    searcher.answer = slow  # type: ignore[method-assign]
    retriever = LeanseekRetriever(store)
    waiting = [asyncio.create_task(retriever.run_async("wing")) for _ in range(16)]
    while not begun.is_set():
        await asyncio.sleep(0)
    go_on.set()  # which a blocked loop does not reach
    assert await asyncio.gather(*waiting) == [retriever.run("wing")] * 16


class ByLength(ByScore):
    """Longer texts first."""

    name = fingerprint = "by-length"
    notes = ()

    def judge(self, queries: Any, hits: Any, *, progress: Any = None, deadline: Any = None) -> list[Judged]:
        return [
            Judged(np.array([float(len(hit.text)) for hit in one]), np.full(len(one), 0.5)) for one in hits
        ]


def test_a_ranker_keeps_the_best() -> None:
    documents = [
        Document(content=text, meta={"n": n}, embedding=[1.0])
        for n, text in enumerate(["aa", "a", "bb", "ccc"])
    ]
    ranker = LeanseekRanker(ByLength(), top_k=3)
    best = ranker.run("query", documents)["documents"]
    assert [(one.content, one.score, one.embedding) for one in best] == [
        ("ccc", 3, [1.0]),
        ("aa", 2, [1.0]),
        ("bb", 2, [1.0]),
    ]
    assert best[0].id == documents[3].id and best[0].meta == {
        "n": 3,
        "leanseek": {"rank": 1, "score": 3.0, "probability": 0.5},
    }
    assert documents[3].score is None and documents[3].meta == {"n": 3}
    assert (
        ranker.run("query", [])["documents"] == []
        and len(ranker.run("query", documents, 1)["documents"]) == 1
    )
    assert asyncio.run(ranker.run_async("query", documents))["documents"] == best
    with pytest.raises(UsageError, match="top_k"):
        LeanseekRanker(ByLength(), top_k=0)


def test_a_pipeline_is_saved_and_loaded(store: LeanseekDocumentStore) -> None:
    pipeline = Pipeline()
    retriever = LeanseekRetriever(
        store, top_k=2, filter_policy=FilterPolicy.MERGE, mode="sparse", literal=False
    )
    pipeline.add_component("retriever", retriever)
    pipeline.add_component("ranker", LeanseekRanker("cross-encoder", top_k=1))
    pipeline.connect("retriever.documents", "ranker.documents")
    loaded = Pipeline.loads(pipeline.dumps(), allowed_modules=["leanseek.integrations.haystack"])
    assert loaded == pipeline
    assert loaded.get_component("retriever").run("wing")["documents"] == retriever.run("wing")["documents"]
    for unsaved in (
        LeanseekDocumentStore(store.connection.searcher),
        LeanseekDocumentStore("p", HashEncoder()),
    ):
        with pytest.raises(UsageError, match="saved"):
            unsaved.to_dict()


def test_bad_writes_lose_nothing(store: LeanseekDocumentStore) -> None:
    before = store.filter_documents()
    for wrong in (Document(id="x"), Document(id="x", content="a", meta={"bad": object()})):
        with pytest.raises(InputError, match="x"):
            store.write_documents([Document(id="d1", content="new"), wrong], DuplicatePolicy.OVERWRITE)
    with pytest.raises(DuplicateDocumentError):
        store.write_documents([Document(id="new", content="a"), Document(id="new", content="b")])
    other = LeanseekDocumentStore(store.connection.searcher)
    with writer_lock(store.connection.searcher.path), pytest.raises(IndexLockedError):  # type: ignore[union-attr]
        other.delete_documents(["d1"])
    assert store.filter_documents() == before
    again = [Document(id="d1", content="a"), Document(id="new", content="a"), Document(id="new", content="b")]
    assert store.write_documents(again, DuplicatePolicy.SKIP) == 1
    [new] = store.filter_documents({"field": "id", "operator": "==", "value": "new"})
    assert new.content == "a"


def test_embeddings_are_said_to_be_dropped(store: LeanseekDocumentStore) -> None:
    with pytest.warns(UserWarning, match="not stored"):
        store.write_documents([Document(id="e", content="a", embedding=[0.5, 0.5, 0.5])])
    store.close()  # and opened again by the next use
    assert store.filter_documents({"field": "id", "operator": "==", "value": "e"})[0].embedding is None


def test_an_index_on_a_server(store: LeanseekDocumentStore) -> None:
    folder = store.connection.searcher.path  # type: ignore[union-attr]
    with serving(create_app({"papers": folder}, ServeSettings())) as address:
        served = LeanseekDocumentStore(address)
        for filters in (None, {"field": "meta.year", "operator": "!=", "value": 2000}):
            found = LeanseekRetriever(served).run("wing wave", filters)
            assert found == LeanseekRetriever(store).run("wing wave", filters) != {"documents": []}
            assert asyncio.run(LeanseekRetriever(served).run_async("wing wave", filters)) == found
        with pytest.raises(UsageError, match="server"):
            served.count_documents()
        with pytest.raises(ServerError, match="--writable"):
            served.write_documents([Document(content="a")])
    with serving(create_app({"papers": folder}, ServeSettings(writable=True))) as address:
        served = LeanseekDocumentStore(address)
        new = Document(id="new", content="a new wing", meta={"year": 2030})
        assert served.write_documents([new]) == 1
        with pytest.raises(DuplicateDocumentError, match="new"):
            served.write_documents([Document(id="other", content="x"), new])
        assert served.write_documents([new], DuplicatePolicy.SKIP) == 0
        [found] = LeanseekRetriever(served, top_k=1).run("new")["documents"]
        assert found.id == "new" and found.meta["year"] == 2030
        served.delete_documents(["new", "other", "zz"])
        assert not LeanseekRetriever(served).run("new")["documents"]


@component
class ScriptedModel:
    """A language model that says what it is told to."""

    @component.output_types(replies=list[str])
    def run(self, prompt: str) -> dict[str, list[str]]:
        assert "[1] Statins lower cholesterol." in prompt
        return {"replies": ["They do [1]."]}


def test_the_example_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert example("haystack", model=ScriptedModel())["answer"] == "They do [1]."
