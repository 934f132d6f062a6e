"""The interface of Anserini's and Pyserini's servers: search, and a document by its id."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypedDict

from msgspec import Meta, Struct

from leanseek.serve.operation import Call, Operation
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
    found = await call.service.document(call.ticket, served, call.request.path_params["docid"])
    doc = shown(found.id, found.title, found.text, found.metadata, call.body.parse)
    return {"api": API, "index": call.index, "docid": found.id, "doc": doc}


ANSERINI: Final = (
    Operation("GET", "/v1/{index}/search", search, "Search", AnseriniParameters, AnseriniResponse, tag="Anserini"),
    Operation("GET", "/v1/{index}/doc/{docid:path}", document, "A document", DocParameters, DocResponse,
              tag="Anserini"),
)  # fmt: skip
