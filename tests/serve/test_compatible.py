"""The interfaces of other services: their own clients where there are packages, else requests as they send them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cohere
import httpx2
import numpy as np
import openai
import pytest
from serve.conftest import bearer, serving, write_keys
from starlette.testclient import TestClient
from support import HashEncoder

from leanseek import Document, Index, Searcher, load_reranker
from leanseek.serve import ServeSettings, create_app
from leanseek.types import Hit

TEXTS = ["heart trial", "wing load of a boundary layer", "statin"]
DOCUMENTS = ["A wing in a stream.", "Statins lower cholesterol.", "Nothing of interest."]
QUESTION = "do statins help?"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with the default encoder, whose hits have probabilities."""
    folder = tmp_path_factory.mktemp("real") / "facts.index"
    index = Index.create(folder)
    index.add(
        [
            Document(
                "s",
                "Statins lower cholesterol and prevent heart attacks.",
                "Statins",
                {"year": 2016, "tags": ["a", "b"]},
            ),
            Document("w", "Loads on a wing rise with the square of the speed.", "", {"year": 1958}),
            Document("p", "Aspirin thins the blood.", "Aspirin", {"lang": "en"}),
        ]
    )
    return folder


@pytest.fixture(scope="module")
def server(real: Path) -> Iterator[str]:
    """A server of it with the packaged cross-encoder."""
    with serving(create_app({"facts": real}, ServeSettings(rerank=("cross-encoder",)))) as address:
        yield address


@pytest.fixture(scope="module")
def post(server: str) -> Iterator[Callable[[str, Any], Any]]:
    """Sends JSON to the server."""
    with httpx2.Client(base_url=server, timeout=60) as client:

        def send(path: str, body: Any) -> Any:
            response = client.post(path, json=body)
            return response.json() if response.status_code == 200 else response

        yield send


@pytest.fixture(scope="module")
def searcher(real: Path) -> Iterator[Searcher]:
    with Searcher.open(real) as found:
        yield found


