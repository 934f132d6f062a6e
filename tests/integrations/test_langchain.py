# ruff: noqa: E402 - the adapters need LangChain, without which all of this is skipped
"""LangChain's own test suites against the adapters, and what they do not ask."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest_asyncio = pytest.importorskip("pytest_asyncio")

pytest.importorskip("langchain_core", reason="needs leanseek[langchain]")
pytest.importorskip("langchain_tests", reason="needs langchain-tests")

from integrations.examples import example
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing.base import DocumentIndex
from langchain_core.language_models import FakeListChatModel
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests
from langchain_tests.integration_tests.indexer import AsyncDocumentIndexTestSuite, DocumentIndexerTestSuite
from serve.conftest import serving
from support import HashEncoder

from leanseek import Document as OurDocument
from leanseek import Index, Searcher
from leanseek.errors import (
    FilterError,
    IndexLockedError,
    IndexNotFoundError,
    InputError,
    ModelError,
    ServerError,
    UsageError,
)
from leanseek.indexing.folder import writer_lock
from leanseek.integrations import Connection
from leanseek.integrations.langchain import (
    EmbeddingsEncoder,
    LeanseekCompressor,
    LeanseekDocumentIndex,
    LeanseekRetriever,
    LeanseekVectorStore,
)
from leanseek.rerank import ByScore, Judged
from leanseek.serve import ServeSettings, create_app

pytestmark = [pytest.mark.asyncio, pytest.mark.filterwarnings("ignore:The test .* is marked")]


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def made(self, papers: Path) -> None:
        self.papers = papers

    @property
    def retriever_constructor(self) -> type[LeanseekRetriever]:
        return LeanseekRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"index": str(self.papers)}

    @property
    def retriever_query_example(self) -> str:
        return "statin trial"


class TestVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Generator[VectorStore, None, None]:  # type: ignore[override]
        store = LeanseekVectorStore(tmp_path / "store", self.get_embeddings())
        yield store
        store.connection.close()


class TestDocumentIndex(DocumentIndexerTestSuite):
    @pytest.fixture
    def index(self, tmp_path: Path) -> Generator[DocumentIndex, None, None]:
        yield LeanseekDocumentIndex(index=tmp_path / "store", embedding=HashEncoder())


class TestAsyncDocumentIndex(AsyncDocumentIndexTestSuite):
    @pytest_asyncio.fixture
    async def index(self, tmp_path: Path) -> AsyncGenerator[DocumentIndex, None]:
        yield LeanseekDocumentIndex(index=tmp_path / "store", embedding=HashEncoder())


def texts_of(path: Path) -> dict[str, str]:
    with Searcher.open(path) as searcher:
        return {one: searcher.documents([one])[0].text for one in [*(f"d{n}" for n in range(60)), "long"]}


def test_a_retriever_finds_what_the_searcher_finds(papers: Path) -> None:
    texts = texts_of(papers)
    with Searcher.open(papers) as searcher:
        for index in (papers, searcher, Connection(papers)):
            retriever = LeanseekRetriever(index=index, k=5)
            for query, options in (("wing wave", {}), ("kinase", {"k": 2, "filter": "year >= 2000"})):
                found = retriever.invoke(query, **options)
                hits = searcher.search(query, **{"k": 5, **options})
                assert [(one.id, one.metadata["leanseek"]["score"]) for one in found] == [
                    (hit.id, hit.score) for hit in hits
                ]
                assert [one.metadata["leanseek"]["rank"] for one in found] == list(range(1, len(hits) + 1))
                for one in found:
                    start, end = one.metadata["leanseek"]["start"], one.metadata["leanseek"]["end"]
                    assert texts[str(one.id)][start:end] == one.page_content
    assert found and "stages" not in found[0].metadata["leanseek"]
    [explained] = LeanseekRetriever(index=papers, explain=True).invoke("kinase", k=1)
    assert explained.metadata["leanseek"]["stages"]["sparse"]["rank"] == 1


def test_a_part_of_a_document_has_its_place(tmp_path: Path) -> None:
    text = "The orbit of the rocket is a wide one. " * 9 + "A kinase is an enzyme of some importance."
    Index.create(tmp_path / "parts", encoder=None, chunk_words=12).add([OurDocument("a", text)])
    [found] = LeanseekRetriever(index=tmp_path / "parts").invoke("kinase")
    place = found.metadata["leanseek"]
    assert place["start"] > 300 and text[place["start"] : place["end"]] == found.page_content


def test_questions_are_text_unless_operators_are_wanted(papers: Path) -> None:
    retriever = LeanseekRetriever(index=papers)
    everything = retriever.invoke("wing -wave")
    without = retriever.invoke("wing -wave", literal=False)
    assert any("wave" in one.page_content for one in everything)
    assert without and not any("wave" in one.page_content for one in without)


def test_filters_of_dicts(papers: Path) -> None:
    retriever = LeanseekRetriever(index=papers, k=100, filter={"year": {"$gte": 2000}, "tags": "a"})
    found = retriever.invoke("wing")
    assert found and all(one.metadata["year"] >= 2000 and "a" in one.metadata["tags"] for one in found)
    assert [one.id for one in found] == [
        one.id for one in retriever.invoke("wing", filter='year >= 2000 and tags = "a"')
    ]
    for wrong in ({"yaer": 2000}, {"year": {"$near": 1}}, {"year": {}}):
        with pytest.raises(FilterError):
            retriever.invoke("wing", filter=wrong)


def test_an_unknown_option_is_refused(papers: Path) -> None:
    with pytest.raises(TypeError, match="top_k"):
        LeanseekRetriever(index=papers).invoke("wing", top_k=3)
    with pytest.raises(IndexNotFoundError):
        LeanseekRetriever(index=papers / "nowhere")


async def test_a_search_leaves_the_loop_free(papers: Path) -> None:
    retriever = LeanseekRetriever(index=papers)
    begun, go_on = threading.Event(), threading.Event()
    searcher = retriever._connection.searcher
    answer = searcher.answer

    def slow(*arguments: Any, **options: Any) -> Any:
        begun.set()
        assert go_on.wait(60), "the loop was blocked"
        return answer(*arguments, **options)

    searcher.answer = slow  # type: ignore[method-assign]
    waiting = [asyncio.create_task(retriever.ainvoke("wing")) for _ in range(16)]
    while not begun.is_set():
        await asyncio.sleep(0)
    go_on.set()  # which a blocked loop does not reach
    found = await asyncio.gather(*waiting)
    assert found == [retriever.invoke("wing")] * 16


def test_an_index_on_a_server(tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    Index.create(folder, encoder=None).add([OurDocument("a", "wing"), OurDocument("b", "wave", "Sea")])
    with serving(create_app({"papers": folder}, ServeSettings())) as address:
        retriever = LeanseekRetriever(index=f"{address}/indexes/papers")
        local = LeanseekRetriever(index=folder)
        assert retriever.invoke("wing wave") == local.invoke("wing wave") != []
        assert asyncio.run(retriever.ainvoke("wing wave")) == local.invoke("wing wave")
        store = LeanseekVectorStore(address)
        assert store.get_by_ids(["b"])[0].metadata == {"title": "Sea"}
        with pytest.raises(ServerError, match="--writable"):
            store.add_texts(["more"])


def test_an_index_on_a_server_is_written_to(tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    Index.create(folder, encoder=None).add([OurDocument("a", "wing")])
    with serving(create_app({"papers": folder}, ServeSettings(writable=True))) as address:
        store = LeanseekVectorStore(address)
        assert store.add_texts(["a wave", "another wing"], [{"id": 7}, {"title": "T"}], ids=["b", "a"]) == [
            "b",
            "a",
        ]
        assert [one.id for one in store.similarity_search("wing", 5)] == ["a"]
        assert store.get_by_ids(["a", "b"])[1].metadata == {"id": 7}
        assert asyncio.run(store.adelete(["b", "zz"]))
        assert store.get_by_ids(["b"]) == []
        documents = LeanseekDocumentIndex(index=address)
        assert documents.delete(["a", "zz"])["succeeded"] == ["a"]
    assert Searcher.open(folder).ids() == []


def test_vector_stores_score_filter_and_persist(tmp_path: Path) -> None:
    embedding = DeterministicFakeEmbedding(size=8)
    store = LeanseekVectorStore.from_texts(
        ["wing", "wing wave"],
        embedding,
        [{"n": 1}, {"n": 2, "title": "Sea"}],
        ids=["a", "b"],
        index=tmp_path / "s",
    )
    store.connection.close()
    store = LeanseekVectorStore(tmp_path / "s", embedding)
    [(best, score), (_, other)] = store.similarity_search_with_score("wing wave", k=2)
    assert (
        best == Document(id="b", page_content="wing wave", metadata={"n": 2, "title": "Sea"})
        and score > other
    )
    assert [one.id for one in store.similarity_search("wing", filter={"n": {"$lt": 2}})] == ["a"]
    assert [one.id for one in store.as_retriever(search_kwargs={"k": 1}).invoke("wing wave")] == ["b"]
    with pytest.raises(UsageError, match="relevance model"):
        store.similarity_search_with_relevance_scores("wing")
    [standing] = LeanseekRetriever(index=store.connection, k=1).invoke("wing wave")
    assert store.add_documents([standing]) == ["b"]
    assert store.get_by_ids(["b", "zz"]) == [best]  # what the retriever said of it is not stored


def test_vectors_of_another_length_are_refused(tmp_path: Path) -> None:
    LeanseekVectorStore(tmp_path / "s", DeterministicFakeEmbedding(size=8)).add_texts(["wing"])
    with pytest.raises(ModelError, match="not the one that the index was made with"):
        LeanseekVectorStore(tmp_path / "s", DeterministicFakeEmbedding(size=9))
    encoder = EmbeddingsEncoder(DeterministicFakeEmbedding(size=8))
    encoder.dimensions = 9
    with pytest.raises(UsageError, match="length 8"):
        encoder.encode_documents(["wing"])


def test_bad_writes_lose_nothing(tmp_path: Path) -> None:
    store = LeanseekVectorStore(tmp_path / "s", HashEncoder())
    store.add_texts(["wing"], ids=["a"])
    with pytest.raises(UsageError, match="2 texts and 1 ids"):
        store.add_texts(["wave", "orbit"], ids=["a"])
    with pytest.raises(UsageError, match="metadatas"):
        store.add_texts(["wave"], [{}, {}])
    with pytest.raises(InputError, match=r"the metadata 'bad' of the document 'b' holds"):
        store.add_texts(["wave", "orbit"], [{}, {"bad": object()}], ids=["a", "b"])
    for without_ids in (store.delete, LeanseekDocumentIndex(index=store.connection).delete):
        with pytest.raises(UsageError, match="ids"):
            without_ids()
    other = LeanseekVectorStore(tmp_path / "s", HashEncoder())
    with writer_lock(tmp_path / "s"), pytest.raises(IndexLockedError):
        other.add_texts(["wave"], ids=["a"])
    assert [one.page_content for one in store.get_by_ids(["a", "b"])] == ["wing"]
    other.add_texts(["wave"], ids=["c"])  # two stores take turns
    store.add_texts(["orbit"], ids=["d"])
    assert [one.id for one in store.get_by_ids(["a", "c", "d"])] == ["a", "c", "d"]


class ByLength(ByScore):
    """Longer texts first."""

    name = fingerprint = "by-length"
    notes = ()

    def judge(self, queries: Any, hits: Any, *, progress: Any = None, deadline: Any = None) -> list[Judged]:
        return [
            Judged(np.array([float(len(hit.text)) for hit in one]), np.full(len(one), 0.5)) for one in hits
        ]


def test_a_compressor_keeps_the_best(papers: Path) -> None:
    given = [
        Document(page_content=text, metadata={"n": n}) for n, text in enumerate(["aa", "a", "bb", "ccc"])
    ]
    compressor = LeanseekCompressor(reranker=ByLength(), top_n=3)
    best = compressor.compress_documents(given, "query")
    assert [one.page_content for one in best] == ["ccc", "aa", "bb"]
    assert best[0].metadata == {
        "n": 3, "relevance_score": 3.0, "leanseek": {"rank": 1, "score": 3.0, "probability": 0.5}
    }  # fmt: skip
    assert given[3].metadata == {"n": 3} and compressor.compress_documents([], "query") == []
    assert asyncio.run(compressor.acompress_documents(given, "query")) == best
    with pytest.raises(ValueError, match="top_n"):
        LeanseekCompressor(reranker=ByLength(), top_n=0)
    with pytest.raises(ValueError, match="not a re-ranker"):
        LeanseekCompressor(reranker="no-such-thing")


def test_the_example_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = FakeListChatModel(responses=["They do [1]."])
    assert example("langchain", model=model)["answer"] == "They do [1]."


def test_maximal_marginal_relevance_is_diversity(tmp_path: Path) -> None:
    store = LeanseekVectorStore(tmp_path / "i", HashEncoder())
    store.add_texts(
        ["statin trial heart", "statin trial heart wing", "statin trial", "statin orbit rocket", "orbit"]
    )
    searcher = store.connection.searcher
    for share in (0.0, 0.4, 1.0):
        expected = [hit.text for hit in searcher.search("statin trial", 3, diversity=1 - share)]
        found = store.max_marginal_relevance_search("statin trial", 3, lambda_mult=share)
        assert [one.page_content for one in found] == expected
        again = asyncio.run(store.amax_marginal_relevance_search("statin trial", 3, lambda_mult=share))
        assert again == found
    retriever = store.as_retriever(search_type="mmr", search_kwargs={"k": 2})
    assert len(retriever.invoke("statin trial")) == 2
    worded = LeanseekRetriever(index=store.connection, k=2, diversity=0.2)
    assert [one.page_content for one in worded.invoke("statin trial", queries=["orbit"])] == [
        hit.text for hit in searcher.search("statin trial", 2, queries=["orbit"], diversity=0.2)
    ]
