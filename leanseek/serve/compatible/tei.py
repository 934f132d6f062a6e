"""The interface of text-embeddings-inference: embed, rerank and info."""

from __future__ import annotations

from typing import Any, Final, Literal, NotRequired, TypedDict

from msgspec import Struct

from leanseek import __version__
from leanseek.errors import UsageError
from leanseek.serve.compatible.cohere import relevance_of, reordered
from leanseek.serve.compatible.openai import check_dimensions, encode, texts_of
from leanseek.serve.operation import Call, Operation, none
from leanseek.serve.refusals import RefusedError

Direction = Literal["Left", "Right", "left", "right"]


class TeiEmbedBody(Struct, kw_only=True):
    """Texts to encode; with the prompt named `query` as queries, else as passages."""

    inputs: str | list[Any]
    normalize: bool = True
    truncate: bool = False
    truncation_direction: Direction = "Right"
    prompt_name: str | None = None
    dimensions: int | None = None


class TeiRerankBody(Struct, kw_only=True):
    """Texts to be put into the order of their relevance for a query."""

    query: str
    texts: list[str]
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool = False
    truncation_direction: Direction = "Right"


class TeiRank(TypedDict):
    """A text by its place in the request."""

    index: int
    score: float
    text: NotRequired[str]


class TeiInfo(TypedDict):
    """The model, and the limits of requests."""

    model_id: str
    model_dtype: str
    model_type: dict[str, Any]
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_client_batch_size: int
    auto_truncate: bool
    version: str


async def embed(call: Call) -> list[list[float]]:
    """Vectors of texts. Those that are too long are refused, unless they may be cut."""
    body: TeiEmbedBody = call.body
    if not body.normalize:
        raise UsageError("normalize is false; the vectors of leanseek all have length 1")
    if body.prompt_name not in (None, "query", "document", "passage"):
        raise UsageError(f"prompt_name is {body.prompt_name!r}; it must be query, document or passage")
    encoder = call.service.encoder(call.ticket, None)
    check_dimensions(body.dimensions, encoder, "dimensions")
    texts = texts_of(body.inputs, call.service.settings.max_batch, "inputs")
    vectors, lengths = await encode(call, encoder, texts, queries=body.prompt_name == "query")
    cut = encoder.max_tokens is not None and int(lengths.max()) > encoder.max_tokens
    if cut and not body.truncate:
        raise RefusedError(
            413,
            f"a text has more than the model's {encoder.max_tokens} tokens; send truncate: true",
            "too_long",
            "inputs",
        )
    if cut and body.truncation_direction.lower() == "left":
        raise UsageError("truncation_direction is left; texts are cut at their end only")
    found: list[list[float]] = vectors.tolist()
    return found


async def rerank(call: Call) -> list[TeiRank]:
    """Texts in the order of their relevance."""
    body: TeiRerankBody = call.body
    ranks: list[TeiRank] = []
    for hit in await reordered(call, call.service.reranker(None), body.query, body.texts):
        rank: TeiRank = {"index": int(hit.id), "score": hit.score if body.raw_scores else relevance_of(hit)}
        if body.return_text:
            rank["text"] = hit.text
        ranks.append(rank)
    return ranks


async def info(call: Call) -> TeiInfo:
    """The model that encodes."""
    encoder, settings = call.service.encoder(call.ticket, None), call.service.settings
    longest = encoder.max_tokens or 0
    return {
        "model_id": encoder.name,
        "model_dtype": "float32",
        "model_type": {"embedding": {"pooling": "mean"}},
        "max_concurrent_requests": settings.max_waiting,
        "max_input_length": longest,
        "max_batch_tokens": longest * settings.together,
        "max_client_batch_size": settings.max_batch,
        "auto_truncate": False,
        "version": __version__,
    }


TEI: Final = (
    Operation("POST", "/embed", embed, "Vectors of texts", TeiEmbedBody, list[list[float]], tag="TEI",
              queries=lambda body: len(body.inputs) if isinstance(body.inputs, list) else 1),
    Operation("POST", "/rerank", rerank, "Texts in the order of their relevance", TeiRerankBody, list[TeiRank],
              tag="TEI"),
    Operation("GET", "/info", info, "The model that encodes", None, TeiInfo, queries=none, tag="TEI"),
)  # fmt: skip