@pytest.fixture
def client(server: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as found:
        yield found


def test_openai_embeddings(client: openai.OpenAI, searcher: Searcher) -> None:
    expected = searcher.encoder.encode_documents(TEXTS)
    for form in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
        found = client.embeddings.create(model=searcher.encoder.name, input=TEXTS, **form)  # type: ignore[call-overload]
        vectors = [one.embedding for one in found.data]
        if form.get("encoding_format") == "base64":
            vectors = [np.frombuffer(base64.b64decode(vector), "<f4") for vector in vectors]
        assert np.abs(np.array(vectors) - expected.vectors).max() < 1e-5
        assert [one.index for one in found.data] == [0, 1, 2]
        assert found.usage.total_tokens == expected.tokens.sum()
    single = client.embeddings.create(model="facts", input=TEXTS[0], dimensions=384)
    assert len(single.data) == 1


def test_openai_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        client.embeddings.create(model="text-embedding-3-small", input="x")
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
    assert "MiniLM" in str(raised.value)
    for wrong, said in (([[1, 2, 3]], "check_embedding_ctx_length"), ([1, 2], "tokens"), ([], "empty")):
        with pytest.raises(openai.BadRequestError, match=said):
            client.embeddings.create(model="facts", input=wrong)
    with pytest.raises(openai.BadRequestError, match="384"):
        client.embeddings.create(model="facts", input="x", dimensions=100)


def test_openai_models(client: openai.OpenAI, searcher: Searcher) -> None:
    names = [model.id for model in client.models.list()]
    assert names[0] == searcher.encoder.name and names[1].startswith("cross-encoder:")
    assert client.models.retrieve(searcher.encoder.name).owned_by == "leanseek"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt")


def test_openai_vector_store(client: openai.OpenAI, searcher: Searcher) -> None:
    page = client.vector_stores.search("facts", query=QUESTION, max_num_results=2)
    assert page.data[0].file_id == "s" and page.data[0].content[0].text.startswith("Statins lower")
    assert page.data[0].filename == "Statins" and page.data[0].attributes == {"year": 2016, "tags": "a, b"}
    assert 0.1 < page.data[0].score <= 1
    either: Any = [
        {"type": "lt", "key": "year", "value": 1960},
        {"type": "in", "key": "lang", "value": ["en"]},
    ]
    filtered = client.vector_stores.search("facts", query="wing", filters={"type": "or", "filters": either})
    assert {one.file_id for one in filtered.data} == {"w", "p"}
    nothing = client.vector_stores.search(
        "facts", query="sourdough bread", ranking_options={"score_threshold": 0.5}
    )
    assert nothing.data == []
    several = client.vector_stores.search("facts", query=[QUESTION, "wing loads"])
    assert {one.file_id for one in several.data[:2]} == {"s", "w"}
    with pytest.raises(openai.BadRequestError, match="operators here"):
        client.vector_stores.search("facts", query="x", filters={"type": "like", "key": "a", "value": "b"})  # type: ignore[arg-type]


def expected_order() -> list[tuple[int, float]]:
    """Places and probabilities as the re-ranker itself gives them."""
    hits = [Hit(place + 1, str(place), 0.0, "", text, {}) for place, text in enumerate(DOCUMENTS)]
    return [
        (int(hit.id), hit.probability or 0.0) for hit in load_reranker("cross-encoder").rerank(QUESTION, hits)
    ]


def test_cohere_rerank(server: str) -> None:
    expected = expected_order()
    second = cohere.ClientV2("none", base_url=server)
    found = second.rerank(model="cross-encoder", query=QUESTION, documents=DOCUMENTS, top_n=2)
    assert [one.index for one in found.results] == [place for place, _ in expected[:2]]
    assert [one.relevance_score for one in found.results] == pytest.approx(
        [chance for _, chance in expected[:2]], abs=1e-5
    )
    first = cohere.Client("none", base_url=server)
    old = first.rerank(query=QUESTION, documents=[{"text": one} for one in DOCUMENTS], return_documents=True)  # type: ignore[arg-type]
    assert [one.index for one in old.results] == [place for place, _ in expected]
    assert old.results[0].document is not None and old.results[0].document.text == DOCUMENTS[expected[0][0]]
    with pytest.raises(cohere.errors.NotFoundError) as raised:
        second.rerank(model="rerank-v3.5", query=QUESTION, documents=DOCUMENTS)
    assert "joint-MiniLM" in str(raised.value.body)


def test_cohere_embed(server: str, searcher: Searcher) -> None:
    second = cohere.ClientV2("none", base_url=server)
    for kind, encode in (
        ("search_query", searcher.encoder.encode_queries),
        ("search_document", searcher.encoder.encode_documents),
    ):
        found = second.embed(model="facts", input_type=kind, texts=TEXTS, embedding_types=["float", "int8"])
        expected = encode(TEXTS).vectors
        assert np.abs(np.array(found.embeddings.float_) - expected).max() < 1e-5
        assert np.abs(np.array(found.embeddings.int8) / 127 - expected).max() < 0.005


def test_jina_rerank_as_open_webui_sends_it(post: Callable[[str, Any], Any]) -> None:
    body = {"model": "cross-encoder", "query": QUESTION, "documents": DOCUMENTS, "top_n": 3}
    found = post("/v1/rerank", body)
    assert [one["index"] for one in found["results"]] == [place for place, _ in expected_order()]
    assert "document" not in found["results"][0]
    jina = post(
        "/v1/rerank", {**body, "documents": [{"text": one} for one in DOCUMENTS], "return_documents": True}
    )
    assert jina["results"][0]["document"] == {"text": DOCUMENTS[found["results"][0]["index"]]}
    assert jina["usage"]["total_tokens"] > 0
    for wrong in ({"documents": []}, {"documents": [{"title": "x"}]}, {"top_n": 0}):
        assert post("/v1/rerank", {**body, **wrong}).status_code == 400


def test_text_embeddings_inference(post: Callable[[str, Any], Any], searcher: Searcher) -> None:
    assert (
        np.abs(
            np.array(post("/embed", {"inputs": TEXTS})) - searcher.encoder.encode_documents(TEXTS).vectors
        ).max()
        < 1e-5
    )
    assert len(post("/embed", {"inputs": "one", "truncate": True, "prompt_name": "query"})) == 1
    long = {"inputs": "wing " * 1000}
    assert post("/embed", long).status_code == 413
    assert len(post("/embed", {**long, "truncate": True})[0]) == 384
    assert post("/embed", {"inputs": "x", "normalize": False}).status_code == 400
    ranks = post("/rerank", {"query": QUESTION, "texts": DOCUMENTS, "return_text": True})
    assert [one["index"] for one in ranks] == [place for place, _ in expected_order()]
    assert ranks[0]["text"] == DOCUMENTS[ranks[0]["index"]] and 0 <= ranks[0]["score"] <= 1
    raw = post("/rerank", {"query": QUESTION, "texts": DOCUMENTS, "raw_scores": True})
    assert raw[0]["score"] > 1


def test_tei_info(server: str, searcher: Searcher) -> None:
    import httpx2

    found = httpx2.get(f"{server}/info").json()
    assert (
        found["model_id"] == searcher.encoder.name
        and found["max_input_length"] == searcher.encoder.max_tokens
    )


def test_anserini(server: str, real: Path) -> None:
    import httpx2

    found = httpx2.get(f"{server}/v1/facts/search", params={"query": "wing", "hits": 2}).json()
    with Searcher.open(real, reranker="cross-encoder") as reranking:
        hits = reranking.search("wing", 2)
    assert [(one["docid"], one["rank"]) for one in found["candidates"]] == [
        (hit.id, hit.rank) for hit in hits
    ]
    assert found["api"] == "v1" and found["query"] == {"text": "wing"}
    assert found["candidates"][0]["doc"]["contents"].startswith("Loads on a wing")
    plain = httpx2.get(f"{server}/v1/facts/doc/s?parse=false").json()
    assert plain["doc"] == "Statins Statins lower cholesterol and prevent heart attacks."
    assert httpx2.get(f"{server}/v1/facts/doc/zz").status_code == 404
    assert httpx2.get(f"{server}/v1/nowhere/search?query=x").status_code == 404


def test_dify(post: Callable[[str, Any], Any], real: Path) -> None:
    body = {
        "knowledge_id": "facts",
        "query": QUESTION,
        "retrieval_setting": {"top_k": 3, "score_threshold": 0.05},
    }
    found = post("/retrieval", body)["records"]
    with Searcher.open(real, reranker="cross-encoder") as reranking:
        hits = reranking.search(QUESTION, 3, min_probability=0.05)
    assert [(one["title"], one["score"]) for one in found] == [(hit.title, hit.probability) for hit in hits]
    assert 1 <= len(found) < 3 and found[0]["title"] == "Statins"
    assert found[0]["metadata"] == {"year": 2016, "tags": ["a", "b"], "document_id": "s"}
    assert post("/retrieval", {**body, "query": "sourdough bread"})["records"] == []
    condition = {"logical_operator": "or", "conditions": [
        {"name": ["year"], "comparison_operator": "<", "value": 1960},
        {"name": ["lang"], "comparison_operator": "is", "value": "en"},
    ]}  # fmt: skip
    every = {**body, "retrieval_setting": {"top_k": 5, "score_threshold": 0}, "metadata_condition": condition}
    assert {one["metadata"]["document_id"] for one in post("/retrieval", every)["records"]} == {"w", "p"}
    assert post("/retrieval", {**body, "knowledge_id": "nowhere"}).status_code == 404
    condition["conditions"][0] = {"name": ["lang"], "comparison_operator": "start with", "value": "e"}
    assert {one["metadata"]["document_id"] for one in post("/retrieval", every)["records"]} == {"p"}
    condition["conditions"][0]["comparison_operator"] = "sounds like"
    assert "operators here" in json.dumps(post("/retrieval", every).json())


def test_without_a_re_ranker_the_error_says_how_to_have_one(real: Path) -> None:
    with TestClient(create_app({"facts": real}), "http://localhost") as ask:
        refused = ask.post("/v1/rerank", json={"query": "a", "documents": ["b"]})
        assert refused.status_code == 404 and "--rerank" in refused.json()["error"]["message"]


def test_keys_hold_here_too(real: Path, tmp_path: Path) -> None:
    keys = write_keys(
        tmp_path / "keys", {"name": "k", "indexes": ["facts"]}, {"name": "other", "indexes": ["none"]}
    )
    with TestClient(create_app({"facts": real}, ServeSettings(keys=keys)), "http://localhost") as ask:
        body = {"model": "facts", "input": "x"}
        assert ask.post("/v1/embeddings", json=body).status_code == 401
        assert ask.post("/v1/embeddings", json=body, headers=bearer("k")).status_code == 200
        assert ask.post("/v1/embeddings", json=body, headers=bearer("other")).status_code == 404


def test_an_index_without_vectors_encodes_nothing(tmp_path: Path) -> None:
    Index.create(tmp_path / "i", encoder=None).add([Document("a", "heart")])
    Index.create(tmp_path / "j", encoder=HashEncoder()).add([Document("a", "heart")])
    app = create_app({"i": tmp_path / "i", "j": tmp_path / "j"}, ServeSettings(encoders=(HashEncoder(),)))
    with TestClient(app, "http://localhost") as ask:
        assert ask.post("/v1/embeddings", json={"model": "i", "input": "x"}).status_code == 404
        assert ask.post("/v1/embeddings", json={"model": "j", "input": "x"}).status_code == 200
        found = ask.post("/v1/vector_stores/i/search", json={"query": "heart"}).json()
        assert found["data"][0]["file_id"] == "a" and 0 <= found["data"][0]["score"] <= 1
