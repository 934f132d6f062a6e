"""OpenAI's interface: embeddings, models, and the search of a vector store, whose id is an index's name."""

from __future__ import annotations

import base64
from typing import Any, Final, Literal, TypedDict

import numpy as np
from msgspec import Struct

from leanseek.encode import Encoded
from leanseek.errors import UsageError
from leanseek.filters import from_openai
from leanseek.serve.batcher import SharedEncoder
from leanseek.serve.operation import Call, Operation, none
from leanseek.serve.refusals import RefusedError
from leanseek.serve.service import check_batch
from leanseek.types import Hit

OWNER: Final = "leanseek"
TOKENS: Final = (
    "input has tokens, and their vocabulary is another model's; send texts (LangChain's OpenAIEmbeddings: "
    "check_embedding_ctx_length=False)"
)


class EmbeddingsBody(Struct, kw_only=True):
    """Texts to encode. `dimensions` can only be the model's own; `user` is not used."""

    input: str | list[Any]
    model: str
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = None


class EmbeddingRecord(TypedDict):
    """A vector: numbers, or the base64 of their little-endian float32."""

    object: str
    index: int
    embedding: list[float] | str


class EmbeddingsResponse(TypedDict):
    """The vectors of texts, in their order."""

    object: str
    data: list[EmbeddingRecord]
    model: str
    usage: dict[str, int]


class ModelRecord(TypedDict):
    """A model that encodes or re-ranks."""

    id: str
    object: str
    created: int
    owned_by: str


class ModelsResponse(TypedDict):
    """The models of the server."""

    object: str
    data: list[ModelRecord]


class RankingOptions(Struct):
    """`score_threshold` is the least probability of a hit; there is one ranker."""

    ranker: str | None = None
    score_threshold: float | None = None


class StoreBody(Struct, kw_only=True):
    """A search of a vector store. `rewrite_query` is not done."""

    query: str | list[str]
    filters: dict[str, Any] | None = None
    max_num_results: int = 10
    ranking_options: RankingOptions | None = None
    rewrite_query: bool = False


class StoreHit(TypedDict):
    """A hit; its score is its probability where the index has a relevance model."""

    file_id: str
    filename: str
    score: float
    attributes: dict[str, Any]
    content: list[dict[str, str]]


class StoreResponse(TypedDict):
    """The hits of a vector store's search."""

    object: str
    search_query: list[str]
    data: list[StoreHit]
    has_more: bool
    next_page: str | None


def texts_of(given: str | list[Any], most: int, what: str) -> list[str]:
    """The texts of an input. Raises RefusedError or UsageError for tokens, for none, and for too many."""
    texts = [given] if isinstance(given, str) else given
    check_batch(texts, most, what)
    if not all(isinstance(text, str) for text in texts):
        raise RefusedError(400, TOKENS, "tokens", what)
    return texts


async def encode(call: Call, encoder: SharedEncoder, texts: list[str], *, queries: bool = False) -> Encoded:
    """The vectors of texts, as passages or as queries."""
    work = encoder.encode_queries if queries else encoder.encode_documents
    found, _ = await call.service.workers.run(call.ticket, lambda: work(texts))
    return found


def check_dimensions(asked: int | None, encoder: SharedEncoder, what: str) -> None:
    """Raise RefusedError for another number of dimensions than the model's."""
    if asked not in (None, encoder.dimensions):
        raise RefusedError(
            400,
            f"{what} is {asked}; the vectors of {encoder.name!r} have {encoder.dimensions}",
            "field",
            what,
        )


