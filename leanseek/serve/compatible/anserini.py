"""The interface of Anserini's and Pyserini's servers: search, and a document by its id."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypedDict

from msgspec import Meta, Struct

from leanseek.serve.operation import Call, Operation
from leanseek.serve.refusals import RefusedError
from leanseek.types import content

API: Final = "v1"


class AnseriniParameters(Struct, forbid_unknown_fields=True, kw_only=True):
    """A query, how many hits, and whether documents come as objects rather than as texts."""

    query: str
    hits: Annotated[int, Meta(ge=1, le=1_000_000)] = 10
    parse: bool = True


class DocParameters(Struct, forbid_unknown_fields=True, kw_only=True):
    """Whether the document comes as an object rather than as a text."""

    parse: bool = True


class Candidate(TypedDict):
    """A hit."""

    docid: str
    score: float
    rank: int
    doc: dict[str, Any] | str


class AnseriniResponse(TypedDict):
    """The hits of a query."""

    api: str
    index: str
    query: dict[str, str]
    candidates: list[Candidate]


class DocResponse(TypedDict):
    """A document."""

    api: str
    index: str
    docid: str
    doc: dict[str, Any] | str


def shown(id: str, title: str, text: str, metadata: Any, parse: bool) -> dict[str, Any] | str:
    """A document as an object with `contents`, or as its text alone."""
    contents = content(title, text)
    return {"id": id, "title": title, "contents": contents, "metadata": dict(metadata)} if parse else contents


async def search(call: Call) -> AnseriniResponse:
    """The hits of a query."""
    body: AnseriniParameters = call.body
    served = call.service.pin(call.ticket, call.index)
    most = call.service.settings.max_k
    if body.hits > most:
        raise RefusedError(
            400, f"hits is {body.hits:,}; this server gives at most {most:,}", "too_many", "hits"
        )
    answer, _ = await call.service.answer(call.ticket, served, body.query, body.hits, literal=True)
    return {
        "api": API,
        "index": call.index,
        "query": {"text": body.query},
        "candidates": [
            {
                "docid": hit.id,
                "score": hit.score,
                "rank": hit.rank,
                "doc": shown(hit.id, hit.title, hit.text, hit.metadata, body.parse),
            }
            for hit in answer.hits
        ],
    }


async def document(call: Call) -> DocResponse:
    """A document by its id."""
    served = call.service.pin(call.ticket, call.index)
    wanted = call.request.path_params["docid"]
    found = await call.service.documents(call.ticket, served, [wanted])
    if not found:
        raise RefusedError(
            404, f"there is no document {wanted!r} in {call.index!r}", "document_not_found", "docid"
        )
    doc = shown(found[0].id, found[0].title, found[0].text, found[0].metadata, call.body.parse)
    return {"api": API, "index": call.index, "docid": wanted, "doc": doc}


ANSERINI: Final = (
    Operation("GET", "/v1/{index}/search", search, "Search", AnseriniParameters, AnseriniResponse, tag="Anserini"),
    Operation("GET", "/v1/{index}/doc/{docid:path}", document, "A document", DocParameters, DocResponse,
              tag="Anserini"),
)  # fmt: skip
