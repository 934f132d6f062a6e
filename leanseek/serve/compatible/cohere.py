"""Cohere's interface, rerank and embed; its rerank is also Jina's, and that of most programs with a re-ranker's URL."""

from __future__ import annotations

import base64
import math
import secrets
from collections.abc import Sequence
from typing import Any, Final, Literal, NotRequired, TypedDict

import numpy as np
from msgspec import Struct

from leanseek.errors import UsageError
from leanseek.rerank import Reranked
from leanseek.serve.batcher import SharedReranker
from leanseek.serve.compatible.openai import check_dimensions, encode, texts_of
from leanseek.serve.operation import Call, Operation
from leanseek.serve.refusals import RefusedError
from leanseek.serve.service import check_batch
from leanseek.types import Float32Array, Hit


class RerankBody(Struct, kw_only=True):
    """Documents, as texts or as objects with a `text`, to be put into the order of their relevance for a query."""

    query: str
    documents: list[str | dict[str, Any]]
    model: str | None = None
    top_n: int | None = None
    return_documents: bool = False
    max_tokens_per_doc: int | None = None
    max_chunks_per_doc: int | None = None
    rank_fields: list[str] | None = None
    priority: int | None = None


class RerankResult(TypedDict):
    """A document by its place in the request, and how relevant it is, from 0 to 1."""

    index: int
    relevance_score: float
    document: NotRequired[dict[str, Any]]


class RerankResponse(TypedDict):
    """The documents, most relevant first."""

    id: str
    model: str
    results: list[RerankResult]
    usage: dict[str, int]
    meta: dict[str, Any]


class EmbedBody(Struct, kw_only=True):
    """Texts to encode, as queries or as passages by their `input_type`."""

    texts: list[str]
    input_type: Literal["search_query", "search_document", "classification", "clustering"]
    model: str
    embedding_types: list[Literal["float", "int8", "uint8", "base64"]] | None = None
    truncate: Literal["NONE", "START", "END"] = "END"
    output_dimension: int | None = None
    max_tokens: int | None = None
    priority: int | None = None


class EmbedResponse(TypedDict):
    """The vectors of texts by their form, in the order of the texts."""

    id: str
    embeddings: dict[str, list[Any]]
    texts: list[str]
    meta: dict[str, Any]


async def reordered(call: Call, reranker: SharedReranker, query: str, texts: Sequence[str]) -> list[Hit]:
    """Hits made of texts, best first; the id of each is its place. Raises UsageError or RefusedError."""
    check_batch(texts, call.service.settings.max_k, "documents")
    width = len(str(len(texts)))
    hits = [Hit(place + 1, f"{place:0{width}}", 0.0, "", text, {}) for place, text in enumerate(texts)]

    def work() -> Reranked:
        [found] = reranker.rerank_batch([query], [hits])
        return found

    found, _ = await call.service.workers.run(call.ticket, work)
    return found.hits


def relevance_of(hit: Hit) -> float:
    """The re-ranker's probability, or its score through the logistic function where it has none."""
    if hit.probability is not None:
        return hit.probability
    return 1 / (1 + math.exp(-hit.score)) if hit.score >= 0 else (e := math.exp(hit.score)) / (1 + e)


def text_of(document: str | dict[str, Any], fields: Sequence[str] | None) -> str:
    """The text of a document: a string, or fields of an object, one after another."""
    if isinstance(document, str):
        return document
    values = [document.get(field) for field in fields or ("text",)]
    if not values or not all(isinstance(value, str) for value in values):
        raise UsageError(f"a document that is an object needs strings in {', '.join(fields or ('text',))}")
    return " ".join(map(str, values))


async def rerank(call: Call) -> RerankResponse:
    """Documents in the order of their relevance."""
    body: RerankBody = call.body
    reranker = call.service.reranker(body.model)
    if body.top_n is not None and body.top_n < 1:
        raise UsageError(f"top_n is {body.top_n}; it must be at least 1")
    texts = [text_of(document, body.rank_fields) for document in body.documents]
    results: list[RerankResult] = []
    for hit in (await reordered(call, reranker, body.query, texts))[: body.top_n]:
        result: RerankResult = {"index": int(hit.id), "relevance_score": relevance_of(hit)}
        if body.return_documents:
            document = body.documents[int(hit.id)]
            result["document"] = document if isinstance(document, dict) else {"text": document}
        results.append(result)
    return {
        "id": secrets.token_hex(8),
        "model": reranker.name,
        "results": results,
        "usage": {"total_tokens": sum(len(text) + len(body.query) for text in texts) // 4},
        "meta": meta("2" if call.request.url.path.startswith("/v2") else "1", "search_units"),
    }


def meta(version: str, unit: str, units: int = 1) -> dict[str, Any]:
    """What Cohere's responses say of themselves."""
    return {"api_version": {"version": version}, "billed_units": {unit: units}}


async def embed(call: Call) -> EmbedResponse:
    """Vectors of queries or of passages."""
    body: EmbedBody = call.body
    encoder = call.service.encoder(call.ticket, body.model)
    check_dimensions(body.output_dimension, encoder, "output_dimension")
    texts = texts_of([*body.texts], call.service.settings.max_batch, "texts")
    vectors, lengths = await encode(call, encoder, texts, queries=body.input_type == "search_query")
    cut = encoder.max_tokens is not None and int(lengths.max()) > encoder.max_tokens
    if body.truncate == "NONE" and cut:
        raise RefusedError(
            400, f"a text has more than the model's {encoder.max_tokens} tokens", "too_long", "texts"
        )
    if body.truncate == "START" and cut:
        raise RefusedError(400, "texts are cut at their end only; send shorter ones", "field", "truncate")
    kinds = body.embedding_types or ["float"]
    return {
        "id": secrets.token_hex(8),
        "embeddings": {kind: in_form(vectors, kind) for kind in kinds},
        "texts": texts,
        "meta": meta("2", "input_tokens", int(lengths.sum())),
    }


def in_form(vectors: Float32Array, kind: str) -> list[Any]:
    """Vectors (n, D) of length 1 as Cohere's types give them; 8 bits are for components from -1 to 1."""
    if kind == "base64":
        return [base64.b64encode(vector.astype("<f4").tobytes()).decode() for vector in vectors]
    if kind in ("int8", "uint8"):
        low = -128 if kind == "int8" else 0
        scaled = np.clip(np.round(vectors * 127), -128, 127) + (0 if kind == "int8" else 128)
        found: list[Any] = np.clip(scaled, low, low + 255).astype(np.int64).tolist()
        return found
    return list(vectors.tolist())


RERANK: Final = "Documents in the order of their relevance"

COHERE: Final = (
    Operation("POST", "/v1/rerank", rerank, RERANK, RerankBody, RerankResponse, tag="Cohere, Jina"),
    Operation("POST", "/v2/rerank", rerank, RERANK, RerankBody, RerankResponse, tag="Cohere"),
    Operation("POST", "/v2/embed", embed, "Vectors of queries or passages", EmbedBody, EmbedResponse,
              queries=lambda body: len(body.texts), tag="Cohere"),
)  # fmt: skip