async def embeddings(call: Call) -> EmbeddingsResponse:
    """Vectors of texts, encoded as passages are."""
    body: EmbeddingsBody = call.body
    encoder = call.service.encoder(call.ticket, body.model)
    check_dimensions(body.dimensions, encoder, "dimensions")
    texts = texts_of(body.input, call.service.settings.max_batch, "input")
    vectors, lengths = await encode(call, encoder, texts)
    tokens = int(lengths.sum())
    data: list[EmbeddingRecord] = [
        {"object": "embedding", "index": place, "embedding": written(vector, body.encoding_format)}
        for place, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": encoder.name, "usage": usage}


def written(vector: Any, form: str) -> list[float] | str:
    """A vector (D,) as numbers, or as base64."""
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    found: list[float] = vector.tolist()
    return found


async def models(call: Call) -> ModelsResponse:
    """The models that encode and re-rank."""
    service = call.service
    names = [
        encoder.name
        for index in service.visible(call.ticket)
        if index.problem is None and (encoder := index.now().searcher.settings.encoder) is not None
    ]
    names += [reranker.name for reranker in service.rerankers.values()]
    data: list[ModelRecord] = [
        {"id": name, "object": "model", "created": 0, "owned_by": OWNER} for name in dict.fromkeys(names)
    ]
    return {"object": "list", "data": data}


async def model(call: Call) -> ModelRecord:
    """One model."""
    wanted = call.request.path_params["model"]
    for record in (await models(call))["data"]:
        if record["id"] == wanted:
            return record
    raise RefusedError(
        404, f"there is no model {wanted!r}; GET /v1/models lists them", "model_not_found", "model"
    )


async def search(call: Call) -> StoreResponse:
    """Search an index as a vector store; of several queries the hits are merged by their best score."""
    body: StoreBody = call.body
    served = call.service.pin(call.ticket, call.index)
    queries = [body.query] if isinstance(body.query, str) else body.query
    check_batch(queries, call.service.settings.max_batch, "query")
    if not 1 <= body.max_num_results <= min(50, call.service.settings.max_k):
        raise UsageError(f"max_num_results is {body.max_num_results}; it must be from 1 to 50")
    threshold = body.ranking_options.score_threshold if body.ranking_options is not None else None
    best: dict[str, Hit] = {}
    for query in queries:
        answer, _ = await call.service.answer(
            call.ticket,
            served,
            query,
            body.max_num_results,
            filter=from_openai(body.filters) if body.filters is not None else None,
            min_probability=threshold or None,
            literal=True,
        )
        for hit in answer.hits:
            if hit.id not in best or score_of(hit) > score_of(best[hit.id]):
                best[hit.id] = hit
    hits = (
        sorted(best.values(), key=lambda hit: (-score_of(hit), hit.id))
        if len(queries) > 1
        else [*best.values()]
    )
    return {
        "object": "vector_store.search_results.page",
        "search_query": queries,
        "data": [
            {
                "file_id": hit.id,
                "filename": hit.title or hit.id,
                "score": score_of(hit),
                "attributes": attributes_of(hit),
                "content": [{"type": "text", "text": hit.text}],
            }
            for hit in hits[: body.max_num_results]
        ],
        "has_more": False,
        "next_page": None,
    }


def score_of(hit: Hit) -> float:
    """The probability of a hit, from 0 to 1; without a relevance model its score, cut to that range."""
    return float(np.clip(hit.score, 0.0, 1.0)) if hit.probability is None else hit.probability


def attributes_of(hit: Hit) -> dict[str, Any]:
    """The metadata of a hit as OpenAI's clients take them: strings, numbers and booleans; lists are joined."""
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value
        for name, value in hit.metadata.items()
        if value is not None
    }


def texts_in(body: Any) -> int:
    """How many texts an embedding's body has."""
    return len(body.input) if isinstance(body.input, list) else 1


OPENAI: Final = (
    Operation("POST", "/v1/embeddings", embeddings, "Vectors of texts", EmbeddingsBody, EmbeddingsResponse,
              queries=texts_in, tag="OpenAI"),
    Operation("GET", "/v1/models", models, "The models", None, ModelsResponse, queries=none, tag="OpenAI"),
    Operation("GET", "/v1/models/{model:path}", model, "A model", None, ModelRecord, queries=none, tag="OpenAI"),
    Operation("POST", "/v1/vector_stores/{index}/search", search, "Search an index", StoreBody, StoreResponse,
              queries=lambda body: len(body.query) if isinstance(body.query, list) else 1, tag="OpenAI"),
)  # fmt: skip
